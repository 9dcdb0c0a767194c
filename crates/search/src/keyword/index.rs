//! Writing and opening the index files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::{ChangeSeqs, Store};
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::Schema;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term};
use tracing::warn;
use types::{ChunkId, PageId, TenantId};

use super::corpus::{Corpora, Corpus};
use super::document;
use super::schema::{self, CHUNK_COLUMN, Fields, PAGE_COLUMN, SCHEMA_VERSION};
use crate::engine::{self, Batch, KeywordWriter, SyncReport};
use crate::error::SearchError;
use crate::text::Analyzer;

/// Heap of the index writer: what it holds before it writes a segment.
pub const WRITER_HEAP_BYTES: usize = 48 << 20;
/// A segment with this share of deleted pages is merged away.
const DELETED_SHARE_MAX: f32 = 0.3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Read,
    /// Takes the index's write lock; creates, and repairs by rebuilding.
    Write,
}

/// The keyword index in its directory.
pub struct KeywordIndex {
    dir: PathBuf,
    index: Index,
    fields: Fields,
    reader: IndexReader,
    writer: Option<IndexWriter>,
    /// Released after the writer is gone.
    _lock: Option<WriteLock>,
    corpora: Corpora,
    /// Applied, maybe not yet committed.
    seqs: ChangeSeqs,
    /// `None` once the index was cleared: even of an empty store the emptiness
    /// is to be committed.
    committed: Option<ChangeSeqs>,
}

impl KeywordIndex {
    /// Opens the index below `dir`. For writing, an index that is missing,
    /// broken or of another version starts empty, and the next
    /// [`KeywordIndex::sync`] fills it from the store. While another process
    /// writes it the error is [`crate::SearchErrorKind::Busy`], and nothing is
    /// touched.
    pub fn open(dir: &Path, mode: Mode) -> Result<KeywordIndex, SearchError> {
        KeywordIndex::open_with(dir, mode, WRITER_HEAP_BYTES)
    }

    /// [`KeywordIndex::open`] with another writer heap, at least 16 MB.
    pub fn open_with(
        dir: &Path,
        mode: Mode,
        heap_bytes: usize,
    ) -> Result<KeywordIndex, SearchError> {
        let versioned = dir.join(format!("keyword-v{SCHEMA_VERSION}"));
        let (wanted, fields) = schema::build();
        match mode {
            Mode::Read => {
                if !versioned.join("meta.json").is_file() {
                    return Err(SearchError::not_found(dir));
                }
                guarded(|| {
                    let index = Index::open_in_dir(&versioned)?;
                    KeywordIndex::assemble(versioned.clone(), index, fields, None, None)
                })
            }
            Mode::Write => {
                let lock = WriteLock::acquire(dir)?;
                remove_other_versions(dir, &versioned)?;
                let opened = guarded(|| open_for_writing(&versioned, &wanted, heap_bytes));
                let (index, writer) = match opened {
                    Ok(opened) => opened,
                    Err(error) if error.kind() == crate::SearchErrorKind::Busy => {
                        return Err(error);
                    }
                    Err(error) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        warn!(
                            dir = %versioned.display(),
                            cause = cause.as_deref().unwrap_or_default(),
                            "search index cannot be used, rebuilding it from the store"
                        );
                        remove_dir(&versioned)?;
                        open_for_writing(&versioned, &wanted, heap_bytes)?
                    }
                };
                KeywordIndex::assemble(versioned, index, fields, Some(writer), Some(lock))
            }
        }
    }

    fn assemble(
        dir: PathBuf,
        mut index: Index,
        fields: Fields,
        writer: Option<IndexWriter>,
        lock: Option<WriteLock>,
    ) -> Result<KeywordIndex, SearchError> {
        index.set_tokenizers(schema::tokenizers());
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        let committed = committed_seqs(&index)?;
        Ok(KeywordIndex {
            dir,
            index,
            fields,
            reader,
            writer,
            _lock: lock,
            corpora: Corpora::default(),
            seqs: committed.clone(),
            committed: Some(committed),
        })
    }

    /// Applies up to `pages_max` changed pages and commits.
    pub fn sync(&mut self, store: &Store, pages_max: usize) -> Result<SyncReport, SearchError> {
        let report = engine::sync(self, &mut Analyzer::new(), store, pages_max)?;
        self.commit()?;
        Ok(report)
    }

    /// Makes what was synced findable and durable. Does nothing when there is nothing new.
    pub fn commit(&mut self) -> Result<(), SearchError> {
        if self.committed.as_ref() == Some(&self.seqs) {
            return Ok(());
        }
        let payload = self.seqs.to_string();
        let mut prepared = self.writer()?.prepare_commit()?;
        prepared.set_payload(&payload);
        prepared.commit()?;
        self.committed = Some(self.seqs.clone());
        self.reader.reload()?;
        Ok(())
    }

    /// Throws the index away and writes it anew from the store.
    pub fn rebuild(&mut self, store: &Store) -> Result<SyncReport, SearchError> {
        engine::rebuild(self, &mut Analyzer::new(), store)
    }

    /// Waits for running segment merges and closes the index.
    pub fn close(mut self) -> Result<(), SearchError> {
        self.commit_if_writing()?;
        if let Some(writer) = self.writer.take() {
            writer.wait_merging_threads()?;
        }
        Ok(())
    }

    /// Changes of the store that are committed in the index.
    #[must_use]
    pub fn committed(&self) -> ChangeSeqs {
        self.committed.clone().unwrap_or_default()
    }

    /// Pages in the committed index.
    #[must_use]
    pub fn num_docs(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Ids of the indexed pages, ascending: for checks against the store.
    pub fn page_ids(&self) -> Result<Vec<PageId>, SearchError> {
        Ok(self.ids(PAGE_COLUMN)?.into_iter().map(PageId).collect())
    }

    /// Ids of the indexed chunks, ascending: for checks against the store.
    pub fn chunk_ids(&self) -> Result<Vec<ChunkId>, SearchError> {
        Ok(self.ids(CHUNK_COLUMN)?.into_iter().map(ChunkId).collect())
    }

    /// Sees commits of another process.
    pub fn reload(&mut self) -> Result<(), SearchError> {
        self.reader.reload()?;
        if self.writer.is_none() {
            self.seqs = committed_seqs(&self.index)?;
            self.committed = Some(self.seqs.clone());
        }
        Ok(())
    }

    pub(crate) fn searcher(&self) -> tantivy::Searcher {
        self.reader.searcher()
    }

    /// Statistics of the tenant's pages, as `searcher` sees them.
    pub(crate) fn corpus(
        &self,
        searcher: &tantivy::Searcher,
        tenant: TenantId,
    ) -> Result<Arc<Corpus>, SearchError> {
        self.corpora.of(searcher, &self.fields, tenant)
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    fn ids(&self, column: &str) -> Result<Vec<i64>, SearchError> {
        let searcher = self.reader.searcher();
        let mut ids = Vec::new();
        for reader in searcher.segment_readers() {
            let values = reader.fast_fields().i64(column)?;
            for doc in reader.doc_ids_alive() {
                ids.extend(values.values_for_doc(doc));
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn commit_if_writing(&mut self) -> Result<(), SearchError> {
        if self.writer.is_some() {
            self.commit()
        } else {
            Ok(())
        }
    }

    fn writer(&mut self) -> Result<&mut IndexWriter, SearchError> {
        self.writer.as_mut().ok_or_else(|| {
            SearchError::bug(format!(
                "{} was opened for reading only",
                self.dir.display()
            ))
        })
    }
}

impl KeywordWriter for KeywordIndex {
    fn applied(&self) -> ChangeSeqs {
        self.seqs.clone()
    }

    fn committed(&self) -> ChangeSeqs {
        KeywordIndex::committed(self)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), SearchError> {
        for page in &batch.changed {
            let term = Term::from_field_i64(self.fields.page, page.0);
            self.writer()?.delete_term(term);
        }
        for page in &batch.pages {
            let document = document::build(page, &self.fields);
            self.writer()?.add_document(document)?;
        }
        self.seqs.advance(batch.shard, batch.seq);
        Ok(())
    }

    /// Costs an fsync, so a crawl commits every second or two.
    fn commit(&mut self) -> Result<(), SearchError> {
        KeywordIndex::commit(self)
    }

    fn clear(&mut self) -> Result<(), SearchError> {
        self.writer()?.delete_all_documents()?;
        self.seqs = ChangeSeqs::default();
        self.committed = None;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), SearchError> {
        KeywordIndex::close(*self)
    }
}

impl std::fmt::Debug for KeywordIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeywordIndex")
            .field("dir", &self.dir)
            .field("seqs", &self.seqs)
            .finish_non_exhaustive()
    }
}

/// Held as long as an index is open for writing. tantivy has a lock of its own,
/// but inside the folder that is removed when it cannot be read, and reading
/// it while another process merges segments may fail.
struct WriteLock(File);

impl WriteLock {
    fn acquire(dir: &Path) -> Result<WriteLock, SearchError> {
        fs::create_dir_all(dir)
            .map_err(|e| SearchError::io("create search index directory", dir.to_owned(), e))?;
        let path = dir.join("write.lock");
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = opened.map_err(|e| SearchError::io("open", path.clone(), e))?;
        match file.try_lock() {
            Ok(()) => Ok(WriteLock(file)),
            Err(TryLockError::WouldBlock) => Err(SearchError::busy()),
            Err(TryLockError::Error(e)) => Err(SearchError::io("lock", path, e)),
        }
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        // A child process that is just being started may have a copy of the
        // file, so closing it would not do.
        if let Err(error) = self.0.unlock() {
            warn!(%error, "failed to release the search index");
        }
    }
}

fn open_for_writing(
    dir: &Path,
    wanted: &Schema,
    heap_bytes: usize,
) -> Result<(Index, IndexWriter), SearchError> {
    fs::create_dir_all(dir)
        .map_err(|e| SearchError::io("create search index directory", dir.to_owned(), e))?;
    let mut index = if dir.join("meta.json").is_file() {
        let index = Index::open_in_dir(dir)?;
        if index.schema() != *wanted {
            return Err(SearchError::bug("search index has other fields"));
        }
        // Reading the segments now finds missing or cut files before a search does.
        index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map(|_: IndexReader| ())?;
        index
    } else {
        Index::create_in_dir(dir, wanted.clone())?
    };
    index.set_tokenizers(schema::tokenizers());
    let options = IndexWriterOptions::builder()
        .memory_budget_per_thread(heap_bytes)
        .num_worker_threads(1)
        .num_merge_threads(1)
        .build();
    let writer: IndexWriter<TantivyDocument> = index.writer_with_options(options)?;
    let mut merges = LogMergePolicy::default();
    merges.set_del_docs_ratio_before_merge(DELETED_SHARE_MAX);
    writer.set_merge_policy(Box::new(merges));
    Ok((index, writer))
}

/// tantivy panics on some damaged files where it should fail.
fn guarded<T>(open: impl FnOnce() -> Result<T, SearchError>) -> Result<T, SearchError> {
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open));
    opened.unwrap_or_else(|_| Err(SearchError::damaged()))
}

/// As of the last commit; none for an index that was never filled.
fn committed_seqs(index: &Index) -> Result<ChangeSeqs, SearchError> {
    let payload = index.load_metas()?.payload;
    Ok(payload
        .and_then(|seqs| seqs.parse().ok())
        .unwrap_or_default())
}

fn remove_other_versions(dir: &Path, keep: &Path) -> Result<(), SearchError> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with("keyword-v");
        if ours && path != keep {
            warn!(dir = %path.display(), "removing a search index of another version, it is rebuilt from the store");
            remove_dir(&path)?;
        }
    }
    Ok(())
}

fn remove_dir(dir: &Path) -> Result<(), SearchError> {
    fs::remove_dir_all(dir)
        .map_err(|e| SearchError::io("remove search index directory", dir.to_owned(), e))
}
