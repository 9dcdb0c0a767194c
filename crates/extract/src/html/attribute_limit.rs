//! Cuts tags with absurd numbers of attributes before they reach the tokenizer,
//! which compares each new attribute with all earlier ones of its tag.

use std::borrow::Cow;

/// A tag shorter than this cannot hold enough attributes to matter.
const TAG_BYTES_CHECKED: usize = 4 * 1024;
/// The most elaborate real tags seen hold fewer than 100.
const ATTRIBUTES_MAX: usize = 400;

/// Removes all attributes past the limit. Almost always returns the input.
pub(super) fn limit_attributes(html: &str) -> Cow<'_, str> {
    let bytes = html.as_bytes();
    let mut output = String::new();
    let mut copied = 0;
    let mut position = 0;
    // `str::find` of one byte is vectorised.
    while let Some(offset) = html[position..].find('<').map(|at| position + at) {
        let is_tag = bytes.get(offset + 1).is_some_and(u8::is_ascii_alphabetic);
        position = offset + 1;
        if !is_tag {
            continue;
        }
        if let Some(end) = near_end(bytes, offset) {
            position = end;
            continue;
        }
        let (cut, end) = measure(bytes, offset + 1);
        if let Some(cut) = cut {
            output.push_str(&html[copied..cut]);
            copied = end;
        }
        position = end.max(position);
    }
    if copied == 0 {
        return Cow::Borrowed(html);
    }
    output.push_str(&html[copied..]);
    Cow::Owned(output)
}

/// Where the tag that starts here ends, if that is within the bytes that need
/// no closer look.
fn near_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut quote = 0;
    let mut after_equals = false;
    for (length, &byte) in bytes[start..].iter().take(TAG_BYTES_CHECKED).enumerate() {
        match byte {
            b'>' if quote == 0 => return Some(start + length),
            b'"' | b'\'' if quote == 0 && after_equals => quote = byte,
            _ if byte == quote => quote = 0,
            _ => {}
        }
        after_equals = byte == b'=' || (after_equals && byte.is_ascii_whitespace());
    }
    (bytes.len() - start < TAG_BYTES_CHECKED).then_some(bytes.len())
}

/// Walks one tag. Returns where attribute number `ATTRIBUTES_MAX + 1` starts
/// (if any) and where the tag ends. Both are at ASCII bytes or the text's end.
fn measure(bytes: &[u8], start: usize) -> (Option<usize>, usize) {
    let mut position = start;
    let mut attributes = 0;
    let mut cut = None;
    while position < bytes.len() {
        match bytes[position] {
            b'>' => return (cut, position),
            b'"' | b'\'' if bytes[..position].trim_ascii_end().ends_with(b"=") => {
                match find(bytes, position + 1, bytes[position]) {
                    Some(close) => position = close + 1,
                    None => return (cut, bytes.len()),
                }
                count(&mut attributes, &mut cut, position);
                continue;
            }
            byte if byte.is_ascii_whitespace() || byte == b'/' => {
                count(&mut attributes, &mut cut, position);
                while bytes
                    .get(position + 1)
                    .is_some_and(|b| b.is_ascii_whitespace() || *b == b'/')
                {
                    position += 1;
                }
            }
            _ => {}
        }
        position += 1;
    }
    (cut, bytes.len())
}

fn count(attributes: &mut usize, cut: &mut Option<usize>, position: usize) {
    *attributes += 1;
    // A quoted attribute counts at its end and at the blank before it.
    if *attributes > 2 * ATTRIBUTES_MAX && cut.is_none() {
        *cut = Some(position);
    }
}

fn find(bytes: &[u8], from: usize, byte: u8) -> Option<usize> {
    bytes[from.min(bytes.len())..]
        .iter()
        .position(|b| *b == byte)
        .map(|offset| from + offset)
}
