//! Configuration: one struct per concern, parsed once, passed down.
//!
//! `config/default.toml` is compiled in and lists every key with its unit and
//! default; [`load()`] lays the user's file, the environment and the command
//! line over it and remembers where each value came from.

mod environment;
mod llm;
mod load;
mod prices;

use std::path::PathBuf;
use std::time::Duration;

use archive::ArchiveConfig;

use serde::Deserialize;

pub use llm::{LlmProvider, LlmSettings};
pub use load::{Loaded, Override, load};
pub use prices::Prices;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub data_dir: PathBuf,
    pub log: LogConfig,
    pub crawl: CrawlConfig,
    pub fetch: FetchSettings,
    pub extract: ExtractConfig,
    pub chunk: ChunkSettings,
    pub embed: EmbedSettings,
    pub llm: LlmSettings,
    pub store: StoreConfig,
    pub archive: ArchiveSettings,
    pub index: IndexConfig,
    pub search: SearchConfig,
    pub answers: AnswersConfig,
    pub worker: WorkerConfig,
    pub scheduler: SchedulerConfig,
    pub webhooks: WebhookConfig,
    pub events: EventsConfig,
    pub redis: RedisConfig,
    pub api: ApiConfig,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrawlConfig {
    pub scope: String,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub depth_max: u32,
    pub pages_max: u64,
    pub concurrency: u32,
    pub concurrency_per_host: u32,
    pub delay_ms: u64,
    pub crawl_delay_max_ms: u64,
    pub loopback_concurrency_per_host: u32,
    pub loopback_delay_ms: u64,
    pub robots: bool,
    pub robots_ttl_hours: u64,
    pub sitemaps: bool,
    pub feeds: bool,
    pub follow_nofollow: bool,
    pub strip_params: Vec<String>,
    pub sort_query: bool,
    pub attempts_max: u32,
    pub retry_base_ms: u64,
    pub breaker_failures: u32,
    pub breaker_open_s: u64,
    pub breaker_wait_max_s: u64,
    pub pipeline_pages_max: usize,
    pub pipeline_bytes_max: u64,
    pub batch_pages: usize,
    pub cpu_threads: usize,
    pub redirects_max: u8,
    pub summarize: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchSettings {
    pub contact_url: String,
    pub user_agent: String,
    pub connect_timeout_ms: u64,
    pub read_timeout_ms: u64,
    pub total_timeout_ms: u64,
    pub body_bytes_max: u64,
    pub wire_bytes_max: u64,
    pub header_bytes_max: usize,
    pub url_bytes_max: usize,
    pub allow_private: Vec<String>,
    pub proxy: String,
    pub ca_file: String,
    pub http2: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtractConfig {
    pub links_max: usize,
    pub text_bytes_max: usize,
    pub pdf: bool,
    pub pdf_timeout_s: u64,
    pub pdf_memory_mb: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkSettings {
    pub tokens_max: u32,
    pub tokens_overlap: u32,
    pub tokens_min: u32,
    pub tldr_words_max: usize,
    pub keywords_max: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedSettings {
    pub provider: EmbedProvider,
    pub model_path: String,
    pub threads: usize,
    pub batch_tokens_max: usize,
    pub base_url: String,
    pub model: String,
    pub api_key: String,
    pub dims: usize,
    pub batch_max: usize,
    pub timeout_ms: u64,
    pub query_prefix: String,
    pub passage_prefix: String,
    pub breaker_failures: u32,
    pub breaker_open_s: u64,
    pub cache_days: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbedProvider {
    Local,
    Http,
    Off,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    pub database_url: String,
    pub shards: Vec<String>,
    pub direct_urls: Vec<String>,
    pub ca_file: String,
    pub connections: usize,
    pub connections_max: usize,
    pub prepared_statements: bool,
    pub server_wait_s: u64,
    pub read_wait_s: u64,
    pub statement_timeout_s: u64,
    pub poll_ms: u64,
    pub synchronous: Durability,
    pub cache_mb: u32,
    pub mmap_mb: u32,
    pub readers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    Full,
    Normal,
}

/// Holds secrets: not for logs.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveSettings {
    pub url: String,
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub ca_file: String,
    pub timeout_ms: u64,
}

impl std::fmt::Debug for ArchiveSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveSettings")
            .field("url", &self.url)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// `None` where no raw copies are kept.
    pub fn archive_settings(&self) -> Option<ArchiveConfig> {
        let settings = &self.archive;
        (!settings.url.is_empty()).then(|| ArchiveConfig {
            url: settings.url.clone(),
            endpoint: settings.endpoint.clone(),
            region: settings.region.clone(),
            access_key_id: settings.access_key_id.clone(),
            secret_access_key: settings.secret_access_key.clone(),
            session_token: settings.session_token.clone(),
            ca_file: (!settings.ca_file.is_empty()).then(|| PathBuf::from(&settings.ca_file)),
            timeout: Duration::from_millis(settings.timeout_ms),
            synchronous: self.store.synchronous == Durability::Full,
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexConfig {
    pub heap_mb: usize,
    pub commit_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    pub mode: String,
    pub limit: usize,
    pub keyword: KeywordSearch,
    pub vectors: SearchEngine,
    pub opensearch: OpensearchSettings,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswersConfig {
    pub passages: usize,
    pub passage_tokens: u32,
}

/// What finds words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeywordSearch {
    /// An index on each machine.
    #[default]
    Local,
    /// With the store, on its servers.
    Postgres,
    /// A cluster of its own.
    Opensearch,
}

/// URLs may hold a password, like the keys beside them: not for logs.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpensearchSettings {
    pub urls: Vec<String>,
    pub prefix: String,
    pub username: String,
    pub password: String,
    pub api_key: String,
    pub ca_file: String,
    pub timeout_ms: u64,
    pub retry_s: u64,
    pub shards: u32,
}

impl std::fmt::Debug for OpensearchSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpensearchSettings")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Where vectors lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchEngine {
    /// On each machine.
    #[default]
    Local,
    /// With the store, on its servers.
    Postgres,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    pub queues: Vec<String>,
    pub slots_max: usize,
    pub slots_min: usize,
    pub cpu_max: f64,
    pub memory_mb: u64,
    pub grace_s: u64,
    pub autoscale_drain_s: u64,
    pub autoscale_window_s: u64,
    pub autoscale_min: u64,
    pub autoscale_max: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerConfig {
    pub check_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    pub retry_s: Vec<u64>,
    pub timeout_ms: u64,
    pub keep_days: u64,
}

/// `url` may hold a password: not for logs.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    pub url: String,
    pub sentinels: Vec<String>,
    pub master: String,
    pub prefix: String,
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("sentinels", &self.sentinels)
            .field("master", &self.master)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsConfig {
    pub nats_url: String,
    pub nats_credentials_file: String,
    pub nats_token: String,
    pub nats_user: String,
    pub nats_password: String,
    pub nats_ca_file: String,
    pub stream: String,
    pub subject: String,
    pub max_days: u64,
    pub max_mb: u64,
    pub replicas: usize,
    pub duplicates_s: u64,
    pub timeout_ms: u64,
    pub retry_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    pub listen: std::net::SocketAddr,
    pub body_bytes_max: usize,
    pub bulk_bytes_max: u64,
    pub requests_max: usize,
    pub threads: usize,
    pub timeout_s: u64,
    pub drain_s: u64,
    pub grace_s: u64,
    pub streams_max: usize,
    pub rate_requests: u32,
    pub rate_per_s: u64,
    pub request_log_mb: u64,
    pub cache_ttl_s: u64,
    pub cache_memory_mb: u64,
    pub cache_disk_mb: u64,
    pub cors_origins: Vec<String>,
}
