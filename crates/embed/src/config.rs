//! What an embedder is made of, as the application's configuration says.

use std::path::PathBuf;
use std::time::Duration;

use types::Secret;

/// How to embed.
#[derive(Clone, Debug)]
pub struct EmbedConfig {
    pub provider: ProviderConfig,
    /// Threads that embed passages; 0 means one. An endpoint uses one.
    pub threads: usize,
    /// Tokens per forward pass at most; 0 means the default. Decides the memory
    /// of each thread: about 9 kB per token.
    pub batch_tokens_max: usize,
    /// Batches waiting at most, for passages and for queries; 0 means the
    /// default. When full, passages wait and queries are refused.
    pub queue_max: usize,
}

impl EmbedConfig {
    pub const BATCH_TOKENS_MAX: usize = 2048;
    pub const QUEUE_MAX: usize = 64;

    /// One thread and the default limits.
    #[must_use]
    pub fn new(provider: ProviderConfig) -> EmbedConfig {
        EmbedConfig {
            provider,
            threads: 1,
            batch_tokens_max: EmbedConfig::BATCH_TOKENS_MAX,
            queue_max: EmbedConfig::QUEUE_MAX,
        }
    }
}

impl Default for EmbedConfig {
    /// The bundled model.
    fn default() -> EmbedConfig {
        EmbedConfig::new(ProviderConfig::Local {
            model_path: None,
            f32: false,
        })
    }
}

/// Where vectors come from.
#[derive(Clone, Debug)]
pub enum ProviderConfig {
    Local {
        /// A model file; `None` means the bundled one.
        model_path: Option<PathBuf>,
        /// Plain f32 arithmetic, slow: for checking.
        f32: bool,
    },
    Http(HttpConfig),
    /// Deterministic vectors made of word hashes. They know nothing of meaning
    /// and are for tests only.
    Hash {
        dims: usize,
    },
}

/// An OpenAI-compatible endpoint.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// With or without `/v1` at the end.
    pub base_url: String,
    pub model: String,
    pub api_key: Option<Secret>,
    /// Dimensions to ask for and to insist on; `None` takes those of the first answer.
    pub dims: Option<usize>,
    /// Texts per request at most.
    pub batch_max: usize,
    /// Of one request, connecting and reading included.
    pub timeout: Duration,
    /// Tries after the first, for 429, 5xx and failed connections.
    pub retries: u32,
    /// Wait before the first retry; doubles with each, with jitter. `Retry-After` wins.
    pub retry_delay: Duration,
    pub query_prefix: String,
    pub passage_prefix: String,
}

impl HttpConfig {
    /// Batches of 32, 30 s, three retries after 2, 4 and 8 s, no prefixes.
    #[must_use]
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> HttpConfig {
        HttpConfig {
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            dims: None,
            batch_max: 32,
            timeout: Duration::from_secs(30),
            retries: 3,
            retry_delay: Duration::from_secs(2),
            query_prefix: String::new(),
            passage_prefix: String::new(),
        }
    }
}
