//! Currencies as pages name them -> ISO 4217.

use super::money::plain;

/// A currency as a page names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Unit {
    /// ISO 4217.
    pub(super) code: &'static str,
    /// Units of the currency that one stands for: a toman is ten rials.
    pub(super) factor: f64,
}

/// A currency's code, symbol or name, and nothing else beside it.
pub(super) fn currency(text: &str) -> Option<Unit> {
    let text = plain(text)?;
    let upper = text.trim().to_ascii_uppercase();
    code(&upper).or_else(|| unit(&text))
}

/// The currency that a text states.
///
/// Signs that several currencies share (`$`, `¥`, `kr`, `Rs`, ريال written the
/// Arabic way) name none of them; `US$` or `USD` does.
pub(super) fn unit(text: &str) -> Option<Unit> {
    SYMBOLS
        .iter()
        .find(|(symbol, _, _)| holds(text, symbol))
        .map(|(_, code, factor)| Unit {
            code,
            factor: *factor,
        })
        .or_else(|| code_beside_figure(text))
}

/// `EUR 20` or `20 EUR`; the `TRY` of a sentence is no lira.
fn code_beside_figure(text: &str) -> Option<Unit> {
    let is_digit = |c: char| c.is_ascii_digit();
    text.match_indices(|c: char| c.is_ascii_uppercase())
        .filter_map(|(start, _)| Some((start, code(text.get(start..start + 3)?)?)))
        .filter(|(start, _)| {
            let alone = |c: Option<char>| !c.is_some_and(char::is_alphabetic);
            alone(text[..*start].chars().next_back()) && alone(text[start + 3..].chars().next())
        })
        .find(|(start, _)| {
            // `80k EUR`, `19.- CHF`
            let before = text[..*start]
                .trim_end()
                .trim_end_matches(['k', 'K', '-', '.', ',']);
            before.ends_with(is_digit) || text[start + 3..].trim_start().starts_with(is_digit)
        })
        .map(|(_, unit)| unit)
}

/// Symbols that are letters must stand alone: `zł`, not the end of a word.
fn holds(text: &str, symbol: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let (first, last) = (symbol.chars().next(), symbol.chars().next_back());
    text.match_indices(symbol).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + symbol.len()..].chars().next();
        let goes_on =
            (is_letter(before) && is_letter(first)) || (is_letter(after) && is_letter(last));
        !goes_on
    })
}

/// The longer of two that begin alike comes first.
pub(super) const SYMBOLS: [(&str, &str, f64); 41] = [
    ("US$", "USD", 1.0),
    ("AU$", "AUD", 1.0),
    ("A$", "AUD", 1.0),
    ("CA$", "CAD", 1.0),
    ("C$", "CAD", 1.0),
    ("NZ$", "NZD", 1.0),
    ("HK$", "HKD", 1.0),
    ("NT$", "TWD", 1.0),
    ("MX$", "MXN", 1.0),
    ("S$", "SGD", 1.0),
    ("R$", "BRL", 1.0),
    ("€", "EUR", 1.0),
    ("£", "GBP", 1.0),
    ("₹", "INR", 1.0),
    ("₽", "RUB", 1.0),
    ("₩", "KRW", 1.0),
    ("₺", "TRY", 1.0),
    ("₴", "UAH", 1.0),
    ("₪", "ILS", 1.0),
    ("₫", "VND", 1.0),
    ("₱", "PHP", 1.0),
    ("฿", "THB", 1.0),
    ("₦", "NGN", 1.0),
    ("₸", "KZT", 1.0),
    ("₼", "AZN", 1.0),
    ("₾", "GEL", 1.0),
    ("円", "JPY", 1.0),
    ("د.إ", "AED", 1.0),
    ("zł", "PLN", 1.0),
    ("Kč", "CZK", 1.0),
    ("Ft", "HUF", 1.0),
    ("лв", "BGN", 1.0),
    ("руб", "RUB", 1.0),
    ("euros", "EUR", 1.0),
    ("euro", "EUR", 1.0),
    ("Euro", "EUR", 1.0),
    ("یورو", "EUR", 1.0),
    ("تومان", "IRR", 10.0),
    ("تومن", "IRR", 10.0),
    ("ریال", "IRR", 1.0),
    ("﷼", "IRR", 1.0),
];

/// An ISO 4217 code; `IRT` and `TMN`, which shops use for the toman, are none.
pub(super) fn code(text: &str) -> Option<Unit> {
    if matches!(text, "IRT" | "TMN" | "TOMAN") {
        return Some(Unit {
            code: "IRR",
            factor: 10.0,
        });
    }
    if text.len() != 3 {
        return None;
    }
    let at = CODES.split(' ').position(|code| code == text)?;
    Some(Unit {
        code: &CODES[at * 4..at * 4 + 3],
        factor: 1.0,
    })
}

/// ISO 4217, currencies in use and those pages still name.
const CODES: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL \
BSD BTN BWP BYN BZD CAD CDF CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD \
FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS \
KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN \
MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG \
SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS \
VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG";

/// Currencies of a thousand parts: three digits behind the point are no thousands.
pub(super) const THOUSAND_PARTS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(currency(text).map(|unit| unit.code), expected, "{text}");
        };
        check("EUR", Some("EUR"));
        check(" usd ", Some("USD"));
        check("€", Some("EUR"));
        check("IRT", Some("IRR"));
        check("تومان", Some("IRR"));
        for none in ["$", "¥", "kr", "XXX", "EURO5", "", "dollars", "ريال", "eu"] {
            check(none, None);
        }
    }
}
