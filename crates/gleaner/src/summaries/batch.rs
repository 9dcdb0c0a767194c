//! Many pages, several calls at a time, committed as they become ready.
//!
//! What a crash takes is what was not committed yet: the summaries of a moment,
//! whose pages are then asked about again. A page that has a summary
//! of its present text is in no selection, so nothing is done twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use store::{
    NewSummary, SaveOutcome, Store, StoreError, StoreErrorKind, SummaryState, SummaryWanted,
    SummaryWork,
};
use tokio::sync::watch;
use types::TenantId;

use super::PROMPT_VERSION;
use super::figures::Figures;
use super::page::{self, Halt, Made, PageText};
use super::prompt::Manner;
use crate::prompting::{CallRequest, LanguageModel, Purpose};
use crate::services::Services;

/// Pages read ahead, and summaries committed in one transaction at most.
const PAGES_PER_STEP: usize = 100;
/// What is ready is committed at least so often.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
/// Tries to commit what was paid for, and the pause between two.
const COMMIT_TRIES: u32 = 5;
const COMMIT_PAUSE: Duration = Duration::from_secs(2);
/// How often a wait looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Pages to summarise, in one database.
pub struct Batch<'a> {
    pub services: &'a Services,
    /// One database alone.
    pub store: &'a Store,
    pub wanted: SummaryWanted,
    /// `None`: the extractive summariser does it.
    pub model: Option<&'a LanguageModel>,
    /// Calls at a time.
    pub calls_max: usize,
    pub stop: watch::Receiver<bool>,
    /// Told of every page that was committed.
    pub on_page: &'a (dyn Fn(&PageDone, &Report) + Sync + 'a),
}

/// A page that has its summary.
#[derive(Clone, Debug)]
pub struct PageDone {
    pub url: String,
    pub state: SummaryState,
    pub error: Option<String>,
    pub figures: Figures,
    /// False: the page changed meanwhile, or another process was quicker.
    pub is_saved: bool,
}

/// What a batch came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub done: u64,
    pub fallback: u64,
    pub failed: u64,
    /// Pages that changed meanwhile, or that another process summarised.
    pub unsaved: u64,
    pub figures: Figures,
    pub ended: Ended,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// No page is left.
    #[default]
    Done,
    Stopped,
    /// The tenant's tokens of the day are used up; the rest waits.
    OutOfBudget {
        used: u64,
        max: u64,
    },
}

impl Report {
    pub fn pages(&self) -> u64 {
        self.done + self.fallback + self.failed
    }

    fn count(&mut self, done: &PageDone) {
        self.figures.add(&done.figures);
        let counter = match done.state {
            _ if !done.is_saved => &mut self.unsaved,
            SummaryState::Done => &mut self.done,
            SummaryState::Fallback => &mut self.fallback,
            SummaryState::Failed => &mut self.failed,
        };
        *counter += 1;
    }
}

struct Ready {
    work: SummaryWork,
    made: Result<Made, Halt>,
}

impl Batch<'_> {
    pub fn run(&self) -> Result<Report> {
        let threads = self.calls_max.max(1);
        let (work, work_out) = bounded::<SummaryWork>(threads);
        let (ready_in, ready) = bounded::<Ready>(PAGES_PER_STEP);
        // No page is begun once one has found that there is no going on.
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let is_over = &is_over;
            for _ in 0..threads {
                let (work_out, ready_in) = (work_out.clone(), ready_in.clone());
                scope.spawn(move || self.work(&work_out, &ready_in, is_over));
            }
            drop((work_out, ready_in));
            let feeding = Feed {
                wanted: &self.wanted,
                store: self.store,
                everywhere: &self.services.store,
                work,
                stop: &self.stop,
                is_over,
            };
            let fed = scope.spawn(move || feeding.run());
            let report = self.collect(&ready, is_over);
            if report.is_err() {
                is_over.store(true, Ordering::SeqCst);
            }
            // Whoever waits to hand something over is let go.
            drop(ready);
            let fed = fed.join();
            let report = report?;
            match fed {
                Ok(fed) => fed?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
            Ok(report)
        })
    }

    /// One page after the other, until there is none.
    fn work(&self, work: &Receiver<SummaryWork>, ready: &Sender<Ready>, is_over: &AtomicBool) {
        for page in work {
            if is_over.load(Ordering::SeqCst) {
                continue;
            }
            let made = self.summarize(&page);
            if made.is_err() {
                is_over.store(true, Ordering::SeqCst);
            }
            if ready.send(Ready { work: page, made }).is_err() {
                return;
            }
        }
    }

    fn summarize(&self, work: &SummaryWork) -> Result<Made, Halt> {
        let content = self.store.page_content(work.page).map_err(Halt::Store)?;
        let content = content.unwrap_or_default();
        let page = PageText {
            title: &work.title,
            language: work.language.as_deref(),
            text: &content.text,
            blocks: &content.blocks,
        };
        let Some(model) = self.model else {
            let _permit = self.services.permits.take();
            return page::summarize(page, None);
        };
        let mut ask = |prompt: &llm::Prompt| {
            model.call_blocking(CallRequest {
                tenant: self.wanted.tenant,
                purpose: Purpose::Summary,
                prompt,
                on_text: None,
                stop: Some(self.stop.clone()),
            })
        };
        page::summarize(page, Some((Manner::of(model), &mut ask)))
    }

    /// Commits what is ready, until nothing comes any more.
    fn collect(&self, ready: &Receiver<Ready>, is_over: &AtomicBool) -> Result<Report> {
        let mut report = Report::default();
        let mut held: Vec<(SummaryWork, Made)> = Vec::new();
        let mut committed = Instant::now();
        loop {
            let is_last = match ready.recv_timeout(LOOK_EVERY) {
                Ok(Ready {
                    work,
                    made: Ok(made),
                }) => {
                    held.push((work, made));
                    false
                }
                Ok(Ready {
                    made: Err(halt), ..
                }) => {
                    is_over.store(true, Ordering::SeqCst);
                    match halt {
                        Halt::Stopped => report.ended = Ended::Stopped,
                        Halt::Budget { used, max } => {
                            report.ended = Ended::OutOfBudget { used, max };
                        }
                        Halt::Store(error) => {
                            self.commit(&mut held, &mut report)?;
                            return Err(error.into());
                        }
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            let is_due = committed.elapsed() >= COMMIT_EVERY || held.len() >= PAGES_PER_STEP;
            if is_last || is_due {
                self.commit(&mut held, &mut report)?;
                committed = Instant::now();
            }
            if is_last {
                if *self.stop.borrow() && report.ended == Ended::Done {
                    report.ended = Ended::Stopped;
                }
                return Ok(report);
            }
        }
    }

    fn commit(&self, held: &mut Vec<(SummaryWork, Made)>, report: &mut Report) -> Result<()> {
        if held.is_empty() {
            return Ok(());
        }
        let rows: Vec<NewSummary> = held.iter().map(|(work, made)| row(work, made)).collect();
        let outcomes = save(self.store, self.wanted.tenant, &rows)?;
        let fallbacks = held.iter().map(|(_, made)| made.figures.fallbacks).sum();
        if let (Some(model), 1..) = (self.model, fallbacks) {
            model.note_fallbacks(self.wanted.tenant, Purpose::Summary, fallbacks)?;
        }
        for ((work, made), outcome) in held.drain(..).zip(outcomes) {
            let done = PageDone {
                url: work.url,
                state: made.state,
                error: made.error,
                figures: made.figures,
                is_saved: outcome == SaveOutcome::Saved,
            };
            report.count(&done);
            (self.on_page)(&done, report);
        }
        Ok(())
    }
}

/// Hands out pages by their id, so that none comes twice in one batch.
struct Feed<'a> {
    wanted: &'a SummaryWanted,
    store: &'a Store,
    everywhere: &'a Store,
    work: Sender<SummaryWork>,
    stop: &'a watch::Receiver<bool>,
    is_over: &'a AtomicBool,
}

impl Feed<'_> {
    fn run(self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let pages = self
                .store
                .pages_to_summarize(self.wanted, after, PAGES_PER_STEP)?;
            let Some(last) = pages.last() else {
                return Ok(());
            };
            after = Some(last.page);
            // Also of other databases: what was paid for once is not asked again.
            let pages = self.everywhere.reuse_summaries(self.wanted.tenant, pages)?;
            for mut page in pages {
                loop {
                    if *self.stop.borrow() || self.is_over.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    match self.work.send_timeout(page, LOOK_EVERY) {
                        Ok(()) => break,
                        Err(error) if error.is_timeout() => page = error.into_inner(),
                        Err(_) => return Ok(()),
                    }
                }
            }
        }
    }
}

fn row(work: &SummaryWork, made: &Made) -> NewSummary {
    let written = made.written.clone();
    let figures = made.figures;
    NewSummary {
        page: work.page,
        content_hash: work.content_hash,
        state: made.state,
        model: made.model.clone(),
        prompt_version: PROMPT_VERSION,
        language: work.language.clone(),
        title: written.title,
        summary: written.summary,
        key_points: written.key_points,
        entities: written.entities,
        category: written.category,
        tokens_in: figures.tokens_in,
        tokens_out: figures.tokens_out,
        took_ms: figures.took_ms,
        calls: u32::try_from(figures.calls()).unwrap_or(u32::MAX),
        error: made.error.clone(),
    }
}

/// Stores what was paid for, also when the database is away for a moment.
fn save(
    store: &Store,
    tenant: TenantId,
    rows: &[NewSummary],
) -> Result<Vec<SaveOutcome>, StoreError> {
    let mut tries = 1;
    loop {
        match store.save_summaries(tenant, rows.to_vec()) {
            Err(error) if error.kind() == StoreErrorKind::Unavailable && tries < COMMIT_TRIES => {
                tries += 1;
                tracing::warn!(%error, summaries = rows.len(), "summaries cannot be stored yet");
                std::thread::park_timeout(COMMIT_PAUSE);
            }
            saved => return saved,
        }
    }
}
