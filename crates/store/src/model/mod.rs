//! The plain data that goes into and comes out of the store.

mod crawl;
mod embedding;
mod page;

pub use crawl::{
    BatchReport, CrawlBatch, CrawlCounts, CrawlRow, CrawlStatus, FrontierKind, FrontierRow,
    HostRow, NewSource, NewUrl, PageVisit, ReasonCount, SourceRow, Visit, VisitResult,
};
pub use embedding::{
    ChunkVectors, EmbeddingModel, EmbeddingProgress, ModelChange, PendingChunk, StoredVector,
    VectorKind, VectorRow,
};
pub use page::{
    ChunkRow, EmbedState, IndexDoc, PageChange, PageContent, PageDetail, PageFilter, PageRow,
    PageStatus, StoreStats, VersionRow,
};
