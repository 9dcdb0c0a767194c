//! The nouns of Gleaner, shared by every stage.
//!
//! A URL becomes a [`CanonicalUrl`], is fetched into bytes, extracted into a
//! [`Page`], cut into [`Chunk`]s, stored and searched. This crate holds those
//! words and the rules that make a wrong one impossible to say; nothing else.
//!
//! It deliberately does no IO, knows no async runtime and derives no serde:
//! database rows, API bodies and log lines are separate small structs owned by
//! the crate that writes them.

mod chunk;
mod ids;
mod outcome;
mod page;
mod record;
mod secret;
mod task;
mod time;
mod url;

pub use chunk::{Chunk, TextHash};
pub use ids::{
    ApiKeyId, ChunkId, CrawlId, DeliveryId, PageId, SourceId, TaskId, TenantId, WebhookId,
};
pub use outcome::{Change, FailReason, SkipReason, UrlOutcome};
pub use page::{
    Block, BlockKind, ContentHash, Directives, Heading, Image, Link, Page, simhash_distance,
};
pub use record::{
    AMOUNT_MAX, Availability, FACT_BYTES_MAX, Record, RecordKind, SKILLS_MAX, Salary, SalaryPeriod,
};
pub use secret::Secret;
pub use task::{Priority, PriorityClass, PriorityError, Progress, Stagger, TaskState};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
pub use url::{CanonicalUrl, HostKey, UrlError};
