//! What a finished crawl means for its source: when it is due again.

use std::time::Duration;

use anyhow::Result;
use frontier::{ChangeRate, Cron, RecrawlPolicy, failure_delay, is_flagged};
use store::{CrawlStatus, SourceOutcome, SourceRow, SourceSchedule};
use types::Timestamp;

use super::outcome::CrawlOutcome;
use crate::pipeline::crawl::CrawlReport;
use crate::services::Services;

/// Notes the outcome with the source, once. A crawl that stored nothing failed.
pub fn record(
    services: &Services,
    source: &SourceRow,
    report: &CrawlReport,
    outcome: &CrawlOutcome,
) -> Result<()> {
    // By an earlier run of the same task, which did not get any further.
    let ended = report.row.finished_at;
    let was_recorded = ended.is_some_and(|ended| source.last_crawled_at > Some(ended));
    if report.row.status == CrawlStatus::Cancelled || was_recorded {
        return Ok(());
    }
    let now = services.app.clock.now();
    let pages = outcome.pages;
    if pages.stored() == 0 {
        let failures = source.failures_in_a_row + 1;
        let why = outcome.errors.first().map_or_else(
            || "no page could be stored".to_owned(),
            |problem| format!("{}: {} ({})", problem.url, problem.detail, problem.reason),
        );
        let next_due = after_failure(source, now, failures)?;
        let failed = SourceOutcome::Failed {
            why,
            flag: is_flagged(failures),
        };
        services
            .store
            .record_source_outcome(source.id, failed, next_due)?;
        return Ok(());
    }
    let change = ChangeRate {
        changed: pages.added + pages.updated,
        seen: pages.stored(),
    };
    let interval = adapted(source, change);
    let crawled = SourceOutcome::Crawled { at: now, interval };
    let next_due = match interval {
        Some(interval) => Some(now.plus(interval)),
        None => next_due(&source.schedule, source.interval, now)?,
    };
    services
        .store
        .record_source_outcome(source.id, crawled, next_due)?;
    Ok(())
}

/// When a source with this schedule is due after `now`; `None`: only when asked.
pub fn next_due(
    schedule: &SourceSchedule,
    interval: Option<Duration>,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    if let Some(cron) = &schedule.cron {
        return Ok(Some(Cron::parse(cron)?.next_after(now)));
    }
    let interval = interval
        .or(schedule.every)
        .or(schedule.adaptive.map(|bounds| bounds.min));
    Ok(interval.map(|interval| now.plus(interval)))
}

/// The first crawl of a source adds everything, which says nothing of how
/// often it changes.
fn adapted(source: &SourceRow, change: ChangeRate) -> Option<Duration> {
    let bounds = source.schedule.adaptive?;
    let previous = source
        .interval
        .or(source.schedule.every)
        .unwrap_or(bounds.min);
    if source.last_crawled_at.is_none() {
        return Some(previous.clamp(bounds.min, bounds.max));
    }
    let policy = RecrawlPolicy {
        min: bounds.min,
        max: bounds.max,
    };
    Some(policy.next_interval(previous, change))
}

fn after_failure(source: &SourceRow, now: Timestamp, failures: u32) -> Result<Option<Timestamp>> {
    let Some(regular) = next_due(&source.schedule, source.interval, now)? else {
        return Ok(None);
    };
    let max = source.schedule.adaptive.map(|bounds| bounds.max);
    let delay = failure_delay(regular.since(now), failures, max);
    Ok(Some(now.plus(delay)))
}
