//! Publishing events to a stream, of all tenants.
//!
//! One run at a time, over all processes. What is to be published, and how far
//! it is, stands in the store: a run that dies is followed by another one,
//! which publishes the same events under the same ids. Should a run that was
//! taken for dead go on, the store takes only what the first of the two says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use store::{PUBLISH_EVENTS, Publishing, publish_task};
use types::TenantId;

use super::kind::{Outcome, StopReason, TaskContext, TaskFailure, TaskKind};
use crate::publishing::{self, Round, Target};

/// Then the next run goes on, so that none runs for ever.
const SLICE: Duration = Duration::from_secs(60);
/// A run waits so long for more before it gives its connection up.
const LINGER: Duration = Duration::from_secs(2);
/// How often it is looked for more meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often somebody who publishes says that it still does.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// Only who has the settings takes these tasks.
#[derive(Debug, Default)]
pub struct PublishEvents {
    /// After a failure.
    not_before: Mutex<Option<Instant>>,
}

impl TaskKind for PublishEvents {
    fn name(&self) -> &'static str {
        PUBLISH_EVENTS
    }

    /// Two would send repeats, and take turns at moving the places.
    fn running_max(&self) -> u32 {
        1
    }

    fn is_light(&self) -> bool {
        true
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure> {
        let services = &context.services;
        let store = context.store()?;
        let Some(publishing) = publishing::renew(&services.app, &store)? else {
            // Switched off; this process switches it on when it starts again.
            return Ok(done(0, None, None));
        };
        let now = services.app.clock.now();
        let again = |after: Duration| Some(now.plus(after));
        if let Some(wait) = self.to_wait() {
            return Ok(done(0, None, again(wait)));
        }
        let published = Arc::new(AtomicU64::new(0));
        let shown = published.clone();
        context.show(move || types::Progress {
            completed: shown.load(Ordering::Relaxed),
            ..types::Progress::default()
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the network runtime")?;
        let ended = runtime.block_on(until_done(context, &publishing, &published));
        let published = published.load(Ordering::Relaxed);
        if let Some(StopReason::Cancelled | StopReason::Lost) = context.stop_reason() {
            return Ok(Outcome::Stopped);
        }
        let is_on = store.publishing()?.is_some();
        let again = |after: Duration| again(after).filter(|_| is_on);
        match ended {
            Ok(Ended::Idle) => Ok(done(published, None, again(RENEW_EVERY))),
            // A task that went back into the queue would be a second one there.
            Ok(Ended::More) => Ok(done(published, None, again(Duration::ZERO))),
            Err(error) if error.is::<store::StoreError>() => Err(error.into()),
            Err(error) => {
                let error = format!("{error:#}");
                services.metrics.events.failed();
                tracing::warn!(%error, "could not publish events; they wait");
                let wait = Duration::from_secs(services.app.config.events.retry_s.max(1));
                self.wait_for(wait);
                Ok(done(published, Some(error), again(wait)))
            }
        }
    }
}

impl PublishEvents {
    fn to_wait(&self) -> Option<Duration> {
        let until = *self
            .not_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let wait = until?.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    fn wait_for(&self, wait: Duration) {
        let until = Instant::now() + wait;
        *self
            .not_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

/// A failure of the servers is no failure of the task: its next run tries again,
/// for as long as it takes, and no events queue a second one beside it.
fn done(published: u64, error: Option<String>, next: Option<types::Timestamp>) -> Outcome {
    Outcome::Done {
        result: Some(serde_json::json!({"published": published, "error": error})),
        follow_ups: next.map(publish_task).into_iter().collect(),
    }
}

enum Ended {
    /// Nothing waits.
    Idle,
    /// Its time is up.
    More,
}

async fn until_done(
    context: &TaskContext,
    publishing: &Publishing,
    published: &AtomicU64,
) -> Result<Ended> {
    let services = &context.services;
    let (store, metrics) = (&context.store()?, &services.metrics.events);
    let target = Target::new(&services.app.config.events)?;
    let mut stop = context.stop();
    let is_stopped = || context.stop_reason().is_some();
    let begun = Instant::now();
    let mut worked = begun;
    let mut last = TenantId(0);
    let mut round: Option<Round<'_>> = None;
    while !is_stopped() {
        if begun.elapsed() >= SLICE {
            return Ok(Ended::More);
        }
        let read = store.unpublished(last)?;
        let Some(last_read) = read.last() else {
            if round.is_none() || worked.elapsed() >= LINGER {
                return Ok(Ended::Idle);
            }
            // Ends early when somebody wants it to stop.
            let _ = tokio::time::timeout(LOOK_EVERY, stop.changed()).await;
            continue;
        };
        last = last_read.tenant;
        let round = match &round {
            Some(round) => round,
            None => {
                let begun = Round::begin(&target, &publishing.origin, metrics).await?;
                round.insert(begun)
            }
        };
        let (done, failed) = publishing::publish(round, &read, &is_stopped).await?;
        let events: u64 = done.iter().map(|one| one.events).sum();
        if !done.is_empty() {
            store.record_published(done)?;
        }
        published.fetch_add(events, Ordering::Relaxed);
        worked = Instant::now();
        if let Some(failed) = failed {
            return Err(failed.0);
        }
    }
    Ok(Ended::More)
}
