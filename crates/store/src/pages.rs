use crate::{
    ChunkRow, PageContent, PageDetail, PageFilter, PageRow, Store, StoreError, VersionRow,
};
use types::{ChunkId, PageId, TenantId};

impl Store {
    pub fn page(&self, _id: PageId) -> Result<Option<PageRow>, StoreError> {
        todo!("body follows")
    }

    pub fn page_by_url(
        &self,
        _tenant: TenantId,
        _url: &str,
    ) -> Result<Option<PageRow>, StoreError> {
        todo!("body follows")
    }

    pub fn pages(&self, _filter: &PageFilter) -> Result<Vec<PageRow>, StoreError> {
        todo!("body follows")
    }

    pub fn pages_by_ids(&self, _ids: &[PageId]) -> Result<Vec<PageRow>, StoreError> {
        todo!("body follows")
    }

    pub fn page_content(&self, _id: PageId) -> Result<Option<PageContent>, StoreError> {
        todo!("body follows")
    }

    pub fn page_detail(&self, _id: PageId) -> Result<Option<PageDetail>, StoreError> {
        todo!("body follows")
    }

    pub fn page_versions(&self, _id: PageId) -> Result<Vec<VersionRow>, StoreError> {
        todo!("body follows")
    }

    pub fn version_content(
        &self,
        _id: PageId,
        _version: u32,
    ) -> Result<Option<PageContent>, StoreError> {
        todo!("body follows")
    }

    pub fn duplicates_of(&self, _id: PageId) -> Result<Vec<PageId>, StoreError> {
        todo!("body follows")
    }

    pub fn chunks(&self, _page: PageId) -> Result<Vec<ChunkRow>, StoreError> {
        todo!("body follows")
    }

    pub fn chunks_by_ids(&self, _ids: &[ChunkId]) -> Result<Vec<ChunkRow>, StoreError> {
        todo!("body follows")
    }

    pub fn chunk_pages(&self, _ids: &[ChunkId]) -> Result<Vec<(ChunkId, PageId)>, StoreError> {
        todo!("body follows")
    }
}
