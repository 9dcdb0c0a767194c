//! Pages on their way into the tables of each database.

use std::collections::BTreeMap;

use store::{
    ChangeSeqs, SearchPage, SearchTables, SearchWriter, ShardNumber, Store, StoreErrorKind,
};
use types::PageId;

use super::keywords::CHUNK_BYTES;
use super::lexemes::{terms_of, vector_of};
use crate::engine::{Batch, IndexedPage, KeywordWriter};
use crate::error::SearchError;

/// Changes whenever rows are made otherwise: tables made by another are made anew.
pub(super) const MADE_BY: &str = "words 1";

const TABLES: SearchTables = SearchTables::Pages;

/// Follows those databases that nobody else follows.
pub(super) struct Writer {
    store: Store,
    held: BTreeMap<ShardNumber, SearchWriter>,
    /// Of all databases, as far as it is known here.
    applied: ChangeSeqs,
}

impl Writer {
    pub(super) fn new(store: Store) -> Writer {
        Writer {
            store,
            held: BTreeMap::new(),
            applied: ChangeSeqs::default(),
        }
    }

    fn connected(&mut self, shard: ShardNumber) -> Result<&SearchWriter, SearchError> {
        if !self.held.contains_key(&shard) {
            let shards = self.store.shards();
            let found = shards.iter().find(|known| known.shard_number() == shard);
            let found = found.ok_or_else(|| SearchError::bug("a shard that is not there"))?;
            let writer = found.search_writer(TABLES, MADE_BY, 0)?;
            self.held.insert(shard, writer);
        }
        Ok(&self.held[&shard])
    }

    /// A connection that failed once is not used again.
    fn forget_if_failed<T>(
        &mut self,
        shard: ShardNumber,
        result: Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        if result.is_err() {
            self.held.remove(&shard);
        }
        result
    }

    fn try_take(&mut self, shard: ShardNumber) -> Result<bool, SearchError> {
        let writer = self.connected(shard)?;
        let takes = writer.hold(TABLES)?;
        let seq = writer.progress(TABLES)?.page_seq;
        if seq < self.applied.of(shard) {
            // Made anew by somebody.
            self.applied = ChangeSeqs::default();
        }
        self.applied.advance(shard, seq);
        Ok(takes)
    }
}

impl KeywordWriter for Writer {
    fn applied(&self) -> ChangeSeqs {
        self.applied.clone()
    }

    fn committed(&self) -> ChangeSeqs {
        self.applied.clone()
    }

    fn takes(&mut self, shard: ShardNumber) -> Result<bool, SearchError> {
        let takes = self.try_take(shard);
        self.forget_if_failed(shard, takes)
    }

    fn is_per_shard(&self) -> bool {
        true
    }

    /// Each batch is committed with the number of its last change.
    fn apply(&mut self, batch: Batch) -> Result<(), SearchError> {
        let from = self.applied.of(batch.shard);
        let pages: Vec<SearchPage> = batch.pages.iter().map(row_of).collect();
        let writer = self.connected(batch.shard)?;
        let applied = writer.apply_pages(from, batch.seq, &batch.changed, &pages);
        let applied = applied.map_err(|error| match error.kind() {
            StoreErrorKind::Conflict => SearchError::busy(),
            _ => error.into(),
        });
        self.forget_if_failed(batch.shard, applied)?;
        self.applied.advance(batch.shard, batch.seq);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), SearchError> {
        Ok(())
    }

    fn clear(&mut self) -> Result<(), SearchError> {
        for shard in self.store.shards() {
            let number = shard.shard_number();
            if !self.takes(number)? {
                return Err(SearchError::busy());
            }
            self.connected(number)?.clear_pages()?;
        }
        self.applied = ChangeSeqs::default();
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), SearchError> {
        for writer in self.held.values() {
            writer.let_go(TABLES)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

fn row_of(page: &IndexedPage) -> SearchPage {
    let (words, body_at) = vector_of(page);
    let mut chunks = Vec::with_capacity(page.chunks.len() * CHUNK_BYTES);
    for (chunk, span) in &page.chunks {
        chunks.extend_from_slice(&chunk.0.to_be_bytes());
        chunks.extend_from_slice(&span.start.to_be_bytes());
        chunks.extend_from_slice(&span.end.to_be_bytes());
    }
    SearchPage {
        page: PageId(page.page.0),
        tenant: page.tenant,
        source: page.source,
        host: page.host.clone(),
        path: page.path.clone(),
        language: page.language.clone(),
        published_at: page.published_at.map(|at| at.0),
        price: page.price,
        salary_most: page.salary_most,
        salary_least: page.salary_least,
        tokens: page.token_counts(),
        body_at,
        chunks,
        chunk_count: page.chunks.len(),
        structured: terms_of(page.tenant, &page.structured),
        facets: page.facets.clone(),
        words,
    }
}
