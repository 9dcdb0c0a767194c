//! Replaying the store's changes into a keyword index.

use store::{ChangeSeqs, Store, StoreErrorKind};
use tracing::{debug, warn};
use types::PageId;

use super::{Batch, IndexedPage, KeywordWriter};
use crate::error::SearchError;
use crate::text::Analyzer;

/// Pages read from the store at a time.
const PAGES_PER_READ: usize = 128;
/// Pages between two looks at all databases while an index is made anew.
const PAGES_PER_ROUND: usize = 4096;

/// What was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    pub pages: usize,
    pub chunks: usize,
    /// Changes of the store that the index has applied.
    pub seqs: ChangeSeqs,
    /// The store has further changes.
    pub more: bool,
}

/// A keyword index open for writing that follows the store.
#[derive(Debug)]
pub struct Follower {
    writer: Box<dyn KeywordWriter>,
    analyzer: Analyzer,
}

impl Follower {
    #[must_use]
    pub fn new(writer: Box<dyn KeywordWriter>) -> Follower {
        Follower {
            writer,
            analyzer: Analyzer::new(),
        }
    }

    /// Applies up to `pages_max` changed pages of each database; they are found
    /// after [`Follower::commit`]. What was not committed when the process died
    /// is replayed.
    pub fn sync(&mut self, store: &Store, pages_max: usize) -> Result<SyncReport, SearchError> {
        sync(self.writer.as_mut(), &mut self.analyzer, store, pages_max)
    }

    pub fn commit(&mut self) -> Result<(), SearchError> {
        self.writer.commit()
    }

    #[must_use]
    pub fn committed(&self) -> ChangeSeqs {
        self.writer.committed()
    }

    /// Throws the index away and writes it anew from the store.
    pub fn rebuild(&mut self, store: &Store) -> Result<SyncReport, SearchError> {
        rebuild(self.writer.as_mut(), &mut self.analyzer, store)
    }

    pub fn close(self) -> Result<(), SearchError> {
        self.writer.close()
    }
}

pub(crate) fn sync(
    writer: &mut dyn KeywordWriter,
    analyzer: &mut Analyzer,
    store: &Store,
    pages_max: usize,
) -> Result<SyncReport, SearchError> {
    let mut report = SyncReport::default();
    let shards = store.shards();
    for shard in &shards {
        match sync_shard(writer, analyzer, store, shard, pages_max, &mut report) {
            // What it has is found all the same; what is new there, later.
            Err(error) if shards.len() > 1 && error.is_of_store(StoreErrorKind::Unavailable) => {
                debug!(shard = %shard.shard_number(), "a database does not answer");
            }
            synced => synced?,
        }
    }
    report.seqs = writer.applied();
    Ok(report)
}

pub(crate) fn rebuild(
    writer: &mut dyn KeywordWriter,
    analyzer: &mut Analyzer,
    store: &Store,
) -> Result<SyncReport, SearchError> {
    writer.clear()?;
    let mut total = SyncReport::default();
    loop {
        let report = sync(writer, analyzer, store, PAGES_PER_ROUND)?;
        total.pages += report.pages;
        total.chunks += report.chunks;
        total.seqs = report.seqs;
        if !report.more {
            break;
        }
    }
    writer.commit()?;
    Ok(total)
}

/// Applies changes of one database. Where one index holds all, what a page is
/// now is asked of all of `store`: one that was moved is gone here and there
/// elsewhere.
fn sync_shard(
    writer: &mut dyn KeywordWriter,
    analyzer: &mut Analyzer,
    store: &Store,
    shard: &Store,
    pages_max: usize,
    report: &mut SyncReport,
) -> Result<(), SearchError> {
    let number = shard.shard_number();
    if !writer.takes(number)? {
        return Ok(());
    }
    let newest = shard.change_seq()?;
    let applied = writer.applied().of(number);
    if applied > newest {
        warn!(
            index_seq = applied,
            store_seq = newest,
            "search index is ahead of its store, rebuilding it"
        );
        writer.clear()?;
    }
    let seq = writer.applied().of(number);
    let changes = shard.pages_changed_since(None, seq, pages_max)?;
    let holder = if writer.is_per_shard() { shard } else { store };
    for part in changes.chunks(PAGES_PER_READ) {
        let Some(last) = part.last() else { continue };
        let changed: Vec<PageId> = part.iter().map(|change| change.page).collect();
        let docs = holder.index_docs(&changed)?.into_iter();
        let pages: Vec<IndexedPage> = docs
            .filter_map(|doc| IndexedPage::of(&doc, analyzer))
            .collect();
        let chunks: usize = pages.iter().map(|page| page.chunks.len()).sum();
        writer.apply(Batch {
            shard: number,
            seq: last.seq,
            changed,
            pages,
        })?;
        report.chunks += chunks;
        report.pages += part.len();
    }
    report.more |= changes.len() >= pages_max && writer.applied().of(number) < newest;
    Ok(())
}
