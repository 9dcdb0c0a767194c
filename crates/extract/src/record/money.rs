//! Amounts of money as pages write them.

use types::AMOUNT_MAX;

use super::currency::{SYMBOLS, THOUSAND_PARTS, Unit, code, unit};

/// Texts longer than this are prose.
pub(super) const MONEY_BYTES_MAX: usize = 300;

/// An amount in units of `currency`, as far as it is stated.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Money {
    pub(super) amount: f64,
    pub(super) currency: Option<&'static str>,
}

/// Reads the first amount that stands beside a currency, else the first of
/// all: `1.299,00 €`, `from $1,299.00`, `CHF 1'299.50`, `۱۲٬۵۰۰٬۰۰۰ تومان`.
pub(super) fn money(text: &str) -> Option<Money> {
    let text = plain(text)?;
    let unit = unit(&text);
    let amounts = amounts(&text, unit);
    let amount = amounts
        .iter()
        .find(|amount| amount.beside_currency)
        .or(amounts.first())?;
    Some(Money {
        amount: checked(amount.value * unit.map_or(1.0, |unit| unit.factor))?,
        currency: unit.map(|unit| unit.code),
    })
}

/// An amount stated as a number or text, in a currency stated apart.
pub(super) fn amount_in(text: &str, currency: Option<Unit>) -> Option<Money> {
    let Some(stated) = currency else {
        return money(text);
    };
    let text = plain(text)?;
    // A symbol in the amount itself says the same, or knows better: sites
    // state IRR in `priceCurrency` and write تومان beside the figure.
    let unit = unit(&text)
        .filter(|own| own.code == stated.code)
        .unwrap_or(stated);
    let amount = amounts(&text, Some(unit)).into_iter().next()?;
    Some(Money {
        amount: checked(amount.value * unit.factor)?,
        currency: Some(unit.code),
    })
}

/// An amount that is no mistake.
pub(super) fn checked(amount: f64) -> Option<f64> {
    (0.0..=AMOUNT_MAX).contains(&amount).then_some(amount)
}

/// Digits and marks of all scripts as ASCII; `None` for prose.
pub(super) fn plain(text: &str) -> Option<String> {
    if text.len() > MONEY_BYTES_MAX {
        return None;
    }
    let plain = text
        .chars()
        .map(|character| match character {
            '٠'..='٩' => ascii_digit(character, '٠'),
            '۰'..='۹' => ascii_digit(character, '۰'),
            // Thousands: Arabic, and apostrophes.
            '٬' | '’' | '‘' | '´' => '\'',
            '،' => ',',
            '\u{A0}' | '\u{2007}' | '\u{2009}' | '\u{202F}' => ' ',
            '–' | '—' | '−' | '‑' => '-',
            other => other,
        })
        .filter(|c| !matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}'))
        .collect();
    Some(plain)
}

fn ascii_digit(digit: char, zero: char) -> char {
    char::from_digit(u32::from(digit) - u32::from(zero), 10).unwrap_or(digit)
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Amount {
    pub(super) value: f64,
    pub(super) beside_currency: bool,
    /// Whether `k`, هزار or the like followed, and what it stands for.
    pub(super) times: Option<f64>,
}

/// Every amount of a text, in order.
pub(super) fn amounts(text: &str, unit: Option<Unit>) -> Vec<Amount> {
    const AMOUNTS_MAX: usize = 20;
    let mut amounts = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(|c: char| c.is_ascii_digit()) {
        let start = at + offset;
        let end = start + number_bytes(&text[start..]);
        at = end;
        let before = text[..start].trim_end();
        let (times, after) = multiplier(&text[end..]);
        // `-5` is below nothing; `10-20` and `A4-5` are not.
        let negative = text[..start].ends_with('-')
            && before
                .trim_end_matches('-')
                .chars()
                .next_back()
                .is_none_or(char::is_whitespace);
        // A figure inside a word is part of a name: `v2`, `iso9001`.
        let in_word = text[..start]
            .chars()
            .next_back()
            .is_some_and(char::is_lowercase);
        let Some(value) = number(&text[start..end], unit).filter(|_| !negative && !in_word) else {
            continue;
        };
        amounts.push(Amount {
            value: value * times.unwrap_or(1.0),
            beside_currency: ends_with_currency(before) || starts_with_currency(after.trim_start()),
            times,
        });
        if amounts.len() == AMOUNTS_MAX {
            break;
        }
    }
    amounts
}

fn ends_with_currency(text: &str) -> bool {
    text.ends_with(['$', '¥'])
        || SYMBOLS.iter().any(|(symbol, _, _)| text.ends_with(symbol))
        || text
            .get(text.len().saturating_sub(3)..)
            .is_some_and(|word| code(word).is_some())
}

fn starts_with_currency(text: &str) -> bool {
    text.starts_with(['$', '¥'])
        || SYMBOLS
            .iter()
            .any(|(symbol, _, _)| text.starts_with(symbol))
        || text.get(..3).is_some_and(|word| code(word).is_some())
}

/// Length of the number that `text` begins with, separators included.
fn number_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = 0;
    while end < bytes.len() {
        if bytes[end].is_ascii_digit() {
            end += 1;
            continue;
        }
        let rest = &text[end..];
        let Some(separator) = rest
            .chars()
            .next()
            .filter(|c| matches!(c, '.' | ',' | '\'' | ' ' | '٫'))
        else {
            break;
        };
        let digits = rest[separator.len_utf8()..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        // A space is a thousands separator only before exactly three digits.
        if digits == 0 || (separator == ' ' && digits != 3) {
            break;
        }
        end += separator.len_utf8() + digits;
    }
    end
}

/// Reads digits with separators. A lone `.` or `,` before exactly three digits
/// separates thousands (`1.299`, `12,500`), since hardly any price has three
/// decimals, unless the currency has a thousand parts or the digits before it
/// rule that out (`0.299`, `1299.000`). Of two different separators the last
/// is the decimal one.
fn number(text: &str, unit: Option<Unit>) -> Option<f64> {
    /// More digits than any amount has.
    const DIGITS_MAX: usize = 18;
    let is_separator = |c: char| !c.is_ascii_digit();
    let separators: Vec<char> = text.chars().filter(|c| is_separator(*c)).collect();
    let groups: Vec<&str> = text.split(is_separator).collect();
    let last = groups.last()?.len();
    let decimal = match separators.as_slice() {
        [] | ['\'' | ' '] => None,
        ['٫'] => Some('٫'),
        [one] => {
            let parts = unit.is_some_and(|unit| THOUSAND_PARTS.contains(&unit.code));
            let thousands = last == 3
                && matches!(groups[0].len(), 1..=3)
                && groups[0] != "0"
                && !(parts && *one == '.');
            (!thousands).then_some(*one)
        }
        [first, .., end] => (first != end).then_some(*end),
    };
    let whole = &groups[..groups.len() - usize::from(decimal.is_some())];
    let grouped = |group: &&str| matches!(group.len(), 2 | 3);
    let thousands_fit = whole[1..].iter().all(grouped)
        && (whole.len() < 2 || whole.last().is_some_and(|group| group.len() == 3));
    let alike = separators[..whole.len() - 1]
        .windows(2)
        .all(|w| w[0] == w[1]);
    if !thousands_fit || !alike {
        // `12.01.2024`, `192.168.0.1`: no amount.
        return None;
    }
    let mut digits = whole.concat();
    if digits.len() > DIGITS_MAX {
        return None;
    }
    if decimal.is_some() {
        digits.push('.');
        digits.push_str(&groups[groups.len() - 1][..last.min(DIGITS_MAX)]);
    }
    digits.parse().ok()
}

/// What a number is counted in, and the text behind that word.
fn multiplier(text: &str) -> (Option<f64>, &str) {
    const WORDS: [(&str, f64); 9] = [
        ("هزار", 1e3),
        ("میلیون", 1e6),
        ("میلیارد", 1e9),
        ("thousand", 1e3),
        ("million", 1e6),
        ("lakh", 1e5),
        ("lac", 1e5),
        ("crore", 1e7),
        ("mio", 1e6),
    ];
    let trimmed = text.trim_start();
    let ends = |rest: &str| !rest.chars().next().is_some_and(char::is_alphanumeric);
    if let Some(rest) = text.strip_prefix(['k', 'K'])
        && ends(rest)
    {
        return (Some(1e3), rest);
    }
    for (word, times) in WORDS {
        let head = trimmed.get(..word.len());
        if head.is_some_and(|head| head.eq_ignore_ascii_case(word)) && ends(&trimmed[word.len()..])
        {
            return (Some(times), &trimmed[word.len()..]);
        }
    }
    (None, text)
}

#[cfg(test)]
mod tests {
    use super::super::currency::currency;
    use super::*;

    fn check(text: &str, expected: Option<(f64, Option<&str>)>) {
        let found = money(text).map(|money| (money.amount, money.currency));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn prices() {
        check("1299", Some((1299.0, None)));
        check("1299.00", Some((1299.0, None)));
        check("1.299,00 €", Some((1299.0, Some("EUR"))));
        check("$1,299.00", Some((1299.0, None)));
        check("US$ 1,299", Some((1299.0, Some("USD"))));
        check("€12,50", Some((12.5, Some("EUR"))));
        check("12.5", Some((12.5, None)));
        check("1.299", Some((1299.0, None)));
        check("0.299", Some((0.299, None)));
        check("1299.000", Some((1299.0, None)));
        check("KWD 4.250", Some((4.25, Some("KWD"))));
        check("1.234.567", Some((1_234_567.0, None)));
        check("12,34,567.89 INR", Some((1_234_567.89, Some("INR"))));
        check("CHF 1’299.50", Some((1299.5, Some("CHF"))));
        check("1\u{202F}299,90 zł", Some((1299.9, Some("PLN"))));
        check("1 299 Kč", Some((1299.0, Some("CZK"))));
        check("from £5 to £9", Some((5.0, Some("GBP"))));
        check("2 for £5", Some((5.0, Some("GBP"))));
        check("19,-", Some((19.0, None)));
        check("19.- CHF", Some((19.0, Some("CHF"))));
        check("¥1000", Some((1000.0, None)));
        check("1000円", Some((1000.0, Some("JPY"))));
        check("Model M4 only 20 EUR", Some((20.0, Some("EUR"))));
        check("TRY it, 5 left", Some((5.0, None)));
        check("free", None);
        check("", None);
        check("-5 €", None);
        check("12.01.2024", None);
        check("192.168.10.1", None);
        check(&"9".repeat(40), None);
        check("999999999999999999", None);
        check(&"1 ".repeat(300), None);
    }

    #[test]
    fn persian_prices_are_in_rials() {
        check("۱۲٬۵۰۰٬۰۰۰", Some((12_500_000.0, None)));
        check("۱۲٬۵۰۰٬۰۰۰ ریال", Some((12_500_000.0, Some("IRR"))));
        check("۱۲٬۵۰۰٬۰۰۰ تومان", Some((125_000_000.0, Some("IRR"))));
        check("قیمت: ۴۵۰ هزار تومان", Some((4_500_000.0, Some("IRR"))));
        check("۱۲٫۵ میلیون تومان", Some((125_000_000.0, Some("IRR"))));
        check("١٬٢٩٩٫٥٠ ريال", Some((1299.5, None)));
        check("﷼ ۹۸,۰۰۰", Some((98_000.0, Some("IRR"))));
    }

    #[test]
    fn amounts_in_a_stated_currency() {
        let check = |text: &str, unit: &str, expected: f64, code: &str| {
            let money = amount_in(text, currency(unit)).expect(text);
            assert_eq!(
                (money.amount, money.currency),
                (expected, Some(code)),
                "{text}"
            );
        };
        check("1.250", "KWD", 1.25, "KWD");
        check("12500000", "IRT", 125_000_000.0, "IRR");
        check("12500000", "IRR", 12_500_000.0, "IRR");
        check("۱۲۵۰۰ تومان", "IRR", 125_000.0, "IRR");
        check("$ 9.50", "CAD", 9.5, "CAD");
    }
}
