//! Tasks as they are enqueued: the names of their kinds and their defaults.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use store::{NewTask, PUBLISH_EVENTS, SEND_EVENTS};
use types::{Priority, TenantId};

pub const CRAWL: &str = "crawl";
pub const SCRAPE: &str = "scrape";
pub const SCRAPE_BATCH: &str = "scrape_batch";
pub const EMBED: &str = "embed";
pub const RECHUNK: &str = "rechunk";
pub const SUMMARIZE: &str = "summarize";
pub const HOUSEKEEPING: &str = "housekeeping";

/// Every kind there is.
pub const KINDS: [&str; 9] = [
    CRAWL,
    SCRAPE,
    SCRAPE_BATCH,
    EMBED,
    RECHUNK,
    SUMMARIZE,
    HOUSEKEEPING,
    SEND_EVENTS,
    PUBLISH_EVENTS,
];

/// Of one attempt.
pub const TIMEOUT: Duration = Duration::from_secs(30 * 60);
const ATTEMPTS_MAX: u32 = 5;

/// A task of default priority, due now.
pub fn task(tenant: TenantId, kind: &str, payload: &impl Serialize) -> Result<NewTask> {
    Ok(NewTask {
        tenant,
        kind: kind.to_owned(),
        payload: serde_json::to_string(payload)?,
        priority: Priority::DEFAULT,
        run_at: None,
        attempts_max: ATTEMPTS_MAX,
        timeout: TIMEOUT,
        dedupe: None,
        parent: None,
    })
}

/// How long chunks of a crawl that goes on wait for their vectors, so that they
/// are embedded by the hundred rather than batch by batch.
pub const EMBED_LINGER: Duration = Duration::from_secs(10);

/// The embedding backlog, once however often it is asked for.
pub fn embed(tenant: TenantId) -> NewTask {
    single(tenant, EMBED)
}

/// Clears away what has done its service.
pub fn housekeeping(tenant: TenantId) -> NewTask {
    single(tenant, HOUSEKEEPING)
}

/// Cuts pages anew whose chunks were made with other settings.
pub fn rechunk(tenant: TenantId) -> NewTask {
    single(tenant, RECHUNK)
}

/// At most one of the kind waits.
fn single(tenant: TenantId, kind: &str) -> NewTask {
    NewTask {
        tenant,
        kind: kind.to_owned(),
        payload: "{}".to_owned(),
        priority: Priority::LOW,
        run_at: None,
        attempts_max: ATTEMPTS_MAX,
        timeout: TIMEOUT,
        dedupe: Some(kind.to_owned()),
        parent: None,
    }
}
