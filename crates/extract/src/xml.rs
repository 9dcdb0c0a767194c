//! Lenient XML for sitemaps and feeds: a stream of elements with their text.
//! Wrong or missing name spaces, unknown entities and missing end tags pass.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::charset::decode;
use crate::error::{ExtractError, ExtractErrorKind};

/// Real files nest less than ten levels.
const DEPTH_MAX: usize = 64;
/// Longest text of one element.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Unpacks gzip up to a limit; other bytes pass.
pub(crate) fn unpacked(bytes: &[u8], bytes_max: usize) -> Result<Cow<'_, [u8]>, ExtractError> {
    if !bytes.starts_with(b"\x1F\x8B") {
        if bytes.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        return Ok(Cow::Borrowed(bytes));
    }
    let mut unpacked = Vec::new();
    let limit = bytes_max as u64 + 1;
    let read = MultiGzDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut unpacked);
    if unpacked.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    match read {
        // A download cut short still holds whole entries.
        Ok(_) => Ok(Cow::Owned(unpacked)),
        Err(_) if !unpacked.is_empty() => Ok(Cow::Owned(unpacked)),
        Err(error) => {
            Err(ExtractError::new(ExtractErrorKind::Malformed, "broken gzip data").caused_by(error))
        }
    }
}

fn too_large(bytes_max: usize) -> ExtractError {
    ExtractError::new(
        ExtractErrorKind::TooLarge,
        format!("larger than {bytes_max} bytes when unpacked"),
    )
}

/// Text of an XML or plain-text file.
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    decode(bytes, None, true, None)
}

/// An element that ended (or had no content), with the text directly in it.
pub(crate) struct Element<'a> {
    /// Local names from the root down to this element, lower case.
    pub(crate) path: &'a [String],
    pub(crate) text: &'a str,
    pub(crate) attributes: &'a [(String, String)],
}

/// Calls `visit` for the end of every element, in order, until it says stop.
pub(crate) fn for_each_element(xml: &str, mut visit: impl FnMut(&Element<'_>) -> bool) {
    struct Open {
        text: String,
        attributes: Vec<(String, String)>,
    }
    let mut reader = Reader::from_str(xml);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut path: Vec<String> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    loop {
        // A broken spot ends the reading; what came before it counts.
        let Ok(event) = reader.read_event() else {
            return;
        };
        match event {
            Event::Eof => return,
            Event::Start(start) => {
                if path.len() >= DEPTH_MAX {
                    return;
                }
                path.push(local_name(start.local_name().into_inner()));
                open.push(Open {
                    text: String::new(),
                    attributes: attributes(&start),
                });
            }
            Event::Empty(start) => {
                path.push(local_name(start.local_name().into_inner()));
                let attributes = attributes(&start);
                let go_on = visit(&Element {
                    path: &path,
                    text: "",
                    attributes: &attributes,
                });
                path.pop();
                if !go_on {
                    return;
                }
            }
            Event::End(end) => {
                let name = local_name(end.local_name().into_inner());
                // A missing end tag: close up to the one that is named.
                let Some(level) = path.iter().rposition(|open| *open == name) else {
                    continue;
                };
                while path.len() > level {
                    if let Some(element) = open.pop() {
                        let go_on = visit(&Element {
                            path: &path,
                            text: element.text.trim(),
                            attributes: &element.attributes,
                        });
                        if !go_on {
                            return;
                        }
                    }
                    path.pop();
                }
            }
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    push(&mut element.text, &text.xml10_content());
                }
            }
            Event::CData(text) => {
                if let Some(element) = open.last_mut() {
                    push(&mut element.text, &text.xml10_content());
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(element) = open.last_mut() {
                    let name = reference.into_inner();
                    push(&mut element.text, &resolve(&name));
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

fn push(text: &mut String, more: &str) {
    let room = TEXT_BYTES_MAX.saturating_sub(text.len());
    text.push_str(&more[..more.floor_char_boundary(room)]);
}

fn local_name(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn attributes(start: &BytesStart<'_>) -> Vec<(String, String)> {
    start
        .html_attributes()
        .with_checks(false)
        .flatten()
        .take(50)
        .map(|attribute| {
            let name = local_name(attribute.key.local_name().into_inner());
            (name, unescape(&attribute.value))
        })
        .collect()
}

/// Entities of XML and character references; unknown ones stay as written.
pub(crate) fn unescape(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        output.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.find(';').filter(|end| *end <= 10) {
            Some(end) => {
                output.push_str(&resolve(&rest[..end]));
                rest = &rest[end + 1..];
            }
            None => output.push('&'),
        }
    }
    output.push_str(rest);
    output
}

fn resolve(name: &str) -> String {
    let character = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        "ndash" => Some('\u{2013}'),
        "mdash" => Some('\u{2014}'),
        "hellip" => Some('\u{2026}'),
        "lsquo" => Some('\u{2018}'),
        "rsquo" => Some('\u{2019}'),
        "ldquo" => Some('\u{201C}'),
        "rdquo" => Some('\u{201D}'),
        _ => name.strip_prefix('#').and_then(|number| {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }),
    };
    character.map_or_else(|| format!("&{name};"), String::from)
}
