//! Wires configuration to the crates: the one place that knows them all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use embed::{EmbedConfig, Embedder, HttpConfig, ProviderConfig, Secret};
use fetch::{AddressGuard, FetchConfig, Fetcher};
use guard::{CacheOptions, Redis, RedisOptions};
use search::engine::{KeywordEngine, VectorReader};
use search::{
    LocalKeywords, LocalVectors, OpensearchConfig, OpensearchKeywords, PostgresKeywords,
    PostgresVectors, Searcher,
};
use store::{Access, DirectUrls, Store, StoreOptions, Synchronous};
use types::{CanonicalUrl, Clock, SystemClock, TenantId};

use crate::config::{Config, Durability, EmbedProvider, KeywordSearch, SearchEngine};
use crate::pipeline::index::IndexPlan;
use crate::raw::RawStore;

/// Commands waiting for the store's writer.
const WRITER_QUEUE_MAX: usize = 256;
/// Texts waiting for the embedder.
const EMBED_QUEUE_MAX: usize = 64;
/// What the first connection to Redis may take of a process's start.
const REDIS_WAIT_MAX: Duration = Duration::from_millis(500);

/// The name that `embed::install` gives to the file.
const INSTALLED_MODEL: &str = "multilingual-e5-small.bin";

/// Everything a command starts from.
#[derive(Clone)]
pub struct App {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub tenant: TenantId,
    pub json: bool,
    /// `--data-dir` was typed, so that hints repeat it.
    pub data_dir_given: bool,
}

impl App {
    pub fn new(config: Config, json: bool, data_dir_given: bool) -> App {
        App {
            config,
            clock: Arc::new(SystemClock),
            tenant: TenantId::DEFAULT,
            json,
            data_dir_given,
        }
    }

    pub fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    /// Where what is derived from the store's database lies. A server's
    /// databases have folders of their own.
    fn derived_dir(&self, store: &Store) -> PathBuf {
        match store.database_id() {
            Some(id) => self.data_dir().join(format!("database-{id}")),
            None => self.data_dir().to_owned(),
        }
    }

    pub fn index_dir(&self, store: &Store) -> PathBuf {
        self.derived_dir(store).join("index")
    }

    /// Where searches find words.
    pub fn keyword_engine(&self, store: &Store) -> Result<Arc<dyn KeywordEngine>> {
        Ok(match self.config.search.keyword {
            KeywordSearch::Postgres => Arc::new(PostgresKeywords::new(store.clone())),
            KeywordSearch::Opensearch => Arc::new(self.opensearch(store)?),
            KeywordSearch::Local => {
                let heap_bytes = self.config.index.heap_mb * 1024 * 1024;
                Arc::new(LocalKeywords::new(self.index_dir(store)).with_heap(heap_bytes))
            }
        })
    }

    /// The configured cluster. Each database has indexes of its own there.
    pub fn opensearch(&self, store: &Store) -> Result<OpensearchKeywords> {
        let prefix = &self.config.search.opensearch.prefix;
        let (prefix, owner) = match store.database_id() {
            Some(id) => (format!("{prefix}-{id}"), id.to_owned()),
            None => (prefix.clone(), self.folder_name()?),
        };
        Ok(self.opensearch_of(prefix, owner))
    }

    /// The configured cluster, whichever database it is asked for.
    pub fn opensearch_cluster(&self) -> OpensearchKeywords {
        let prefix = self.config.search.opensearch.prefix.clone();
        self.opensearch_of(prefix, String::new())
    }

    fn opensearch_of(&self, prefix: String, owner: String) -> OpensearchKeywords {
        let settings = &self.config.search.opensearch;
        let config = OpensearchConfig {
            urls: settings.urls.clone(),
            prefix,
            owner,
            username: settings.username.clone(),
            password: settings.password.clone(),
            api_key: settings.api_key.clone(),
            ca_file: (!settings.ca_file.is_empty()).then(|| PathBuf::from(&settings.ca_file)),
            timeout: Duration::from_millis(settings.timeout_ms.max(1)),
            retry_for: Duration::from_secs(settings.retry_s),
            shards: settings.shards.max(1),
        };
        OpensearchKeywords::new(config, self.clock.clone())
    }

    /// What tells this data folder from all others, wherever it is moved: made
    /// up when it is first asked for.
    fn folder_name(&self) -> Result<String> {
        let path = self.data_dir().join("opensearch-owner");
        let read = || std::fs::read_to_string(&path).map(|text| text.trim().to_owned());
        match read() {
            Ok(name) if !name.is_empty() => return Ok(name),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("read {}", path.display()));
            }
            _ => {}
        }
        let name = crate::keys::random_name()?;
        let temporary = self.data_dir().join(format!("opensearch-owner.{name}"));
        std::fs::write(&temporary, &name)
            .with_context(|| format!("write {}", temporary.display()))?;
        // Of two that make one up at once the first one's holds.
        let linked = std::fs::hard_link(&temporary, &path);
        std::fs::remove_file(&temporary).context("remove a temporary file")?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(error).with_context(|| format!("write {}", path.display()))
            }
            _ => read().with_context(|| format!("read {}", path.display())),
        }
    }

    /// Opens what searches ask, with the vectors of `model` (`None`: by words only).
    pub fn open_searcher(&self, store: &Store, model: Option<&str>) -> Result<Searcher> {
        let keyword = self.keyword_engine(store)?.open()?;
        let vectors: Option<Box<dyn VectorReader>> = match model {
            Some(model) => Some(match self.config.search.vectors {
                SearchEngine::Local => Box::new(LocalVectors::load(store.clone(), model)?),
                SearchEngine::Postgres => Box::new(PostgresVectors::open(store.clone(), model)?),
            }),
            None => None,
        };
        Ok(Searcher::new(store.clone(), keyword, vectors))
    }

    pub fn index_plan(&self, store: &Store) -> Result<IndexPlan> {
        Ok(IndexPlan {
            engine: self.keyword_engine(store)?,
            follows_vectors: self.config.search.vectors == SearchEngine::Postgres,
            // What lies elsewhere may be lost there.
            checks: self.config.search.keyword == KeywordSearch::Opensearch,
            commit_every: Duration::from_millis(self.config.index.commit_ms),
            look_every: self.poll_every(),
        })
    }

    /// How often it is looked for commits of other processes.
    pub fn poll_every(&self) -> Duration {
        Duration::from_millis(self.config.store.poll_ms.max(1))
    }

    /// Uses one server's database, and searches by the tables there.
    pub fn search_on_server(&mut self, url: &str) {
        url.clone_into(&mut self.config.store.database_url);
        self.config.store.shards = Vec::new();
        self.config.store.direct_urls = Vec::new();
        self.config.search.keyword = KeywordSearch::Postgres;
        self.config.search.vectors = SearchEngine::Postgres;
    }

    /// Searches by a cluster, in an index of this name there.
    pub fn search_on_cluster(&mut self, url: &str, prefix: String) {
        self.config.search.keyword = KeywordSearch::Opensearch;
        self.config.search.opensearch.urls = vec![url.to_owned()];
        self.config.search.opensearch.prefix = prefix;
    }

    /// Uses the data folder, whatever server is configured: for what must not
    /// mix with what is stored there.
    pub fn stay_embedded(&mut self) {
        self.config.store.database_url = String::new();
        self.config.store.shards = Vec::new();
        self.config.store.direct_urls = Vec::new();
        self.config.search.keyword = KeywordSearch::Local;
        self.config.search.vectors = SearchEngine::Local;
        // Its objects would be known to nobody once the folder is gone.
        self.config.archive.url = String::new();
    }

    /// How the configuration wants an embedded database, or a server's, opened.
    pub fn store_options(&self, is_embedded: bool) -> StoreOptions {
        let settings = &self.config.store;
        StoreOptions {
            synchronous: match settings.synchronous {
                Durability::Full => Synchronous::Full,
                Durability::Normal => Synchronous::Normal,
            },
            cache_mb: settings.cache_mb,
            mmap_mb: settings.mmap_mb,
            readers: if is_embedded {
                settings.readers
            } else {
                settings.connections_max
            },
            readers_kept: if is_embedded {
                settings.readers
            } else {
                settings.connections
            },
            writer_queue_max: WRITER_QUEUE_MAX,
            prepared_statements: settings.prepared_statements,
            server_wait: Duration::from_secs(settings.server_wait_s),
            read_wait: Duration::from_secs(settings.read_wait_s),
            statement_timeout: Duration::from_secs(settings.statement_timeout_s),
            direct_urls: DirectUrls(settings.direct_urls.clone()),
            ca_file: (!settings.ca_file.is_empty()).then(|| PathBuf::from(&settings.ca_file)),
            ..StoreOptions::default()
        }
    }

    pub fn open_store(&self, access: Access) -> Result<Store> {
        let settings = &self.config.store;
        let is_embedded = settings.database_url.is_empty();
        if is_embedded && !settings.shards.is_empty() {
            let problem = "store.shards names databases beside store.database_url, which is empty";
            return Err(UsageError(problem.to_owned()).into());
        }
        let search = &self.config.search;
        let engines = [
            ("keyword", search.keyword == KeywordSearch::Postgres),
            ("vectors", search.vectors == SearchEngine::Postgres),
        ];
        let on_servers = engines.iter().find(|(_, is_postgres)| *is_postgres);
        if search.keyword == KeywordSearch::Opensearch && search.opensearch.urls.is_empty() {
            let problem = "search.keyword = \"opensearch\" needs a server; name one in \
                           search.opensearch.urls (or OPENSEARCH_URL), or use \"local\"";
            return Err(UsageError(problem.to_owned()).into());
        }
        if let Some((name, _)) = on_servers.filter(|_| is_embedded) {
            let problem = format!(
                "search.{name} = \"postgres\" needs a PostgreSQL server; name one in \
                 store.database_url (or DATABASE_URL), or use \"local\""
            );
            return Err(UsageError(problem).into());
        }
        let options = self.store_options(is_embedded);
        let clock = self.clock.clone();
        if is_embedded {
            return Ok(Store::open(self.data_dir(), access, &options, clock)?);
        }
        // Nobody has a server alone.
        let access = match access {
            Access::Read => Access::Read,
            Access::Write | Access::WriteAlone => Access::Write,
        };
        let mut urls = vec![settings.database_url.as_str()];
        urls.extend(settings.shards.iter().map(String::as_str));
        let store = Store::open_servers(&urls, access, &options, clock)?;
        std::fs::create_dir_all(self.derived_dir(&store))
            .context("create the folder of the indexes")?;
        Ok(store)
    }

    /// The HTTP client. `seeds` typed on the command line may open their own
    /// loopback host and port, `allow` further networks.
    pub fn fetcher(&self, seeds: &[CanonicalUrl], allow: &[String]) -> Result<Fetcher> {
        let guard = AddressGuard {
            allow_exact: seeds.iter().filter_map(loopback_exception).collect(),
            ..self.address_guard(allow)?
        };
        Ok(Fetcher::new(self.fetch_config(guard))?)
    }

    /// The HTTP client for messages to webhooks, which have `timeout` to be answered.
    pub fn message_fetcher(&self, timeout: Duration) -> Result<Fetcher> {
        let config = self.fetch_config(self.address_guard(&[])?);
        Ok(Fetcher::new(FetchConfig {
            connect_timeout: config.connect_timeout.min(timeout),
            read_timeout: timeout,
            total_timeout: timeout,
            ..config
        })?)
    }

    /// Which private networks may be asked: the configured ones and `allow`.
    pub fn address_guard(&self, allow: &[String]) -> Result<AddressGuard> {
        let configured = self.config.fetch.allow_private.iter();
        let networks = configured.chain(allow).map(|cidr| parse_network(cidr));
        Ok(AddressGuard {
            allow: networks.collect::<Result<_>>()?,
            allow_exact: Vec::new(),
        })
    }

    fn fetch_config(&self, guard: AddressGuard) -> FetchConfig {
        let settings = &self.config.fetch;
        let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        FetchConfig {
            user_agent: self.user_agent(),
            connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
            read_timeout: Duration::from_millis(settings.read_timeout_ms),
            total_timeout: Duration::from_millis(settings.total_timeout_ms),
            body_bytes_max: settings.body_bytes_max,
            wire_bytes_max: settings.wire_bytes_max,
            header_bytes_max: settings.header_bytes_max,
            http2: settings.http2,
            guard,
            proxy: text(&settings.proxy),
            extra_ca_file: text(&settings.ca_file).map(PathBuf::from),
            ..FetchConfig::default()
        }
    }

    /// Where answers are kept, and how many.
    pub fn cache_options(&self, store: &Store) -> CacheOptions {
        let settings = &self.config.api;
        let bytes = |mb: u64| mb.saturating_mul(1024 * 1024);
        CacheOptions {
            memory_bytes_max: bytes(settings.cache_memory_mb),
            disk_path: (settings.cache_disk_mb > 0)
                .then(|| self.derived_dir(store).join("cache.db")),
            disk_bytes_max: bytes(settings.cache_disk_mb),
            ..CacheOptions::default()
        }
    }

    /// The configured Redis, which may be away; `None` when there is none.
    pub fn redis(&self) -> Result<Option<Redis>> {
        let settings = &self.config.redis;
        if settings.url.is_empty() && settings.sentinels.is_empty() {
            return Ok(None);
        }
        let redis = Redis::start(RedisOptions {
            url: settings.url.clone(),
            sentinels: settings.sentinels.clone(),
            master: settings.master.clone(),
            prefix: settings.prefix.clone(),
            ..RedisOptions::default()
        });
        let redis = redis.context("redis.url or redis.sentinels")?;
        // What a command does first counts for all as well. One that does not
        // answer holds nobody up for longer.
        redis.wait_for(REDIS_WAIT_MAX, |status| {
            status.is_up || status.problem.is_some()
        });
        Ok(Some(redis))
    }

    /// Where raw copies of pages are kept; `None` when they are not.
    pub fn raw_store(&self) -> Result<Option<RawStore>> {
        RawStore::open(&self.config, self.clock.clone())
            .map_err(|error| UsageError(format!("{error:#}")).into())
    }

    pub fn user_agent(&self) -> String {
        let settings = &self.config.fetch;
        if !settings.user_agent.is_empty() {
            return settings.user_agent.clone();
        }
        let version = env!("CARGO_PKG_VERSION");
        if settings.contact_url.is_empty() {
            format!("Gleaner/{version}")
        } else {
            format!("Gleaner/{version} (+{})", settings.contact_url)
        }
    }

    /// The configured embedder; `None` when embedding is off.
    pub fn embedder(&self) -> Result<Option<Embedder>> {
        let Some(provider) = self.embed_provider()? else {
            return Ok(None);
        };
        let settings = &self.config.embed;
        let config = EmbedConfig {
            provider,
            threads: threads(settings.threads),
            batch_tokens_max: settings.batch_tokens_max,
            queue_max: EMBED_QUEUE_MAX,
        };
        Ok(Some(Embedder::start(config).context("start the embedder")?))
    }

    /// What [`App::embedder`] would be, or why it could not start.
    pub fn embedder_id(&self) -> Result<Option<String>> {
        let provider = self.embed_provider()?;
        let id = provider.map(|provider| Embedder::identify(&provider));
        id.transpose().context("start the embedder")
    }

    fn embed_provider(&self) -> Result<Option<ProviderConfig>> {
        let settings = &self.config.embed;
        Ok(Some(match settings.provider {
            EmbedProvider::Off => return Ok(None),
            EmbedProvider::Local => ProviderConfig::Local {
                model_path: self.model_path(),
                f32: false,
            },
            EmbedProvider::Http => {
                if settings.base_url.is_empty() || settings.model.is_empty() {
                    bail!("embed.provider = \"http\" needs embed.base_url and embed.model");
                }
                ProviderConfig::Http(HttpConfig {
                    api_key: (!settings.api_key.is_empty())
                        .then(|| Secret::new(settings.api_key.clone())),
                    dims: (settings.dims > 0).then_some(settings.dims),
                    batch_max: settings.batch_max,
                    timeout: Duration::from_millis(settings.timeout_ms),
                    query_prefix: settings.query_prefix.clone(),
                    passage_prefix: settings.passage_prefix.clone(),
                    ..HttpConfig::new(settings.base_url.as_str(), settings.model.as_str())
                })
            }
        }))
    }

    /// The configured model file, else an installed one, else `None` for the bundled one.
    pub fn model_path(&self) -> Option<PathBuf> {
        let configured = &self.config.embed.model_path;
        if !configured.is_empty() {
            return Some(PathBuf::from(configured));
        }
        let installed = self.models_dir().join(INSTALLED_MODEL);
        installed.exists().then_some(installed)
    }

    /// Where `gleaner model install` puts its file.
    pub fn models_dir(&self) -> PathBuf {
        self.data_dir().join("models")
    }
}

/// A count of threads, where 0 means one per core.
pub fn threads(configured: usize) -> usize {
    if configured > 0 {
        return configured;
    }
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The command line asks for something that cannot be; exit code 2.
#[derive(Clone, Debug)]
pub struct UsageError(pub String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A URL as people type it: the scheme may be missing.
pub fn parse_seed(input: &str) -> Result<CanonicalUrl> {
    let input = input.trim();
    let unusable = || {
        UsageError(format!(
            "`{input}` is no crawlable URL; expected something like https://example.org/docs/"
        ))
    };
    if input.contains("://") {
        return CanonicalUrl::parse(input).with_context(unusable);
    }
    // Almost anything is a host to a URL parser; a typing error should not be.
    let host = input.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let has_host_letters = host
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if !has_host_letters || !(host.contains('.') || host == "localhost") {
        return Err(unusable().into());
    }
    CanonicalUrl::parse(&format!("https://{input}")).with_context(unusable)
}

/// True for a literal loopback address or `localhost`.
pub fn is_loopback(url: &CanonicalUrl) -> bool {
    match url.as_url().host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// A literal loopback seed opens exactly its own host and port.
fn loopback_exception(seed: &CanonicalUrl) -> Option<(String, u16)> {
    let port = seed.as_url().port_or_known_default()?;
    is_loopback(seed).then(|| (seed.host().to_owned(), port))
}

fn parse_network(cidr: &str) -> Result<ipnet::IpNet> {
    cidr.parse::<ipnet::IpNet>()
        .or_else(|_| cidr.parse::<std::net::IpAddr>().map(ipnet::IpNet::from))
        .with_context(|| format!("`{cidr}` is no network; expected CIDR such as 10.0.0.0/8"))
}
