//! The vectors in memory as a vector engine.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use store::{ChangeSeqs, Store};
use types::{PageId, TenantId};

use super::{Neighbour, VectorIndex};
use crate::engine::VectorReader;
use crate::error::SearchError;

/// All vectors of one model in this process.
#[derive(Debug)]
pub struct LocalVectors {
    store: Store,
    index: RwLock<VectorIndex>,
}

impl LocalVectors {
    /// Reads all vectors of `model`.
    pub fn load(store: Store, model: &str) -> Result<LocalVectors, SearchError> {
        let index = RwLock::new(VectorIndex::load(&store, model)?);
        Ok(LocalVectors { store, index })
    }

    // A panic while the lock was held leaves plain data behind that is still
    // whole, so poisoning is ignored.
    fn read(&self) -> RwLockReadGuard<'_, VectorIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VectorReader for LocalVectors {
    fn refresh(&self) -> Result<(), SearchError> {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.refresh(&self.store)
    }

    fn seen(&self) -> [ChangeSeqs; 2] {
        self.read().seen().map(ChangeSeqs::clone)
    }

    fn passages(&self, tenant: TenantId) -> Result<usize, SearchError> {
        Ok(self.read().passages(tenant))
    }

    fn nearest(
        &self,
        tenant: TenantId,
        query: &[f32],
        k: usize,
        only: Option<&HashSet<PageId>>,
    ) -> Result<Vec<Neighbour>, SearchError> {
        self.read().search(tenant, query, k, only)
    }

    fn of_pages(
        &self,
        tenant: TenantId,
        query: &[f32],
        pages: &[PageId],
    ) -> Result<Vec<Neighbour>, SearchError> {
        let index = self.read();
        let of_page = |page: &PageId| index.page(tenant, query, page.0);
        Ok(pages.iter().flat_map(of_page).collect())
    }

    fn average(&self, tenant: TenantId, query: &[f32]) -> Result<Option<f32>, SearchError> {
        Ok(self.read().average(tenant, query))
    }

    fn similar(
        &self,
        tenant: TenantId,
        page: PageId,
        limit: usize,
    ) -> Result<Option<Vec<Neighbour>>, SearchError> {
        Ok(self.read().similar(tenant, page.0, limit))
    }
}
