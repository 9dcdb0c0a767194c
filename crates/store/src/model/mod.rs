//! The plain data that goes into and comes out of the store.

mod change_seqs;
mod crawl;
mod cursor;
mod embedding;
mod key;
mod llm;
mod notes;
mod page;
mod publishing;
mod record;
mod source;
mod summary;
mod task;
mod tenant;
mod webhook;

pub use change_seqs::ChangeSeqs;
pub use crawl::{
    BatchReport, CrawlBatch, CrawlControl, CrawlCounts, CrawlRow, CrawlStatus, FrontierKind,
    FrontierRow, HostBreaker, HostRow, Lease, NewUrl, PageUpsert, PageVisit, ReasonCount, TakenUp,
    UpsertOutcome, Visit, VisitResult,
};
pub use cursor::{PageCursor, PageSort};
pub use embedding::{
    ChunkVectors, EmbeddingModel, EmbeddingProgress, ModelChange, PendingChunk, StoredVector,
    VectorKind, VectorRow,
};
pub use key::{ApiKeyRow, NewApiKey, Scopes};
pub use llm::{LlmBudget, LlmReservationId, LlmReserve, LlmUse, LlmUseRow};
pub use notes::{NotesPatch, PageNotes};
pub use page::{
    ChunkRow, EmbedState, IndexDoc, NewVersion, PageChange, PageContent, PageDetail, PageFilter,
    PageRow, PageStatus, RawWaiting, RechunkReport, Rechunked, StoreStats, VersionRow,
};
pub use publishing::{Gap, Published, Publishing, PublishingCounts, Unpublished};
pub use record::{Facet, FacetCounts, RecordCursor, RecordFilter, RecordRow, RecordSort};
pub use source::{
    IntervalBounds, NewSource, NewSourceSpec, SourceEdit, SourceOutcome, SourcePlan, SourceRow,
    SourceSchedule,
};
pub use summary::{
    Entity, NewSummary, SaveOutcome, SummaryBacklog, SummaryCursor, SummaryFilter, SummaryRow,
    SummaryState, SummaryStats, SummaryWanted, SummaryWork,
};
pub use task::{
    Cancelled, Claim, ClaimedTask, EnqueueRunning, Enqueued, EverCount, Finish, Finished,
    HousekeepReport, KindLimit, KindLoad, NewTask, PausedQueue, QueueCount, QueueLoad,
    RescueReport, Retention, Signal, TaskEnd, TaskFilter, TaskRef, TaskRow,
};
pub use tenant::{Day, Quota, TenantRow, TenantStats, UsageDelta, UsageMetric, UsageRow};

pub use webhook::{
    DeliveryAttempt, DeliveryCounts, DeliveryFilter, DeliveryRow, DeliveryState, DeliveryVerdict,
    Endpoint, EventType, EventTypes, NewWebhook, OutboxReport, OutgoingDelivery, OutgoingEvent,
    WebhookAtWork, WebhookEdit, WebhookRow, WebhookSecret,
};

pub(crate) use cursor::{SortKey, SortValue, TITLE_CHARS};
pub(crate) use record::{NO_AMOUNT, NO_DATE, NO_PRICE};
