//! Bytes -> text: byte-order mark, then `Content-Type`, then `<meta>`, then a guess.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// Browsers look for `<meta charset>` in the first 1,024 bytes (HTML Standard,
/// "prescan a byte stream"); real pages put long scripts before it.
const PRESCAN_BYTES: usize = 8 * 1024;
/// Enough for the detector; it reads a single pass.
const DETECT_BYTES_MAX: usize = 256 * 1024;

/// Decodes a page. `is_markup` allows declarations inside the bytes.
pub(crate) fn decode<'a>(
    bytes: &'a [u8],
    content_type: Option<&str>,
    is_markup: bool,
    host: Option<&str>,
) -> Cow<'a, str> {
    if let Some((encoding, bom_bytes)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[bom_bytes..]).0;
    }
    let declared = content_type
        .and_then(charset_parameter)
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .or_else(|| is_markup.then(|| declared_in(bytes)).flatten());

    // Text that is valid UTF-8 with multi-byte characters is practically never
    // anything else, whatever a misconfigured server says.
    if let Ok(text) = std::str::from_utf8(bytes)
        && (!text.is_ascii() || declared.is_none_or(Encoding::is_ascii_compatible))
        && declared.is_none_or(encoding_rs::Encoding::is_ascii_compatible)
    {
        if text.is_ascii()
            && let Some(encoding) = declared
            && encoding == encoding_rs::ISO_2022_JP
        {
            return encoding.decode_without_bom_handling(bytes).0;
        }
        return Cow::Borrowed(text);
    }
    match declared {
        Some(encoding) if encoding == UTF_8 => decode_claimed_utf8(bytes, host),
        Some(encoding) => encoding.decode_without_bom_handling(bytes).0,
        None => guess(bytes, host).decode_without_bom_handling(bytes).0,
    }
}

/// Claimed to be UTF-8, but is not valid: a few broken bytes, or a wrong claim?
fn decode_claimed_utf8<'a>(bytes: &'a [u8], host: Option<&str>) -> Cow<'a, str> {
    let mut broken = 0_usize;
    let mut characters = 0_usize;
    for chunk in bytes.utf8_chunks() {
        characters += chunk.valid().bytes().filter(|byte| *byte >= 0xC0).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    let encoding = if broken > characters {
        guess(bytes, host)
    } else {
        UTF_8
    };
    encoding.decode_without_bom_handling(bytes).0
}

fn guess(bytes: &[u8], host: Option<&str>) -> &'static Encoding {
    let sample = &bytes[..bytes.len().min(DETECT_BYTES_MAX)];
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(sample, true);
    let tld = host
        .and_then(|host| host.rsplit('.').next())
        .filter(|tld| !tld.is_empty() && tld.bytes().all(|byte| byte.is_ascii_lowercase()))
        .map(str::as_bytes);
    detector.guess(tld, Utf8Detection::Allow)
}

/// `charset=` of a media type, quotes removed.
fn charset_parameter(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches(['"', '\'']))
    })
}

/// XML declaration or `<meta>` near the start.
fn declared_in(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(PRESCAN_BYTES)];
    let head = head.to_ascii_lowercase();
    let trimmed = head.trim_ascii_start();
    if trimmed.starts_with(b"<?xml") {
        let declaration = trimmed.split(|byte| *byte == b'>').next()?;
        if let Some(label) = value_after(declaration, b"encoding") {
            return for_declared_label(label);
        }
    }
    let mut rest = head.as_slice();
    while let Some(at) = position(rest, b"<meta") {
        rest = &rest[at + 5..];
        let tag = rest.split(|byte| *byte == b'>').next().unwrap_or(rest);
        if let Some(encoding) = value_after(tag, b"charset").and_then(for_declared_label) {
            return Some(encoding);
        }
    }
    None
}

/// A document that could be read as ASCII is not UTF-16, so such a claim means
/// UTF-8; `x-user-defined` means windows-1252 (HTML Standard, same section).
fn for_declared_label(label: &[u8]) -> Option<&'static Encoding> {
    let encoding = Encoding::for_label(label)?;
    Some(match encoding.name() {
        "UTF-16LE" | "UTF-16BE" => UTF_8,
        "x-user-defined" => WINDOWS_1252,
        _ => encoding,
    })
}

fn value_after<'a>(tag: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let after = tag[position(tag, name)? + name.len()..].trim_ascii_start();
    let value = after.strip_prefix(b"=")?.trim_ascii_start();
    let value = match value.first()? {
        quote @ (b'"' | b'\'') => value[1..].split(|byte| byte == quote).next()?,
        _ => value
            .split(|byte| byte.is_ascii_whitespace() || matches!(byte, b';' | b'"' | b'\'' | b'/'))
            .next()?,
    };
    Some(value.trim_ascii())
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], content_type: Option<&str>, expected: &str) {
        assert_eq!(decode(bytes, content_type, true, None), expected);
    }

    #[test]
    fn order_of_evidence() {
        check(
            b"\xEF\xBB\xBFcaf\xC3\xA9",
            Some("text/html; charset=iso-8859-1"),
            "café",
        );
        check(
            b"caf\xE9",
            Some("text/html; charset=\"ISO-8859-1\""),
            "café",
        );
        check(
            b"<meta charset='windows-1251'>\xCF\xF0\xE8\xE2\xE5\xF2",
            None,
            "<meta charset='windows-1251'>Привет",
        );
        check(
            b"<meta http-equiv=content-type content=\"text/html; charset=iso-8859-7\">\xE1",
            Some("text/html"),
            "<meta http-equiv=content-type content=\"text/html; charset=iso-8859-7\">α",
        );
        check(
            b"<?xml version='1.0' encoding='iso-8859-2'?>\xB1",
            None,
            "<?xml version='1.0' encoding='iso-8859-2'?>ą",
        );
        check(b"\xFE\xFF\0h\0i", None, "hi");
    }

    #[test]
    fn wrong_claims_are_seen_through() {
        check(
            "سلام دنیا".as_bytes(),
            Some("text/html; charset=iso-8859-1"),
            "سلام دنیا",
        );
        check(
            b"Stra\xDFe, \xFCber, sch\xF6n und gr\xF6\xDFer als fr\xFCher",
            Some("text/html; charset=utf-8"),
            "Straße, über, schön und größer als früher",
        );
        let mut mostly_right = "همه چیز درست است".as_bytes().to_vec();
        mostly_right.push(0xFF);
        let text = decode(&mostly_right, Some("text/html; charset=utf-8"), true, None);
        assert_eq!(text, "همه چیز درست است\u{FFFD}");
    }

    #[test]
    fn windows_1256_is_guessed() {
        let persian = "این یک متن فارسی است که با کدگذاری قدیمی نوشته شده و باید درست خوانده شود";
        let arabic = "هذا نص عربي مكتوب بترميز قديم ويجب أن يقرأ بشكل صحيح دون أي مشكلة";
        let (bytes, ..) = encoding_rs::WINDOWS_1256.encode(arabic);
        check(&bytes, None, arabic);
        assert_eq!(
            decode(persian.as_bytes(), None, false, Some("example.ir")),
            persian
        );
    }
}
