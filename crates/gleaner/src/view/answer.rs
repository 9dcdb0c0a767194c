//! Answers with their sources.

use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::answers::{Answer, PROMPT_VERSION, Passage};

/// A question answered, or not.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AnswerView {
    pub question: String,
    /// Plain text, never HTML. `[n]` cites the source with this number.
    pub answer: String,
    /// False: the sources do not answer, and `answer` says so.
    pub found: bool,
    /// Who wrote it: `model`; `extractive`, sentences of the sources, since no model is configured
    /// or wanted; or `fallback`, the same since the model could not be asked or failed.
    pub mode: String,
    /// Why it is a fallback.
    pub fallback_reason: Option<String>,
    /// The model was cut off: its answer is longer than it may be.
    pub cut_off: bool,
    /// The model asked.
    pub model: Option<String>,
    /// What was looked at, cited or not, in the order of the numbers.
    pub sources: Vec<AnswerSourceView>,
    /// Numbers of the sources cited, in the order in which they first are.
    pub citations: Vec<usize>,
    /// Numbers cited that no source has; they were taken out of the answer.
    pub dropped_citations: Vec<usize>,
    /// Links to other places than the sources; they were taken out of the answer.
    pub links_removed: usize,
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// In the currency of the configured prices; null where there is none.
    pub cost: Option<f64>,
    pub retrieval_ms: f64,
    /// Null when no model was asked.
    pub model_ms: Option<f64>,
    /// Of what the model was told; null when none was asked.
    pub prompt_version: Option<u32>,
}

/// A passage of a page, as the answer was made from it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AnswerSourceView {
    /// What it is cited by.
    pub number: usize,
    pub page_id: i64,
    pub url: String,
    pub title: String,
    /// Headings from the page's top down to it, joined by ` › `.
    pub heading: String,
    #[schema(format = DateTime)]
    pub published_at: Option<String>,
    pub language: Option<String>,
    /// Bytes of the page's text.
    pub range: (usize, usize),
    pub text: String,
}

impl AnswerView {
    pub fn new(answer: &Answer) -> AnswerView {
        let used = answer.used.as_ref();
        AnswerView {
            question: answer.question.clone(),
            answer: answer.text.clone(),
            found: answer.found,
            mode: answer.mode.code().to_owned(),
            fallback_reason: answer.fallback_reason.clone(),
            cut_off: answer.is_cut_off,
            model: used.map(|used| used.model.clone()),
            sources: answer.sources.iter().map(AnswerSourceView::new).collect(),
            citations: answer.checked.citations.clone(),
            dropped_citations: answer.checked.dropped.clone(),
            links_removed: answer.checked.links_removed,
            tokens_in: used.map_or(0, |used| used.tokens_in),
            tokens_out: used.map_or(0, |used| used.tokens_out),
            cost: used.and_then(|used| used.cost),
            retrieval_ms: milliseconds(answer.retrieval),
            model_ms: used.map(|used| milliseconds(used.took)),
            prompt_version: used.map(|_| PROMPT_VERSION),
        }
    }
}

impl AnswerSourceView {
    pub fn new(passage: &Passage) -> AnswerSourceView {
        AnswerSourceView {
            number: passage.number,
            page_id: passage.page.0,
            url: passage.url.clone(),
            title: passage.title.clone(),
            heading: passage.heading.clone(),
            published_at: passage.published_at.map(rfc3339),
            language: passage.language.clone(),
            range: (passage.range.start, passage.range.end),
            text: passage.text.clone(),
        }
    }
}

fn milliseconds(took: std::time::Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1000.0
}
