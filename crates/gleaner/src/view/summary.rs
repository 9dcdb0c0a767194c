//! Summaries of pages.

use serde::Serialize;
use store::SummaryRow;
use utoipa::ToSchema;

use super::rfc3339;

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SummaryView {
    pub page_id: i64,
    pub url: String,
    /// `done`: a language model wrote it. `fallback`: sentences of the page itself. `failed`: the
    /// page has no text.
    pub status: &'static str,
    /// False: the page has changed since.
    pub current: bool,
    pub title: String,
    pub summary: String,
    pub key_points: Vec<String>,
    pub entities: Vec<EntityView>,
    /// `news`, `article`, `documentation`, `product`, `job`, `reference`, `discussion`,
    /// `organization`, `legal` or `other`; not in a fallback.
    pub category: Option<String>,
    /// BCP 47 primary subtag of the page.
    pub language: Option<String>,
    /// Empty: no language model had a part in it.
    pub model: String,
    pub prompt_version: u32,
    /// Calls of the model; a long page takes several.
    pub calls: u32,
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// Of all its calls.
    pub seconds: f64,
    /// Why it is not what the model wrote.
    pub error: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EntityView {
    pub name: String,
    /// `person`, `organization`, `place`, `product`, `event` or `other`.
    pub kind: String,
}

impl SummaryView {
    pub fn new(row: &SummaryRow) -> SummaryView {
        let entities = row.entities.iter();
        SummaryView {
            page_id: row.page.0,
            url: row.url.clone(),
            status: row.state.code(),
            current: row.is_current,
            title: row.title.clone(),
            summary: row.summary.clone(),
            key_points: row.key_points.clone(),
            entities: entities
                .map(|entity| EntityView {
                    name: entity.name.clone(),
                    kind: entity.kind.clone(),
                })
                .collect(),
            category: row.category.clone(),
            language: row.language.clone(),
            model: row.model.clone(),
            prompt_version: row.prompt_version,
            calls: row.calls,
            tokens_in: row.tokens_in,
            tokens_out: row.tokens_out,
            seconds: row.took_ms as f64 / 1000.0,
            error: row.error.clone(),
            created_at: rfc3339(row.created_at),
        }
    }
}
