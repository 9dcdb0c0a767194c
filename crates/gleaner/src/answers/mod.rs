//! Answers from what was crawled, with citations.
//!
//! A question goes: passages are searched for (`evidence`, `passages`); when
//! they can hold no answer, that is the answer (`strength`); else a language
//! model answers from them (`prompt`) while what it says is checked
//! (`citations`), or, without one, their own best sentences are the answer
//! (`extractive`). An answer says which of these it is.

pub mod citations;
pub mod evidence;
pub mod extractive;
mod links;
pub mod model;
pub mod passages;
pub mod prompt;
pub mod strength;

use std::time::Duration;

use anyhow::Result;

pub use citations::Checked;
pub use evidence::{Evidence, Question};
pub use passages::Passage;
pub use prompt::PROMPT_VERSION;

use citations::Checker;
use tokio::sync::watch;

use crate::services::Services;

/// Where the words of an answer come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerMode {
    /// A language model wrote it.
    Model,
    /// Sentences of the sources, since no model was to be asked.
    Extractive,
    /// Sentences of the sources, since the model could not be asked or failed.
    Fallback,
}

impl AnswerMode {
    pub fn code(self) -> &'static str {
        match self {
            AnswerMode::Model => "model",
            AnswerMode::Extractive => "extractive",
            AnswerMode::Fallback => "fallback",
        }
    }
}

/// What a language model was asked for and took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelUse {
    pub model: String,
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// By the configured table; `None`: it has no price there.
    pub cost: Option<f64>,
    pub took: Duration,
}

/// A question answered, or not.
#[derive(Clone, Debug)]
pub struct Answer {
    pub question: String,
    pub text: String,
    /// Whether the sources answer.
    pub found: bool,
    pub mode: AnswerMode,
    /// Why a model that is there did not answer.
    pub fallback_reason: Option<String>,
    /// The model was not let finish.
    pub is_cut_off: bool,
    /// Everything that was looked at, in the order of their numbers.
    pub sources: Vec<Passage>,
    pub checked: Checked,
    /// `None`: no model was asked.
    pub used: Option<ModelUse>,
    pub retrieval: Duration,
}

/// An answer of the sources' own sentences.
pub fn extract(question: &str, evidence: Evidence, reason: Option<String>) -> Answer {
    let mode = match reason {
        None => AnswerMode::Extractive,
        Some(_) => AnswerMode::Fallback,
    };
    let said = extractive::answer(question, &evidence).filter(|_| !evidence.strength.is_thin());
    let Some(said) = said else {
        return not_found(question, evidence, mode, reason);
    };
    // Sentences of strangers may link anywhere, and count their own notes.
    let (text, checked) = checker(&evidence.passages).check(&said);
    Answer {
        question: question.to_owned(),
        text,
        found: true,
        mode,
        fallback_reason: reason,
        is_cut_off: false,
        sources: evidence.passages,
        checked,
        used: None,
        retrieval: evidence.took,
    }
}

/// That the sources do not say.
pub fn not_found(
    question: &str,
    evidence: Evidence,
    mode: AnswerMode,
    reason: Option<String>,
) -> Answer {
    Answer {
        question: question.to_owned(),
        text: not_found_text(question).to_owned(),
        found: false,
        mode,
        fallback_reason: reason,
        is_cut_off: false,
        sources: evidence.passages,
        checked: Checked::default(),
        used: None,
        retrieval: evidence.took,
    }
}

/// In the language of the question, as far as its letters tell.
fn not_found_text(question: &str) -> &'static str {
    let is_arabic = |c: char| ('\u{600}'..='\u{6ff}').contains(&c);
    let letters = question.chars().filter(|c| c.is_alphabetic()).count();
    if question.chars().filter(|c| is_arabic(*c)).count() * 2 > letters {
        return "در منابع شما پاسخی برای این پرسش پیدا نشد.";
    }
    "Not found in your sources."
}

fn checker(passages: &[Passage]) -> Checker {
    Checker::new(passages.iter().map(|passage| passage.url.as_str()))
}

/// Answers from what was found. Pieces of an answer that is being written go to
/// `on_text`; the whole of it may be another, when its writing failed. Ends with
/// an error once `stop` says true.
pub async fn answer(
    services: &Services,
    question: &Question,
    evidence: Evidence,
    on_text: Option<&mut (dyn FnMut(&str) + Send)>,
    stop: Option<watch::Receiver<bool>>,
) -> Result<Answer> {
    match services.language_model().filter(|_| question.asks_model) {
        Some(model) if !evidence.strength.is_hopeless() && !evidence.passages.is_empty() => {
            model::write(services, model, question, evidence, on_text, stop).await
        }
        _ => Ok(extract(&question.text, evidence, None)),
    }
}
