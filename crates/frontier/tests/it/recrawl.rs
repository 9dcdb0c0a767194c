//! Intervals between crawls, and cron expressions.

use std::time::Duration;

use frontier::{ChangeRate, Cron, RecrawlPolicy, failure_delay, is_flagged};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use types::Timestamp;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn rate(changed: u64, seen: u64) -> ChangeRate {
    ChangeRate { changed, seen }
}

fn next(hours: u64, change: ChangeRate) -> f64 {
    let policy = RecrawlPolicy {
        min: HOUR,
        max: 7 * DAY,
    };
    let next = policy.next_interval(Duration::from_secs(hours * 3600), change);
    next.as_secs_f64() / 3600.0
}

#[test]
fn the_interval_follows_the_changes() {
    let check = |hours, change, expected: f64| {
        let found = next(hours, change);
        assert!((found - expected).abs() < 1e-6, "{change:?}: {found}");
    };
    check(10, rate(0, 100), 12.0);
    check(10, rate(100, 100), 6.0);
    check(10, rate(50, 100), 7.0);
    check(10, rate(0, 0), 10.0);
    check(1, rate(9, 9), 1.0);
    check(168, rate(0, 9), 168.0);
    check(0, rate(0, 9), 1.2);
    check(1_000, rate(0, 0), 168.0);
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0u64..10_000_000).prop_map(Duration::from_secs),
        any::<u64>().prop_map(Duration::from_millis),
        Just(Duration::MAX),
        Just(Duration::ZERO),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn intervals_stay_within_bounds_and_move_the_right_way(
        min in any_duration(), max in any_duration(), previous in any_duration(),
        seen in any::<u64>(), changed in any::<u64>(), more in any::<u64>(),
    ) {
        let policy = RecrawlPolicy { min, max };
        let max = max.max(min);
        let clamped = previous.min(max).max(min);
        let after = |changed| policy.next_interval(previous, rate(changed, seen));
        for changed in [0, changed, more] {
            prop_assert!(after(changed) >= min && after(changed) <= max);
        }
        if seen > 0 {
            prop_assert!(after(0) >= clamped);
        }
        if changed > 0 {
            prop_assert!(after(changed) <= clamped);
            prop_assert!(after(changed.saturating_add(more)) <= after(changed));
        }
    }

    #[test]
    fn without_changes_it_reaches_the_upper_bound_and_with_changes_the_lower(
        min in 1u64..100_000, span in 0u64..10_000_000, start in any_duration(),
    ) {
        let (min, max) = (Duration::from_secs(min), Duration::from_secs(min + span));
        let policy = RecrawlPolicy { min, max };
        let repeat = |change| (0..100).fold(start, |at, _| policy.next_interval(at, change));
        prop_assert_eq!(repeat(rate(0, 5)), max);
        prop_assert_eq!(repeat(rate(1, 1_000_000)), min);
    }

    #[test]
    fn failures_delay_by_doubling_up_to_the_limit(
        interval in any_duration(), max in proptest::option::of(any_duration()), failures in any::<u32>(),
    ) {
        let delay = |failures| failure_delay(interval, failures, max);
        let limit = max.unwrap_or(7 * DAY).max(interval);
        prop_assert_eq!(delay(0), interval);
        prop_assert!(delay(failures) >= interval && delay(failures) <= limit);
        let doubled = delay(failures).saturating_mul(2).min(limit);
        prop_assert_eq!(delay(failures.saturating_add(1)).min(doubled), doubled);
    }
}

#[test]
fn a_failing_source_backs_off_and_is_flagged() {
    let hours = |failures| failure_delay(HOUR, failures, None).as_secs() / 3600;
    assert_eq!([0, 1, 2, 3, 7, 8].map(hours), [1, 2, 4, 8, 128, 168]);
    assert_eq!(failure_delay(30 * DAY, 2, None), 30 * DAY);
    assert_eq!(failure_delay(HOUR, 9, Some(DAY)), DAY);
    assert_eq!([2, 3, 4].map(is_flagged), [false, true, true]);
}

fn at(text: &str) -> Timestamp {
    let time: DateTime = text.parse().expect("a test time");
    let zoned = time.to_zoned(TimeZone::UTC).expect("within range");
    Timestamp(zoned.timestamp().as_millisecond())
}

#[track_caller]
fn check_cron(expression: &str, after: &str, expected: &str) {
    let cron = Cron::parse(expression).expect("a valid expression");
    assert_eq!(cron.next_after(at(after)), at(expected), "{expression}");
}

#[test]
fn cron_finds_the_next_minute() {
    check_cron("* * * * *", "2024-01-01T00:00:00", "2024-01-01T00:01:00");
    check_cron(
        "* * * * *",
        "2024-12-31T23:59:59.999",
        "2025-01-01T00:00:00",
    );
    check_cron("*/15 * * * *", "2024-01-01T00:44:59", "2024-01-01T00:45:00");
    check_cron("0 3 * * *", "2024-01-01T03:00:00", "2024-01-02T03:00:00");
    check_cron("5/20 * * * *", "2024-01-01T00:26:00", "2024-01-01T00:45:00");
    check_cron(
        "0 9-17/4 * * mon-FRI",
        "2024-01-05T17:00:00",
        "2024-01-08T09:00:00",
    );
    check_cron("0 0 29 2 *", "2024-02-29T00:00:00", "2028-02-29T00:00:00");
    check_cron("0 0 29 2 *", "2096-02-29T00:00:00", "2104-02-29T00:00:00");
    check_cron("0 0 31 * *", "2024-04-01T00:00:00", "2024-05-31T00:00:00");
    check_cron(
        "0 0 1 JAN,Jul *",
        "2024-02-01T00:00:00",
        "2024-07-01T00:00:00",
    );
    // The 13th or a Friday; the days 1, 3, 5 … that are Mondays.
    check_cron("0 0 13 * 5", "2024-01-12T00:00:00", "2024-01-13T00:00:00");
    check_cron("0 0 */2 * 1", "2024-01-01T00:00:00", "2024-01-15T00:00:00");
    for sunday in ["0", "7", "sun"] {
        let expression = format!("0 0 * * {sunday}");
        check_cron(&expression, "2024-01-01T00:00:00", "2024-01-07T00:00:00");
    }
    check_cron("0 0 * * 5-7", "2024-01-06T00:00:00", "2024-01-07T00:00:00");
    check_cron("0 0 * * 5/2", "2024-01-06T00:00:00", "2024-01-12T00:00:00");
    check_cron("0 0 * * 7/2", "2024-01-06T00:00:00", "2024-01-07T00:00:00");
    check_cron("@hourly", "2024-01-01T00:00:00", "2024-01-01T01:00:00");
    check_cron(" @daily ", "2024-01-01T00:00:00", "2024-01-02T00:00:00");
    check_cron("@weekly", "2024-01-01T00:00:00", "2024-01-07T00:00:00");
    check_cron("@monthly", "2024-01-01T00:00:00", "2024-02-01T00:00:00");
    check_cron("@yearly", "2024-01-01T00:00:00", "2025-01-01T00:00:00");
    check_cron("0 0 1 1 *", "1969-06-01T12:00:00", "1970-01-01T00:00:00");
}

#[track_caller]
fn check_refused(expression: &str, expected: &str) {
    let error = Cron::parse(expression).expect_err("an invalid expression");
    let text = error.to_string();
    assert!(text.contains(expected), "{text}");
    assert!(text.contains(expression), "{text}");
}

#[test]
fn a_bad_expression_is_told_what_is_wrong() {
    check_refused("", "five fields");
    check_refused("0 3 * *", "found 4");
    check_refused("0 0 3 * * *", "found 6");
    check_refused("60 * * * *", "minute `60`: `60` is not within 0-59");
    check_refused("* 24 * * *", "hour");
    check_refused("* * 0 * *", "day of the month");
    check_refused("* * * 13 *", "month");
    check_refused("* * * * 8", "day of the week");
    check_refused("* * * * mo", "`mo` is not within 0-7");
    check_refused("5-1 * * * *", "ends before it begins");
    check_refused("*/0 * * * *", "`0` is no step");
    check_refused("*/ * * * *", "`` is no step");
    check_refused("+5 * * * *", "`+5`");
    check_refused("1,,2 * * * *", "`` is not within");
    check_refused("1-2-3 * * * *", "`2-3`");
    check_refused("99999999999 * * * *", "is not within");
    check_refused("0 0 30 2 *", "no such day");
    check_refused("0 0 31 4,6,9,11 *", "no such day");
    check_refused("@reboot", "@hourly");
}

/// A field's text and what it means, by another way than the parser's.
fn any_field(min: u32, max: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    let part = (min..=max, min..=max, 1u32..20, 0..5u8).prop_map(move |(a, b, step, kind)| {
        let (from, to) = (a.min(b), a.max(b));
        let every = |from: u32, to: u32| -> Vec<u32> {
            (from..=to)
                .filter(|n| (n - from).is_multiple_of(step))
                .collect()
        };
        match kind {
            0 => (a.to_string(), vec![a]),
            1 => (format!("{from}-{to}"), (from..=to).collect()),
            2 => (format!("{from}-{to}/{step}"), every(from, to)),
            3 => (format!("{a}/{step}"), every(a, max)),
            _ => (format!("{a},{b}"), vec![a, b]),
        }
    });
    let star = (1u32..30).prop_map(move |step| {
        let values = (min..=max)
            .filter(|n| (n - min).is_multiple_of(step))
            .collect();
        (format!("*/{step}"), values)
    });
    prop_oneof![Just(("*".to_owned(), (min..=max).collect())), star, part]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Asks minute by minute, with the days and weekdays of another calendar.
    #[test]
    fn cron_agrees_with_trying_every_minute(
        minute in any_field(0, 59), hour in any_field(0, 23), day in any_field(1, 31),
        month in any_field(1, 12), weekday in any_field(0, 6),
        start in 0i64..4_000_000_000_000,
    ) {
        let expression = format!("{} {} {} {} {}", minute.0, hour.0, day.0, month.0, weekday.0);
        let Ok(cron) = Cron::parse(&expression) else {
            // Only days that no month has are refused.
            prop_assert!(day.1.iter().all(|day| *day > 29), "{}", expression);
            return Ok(());
        };
        let found = cron.next_after(Timestamp(start));
        let either = !day.0.starts_with('*') && !weekday.0.starts_with('*');
        let matches = |time: Timestamp| {
            let stamp = jiff::Timestamp::from_millisecond(time.0).expect("within range");
            let time = stamp.to_zoned(TimeZone::UTC);
            let has = |set: &[u32], value: i8| set.contains(&u32::from(value.unsigned_abs()));
            let by_month = has(&day.1, time.day());
            let by_week = has(&weekday.1, time.weekday().to_sunday_zero_offset());
            has(&minute.1, time.minute())
                && has(&hour.1, time.hour())
                && has(&month.1, time.month())
                && if either { by_month || by_week } else { by_month && by_week }
        };
        prop_assert!(found.0 > start && found.0 % 60_000 == 0 && matches(found), "{}", expression);
        // A month of minutes from the start, and the last day before the find.
        let first = (start / 60_000 + 1) * 60_000;
        let early = (0..40_000).map(|n| first + n * 60_000);
        let late = (1..2_000).map(|n| found.0 - n * 60_000).filter(|time| *time > start);
        for time in early.take_while(|time| *time < found.0).chain(late) {
            prop_assert!(!matches(Timestamp(time)), "{} at {}", expression, time);
        }
    }

    #[test]
    fn cron_survives_any_text_and_any_time(text in "[-0-9*/, a-z@]{0,30}", time in any::<i64>()) {
        let _ = Cron::parse(&text);
        let daily = Cron::parse("30 4 * * *").expect("valid");
        let next = daily.next_after(Timestamp(time));
        let minutes = next.0.div_euclid(60_000).rem_euclid(24 * 60);
        prop_assert_eq!(minutes, 4 * 60 + 30);
    }
}
