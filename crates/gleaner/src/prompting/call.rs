//! One call from its budget to its accounts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chunk::estimate_tokens;
use guard::{BreakerState, CircuitBreaker};
use llm::{Client, LlmError, LlmErrorKind, Prompt, Reply, Usage};
use tokio::sync::{mpsc, watch};
use tokio::task::block_in_place;
use types::{Clock, TenantId};

use super::accounts::{Accounts, Spent};
use super::limits::Limits;
use super::{CallError, Called, Purpose};
use crate::metrics::Metrics;

/// A `Retry-After` is honoured up to this long; past it the call has failed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Tokens are set aside for at most so long: a killed process must not hold a
/// tenant's budget for hours. A call that takes longer is settled all the same.
const RESERVED_FOR: Duration = Duration::from_secs(900);
/// What a chat's own signs around system and user take, at most.
const FRAME_TOKENS: u64 = 16;

/// What calls go through.
pub(super) struct Governed {
    pub(super) client: Client,
    pub(super) accounts: Accounts,
    pub(super) breaker: CircuitBreaker,
    pub(super) limits: Limits,
    /// Before each further attempt.
    pub(super) waits: Vec<Duration>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
}

pub(super) struct Job {
    pub(super) tenant: TenantId,
    pub(super) purpose: Purpose,
    pub(super) prompt: Prompt,
    pub(super) streams: bool,
    pub(super) stop: Option<watch::Receiver<bool>>,
    pub(super) said: mpsc::UnboundedSender<Said>,
}

/// To whoever waits for the call.
pub(super) enum Said {
    Text(String),
    Ended(Result<Called, CallError>),
}

/// How attempts ended.
enum Tried {
    Answered(Reply),
    /// By the model or on the way to it.
    Failed(LlmError),
    /// By limits of this side: nothing was learnt of the model.
    HeldBack(LlmError),
}

/// What is known of a call while it is under way.
#[derive(Default)]
struct Progress {
    attempts: u32,
    /// Some attempt is under way: sent, and not ended.
    is_sent: bool,
    /// Of the attempt under way, or of the last.
    streamed: String,
}

impl Governed {
    /// Runs to its end, whoever waits for it: what was sent is accounted for.
    pub(super) async fn run(self: Arc<Governed>, job: Job) {
        let llm = &self.metrics.llm;
        llm.under_way.inc();
        let result = self.call(&job).await;
        llm.under_way.dec();
        let outcome = match &result {
            Ok(_) => "succeeded",
            Err(CallError::Budget { .. }) => "over_budget",
            Err(CallError::LeftAlone(_)) => "left_alone",
            Err(CallError::Stopped) => "stopped",
            Err(CallError::Failed(_) | CallError::Store(_)) => "failed",
        };
        llm.called(job.purpose.code(), outcome);
        // Whoever has gone away wants no answer.
        let _ = job.said.send(Said::Ended(result));
    }

    async fn call(&self, job: &Job) -> Result<Called, CallError> {
        if job.is_told_to_stop() {
            return Err(CallError::Stopped);
        }
        let begun = Instant::now();
        let input = estimated_input(&job.prompt);
        let tokens = input + u64::from(job.prompt.output_tokens_max);
        // Before tokens are set aside, which is a write: an open breaker is
        // found by every page of a backlog.
        let (permit, is_probe) = block_in_place(|| {
            let now = self.clock.now();
            let is_probe = self.breaker.snapshot(now).state == BreakerState::HalfOpen;
            let permit = self.breaker.try_acquire(now);
            permit.map(|permit| (permit, is_probe))
        })
        .map_err(CallError::LeftAlone)?;
        let reserve = || self.accounts.reserve(job.tenant, tokens, RESERVED_FOR);
        let reservation = block_in_place(reserve)?;

        let mut progress = Progress::default();
        let tried = tokio::select! {
            biased;
            () = job.until_given_up() => None,
            tried = self.attempts(job, is_probe, tokens, &mut progress) => Some(tried),
        };
        block_in_place(|| match &tried {
            Some(Tried::Answered(_)) => permit.success(),
            Some(Tried::Failed(error)) if speaks_against_it(error) => {
                permit.failure(self.clock.now());
            }
            Some(Tried::Failed(_)) => permit.success(),
            Some(Tried::HeldBack(_)) | None => drop(permit),
        });

        let took = begun.elapsed();
        let usage = match &tried {
            Some(Tried::Answered(reply)) => reply.usage.unwrap_or_else(|| Usage {
                input,
                output: u64::from(estimate_tokens(&reply.text)),
            }),
            // What came of it was written, and will be on the bill.
            _ if progress.is_sent || !progress.streamed.is_empty() => Usage {
                input,
                output: u64::from(estimate_tokens(&progress.streamed)),
            },
            _ => Usage::default(),
        };
        let spent = Spent {
            attempts: progress.attempts,
            succeeded: matches!(tried, Some(Tried::Answered(_))),
            failed: matches!(tried, Some(Tried::Failed(_))),
            tokens_in: usage.input,
            tokens_out: usage.output,
            took,
        };
        let (code, llm) = (job.purpose.code(), &self.metrics.llm);
        llm.paid(code, usage.input, usage.output);
        if progress.attempts > 0 {
            llm.took(code, took);
        }
        let settle = || self.accounts.settle(reservation, job.purpose, &spent);
        block_in_place(settle).map_err(CallError::Store)?;
        match tried {
            None => Err(CallError::Stopped),
            Some(Tried::Failed(error) | Tried::HeldBack(error)) => Err(CallError::Failed(error)),
            Some(Tried::Answered(reply)) => Ok(Called {
                text: reply.text,
                usage,
                finish: reply.finish,
                model: reply.model,
                took,
                attempts: progress.attempts,
            }),
        }
    }

    async fn attempts(
        &self,
        job: &Job,
        is_probe: bool,
        tokens: u64,
        progress: &mut Progress,
    ) -> Tried {
        let (code, llm) = (job.purpose.code(), &self.metrics.llm);
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let mut waits = self.waits.iter();
        loop {
            let waits_from = Instant::now();
            // The turn first: what has passed the buckets is sent at once, so that
            // no minute sees more of them than it may.
            let passed = match self.limits.turn(job.purpose).await {
                Ok(turn) => {
                    let passing = self.limits.pass(tokens, self.clock.as_ref());
                    turn.hold(passing).await.map(|()| turn)
                }
                Err(error) => Err(error),
            };
            llm.waited(waits_from.elapsed());
            let turn = match passed {
                Ok(turn) => turn,
                Err(error) => return Tried::HeldBack(error),
            };
            progress.attempts += 1;
            progress.is_sent = true;
            let attempt = self.attempt(job, &mut progress.streamed);
            let answered = turn.hold(attempt).await;
            // Others may ask during the pause before the next attempt.
            drop(turn);
            progress.is_sent = false;
            let outcome = match &answered {
                Ok(_) => "ok",
                Err(error) => error.kind().code(),
            };
            llm.attempted(code, outcome);
            let error = match answered {
                Ok(reply) => return Tried::Answered(reply),
                Err(error) => error,
            };
            // Who has heard half an answer must not hear another one after it.
            let is_final = is_probe || !progress.streamed.is_empty() || !error.is_temporary();
            let Some(wait) = waits.next().filter(|_| !is_final) else {
                return Tried::Failed(error);
            };
            let wait = match error.retry_after() {
                Some(asked) if asked > RETRY_AFTER_MAX => return Tried::Failed(error),
                Some(asked) => asked + jitter(*wait),
                None => *wait + jitter(*wait),
            };
            tracing::debug!(
                error = %error,
                wait_ms = wait.as_millis() as u64,
                "asking the language model again"
            );
            tokio::time::sleep(wait).await;
            llm.retried(code);
        }
    }

    async fn attempt(&self, job: &Job, streamed: &mut String) -> Result<Reply, LlmError> {
        if !job.streams {
            return self.client.complete(&job.prompt).await;
        }
        let mut on_text = |text: &str| {
            streamed.push_str(text);
            // Whoever has gone away is noticed by the call.
            let _ = job.said.send(Said::Text(text.to_owned()));
        };
        self.client.stream(&job.prompt, &mut on_text).await
    }
}

impl Job {
    fn is_told_to_stop(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| *stop.borrow())
    }

    /// Ends when the call is to: told to stop, or nobody waits any more.
    async fn until_given_up(&self) {
        let stopped = async {
            let Some(mut stop) = self.stop.clone() else {
                return std::future::pending().await;
            };
            if stop.wait_for(|stop| *stop).await.is_err() {
                // Whoever could say so is gone, and has not.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = stopped => {}
            () = self.said.closed() => {}
        }
    }
}

fn estimated_input(prompt: &Prompt) -> u64 {
    let texts = [prompt.system.as_str(), prompt.user.as_str()];
    let tokens = texts.map(|text| u64::from(estimate_tokens(text)));
    tokens.iter().sum::<u64>() + FRAME_TOKENS
}

/// A prompt that is refused says nothing against the model; a wrong key does,
/// since every call would end the same.
fn speaks_against_it(error: &LlmError) -> bool {
    !matches!(error.kind(), LlmErrorKind::Refused | LlmErrorKind::TooLong)
}

/// Up to half of a wait, so that those who failed together do not come back together.
fn jitter(wait: Duration) -> Duration {
    // Without random bits the wait is as it is, which is still long enough.
    let random = crate::random::bytes::<4>().map_or(0, u32::from_le_bytes);
    wait.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}
