//! Asking the store's databases for the nearest vectors.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use store::{ChangeSeqs, EmbeddingModel, Store, VectorScope};
use types::{PageId, TenantId};

use super::following::{TABLES, made_by};
use crate::engine::VectorReader;
use crate::error::SearchError;
use crate::vector::Neighbour;

/// Pages that are named to the server; of more, the nearest of all are looked
/// through here.
const PAGES_MAX: usize = 20_000;
const NEAREST_MAX: usize = 8_192;
/// Vectors that the mean is taken over; it is taken anew when there are half as
/// many again.
const SAMPLE: usize = 1_000;
const MEAN_GROWTH: f32 = 1.5;
/// Tenants whose mean is kept.
const KEPT_MAX: usize = 1024;

/// Asks the tables of vectors.
#[derive(Debug)]
pub struct PostgresVectors {
    store: Store,
    model: EmbeddingModel,
    seen: RwLock<[ChangeSeqs; 2]>,
    means: Mutex<HashMap<TenantId, Mean>>,
}

/// Of a tenant's vectors.
#[derive(Clone, Debug)]
struct Mean {
    /// How many there were.
    passages: usize,
    vector: Arc<Vec<f32>>,
}

impl PostgresVectors {
    /// Those of `model`; none while the store's are of another.
    pub fn open(store: Store, model: &str) -> Result<PostgresVectors, SearchError> {
        let known = store.embedding_model()?.filter(|known| known.id == model);
        let vectors = PostgresVectors {
            model: known.unwrap_or(EmbeddingModel {
                id: model.to_owned(),
                dims: 0,
            }),
            store,
            seen: RwLock::default(),
            means: Mutex::default(),
        };
        vectors.refresh()?;
        Ok(vectors)
    }

    /// Whether the tables have vectors of the model at all.
    fn has_any(&self) -> bool {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen[1] != ChangeSeqs::default()
    }

    fn check(&self, query: &[f32]) -> Result<(), SearchError> {
        let EmbeddingModel { id, dims } = &self.model;
        if *dims != 0 && query.len() != *dims {
            return Err(SearchError::request(format!(
                "query vector has {} dimensions, the index of model {id} has {dims}",
                query.len(),
            )));
        }
        if query.iter().any(|x| !x.is_finite()) {
            return Err(SearchError::request(
                "query vector holds a component that is no number",
            ));
        }
        Ok(())
    }

    /// Each chunk once, with the better of its vectors, nearest first.
    fn ask(
        &self,
        tenant: TenantId,
        query: &[f32],
        k: usize,
        scope: VectorScope<'_>,
    ) -> Result<Vec<Neighbour>, SearchError> {
        self.check(query)?;
        if !self.has_any() {
            return Ok(Vec::new());
        }
        let found = self.store.search_vectors(tenant, query, k, scope)?;
        let mut seen = HashSet::new();
        let found = found.into_iter().filter(|near| seen.insert(near.chunk));
        let found = found.take(k).map(|near| Neighbour {
            chunk: near.chunk,
            page: near.page,
            similarity: near.similarity,
        });
        Ok(found.collect())
    }
}

impl VectorReader for PostgresVectors {
    fn refresh(&self) -> Result<(), SearchError> {
        let made_by = made_by(&self.model);
        let mut seen: [ChangeSeqs; 2] = Default::default();
        for (shard, progress) in self.store.search_progress(TABLES)? {
            if let Some(progress) = progress.filter(|progress| progress.made_by == made_by) {
                seen[0].advance(shard, progress.page_seq);
                if progress.vector_seq > 0 {
                    seen[1].advance(shard, progress.vector_seq);
                }
            }
        }
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(())
    }

    fn seen(&self) -> [ChangeSeqs; 2] {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    fn passages(&self, tenant: TenantId) -> Result<usize, SearchError> {
        if !self.has_any() {
            return Ok(0);
        }
        let passages = self.store.search_passages(tenant)?;
        Ok(usize::try_from(passages).unwrap_or(usize::MAX))
    }

    fn nearest(
        &self,
        tenant: TenantId,
        query: &[f32],
        k: usize,
        only: Option<&HashSet<PageId>>,
    ) -> Result<Vec<Neighbour>, SearchError> {
        match only {
            None => self.ask(tenant, query, k, VectorScope::Tenant),
            Some(pages) if pages.is_empty() => self.check(query).map(|()| Vec::new()),
            Some(pages) if pages.len() <= PAGES_MAX => {
                let pages: Vec<PageId> = pages.iter().copied().collect();
                self.ask(tenant, query, k, VectorScope::Pages(&pages))
            }
            Some(pages) => {
                let mut wanted = k;
                loop {
                    let mut nearest = self.ask(tenant, query, wanted, VectorScope::Tenant)?;
                    let is_all = nearest.len() < wanted || wanted >= NEAREST_MAX;
                    nearest.retain(|neighbour| pages.contains(&neighbour.page));
                    if nearest.len() >= k || is_all {
                        nearest.truncate(k);
                        return Ok(nearest);
                    }
                    wanted = (wanted * 4).min(NEAREST_MAX);
                }
            }
        }
    }

    fn of_pages(
        &self,
        tenant: TenantId,
        query: &[f32],
        pages: &[PageId],
    ) -> Result<Vec<Neighbour>, SearchError> {
        if pages.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = self.ask(tenant, query, usize::MAX >> 2, VectorScope::Pages(pages))?;
        // Stable: nearest first within a page.
        all.sort_by_key(|neighbour| neighbour.page);
        Ok(all)
    }

    fn average(&self, tenant: TenantId, query: &[f32]) -> Result<Option<f32>, SearchError> {
        let passages = self.passages(tenant)?;
        if passages == 0 {
            return Ok(None);
        }
        let product = |mean: &[f32]| query.iter().zip(mean).map(|(q, m)| q * m).sum();
        let grown = |of: usize| passages as f32 >= of as f32 * MEAN_GROWTH;
        {
            let means = self.means.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(mean) = means.get(&tenant).filter(|mean| !grown(mean.passages)) {
                return Ok(Some(product(&mean.vector)));
            }
        }
        let mean = self
            .store
            .search_vector_mean(tenant, VectorScope::Tenant, SAMPLE)?;
        let Some(mean) = mean else {
            return Ok(None);
        };
        let average = product(&mean);
        let mut means = self.means.lock().unwrap_or_else(PoisonError::into_inner);
        if means.len() >= KEPT_MAX {
            means.clear();
        }
        let vector = Arc::new(mean);
        means.insert(tenant, Mean { passages, vector });
        Ok(Some(average))
    }

    fn similar(
        &self,
        tenant: TenantId,
        page: PageId,
        limit: usize,
    ) -> Result<Option<Vec<Neighbour>>, SearchError> {
        if !self.has_any() {
            return Ok(None);
        }
        let of_page = VectorScope::Pages(std::slice::from_ref(&page));
        let mean = self.store.search_vector_mean(tenant, of_page, SAMPLE)?;
        let Some(mean) = mean else {
            return Ok(None);
        };
        let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length <= f32::EPSILON {
            return Ok(None);
        }
        let direction: Vec<f32> = mean.iter().map(|x| x / length).collect();
        let mut wanted = (limit + 1) * 4;
        loop {
            let mut similar = self.ask(tenant, &direction, wanted, VectorScope::Tenant)?;
            let is_all = similar.len() < wanted;
            let mut seen = HashSet::from([page]);
            similar.retain(|neighbour| seen.insert(neighbour.page));
            if similar.len() >= limit || is_all {
                similar.truncate(limit);
                return Ok(Some(similar));
            }
            wanted *= 4;
        }
    }
}
