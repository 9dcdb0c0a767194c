//! The writer: visits are committed in batches, one transaction each.
//!
//! It takes whatever has gathered while the last transaction was being made
//! durable, so batches grow under load by themselves and a lone visit waits
//! for nobody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use frontier::UrlKind;
use store::{
    BatchReport, CrawlBatch, CrawlCounts, NewTask, RawCopies, Store, StoreError, Visit, VisitResult,
};
use types::{Clock, CrawlId, SourceId};

use super::archive::Raw;
use super::progress::{Progress, Stage};
use super::window::Window;
use crate::metrics::Metrics;

/// What the writer tells the crawl.
#[derive(Debug)]
pub enum Written {
    Committed {
        report: BatchReport,
        visits: usize,
        pages: u64,
        endings: Vec<Ending>,
    },
    /// Nothing more will be written.
    Failed(StoreError),
}

/// A URL that ended without being stored, for messages about start pages.
#[derive(Clone, Debug)]
pub struct Ending {
    pub row: i64,
    pub reason: &'static str,
    pub detail: String,
}

/// A visit on its way to the store.
#[derive(Debug)]
pub struct Visited {
    pub kind: UrlKind,
    pub visit: Visit,
    /// When its response was complete.
    pub received: Instant,
    pub raw: Raw,
}

pub struct Writer {
    pub store: Store,
    pub crawl: CrawlId,
    pub source: SourceId,
    /// As the crawl was taken up.
    pub counts: CrawlCounts,
    pub batch_pages: usize,
    pub progress: Arc<Progress>,
    pub metrics: Arc<Metrics>,
    /// Told how long pages took.
    pub window: Arc<Window>,
    /// Enqueued with each batch, in its transaction, to run `follow_ups_after` it
    /// at the latest.
    pub follow_ups: Vec<NewTask>,
    pub follow_ups_after: Duration,
    pub clock: Arc<dyn Clock>,
    /// Whether versions are to have raw copies.
    pub archives: bool,
}

impl Writer {
    fn follow_ups(&self) -> Vec<NewTask> {
        let at = self.clock.now().plus(self.follow_ups_after);
        let at = (!self.follow_ups_after.is_zero()).then_some(at);
        let follow_ups = self.follow_ups.iter().cloned();
        follow_ups
            .map(|task| NewTask { run_at: at, ..task })
            .collect()
    }

    /// Runs until the channel closes or a commit fails.
    pub fn run(&self, queue: &Receiver<Visited>, report: impl Fn(Written)) {
        let mut counts = self.counts;
        while let Ok(first) = queue.recv() {
            let mut batch = vec![first];
            while batch.len() < self.batch_pages {
                match queue.try_recv() {
                    Ok(visit) => batch.push(visit),
                    Err(_) => break,
                }
            }
            let visits = batch.len();
            let pages = batch
                .iter()
                .filter(|visited| visited.kind == UrlKind::Page)
                .count() as u64;
            let endings = batch
                .iter()
                .filter_map(|visited| ending(&visited.visit))
                .collect();
            let bytes: u64 = batch.iter().map(|visited| visited.visit.wire_bytes).sum();
            let received: Vec<Instant> = batch
                .iter()
                .filter(|visited| visited.kind == UrlKind::Page)
                .map(|visited| visited.received)
                .collect();
            let mut copies = RawCopies::new();
            let mut visits_only = Vec::with_capacity(visits);
            for visited in batch {
                if let Raw::Stored { key } = visited.raw {
                    copies.insert(visited.visit.row, key);
                }
                visits_only.push(visited.visit);
            }
            let batch = CrawlBatch {
                crawl: self.crawl,
                visits: visits_only,
                follow_ups: self.follow_ups(),
            };
            let committed = self.progress.timed(Stage::Write, || match self.archives {
                true => self.store.commit_archived(batch, copies),
                false => self.store.commit_batch(batch),
            });
            match committed {
                Ok(committed) => {
                    let metrics = &self.metrics.crawls;
                    metrics.committed(self.source, &counts, &committed.counts);
                    counts = committed.counts;
                    metrics.raw_copies(committed.raw_kept, committed.raw_missed);
                    let now = Instant::now();
                    for received in received {
                        let took = now.saturating_duration_since(received);
                        metrics.page_duration.observe(took.as_secs_f64());
                        self.window.took(took, now);
                    }
                    self.progress.set_counts(&committed.counts);
                    self.progress
                        .bytes
                        .fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
                    report(Written::Committed {
                        report: committed,
                        visits,
                        pages,
                        endings,
                    });
                }
                Err(error) => {
                    report(Written::Failed(error));
                    return;
                }
            }
        }
    }
}

fn ending(visit: &Visit) -> Option<Ending> {
    let (reason, detail) = match &visit.result {
        VisitResult::Failed { reason, detail } => (reason.code(), detail),
        VisitResult::Skipped { reason, detail } => (reason.code(), detail),
        _ => return None,
    };
    Some(Ending {
        row: visit.row,
        reason,
        detail: detail.clone(),
    })
}
