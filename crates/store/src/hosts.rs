use crate::{HostRow, Store, StoreError};
use types::{HostKey, Timestamp};

impl Store {
    pub fn host(&self, _host: &HostKey) -> Result<Option<HostRow>, StoreError> {
        todo!("body follows")
    }

    pub fn save_robots(
        &self,
        _host: &HostKey,
        _status: i64,
        _body: &[u8],
    ) -> Result<(), StoreError> {
        todo!("body follows")
    }

    pub fn save_breaker(&self, _host: &HostKey, _snapshot: Option<&str>) -> Result<(), StoreError> {
        todo!("body follows")
    }

    pub fn acquire_host_lease(
        &self,
        _host: &HostKey,
        _owner: &str,
        _until: Timestamp,
    ) -> Result<bool, StoreError> {
        todo!("body follows")
    }

    pub fn renew_host_leases(&self, _owner: &str, _until: Timestamp) -> Result<u64, StoreError> {
        todo!("body follows")
    }

    pub fn release_host_leases(&self, _owner: &str) -> Result<u64, StoreError> {
        todo!("body follows")
    }
}
