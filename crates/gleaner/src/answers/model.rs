//! An answer that a language model writes from the passages.

use anyhow::Result;
use chunk::estimate_tokens;
use llm::{Finish, Prompt};
use tokio::sync::watch;

use super::citations::Checker;
use super::evidence::{Evidence, Question};
use super::prompt::{self, NOT_FOUND};
use super::{Answer, AnswerMode, ModelUse, checker, extract, not_found};
use crate::prompting::{CallError, CallRequest, Called, LanguageModel, Purpose};
use crate::services::Services;

/// Answers are read off, not made up: this much chance at most.
const TEMPERATURE_MAX: f32 = 0.2;

/// Estimated tokens that `passages` passages may have beside the question.
pub fn room(model: &LanguageModel, question: &str, passages: usize) -> u32 {
    let room = u32::try_from(model.prompt_tokens_max()).unwrap_or(u32::MAX);
    let passages = u32::try_from(passages).unwrap_or(u32::MAX);
    let told = prompt::SOURCE_TOKENS
        .saturating_mul(passages)
        .saturating_add(prompt::RULES_TOKENS)
        .saturating_add(estimate_tokens(question));
    room.saturating_sub(told)
}

/// Asks the model, and falls back on the sources' own sentences where it does
/// not answer. Its text goes to `on_text` as it is written and checked. Ends
/// with an error once `stop` says true.
pub async fn write(
    services: &Services,
    model: &LanguageModel,
    question: &Question,
    evidence: Evidence,
    on_text: Option<&mut (dyn FnMut(&str) + Send)>,
    stop: Option<watch::Receiver<bool>>,
) -> Result<Answer> {
    let told = prompt::build(&question.text, &evidence.passages);
    let prompt = Prompt {
        system: told.system,
        user: told.user,
        // Some paragraphs would do, but models that think first count that in.
        output_tokens_max: model.output_tokens_max(),
        temperature: services.app.config.llm.temperature.min(TEMPERATURE_MAX),
        json: None,
    };
    let mut request = CallRequest {
        tenant: question.tenant,
        purpose: Purpose::Answer,
        prompt: &prompt,
        on_text: None,
        stop,
    };
    let called = match on_text {
        None => model.call(request).await,
        Some(on_text) => {
            let mut showing = Showing {
                on_text,
                opening: Some(String::new()),
                checker: checker(&evidence.passages),
            };
            let mut hear = |piece: &str| showing.hear(piece);
            request.on_text = Some(&mut hear);
            let called = model.call(request).await;
            if called.is_ok() {
                showing.end();
            }
            called
        }
    };
    let answer = match called {
        Ok(called) => judge(model, question, evidence, called),
        Err(error) => extract(&question.text, evidence, Some(reason(error)?)),
    };
    if answer.mode == AnswerMode::Fallback {
        model.note_fallback(question.tenant, Purpose::Answer).await;
    }
    Ok(answer)
}

/// Shows an answer while it is written, once it is known to be one.
struct Showing<'a> {
    on_text: &'a mut (dyn FnMut(&str) + Send),
    /// Its beginning, as long as it may become the word for no answer.
    opening: Option<String>,
    checker: Checker,
}

impl Showing<'_> {
    fn hear(&mut self, piece: &str) {
        let text = match &mut self.opening {
            None => self.checker.push(piece),
            Some(opening) => {
                opening.push_str(piece);
                let begun = opening.trim_start_matches(is_decoration);
                if NOT_FOUND.starts_with(begun) || begun.starts_with(NOT_FOUND) {
                    return;
                }
                let opening = self.opening.take().unwrap_or_default();
                self.checker.push(&opening)
            }
        };
        if !text.is_empty() {
            (self.on_text)(&text);
        }
    }

    /// What was held back until it was known to be no citation or link.
    fn end(self) {
        let (rest, _) = self.checker.finish();
        if self.opening.is_none() && !rest.is_empty() {
            (self.on_text)(&rest);
        }
    }
}

/// What models put around a word they were told to say.
fn is_decoration(c: char) -> bool {
    c.is_whitespace() || matches!(c, '*' | '`' | '"' | '\'' | '[')
}

/// What is made of a model's answer.
fn judge(model: &LanguageModel, question: &Question, evidence: Evidence, called: Called) -> Answer {
    let used = ModelUse {
        cost: model.cost(called.usage.input, called.usage.output),
        model: called.model,
        tokens_in: called.usage.input,
        tokens_out: called.usage.output,
        took: called.took,
    };
    let (text, checked) = checker(&evidence.passages).check(called.text.trim());
    let refuses = text
        .trim_start_matches(is_decoration)
        .starts_with(NOT_FOUND);
    let mut answer = if refuses || (text.contains(NOT_FOUND) && checked.citations.is_empty()) {
        not_found(&question.text, evidence, AnswerMode::Model, None)
    } else if text.trim().is_empty() {
        let reason = "the language model gave no answer".to_owned();
        extract(&question.text, evidence, Some(reason))
    } else if checked.citations.is_empty() {
        // Then nothing says that it comes from the sources.
        let reason = "the language model's answer cited none of the sources".to_owned();
        extract(&question.text, evidence, Some(reason))
    } else {
        Answer {
            question: question.text.clone(),
            text: text.replace(NOT_FOUND, "").trim().to_owned(),
            found: true,
            mode: AnswerMode::Model,
            fallback_reason: None,
            is_cut_off: called.finish == Finish::Length,
            sources: evidence.passages,
            checked,
            used: None,
            retrieval: evidence.took,
        }
    };
    answer.used = Some(used);
    answer
}

/// Why the sources' own sentences stand in. What is the caller's or this
/// process's doing is an error instead.
fn reason(error: CallError) -> Result<String> {
    match error {
        CallError::Store(error) => Err(error.into()),
        error @ CallError::Stopped => Err(error.into()),
        error => Ok(error.told()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_shown(pieces: &[&str], expected: &str) {
        let mut shown = String::new();
        let mut on_text = |text: &str| shown.push_str(text);
        let mut showing = Showing {
            on_text: &mut on_text,
            opening: Some(String::new()),
            checker: Checker::new(["https://example.org/"]),
        };
        for piece in pieces {
            showing.hear(piece);
        }
        showing.end();
        assert_eq!(shown, expected);
    }

    #[test]
    fn that_nothing_is_found_is_not_shown_as_an_answer() {
        check_shown(&["NOT_FOUND_IN_SOURCES"], "");
        check_shown(
            &[" **NOT_", "FOUND_IN", "_SOURCES** but ", "I think so."],
            "",
        );
        check_shown(&["NOT", " so: it is [1] "], "NOT so: it is [1]");
        check_shown(&["", "Nine ", "[1][2] ", "then"], "Nine [1] then");
    }
}
