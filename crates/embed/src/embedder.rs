//! The handle everyone uses: worker threads behind bounded queues.
//!
//! Passages and queries have a queue each. A thread of its own answers queries,
//! at normal priority, so that a search never waits for a crawl's backlog; the
//! threads for passages run at low priority.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::watch;

use crate::config::{EmbedConfig, ProviderConfig};
use crate::error::{EmbedError, EmbedErrorKind};
use crate::hash;
use crate::http::Endpoint;
use crate::kernels::Kernel;
use crate::local::{EmbedBuffers, LocalModel, Precision, TextKind};
use crate::priority;

type Vectors = Vec<Result<Vec<f32>, EmbedError>>;

/// Threads for passages at most.
const THREADS_MAX: usize = 64;
/// Dimensions of the test provider at most.
const HASH_DIMS_MAX: usize = 4096;
/// Bytes of text that make a token, at least, on average: only for grouping.
const BYTES_PER_TOKEN: usize = 4;

/// Turns texts into vectors. Clones share the same threads, which end with the
/// last clone or with [`Embedder::stop`].
#[derive(Clone, Debug)]
pub struct Embedder {
    inner: Arc<Inner>,
}

/// What an embedder has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbedStats {
    pub texts: u64,
    /// Tokens run through the model; estimated for an endpoint.
    pub tokens: u64,
    /// Time spent embedding, summed over threads.
    pub busy_ms: u64,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    id: String,
    /// `None` once stopped.
    queues: Mutex<Option<Queues>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Clone, Debug)]
struct Queues {
    passages: Sender<Job>,
    queries: Sender<Job>,
}

#[derive(Debug)]
struct Shared {
    provider: Provider,
    batch_tokens_max: usize,
    stopping: AtomicBool,
    /// Interrupts waiting for an endpoint.
    stop_signal: watch::Sender<bool>,
    texts: AtomicU64,
    tokens: AtomicU64,
    busy_us: AtomicU64,
}

#[derive(Debug)]
enum Provider {
    Local(Box<LocalModel>),
    Http(Box<Endpoint>),
    Hash { dims: usize },
}

struct Job {
    texts: Vec<String>,
    kind: TextKind,
    answer: Sender<Vectors>,
}

impl Embedder {
    /// Opens the model or prepares the client, and starts the threads.
    pub fn start(config: EmbedConfig) -> Result<Embedder, EmbedError> {
        let (provider, id) = open(config.provider)?;
        let threads = match &provider {
            Provider::Http(_) => 1,
            _ => config.threads.clamp(1, THREADS_MAX),
        };
        let or_default = |value: usize, default: usize| if value == 0 { default } else { value };
        let queue_max = or_default(config.queue_max, EmbedConfig::QUEUE_MAX);
        let shared = Arc::new(Shared {
            provider,
            batch_tokens_max: or_default(config.batch_tokens_max, EmbedConfig::BATCH_TOKENS_MAX),
            stopping: AtomicBool::new(false),
            stop_signal: watch::channel(false).0,
            texts: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
        });
        let (passages, passages_end) = bounded(queue_max);
        let (queries, queries_end) = bounded(queue_max);
        let embedder = Embedder {
            inner: Arc::new(Inner {
                shared: Arc::clone(&shared),
                id,
                queues: Mutex::new(Some(Queues { passages, queries })),
                threads: Mutex::new(Vec::new()),
            }),
        };
        for number in 0..threads {
            let jobs = passages_end.clone();
            embedder.spawn(format!("embed-{number}"), &shared, jobs, true)?;
        }
        embedder.spawn("embed-query".to_owned(), &shared, queries_end, false)?;
        Ok(embedder)
    }

    /// The [`Embedder::model_id`] that this provider would have, checked as far
    /// as it can be without starting it: no model stays in memory.
    pub fn identify(provider: &ProviderConfig) -> Result<String, EmbedError> {
        match provider {
            ProviderConfig::Local { model_path, f32 } => {
                let precision = precision(*f32);
                Ok(LocalModel::identify(model_path.as_deref(), precision)?)
            }
            ProviderConfig::Http(config) => Ok(Endpoint::new(config.clone())?.id()),
            ProviderConfig::Hash { dims } => Ok(format!("hash-{dims}")),
        }
    }

    /// Name and short hash of the weights or the endpoint's configuration;
    /// differs when vectors would.
    #[must_use]
    pub fn model_id(&self) -> &str {
        &self.inner.id
    }

    /// Width of the vectors. 0 for an endpoint that was given none, until its
    /// first answer.
    #[must_use]
    pub fn dims(&self) -> usize {
        match &self.inner.shared.provider {
            Provider::Local(model) => model.dims(),
            Provider::Http(endpoint) => endpoint.dims(),
            Provider::Hash { dims } => *dims,
        }
    }

    /// Embeds passages, blocking until all are done; waits for room when the
    /// queue is full. One result per text, in order.
    #[must_use]
    pub fn embed_passages(&self, texts: Vec<String>) -> Vectors {
        let count = texts.len();
        let Some(queues) = self.queues() else {
            return vec![Err(EmbedError::stopped()); count];
        };
        // Neighbours in length share a batch, so that batches are even.
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|i| texts[*i].len());
        let mut texts: Vec<Option<String>> = texts.into_iter().map(Some).collect();
        let mut results: Vec<Option<Result<Vec<f32>, EmbedError>>> = vec![None; count];
        let mut waiting = Vec::new();
        for group in self.inner.shared.groups(&order, &texts) {
            let (answer, answered) = bounded(1);
            let job = Job {
                texts: group.iter().filter_map(|i| texts[*i].take()).collect(),
                kind: TextKind::Passage,
                answer,
            };
            // A closed queue drops the job and with it the answer's sender.
            let _ = queues.passages.send(job);
            waiting.push((group, answered));
        }
        drop(queues);
        for (group, answered) in waiting {
            if let Ok(vectors) = answered.recv() {
                for (index, vector) in group.into_iter().zip(vectors) {
                    results[index] = Some(vector);
                }
            }
        }
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|| Err(EmbedError::stopped())))
            .collect()
    }

    /// Embeds a query, ahead of all passages. Fails as overloaded rather than
    /// wait behind a full queue of other queries.
    pub fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let queues = self.queues().ok_or_else(EmbedError::stopped)?;
        let (answer, answered) = bounded(1);
        let job = Job {
            texts: vec![text.to_owned()],
            kind: TextKind::Query,
            answer,
        };
        match queues.queries.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(EmbedError::new(
                    EmbedErrorKind::Overloaded,
                    "too many queries are waiting to be embedded",
                ));
            }
            Err(TrySendError::Disconnected(_)) => return Err(EmbedError::stopped()),
        }
        drop(queues);
        answered
            .recv()
            .ok()
            .and_then(|mut vectors| vectors.pop())
            .unwrap_or_else(|| Err(EmbedError::stopped()))
    }

    /// Tokens of a text, without prefix and special tokens. Estimated unless
    /// the model is local.
    #[must_use]
    pub fn count_tokens(&self, text: &str) -> usize {
        self.inner.shared.provider.count_tokens(text)
    }

    #[must_use]
    pub fn stats(&self) -> EmbedStats {
        let shared = &self.inner.shared;
        EmbedStats {
            texts: shared.texts.load(Ordering::Relaxed),
            tokens: shared.tokens.load(Ordering::Relaxed),
            busy_ms: shared.busy_us.load(Ordering::Relaxed) / 1000,
        }
    }

    /// Ends the threads and waits for them; texts not yet embedded fail as
    /// stopped. May be called twice, and by any clone.
    pub fn stop(&self) {
        self.inner.stop();
    }

    fn queues(&self) -> Option<Queues> {
        lock(&self.inner.queues).clone()
    }

    fn spawn(
        &self,
        name: String,
        shared: &Arc<Shared>,
        jobs: Receiver<Job>,
        yielding: bool,
    ) -> Result<(), EmbedError> {
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || {
                if yielding {
                    priority::lower_own();
                }
                shared.work(&jobs);
            })
            .map_err(|e| {
                EmbedError::new(EmbedErrorKind::Overloaded, "start an embedding thread")
                    .with_source(e)
            })?;
        lock(&self.inner.threads).push(thread);
        Ok(())
    }
}

impl Inner {
    fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.stop_signal.send_replace(true);
        drop(lock(&self.queues).take());
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // A panicked thread has already reported itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Cuts texts, given by index in order of length, into groups of about
    /// `batch_tokens_max` tokens.
    fn groups(&self, order: &[usize], texts: &[Option<String>]) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut bytes_left = 0;
        for index in order {
            let bytes = texts[*index].as_ref().map_or(0, String::len) + 16;
            match groups.last_mut() {
                Some(group) if bytes <= bytes_left => {
                    group.push(*index);
                    bytes_left -= bytes;
                }
                _ => {
                    groups.push(vec![*index]);
                    bytes_left = (self.batch_tokens_max * BYTES_PER_TOKEN).saturating_sub(bytes);
                }
            }
        }
        groups
    }

    /// Takes jobs until the queue is closed.
    fn work(&self, jobs: &Receiver<Job>) {
        let mut runtime = None;
        let mut buffers = EmbedBuffers::default();
        for job in jobs {
            if self.stopping.load(Ordering::Acquire) {
                continue;
            }
            let started = Instant::now();
            let vectors = match &self.provider {
                Provider::Local(model) => self.run_local(model, &job, &mut buffers),
                Provider::Http(endpoint) => self.run_http(endpoint, &job, &mut runtime),
                Provider::Hash { dims } => job
                    .texts
                    .iter()
                    .map(|t| Ok(hash::embed(t, *dims)))
                    .collect(),
            };
            if !matches!(self.provider, Provider::Local(_)) {
                let tokens: usize = job.texts.iter().map(|t| estimate_tokens(t)).sum();
                self.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
            }
            let busy_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.busy_us.fetch_add(busy_us, Ordering::Relaxed);
            self.texts
                .fetch_add(job.texts.len() as u64, Ordering::Relaxed);
            // The caller may have gone; then nobody misses the answer.
            let _ = job.answer.send(vectors);
        }
    }

    fn run_local(&self, model: &LocalModel, job: &Job, buffers: &mut EmbedBuffers) -> Vectors {
        let sequences: Vec<Vec<u32>> = job
            .texts
            .iter()
            .map(|text| model.tokenize(text, job.kind))
            .collect();
        let mut vectors: Vectors = Vec::with_capacity(sequences.len());
        let mut rest = sequences.as_slice();
        while !rest.is_empty() {
            if self.stopping.load(Ordering::Acquire) {
                vectors.extend(vec![Err(EmbedError::stopped()); rest.len()]);
                break;
            }
            let (batch, tail) = rest.split_at(batch_len(rest, self.batch_tokens_max));
            let tokens: usize = batch.iter().map(Vec::len).sum();
            vectors.extend(model.embed(batch, buffers).into_iter().map(Ok));
            self.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
            rest = tail;
        }
        vectors
    }

    fn run_http(
        &self,
        endpoint: &Endpoint,
        job: &Job,
        runtime: &mut Option<tokio::runtime::Runtime>,
    ) -> Vectors {
        let failed = |error: EmbedError| vec![Err(error); job.texts.len()];
        if runtime.is_none() {
            match tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            {
                Ok(started) => *runtime = Some(started),
                Err(e) => {
                    let message = "start the embedding client's runtime";
                    return failed(
                        EmbedError::new(EmbedErrorKind::Overloaded, message).with_source(e),
                    );
                }
            }
        }
        let runtime = runtime.as_ref().expect("bug: started just above");
        let mut stop = self.stop_signal.subscribe();
        runtime.block_on(async {
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => failed(EmbedError::stopped()),
                vectors = endpoint.embed(&job.texts, job.kind) => vectors,
            }
        })
    }
}

impl Provider {
    fn count_tokens(&self, text: &str) -> usize {
        match self {
            Provider::Local(model) => model.count_tokens(text),
            _ => estimate_tokens(text),
        }
    }
}

fn precision(f32: bool) -> Precision {
    if f32 {
        Precision::F32
    } else {
        Precision::Int8(Kernel::detect())
    }
}

fn open(config: ProviderConfig) -> Result<(Provider, String), EmbedError> {
    match config {
        ProviderConfig::Local { model_path, f32 } => {
            let precision = precision(f32);
            let model = match model_path {
                None => LocalModel::bundled(precision)?,
                Some(path) => LocalModel::open(&path, precision)?,
            };
            let id = model.id().to_owned();
            Ok((Provider::Local(Box::new(model)), id))
        }
        ProviderConfig::Http(config) => {
            let endpoint = Endpoint::new(config)?;
            let id = endpoint.id();
            Ok((Provider::Http(Box::new(endpoint)), id))
        }
        ProviderConfig::Hash { dims } if (1..=HASH_DIMS_MAX).contains(&dims) => {
            Ok((Provider::Hash { dims }, format!("hash-{dims}")))
        }
        ProviderConfig::Hash { dims } => Err(EmbedError::new(
            EmbedErrorKind::Config,
            format!("hash vectors of {dims} dimensions are not between 1 and {HASH_DIMS_MAX}"),
        )),
    }
}

/// Sequences from the start that fit into `tokens_max`, at least one.
fn batch_len(sequences: &[Vec<u32>], tokens_max: usize) -> usize {
    let mut tokens = 0;
    let fitting = sequences.iter().take_while(|sequence| {
        tokens += sequence.len();
        tokens <= tokens_max
    });
    fitting.count().max(1)
}

/// English has about four bytes to a token, other scripts about two characters.
fn estimate_tokens(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().count() - ascii;
    ascii.div_ceil(4) + others.div_ceil(2)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing is half done under these locks, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
