use crate::{CrawlRow, CrawlStatus, NewUrl, ReasonCount, Store, StoreError};
use types::{CrawlId, SourceId};

impl Store {
    pub fn start_crawl(
        &self,
        _source: SourceId,
        _policy: &str,
        _seeds: Vec<NewUrl>,
    ) -> Result<CrawlId, StoreError> {
        todo!("body follows")
    }

    pub fn unfinished_crawl(&self, _source: SourceId) -> Result<Option<CrawlRow>, StoreError> {
        todo!("body follows")
    }

    pub fn crawl(&self, _id: CrawlId) -> Result<CrawlRow, StoreError> {
        todo!("body follows")
    }

    pub fn crawls(
        &self,
        _source: Option<SourceId>,
        _limit: usize,
    ) -> Result<Vec<CrawlRow>, StoreError> {
        todo!("body follows")
    }

    pub fn finish_crawl(
        &self,
        _id: CrawlId,
        _status: CrawlStatus,
        _error: Option<String>,
    ) -> Result<CrawlRow, StoreError> {
        todo!("body follows")
    }

    pub fn add_active_ms(&self, _id: CrawlId, _active_ms: i64) -> Result<(), StoreError> {
        todo!("body follows")
    }

    pub fn crawl_reasons(&self, _id: CrawlId) -> Result<Vec<ReasonCount>, StoreError> {
        todo!("body follows")
    }
}
