use crate::{Access, StoreError, StoreOptions};
use std::path::Path;
use std::sync::Arc;
use types::Clock;
/// Handle on one data directory; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    _inner: Arc<()>,
}

impl Store {
    pub fn open(
        _dir: &Path,
        _access: Access,
        _options: &StoreOptions,
        _clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        todo!("body follows")
    }

    pub fn open_memory(_clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        todo!("body follows")
    }

    pub fn close(self) -> Result<(), StoreError> {
        todo!("body follows")
    }

    pub fn checkpoint(&self) -> Result<(), StoreError> {
        todo!("body follows")
    }
}
