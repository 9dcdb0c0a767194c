//! Asking what was crawled.

use anyhow::Result;
use search::{Filters, Mode};
use types::TenantId;

use crate::answers::Question;
use crate::answers::evidence::PASSAGES_MAX;
use crate::answers::model::room as room_in;
use crate::app::{App, UsageError};
use crate::prompting::LanguageModel;
use crate::searching::parse_mode;

const QUESTION_CHARS_MAX: usize = 1_000;
/// Tokens of passages below which asking a model is no use.
const ROOM_MIN: u32 = 100;
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

/// Checks a question. `model` is the one that would answer, which limits how much it is told.
pub fn read(
    app: &App,
    model: Option<&LanguageModel>,
    tenant: TenantId,
    asked: Asked<'_>,
) -> Result<Question> {
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
    let room = model.filter(|_| asked.model);
    let room = room.map_or(u32::MAX, |model| room_in(model, text, passages));
    if room < ROOM_MIN {
        let message = "llm.context_tokens leaves no room for passages beside llm.output_tokens_max";
        return Err(UsageError(message.to_owned()).into());
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
        tokens: settings.passage_tokens.min(room),
        asks_model: asked.model,
    })
}
