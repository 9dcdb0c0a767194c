//! The embedding backlog as a task.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::{Outcome, TaskContext, TaskFailure, TaskKind};
use super::new::EMBED;
use crate::pipeline::backlog::{Backlog, use_model};

/// Why a backlog is put off.
const ENDPOINT_DOWN: &str = "the embedding endpoint does not answer; chunks stay pending";

/// Result of [`EMBED`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct EmbedOutcome {
    /// Chunks that got their vectors.
    pub chunks: u64,
    /// Texts computed, and texts whose vector was known.
    pub embedded: u64,
    pub cached: u64,
    pub failed: u64,
}

/// Gives every pending chunk its vectors. While an endpoint is down they stay
/// pending, and the task waits until its breaker lets it ask again.
#[derive(Debug)]
pub struct EmbedPending;

impl TaskKind for EmbedPending {
    fn name(&self) -> &'static str {
        EMBED
    }

    /// Two would take the same chunks.
    fn running_max(&self) -> u32 {
        1
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure> {
        let services = &context.services;
        let store = context.store()?;
        if store.embedding_progress()?.pending == 0 {
            return Outcome::done(EmbedOutcome::default());
        }
        let Some(embedder) = services.embedder()? else {
            return Outcome::done(EmbedOutcome::default());
        };
        // It may have been away when the model was chosen.
        use_model(&store, &embedder)?;
        let progress = services.progress.clone();
        let shown = progress.clone();
        context.show(move || {
            let done = shown.vectors_done.load(Ordering::Relaxed);
            types::Progress {
                completed: done,
                total: Some(done + shown.vectors_pending.load(Ordering::Relaxed)),
                current: None,
                errors: 0,
            }
        });
        let stop = context.stop();
        let backlog = Backlog {
            store: &store,
            embedding: services.embedding(&embedder),
            progress,
            metrics: services.metrics.clone(),
            stop: &stop,
        };
        let report = backlog.drain()?;
        if *stop.borrow() {
            return Ok(Outcome::Stopped);
        }
        if let Some(until) = report.put_off_until {
            let now = services.app.clock.now();
            return Ok(Outcome::Later {
                after: Duration::from_millis(until.0.saturating_sub(now.0).max(0).unsigned_abs()),
                why: ENDPOINT_DOWN.to_owned(),
            });
        }
        Outcome::done(EmbedOutcome {
            chunks: report.chunks,
            embedded: report.embedded,
            cached: report.cached,
            failed: report.failed,
        })
    }
}
