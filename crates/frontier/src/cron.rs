//! Cron expressions: five fields or a name such as `@daily`, in UTC.
//!
//! Our own, because the crate `croner` (4.0.3) brings `derive_builder`,
//! `darling` and `strum` along, and seconds, years and time zones that nothing
//! here needs.

use std::error::Error;
use std::fmt;

use types::Timestamp;

const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 24 * 60;
/// The calendar repeats after 400 years: what has no match in them has none.
const DAYS_SEARCHED: i64 = 146_097;
/// Years 0 to 9999: what a `Timestamp` outside of them means is anyone's guess.
const DAYS: std::ops::RangeInclusive<i64> = -719_528..=2_932_896;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron expression, understood: minute, hour, day of the month, month and
/// day of the week, each `*`, a number, a range `1-5`, with steps `*/15`, or a
/// list of these; months and weekdays also by their English names. As in
/// Vixie's cron a day matches by either of its two fields, unless one of them
/// begins with `*`; then by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    either_day: bool,
}

/// An expression that cannot be understood, or names no moment at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronError {
    expression: String,
    reason: String,
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cron expression `{}`: {}", self.expression, self.reason)
    }
}

impl Error for CronError {}

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Of the values from `min` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    field("minute", 0, 59, &[]),
    field("hour", 0, 23, &[]),
    field("day of the month", 1, 31, &[]),
    field("month", 1, 12, &MONTHS),
    // 0 and 7 are Sunday.
    field("day of the week", 0, 7, &WEEKDAYS),
];

const fn field(name: &'static str, min: u32, max: u32, names: &'static [&'static str]) -> Field {
    Field {
        name,
        min,
        max,
        names,
    }
}

impl Cron {
    pub fn parse(expression: &str) -> Result<Cron, CronError> {
        let failed = |reason: String| CronError {
            expression: expression.to_owned(),
            reason,
        };
        let trimmed = expression.trim();
        let spelled_out = if trimmed.starts_with('@') {
            named(trimmed).ok_or_else(|| {
                failed("expected @hourly, @daily, @weekly, @monthly or @yearly".to_owned())
            })?
        } else {
            trimmed
        };
        let texts: Vec<&str> = spelled_out.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = texts[..] else {
            return Err(failed(format!(
                "expected five fields (minute, hour, day of the month, month, day of the week), found {}",
                texts.len()
            )));
        };
        let mut sets = [0; 5];
        let texts = [minute, hour, day, month, weekday];
        for ((set, field), text) in sets.iter_mut().zip(&FIELDS).zip(texts) {
            *set = field.parse(text).map_err(failed)?;
        }
        let [minutes, hours, days, months, weekdays] = sets;
        let cron = Cron {
            minutes,
            hours,
            days,
            months,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        let happens = (0..DAYS_SEARCHED).any(|day| cron.matches_day(day));
        if !happens {
            return Err(failed("no such day ever comes".to_owned()));
        }
        Ok(cron)
    }

    /// The first full minute after `time` that matches.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Timestamp {
        let day_ms = DAY_MINUTES * MINUTE_MS;
        let first = time.0.div_euclid(day_ms).clamp(*DAYS.start(), *DAYS.end());
        // Of the first day only the minutes after `time` count.
        let mut minute = (time.0.saturating_sub(first * day_ms)).div_euclid(MINUTE_MS) + 1;
        for day in first..=first + DAYS_SEARCHED + 1 {
            if self.matches_day(day)
                && let Some(found) = self.minute_from(minute)
            {
                return Timestamp(day * day_ms + found * MINUTE_MS);
            }
            minute = 0;
        }
        unreachable!("bug: some day in 400 years matches, `parse` has found it");
    }

    /// The first matching minute of a day from the given one on.
    fn minute_from(&self, minute: i64) -> Option<i64> {
        (minute.max(0)..DAY_MINUTES)
            .find(|minute| has(self.hours, minute / 60) && has(self.minutes, minute % 60))
    }

    fn matches_day(&self, day: i64) -> bool {
        let (month, day_of_month) = civil(day);
        if !has(self.months, month) {
            return false;
        }
        let by_month = has(self.days, day_of_month);
        // 1970-01-01 was a Thursday.
        let by_week = has(self.weekdays, (day + 4).rem_euclid(7));
        if self.either_day {
            by_month || by_week
        } else {
            by_month && by_week
        }
    }
}

impl Field {
    /// The set of values that a field's text names, as bits.
    fn parse(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |set, part| {
            let failed = |why: String| format!("{} `{text}`: {why}", self.name);
            Ok(set | self.part(part).map_err(failed)?)
        })
    }

    fn part(&self, part: &str) -> Result<u64, String> {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => {
                let number: Option<u32> = number(step).filter(|step| *step > 0);
                let step = number.ok_or_else(|| format!("`{step}` is no step"))?;
                (range, Some(step))
            }
        };
        // An open range meets Sunday once: `*/2` means days 0, 2, 4 and 6, and
        // `5/2` Friday alone, not the Sunday that is also called 7.
        let last = if self.max == 7 { 6 } else { self.max };
        let (from, to) = if range == "*" {
            (self.min, last)
        } else if let Some((from, to)) = range.split_once('-') {
            (self.value(from)?, self.value(to)?)
        } else {
            let from = self.value(range)?;
            (from, if step.is_some() { last.max(from) } else { from })
        };
        if from > to {
            return Err(format!("`{range}` ends before it begins"));
        }
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
        Ok((from..=to).step_by(step).fold(0, |set, n| set | 1 << n))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let numbered = (self.min..).zip(self.names);
        numbered
            .filter(|(_, name)| name.eq_ignore_ascii_case(text))
            .map(|(value, _)| value)
            .next()
            .or_else(|| number(text).filter(|n| (self.min..=self.max).contains(n)))
            .ok_or_else(|| {
                let (min, max) = (self.min, self.max);
                format!("`{text}` is not within {min}-{max}")
            })
    }
}

fn named(name: &str) -> Option<&'static str> {
    Some(match name {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => return None,
    })
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn has(set: u64, value: i64) -> bool {
    set >> value & 1 == 1
}

/// Month and day of the month of a day since 1970-01-01: Howard Hinnant,
/// "chrono-compatible low-level date algorithms", `civil_from_days`.
fn civil(day: i64) -> (i64, i64) {
    // Days since 0000-03-01 within its 400 years: leap days come last.
    let of_era = (day + 719_468).rem_euclid(DAYS_SEARCHED);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (month, day_of_month)
}
