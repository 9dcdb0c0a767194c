//! Dates as pages write them -> [`Timestamp`].

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use types::Timestamp;

/// Longer strings hold more than a date.
const DATE_BYTES_MAX: usize = 64;
/// Pages do not predate the web by much, and "9999" means "never".
const YEARS: std::ops::RangeInclusive<i16> = 1900..=2100;

/// Reads ISO 8601 (with or without time, zone or separators), RFC 2822,
/// "January 2, 2024", "2 Jan 2024", "02.01.2024", "2024/01/02" and Unix
/// seconds. A date without time is midnight; a time without zone is UTC.
/// `d/m/y` with slashes is not read: nobody can tell it from `m/d/y`.
pub(crate) fn parse_date(input: &str) -> Option<Timestamp> {
    let text = ascii_digits(input.trim());
    if text.is_empty() || text.len() > DATE_BYTES_MAX {
        return None;
    }
    iso(&text)
        .or_else(|| rfc_2822(&text))
        .or_else(|| unix_seconds(&text))
        .or_else(|| with_month_name(&text))
        .or_else(|| dotted(&text))
}

/// Persian and Arabic digits as ASCII.
fn ascii_digits(text: &str) -> String {
    text.chars()
        .map(|character| {
            let value = u32::from(character);
            let digit = match value {
                0x0660..=0x0669 => value - 0x0660,
                0x06F0..=0x06F9 => value - 0x06F0,
                _ => return character,
            };
            char::from_digit(digit, 10).unwrap_or(character)
        })
        .collect()
}

fn timestamp(date: Date, time: Time, offset: Offset) -> Option<Timestamp> {
    if !YEARS.contains(&date.year()) {
        return None;
    }
    offset
        .to_timestamp(DateTime::from_parts(date, time))
        .ok()
        .map(|timestamp| Timestamp(timestamp.as_millisecond()))
}

fn iso(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let separator = *bytes.get(4)?;
    let (date, rest) = if matches!(separator, b'-' | b'/') {
        let mut parts = text.splitn(3, char::from(separator));
        let year = number(parts.next()?, 4)?;
        let month = number(parts.next()?, 2)?;
        let rest = parts.next()?;
        let day_end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let day = number(&rest[..day_end], 2)?;
        (new_date(year, month, day)?, &rest[day_end..])
    } else {
        // 20240102 or 20240102T030405Z
        let digits = text.get(..8)?;
        if !matches!(bytes.get(8), None | Some(b'T' | b' ')) {
            return None;
        }
        let date = new_date(
            number(digits.get(..4)?, 4)?,
            number(digits.get(4..6)?, 2)?,
            number(digits.get(6..8)?, 2)?,
        )?;
        (date, &text[8..])
    };
    let rest = rest.trim_start_matches(['T', 't', ' ', ',']);
    let (time, rest) = time_of_day(rest).unwrap_or((Time::midnight(), rest));
    timestamp(date, time, zone(rest.trim()).unwrap_or(Offset::UTC))
}

/// `03:04`, `03:04:05.678` or `030405`; returns what follows.
fn time_of_day(text: &str) -> Option<(Time, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')))
        .unwrap_or(text.len());
    let (clock, rest) = text.split_at(end);
    let clock = clock.split('.').next()?;
    let (hour, minute, second) = if clock.contains(':') {
        let mut parts = clock.split(':');
        (
            number(parts.next()?, 2)?,
            number(parts.next()?, 2)?,
            parts.next().map_or(Some(0), |part| number(part, 2))?,
        )
    } else if clock.len() == 6 {
        (
            number(&clock[..2], 2)?,
            number(&clock[2..4], 2)?,
            number(&clock[4..], 2)?,
        )
    } else {
        return None;
    };
    let hour = match rest.trim_start().get(..2) {
        Some(half) if half.eq_ignore_ascii_case("pm") && hour < 12 => hour + 12,
        Some(half) if half.eq_ignore_ascii_case("am") && hour == 12 => 0,
        _ => hour,
    };
    let time = Time::new(hour as i8, minute as i8, second.min(59) as i8, 0).ok()?;
    Some((time, rest))
}

/// `Z`, `+03:30`, `-0800`, `+02`.
fn zone(text: &str) -> Option<Offset> {
    if text.eq_ignore_ascii_case("z") {
        return Some(Offset::UTC);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text[1..]
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == ':')
        .filter(char::is_ascii_digit)
        .collect();
    let hours = number(digits.get(..2)?, 2)?;
    let minutes = digits
        .get(2..4)
        .and_then(|minutes| number(minutes, 2))
        .unwrap_or(0);
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()
}

fn rfc_2822(text: &str) -> Option<Timestamp> {
    // "GMT" as zone and a wrong weekday are both common.
    let without_day = text.split_once(", ").map_or(text, |(_, rest)| rest);
    let zoned = jiff::fmt::rfc2822::parse(without_day).ok()?;
    YEARS
        .contains(&zoned.year())
        .then(|| Timestamp(zoned.timestamp().as_millisecond()))
}

fn unix_seconds(text: &str) -> Option<Timestamp> {
    let value: i64 = text.parse().ok()?;
    match text.len() {
        10 => Some(Timestamp(value * 1_000)),
        13 => Some(Timestamp(value)),
        _ => None,
    }
}

fn with_month_name(text: &str) -> Option<Timestamp> {
    let mut month = None;
    let mut day = None;
    let mut year = None;
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '.' | '-' | '/'));
    for word in words.filter(|word| !word.is_empty()) {
        if let Some(found) = month_of(word) {
            if month.replace(found).is_some() {
                return None;
            }
            continue;
        }
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        match (digits.len(), digits.parse::<i32>()) {
            (4, Ok(value)) if year.is_none() => year = Some(value),
            (1 | 2, Ok(value)) if day.is_none() => day = Some(value),
            _ => {}
        }
    }
    let date = new_date(year?, month?, day?)?;
    let time = text
        .split_whitespace()
        .find(|word| word.contains(':'))
        .and_then(time_of_day)
        .map_or(Time::midnight(), |(time, _)| time);
    timestamp(date, time, Offset::UTC)
}

/// English and German, whole or cut to three letters.
fn month_of(word: &str) -> Option<i32> {
    const MONTHS: [(&str, &str); 12] = [
        ("january", "januar"),
        ("february", "februar"),
        ("march", "märz"),
        ("april", "april"),
        ("may", "mai"),
        ("june", "juni"),
        ("july", "juli"),
        ("august", "august"),
        ("september", "september"),
        ("october", "oktober"),
        ("november", "november"),
        ("december", "dezember"),
    ];
    let word = word.to_lowercase();
    if word.chars().count() < 3 {
        return None;
    }
    MONTHS
        .iter()
        .position(|(english, german)| {
            *english == word
                || *german == word
                || english.get(..3) == Some(&word)
                || german.get(..3) == Some(&word)
                || (word == "sept" && *english == "september")
        })
        .map(|index| index as i32 + 1)
}

/// `02.01.2024`: day first wherever dots are used.
fn dotted(text: &str) -> Option<Timestamp> {
    let date = text.split_whitespace().next()?;
    let mut parts = date.split('.');
    let day = number(parts.next()?, 2)?;
    let month = number(parts.next()?, 2)?;
    let year = number(parts.next()?, 4)?;
    timestamp(new_date(year, month, day)?, Time::midnight(), Offset::UTC)
}

fn new_date(year: i32, month: i32, day: i32) -> Option<Date> {
    Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    )
    .ok()
}

fn number(text: &str, digits_max: usize) -> Option<i32> {
    if text.is_empty() || text.len() > digits_max || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Option<&str>) {
        let expected = expected.map(|text| {
            let timestamp: jiff::Timestamp = text.parse().expect("valid test date");
            Timestamp(timestamp.as_millisecond())
        });
        assert_eq!(parse_date(input), expected, "{input}");
    }

    #[test]
    fn common_forms() {
        check("2024-01-02T03:04:05Z", Some("2024-01-02T03:04:05Z"));
        check(
            "2024-01-02T03:04:05.123+03:30",
            Some("2024-01-01T23:34:05Z"),
        );
        check("2024-01-02T03:04:05-0800", Some("2024-01-02T11:04:05Z"));
        check("2024-01-02 03:04", Some("2024-01-02T03:04:00Z"));
        check("2024-1-2", Some("2024-01-02T00:00:00Z"));
        check("2024/01/02", Some("2024-01-02T00:00:00Z"));
        check("20240102", Some("2024-01-02T00:00:00Z"));
        check("20240102T030405Z", Some("2024-01-02T03:04:05Z"));
        check(
            "Tue, 02 Jan 2024 03:04:05 GMT",
            Some("2024-01-02T03:04:05Z"),
        );
        check(
            "Mon, 02 Jan 2024 03:04:05 +0100",
            Some("2024-01-02T02:04:05Z"),
        );
        check("January 2, 2024", Some("2024-01-02T00:00:00Z"));
        check("2nd Jan. 2024", Some("2024-01-02T00:00:00Z"));
        check("2. Januar 2024", Some("2024-01-02T00:00:00Z"));
        check("2. März 2024, 14:30 Uhr", Some("2024-03-02T14:30:00Z"));
        check("02.01.2024", Some("2024-01-02T00:00:00Z"));
        check("۲۰۲۴-۰۱-۰۲", Some("2024-01-02T00:00:00Z"));
        check("1704164645", Some("2024-01-02T03:04:05Z"));
    }

    #[test]
    fn no_dates() {
        for input in [
            "",
            "yesterday",
            "2024",
            "2024-13-01",
            "01/02/2024",
            "9999-01-01",
            "12",
        ] {
            check(input, None);
        }
    }
}
