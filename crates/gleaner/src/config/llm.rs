//! The language model, and how frugally it is asked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use llm::{JsonMode, LlmConfig, Protocol, Secret};
use serde::Deserialize;

use super::prices::Prices;

/// Holds secrets: not for logs.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlmSettings {
    pub provider: LlmProvider,
    pub base_url: String,
    pub model: String,
    pub api_key: String,
    pub proxy: String,
    pub ca_file: String,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub json: LlmJson,
    pub context_tokens: u32,
    pub output_tokens_max: u32,
    pub temperature: f32,
    pub calls_max: u32,
    pub requests_per_minute: u32,
    pub tokens_per_minute: u32,
    pub retry_ms: Vec<u64>,
    pub breaker_failures: u32,
    pub breaker_open_s: u64,
    pub prices: Prices,
    pub currency: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LlmProvider {
    Off,
    Openai,
    Gemini,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LlmJson {
    Schema,
    Object,
    Off,
}

/// Waits between attempts, at most; and the longest of them.
const RETRIES_MAX: usize = 10;
const RETRY_MS_MAX: u64 = 600_000;
/// As the store's accounts take them.
const MODEL_BYTES_MAX: usize = 200;

impl fmt::Debug for LlmSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmSettings")
            .field("provider", &self.provider)
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl LlmSettings {
    /// `None` where no language model is configured.
    pub fn client_config(&self) -> Result<Option<LlmConfig>> {
        let (protocol, name, service, variable) = match self.provider {
            LlmProvider::Off => return Ok(None),
            LlmProvider::Openai => (
                Protocol::OpenAi,
                "openai",
                "api.openai.com",
                "OPENAI_API_KEY",
            ),
            LlmProvider::Gemini => (
                Protocol::Gemini,
                "gemini",
                "Google's service",
                "GEMINI_API_KEY",
            ),
        };
        if self.model.trim().is_empty() {
            bail!("llm.provider = \"{name}\" needs llm.model, the name of a model");
        }
        if self.model.len() > MODEL_BYTES_MAX {
            bail!("llm.model is longer than {MODEL_BYTES_MAX} bytes");
        }
        if self.base_url.trim().is_empty() && self.api_key.is_empty() {
            bail!(
                "llm.provider = \"{name}\" without llm.base_url asks {service}, which needs a key: \
                 {variable}, or {variable}_FILE, in the environment"
            );
        }
        self.check_limits()?;
        let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        Ok(Some(LlmConfig {
            api_key: text(&self.api_key).map(Secret::new),
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            timeout: Duration::from_millis(self.timeout_ms),
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            proxy: text(&self.proxy),
            ca_file: text(&self.ca_file).map(PathBuf::from),
            json: match self.json {
                LlmJson::Schema => JsonMode::Schema,
                LlmJson::Object => JsonMode::Object,
                LlmJson::Off => JsonMode::Off,
            },
            ..LlmConfig::new(protocol, self.base_url.as_str(), self.model.trim())
        }))
    }

    fn check_limits(&self) -> Result<()> {
        if self.output_tokens_max == 0 || self.output_tokens_max >= self.context_tokens {
            bail!(
                "llm.output_tokens_max ({}) must be over 0 and below llm.context_tokens ({}), \
                 which has to hold prompt and answer",
                self.output_tokens_max,
                self.context_tokens
            );
        }
        if self.calls_max == 0 {
            bail!("llm.calls_max must be at least 1");
        }
        if self.retry_ms.len() > RETRIES_MAX || self.retry_ms.iter().any(|ms| *ms > RETRY_MS_MAX) {
            bail!("llm.retry_ms takes at most {RETRIES_MAX} waits of at most {RETRY_MS_MAX} ms");
        }
        if !self.temperature.is_finite() {
            bail!("llm.temperature must be a number");
        }
        Ok(())
    }
}
