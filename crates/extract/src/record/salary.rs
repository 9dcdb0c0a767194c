//! Pay as pages write it -> [`Salary`].

use types::{Salary, SalaryPeriod};

use super::currency::{Unit, unit};
use super::money::{Amount, MONEY_BYTES_MAX, amounts, checked, plain};

/// Reads pay: `€ 50.000 - 60.000 per year`, `$80–100k`, `20 EUR/hour`,
/// `۳۰ تا ۴۰ میلیون تومان`. Of more than two amounts the first two count.
pub(super) fn pay(text: &str, stated: Option<Unit>) -> Option<Salary> {
    let text = plain(text)?;
    let unit = unit(&text).or(stated);
    let amounts = amounts(&text, unit);
    let factor = unit.map_or(1.0, |unit| unit.factor);
    let mut bounds: Vec<Amount> = amounts.iter().copied().filter(|a| a.value > 0.0).collect();
    if bounds.iter().any(|amount| amount.beside_currency) {
        // `40 hours, € 3.000`: figures before the first currency count
        // something else, unless they are the lower end of a range.
        let first = bounds.iter().position(|amount| amount.beside_currency)?;
        let range = first == 1 && is_range(&text);
        bounds.drain(..first - usize::from(range));
    }
    let first = bounds.first()?;
    let second = bounds.get(1).filter(|_| is_range(&text));
    let (min, max) = match second {
        // The word counts for both ends: `80–100k`.
        Some(second) => {
            let times = second
                .times
                .filter(|times| first.times.is_none() && first.value * times <= second.value);
            (Some(first.value * times.unwrap_or(1.0)), Some(second.value))
        }
        None => {
            let lower = text.to_lowercase();
            let says = |words: &[&str]| lower.split_whitespace().any(|word| words.contains(&word));
            let at_most = lower.contains("up to")
                || lower.contains("bis zu")
                || says(&["max", "max.", "maximum", "حداکثر"]);
            let at_least = lower.contains('+')
                || says(&["from", "starting", "min", "min.", "minimum", "ab", "حداقل"]);
            (
                (!at_most || at_least).then_some(first.value),
                (!at_least || at_most).then_some(first.value),
            )
        }
    };
    range(
        min.map(|min| min * factor),
        max.map(|max| max * factor),
        unit.map(|unit| unit.code),
        period_within(&text),
    )
}

/// Whether two amounts of a text are the ends of a range.
fn is_range(text: &str) -> bool {
    text.contains('-')
        || text
            .split(|c: char| !c.is_alphabetic())
            .any(|word| matches!(word, "to" | "bis" | "tot" | "à" | "and" | "تا"))
}

/// A salary of these bounds. Ends that were swapped are put right; zero says
/// nothing.
pub(super) fn range(
    min: Option<f64>,
    max: Option<f64>,
    currency: Option<&str>,
    period: Option<SalaryPeriod>,
) -> Option<Salary> {
    let stated = |bound: Option<f64>| bound.filter(|value| *value > 0.0).and_then(checked);
    let (mut min, mut max) = (stated(min), stated(max));
    if min.is_none() && max.is_none() {
        return None;
    }
    if let (Some(low), Some(high)) = (min, max)
        && low > high
    {
        (min, max) = (Some(high), Some(low));
    }
    Some(Salary {
        min,
        max,
        currency: currency.map(str::to_owned),
        period,
    })
}

/// A period as `unitText` states it: `HOUR`, `per year`, `P1Y`, `monthly`.
pub(super) fn period(text: &str) -> Option<SalaryPeriod> {
    let text = text.trim();
    match text {
        // ISO 8601 durations, and the codes of UN/CEFACT.
        "P1Y" | "ANN" => Some(SalaryPeriod::Year),
        "P1M" | "MON" => Some(SalaryPeriod::Month),
        "P1W" | "P7D" | "WEE" => Some(SalaryPeriod::Week),
        "P1D" => Some(SalaryPeriod::Day),
        "PT1H" | "HUR" => Some(SalaryPeriod::Hour),
        _ if text.len() > MONEY_BYTES_MAX => None,
        _ => period_within(text),
    }
}

/// `40 hours, € 3.000 per month` is paid by the month: a word that says `per`
/// counts before others.
fn period_within(text: &str) -> Option<SalaryPeriod> {
    let mut first = None;
    let mut after_per = false;
    let words = text.split_inclusive(|c: char| !c.is_alphabetic());
    for piece in words {
        let word = piece
            .trim_end_matches(|c: char| !c.is_alphabetic())
            .to_lowercase();
        if let Some((period, adverb)) = period_of(&word) {
            if after_per || adverb {
                return Some(period);
            }
            first = first.or(Some(period));
        }
        if !word.is_empty() || piece.ends_with('/') {
            after_per = piece.ends_with('/')
                || matches!(word.as_str(), "per" | "a" | "an" | "pro" | "je" | "par");
        }
    }
    first
}

/// The period of a word, and whether it is an adverb: `hour`, `hourly`.
fn period_of(word: &str) -> Option<(SalaryPeriod, bool)> {
    Some(match word {
        "hour" | "hours" | "hr" | "h" | "stunde" | "uur" | "heure" | "ساعت" => {
            (SalaryPeriod::Hour, false)
        }
        "hourly" | "ساعتی" => (SalaryPeriod::Hour, true),
        "day" | "tag" | "dag" | "jour" | "روز" => (SalaryPeriod::Day, false),
        "daily" | "روزانه" => (SalaryPeriod::Day, true),
        "week" | "wk" | "woche" | "semaine" | "هفته" => (SalaryPeriod::Week, false),
        "weekly" | "هفتگی" => (SalaryPeriod::Week, true),
        "month" | "mo" | "monat" | "maand" | "mois" | "ماه" => (SalaryPeriod::Month, false),
        "monthly" | "monatlich" | "ماهانه" | "ماهیانه" => (SalaryPeriod::Month, true),
        "year" | "annum" | "yr" | "jahr" | "jaar" | "سال" => (SalaryPeriod::Year, false),
        "yearly" | "annual" | "annually" | "jährlich" | "سالانه" => {
            (SalaryPeriod::Year, true)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected as `min max currency period`, `-` for what is not stated.
    fn check_salary(text: &str, expected: &str) {
        let found = pay(text, None).map_or_else(
            || "none".to_owned(),
            |salary| {
                let bound = |bound: Option<f64>| bound.map_or("-".to_owned(), |b| b.to_string());
                format!(
                    "{} {} {} {}",
                    bound(salary.min),
                    bound(salary.max),
                    salary.currency.as_deref().unwrap_or("-"),
                    salary.period.map_or("-", SalaryPeriod::as_str)
                )
            },
        );
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn salaries() {
        check_salary("€ 50.000 - 60.000 per year", "50000 60000 EUR year");
        check_salary("$80–100k", "80000 100000 - -");
        check_salary("$80K - $100K a year", "80000 100000 - year");
        check_salary("USD 120,000", "120000 120000 USD -");
        check_salary("20 EUR/hour", "20 20 EUR hour");
        check_salary("£450 daily", "450 450 GBP day");
        check_salary("up to £70,000 per annum", "- 70000 GBP year");
        check_salary("from 3.500 € monatlich, 13 Monate", "3500 - EUR month");
        check_salary("40 hours, € 3.000 per month", "3000 3000 EUR month");
        check_salary("100k - 80k EUR", "80000 100000 EUR -");
        check_salary(
            "۳۰ تا ۴۰ میلیون تومان ماهانه",
            "300000000 400000000 IRR month",
        );
        check_salary("competitive", "none");
        check_salary("0", "none");
    }

    #[test]
    fn periods() {
        for (text, expected) in [
            ("HOUR", Some(SalaryPeriod::Hour)),
            ("per year", Some(SalaryPeriod::Year)),
            ("an hour", Some(SalaryPeriod::Hour)),
            ("P1Y", Some(SalaryPeriod::Year)),
            ("MON", Some(SalaryPeriod::Month)),
            ("Monthly", Some(SalaryPeriod::Month)),
            ("ماه", Some(SalaryPeriod::Month)),
            ("fortnight", None),
        ] {
            assert_eq!(period(text), expected, "{text}");
        }
    }
}
