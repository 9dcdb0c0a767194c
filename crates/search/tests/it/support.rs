//! A small world of pages: a store in memory, its index, a searcher.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use search::{IndexMode, KeywordIndex, SearchRequest, SearchResponse, Searcher};
use store::{
    ChunkVectors, CrawlBatch, CrawlStatus, FrontierKind, NewSource, NewUrl, PageVisit, Store,
    StoredVector, Visit, VisitResult,
};
use types::{
    Block, BlockKind, CanonicalUrl, Chunk, ContentHash, FailReason, ManualClock, Page, Record,
    TenantId, TextHash, Timestamp,
};

pub(crate) const MODEL: &str = "test-model";

/// What a test page says; everything else is filled in.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestPage {
    pub(crate) url: String,
    pub(crate) title: String,
    /// Paragraphs; one chunk each. One that begins with `# ` is a heading and
    /// belongs to the chunk of the next.
    pub(crate) text: String,
    pub(crate) language: Option<&'static str>,
    pub(crate) published_at: Option<Timestamp>,
    pub(crate) structured: Option<&'static str>,
    pub(crate) open_graph: Vec<(String, String)>,
    pub(crate) author: Option<&'static str>,
    pub(crate) record: Option<Record>,
}

pub(crate) fn page(path: &str, title: &str, text: &str) -> TestPage {
    TestPage {
        url: format!("https://site.example{path}"),
        title: title.to_owned(),
        text: text.to_owned(),
        ..TestPage::default()
    }
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> World {
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        World {
            store: Store::open_memory(clock).unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn with(pages: &[TestPage]) -> World {
        let world = World::new();
        world.save(pages);
        world.sync();
        world
    }

    pub(crate) fn save(&self, pages: &[TestPage]) {
        self.save_as(TenantId::DEFAULT, pages);
    }

    pub(crate) fn save_as(&self, tenant: TenantId, pages: &[TestPage]) {
        let by_url: BTreeMap<&str, &TestPage> = pages.iter().map(|p| (p.url.as_str(), p)).collect();
        let urls = pages.iter().map(|p| p.url.clone()).collect();
        self.visit(tenant, urls, |url| {
            VisitResult::Page(Box::new(stored(by_url[url])))
        });
    }

    pub(crate) fn delete(&self, urls: &[&str]) {
        self.delete_as(TenantId::DEFAULT, urls);
    }

    pub(crate) fn delete_as(&self, tenant: TenantId, urls: &[&str]) {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        self.visit(tenant, urls, |_| VisitResult::Failed {
            reason: FailReason::NotFound,
            detail: String::new(),
        });
    }

    fn visit(&self, tenant: TenantId, urls: Vec<String>, result: impl Fn(&str) -> VisitResult) {
        let source = NewSource {
            tenant,
            name: "site".into(),
            seeds: vec!["https://site.example/".into()],
            policy: "{}".into(),
        };
        let source = self.store.ensure_source(source).unwrap();
        let new = urls.iter().map(|url| NewUrl {
            url: CanonicalUrl::parse(url).unwrap(),
            kind: FrontierKind::Page,
            depth: 0,
        });
        let crawl = self.store.start_crawl(source, "{}", new.collect()).unwrap();
        let mut visits = Vec::new();
        for host in self.store.queued_hosts(crawl).unwrap() {
            for row in self.store.queued_urls(crawl, &host, 0, 10_000).unwrap() {
                visits.push(Visit {
                    row: row.row,
                    result: result(row.url.as_str()),
                    url: row.url,
                    status: Some(200),
                    wire_bytes: 1,
                    discovered: Vec::new(),
                    redirect_to: None,
                    fetched: true,
                });
            }
        }
        self.store
            .commit_batch(CrawlBatch {
                crawl,
                visits,
                follow_ups: Vec::new(),
            })
            .unwrap();
        self.store
            .finish_crawl(crawl, CrawlStatus::Completed, None)
            .unwrap();
    }

    pub(crate) fn index(&self) -> KeywordIndex {
        KeywordIndex::open_with(self.dir.path(), IndexMode::Write, 16 << 20).unwrap()
    }

    pub(crate) fn sync(&self) {
        let mut index = self.index();
        while index.sync(&self.store, 1000).unwrap().more {}
    }

    /// Gives every waiting chunk the vector that `vector` makes of its text.
    pub(crate) fn embed(&self, dims: usize, vector: impl Fn(&str) -> Option<Vec<f32>>) {
        self.store.set_embedding_model(MODEL, dims).unwrap();
        let pending = self.store.pending_chunks(100_000).unwrap();
        let rows = pending.into_iter().filter_map(|chunk| {
            Some(ChunkVectors {
                chunk: chunk.chunk,
                hash: chunk.hash,
                full: quantize(&vector(&chunk.text)?),
                tldr: None,
                tldr_hash: None,
            })
        });
        self.store.save_vectors(MODEL, rows.collect()).unwrap();
    }

    pub(crate) fn searcher(&self) -> Searcher {
        Searcher::open(self.store.clone(), self.dir.path(), Some(MODEL)).unwrap()
    }

    pub(crate) fn search(&self, query: &str) -> SearchResponse {
        self.ask(SearchRequest {
            query: query.to_owned(),
            ..SearchRequest::default()
        })
    }

    pub(crate) fn ask(&self, request: SearchRequest) -> SearchResponse {
        self.searcher().search(&request, None).unwrap()
    }

    /// Paths of the pages found, best first.
    pub(crate) fn paths(&self, query: &str) -> Vec<String> {
        paths(&self.search(query))
    }
}

pub(crate) fn paths(response: &SearchResponse) -> Vec<String> {
    let path = |url: &str| url.splitn(4, '/').nth(3).map(|path| format!("/{path}"));
    response
        .hits
        .iter()
        .filter_map(|hit| path(&hit.url))
        .collect()
}

pub(crate) fn quantize(vector: &[f32]) -> StoredVector {
    let largest = vector.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let scale = largest / 127.0;
    let codes = vector.iter().map(|x| (x / scale).round() as i8).collect();
    StoredVector { scale, codes }
}

fn stored(page: &TestPage) -> PageVisit {
    let mut text = String::new();
    let mut blocks = Vec::new();
    let mut chunks: Vec<Chunk> = Vec::new();
    let (mut heading_at, mut section) = (None, String::new());
    for paragraph in page.text.split("\n\n").filter(|p| !p.trim().is_empty()) {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let start = text.len();
        if let Some(heading) = paragraph.strip_prefix("# ") {
            text.push_str(heading);
            blocks.push(Block {
                kind: BlockKind::Heading(2),
                range: start..text.len(),
            });
            heading_at = Some(start);
            section = heading.to_owned();
            continue;
        }
        text.push_str(paragraph);
        blocks.push(Block {
            kind: BlockKind::Paragraph,
            range: start..text.len(),
        });
        let range = heading_at.take().unwrap_or(start)..text.len();
        chunks.push(Chunk {
            position: chunks.len() as u32,
            hash: TextHash(fingerprint(&(&text[range.clone()], &section))),
            range,
            tldr: None,
            heading_path: if section.is_empty() {
                Vec::new()
            } else {
                vec![section.clone()]
            },
            section: section.clone(),
            keywords: Vec::new(),
            language: page.language.map(str::to_owned),
            tokens: 10,
        });
    }
    let mut content_hash = ContentHash([0; 32]);
    content_hash.0[..16].copy_from_slice(&fingerprint(&(&page.title, &text)));
    let page = Page {
        title: page.title.clone(),
        text,
        blocks,
        language: page.language.map(str::to_owned),
        published_at: page.published_at,
        structured: page.structured.map(str::to_owned),
        open_graph: page.open_graph.clone(),
        author: page.author.map(str::to_owned),
        record: page.record.clone().map(Box::new),
        simhash: u64::from_le_bytes(fingerprint(&page.text)[..8].try_into().unwrap()),
        content_hash,
        ..Page::default()
    };
    PageVisit {
        page,
        chunks,
        etag: None,
        last_modified: None,
        content_type: None,
    }
}

fn fingerprint(value: &impl Hash) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (half, salt) in bytes.chunks_exact_mut(8).zip([1u8, 2]) {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value.hash(&mut hasher);
        half.copy_from_slice(&hasher.finish().to_le_bytes());
    }
    bytes
}
