//! The embedding backlog: chunks that were committed get their vectors.
//!
//! The backlog is durable (chunk rows marked pending), so it may run beside a
//! crawl, after it, or tomorrow. It yields the CPU to the crawl: the embedder's
//! threads run at the lowest priority.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result};
use embed::{EmbedErrorKind, Embedder};
use store::{ChunkVectors, ModelChange, PendingChunk, Store, StoredVector};
use tokio::sync::watch;
use types::{TextHash, Timestamp};

use super::embedding::Embedding;
use super::progress::{Progress, Stage};
use crate::metrics::Metrics;

/// Chunks taken per round. Bounds memory and what a crash has to redo.
const CHUNKS_PER_ROUND: usize = 128;

/// What a run of the backlog did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BacklogReport {
    pub chunks: u64,
    /// Texts whose vector came out of the cache.
    pub cached: u64,
    /// Texts the embedder had to compute.
    pub embedded: u64,
    pub failed: u64,
    /// The endpoint is down: chunks stay pending, to be tried again then.
    pub put_off_until: Option<Timestamp>,
}

pub struct Backlog<'a> {
    pub store: &'a Store,
    pub embedding: Embedding<'a>,
    pub progress: Arc<Progress>,
    pub metrics: Arc<Metrics>,
    /// True: finish the round and return.
    pub stop: &'a watch::Receiver<bool>,
}

impl Backlog<'_> {
    /// Works until nothing is pending, the endpoint is down, or until stopped.
    pub fn drain(&self) -> Result<BacklogReport> {
        let mut total = BacklogReport::default();
        while !*self.stop.borrow() {
            if !self.round(&mut total)? {
                break;
            }
        }
        self.show()?;
        Ok(total)
    }

    fn show(&self) -> Result<()> {
        let progress = self.store.embedding_progress()?;
        self.progress
            .vectors_done
            .store(progress.done, Ordering::Relaxed);
        self.progress
            .vectors_pending
            .store(progress.pending, Ordering::Relaxed);
        Ok(())
    }

    /// One round; false when there is no use in another one now.
    fn round(&self, total: &mut BacklogReport) -> Result<bool> {
        let pending = self.store.pending_chunks(CHUNKS_PER_ROUND)?;
        self.show()?;
        if pending.is_empty() {
            return Ok(false);
        }
        let model = self.embedding.embedder.model_id();
        let texts: Vec<(String, Option<String>)> = pending.iter().map(inputs).collect();
        let mut wanted: Vec<(TextHash, &str)> = Vec::new();
        for (chunk, (full, tldr)) in pending.iter().zip(&texts) {
            wanted.push((chunk.hash, full));
            wanted.extend(tldr.iter().map(|text| (text_hash(text), text.as_str())));
        }
        let hashes: Vec<TextHash> = wanted.iter().map(|(hash, _)| *hash).collect();
        let mut known: HashMap<TextHash, StoredVector> = self
            .store
            .cached_vectors(model, &hashes)?
            .into_iter()
            .collect();
        let cached_now = known.len() as u64;
        total.cached += cached_now;
        let cached = &self.progress.texts_cached;
        cached.fetch_add(cached_now, Ordering::Relaxed);

        let mut queued: HashSet<TextHash> = HashSet::new();
        wanted.retain(|(hash, _)| !known.contains_key(hash) && queued.insert(*hash));
        let to_embed: Vec<String> = wanted.iter().map(|(_, text)| (*text).to_owned()).collect();
        let start = Instant::now();
        let passages = self.embedding.passages(to_embed);
        let took = start.elapsed();
        self.progress.add_time(Stage::Embed, took);
        let mut errors: HashMap<TextHash, String> = HashMap::new();
        let mut unanswered: HashSet<TextHash> = HashSet::new();
        for ((hash, _), answer) in wanted.iter().zip(passages.answers) {
            match answer {
                Some(Ok(vector)) => {
                    let (codes, scale) = embed::quantize(&vector);
                    known.insert(*hash, StoredVector { scale, codes });
                }
                Some(Err(error)) if error.kind() == EmbedErrorKind::Stopped => return Ok(false),
                Some(Err(error)) => {
                    errors.insert(*hash, crate::causes::chain(&error));
                }
                None => {
                    unanswered.insert(*hash);
                }
            }
        }
        let answered = (wanted.len() - unanswered.len()) as u64;
        total.embedded += answered;
        let embedded = &self.progress.texts_embedded;
        embedded.fetch_add(answered, Ordering::Relaxed);

        let metrics = &self.metrics.embedding;
        metrics.duration.observe(took.as_secs_f64());
        metrics.texts("cached", cached_now);
        metrics.texts("failed", errors.len() as u64);
        metrics.texts("embedded", answered - errors.len() as u64);

        let mut vectors = Vec::with_capacity(pending.len());
        let mut failures = Vec::new();
        for (chunk, (_, tldr)) in pending.iter().zip(&texts) {
            let tldr_hash = tldr.as_deref().map(text_hash);
            let waits = |hash: &TextHash| unanswered.contains(hash);
            if waits(&chunk.hash) || tldr_hash.as_ref().is_some_and(waits) {
                continue;
            }
            let error = errors
                .get(&chunk.hash)
                .or_else(|| errors.get(tldr_hash.as_ref()?));
            if let Some(error) = error {
                failures.push((chunk.chunk, error.clone()));
                continue;
            }
            let full = known
                .get(&chunk.hash)
                .context("bug: text neither embedded nor failed")?;
            vectors.push(ChunkVectors {
                chunk: chunk.chunk,
                hash: chunk.hash,
                full: full.clone(),
                tldr: tldr_hash.and_then(|hash| known.get(&hash).cloned()),
                tldr_hash,
            });
        }
        total.failed += failures.len() as u64;
        total.chunks += vectors.len() as u64;
        self.store.save_vectors(model, vectors)?;
        self.store.fail_chunks(failures)?;
        total.put_off_until = passages.retry_at;
        Ok(total.put_off_until.is_none())
    }
}

/// Makes the embedder's model the store's model; other vectors are dropped
/// and embedded again.
pub fn use_model(store: &Store, embedder: &Embedder) -> Result<()> {
    match store.set_embedding_model(embedder.model_id(), embedder.dims())? {
        ModelChange::Changed { repending } if repending > 0 => {
            tracing::info!(
                chunks = repending,
                "the embedding model changed; embedding again"
            );
        }
        _ => {}
    }
    Ok(())
}

/// What is embedded for a chunk: its text below the page's title and its
/// section (a passage out of context is hard to tell apart), and its TL;DR.
fn inputs(chunk: &PendingChunk) -> (String, Option<String>) {
    let mut context = chunk.title.trim().to_owned();
    let section = chunk.section.trim();
    if !section.is_empty() && section != context {
        if !context.is_empty() {
            context.push_str(" - ");
        }
        context.push_str(section);
    }
    let below = |text: &str| {
        if context.is_empty() {
            text.to_owned()
        } else {
            format!("{context}\n{text}")
        }
    };
    (below(chunk.text.trim()), chunk.tldr.as_deref().map(below))
}

fn text_hash(text: &str) -> TextHash {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    TextHash(short)
}
