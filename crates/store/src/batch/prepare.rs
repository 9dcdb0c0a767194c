//! Visits in the form they are stored in.

use types::{Block, Chunk, FailReason, Page, Record, SkipReason, Timestamp};

use crate::codec;
use crate::error::Failure;
use crate::frontier::{PreparedUrl, cut};
use crate::model::{PageVisit, Visit, VisitResult};

#[derive(Debug)]
pub(crate) struct PreparedVisit {
    pub(crate) row: i64,
    pub(crate) host: String,
    pub(crate) status: Option<u16>,
    pub(crate) wire_bytes: i64,
    pub(crate) fetched: bool,
    pub(crate) redirect_to: Option<String>,
    pub(crate) discovered: Vec<PreparedUrl>,
    pub(crate) result: PreparedResult,
}

#[derive(Debug)]
pub(crate) enum PreparedResult {
    Page(Box<PreparedPage>),
    NotModified,
    Skipped(SkipReason, String),
    Failed(FailReason, String),
    Retry {
        attempt: u32,
        not_before: Timestamp,
        detail: String,
    },
    Resource,
}

#[derive(Debug)]
pub(crate) struct PreparedPage {
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) author: Option<String>,
    pub(crate) published_at: Option<i64>,
    pub(crate) modified_at: Option<i64>,
    pub(crate) language: Option<String>,
    pub(crate) canonical: Option<String>,
    pub(crate) content_hash: [u8; 32],
    pub(crate) simhash: u64,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) text_bytes: usize,
    /// Packed text, Markdown and blocks, and what they hash to unpacked.
    pub(crate) body: Vec<u8>,
    pub(crate) body_hash: [u8; 16],
    pub(crate) facts: Option<Vec<u8>>,
    pub(crate) record: Option<Box<Record>>,
    pub(crate) links: Vec<u8>,
    pub(crate) meta_hash: i64,
    pub(crate) links_hash: i64,
    pub(crate) chunks: Vec<PreparedChunk>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct PreparedChunk {
    pub(crate) position: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) tokens: u32,
    pub(crate) hash: [u8; 16],
    pub(crate) language: Option<String>,
    pub(crate) section: String,
    pub(crate) heading_path: String,
    pub(crate) keywords: String,
    pub(crate) tldr: Option<String>,
}

pub(crate) fn prepare(visit: Visit) -> Result<PreparedVisit, Failure> {
    let result = match visit.result {
        VisitResult::Page(page) => PreparedResult::Page(Box::new(prepare_page(*page)?)),
        VisitResult::NotModified => PreparedResult::NotModified,
        VisitResult::Skipped { reason, detail } => {
            PreparedResult::Skipped(reason, cut(&detail).to_owned())
        }
        VisitResult::Failed { reason, detail } => {
            PreparedResult::Failed(reason, cut(&detail).to_owned())
        }
        VisitResult::Retry {
            attempt,
            not_before,
            detail,
        } => PreparedResult::Retry {
            attempt,
            not_before,
            detail: cut(&detail).to_owned(),
        },
        VisitResult::Resource => PreparedResult::Resource,
    };
    Ok(PreparedVisit {
        row: visit.row,
        host: visit.url.host().to_owned(),
        status: visit.status,
        wire_bytes: i64::try_from(visit.wire_bytes).unwrap_or(i64::MAX),
        fetched: visit.fetched,
        redirect_to: visit.redirect_to,
        discovered: visit.discovered.into_iter().map(PreparedUrl::new).collect(),
        result,
    })
}

pub(crate) fn prepare_page(visit: PageVisit) -> Result<PreparedPage, Failure> {
    let page = visit.page;
    check_ranges(&page.text, &page.blocks, &visit.chunks)?;
    let body = codec::encode_content(&page.text, &page.markdown, &page.blocks);
    let links = codec::encode_links(&page.links, &page.images)?;
    let facts = codec::encode_facts(&page.open_graph, page.structured.as_deref())?;
    let meta_hash = meta_hash(&page, facts.as_deref());
    let chunks = visit
        .chunks
        .into_iter()
        .map(prepare_chunk)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(PreparedPage {
        title: page.title,
        description: page.description,
        author: page.author,
        published_at: page.published_at.map(|t| t.0),
        modified_at: page.modified_at.map(|t| t.0),
        language: page.language,
        canonical: page.canonical,
        content_hash: page.content_hash.0,
        simhash: page.simhash,
        etag: visit.etag,
        last_modified: visit.last_modified,
        content_type: visit.content_type,
        text_bytes: page.text.len(),
        body_hash: codec::hash_16(&body),
        body: codec::pack(&body)?,
        record: page.record,
        facts: facts.map(|json| codec::pack(&json)).transpose()?,
        links_hash: codec::hash_i64(&links),
        links: codec::pack(&links)?,
        meta_hash,
        chunks,
    })
}

/// Stored ranges are cut out of the text again by every reader.
fn check_ranges(text: &str, blocks: &[Block], chunks: &[Chunk]) -> Result<(), Failure> {
    if let Some(block) = blocks.iter().find(|b| text.get(b.range.clone()).is_none()) {
        let range = &block.range;
        return Err(Failure::bug(format!(
            "block {range:?} is no part of its text"
        )));
    }
    if let Some(chunk) = chunks.iter().find(|c| text.get(c.range.clone()).is_none()) {
        let range = &chunk.range;
        return Err(Failure::bug(format!(
            "chunk {range:?} is no part of its text"
        )));
    }
    Ok(())
}

/// Of everything beside the text that an index may show or filter by.
fn meta_hash(page: &Page, facts: Option<&[u8]>) -> i64 {
    let mut hasher = blake3::Hasher::new();
    let mut field = |bytes: Option<&[u8]>| {
        // Length first, so that no two lists of fields run together the same way.
        let length = bytes.map_or(u64::MAX, |b| b.len() as u64);
        hasher.update(&length.to_le_bytes());
        hasher.update(bytes.unwrap_or_default());
    };
    field(Some(page.title.as_bytes()));
    field(page.description.as_ref().map(String::as_bytes));
    field(page.author.as_ref().map(String::as_bytes));
    field(page.language.as_ref().map(String::as_bytes));
    field(page.canonical.as_ref().map(String::as_bytes));
    field(
        page.published_at
            .map(|t| t.0.to_le_bytes())
            .as_ref()
            .map(|b| &b[..]),
    );
    field(
        page.modified_at
            .map(|t| t.0.to_le_bytes())
            .as_ref()
            .map(|b| &b[..]),
    );
    field(facts);
    // A page without one hashes as it did before there were records.
    if let Some(record) = &page.record {
        field(Some(format!("{record:?}").as_bytes()));
    }
    codec::hash_to_i64(&hasher.finalize())
}

pub(crate) fn prepare_chunk(chunk: Chunk) -> Result<PreparedChunk, Failure> {
    let offset = |at: usize| {
        i64::try_from(at).map_err(|_| Failure::bug(format!("chunk offset {at} is too large")))
    };
    Ok(PreparedChunk {
        position: chunk.position,
        start: offset(chunk.range.start)?,
        end: offset(chunk.range.end)?,
        tokens: chunk.tokens,
        hash: chunk.hash.0,
        language: chunk.language,
        section: chunk.section,
        heading_path: codec::encode_strings(&chunk.heading_path)?,
        keywords: codec::encode_strings(&chunk.keywords)?,
        tldr: chunk.tldr,
    })
}
