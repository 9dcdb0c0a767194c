//! Blobs and hashes as they lie in the database.
//!
//! A page's content is one zstd frame over text and Markdown together: they
//! repeat each other, so the second costs little. Level 1, because even so
//! compression is the largest single cost of preparing a page.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};
use types::{Block, BlockKind, Image, Link};
use zstd::bulk::{Compressor, Decompressor};

use crate::error::Failure;
use crate::model::PageContent;

const ZSTD_LEVEL: i32 = 1;
/// No blob is larger when unpacked: bounds what a damaged length can allocate.
const UNPACKED_BYTES_MAX: usize = 512 * 1024 * 1024;
/// One huge page must not stay in memory with each thread that read it.
const KEPT_BUFFER_BYTES_MAX: usize = 256 * 1024;
const CONTENT_FORMAT: u8 = 1;

thread_local! {
    // Setting up a zstd context costs more than compressing a page.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Unpacker>> = const { RefCell::new(None) };
}

struct Unpacker {
    decompressor: Decompressor<'static>,
    buffer: Vec<u8>,
}

/// Four bytes of unpacked length, then a zstd frame.
pub(crate) fn pack(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let length = u32::try_from(bytes.len())
        .ok()
        .filter(|_| bytes.len() <= UNPACKED_BYTES_MAX)
        .ok_or_else(|| Failure::conflict(format!("{} bytes are too many to store", bytes.len())))?;
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(Compressor::new(ZSTD_LEVEL).map_err(zstd_failure)?),
        };
        let frame = compressor.compress(bytes).map_err(zstd_failure)?;
        let mut packed = Vec::with_capacity(frame.len() + 4);
        packed.extend_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(&frame);
        Ok(packed)
    })
}

pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Failure> {
    with_unpacked(packed, |bytes| Ok(bytes.to_vec()))
}

/// Unpacks into a buffer that the thread keeps, for callers that copy parts out.
fn with_unpacked<T>(
    packed: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let damaged = || Failure::corrupt("a stored blob is damaged");
    let (length, frame) = packed.split_first_chunk::<4>().ok_or_else(damaged)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > UNPACKED_BYTES_MAX {
        return Err(damaged());
    }
    UNPACKER.with_borrow_mut(|slot| {
        let unpacker = match slot {
            Some(unpacker) => unpacker,
            None => slot.insert(Unpacker {
                decompressor: Decompressor::new().map_err(zstd_failure)?,
                buffer: Vec::new(),
            }),
        };
        let Unpacker {
            decompressor,
            buffer,
        } = unpacker;
        buffer.clear();
        buffer.reserve(length);
        decompressor
            .decompress_to_buffer(frame, buffer)
            .map_err(|_| damaged())?;
        if buffer.len() != length {
            return Err(damaged());
        }
        let value = read(buffer);
        buffer.shrink_to(KEPT_BUFFER_BYTES_MAX);
        value
    })
}

/// Of a migration. Line ends are not part of it: a checkout may change them.
pub(crate) fn schema_checksum(sql: &str) -> String {
    blake3::hash(sql.replace("\r\n", "\n").as_bytes()).to_hex()[..32].to_owned()
}

/// First 16 bytes of BLAKE3.
pub(crate) fn hash_16(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    short
}

/// First 8 bytes of BLAKE3, as SQLite stores integers.
pub(crate) fn hash_i64(bytes: &[u8]) -> i64 {
    hash_to_i64(&blake3::hash(bytes))
}

pub(crate) fn hash_to_i64(hash: &blake3::Hash) -> i64 {
    let mut short = [0; 8];
    short.copy_from_slice(&hash.as_bytes()[..8]);
    i64::from_le_bytes(short)
}

/// Serialises content for [`pack`]; equal content gives equal bytes.
pub(crate) fn encode_content(text: &str, markdown: &str, blocks: &[Block]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + markdown.len() + blocks.len() * 6 + 16);
    out.push(CONTENT_FORMAT);
    put_number(&mut out, text.len());
    put_number(&mut out, markdown.len());
    put_number(&mut out, blocks.len());
    for block in blocks {
        out.push(match block.kind {
            BlockKind::Heading(level) => level,
            BlockKind::Paragraph => 16,
            BlockKind::ListItem => 17,
            BlockKind::Table => 18,
            BlockKind::Code => 19,
            BlockKind::Quote => 20,
        });
        put_number(&mut out, block.range.start);
        put_number(&mut out, block.range.end);
    }
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(markdown.as_bytes());
    out
}

pub(crate) fn decode_content(packed: &[u8]) -> Result<PageContent, Failure> {
    let damaged = || Failure::corrupt("a stored page content is damaged");
    with_unpacked(packed, |bytes| parse_content(bytes).ok_or_else(damaged))
}

fn parse_content(bytes: &[u8]) -> Option<PageContent> {
    let (&format, mut rest) = bytes.split_first()?;
    if format != CONTENT_FORMAT {
        return None;
    }
    let text_bytes = take_number(&mut rest)?;
    let markdown_bytes = take_number(&mut rest)?;
    let block_count = take_number(&mut rest)?;
    // A block takes at least three bytes.
    if block_count > rest.len() {
        return None;
    }
    let mut blocks = Vec::with_capacity(block_count);
    for _ in 0..block_count {
        let (&kind, tail) = rest.split_first()?;
        rest = tail;
        let kind = match kind {
            level @ 0..16 => BlockKind::Heading(level),
            16 => BlockKind::Paragraph,
            17 => BlockKind::ListItem,
            18 => BlockKind::Table,
            19 => BlockKind::Code,
            20 => BlockKind::Quote,
            _ => return None,
        };
        let start = take_number(&mut rest)?;
        let end = take_number(&mut rest)?;
        blocks.push(Block {
            kind,
            range: start..end,
        });
    }
    let (text, markdown) = rest.split_at_checked(text_bytes)?;
    if markdown.len() != markdown_bytes {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if blocks.iter().any(|b| text.get(b.range.clone()).is_none()) {
        return None;
    }
    Some(PageContent {
        text: text.to_owned(),
        markdown: std::str::from_utf8(markdown).ok()?.to_owned(),
        blocks,
    })
}

/// LEB128.
fn put_number(out: &mut Vec<u8>, number: usize) {
    let mut number = number as u64;
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let mut number: u64 = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(number).ok();
        }
    }
    None
}

#[derive(Deserialize)]
struct StoredFacts {
    og: Vec<(String, String)>,
    structured: Option<String>,
}

#[derive(Serialize)]
struct FactsRef<'a> {
    og: &'a [(String, String)],
    structured: Option<&'a str>,
}

#[derive(Deserialize)]
struct StoredLinks {
    links: Vec<(String, String, bool)>,
    images: Vec<(String, String)>,
}

#[derive(Serialize)]
struct LinksRef<'a> {
    links: Vec<(&'a str, &'a str, bool)>,
    images: Vec<(&'a str, &'a str)>,
}

/// JSON of OpenGraph and structured data; `None` when there is neither.
pub(crate) fn encode_facts(
    open_graph: &[(String, String)],
    structured: Option<&str>,
) -> Result<Option<Vec<u8>>, Failure> {
    if open_graph.is_empty() && structured.is_none() {
        return Ok(None);
    }
    let facts = FactsRef {
        og: open_graph,
        structured,
    };
    serde_json::to_vec(&facts).map(Some).map_err(json_bug)
}

/// OpenGraph properties in document order and structured data as JSON.
pub(crate) type Facts = (Vec<(String, String)>, Option<String>);

pub(crate) fn decode_facts(packed: Option<&[u8]>) -> Result<Facts, Failure> {
    let Some(packed) = packed else {
        return Ok((Vec::new(), None));
    };
    let damaged = |_| Failure::corrupt("stored page facts are damaged");
    let facts: StoredFacts =
        with_unpacked(packed, |json| serde_json::from_slice(json).map_err(damaged))?;
    Ok((facts.og, facts.structured))
}

pub(crate) fn encode_links(links: &[Link], images: &[Image]) -> Result<Vec<u8>, Failure> {
    let all = LinksRef {
        links: links
            .iter()
            .map(|l| (l.url.as_str(), l.text.as_str(), l.nofollow))
            .collect(),
        images: images
            .iter()
            .map(|i| (i.url.as_str(), i.alt.as_str()))
            .collect(),
    };
    serde_json::to_vec(&all).map_err(json_bug)
}

pub(crate) fn decode_links(packed: &[u8]) -> Result<(Vec<Link>, Vec<Image>), Failure> {
    let damaged = |_| Failure::corrupt("stored page links are damaged");
    let all: StoredLinks =
        with_unpacked(packed, |json| serde_json::from_slice(json).map_err(damaged))?;
    let links = all
        .links
        .into_iter()
        .map(|(url, text, nofollow)| Link {
            url,
            text,
            nofollow,
        })
        .collect();
    let images = all
        .images
        .into_iter()
        .map(|(url, alt)| Image { url, alt })
        .collect();
    Ok((links, images))
}

pub(crate) fn encode_strings(strings: &[String]) -> Result<String, Failure> {
    if strings.is_empty() {
        return Ok("[]".to_owned());
    }
    serde_json::to_string(strings).map_err(json_bug)
}

pub(crate) fn decode_strings(json: &str) -> Result<Vec<String>, Failure> {
    if json == "[]" {
        return Ok(Vec::new());
    }
    serde_json::from_str(json).map_err(|_| Failure::corrupt("a stored list is damaged"))
}

/// int8 codes as SQLite stores bytes.
pub(crate) fn encode_codes(codes: &[i8]) -> Vec<u8> {
    codes.iter().map(|c| c.cast_unsigned()).collect()
}

pub(crate) fn decode_codes(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|b| b.cast_signed()).collect()
}

const BASE64_DIGITS: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// For URLs, without padding (RFC 4648 §5).
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..=group.len() {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(char::from(BASE64_DIGITS[value as usize]));
        }
    }
    text
}

/// Only what [`to_base64`] gives.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits: u32 = 0;
        for digit in group {
            let value = BASE64_DIGITS.iter().position(|known| known == digit)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        bits <<= 6 * (4 - group.len());
        let [_, group_bytes @ ..] = bits.to_be_bytes();
        let (used, unused) = group_bytes.split_at(group.len() - 1);
        if used.is_empty() || unused.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(used);
    }
    Some(bytes)
}

fn zstd_failure(error: std::io::Error) -> Failure {
    Failure::bug(format!("compression failed: {error}"))
}

fn json_bug(error: serde_json::Error) -> Failure {
    Failure::bug(format!("strings did not serialise: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_content() -> impl Strategy<Value = (String, String, Vec<Block>)> {
        let kinds = vec![
            BlockKind::Heading(1),
            BlockKind::Heading(6),
            BlockKind::Paragraph,
            BlockKind::ListItem,
            BlockKind::Table,
            BlockKind::Code,
            BlockKind::Quote,
        ];
        let block = (proptest::sample::select(kinds), "\\PC{1,200}");
        (prop::collection::vec(block, 0..8), "\\PC{0,50}").prop_map(|(parts, markdown)| {
            let mut text = String::new();
            let mut blocks = Vec::new();
            for (kind, part) in parts {
                let range = text.len()..text.len() + part.len();
                text.push_str(&part);
                text.push_str("\n\n");
                blocks.push(Block { kind, range });
            }
            (text, markdown, blocks)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn content_comes_back_as_it_was((text, markdown, blocks) in any_content()) {
            let packed = pack(&encode_content(&text, &markdown, &blocks)).unwrap();
            let content = decode_content(&packed).unwrap();
            prop_assert_eq!(content, PageContent { text, markdown, blocks });
        }

        #[test]
        fn damaged_blobs_are_refused_not_trusted(
            (text, markdown, blocks) in any_content(),
            at in any::<prop::sample::Index>(),
            bits in 1..=255u8,
        ) {
            let mut bytes = encode_content(&text, &markdown, &blocks);
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            // Either refused, or something whose ranges can be cut out.
            if let Some(content) = parse_content(&bytes) {
                for block in &content.blocks {
                    prop_assert!(content.text.get(block.range.clone()).is_some());
                }
            }
            bytes.truncate(at);
            prop_assert_eq!(parse_content(&bytes), None);
            prop_assert!(unpack(&bytes).is_err());
        }
    }
}
