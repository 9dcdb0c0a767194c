//! Statistics that are kept between searches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use store::ChangeSeqs;
use types::TenantId;

use super::{Corpus, CorpusPart};
use crate::error::SearchError;

/// Tenants whose statistics are kept.
const KEPT_MAX: usize = 1024;

/// Statistics by tenant, as of the changes beside them.
#[derive(Debug, Default)]
pub(crate) struct Corpora(Mutex<(ChangeSeqs, HashMap<TenantId, Arc<Corpus>>)>);

impl Corpora {
    /// Those of a tenant as of `committed`, by `read` unless they are known.
    pub(crate) fn of(
        &self,
        tenant: TenantId,
        committed: ChangeSeqs,
        read: impl FnOnce() -> Result<Vec<CorpusPart>, SearchError>,
    ) -> Result<Arc<Corpus>, SearchError> {
        {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let (true, Some(corpus)) = (kept.0 == committed, kept.1.get(&tenant)) {
                return Ok(Arc::clone(corpus));
            }
        }
        let corpus = Arc::new(Corpus::of(read()?));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != committed || kept.1.len() >= KEPT_MAX {
            *kept = (committed, HashMap::new());
        }
        kept.1.insert(tenant, Arc::clone(&corpus));
        Ok(corpus)
    }
}
