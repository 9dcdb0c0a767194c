//! A BEIR corpus in a store, the way crawled pages get there: as pages that
//! are chunked and committed in batches. What an earlier run stored is kept,
//! so that its vectors need not be computed again.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use chunk::ChunkConfig;
use serde::Deserialize;
use store::{
    CrawlBatch, CrawlStatus, FrontierKind, NewSource, NewUrl, PageCursor, PageFilter, PageStatus,
    PageVisit, Store, Visit, VisitResult,
};
use types::{
    Block, BlockKind, CanonicalUrl, ContentHash, CrawlId, FailReason, Page, PageId, SourceId,
    TenantId,
};

use super::files::{self, json_lines};
use crate::cli::output::{note, thousands};

/// Host of the documents; `.invalid` never resolves (RFC 2606).
const HOST: &str = "http://eval.invalid/";
const DOCUMENTS_PER_BATCH: usize = 200;
const NOTE_EVERY: usize = 20_000;
/// Documents whose chunks tell whether stored chunks are still what chunking
/// would make today.
const DOCUMENTS_SAMPLED: usize = 64;

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(rename = "_id", deserialize_with = "files::id")]
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: String,
}

/// What loading did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    pub documents: usize,
    /// Documents without title and text: nothing can find them.
    pub empty: usize,
    /// Stored or stored anew; the others were there already.
    pub loaded: usize,
}

pub struct Loader<'a> {
    pub store: &'a Store,
    pub tenant: TenantId,
    pub chunk_config: &'a ChunkConfig,
    /// Of all documents, where known.
    pub language: Option<&'a str>,
    /// Of the set, to name its source.
    pub name: &'a str,
}

impl Loader<'_> {
    /// Makes the store hold exactly the corpus of the folder.
    pub fn load(&self, dir: &Path) -> Result<LoadReport> {
        let path = files::find(dir, "corpus.jsonl")?;
        let fingerprint = self.fingerprint(&path)?;
        let seeds = vec![HOST.to_owned()];
        let before = self
            .store
            .sources(self.tenant)?
            .into_iter()
            .find(|source| source.seeds == seeds);
        let is_current = before.is_some_and(|source| source.policy == fingerprint);
        // Until everything is stored the source says that it is not.
        let source = self.ensure_source(if is_current { &fingerprint } else { "{}" })?;
        if let Some(unfinished) = self.store.unfinished_crawl(source)? {
            self.store.cancel_crawl(unfinished.id)?;
        }
        let mut stored = self.stored(source)?;
        let crawl = self.store.start_crawl(source, &fingerprint, Vec::new())?;
        let mut batches = Batches {
            loader: self,
            crawl,
            last_row: 0,
        };
        let mut report = LoadReport::default();
        let mut batch = Vec::new();
        let mut seen = HashSet::new();
        for document in json_lines::<Document>(&path)? {
            let document = document?;
            if !seen.insert(document.id.clone()) {
                bail!(
                    "document `{}` occurs twice in {}",
                    document.id,
                    path.display()
                );
            }
            report.documents += 1;
            if report.documents.is_multiple_of(NOTE_EVERY) {
                note(format!("{} documents", thousands(report.documents as u64)));
            }
            let url = document_url(&document.id)?;
            let known = stored.remove(&url);
            let Some(page) = self.page(document) else {
                report.empty += 1;
                // Stored under this id before it became empty.
                stored.extend(known.map(|hash| (url, hash)));
                continue;
            };
            if is_current && known == Some(page.content_hash) {
                continue;
            }
            report.loaded += 1;
            batch.push((url, self.visit(page)));
            if batch.len() == DOCUMENTS_PER_BATCH {
                batches.commit(std::mem::take(&mut batch))?;
            }
        }
        batches.commit(batch)?;
        let gone: Vec<CanonicalUrl> = stored.into_keys().collect();
        for urls in gone.chunks(DOCUMENTS_PER_BATCH) {
            let missing = |url: &CanonicalUrl| {
                let detail = "no longer in the corpus".to_owned();
                (
                    url.clone(),
                    VisitResult::Failed {
                        reason: FailReason::NotFound,
                        detail,
                    },
                )
            };
            batches.commit(urls.iter().map(missing).collect())?;
        }
        self.store
            .finish_crawl(crawl, CrawlStatus::Completed, None)?;
        self.ensure_source(&fingerprint)?;
        Ok(report)
    }

    fn ensure_source(&self, policy: &str) -> Result<SourceId> {
        Ok(self.store.ensure_source(NewSource {
            tenant: self.tenant,
            name: self.name.to_owned(),
            seeds: vec![HOST.to_owned()],
            policy: policy.to_owned(),
        })?)
    }

    /// Live pages of earlier runs.
    fn stored(&self, source: SourceId) -> Result<HashMap<CanonicalUrl, ContentHash>> {
        let mut stored = HashMap::new();
        let mut after: Option<PageId> = None;
        loop {
            let pages = self.store.pages(&PageFilter {
                tenant: self.tenant,
                source: Some(source),
                status: Some(PageStatus::Live),
                cursor: after.map(PageCursor::behind_id),
                limit: 1000,
                ..PageFilter::default()
            })?;
            let Some(last) = pages.last() else {
                return Ok(stored);
            };
            after = Some(last.id);
            for page in pages {
                let url = CanonicalUrl::parse(&page.url).context("bug: a stored URL is broken")?;
                stored.insert(url, page.content_hash);
            }
        }
    }

    /// Changes when chunking would cut the corpus otherwise than it did, be it
    /// by configuration or by a change of the code.
    fn fingerprint(&self, path: &Path) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        for document in json_lines::<Document>(path)?.take(DOCUMENTS_SAMPLED) {
            let Some(page) = self.page(document?) else {
                continue;
            };
            for chunk in chunk::chunk(&page, self.chunk_config) {
                hasher.update(format!("{chunk:?}").as_bytes());
            }
        }
        let chunks = hasher.finalize().to_hex();
        Ok(serde_json::json!({
            "chunk": format!("{:?}", self.chunk_config),
            "chunks": chunks.as_str(),
            "language": self.language,
        })
        .to_string())
    }

    fn visit(&self, page: Page) -> VisitResult {
        let chunks = chunk::chunk(&page, self.chunk_config);
        VisitResult::Page(Box::new(PageVisit {
            page,
            chunks,
            etag: None,
            last_modified: None,
            content_type: None,
        }))
    }

    /// The document as a page; a document without text is known by its title.
    fn page(&self, document: Document) -> Option<Page> {
        let source = if document.text.trim().is_empty() {
            &document.title
        } else {
            &document.text
        };
        let (text, blocks) = paragraphs(source);
        if text.is_empty() {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        // With the id: documents of one text are judged one by one, so none
        // may stand for another as duplicates do in a crawl.
        for part in [&document.id, &document.title, &text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let content_hash = *hasher.finalize().as_bytes();
        let mut simhash = [0; 8];
        simhash.copy_from_slice(&content_hash[..8]);
        Some(Page {
            title: document.title,
            language: self.language.map(str::to_owned),
            markdown: text.clone(),
            text,
            blocks,
            content_hash: ContentHash(content_hash),
            // Near duplicates do not matter here; equal values would be compared
            // with each other for every page.
            simhash: u64::from_le_bytes(simhash),
            ..Page::default()
        })
    }
}

/// Commits visits, queueing their URLs first as a crawl would.
struct Batches<'a> {
    loader: &'a Loader<'a>,
    crawl: CrawlId,
    last_row: i64,
}

impl Batches<'_> {
    fn commit(&mut self, batch: Vec<(CanonicalUrl, VisitResult)>) -> Result<()> {
        let Some((first, _)) = batch.first() else {
            return Ok(());
        };
        let (store, host) = (self.loader.store, first.host_key());
        let new_url = |url: &CanonicalUrl| NewUrl {
            url: url.clone(),
            kind: FrontierKind::Page,
            depth: 0,
        };
        store.add_urls(
            self.crawl,
            batch.iter().map(|(url, _)| new_url(url)).collect(),
        )?;
        let queued = store.queued_urls(self.crawl, &host, self.last_row, batch.len())?;
        let rows: HashMap<CanonicalUrl, i64> =
            queued.into_iter().map(|row| (row.url, row.row)).collect();
        self.last_row = rows.values().copied().max().unwrap_or(self.last_row);
        let visits = batch
            .into_iter()
            .map(|(url, result)| {
                let row = *rows
                    .get(&url)
                    .context("bug: a queued document has no row")?;
                let status = if matches!(result, VisitResult::Page(_)) {
                    200
                } else {
                    404
                };
                Ok(Visit {
                    row,
                    url,
                    status: Some(status),
                    wire_bytes: 0,
                    result,
                    discovered: Vec::new(),
                    redirect_to: None,
                    fetched: true,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        store.commit_batch(CrawlBatch {
            crawl: self.crawl,
            visits,
            follow_ups: Vec::new(),
        })?;
        Ok(())
    }
}

/// The id in hexadecimal: as words of the URL, ids would be found by queries.
fn document_url(id: &str) -> Result<CanonicalUrl> {
    let mut url = String::with_capacity(HOST.len() + 1 + id.len() * 2);
    url.push_str(HOST);
    url.push('d');
    for byte in id.bytes() {
        url.push_str(&format!("{byte:02x}"));
    }
    CanonicalUrl::parse(&url).with_context(|| format!("make a URL of the document id `{id}`"))
}

/// The id that [`document_url`] wrote; the URL itself when it wrote none.
pub fn document_id(url: &CanonicalUrl) -> String {
    let decoded = || {
        let hex = url.as_url().path().strip_prefix("/d")?;
        let digits: Vec<u8> = hex
            .chars()
            .map(|c| Some(c.to_digit(16)? as u8))
            .collect::<Option<_>>()?;
        let (pairs, []) = digits.as_chunks::<2>() else {
            return None;
        };
        String::from_utf8(pairs.iter().map(|[high, low]| high * 16 + low).collect()).ok()
    };
    decoded().unwrap_or_else(|| url.as_str().to_owned())
}

/// Text with one blank line between its paragraphs, and where each stands.
fn paragraphs(source: &str) -> (String, Vec<Block>) {
    let mut text = String::with_capacity(source.len());
    let mut blocks = Vec::new();
    let mut paragraph = String::new();
    for line in source.lines().chain([""]) {
        if !line.trim().is_empty() {
            paragraph.push_str(line);
            paragraph.push('\n');
            continue;
        }
        let content = paragraph.trim();
        if !content.is_empty() {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            let start = text.len();
            text.push_str(content);
            blocks.push(Block {
                kind: BlockKind::Paragraph,
                range: start..text.len(),
            });
        }
        paragraph.clear();
    }
    (text, blocks)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use types::{ManualClock, Timestamp};

    use super::*;

    fn check_paragraphs(source: &str, expected: &[&str]) {
        let (text, blocks) = paragraphs(source);
        let got: Vec<&str> = blocks
            .iter()
            .map(|block| &text[block.range.clone()])
            .collect();
        assert_eq!(got, expected, "{source:?}");
        assert_eq!(text, expected.join("\n\n"));
    }

    #[test]
    fn blank_lines_end_paragraphs() {
        check_paragraphs("", &[]);
        check_paragraphs(" \n\n", &[]);
        check_paragraphs("one line", &["one line"]);
        check_paragraphs("a\nb\n\n \nc\r\n\r\nd\n", &["a\nb", "c", "d"]);
    }

    #[test]
    fn ids_survive_as_urls() {
        for id in ["1", "HAM2-811102-008", "..", "a b/ک?#%", ""] {
            assert_eq!(document_id(&document_url(id).unwrap()), id);
        }
        let other = CanonicalUrl::parse("http://example.org/dzz").unwrap();
        assert_eq!(document_id(&other), "http://example.org/dzz");
    }

    struct Fixture {
        store: Store,
        dir: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Fixture {
            let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
            let store = Store::open_memory(clock).unwrap();
            Fixture {
                store,
                dir: tempfile::tempdir().unwrap(),
            }
        }

        fn load(&self, corpus: &str, config: &ChunkConfig) -> Result<LoadReport> {
            std::fs::write(self.dir.path().join("corpus.jsonl"), corpus).unwrap();
            Loader {
                store: &self.store,
                tenant: TenantId::DEFAULT,
                chunk_config: config,
                language: Some("en"),
                name: "test",
            }
            .load(self.dir.path())
        }

        fn live(&self) -> Vec<(String, u32)> {
            let filter = PageFilter {
                status: Some(PageStatus::Live),
                ..PageFilter::default()
            };
            let pages = self.store.pages(&filter).unwrap();
            let id = |url: &str| document_id(&CanonicalUrl::parse(url).unwrap());
            pages
                .iter()
                .map(|page| (id(&page.url), page.chunk_count))
                .collect()
        }
    }

    const CORPUS: &str = r#"{"_id": "a", "title": "One", "text": "The same text."}
{"_id": "b", "title": "One", "text": "The same text."}
{"_id": 3, "title": "Only a title", "text": " "}
{"_id": "e", "title": "", "text": ""}
"#;

    #[test]
    fn a_corpus_is_loaded_once() {
        let fixture = Fixture::new();
        let config = ChunkConfig::default();
        let first = fixture.load(CORPUS, &config).unwrap();
        assert_eq!(
            first,
            LoadReport {
                documents: 4,
                empty: 1,
                loaded: 3
            }
        );
        // Equal texts keep their own chunks.
        let expected = [
            ("a".to_owned(), 1),
            ("b".to_owned(), 1),
            ("3".to_owned(), 1),
        ];
        assert_eq!(fixture.live(), expected);
        let seq = fixture.store.change_seq().unwrap();
        assert_eq!(fixture.load(CORPUS, &config).unwrap().loaded, 0);
        assert_eq!(fixture.store.change_seq().unwrap(), seq);
    }

    #[test]
    fn the_store_follows_the_corpus() {
        let fixture = Fixture::new();
        let config = ChunkConfig::default();
        fixture.load(CORPUS, &config).unwrap();
        let changed =
            "{\"_id\": \"a\", \"text\": \"Another text.\"}\n{\"_id\": \"b\", \"text\": \"\"}\n";
        assert_eq!(fixture.load(changed, &config).unwrap().loaded, 1);
        assert_eq!(fixture.live(), [("a".to_owned(), 1)]);
        let smaller = ChunkConfig {
            tokens_max: config.tokens_max / 2,
            ..config
        };
        assert_eq!(fixture.load(changed, &smaller).unwrap().loaded, 1);
    }

    #[test]
    fn a_document_named_twice_is_an_error() {
        let twice = "{\"_id\": \"a\", \"text\": \"x\"}\n{\"_id\": \"a\", \"text\": \"y\"}\n";
        let error = Fixture::new()
            .load(twice, &ChunkConfig::default())
            .unwrap_err();
        assert!(
            error.to_string().contains("document `a` occurs twice"),
            "{error}"
        );
    }
}
