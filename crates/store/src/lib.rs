//! All durable state of Gleaner in one transaction scope, on embedded SQLite.
//!
//! One thread owns the write connection and commits what is waiting as a
//! group; reads run beside it on a few read-only connections. Every operation
//! takes plain data and gives plain data back, so that another engine can
//! stand behind the same [`Store`].
//!
//! This crate deliberately fetches, extracts, chunks and embeds nothing, ranks
//! nothing and spawns no async task: its methods block. Keyword and vector
//! indexes are derived elsewhere from what [`Store::pages_changed_since`] and
//! [`Store::vectors_since`] replay.
//!
//! Start with [`Store`], [`CrawlBatch`] (all that a crawl writes) and
//! [`PageRow`] (what readers see).

mod error;
mod model;
mod options;
mod store;

mod batch;
mod crawls;
mod embedding;
mod frontier;
mod hosts;
mod index;
mod pages;
mod reasons;
mod sources;

mod codec;
mod connection;
mod counters;
mod lock;
mod migrate;
mod readers;
mod rows;
mod writer;

#[cfg(test)]
mod plans;

pub use error::{StoreError, StoreErrorKind};
pub use model::{
    BatchReport, ChunkRow, ChunkVectors, CrawlBatch, CrawlCounts, CrawlRow, CrawlStatus,
    EmbedState, EmbeddingModel, EmbeddingProgress, FrontierKind, FrontierRow, HostRow, IndexDoc,
    ModelChange, NewSource, NewUrl, PageChange, PageContent, PageDetail, PageFilter, PageRow,
    PageStatus, PageVisit, PendingChunk, ReasonCount, SourceRow, StoreStats, StoredVector,
    VectorKind, VectorRow, VersionRow, Visit, VisitResult,
};
pub use options::{Access, StoreOptions, Synchronous};
pub use store::Store;
