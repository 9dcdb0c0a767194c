//! Pages, their versions and chunks.

use serde::Serialize;
use store::{ChunkRow, PageContent, PageDetail, PageRow, VersionRow};
use types::Link;
use utoipa::ToSchema;

use super::{RecordView, json, rfc3339};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PageView {
    pub page_id: i64,
    pub url: String,
    /// `live`, or `gone` when the site no longer offers it.
    pub status: &'static str,
    pub title: String,
    /// BCP 47 primary subtag.
    pub language: Option<String>,
    pub author: Option<String>,
    pub description: Option<String>,
    #[schema(format = DateTime)]
    pub published_at: Option<String>,
    #[schema(format = DateTime)]
    pub modified_at: Option<String>,
    /// BLAKE3 of normalised title and text, in hex.
    pub content_hash: String,
    /// 1 for the first content.
    pub version: u32,
    #[schema(format = DateTime)]
    pub fetched_at: String,
    #[schema(format = DateTime)]
    pub changed_at: String,
    /// How many chunks it has.
    pub chunks: u32,
    pub source: i64,
    /// The page that has the same content, and the chunks of it.
    pub duplicate_of: Option<i64>,
    pub near_duplicate_of: Option<i64>,
}

impl PageView {
    pub fn new(page: &PageRow) -> PageView {
        PageView {
            page_id: page.id.0,
            url: page.url.clone(),
            status: page.status.code(),
            title: page.title.clone(),
            language: page.language.clone(),
            author: page.author.clone(),
            description: page.description.clone(),
            published_at: page.published_at.map(rfc3339),
            modified_at: page.modified_at.map(rfc3339),
            content_hash: page.content_hash.to_string(),
            version: page.version,
            fetched_at: rfc3339(page.fetched_at),
            changed_at: rfc3339(page.changed_at),
            chunks: page.chunk_count,
            source: page.source.0,
            duplicate_of: page.duplicate_of.map(|id| id.0),
            near_duplicate_of: page.near_duplicate_of.map(|id| id.0),
        }
    }
}

/// A page that is like another one.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SimilarView {
    /// Cosine of its nearest passage to the mean of the other's, -1 to 1.
    pub similarity: f32,
    pub page: PageView,
}

impl SimilarView {
    pub fn new(similarity: f32, page: &PageRow) -> SimilarView {
        SimilarView {
            similarity,
            page: PageView::new(page),
        }
    }
}

/// A page with its content.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PageFullView {
    pub page: PageView,
    pub markdown: String,
    pub text: String,
    /// Names and values, in the order of the page.
    pub open_graph: Vec<(String, String)>,
    /// JSON-LD and microdata.
    pub structured: Option<serde_json::Value>,
    /// What the page is about, when it says so.
    pub record: Option<RecordView>,
    pub links: Vec<LinkView>,
    pub chunk_list: Vec<ChunkView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkView {
    pub url: String,
    pub text: String,
    pub nofollow: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChunkView {
    pub chunk_id: i64,
    pub position: u32,
    /// Bytes of `text`, from here …
    pub start: usize,
    /// … up to here.
    pub end: usize,
    /// Nearest heading above.
    pub section: String,
    pub heading_path: Vec<String>,
    pub keywords: Vec<String>,
    pub language: Option<String>,
    pub tokens: u32,
    /// At most 100 words; none when the chunk is no longer than that.
    pub tldr: Option<String>,
    pub text: Option<String>,
}

impl PageFullView {
    pub fn new(
        page: &PageRow,
        content: PageContent,
        detail: &PageDetail,
        chunks: &[ChunkRow],
        record: Option<RecordView>,
    ) -> PageFullView {
        PageFullView {
            page: PageView::new(page),
            open_graph: detail.open_graph.clone(),
            structured: detail.structured.as_deref().map(json),
            record,
            links: detail.links.iter().map(LinkView::new).collect(),
            chunk_list: chunks
                .iter()
                .map(|chunk| ChunkView::new(chunk, &content.text))
                .collect(),
            markdown: content.markdown,
            text: content.text,
        }
    }
}

impl LinkView {
    fn new(link: &Link) -> LinkView {
        LinkView {
            url: link.url.clone(),
            text: link.text.clone(),
            nofollow: link.nofollow,
        }
    }
}

impl ChunkView {
    fn new(row: &ChunkRow, text: &str) -> ChunkView {
        let chunk = &row.chunk;
        ChunkView {
            chunk_id: row.id.0,
            position: chunk.position,
            start: chunk.range.start,
            end: chunk.range.end,
            section: chunk.section.clone(),
            heading_path: chunk.heading_path.clone(),
            keywords: chunk.keywords.clone(),
            language: chunk.language.clone(),
            tokens: chunk.tokens,
            tldr: chunk.tldr.clone(),
            text: text.get(chunk.range.clone()).map(str::to_owned),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VersionView {
    pub version: u32,
    #[schema(format = DateTime)]
    pub seen_at: String,
    pub content_hash: String,
    pub title: String,
    /// Whether what the server answered is kept: `GET /api/v2/pages/{id}/raw`.
    pub raw: bool,
}

impl VersionView {
    pub fn new(version: &VersionRow) -> VersionView {
        VersionView {
            version: version.version,
            seen_at: rfc3339(version.seen_at),
            content_hash: version.content_hash.to_string(),
            title: version.title.clone(),
            raw: version.has_raw,
        }
    }
}
