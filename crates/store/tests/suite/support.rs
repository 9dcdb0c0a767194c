//! Small crawls in a few lines.

use std::sync::Arc;

use store::{
    BatchReport, CrawlBatch, FrontierKind, FrontierRow, NewSource, NewUrl, PageRow, PageVisit,
    Store, Visit, VisitResult,
};
use types::{
    Block, BlockKind, CanonicalUrl, Change, Chunk, Clock, ContentHash, CrawlId, FailReason,
    HostKey, Link, ManualClock, Page, SkipReason, SourceId, TenantId, TextHash, Timestamp,
    UrlOutcome,
};

pub(crate) fn url(text: &str) -> CanonicalUrl {
    CanonicalUrl::parse(text).expect("a test URL is valid")
}

pub(crate) fn page_url(path: &str) -> NewUrl {
    NewUrl {
        url: url(&format!("https://site.example/{path}")),
        kind: FrontierKind::Page,
        depth: 0,
    }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp(1_000_000)))
}

pub(crate) fn text_hash(text: &str) -> TextHash {
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    TextHash(hash)
}

/// A page of paragraphs, one chunk each. Its content hash ignores the space
/// around paragraphs, as a normalising extractor would.
pub(crate) fn page(title: &str, paragraphs: &[&str]) -> PageVisit {
    let text = paragraphs.join("\n\n");
    let mut at = 0;
    let ranges: Vec<_> = paragraphs
        .iter()
        .map(|p| {
            let range = at..at + p.len();
            at = range.end + 2;
            range
        })
        .collect();
    let folded: Vec<&str> = paragraphs.iter().map(|p| p.trim()).collect();
    let chunk = |(position, range): (usize, &std::ops::Range<usize>)| Chunk {
        position: position as u32,
        range: range.clone(),
        tldr: None,
        section: title.to_owned(),
        heading_path: vec![title.to_owned()],
        keywords: vec!["word".to_owned()],
        language: Some("en".to_owned()),
        tokens: 10,
        hash: text_hash(&format!("{title}|{}", &text[range.clone()])),
    };
    let chunks = ranges.iter().enumerate().map(chunk).collect();
    PageVisit {
        page: Page {
            title: title.to_owned(),
            markdown: format!("# {title}\n\n{text}"),
            blocks: ranges
                .iter()
                .map(|range| Block {
                    kind: BlockKind::Paragraph,
                    range: range.clone(),
                })
                .collect(),
            links: vec![Link {
                url: "https://site.example/next".to_owned(),
                text: "next".to_owned(),
                nofollow: false,
            }],
            content_hash: ContentHash(
                *blake3::hash(format!("{title}|{}", folded.join("|")).as_bytes()).as_bytes(),
            ),
            text,
            ..Page::default()
        },
        chunks,
        etag: Some("\"1\"".to_owned()),
        last_modified: None,
        content_type: Some("text/html".to_owned()),
    }
}

pub(crate) fn visit(row: &FrontierRow, result: VisitResult) -> Visit {
    Visit {
        row: row.row,
        url: row.url.clone(),
        status: Some(200),
        wire_bytes: 100,
        result,
        discovered: Vec::new(),
        redirect_to: None,
        fetched: true,
    }
}

pub(crate) fn stored(page: PageVisit) -> VisitResult {
    VisitResult::Page(Box::new(page))
}

pub(crate) fn failed(reason: FailReason) -> VisitResult {
    VisitResult::Failed {
        reason,
        detail: "detail".to_owned(),
    }
}

pub(crate) fn skipped(reason: SkipReason) -> VisitResult {
    VisitResult::Skipped {
        reason,
        detail: "detail".to_owned(),
    }
}

pub(crate) const ADDED: UrlOutcome = UrlOutcome::Stored(Change::Added);
pub(crate) const UPDATED: UrlOutcome = UrlOutcome::Stored(Change::Updated);
pub(crate) const UNCHANGED: UrlOutcome = UrlOutcome::Stored(Change::Unchanged);

/// A store with one source; each `visit` runs a small crawl of its own.
pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) source: SourceId,
    pub(crate) clock: Arc<ManualClock>,
}

impl Site {
    pub(crate) fn new() -> Site {
        let clock = clock();
        let store = crate::engine::store(clock.clone());
        Site::on(store, clock)
    }

    /// With a handle on its own database alone, where there are several.
    pub(crate) fn in_one_database() -> Site {
        Site::new().in_its_database()
    }

    pub(crate) fn in_its_database(self) -> Site {
        Site {
            store: self.shard(),
            ..self
        }
    }

    /// What is read in the order of one database's changes.
    pub(crate) fn shard(&self) -> Store {
        let shard = self.store.shard_of_source(self.source);
        shard.expect("the source is somewhere")
    }

    pub(crate) fn on(store: Store, clock: Arc<ManualClock>) -> Site {
        Site::of_tenant(store, clock, TenantId::DEFAULT)
    }

    /// The same site for another tenant. What reads by path reads the default
    /// tenant's pages all the same.
    pub(crate) fn of_tenant(store: Store, clock: Arc<ManualClock>, tenant: TenantId) -> Site {
        let source = store
            .ensure_source(NewSource {
                tenant,
                name: "site".to_owned(),
                seeds: vec!["https://site.example/".to_owned()],
                policy: "{}".to_owned(),
            })
            .expect("the source is saved");
        Site {
            store,
            source,
            clock,
        }
    }

    pub(crate) fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn crawl(&self, paths: &[&str]) -> CrawlId {
        let seeds = paths.iter().map(|path| page_url(path)).collect();
        self.store
            .start_crawl(self.source, "{}", seeds)
            .expect("the crawl starts")
    }

    pub(crate) fn queued(&self, crawl: CrawlId) -> Vec<FrontierRow> {
        let hosts = self.store.queued_hosts(crawl).expect("hosts");
        let rows = |host: &HostKey| self.store.queued_urls(crawl, host, 0, 1000).expect("rows");
        hosts.iter().flat_map(rows).collect()
    }

    /// Crawls each path once, with the given result; how they ended.
    pub(crate) fn visit(&self, visits: Vec<(&str, VisitResult)>) -> Vec<UrlOutcome> {
        let report = self.visit_report(visits);
        report
            .outcomes
            .into_iter()
            .map(|(_, outcome)| outcome)
            .collect()
    }

    pub(crate) fn visit_report(&self, visits: Vec<(&str, VisitResult)>) -> BatchReport {
        let paths: Vec<&str> = visits.iter().map(|(path, _)| *path).collect();
        let crawl = self.crawl(&paths);
        let rows = self.queued(crawl);
        let visits = visits
            .into_iter()
            .map(|(path, result)| {
                let wanted = page_url(path).url;
                let row = rows.iter().find(|row| row.url == wanted).expect("queued");
                visit(row, result)
            })
            .collect();
        self.store
            .commit_batch(CrawlBatch {
                crawl,
                visits,
                follow_ups: Vec::new(),
            })
            .expect("the batch commits")
    }

    pub(crate) fn page(&self, path: &str) -> PageRow {
        let url = page_url(path).url;
        self.store
            .page_by_url(TenantId::DEFAULT, url.as_str())
            .expect("readable")
            .expect("stored")
    }

    /// Texts of the page's chunks, cut out of its content.
    pub(crate) fn chunk_texts(&self, path: &str) -> Vec<String> {
        let page = self.page(path).id;
        let content = self
            .store
            .page_content(page)
            .expect("readable")
            .expect("stored");
        let chunks = self.store.chunks(page).expect("readable");
        let text = |c: &store::ChunkRow| content.text[c.chunk.range.clone()].to_owned();
        chunks.iter().map(text).collect()
    }

    pub(crate) fn chunk_ids(&self, path: &str) -> Vec<i64> {
        let chunks = self.store.chunks(self.page(path).id).expect("readable");
        chunks.iter().map(|c| c.id.0).collect()
    }
}
