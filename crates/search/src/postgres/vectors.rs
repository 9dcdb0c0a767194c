//! Vectors in the store's databases: following them, and asking for the nearest.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use store::{
    ChangeSeqs, EmbeddingModel, SearchTables, SearchWriter, ShardNumber, Store, StoreErrorKind,
    VectorScope, VectorsDone,
};
use tracing::debug;
use types::{PageId, TenantId};

use crate::engine::VectorReader;
use crate::error::SearchError;
use crate::vector::Neighbour;

/// Vectors and changes of pages in one transaction: some seconds at most.
const VECTORS_PER_BATCH: usize = 256;
const PAGES_PER_BATCH: usize = 512;
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

const TABLES: SearchTables = SearchTables::Vectors;

/// Changes whenever rows are made otherwise.
fn made_by(model: &EmbeddingModel) -> String {
    format!("vectors 1 of {} with {}", model.id, model.dims)
}

/// Keeps the tables of vectors up with the store.
#[derive(Debug)]
pub struct VectorFollower {
    store: Store,
    held: BTreeMap<ShardNumber, SearchWriter>,
    /// Whose vectors they are.
    model: Option<EmbeddingModel>,
}

impl VectorFollower {
    /// `store` lies on servers.
    #[must_use]
    pub fn new(store: Store) -> VectorFollower {
        VectorFollower {
            store,
            held: BTreeMap::new(),
            model: None,
        }
    }

    /// Applies one batch of each database that nobody else follows; true when
    /// there is more to do. Another model than before makes the tables anew.
    pub fn sync(&mut self) -> Result<bool, SearchError> {
        let model = self.store.embedding_model()?;
        if self.model != model {
            self.held.clear();
            self.model = model;
        }
        let Some(model) = self.model.clone() else {
            return Ok(false);
        };
        let mut more = false;
        let shards = self.store.shards();
        for shard in &shards {
            let number = shard.shard_number();
            let synced = self.sync_shard(shard, &model);
            if synced.is_err() {
                self.held.remove(&number);
            }
            match synced {
                Err(error)
                    if shards.len() > 1 && error.is_of_store(StoreErrorKind::Unavailable) =>
                {
                    debug!(shard = %number, "a database does not answer");
                }
                // Another process follows by now.
                Err(error)
                    if error.is_of_store(StoreErrorKind::Conflict) && self.was_lost(shard) => {}
                synced => more |= synced?,
            }
        }
        Ok(more)
    }

    /// Whether the model, or who follows, has changed under our hands.
    fn was_lost(&self, shard: &Store) -> bool {
        let progress = shard.search_progress(TABLES).ok();
        let progress = progress.and_then(|all| all.into_iter().next());
        progress.is_some_and(|(_, progress)| progress.is_some())
    }

    fn sync_shard(&mut self, shard: &Store, model: &EmbeddingModel) -> Result<bool, SearchError> {
        let number = shard.shard_number();
        let writer = match self.held.entry(number) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => {
                place.insert(shard.search_writer(TABLES, &made_by(model), model.dims)?)
            }
        };
        let progress = writer.progress(TABLES)?;
        if progress.made_by != made_by(model) {
            // Another process knows of another model already.
            self.held.remove(&number);
            return Ok(false);
        }
        let is_behind = !shard
            .pages_changed_since(None, progress.page_seq, 1)?
            .is_empty()
            || !shard
                .vectors_since(&model.id, progress.vector_seq, 1)?
                .is_empty();
        if !is_behind || !writer.hold(TABLES)? {
            return Ok(false);
        }
        // Whoever had it may have gone on since.
        let progress = writer.progress(TABLES)?;
        let changes = shard.pages_changed_since(None, progress.page_seq, PAGES_PER_BATCH)?;
        let changed: Vec<PageId> = changes.iter().map(|change| change.page).collect();
        let pages = shard.page_chunk_ids(&changed)?;
        let vectors = shard.vectors_since(&model.id, progress.vector_seq, VECTORS_PER_BATCH)?;
        writer.apply_vectors(
            (progress.page_seq, progress.vector_seq),
            &VectorsDone {
                page_seq: changes.last().map_or(progress.page_seq, |last| last.seq),
                vector_seq: vectors.last().map_or(progress.vector_seq, |last| last.seq),
                pages: &pages,
                vectors: &vectors,
            },
        )?;
        let more = changes.len() >= PAGES_PER_BATCH || vectors.len() >= VECTORS_PER_BATCH;
        if !more {
            writer.let_go(TABLES)?;
        }
        Ok(more)
    }

    /// Lets others follow at once.
    pub fn close(self) -> Result<(), SearchError> {
        for writer in self.held.values() {
            writer.let_go(TABLES)?;
        }
        Ok(())
    }
}

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
