//! What one process has once, however many crawls and tasks it runs: the
//! store, the index thread, the embedder and the CPU permits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Result;
use embed::Embedder;
use guard::{BreakerPolicy, BreakerSnapshot, CircuitBreaker, Redis};
use store::Store;
use types::CanonicalUrl;

use crate::app::{App, threads};
use crate::config::EmbedProvider;
use crate::metrics::Metrics;
use crate::pipeline::backlog::use_model;
use crate::pipeline::embedding::Embedding;
use crate::pipeline::index::Indexer;
use crate::pipeline::permits::CpuPermits;
use crate::pipeline::progress::Progress;
use crate::pipeline::window::Window;
use crate::prompting::LanguageModel;
use crate::raw::RawStore;
use crate::relay::{Relay, RelayStats};
use crate::tasks::ScalingMeter;

pub struct Services {
    pub app: App,
    pub store: Store,
    /// Where raw copies of pages are kept; `None`: none are.
    pub raw: Option<Arc<RawStore>>,
    pub permits: Arc<CpuPermits>,
    /// Pages that all crawls have under way.
    pub window: Arc<Window>,
    /// Counts and times of indexing and embedding, which no single task owns.
    pub progress: Arc<Progress>,
    pub metrics: Arc<Metrics>,
    /// What makes limits and breakers those of all processes.
    pub redis: Option<Redis>,
    /// Tells other processes of commits, and hears of theirs.
    relay: Option<Relay>,
    /// Seeds typed on the command line: a literal loopback one opens its own
    /// host and port in the address guard.
    pub typed_seeds: Vec<CanonicalUrl>,
    /// What the queue was like lately.
    pub scaling: ScalingMeter,
    /// Kinds of tasks that this process takes; not set without a worker.
    queues: OnceLock<Vec<&'static str>>,
    /// Set for good once this process is to be stopped.
    is_leaving: AtomicBool,
    indexer: Option<Indexer>,
    /// Of an embedding endpoint; the model in this process needs none.
    embedding_breaker: Option<CircuitBreaker>,
    language_model: Option<LanguageModel>,
    /// Started when first asked for; `Some(None)`: embedding is off.
    embedder: Mutex<Option<Option<Embedder>>>,
    model_id: OnceLock<Option<String>>,
}

impl Services {
    pub fn start(app: &App, store: Store, progress: Arc<Progress>) -> Result<Services> {
        let indexer = Indexer::start(&store, app.index_plan(&store)?, progress.clone())?;
        let mut services = Services::without_index(app, store, progress)?;
        services.indexer = Some(indexer);
        Ok(services)
    }

    /// For benchmarks of the stages before the index.
    pub fn without_index(app: &App, store: Store, progress: Arc<Progress>) -> Result<Services> {
        let redis = app.redis()?;
        let relay = match &redis {
            Some(redis) => Relay::start(&store, redis)?,
            None => None,
        };
        let metrics = Arc::new(Metrics::new()?);
        let language_model = LanguageModel::open(app, &store, &metrics, redis.as_ref())?;
        Ok(Services {
            relay,
            app: app.clone(),
            store,
            raw: app.raw_store()?.map(Arc::new),
            permits: Arc::new(CpuPermits::new(threads(app.config.crawl.cpu_threads))),
            window: Arc::default(),
            progress,
            metrics,
            typed_seeds: Vec::new(),
            scaling: ScalingMeter::default(),
            queues: OnceLock::new(),
            is_leaving: AtomicBool::new(false),
            indexer: None,
            embedding_breaker: embedding_breaker(app, redis.clone()),
            language_model,
            redis,
            embedder: Mutex::new(None),
            model_id: OnceLock::new(),
        })
    }

    #[must_use]
    pub fn with_typed_seeds(mut self, seeds: Vec<CanonicalUrl>) -> Services {
        self.typed_seeds = seeds;
        self
    }

    /// Says which kinds of tasks the worker of this process takes.
    pub fn takes_from_queue(&self, kinds: &[&'static str]) {
        if self.queues.set(kinds.to_vec()).is_ok() {
            self.metrics.tasks.takes(kinds);
        }
    }

    /// Kinds of tasks that the worker of this process takes; `None` without one.
    pub fn queues(&self) -> Option<&[&'static str]> {
        self.queues.get().map(Vec::as_slice)
    }

    /// From now on this process asks to be sent nothing more.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::SeqCst);
    }

    pub fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::SeqCst)
    }

    /// True when chunks are to get vectors at all.
    pub fn embeds(&self) -> bool {
        self.app.config.embed.provider != EmbedProvider::Off
    }

    /// The embedder, started now if it was not; `None` when embedding is off.
    pub fn embedder(&self) -> Result<Option<Embedder>> {
        let mut embedder = self.embedder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(started) = &*embedder {
            return Ok(started.clone());
        }
        let started = self.app.embedder()?;
        if let Some(started) = &started {
            use_model(&self.store, started)?;
        }
        *embedder = Some(started.clone());
        Ok(started)
    }

    /// A query's vector. An endpoint that keeps failing is not asked for a while.
    pub fn embed_query(&self, embedder: &Embedder, query: &str) -> Result<Vec<f32>> {
        self.embedding(embedder).query(query)
    }

    /// The embedder as searches and the backlog ask it.
    pub fn embedding<'a>(&'a self, embedder: &'a Embedder) -> Embedding<'a> {
        Embedding {
            embedder,
            breaker: self.embedding_breaker.as_ref(),
            clock: self.app.clock.as_ref(),
        }
    }

    /// What writes summaries and answers; `None`: both are extractive.
    pub fn language_model(&self) -> Option<&LanguageModel> {
        self.language_model.as_ref()
    }

    /// Breakers of the services that this process depends on.
    pub fn breakers(&self) -> Vec<BreakerSnapshot> {
        let now = self.app.clock.now();
        let breakers = self.embedding_breaker.iter();
        let breakers = breakers.map(|breaker| breaker.snapshot(now));
        breakers
            .chain(self.raw.iter().map(|raw| raw.breaker()))
            .chain(self.language_model().map(LanguageModel::breaker))
            .collect()
    }

    /// Why there is no embedder although one is configured. Starts none.
    pub fn model_problem(&self) -> Option<String> {
        self.model_id().err().map(|error| format!("{error:#}"))
    }

    /// Of the configured embedder, which this does not start: the model takes
    /// 40 MB that a process without searches does without.
    fn model_id(&self) -> Result<Option<String>> {
        if let Some(known) = self.model_id.get() {
            return Ok(known.clone());
        }
        let id = self.app.embedder_id()?;
        Ok(self.model_id.get_or_init(|| id).clone())
    }

    /// Checks the configured embedder, and starts it if the store's vectors are
    /// of another: they are to be made anew.
    pub fn check_embedder(&self) -> Result<()> {
        let known = self.store.embedding_model()?.map(|model| model.id);
        if let (Some(id), Some(known)) = (self.model_id()?, known)
            && id != known
        {
            self.embedder()?;
        }
        Ok(())
    }

    /// Grows with each commit of the index by this process.
    pub fn index_commits(&self) -> u64 {
        self.indexer.as_ref().map_or(0, Indexer::commits)
    }

    /// Returns once everything committed can be found by keyword.
    pub fn flush_index(&self) -> Result<()> {
        match &self.indexer {
            Some(indexer) => indexer.flush(),
            None => Ok(()),
        }
    }

    /// What went over the bus; `None`: other processes are not heard of by it.
    pub fn relay_stats(&self) -> Option<RelayStats> {
        self.relay.as_ref().map(Relay::stats)
    }

    /// Ends the index thread and the embedder, then closes the store.
    pub fn close(self) -> Result<()> {
        drop(self.relay);
        drop(self.indexer);
        drop(self.language_model);
        let embedder = self
            .embedder
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(embedder)) = embedder {
            embedder.stop();
        }
        Ok(self.store.close()?)
    }
}

fn embedding_breaker(app: &App, redis: Option<Redis>) -> Option<CircuitBreaker> {
    let settings = &app.config.embed;
    let policy = BreakerPolicy {
        threshold: settings.breaker_failures,
        open_for: Duration::from_secs(settings.breaker_open_s),
    };
    let remote = settings.provider == EmbedProvider::Http;
    remote.then(|| {
        let address = &settings.base_url;
        CircuitBreaker::shared("embedding endpoint", address, policy, redis)
    })
}
