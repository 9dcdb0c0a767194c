//! All durable state of Gleaner in one transaction scope, in an embedded SQLite
//! database or on a PostgreSQL server.
//!
//! One thread owns the write connection and commits what is waiting as a
//! group; reads run beside it on a few read-only connections. Several processes
//! may have one directory or one server's database open: their groups take
//! turns. Operations are written once, in the SQL that both engines share
//! (`sql`); what differs is below them, in `sqlite` and `postgres`.
//!
//! This crate deliberately fetches, extracts, chunks and embeds nothing, ranks
//! nothing and spawns no async task: its methods block. Keyword and vector
//! indexes are derived elsewhere from what [`Store::pages_changed_since`] and
//! [`Store::vectors_since`] replay.
//!
//! Start with [`Store`], [`CrawlBatch`] (all that a crawl writes), [`PageRow`]
//! (what readers see) and, for queued work, [`NewTask`] and [`Claim`].

mod error;
mod model;
mod options;
mod store;

mod batch;
mod breakers;
mod catalogue;
mod crawls;
mod draining;
mod embedding;
mod fan_out;
mod frontier;
mod hosts;
mod index;
mod instances;
mod keys;
mod listing;
mod llm;
mod newest;
mod notes;
mod outbox;
mod pages;
mod placement;
mod publishing;
mod quotas;
mod raw;
mod reasons;
mod rebalance;
mod records;
mod removal;
mod schedule;
mod schema;
mod search_tables;
mod sources;
mod summaries;
mod tasks;
mod tenants;
mod transfer;
mod usage;
mod webhooks;

mod codec;
mod counters;
mod late;
mod location;
mod postgres;
mod presence;
mod readers;
mod rows;
mod shard;
mod sql;
mod sqlite;
mod watch;
mod writer;

#[cfg(test)]
mod plans;

pub use catalogue::{ShardRow, Standing};
pub use error::{StoreError, StoreErrorKind};
pub use fan_out::{also_absent, noting_absent};
pub use model::{
    ApiKeyRow, BatchReport, Cancelled, ChangeSeqs, ChunkRow, ChunkVectors, Claim, ClaimedTask,
    CrawlBatch, CrawlControl, CrawlCounts, CrawlRow, CrawlStatus, Day, DeliveryAttempt,
    DeliveryCounts, DeliveryFilter, DeliveryRow, DeliveryState, DeliveryVerdict, EmbedState,
    EmbeddingModel, EmbeddingProgress, Endpoint, EnqueueRunning, Enqueued, Entity, EventType,
    EventTypes, EverCount, Facet, FacetCounts, Finish, Finished, FrontierKind, FrontierRow, Gap,
    HostBreaker, HostRow, HousekeepReport, IndexDoc, IntervalBounds, KindLimit, KindLoad, Lease,
    LlmBudget, LlmReservationId, LlmReserve, LlmUse, LlmUseRow, ModelChange, NewApiKey, NewSource,
    NewSourceSpec, NewSummary, NewTask, NewUrl, NewVersion, NewWebhook, NotesPatch, OutboxReport,
    OutgoingDelivery, OutgoingEvent, PageChange, PageContent, PageCursor, PageDetail, PageFilter,
    PageNotes, PageRow, PageSort, PageStatus, PageUpsert, PageVisit, PausedQueue, PendingChunk,
    Published, Publishing, PublishingCounts, QueueCount, QueueLoad, Quota, RawWaiting, ReasonCount,
    RechunkReport, Rechunked, RecordCursor, RecordFilter, RecordRow, RecordSort, RescueReport,
    Retention, SaveOutcome, Scopes, Signal, SourceEdit, SourceOutcome, SourcePlan, SourceRow,
    SourceSchedule, StoreStats, StoredVector, SummaryBacklog, SummaryCursor, SummaryFilter,
    SummaryRow, SummaryState, SummaryStats, SummaryWanted, SummaryWork, TakenUp, TaskEnd,
    TaskFilter, TaskRef, TaskRow, TenantRow, TenantStats, Unpublished, UpsertOutcome, UsageDelta,
    UsageMetric, UsageRow, VectorKind, VectorRow, VersionRow, Visit, VisitResult, WebhookAtWork,
    WebhookEdit, WebhookRow, WebhookSecret,
};
pub use options::{Access, DirectUrls, StoreOptions, Synchronous};
pub use outbox::{SEND_EVENTS, send_task};
pub use placement::ShardNumber;
pub use postgres::SchemaState;
pub use publishing::{PUBLISH_EVENTS, publish_task};
pub use raw::RawCopies;
pub use rebalance::{Misplaced, SourceMove, SourceMoveProgress, SourceMoveStage};
pub use schema::SchemaRow;
pub use search_tables::{
    NearVector, SearchCandidates, SearchCorpus, SearchFilter, SearchPage, SearchProgress,
    SearchTables, SearchTerm, SearchWord, SearchWriter, SearchedPage, VectorScope, VectorsDone,
};
pub use store::Store;
pub use transfer::{
    Move, MoveDestination, MoveProgress, MoveStage, MovedTable, Place, Selection, TableSize,
};
pub use watch::{Commit, Subscription};
pub use webhooks::{DELIVERY_EVENTS_MAX, WEBHOOKS_MAX};
pub use writer::WriteStats;
