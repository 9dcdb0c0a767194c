use crate::{NewSource, SourceRow, Store, StoreError};
use types::{SourceId, TenantId};

impl Store {
    pub fn ensure_source(&self, _source: NewSource) -> Result<SourceId, StoreError> {
        todo!("body follows")
    }

    pub fn sources(&self, _tenant: TenantId) -> Result<Vec<SourceRow>, StoreError> {
        todo!("body follows")
    }

    pub fn source(&self, _id: SourceId) -> Result<Option<SourceRow>, StoreError> {
        todo!("body follows")
    }
}
