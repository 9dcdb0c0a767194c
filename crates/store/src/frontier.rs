use crate::{FrontierRow, NewUrl, Store, StoreError};
use types::{CrawlId, HostKey, SkipReason};

impl Store {
    pub fn add_urls(
        &self,
        _crawl: CrawlId,
        _urls: Vec<NewUrl>,
    ) -> Result<Vec<(HostKey, u64)>, StoreError> {
        todo!("body follows")
    }

    pub fn queued_hosts(&self, _crawl: CrawlId) -> Result<Vec<HostKey>, StoreError> {
        todo!("body follows")
    }

    pub fn queued_urls(
        &self,
        _crawl: CrawlId,
        _host: &HostKey,
        _after_row: i64,
        _limit: usize,
    ) -> Result<Vec<FrontierRow>, StoreError> {
        todo!("body follows")
    }

    pub fn skip_queued(
        &self,
        _crawl: CrawlId,
        _reason: SkipReason,
        _detail: &str,
    ) -> Result<u64, StoreError> {
        todo!("body follows")
    }
}
