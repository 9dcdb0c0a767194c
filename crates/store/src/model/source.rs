//! Sources: what is crawled again and again, and when.

use std::time::Duration;

use types::{SourceId, TenantId, Timestamp};

use super::crawl::CrawlRow;
use super::task::NewTask;

/// A place to crawl. The set of seeds is its identity within a tenant.
#[derive(Clone, Debug)]
pub struct NewSource {
    pub tenant: TenantId,
    pub name: String,
    pub seeds: Vec<String>,
    /// JSON, opaque here.
    pub policy: String,
}

/// A source to add, with when it is to be crawled.
#[derive(Clone, Debug)]
pub struct NewSourceSpec {
    pub source: NewSource,
    /// What reads it: `web`.
    pub kind: String,
    /// False: never due.
    pub active: bool,
    pub schedule: SourceSchedule,
    /// JSON object: settings that differ for its crawls. At most 64 KiB.
    pub settings: String,
    pub next_due_at: Option<Timestamp>,
}

impl From<NewSource> for NewSourceSpec {
    /// An active source without a schedule or settings.
    fn from(source: NewSource) -> NewSourceSpec {
        NewSourceSpec {
            source,
            kind: "web".to_owned(),
            active: true,
            schedule: SourceSchedule::default(),
            settings: "{}".to_owned(),
            next_due_at: None,
        }
    }
}

/// How often a source is crawled: at fixed times or after an interval, which
/// may adapt. All empty: only when asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceSchedule {
    /// From one crawl to the next; where an adaptive interval starts.
    pub every: Option<Duration>,
    /// Not together with an interval. Opaque here.
    pub cron: Option<String>,
    /// Between these, the interval follows how much changes.
    pub adaptive: Option<IntervalBounds>,
}

/// Both more than zero, `min` not above `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalBounds {
    pub min: Duration,
    pub max: Duration,
}

/// What to change of a source; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct SourceEdit {
    pub name: Option<String>,
    pub seeds: Option<Vec<String>>,
    pub policy: Option<String>,
    pub kind: Option<String>,
    pub active: Option<bool>,
    /// Another schedule also forgets the interval that the old one arrived at.
    pub schedule: Option<SourceSchedule>,
    pub settings: Option<String>,
}

/// What is to become of a source, and what is to be done with it.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    /// Instead of those it has; `None`: these stay.
    pub settings: Option<String>,
    pub task: NewTask,
}

/// How a crawl of a source ended, for its schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceOutcome {
    Crawled {
        at: Timestamp,
        /// The adaptive interval from now on; `None` leaves it.
        interval: Option<Duration>,
    },
    Failed {
        why: String,
        /// It failed so often that a person should look: shown as its trouble.
        flag: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct SourceRow {
    pub id: SourceId,
    pub tenant: TenantId,
    pub name: String,
    pub seeds: Vec<String>,
    pub policy: String,
    pub kind: String,
    pub active: bool,
    pub schedule: SourceSchedule,
    /// What an adaptive interval has arrived at; `None` before the first crawl.
    pub interval: Option<Duration>,
    pub next_due_at: Option<Timestamp>,
    /// End of the last crawl that succeeded.
    pub last_crawled_at: Option<Timestamp>,
    pub failures_in_a_row: u32,
    /// Why it is flagged.
    pub trouble: Option<String>,
    pub settings: String,
    pub created_at: Timestamp,
    /// Removed sources are in no list and never due.
    pub removed_at: Option<Timestamp>,
    /// Removed, and not all of its pages are deleted yet.
    pub purging: bool,
    /// Live pages whose content came in through this source.
    pub page_count: u64,
    pub last_crawl: Option<CrawlRow>,
}
