//! The plain data that goes into and comes out of the store.

mod crawl;
mod cursor;
mod embedding;
mod key;
mod notes;
mod page;
mod source;
mod task;
mod tenant;

pub use crawl::{
    BatchReport, CrawlBatch, CrawlControl, CrawlCounts, CrawlRow, CrawlStatus, FrontierKind,
    FrontierRow, HostRow, Lease, NewUrl, PageVisit, ReasonCount, TakenUp, Visit, VisitResult,
};
pub use cursor::{PageCursor, PageSort};
pub use embedding::{
    ChunkVectors, EmbeddingModel, EmbeddingProgress, ModelChange, PendingChunk, StoredVector,
    VectorKind, VectorRow,
};
pub use key::{ApiKeyRow, NewApiKey, Scopes};
pub use notes::{NotesPatch, PageNotes};
pub use page::{
    ChunkRow, EmbedState, IndexDoc, PageChange, PageContent, PageDetail, PageFilter, PageRow,
    PageStatus, RechunkReport, Rechunked, StoreStats, VersionRow,
};
pub use source::{
    IntervalBounds, NewSource, NewSourceSpec, SourceEdit, SourceOutcome, SourceRow, SourceSchedule,
};
pub use task::{
    Cancelled, Claim, ClaimedTask, EnqueueRunning, Enqueued, EverCount, Finish, Finished,
    HousekeepReport, KindLimit, NewTask, PausedQueue, QueueCount, RescueReport, Retention, Signal,
    TaskEnd, TaskFilter, TaskRef, TaskRow,
};
pub use tenant::{Day, Quota, TenantRow, TenantStats, UsageDelta, UsageMetric, UsageRow};

pub(crate) use cursor::{SortKey, SortValue, TITLE_CHARS};
