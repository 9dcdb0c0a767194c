//! Asking the embedder, and leaving an endpoint alone that keeps failing.

use std::time::Duration;

use anyhow::Result;
use embed::{EmbedError, EmbedErrorKind, Embedder};
use guard::CircuitBreaker;
use types::{Clock, Timestamp};

/// How long the backlog waits after a failure that opened no breaker.
const PAUSE: Duration = Duration::from_secs(5);
/// A text that no endpoint can be at a loss for: whether it answers at all.
const CHECK_TEXT: &str = "check";

/// An embedder and, of an endpoint, its breaker.
pub struct Embedding<'a> {
    pub embedder: &'a Embedder,
    /// Shared by searches and backlog; the model in this process needs none.
    pub breaker: Option<&'a CircuitBreaker>,
    pub clock: &'a dyn Clock,
}

/// What came of a number of passages, in their order.
#[derive(Debug, Default)]
pub struct Passages {
    /// `None`: the endpoint is down, which says nothing of the text.
    pub answers: Vec<Option<Result<Vec<f32>, EmbedError>>>,
    /// When to ask again for those without an answer.
    pub retry_at: Option<Timestamp>,
}

enum Health {
    Up,
    Down,
    /// The embedder was stopped.
    Unknown,
}

impl Embedding<'_> {
    /// A query's vector. Refused at once while the endpoint is left alone.
    pub fn query(&self, text: &str) -> Result<Vec<f32>> {
        let Some(breaker) = self.breaker else {
            return Ok(self.embedder.embed_query(text)?);
        };
        let permit = breaker.try_acquire(self.clock.now())?;
        match self.embedder.embed_query(text) {
            Ok(vector) => {
                permit.success();
                Ok(vector)
            }
            Err(error) => {
                if is_outage(&error) {
                    permit.failure(self.clock.now());
                }
                Err(error.into())
            }
        }
    }

    /// Vectors of passages. Where the endpoint fails although another text
    /// would be answered, the texts are to blame; otherwise it is down, and
    /// they wait.
    pub fn passages(&self, texts: Vec<String>) -> Passages {
        let Some(breaker) = self.breaker.filter(|_| !texts.is_empty()) else {
            let answers = self.embedder.embed_passages(texts);
            return Passages {
                answers: answers.into_iter().map(Some).collect(),
                retry_at: None,
            };
        };
        let count = texts.len();
        let is_in_doubt = breaker.snapshot(self.clock.now()).failures > 0;
        let permit = match breaker.try_acquire(self.clock.now()) {
            Ok(permit) => permit,
            Err(refused) => return self.put_off(unanswered(count), refused.retry_at),
        };
        // One text instead of many requests that may each run into a timeout.
        let answers = match is_in_doubt.then(|| self.check()) {
            Some(Health::Down) => unanswered(count),
            Some(Health::Unknown) => return self.put_off(unanswered(count), None),
            Some(Health::Up) | None => {
                let answers = self.embedder.embed_passages(texts).into_iter();
                let answers: Vec<_> = answers.map(Some).collect();
                let failed = answers.iter().flatten().filter_map(|a| a.as_ref().err());
                if !failed.clone().any(is_outage) {
                    // Whoever was stopped has learnt nothing about the endpoint.
                    if !failed.clone().any(is_stop) {
                        permit.success();
                    }
                    return Passages {
                        answers,
                        retry_at: None,
                    };
                }
                match self.check() {
                    Health::Up => {
                        permit.success();
                        return Passages {
                            answers,
                            retry_at: None,
                        };
                    }
                    Health::Unknown => return self.put_off(unanswered(count), None),
                    Health::Down => {}
                }
                let keep = |answer: &Result<_, EmbedError>| !answer.as_ref().is_err_and(is_outage);
                answers.into_iter().map(|a| a.filter(keep)).collect()
            }
        };
        let now = self.clock.now();
        permit.failure(now);
        self.put_off(answers, breaker.snapshot(now).retry_at)
    }

    fn put_off(
        &self,
        answers: Vec<Option<Result<Vec<f32>, EmbedError>>>,
        retry_at: Option<Timestamp>,
    ) -> Passages {
        Passages {
            answers,
            retry_at: Some(retry_at.unwrap_or_else(|| self.clock.now().plus(PAUSE))),
        }
    }

    fn check(&self) -> Health {
        let answer = self.embedder.embed_passages(vec![CHECK_TEXT.to_owned()]);
        match answer.into_iter().next() {
            Some(Err(error)) if is_outage(&error) => Health::Down,
            Some(Err(error)) if is_stop(&error) => Health::Unknown,
            _ => Health::Up,
        }
    }
}

fn unanswered(count: usize) -> Vec<Option<Result<Vec<f32>, EmbedError>>> {
    std::iter::repeat_with(|| None).take(count).collect()
}

fn is_outage(error: &EmbedError) -> bool {
    [EmbedErrorKind::Unavailable, EmbedErrorKind::BadResponse].contains(&error.kind())
}

fn is_stop(error: &EmbedError) -> bool {
    error.kind() == EmbedErrorKind::Stopped
}
