//! Summaries as a task: of a source, of chosen pages, or of all a tenant has.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use store::{Day, NewTask, Store, SummaryState, SummaryWanted, TaskFilter};
use types::{PageId, Priority, Progress, SourceId, TaskId, TaskState, TenantId, Timestamp};

use super::kind::{Foreground, Outcome, TaskContext, TaskFailure, TaskKind};
use super::new::{self, SUMMARIZE};
use crate::prompting::LanguageModel;
use crate::summaries::Figures;
use crate::summaries::batch::{Batch, Ended, PageDone, Report};

/// Payload of [`SUMMARIZE`]: which pages of one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummarizePayload {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<i64>,
    /// Only these; all of the source, or of the tenant, unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<Vec<i64>>,
    /// Also pages whose summary is in one of these states: `failed`, `fallback`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<String>,
    /// … if it is older than this: what the task itself has made is not made again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_before_ms: Option<i64>,
    /// Without the language model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extractive: bool,
}

/// Result of [`SUMMARIZE`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SummarizeOutcome {
    /// Pages that have a summary now: the sum of the next three.
    pub pages: u64,
    /// Written by the model.
    pub done: u64,
    /// Made of the page's own sentences.
    pub fallback: u64,
    /// Without any text.
    pub failed: u64,
    /// Pages that changed meanwhile, or that another process summarised.
    pub unsaved: u64,
    /// `done`, `stopped` or `budget`.
    pub ended: String,
    /// Empty: none was asked.
    pub model: String,
    pub seconds: f64,
    /// What the calls of this batch came to.
    pub llm: Figures,
}

impl SummarizeOutcome {
    /// Every page that waited has a summary now.
    pub fn is_whole(&self) -> bool {
        self.ended == "done" && self.failed + self.unsaved == 0
    }
}

impl SummarizePayload {
    pub fn wanted(&self, tenant: TenantId) -> Result<SummaryWanted, TaskFailure> {
        let again = self.again.iter().map(|code| {
            SummaryState::from_code(code).ok_or_else(|| {
                TaskFailure::Permanent(anyhow::anyhow!("there is no summary state `{code}`"))
            })
        });
        let pages = self.pages.as_ref();
        Ok(SummaryWanted {
            tenant,
            source: self.source.map(SourceId),
            pages: pages.map(|pages| pages.iter().copied().map(PageId).collect()),
            again: again.collect::<Result<_, _>>()?,
            again_before: self.again_before_ms.map(Timestamp),
        })
    }

    /// Whatever waits of a source or a tenant, rather than what was chosen once.
    fn is_of_all_that_waits(&self) -> bool {
        self.pages.is_none() && self.again.is_empty()
    }
}

/// All of a source or a tenant is queued once, however often it is asked for.
pub fn summarize_task(tenant: TenantId, payload: &SummarizePayload) -> anyhow::Result<NewTask> {
    let mut task = new::task(tenant, SUMMARIZE, payload)?;
    if payload.is_of_all_that_waits() {
        let source = payload.source.unwrap_or(0);
        let by = if payload.extractive {
            "sentences"
        } else {
            "model"
        };
        task.dedupe = Some(format!("summarize {source} {by}"));
    }
    Ok(task)
}

/// What a source whose pages are summarised by themselves asks for after a
/// crawl, if any of them waits; `store` is the database that has the source.
/// Nobody waits for it, so it goes behind what somebody asked for.
pub(super) fn after_crawl(
    store: &Store,
    tenant: TenantId,
    source: SourceId,
) -> Result<Option<NewTask>, TaskFailure> {
    let payload = SummarizePayload {
        source: Some(source.0),
        ..SummarizePayload::default()
    };
    let waiting = store.count_to_summarize(&payload.wanted(tenant)?)?;
    if waiting.pages == 0 {
        return Ok(None);
    }
    let mut task = summarize_task(tenant, &payload)?;
    task.priority = Priority::LOW;
    Ok(Some(task))
}

/// Gives pages their summaries. Two at a time are enough to use up any limit of
/// a model, and leave slots to crawls.
#[derive(Debug)]
pub struct Summarize;

impl TaskKind for Summarize {
    fn name(&self) -> &'static str {
        SUMMARIZE
    }

    fn running_max(&self) -> u32 {
        2
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure> {
        let payload: SummarizePayload = context.payload()?;
        let services = &context.services;
        let store = context.store()?;
        let tenant = context.task.tenant;
        let wanted = payload.wanted(tenant)?;
        if let Some(other) = under_way(&store, context.id(), tenant, &payload)? {
            return Ok(Outcome::Later {
                after: BUSY_FOR,
                why: format!("task {other} summarises these pages"),
            });
        }
        let model = if payload.extractive {
            None
        } else {
            services.language_model()
        };
        let total = store.count_to_summarize(&wanted)?.pages;
        let shown = Arc::new(Mutex::new(Progress {
            total: Some(total),
            ..Progress::default()
        }));
        let gauge = shown.clone();
        context.show(move || lock(&gauge).clone());
        let settings = &services.app.config.llm;
        let on_page = |done: &PageDone, report: &Report| {
            let mut progress = lock(&shown);
            progress.completed = report.pages();
            progress.errors = report.fallback + report.failed;
            progress.current = Some(done.url.clone());
            drop(progress);
            if let Some(foreground) = &context.foreground {
                foreground.tell(done, report);
            }
        };
        let started = Instant::now();
        let batch = Batch {
            services,
            store: &store,
            wanted,
            model,
            calls_max: model.map_or(settings.calls_max, LanguageModel::summaries_max) as usize,
            stop: context.stop(),
            on_page: &on_page,
        };
        let report = batch.run()?;
        let outcome = SummarizeOutcome {
            pages: report.pages(),
            done: report.done,
            fallback: report.fallback,
            failed: report.failed,
            unsaved: report.unsaved,
            ended: ended(&report).to_owned(),
            model: model.map_or_else(String::new, |model| model.name().to_owned()),
            seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            llm: report.figures,
        };
        if let Some(foreground) = &context.foreground {
            foreground.summarized(outcome.clone());
        }
        match report.ended {
            Ended::Done => Outcome::done(outcome),
            Ended::Stopped => Ok(Outcome::Stopped),
            Ended::OutOfBudget { used, max } => Ok(Outcome::Later {
                after: until_tomorrow(services.app.clock.now()),
                why: format!(
                    "the tenant's tokens of the day are used up ({used} of {max}); it goes on tomorrow"
                ),
            }),
        }
    }
}

/// A task that waits for another one looks again after so long.
const BUSY_FOR: Duration = Duration::from_secs(60);

/// The task that began before this one to work off the same pages. Both would
/// take them in the same order, and each page would be paid for twice.
fn under_way(
    store: &Store,
    id: TaskId,
    tenant: TenantId,
    payload: &SummarizePayload,
) -> Result<Option<TaskId>, TaskFailure> {
    if !payload.is_of_all_that_waits() {
        return Ok(None);
    }
    let running = TaskFilter {
        kind: Some(SUMMARIZE.to_owned()),
        states: vec![TaskState::Running],
        ..TaskFilter::default()
    };
    let running = store.tasks(tenant, &running)?;
    let same = running.iter().filter(|task| {
        serde_json::from_str::<SummarizePayload>(&task.payload).is_ok_and(|of| of == *payload)
    });
    let first = same.min_by_key(|task| (task.started_at, task.id));
    Ok(first.map(|task| task.id).filter(|first| *first != id))
}

fn ended(report: &Report) -> &'static str {
    match report.ended {
        Ended::Done => "done",
        Ended::Stopped => "stopped",
        Ended::OutOfBudget { .. } => "budget",
    }
}

/// Budgets are of days in UTC.
fn until_tomorrow(now: Timestamp) -> Duration {
    let tomorrow = Day(Day::of(now).0 + 1).start();
    Duration::from_millis(tomorrow.0.saturating_sub(now.0).max(0).unsigned_abs())
}

impl Foreground {
    fn tell(&self, done: &PageDone, report: &Report) {
        if let Some(on_page) = &self.on_page {
            on_page(done, report);
        }
    }

    fn summarized(&self, outcome: SummarizeOutcome) {
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}

fn lock(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_utc() {
        let noon = Timestamp(Day(20_000).start().0 + 12 * 3_600_000);
        assert_eq!(until_tomorrow(noon), Duration::from_secs(12 * 3600));
        assert_eq!(
            until_tomorrow(Day(20_000).start()),
            Duration::from_secs(24 * 3600)
        );
    }

    #[test]
    fn all_that_waits_has_a_key_and_a_choice_has_none() {
        let key = |payload: SummarizePayload| {
            let task = summarize_task(TenantId(1), &payload).expect("a task");
            task.dedupe
        };
        let of_source = SummarizePayload {
            source: Some(3),
            ..SummarizePayload::default()
        };
        let chosen = SummarizePayload {
            pages: Some(vec![7]),
            ..of_source.clone()
        };
        assert_eq!(key(of_source).as_deref(), Some("summarize 3 model"));
        assert_eq!(key(chosen), None);
    }

    #[test]
    fn payloads_name_states() {
        let payload = SummarizePayload {
            again: vec!["fallback".to_owned()],
            ..SummarizePayload::default()
        };
        let wanted = payload.wanted(types::TenantId(1)).expect("a selection");
        assert_eq!(wanted.again, [SummaryState::Fallback]);
        let wrong = SummarizePayload {
            again: vec!["dnoe".to_owned()],
            ..SummarizePayload::default()
        };
        assert!(wrong.wanted(types::TenantId(1)).is_err());
    }
}
