//! Getting a corpus searchable, by the stages that a crawl uses.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use embed::Embedder;
use store::Store;
use tokio::sync::watch;
use types::SystemClock;

use super::corpus::{LoadReport, Loader};
use super::query_set::QuerySet;
use crate::app::App;
use crate::cli::output::{note, thousands};
use crate::metrics::Metrics;
use crate::pipeline::backlog::{Backlog, use_model};
use crate::pipeline::embedding::Embedding;
use crate::pipeline::index::Indexer;
use crate::pipeline::progress::Progress;
use crate::pipeline::start;

const NOTE_EVERY: Duration = Duration::from_secs(30);

/// The configured embedder, if the store holds vectors of its model.
pub fn usable_embedder(app: &App, store: &Store) -> Result<Option<Embedder>> {
    let Some(model) = store.embedding_model()? else {
        return Ok(None);
    };
    if store.embedding_progress()?.done == 0 {
        return Ok(None);
    }
    let Some(embedder) = app.embedder()? else {
        return Ok(None);
    };
    if embedder.model_id() == model.id {
        return Ok(Some(embedder));
    }
    note(format!(
        "note: the stored vectors are of another model ({}) and not used",
        model.id
    ));
    Ok(None)
}

/// Loads the set's corpus into the store, indexes it and embeds what lacks
/// vectors.
pub fn load(
    app: &App,
    store: &Store,
    embedder: Option<&Embedder>,
    set: &QuerySet,
    dir: &Path,
) -> Result<LoadReport> {
    let loader = Loader {
        store,
        tenant: app.tenant,
        chunk_config: &start::chunk_config(app)?,
        language: set.language.as_deref(),
        name: &set.name,
    };
    let report = loader.load(dir)?;
    note(format!(
        "{} documents, {} of them loaded now",
        thousands(report.documents as u64),
        thousands(report.loaded as u64)
    ));
    let progress = Arc::new(Progress::default());
    Indexer::start(store, app.index_plan(store)?, progress.clone())?.flush()?;
    if let Some(embedder) = embedder {
        use_model(store, embedder)?;
        store.retry_failed_chunks()?;
        embed_backlog(store, embedder, &progress)?;
        // Where vectors lie on a server, they are to be there, too.
        Indexer::start(store, app.index_plan(store)?, progress.clone())?.flush()?;
    }
    Ok(report)
}

fn embed_backlog(store: &Store, embedder: &Embedder, progress: &Arc<Progress>) -> Result<()> {
    let (_going_on, stop) = watch::channel(false);
    let backlog = Backlog {
        store,
        embedding: Embedding {
            embedder,
            breaker: None,
            clock: &SystemClock,
        },
        progress: progress.clone(),
        metrics: Arc::new(Metrics::new()?),
        stop: &stop,
    };
    let report = std::thread::scope(|scope| {
        let (done, finished) = crossbeam_channel::bounded::<()>(0);
        let handle = scope.spawn(move || {
            let report = backlog.drain();
            drop(done);
            report
        });
        let mut shown = None;
        while finished
            .recv_timeout(NOTE_EVERY)
            .is_err_and(|error| error.is_timeout())
        {
            let done = progress.vectors_done.load(Ordering::Relaxed);
            if shown.replace(done) != Some(done) {
                note(format!(
                    "embedding: {} passages done, {} to go",
                    thousands(done),
                    thousands(progress.vectors_pending.load(Ordering::Relaxed))
                ));
            }
        }
        handle.join().expect("bug: the backlog panicked")
    })?;
    if report.failed > 0 {
        note(format!(
            "note: {} passages could not be embedded",
            thousands(report.failed)
        ));
    }
    Ok(())
}
