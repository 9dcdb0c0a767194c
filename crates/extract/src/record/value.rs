//! Values of structured data, read tolerantly and within bounds.

use std::borrow::Cow;

use html5ever::data::NAMED_ENTITIES;
use serde_json::{Map, Value};
use types::{FACT_BYTES_MAX, Timestamp};

use crate::meta::parse_date;

pub(super) type Object = Map<String, Value>;

/// Values looked at of one list: offers, places, variants.
pub(super) const LIST_MAX: usize = 200;
/// A value longer than this is prose, whatever its name. Its beginning is read.
const VALUE_BYTES_MAX: usize = 8 * 1024;
/// `{"name": {"@value": …}}` and no deeper.
const DEPTH_MAX: usize = 4;

/// A list's items, or the value itself.
pub(super) fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let (one, many) = match value {
        Some(Value::Array(items)) => (None, items.as_slice()),
        one => (one, [].as_slice()),
    };
    one.into_iter().chain(many.iter().take(LIST_MAX))
}

pub(super) fn objects(value: Option<&Value>) -> impl Iterator<Item = &Object> {
    items(value).filter_map(Value::as_object)
}

/// Names of an object's types, without the vocabulary's address or prefix:
/// `http://schema.org/Product`, `schema:Product` and `Product` are the same.
pub(super) fn types(object: &Object) -> impl Iterator<Item = &str> {
    items(object.get("@type"))
        .filter_map(Value::as_str)
        .flat_map(str::split_ascii_whitespace)
        .map(local_name)
}

/// What follows the last `/`, `#` or `:`.
pub(super) fn local_name(term: &str) -> &str {
    let term = term.trim().trim_end_matches('/');
    term.rsplit(['/', '#', ':']).next().unwrap_or(term)
}

/// The value as one line of text: a string, a number, or the name of an
/// object; of a list the first that says something.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    text_within(value?, DEPTH_MAX)
}

fn text_within(value: &Value, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::String(text) => fold(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => items
            .iter()
            .take(LIST_MAX)
            .find_map(|item| text_within(item, depth)),
        Value::Object(object) => ["name", "@value", "value", "codeValue"]
            .iter()
            .filter_map(|key| object.get(*key))
            .find_map(|value| text_within(value, depth)),
        Value::Null | Value::Bool(_) => None,
    }
}

/// The first of these properties that says something.
pub(super) fn first_text(object: &Object, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| text(object.get(*name)))
}

/// Names of people or organisations, separated by commas; addresses of their
/// profiles are no names.
pub(super) fn names(value: Option<&Value>) -> Option<String> {
    const NAMES_MAX: usize = 20;
    let mut kept: Vec<String> = Vec::new();
    let mut bytes = 0;
    for value in items(value).take(NAMES_MAX) {
        let Some(name) = text(Some(value)).filter(|name| !is_address(name)) else {
            continue;
        };
        if kept.contains(&name) {
            continue;
        }
        bytes += name.len() + if kept.is_empty() { 0 } else { ", ".len() };
        if bytes > FACT_BYTES_MAX {
            break;
        }
        kept.push(name);
    }
    (!kept.is_empty()).then(|| kept.join(", "))
}

pub(super) fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

pub(super) fn date(value: Option<&Value>) -> Option<Timestamp> {
    match value? {
        Value::String(text) => parse_date(text),
        Value::Number(number) => parse_date(&number.to_string()),
        Value::Object(object) => object
            .get("@value")
            .and_then(Value::as_str)
            .and_then(parse_date),
        Value::Array(items) => items.first().and_then(Value::as_str).and_then(parse_date),
        Value::Null | Value::Bool(_) => None,
    }
}

/// A fact as it is kept: character references resolved, tags taken off, white
/// space folded, no control characters, at most [`FACT_BYTES_MAX`] bytes.
/// `None` when nothing is left.
pub(super) fn fold(raw: &str) -> Option<String> {
    let raw = &raw[..raw.floor_char_boundary(VALUE_BYTES_MAX)];
    let plain = without_tags(raw);
    let decoded = unescape(&plain);
    // What was escaped twice or was markup inside references.
    let decoded = without_tags(&decoded);
    let mut folded = String::new();
    let mut blank = false;
    for character in decoded.chars() {
        if character.is_whitespace() || character.is_control() || character == '\u{FEFF}' {
            blank = true;
            continue;
        }
        let space = usize::from(blank && !folded.is_empty());
        if folded.len() + space + character.len_utf8() > FACT_BYTES_MAX {
            break;
        }
        if space > 0 {
            folded.push(' ');
        }
        blank = false;
        folded.push(character);
    }
    (!folded.is_empty()).then_some(folded)
}

/// Tags become line ends, so that the items of a list stay apart. A `<` that
/// opens no tag stays: `sizes < 40`.
pub(super) fn without_tags(text: &str) -> Cow<'_, str> {
    if !text.contains('<') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        plain.push_str(&rest[..start]);
        let tag = &rest[start..];
        let opens = tag[1..]
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
        match tag.find('>').filter(|_| opens) {
            Some(end) => {
                plain.push('\n');
                rest = &tag[end + 1..];
            }
            // Without a `>` no later tag ends either.
            None if opens => {
                plain.push_str(tag);
                rest = "";
            }
            None => {
                plain.push('<');
                rest = &tag[1..];
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Resolves character references (`&amp;`, `&#1740;`, `&eacute;`). A script's
/// text is not decoded by the HTML parser, but templates often escape it.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    /// `&CounterClockwiseContourIntegral;` is the longest.
    const NAME_BYTES_MAX: usize = 32;
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        plain.push_str(&rest[..start]);
        let reference = &rest[start + 1..];
        let end = reference
            .bytes()
            .take(NAME_BYTES_MAX)
            .position(|byte| byte == b';');
        match end.and_then(|end| Some((end, characters(&reference[..=end])?))) {
            Some((end, (first, second))) => {
                plain.push(first);
                plain.extend(second);
                rest = &reference[end + 1..];
            }
            None => {
                plain.push('&');
                rest = reference;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// What `amp;` or `#38;` stands for: one character or two.
fn characters(reference: &str) -> Option<(char, Option<char>)> {
    if let Some(number) = reference.strip_prefix('#') {
        let number = number.strip_suffix(';')?;
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
            None => number.parse().ok()?,
        };
        return Some((char::from_u32(code).filter(|c| *c != '\0')?, None));
    }
    let (first, second) = NAMED_ENTITIES.get(reference)?;
    let second = char::from_u32(*second).filter(|c| *c != '\0');
    Some((char::from_u32(*first).filter(|c| *c != '\0')?, second))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(raw: &str, expected: Option<&str>) {
        assert_eq!(fold(raw).as_deref(), expected, "{raw}");
    }

    #[test]
    fn facts_are_plain_lines() {
        check("  A \n\t b ", Some("A b"));
        check("Caf&eacute; &amp; Bar", Some("Café & Bar"));
        check("R&D; A&B &nosuch; &", Some("R&D; A&B &nosuch; &"));
        check("&#1587;&#x644;&#1575;&#1605;", Some("سلام"));
        check("<b>Bold</b> name", Some("Bold name"));
        check("&lt;b&gt;Bold&lt;/b&gt;", Some("Bold"));
        check("size < 40 and > 2", Some("size < 40 and > 2"));
        check("cut <b", Some("cut <b"));
        check("a\u{0}b\u{7}", Some("a b"));
        check("می\u{200C}خواهم", Some("می\u{200C}خواهم"));
        check("&#0;&#x110000;", Some("&#0;&#x110000;"));
        check(" <p></p> ", None);
        let long = fold(&"ب".repeat(400)).expect("text");
        assert_eq!(long.len(), FACT_BYTES_MAX);
    }

    #[test]
    fn texts_of_values() {
        let check = |value: Value, expected: Option<&str>| {
            assert_eq!(text(Some(&value)).as_deref(), expected, "{value}");
        };
        check(json!("a"), Some("a"));
        check(json!(42), Some("42"));
        check(json!({"@type": "Brand", "name": "B"}), Some("B"));
        check(json!({"@value": "B", "@language": "en"}), Some("B"));
        check(json!({"name": [{"@value": "B"}]}), Some("B"));
        check(json!([null, "", {"url": "x"}, "c"]), Some("c"));
        check(json!(true), None);
        check(json!([[[[["deep"]]]]]), None);
    }

    #[test]
    fn types_without_their_vocabulary() {
        let value = json!({"@type": ["https://schema.org/Product", "schema:Car", "Thing x#Offer"]});
        let object = value.as_object().expect("object");
        assert_eq!(
            types(object).collect::<Vec<_>>(),
            ["Product", "Car", "Thing", "Offer"]
        );
    }
}
