//! Asking what was crawled.

use anyhow::Result;
use search::{Filters, Mode};
use types::TenantId;

use crate::answers::Question;
use crate::answers::evidence::PASSAGES_MAX;
use crate::app::{App, UsageError};
use crate::searching::parse_mode;

const QUESTION_CHARS_MAX: usize = 1_000;
const FILTERS_MAX: usize = 32;

/// A question as somebody typed it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub question: &'a str,
    /// Passages at most; as configured unless given.
    pub limit: Option<usize>,
    /// `name=value` each, as a search takes them.
    pub filters: &'a [String],
    /// Whether a configured model is to be asked.
    pub model: bool,
}

/// Checks a question.
pub fn read(app: &App, tenant: TenantId, asked: Asked<'_>) -> Result<Question> {
    let text = asked.question.trim();
    if !text.contains(char::is_alphanumeric) {
        return Err(UsageError("the question is empty".to_owned()).into());
    }
    if text.chars().count() > QUESTION_CHARS_MAX {
        let message = format!("a question has at most {QUESTION_CHARS_MAX} characters");
        return Err(UsageError(message).into());
    }
    if asked.filters.len() > FILTERS_MAX {
        return Err(UsageError(format!("at most {FILTERS_MAX} filters")).into());
    }
    let settings = &app.config.answers;
    let passages = asked
        .limit
        .unwrap_or(settings.passages.clamp(1, PASSAGES_MAX));
    if !(1..=PASSAGES_MAX).contains(&passages) {
        let message = format!("limit: {passages} is not between 1 and {PASSAGES_MAX}");
        return Err(UsageError(message).into());
    }
    // A search by words alone stays one; any other is worth both.
    let mode = match parse_mode(&app.config.search.mode)? {
        Mode::Keyword => Mode::Keyword,
        Mode::Hybrid | Mode::Vector => Mode::Hybrid,
    };
    Ok(Question {
        tenant,
        text: text.to_owned(),
        filters: Filters::parse(asked.filters)?,
        mode,
        passages,
        tokens: settings.passage_tokens,
        asks_model: asked.model,
    })
}
