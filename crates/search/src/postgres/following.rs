//! Keeping the vectors in the store's databases up with the store.

use std::collections::btree_map::{BTreeMap, Entry};
use std::panic::resume_unwind;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use store::{
    EmbeddingModel, SearchTables, SearchWriter, ShardNumber, Store, StoreError, StoreErrorKind,
    VectorsDone,
};
use tracing::{debug, warn};
use types::PageId;

use crate::error::SearchError;

/// Vectors and changes of pages in one transaction: some seconds at most.
const VECTORS_PER_BATCH: usize = 256;
const PAGES_PER_BATCH: usize = 512;
/// After the graph could not be built.
const GRAPH_AGAIN: Duration = Duration::from_secs(60);

pub(super) const TABLES: SearchTables = SearchTables::Vectors;

/// Changes whenever rows are made otherwise.
pub(super) fn made_by(model: &EmbeddingModel) -> String {
    format!("vectors 1 of {} with {}", model.id, model.dims)
}

/// Keeps the tables of vectors up with the store.
#[derive(Debug)]
pub struct VectorFollower {
    store: Store,
    held: BTreeMap<ShardNumber, SearchWriter>,
    /// Whose vectors they are.
    model: Option<EmbeddingModel>,
    graphs: BTreeMap<ShardNumber, Graph>,
}

/// The graph over the vectors of a database, which is built when all are there.
#[derive(Debug)]
enum Graph {
    Built,
    /// Beside everything else; it takes minutes.
    Building(JoinHandle<Result<(), StoreError>>),
    /// When it is tried again.
    Failed(Instant),
}

impl VectorFollower {
    /// `store` lies on servers.
    #[must_use]
    pub fn new(store: Store) -> VectorFollower {
        VectorFollower {
            store,
            held: BTreeMap::new(),
            model: None,
            graphs: BTreeMap::new(),
        }
    }

    /// Applies one batch of each database that nobody else follows; true when
    /// there is more to do. Another model than before makes the tables anew.
    pub fn sync(&mut self) -> Result<bool, SearchError> {
        let model = self.store.embedding_model()?;
        if self.model != model {
            self.held.clear();
            self.graphs.clear();
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
                self.graphs.remove(&number);
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
        if !is_behind {
            self.look_after_graph(shard)?;
            return Ok(false);
        }
        if !writer.hold(TABLES)? {
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

    /// Begins to build the graph of a database where it is missing. Vectors that
    /// come meanwhile are added to it.
    fn look_after_graph(&mut self, shard: &Store) -> Result<(), SearchError> {
        let number = shard.shard_number();
        let next = match self.graphs.remove(&number) {
            Some(Graph::Building(building)) if building.is_finished() => {
                match building.join().unwrap_or_else(|panic| resume_unwind(panic)) {
                    // Or somebody else builds it, and it is looked for again.
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        warn!(shard = %number, %error, "could not build the index of vectors");
                        Graph::Failed(Instant::now() + GRAPH_AGAIN)
                    }
                }
            }
            Some(Graph::Failed(again)) if again <= Instant::now() => begin_graph(shard)?,
            Some(known) => known,
            None if shard.search_vectors_are_indexed()? => Graph::Built,
            None => begin_graph(shard)?,
        };
        self.graphs.insert(number, next);
        Ok(())
    }

    /// Lets others follow at once.
    pub fn close(self) -> Result<(), SearchError> {
        for writer in self.held.values() {
            writer.let_go(TABLES)?;
        }
        Ok(())
    }
}

fn begin_graph(shard: &Store) -> Result<Graph, SearchError> {
    let shard = shard.clone();
    let building = std::thread::Builder::new()
        .name("index-vectors".into())
        .spawn(move || shard.index_search_vectors())
        .map_err(|error| SearchError::bug(format!("start a thread: {error}")))?;
    Ok(Graph::Building(building))
}
