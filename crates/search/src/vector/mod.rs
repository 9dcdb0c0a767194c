//! The vectors in memory: one flat table per tenant, scanned for each query.
//!
//! A vector is kept as int8 codes and as one bit per dimension, the sign after
//! subtracting the tenant's mean (e5 vectors share a large common part;
//! without centring most signs would be equal). A query counts differing bits
//! against all rows, then takes exact products with the nearest of them.
//! Deletes are exact and nothing is ever rebuilt but the bits, when the mean
//! has moved.

mod kernels;
mod local;
mod table;

use std::collections::{HashMap, HashSet};

use store::{ChangeSeqs, Store, StoreErrorKind, VectorKind};
use types::{ChunkId, PageId, TenantId};

use crate::error::SearchError;
use table::Table;

pub use local::LocalVectors;

/// Rows and page changes read from the store at a time.
const READ_MAX: usize = 4096;

/// A chunk near the query: its page and the better similarity of its vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    pub chunk: ChunkId,
    pub page: PageId,
    pub similarity: f32,
}

#[derive(Debug)]
pub struct VectorIndex {
    model: String,
    dims: usize,
    tenants: HashMap<TenantId, Table>,
    page_seqs: ChangeSeqs,
    vector_seqs: ChangeSeqs,
}

impl VectorIndex {
    /// Reads all vectors of `model`. Empty when the store's are of another.
    pub fn load(store: &Store, model: &str) -> Result<VectorIndex, SearchError> {
        let dims = store
            .embedding_model()?
            .filter(|known| known.id == model)
            .map_or(0, |known| known.dims);
        let mut index = VectorIndex {
            model: model.to_owned(),
            dims,
            tenants: HashMap::new(),
            page_seqs: ChangeSeqs::default(),
            vector_seqs: ChangeSeqs::default(),
        };
        for_each_shard(store, |shard| {
            // Pages changed before the vectors are read are read as they are then.
            let seq = shard.change_seq()?;
            index.page_seqs.advance(shard.shard_number(), seq);
            index.read_vectors(shard)
        })?;
        index.settle();
        Ok(index)
    }

    /// Applies what changed in the store: chunks that are gone, then new vectors.
    pub fn refresh(&mut self, store: &Store) -> Result<(), SearchError> {
        let known = store.embedding_model()?;
        let mut is_ahead = false;
        for_each_shard(store, |shard| {
            is_ahead |= self.page_seqs.of(shard.shard_number()) > shard.change_seq()?;
            Ok(())
        })?;
        if known
            .as_ref()
            .is_some_and(|known| known.id == self.model && known.dims != self.dims)
            || is_ahead
        {
            *self = VectorIndex::load(store, &self.model.clone())?;
            return Ok(());
        }
        if known.is_none_or(|known| known.id != self.model) {
            self.tenants.clear();
            self.vector_seqs = ChangeSeqs::default();
            return Ok(());
        }
        for_each_shard(store, |shard| {
            self.drop_gone_chunks(store, shard)?;
            self.read_vectors(shard)
        })?;
        self.settle();
        Ok(())
    }

    /// Changes of pages and of vectors that it has applied.
    #[must_use]
    pub(crate) fn seen(&self) -> [&ChangeSeqs; 2] {
        [&self.page_seqs, &self.vector_seqs]
    }

    fn settle(&mut self) {
        for table in self.tenants.values_mut() {
            table.settle_mean();
        }
    }

    pub fn model(&self) -> &str {
        &self.model
    }

    /// Components of a vector; 0 while the store has none of this model.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Vectors of one tenant; a chunk has one or two.
    #[must_use]
    pub fn len(&self, tenant: TenantId) -> usize {
        self.tenants.get(&tenant).map_or(0, Table::len)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tenants.values().all(|table| table.len() == 0)
    }

    /// Ids of all chunks with a vector, ascending: for checks against the store.
    #[must_use]
    pub fn chunk_ids(&self) -> Vec<ChunkId> {
        let mut ids: Vec<ChunkId> = self.tenants.values().flat_map(Table::chunk_ids).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The `k` nearest chunks, nearest first, of the pages that `filter` lets
    /// through (`None`: all). Exact but for chunks whose bits mislead.
    pub fn search(
        &self,
        tenant: TenantId,
        query: &[f32],
        k: usize,
        filter: Option<&HashSet<PageId>>,
    ) -> Result<Vec<Neighbour>, SearchError> {
        self.check_query(query)?;
        Ok(self
            .tenants
            .get(&tenant)
            .map_or_else(Vec::new, |table| table.search(query, k, filter)))
    }

    /// [`VectorIndex::search`] with exact products for every row.
    pub fn search_exact(
        &self,
        tenant: TenantId,
        query: &[f32],
        k: usize,
        filter: Option<&HashSet<PageId>>,
    ) -> Result<Vec<Neighbour>, SearchError> {
        self.check_query(query)?;
        Ok(self
            .tenants
            .get(&tenant)
            .map_or_else(Vec::new, |table| table.search_exact(query, k, filter)))
    }

    /// Average similarity of the tenant's vectors to the query: what a page that
    /// has nothing to do with it reaches. `None` without vectors.
    pub(crate) fn average(&self, tenant: TenantId, query: &[f32]) -> Option<f32> {
        self.tenants
            .get(&tenant)
            .filter(|table| table.len() > 0)
            .map(|table| table.average(query))
    }

    /// Similarities of one page's chunks, nearest first; empty without vectors.
    pub(crate) fn page(&self, tenant: TenantId, query: &[f32], page: i64) -> Vec<Neighbour> {
        self.tenants
            .get(&tenant)
            .map_or_else(Vec::new, |table| table.page(query, page))
    }

    /// Chunks of the tenant that have a vector.
    pub(crate) fn passages(&self, tenant: TenantId) -> usize {
        self.tenants.get(&tenant).map_or(0, Table::passages)
    }

    /// Pages of the tenant most like `page`, nearest first, each with the cosine
    /// of its best chunk to the mean of the page's. `None` while the page has no vectors.
    pub(crate) fn similar(
        &self,
        tenant: TenantId,
        page: i64,
        limit: usize,
    ) -> Option<Vec<Neighbour>> {
        let table = self.tenants.get(&tenant)?;
        let direction = table.direction(page)?;
        let mut wanted = (limit + 1) * 4;
        loop {
            let nearest = table.search(&direction, wanted, None);
            let is_all = nearest.len() < wanted;
            let mut seen = HashSet::from([page]);
            let mut similar = nearest;
            similar.retain(|neighbour| seen.insert(neighbour.page.0));
            if similar.len() >= limit || is_all {
                similar.truncate(limit);
                return Some(similar);
            }
            wanted *= 4;
        }
    }

    fn check_query(&self, query: &[f32]) -> Result<(), SearchError> {
        if self.dims != 0 && query.len() != self.dims {
            return Err(SearchError::request(format!(
                "query vector has {} dimensions, the index of model {} has {}",
                query.len(),
                self.model,
                self.dims
            )));
        }
        if query.iter().any(|x| !x.is_finite()) {
            return Err(SearchError::request(
                "query vector holds a component that is no number",
            ));
        }
        Ok(())
    }

    fn drop_gone_chunks(&mut self, store: &Store, shard: &Store) -> Result<(), SearchError> {
        let number = shard.shard_number();
        loop {
            let changes = shard.pages_changed_since(None, self.page_seqs.of(number), READ_MAX)?;
            let pages: Vec<PageId> = changes.iter().map(|change| change.page).collect();
            for (page, chunks) in store.page_chunk_ids(&pages)? {
                // Chunks can move to a duplicate of their page, so both the page
                // they left and the page they came to are in the changes.
                let keep: HashSet<ChunkId> = chunks.into_iter().collect();
                for table in self.tenants.values_mut() {
                    table.assign_page(page, &keep);
                }
            }
            if let Some(last) = changes.last() {
                self.page_seqs.advance(number, last.seq);
            }
            if changes.len() < READ_MAX {
                break;
            }
        }
        for table in self.tenants.values_mut() {
            table.remove_homeless();
        }
        Ok(())
    }

    fn read_vectors(&mut self, shard: &Store) -> Result<(), SearchError> {
        if self.dims == 0 {
            return Ok(());
        }
        let number = shard.shard_number();
        loop {
            let rows = shard.vectors_since(&self.model, self.vector_seqs.of(number), READ_MAX)?;
            for row in &rows {
                if row.codes.len() != self.dims {
                    return Err(SearchError::bug(format!(
                        "vector of chunk {} has {} dimensions instead of {}",
                        row.chunk,
                        row.codes.len(),
                        self.dims
                    )));
                }
                let table = self
                    .tenants
                    .entry(row.tenant)
                    .or_insert_with(|| Table::new(self.dims));
                let is_tldr = row.kind == VectorKind::Tldr;
                table.put(row.chunk, row.page, is_tldr, row.scale, &row.codes);
                self.vector_seqs.advance(number, row.seq);
            }
            if rows.len() < READ_MAX {
                return Ok(());
            }
        }
    }
}

/// Passes over databases that do not answer, unless it is the only one.
fn for_each_shard(
    store: &Store,
    mut read: impl FnMut(&Store) -> Result<(), SearchError>,
) -> Result<(), SearchError> {
    let shards = store.shards();
    for shard in &shards {
        match read(shard) {
            Err(error) if shards.len() > 1 && error.is_of_store(StoreErrorKind::Unavailable) => {
                tracing::debug!(shard = %shard.shard_number(), "a database does not answer");
            }
            done => done?,
        }
    }
    Ok(())
}
