use crate::{IndexDoc, PageChange, Store, StoreError, StoreStats};
use types::{ChunkId, PageId, TenantId};

impl Store {
    pub fn change_seq(&self) -> Result<i64, StoreError> {
        todo!("body follows")
    }

    pub fn pages_changed_since(
        &self,
        _tenant: Option<TenantId>,
        _seq: i64,
        _limit: usize,
    ) -> Result<Vec<PageChange>, StoreError> {
        todo!("body follows")
    }

    pub fn index_docs(&self, _pages: &[PageId]) -> Result<Vec<IndexDoc>, StoreError> {
        todo!("body follows")
    }

    /// Ids of the chunks that each page holds now, in the order asked; empty for
    /// pages that are gone or duplicates. A page whose chunks changed, moved or
    /// vanished always has a new change number, so replaying
    /// [`Store::pages_changed_since`] through this tells an index what to drop.
    pub fn page_chunk_ids(
        &self,
        _pages: &[PageId],
    ) -> Result<Vec<(PageId, Vec<ChunkId>)>, StoreError> {
        todo!("body follows")
    }

    /// Every chunk id there is, ascending. Reads the whole index: for checks and rebuilds.
    pub fn live_chunk_ids(&self) -> Result<Vec<ChunkId>, StoreError> {
        todo!("body follows")
    }

    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        todo!("body follows")
    }
}
