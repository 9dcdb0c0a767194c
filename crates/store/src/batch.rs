use crate::{BatchReport, CrawlBatch, Store, StoreError};

impl Store {
    pub fn commit_batch(&self, _batch: CrawlBatch) -> Result<BatchReport, StoreError> {
        todo!("body follows")
    }
}
