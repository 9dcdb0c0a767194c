//! Search results.

use search::{Hit, SearchResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::{FacetView, FieldName, Fields, Selected, rfc3339};

// Named, since utoipa composes the schemas of generic types itself.
type SelectedHit = Selected<HitView>;
pub type HitField = FieldName<HitView>;

/// An answered search.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SearchView {
    pub query: String,
    /// What was done: `hybrid`, `keyword` or `vector`.
    pub mode: String,
    pub took_ms: f64,
    /// Pages found, shown or not.
    pub total: usize,
    /// Share of the passages that have vectors, 0 to 1.
    pub vector_coverage: f32,
    pub hits: Vec<SelectedHit>,
    /// As asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facets: Vec<FacetView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct HitView {
    pub url: String,
    pub title: String,
    pub snippet: String,
    /// Byte ranges of `snippet` that matched.
    pub highlights: Vec<(usize, usize)>,
    pub score: f32,
    pub scores: ScoresView,
    pub explain: String,
    pub page_id: i64,
    pub chunk_id: i64,
    pub heading: String,
    #[schema(format = DateTime)]
    pub published_at: Option<String>,
    pub language: Option<String>,
    pub source: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ScoresView {
    pub keyword: Option<f32>,
    pub vector: Option<f32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OtherView {
    pub chunk_id: i64,
    pub heading: String,
    pub snippet: String,
}

impl SearchView {
    pub fn new(query: &str, response: &SearchResponse, fields: &Fields<HitView>) -> SearchView {
        let selected = |hit| fields.of(HitView::new(hit));
        SearchView {
            query: query.to_owned(),
            mode: response.mode.name().to_owned(),
            took_ms: (response.took.as_secs_f64() * 1e6).round() / 1000.0,
            total: response.total,
            vector_coverage: response.vector_coverage,
            hits: response.hits.iter().map(selected).collect(),
            facets: response.facets.iter().map(FacetView::from).collect(),
        }
    }
}

impl HitView {
    fn new(hit: &Hit) -> HitView {
        HitView {
            url: hit.url.clone(),
            title: hit.title.clone(),
            snippet: hit.snippet.text.clone(),
            highlights: hit
                .snippet
                .highlights
                .iter()
                .map(|r| (r.start, r.end))
                .collect(),
            score: hit.score,
            scores: ScoresView {
                keyword: hit.scores.keyword,
                vector: hit.scores.vector,
            },
            explain: hit.explain.clone(),
            page_id: hit.page.0,
            chunk_id: hit.chunk.0,
            heading: hit.heading.clone(),
            published_at: hit.published_at.map(rfc3339),
            language: hit.language.clone(),
            source: hit.source.0,
            others: hit
                .others
                .iter()
                .map(|other| OtherView {
                    chunk_id: other.chunk.0,
                    heading: other.heading.clone(),
                    snippet: other.snippet.text.clone(),
                })
                .collect(),
        }
    }
}
