//! A tokenizer for the links-only pass: walks the tags of a page by the HTML
//! Standard's rules (section 13.2.5) and builds tokens only for the few
//! elements that [`PageScan`] asks about. Three times as fast as tokenizing
//! everything, with the same tokens for those elements.
//!
//! What is rare and intricate - character references, NUL, scripts that hold
//! commented-out scripts - is handed to html5ever.

use std::borrow::Cow;
use std::cell::RefCell;

use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    Tag as TokenTag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use html5ever::{Attribute, LocalName, QualName, TokenizerResult, local_name, ns};

/// Longest name looked at; the names of interest are shorter.
const NAME_BYTES_MAX: usize = 16;

/// The page held something that only the full tokenizer reads right.
pub(super) struct Intricate;

/// Feeds `sink` the tags it can care about and the text inside links.
/// `wants_text` tells whether the sink has a use for text now.
pub(super) fn tokenize<S: TokenSink>(
    html: &str,
    sink: &S,
    wants_text: impl Fn() -> bool,
) -> Result<(), Intricate> {
    let bytes = html.as_bytes();
    let mut position = 0;
    let mut text_start = 0;
    loop {
        // `str::find` of one byte is vectorised.
        let less_than = html[position..].find('<').map(|at| position + at);
        let markup_start = less_than.unwrap_or(bytes.len());
        let next = bytes.get(markup_start + 1).copied().unwrap_or_default();
        let is_markup = next.is_ascii_alphabetic() || matches!(next, b'!' | b'/' | b'?');
        if less_than.is_some() && !is_markup {
            position = markup_start + 1;
            continue;
        }
        if text_start < markup_start && wants_text() {
            send_text(&html[text_start..markup_start], sink);
        }
        if less_than.is_none() {
            return Ok(());
        }
        let after = markup_start + 2;
        let foreign = sink.adjusted_current_node_present_but_not_in_html_namespace();
        position = match next {
            b'!' => declaration_end(html, after, foreign),
            b'?' => close_after(html, after),
            b'/' => match bytes.get(after) {
                Some(byte) if byte.is_ascii_alphabetic() => {
                    let Some(tag) = RawTag::read(html, markup_start, after) else {
                        return Ok(());
                    };
                    if is_interesting(tag.name, true, foreign) {
                        let _ = sink.process_token(Token::TagToken(tag.token(html)), 0);
                    }
                    tag.end
                }
                Some(_) => close_after(html, after),
                None => return Ok(()),
            },
            _ => {
                let Some(tag) = RawTag::read(html, markup_start, markup_start + 1) else {
                    return Ok(());
                };
                let interesting = is_interesting(tag.name, wants_text(), foreign);
                let result = if interesting {
                    sink.process_token(Token::TagToken(tag.token(html)), 0)
                } else {
                    TokenSinkResult::Continue
                };
                match result {
                    TokenSinkResult::RawData(kind) => raw_text_end(html, tag.end, tag.name, kind)?,
                    TokenSinkResult::Plaintext => return Ok(()),
                    _ => tag.end,
                }
            }
        };
        text_start = position;
    }
}

/// Elements the scan reads, and those that change how text is read.
/// `in_link`: pictures count inside links only.
fn is_interesting(name: &str, in_link: bool, foreign: bool) -> bool {
    if foreign {
        // Any HTML element may end the foreign content.
        return true;
    }
    if name.len() > NAME_BYTES_MAX {
        return false;
    }
    let is = |known: &[&str]| known.iter().any(|known| name.eq_ignore_ascii_case(known));
    match name.as_bytes()[0].to_ascii_lowercase() {
        b'a' => is(&["a", "area"]),
        b'b' => is(&["base"]),
        b'f' => is(&["frame"]),
        b'h' => is(&["html"]),
        b'i' => is(&["iframe"]) || (in_link && is(&["img", "image"])),
        b'l' => is(&["link"]),
        b'm' => is(&["meta", "math"]),
        b'n' => is(&["noembed", "noframes"]),
        b'p' => is(&["plaintext"]),
        b's' => is(&["script", "style", "svg"]),
        b't' => is(&["title", "textarea", "template"]),
        b'x' => is(&["xmp"]),
        _ => false,
    }
}

/// A tag as it stands in the source.
struct RawTag<'a> {
    start: usize,
    /// One past the closing `>`.
    end: usize,
    name: &'a str,
    attributes_start: usize,
    kind: TagKind,
}

impl<'a> RawTag<'a> {
    /// `None` when the page ends within the tag, which then means nothing.
    fn read(html: &'a str, start: usize, name_start: usize) -> Option<RawTag<'a>> {
        let bytes = html.as_bytes();
        let name_end = name_start
            + bytes[name_start..]
                .iter()
                .position(|byte| is_blank(*byte) || matches!(byte, b'/' | b'>'))?;
        let mut position = name_end;
        while let Some(attribute) = next_attribute(html, position)? {
            position = attribute.end;
        }
        let close = position + bytes[position..].iter().position(|byte| *byte == b'>')?;
        Some(RawTag {
            start,
            end: close + 1,
            name: &html[name_start..name_end],
            attributes_start: name_end,
            kind: if bytes[start + 1] == b'/' {
                TagKind::EndTag
            } else {
                TagKind::StartTag
            },
        })
    }

    fn token(&self, html: &str) -> TokenTag {
        let source = &html[self.start..self.end];
        let has_references = source.contains('&');
        if (source.contains(['\0', '\r']) || (has_references && !only_plain_ampersands(source)))
            && let Some(tag) = tokenize_one(source)
        {
            return tag;
        }
        let mut attrs: Vec<Attribute> = Vec::new();
        let mut position = self.attributes_start;
        let mut self_closing_at = position;
        while let Some(Some(attribute)) = next_attribute(html, position) {
            position = attribute.end;
            self_closing_at = position;
            let Some(name) = known_attribute(&html[attribute.name.0..attribute.name.1]) else {
                continue;
            };
            if attrs.iter().all(|attr| attr.name.local != name) {
                let value = &html[attribute.value.0..attribute.value.1];
                attrs.push(Attribute {
                    name: QualName::new(None, ns!(), name),
                    value: if has_references {
                        StrTendril::from(value.replace("&amp;", "&"))
                    } else {
                        StrTendril::from_slice(value)
                    },
                });
            }
        }
        TokenTag {
            kind: self.kind,
            name: LocalName::from(self.name.to_ascii_lowercase()),
            self_closing: html[self_closing_at..self.end - 1].ends_with('/'),
            attrs,
            had_duplicate_attributes: false,
        }
    }
}

/// Whether every ampersand is `&amp;`, stands alone, or starts a query
/// parameter: then nothing else needs decoding. (In attributes a reference
/// without semicolon is none when an equals sign follows it.)
fn only_plain_ampersands(source: &str) -> bool {
    source.split('&').skip(1).all(|rest| {
        if rest.starts_with("amp;") {
            return true;
        }
        let name_end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        match rest.as_bytes().get(name_end) {
            Some(b'#') => false,
            Some(b'=') => true,
            _ => name_end == 0,
        }
    })
}

/// Byte ranges of one attribute.
struct RawAttribute {
    name: (usize, usize),
    value: (usize, usize),
    end: usize,
}

/// The attribute at or after `from`: `Some(None)` at the tag's end, `None` at
/// the page's end.
#[expect(
    clippy::option_option,
    reason = "end of tag and end of page are different ends"
)]
fn next_attribute(html: &str, from: usize) -> Option<Option<RawAttribute>> {
    let bytes = html.as_bytes();
    let mut position = from;
    while is_blank(*bytes.get(position)?) || bytes[position] == b'/' {
        position += 1;
    }
    if bytes[position] == b'>' {
        return Some(None);
    }
    let name_start = position;
    // An equals sign in first place belongs to the name.
    position += 1;
    while !(is_blank(*bytes.get(position)?) || matches!(bytes[position], b'/' | b'>' | b'=')) {
        position += 1;
    }
    let name = (name_start, position);
    let mut after = position;
    while is_blank(*bytes.get(after)?) {
        after += 1;
    }
    if bytes[after] != b'=' {
        return Some(Some(RawAttribute {
            name,
            value: (position, position),
            end: position,
        }));
    }
    after += 1;
    while is_blank(*bytes.get(after)?) {
        after += 1;
    }
    let quote = bytes[after];
    if matches!(quote, b'"' | b'\'') {
        let start = after + 1;
        let end = start + html[start..].find(char::from(quote))?;
        return Some(Some(RawAttribute {
            name,
            value: (start, end),
            end: end + 1,
        }));
    }
    let start = after;
    while !(is_blank(*bytes.get(after)?) || bytes[after] == b'>') {
        after += 1;
    }
    Some(Some(RawAttribute {
        name,
        value: (start, after),
        end: after,
    }))
}

/// Attributes that the scan reads.
fn known_attribute(name: &str) -> Option<LocalName> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    Some(match name.len() {
        3 if is("src") => local_name!("src"),
        3 if is("rel") => local_name!("rel"),
        3 if is("alt") => local_name!("alt"),
        4 if is("href") => local_name!("href"),
        4 if is("name") => local_name!("name"),
        4 if is("lang") => local_name!("lang"),
        5 if is("title") => local_name!("title"),
        7 if is("content") => local_name!("content"),
        8 if is("property") => LocalName::from("property"),
        8 if is("itemprop") => LocalName::from("itemprop"),
        8 if is("xml:lang") => LocalName::from("xml:lang"),
        10 if is("http-equiv") => LocalName::from("http-equiv"),
        _ => return None,
    })
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0C)
}

fn close_after(html: &str, from: usize) -> usize {
    html[from..]
        .find('>')
        .map_or(html.len(), |at| from + at + 1)
}

/// Behind `<!`: a comment, a CDATA section in foreign content, or anything up
/// to the next `>`.
fn declaration_end(html: &str, from: usize, foreign: bool) -> usize {
    let rest = &html[from..];
    if foreign && let Some(data) = rest.strip_prefix("[CDATA[") {
        return data.find("]]>").map_or(html.len(), |at| from + 7 + at + 3);
    }
    let Some(comment) = rest.strip_prefix("--") else {
        return close_after(html, from);
    };
    let start = from + 2;
    if comment.starts_with('>') {
        return start + 1;
    }
    if comment.starts_with("->") {
        return start + 2;
    }
    let mut searched = 0;
    while let Some(at) = comment[searched..].find("--").map(|at| searched + at) {
        let behind = &comment[at + 2..];
        if behind.starts_with('>') {
            return start + at + 3;
        }
        if behind.starts_with("!>") {
            return start + at + 4;
        }
        searched = at + 1;
    }
    html.len()
}

/// Start of the end tag that closes raw text, or the page's end.
fn raw_text_end(html: &str, from: usize, name: &str, kind: RawKind) -> Result<usize, Intricate> {
    let bytes = html.as_bytes();
    let mut position = from;
    let end = loop {
        let Some(at) = html[position..].find("</").map(|at| position + at) else {
            break html.len();
        };
        let name_start = at + 2;
        let closes = bytes
            .get(name_start..name_start + name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
            && bytes
                .get(name_start + name.len())
                .is_some_and(|byte| is_blank(*byte) || matches!(byte, b'/' | b'>'));
        if closes {
            break at;
        }
        position = name_start;
    };
    // A script start tag behind a comment start hides the next end tag.
    if kind == RawKind::ScriptData
        && let Some(comment) = html[from..end].find("<!--")
        && html[from + comment..end]
            .to_ascii_lowercase()
            .contains("<script")
    {
        return Err(Intricate);
    }
    Ok(end)
}

fn send_text<S: TokenSink>(text: &str, sink: &S) {
    let text = if text.contains(['&', '\0']) {
        Cow::Owned(decoded_text(text))
    } else {
        Cow::Borrowed(text)
    };
    let _ = sink.process_token(Token::CharacterTokens(StrTendril::from_slice(&text)), 0);
}

/// Collects what html5ever makes of a piece of source.
#[derive(Default)]
struct Collector {
    text: RefCell<String>,
    tag: RefCell<Option<TokenTag>>,
}

impl TokenSink for Collector {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::CharacterTokens(text) => self.text.borrow_mut().push_str(&text),
            Token::TagToken(tag) => *self.tag.borrow_mut() = Some(tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

fn collect(source: &str) -> Collector {
    let tokenizer = Tokenizer::new(Collector::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(source));
    while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink
}

fn decoded_text(source: &str) -> String {
    collect(source).text.into_inner()
}

fn tokenize_one(source: &str) -> Option<TokenTag> {
    collect(source).tag.into_inner()
}
