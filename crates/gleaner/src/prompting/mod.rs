//! Asking the language model, governed: within the tenant's budget, left alone
//! while it keeps failing, never faster than it allows, retried, accounted for.
//!
//! [`LanguageModel::call`] is the one way to it. What is asked and what is made
//! of the answer is up to summaries and answers.

mod accounts;
mod call;
mod limits;
pub mod quoting;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use guard::{BreakerPolicy, BreakerSnapshot, CircuitBreaker, Redis};
use llm::{Client, Finish, LlmError, Prompt, Usage};
use store::{Store, StoreError};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, watch};
use types::TenantId;

use crate::app::{App, UsageError};
use crate::causes;
use crate::config::Prices;
use crate::metrics::Metrics;
use accounts::Accounts;
use call::{Governed, Job, Said};
use limits::Limits;

/// Tokens are estimated for the vocabulary of the bundled embedding model. One
/// made for English alone cuts other languages finer, Persian twice as fine.
const VOCABULARY_MARGIN: f32 = 1.6;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    Summary,
    Answer,
}

impl Purpose {
    /// Stable code, as stored, counted and shown.
    pub fn code(self) -> &'static str {
        match self {
            Purpose::Summary => "summary",
            Purpose::Answer => "answer",
        }
    }
}

/// One call, which may take several requests.
pub struct CallRequest<'a> {
    /// Who pays.
    pub tenant: TenantId,
    pub purpose: Purpose,
    pub prompt: &'a Prompt,
    /// Gets the text as it comes; the answer is then streamed.
    pub on_text: Option<&'a mut (dyn FnMut(&str) + Send)>,
    /// Ends the call, waits included, once it says true.
    pub stop: Option<watch::Receiver<bool>>,
}

/// A call that was answered.
#[derive(Clone, Debug)]
pub struct Called {
    pub text: String,
    /// Estimated where the server says nothing.
    pub usage: Usage,
    pub finish: Finish,
    pub model: String,
    pub took: Duration,
    /// Requests that were sent: 1 and the retries.
    pub attempts: u32,
}

/// Why a call was not answered.
#[derive(Debug)]
pub enum CallError {
    /// The tenant's tokens of today are used up, or would be.
    Budget {
        used: u64,
        max: u64,
    },
    /// The model keeps failing and is not asked for now.
    LeftAlone(guard::Refused),
    Failed(LlmError),
    /// Told to stop, or this process ends.
    Stopped,
    Store(StoreError),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Budget { used, max } => write!(
                f,
                "the tenant's language model tokens of today do not suffice: {used} of {max} are \
                 used or set aside"
            ),
            CallError::LeftAlone(refused) => refused.fmt(f),
            CallError::Failed(error) => error.fmt(f),
            CallError::Stopped => f.write_str("the call was stopped"),
            CallError::Store(error) => error.fmt(f),
        }
    }
}

impl CallError {
    /// For whoever asked. What the server says of itself is the operator's.
    pub fn told(&self) -> String {
        match self {
            CallError::LeftAlone(_) => {
                "the language model kept failing and is left alone for a while".to_owned()
            }
            CallError::Failed(error) => {
                tracing::warn!(error = %causes::chain(error), "the language model failed");
                format!("the language model failed ({})", error.kind().code())
            }
            CallError::Budget { .. } | CallError::Stopped | CallError::Store(_) => self.to_string(),
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CallError::Failed(error) => error.source(),
            CallError::Store(error) => error.source(),
            CallError::Budget { .. } | CallError::LeftAlone(_) | CallError::Stopped => None,
        }
    }
}

/// The configured language model with all that a call goes through; one for all
/// of a process.
pub struct LanguageModel {
    governed: Arc<Governed>,
    context_tokens: usize,
    output_tokens_max: u32,
    temperature: f32,
    prices: Prices,
    currency: String,
    handle: Handle,
    /// Its own: connections belong to the runtime that opened them, and calls
    /// come from threads with and without one.
    runtime: Mutex<Option<Runtime>>,
}

impl fmt::Debug for LanguageModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LanguageModel").field(&self.name()).finish()
    }
}

impl Drop for LanguageModel {
    fn drop(&mut self) {
        let runtime = self
            .runtime
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.take() {
            // Waiting for it is not allowed everywhere where this may be dropped.
            runtime.shutdown_background();
        }
    }
}

impl LanguageModel {
    /// `None` where none is configured.
    pub fn open(
        app: &App,
        store: &Store,
        metrics: &Arc<Metrics>,
        redis: Option<&Redis>,
    ) -> Result<Option<LanguageModel>> {
        let Some(client) = client(app)? else {
            return Ok(None);
        };
        let settings = &app.config.llm;
        let limits =
            Limits::new(settings, &client.describe(), redis.cloned()).map_err(UsageError)?;
        let policy = BreakerPolicy {
            threshold: settings.breaker_failures,
            open_for: Duration::from_secs(settings.breaker_open_s),
        };
        let address = client.describe();
        let breaker = CircuitBreaker::shared("language model", &address, policy, redis.cloned());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("language-model")
            .enable_all()
            .build()
            .context("start the language model's runtime")?;
        let waits = settings.retry_ms.iter().copied();
        Ok(Some(LanguageModel {
            context_tokens: settings.context_tokens as usize,
            output_tokens_max: settings.output_tokens_max,
            temperature: settings.temperature,
            prices: settings.prices.clone(),
            currency: settings.currency.clone(),
            governed: Arc::new(Governed {
                accounts: Accounts::new(store.clone(), client.model()),
                client,
                breaker,
                limits,
                waits: waits.map(Duration::from_millis).collect(),
                metrics: metrics.clone(),
                clock: app.clock.clone(),
            }),
            handle: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
        }))
    }

    /// As configured.
    pub fn name(&self) -> &str {
        self.governed.client.model()
    }

    /// Tokens that a prompt may have beside the answer, as [`chunk::estimate_tokens`]
    /// counts them.
    pub fn prompt_tokens_max(&self) -> usize {
        let beside = self.output_tokens_max as usize;
        let tokens = self.context_tokens.saturating_sub(beside);
        (tokens as f32 / VOCABULARY_MARGIN) as usize
    }

    /// Tokens that one answer may have.
    pub fn output_tokens_max(&self) -> u32 {
        self.output_tokens_max
    }

    /// Summaries that get a turn at a time, over all of them.
    pub fn summaries_max(&self) -> u32 {
        self.governed.limits.summaries_max()
    }

    /// As configured; below 0: the server's own.
    pub fn temperature(&self) -> f32 {
        self.temperature
    }

    pub fn breaker(&self) -> BreakerSnapshot {
        let governed = &self.governed;
        governed.breaker.snapshot(governed.clock.now())
    }

    /// Of so many tokens; `None` where this model has no price.
    pub fn cost(&self, input: u64, output: u64) -> Option<f64> {
        self.prices.cost(self.name(), input, output)
    }

    /// What costs are counted in, such as `USD`.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Counts what had to do without this model, which is there. Holds the thread.
    pub fn note_fallbacks(
        &self,
        tenant: TenantId,
        purpose: Purpose,
        count: u64,
    ) -> Result<(), StoreError> {
        let governed = &self.governed;
        governed.metrics.llm.fell_back(purpose.code(), count);
        governed.accounts.fell_back(tenant, purpose, count)
    }

    /// The same for those who must not hold theirs. That it could not be counted
    /// is no reason not to answer.
    pub async fn note_fallback(&self, tenant: TenantId, purpose: Purpose) {
        let governed = self.governed.clone();
        governed.metrics.llm.fell_back(purpose.code(), 1);
        let noted = self
            .handle
            .spawn_blocking(move || governed.accounts.fell_back(tenant, purpose, 1));
        match noted.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %causes::chain(&error), "a fallback was not counted");
            }
            Err(error) => tracing::error!(%error, "counting a fallback panicked"),
        }
    }

    /// One call, on this model's own runtime: whoever waits may have any, or
    /// none. Dropping the future ends the call; what it used by then is
    /// accounted for all the same.
    pub async fn call(&self, mut request: CallRequest<'_>) -> Result<Called, CallError> {
        // Holds no more than one answer, which the client bounds.
        let (said, mut heard) = mpsc::unbounded_channel();
        let job = Job {
            tenant: request.tenant,
            purpose: request.purpose,
            prompt: request.prompt.clone(),
            streams: request.on_text.is_some(),
            stop: request.stop.take(),
            said,
        };
        self.handle.spawn(self.governed.clone().run(job));
        while let Some(said) = heard.recv().await {
            match said {
                Said::Text(text) => {
                    if let Some(on_text) = &mut request.on_text {
                        on_text(&text);
                    }
                }
                Said::Ended(result) => return result,
            }
        }
        // The runtime ended before the call did.
        Err(CallError::Stopped)
    }

    /// The same for threads that may wait, which have no runtime of their own.
    pub fn call_blocking(&self, request: CallRequest<'_>) -> Result<Called, CallError> {
        self.handle.block_on(self.call(request))
    }
}

/// The configured client; `None` where no language model is configured.
pub fn client(app: &App) -> Result<Option<Client>> {
    let made = || -> Result<Option<Client>> {
        let config = app.config.llm.client_config()?;
        Ok(config.map(Client::new).transpose()?)
    };
    made().map_err(|error| UsageError(format!("{error:#}")).into())
}

/// What no model can be at a loss for: whether it answers at all.
pub fn test_prompt() -> Prompt {
    Prompt {
        system: String::new(),
        user: "Reply with the word: ready".to_owned(),
        // Models that think first need some room for that.
        output_tokens_max: 64,
        temperature: -1.0,
        json: None,
    }
}
