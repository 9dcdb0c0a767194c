//! Records of WARC/1.1 (ISO 28500:2017), each a gzip member of its own, so that
//! records of many objects one after another are a WARC file.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Version};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use types::Timestamp;

use crate::error::{ArchiveError, ArchiveErrorKind};
use crate::key::utc;

/// What a record may have beside its body: headers of the answer, of which
/// `fetch` takes 64 KiB by default, and its own.
const HEAD_BYTES_MAX: u64 = 1024 * 1024;
/// Headers that say how the body came, not how it is here. Renamed as other
/// crawlers do, so that a reader does not decode what is decoded.
const OF_TRANSFER: [http::HeaderName; 3] = [CONTENT_ENCODING, TRANSFER_ENCODING, CONTENT_LENGTH];

/// What a server answered.
#[derive(Clone, Copy, Debug)]
pub struct RawResponse<'a> {
    pub url: &'a str,
    pub fetched_at: Timestamp,
    pub http_version: Version,
    pub status: u16,
    pub headers: &'a HeaderMap,
    /// Without transfer and content codings.
    pub body: &'a [u8],
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub url: String,
    /// Of the answer; empty where the server named none.
    pub content_type: String,
    pub body: Vec<u8>,
}

/// The response as a record of type `response`, compressed. `unique` names it
/// for ever: random bytes, the same as in its object's key.
#[must_use]
pub fn record(response: &RawResponse<'_>, unique: [u8; 16]) -> Vec<u8> {
    let mut block = http_head(response);
    block.extend_from_slice(response.body);
    let protocol = match response.http_version {
        Version::HTTP_2 => "WARC-Protocol: h2\r\n",
        _ => "",
    };
    let head = format!(
        "WARC/1.1\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{}>\r\n\
         WARC-Date: {}\r\nWARC-Target-URI: {}\r\n{protocol}\
         WARC-Payload-Digest: sha1:{}\r\nWARC-Block-Digest: sha1:{}\r\n\
         Content-Type: application/http; msgtype=response\r\nContent-Length: {}\r\n\r\n",
        uuid(unique),
        date(response.fetched_at),
        response.url,
        sha1(response.body),
        sha1(&block),
        block.len()
    );
    compress(&[head.as_bytes(), &block, b"\r\n\r\n"])
}

/// The record that a file begins with, compressed: who wrote it.
#[must_use]
pub fn warcinfo(software: &str, at: Timestamp, unique: [u8; 16]) -> Vec<u8> {
    let block = format!(
        "software: {software}\r\nformat: WARC File Format 1.1\r\nconformsTo: \
         http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/\r\n"
    );
    let head = format!(
        "WARC/1.1\r\nWARC-Type: warcinfo\r\nWARC-Record-ID: <urn:uuid:{}>\r\nWARC-Date: {}\r\n\
         Content-Type: application/warc-fields\r\nContent-Length: {}\r\n\r\n",
        uuid(unique),
        date(at),
        block.len()
    );
    compress(&[head.as_bytes(), block.as_bytes(), b"\r\n\r\n"])
}

/// Reads what [`record`] wrote, of a body of at most `body_bytes_max`.
pub fn read_record(compressed: &[u8], body_bytes_max: u64) -> Result<Record, ArchiveError> {
    let limit = body_bytes_max.saturating_add(HEAD_BYTES_MAX);
    let mut bytes = Vec::new();
    GzDecoder::new(compressed)
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| corrupt("is no gzip").with_source(error))?;
    if bytes.len() as u64 > limit {
        let problem = format!("the record is larger than {limit} bytes");
        return Err(ArchiveError::new(ArchiveErrorKind::TooLarge, problem));
    }
    let (head, block) = split_head(&bytes)?;
    let lines = head.lines();
    if !head.starts_with("WARC/1.") || field(lines.clone(), "warc-type") != Some("response") {
        return Err(corrupt("is no WARC record of a response"));
    }
    let length = field(lines.clone(), "content-length").and_then(|text| text.parse().ok());
    let block = length
        .and_then(|length: usize| block.get(..length))
        .ok_or_else(|| corrupt("is cut short"))?;
    let url = field(lines, "warc-target-uri").unwrap_or_default();
    let (http, body) = split_head(block)?;
    Ok(Record {
        url: url.to_owned(),
        content_type: field(http.lines(), "content-type")
            .unwrap_or_default()
            .to_owned(),
        body: body.to_vec(),
    })
}

/// Status line and headers as HTTP/1.1 has them, which other versions do not
/// have as text.
fn http_head(response: &RawResponse<'_>) -> Vec<u8> {
    let version = match response.http_version {
        Version::HTTP_09 | Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let reason = StatusCode::from_u16(response.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let mut head = format!("{version} {} {reason}\r\n", response.status).into_bytes();
    let headers = response.headers;
    let length = response.body.len().to_string();
    let is_as_sent = !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(TRANSFER_ENCODING)
        && headers.get(CONTENT_LENGTH).map(http::HeaderValue::as_bytes) == Some(length.as_bytes());
    for (name, value) in headers {
        if !is_as_sent && OF_TRANSFER.contains(name) {
            head.extend_from_slice(b"x-crawler-");
        }
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    if !is_as_sent {
        head.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn compress(parts: &[&[u8]]) -> Vec<u8> {
    let mut member = GzEncoder::new(Vec::new(), Compression::default());
    for part in parts {
        member
            .write_all(part)
            .expect("bug: memory refuses to be written to");
    }
    member
        .finish()
        .expect("bug: memory refuses to be written to")
}

fn split_head(bytes: &[u8]) -> Result<(std::borrow::Cow<'_, str>, &[u8]), ArchiveError> {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
    let end = end.ok_or_else(|| corrupt("has no end of its headers"))?;
    Ok((String::from_utf8_lossy(&bytes[..end]), &bytes[end + 4..]))
}

fn field<'h>(lines: std::str::Lines<'h>, name: &str) -> Option<&'h str> {
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

fn corrupt(problem: &str) -> ArchiveError {
    ArchiveError::new(ArchiveErrorKind::Corrupt, format!("the raw copy {problem}"))
}

fn date(at: Timestamp) -> String {
    utc(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Version 4 of RFC 9562: random but for six bits.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

/// In base 32, as every reader of WARC knows it. It finds accidents only.
fn sha1(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    // 20 bytes: four groups of 40 bits, eight letters each.
    let groups = digest.as_ref().chunks(5);
    let letters = groups.flat_map(|group| {
        let bits = group
            .iter()
            .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        (0..8).map(move |at| LETTERS[(bits >> (35 - 5 * at) & 31) as usize] as char)
    });
    letters.collect()
}
