//! Percent-encoding as RFC 3986 compares it: one byte at a time.

/// The value of `%XX` at the start of `bytes`, if it is one.
pub(crate) fn escape_at(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'%', high, low, ..] => Some(hex_value(*high)? << 4 | hex_value(*low)?),
        _ => None,
    }
}

/// RFC 3986 §2.3: these mean the same encoded or not.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Appends `byte` as `%XX` with upper-case digits (RFC 3986 §6.2.2.1).
pub(crate) fn push_escape(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Decodes every escape, as text; bytes that are no UTF-8 become U+FFFD.
pub(crate) fn decode_lossy(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let Some(value) = escape_at(&bytes[at..]) {
            out.push(value);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Upper-cases escapes and decodes those of unreserved characters (RFC 3986
/// §6.2.2.1-2). `None` when nothing changes.
///
/// A text with a stray `%` keeps its other escapes encoded: decoding next to
/// it could form an escape that was not there (`%%34%31` would become `%41`).
pub(crate) fn normalise(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let first = bytes.iter().position(|&b| b == b'%')?;
    let decode = !has_stray_percent(&bytes[first..]);
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    let mut at = first;
    while at < bytes.len() {
        let Some(value) = escape_at(&bytes[at..]) else {
            at += 1;
            continue;
        };
        out.push_str(&text[copied..at]);
        if decode && is_unreserved(value) {
            out.push(char::from(value));
        } else {
            push_escape(&mut out, value);
        }
        at += 3;
        copied = at;
    }
    out.push_str(&text[copied..]);
    (out != text).then_some(out)
}

fn has_stray_percent(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            at += 1;
        } else if escape_at(&bytes[at..]).is_some() {
            at += 3;
        } else {
            return true;
        }
    }
    false
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        let got = normalise(input);
        assert_eq!(got.as_deref().unwrap_or(input), expected, "{input}");
        assert_eq!(normalise(expected), None, "{expected} is stable");
    }

    #[test]
    fn normalises_case_and_unreserved() {
        check("/a%7eb%2D%41", "/a~b-A");
        check("/a%2fb%3a", "/a%2Fb%3A");
        check("/%e2%82%ac", "/%E2%82%AC");
        check("/plain", "/plain");
        check("/100%/%41%2f", "/100%/%41%2F");
        check("/%%34%31", "/%%34%31");
        check("/%", "/%");
        check("/%2", "/%2");
        check("/%2541", "/%2541");
    }

    #[test]
    fn decodes_for_people() {
        assert_eq!(decode_lossy("/%D8%A8/a%20b%zz"), "/ب/a b%zz");
        assert_eq!(decode_lossy("/%FF"), "/\u{fffd}");
    }
}
