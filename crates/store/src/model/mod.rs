//! The plain data that goes into and comes out of the store.

mod crawl;
mod embedding;
mod page;
mod source;
mod task;

pub use crawl::{
    BatchReport, CrawlBatch, CrawlControl, CrawlCounts, CrawlRow, CrawlStatus, FrontierKind,
    FrontierRow, HostRow, Lease, NewUrl, PageVisit, ReasonCount, TakenUp, Visit, VisitResult,
};
pub use embedding::{
    ChunkVectors, EmbeddingModel, EmbeddingProgress, ModelChange, PendingChunk, StoredVector,
    VectorKind, VectorRow,
};
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
