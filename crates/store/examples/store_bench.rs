//! Times the store on pages of the usual shape: 6 KB of text, 8 chunks, 20
//! links. `cargo run --release -p gleaner-store --example store_bench -- [PAGES] [DIR]`
//! writes a new database in DIR and reads it; with `read` for PAGES it only
//! reads the one that is there, and lists its pages.

#![expect(clippy::print_stdout, reason = "it reports to a person")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{
    Access, CrawlBatch, FrontierKind, NewSource, NewUrl, PageCursor, PageFilter, PageSort,
    PageStatus, PageVisit, Store, StoreOptions, Visit, VisitResult,
};
use types::{
    Block, BlockKind, CanonicalUrl, Chunk, ContentHash, CrawlId, Link, Page, PageId, SourceId,
    SystemClock, TenantId, TextHash, Timestamp,
};

const BATCH: usize = 100;
const FRONTIER_ROWS: usize = 1_000_000;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let pages = arguments.next().unwrap_or_else(|| "10000".to_owned());
    let dir = arguments.next();
    let dir = dir.map_or_else(|| std::env::temp_dir().join("store_bench"), PathBuf::from);
    let clock = Arc::new(SystemClock);
    if pages == "read" {
        let store = Store::open(&dir, Access::Read, &StoreOptions::default(), clock)?;
        (0..5).try_for_each(|_| read_pages(&store))?;
        return list_pages(&store);
    }
    let pages: usize = pages.parse()?;
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    let store = Store::open(&dir, Access::Write, &StoreOptions::default(), clock)?;
    let source = store.ensure_source(NewSource {
        tenant: TenantId::DEFAULT,
        name: "bench".to_owned(),
        seeds: vec!["https://bench.example/".to_owned()],
        policy: "{}".to_owned(),
    })?;

    let first = store.start_crawl(source, "{}", vec![page_url(0)])?;
    write_pages(&store, first, pages, "added")?;
    let second = store.start_crawl(source, "{}", vec![page_url(0)])?;
    write_pages(&store, second, pages, "unchanged")?;
    read_pages(&store)?;
    fill_frontier(&store, second)?;
    println!("{:?}", store.stats()?);
    store.close()?;
    Ok(())
}

fn write_pages(store: &Store, crawl: CrawlId, pages: usize, label: &str) -> Outcome {
    let host = page_url(0).url.host_key();
    let (mut done, mut after) = (0, 0);
    let (mut cpu_spent, mut spent, mut slowest) = Default::default();
    while done < pages {
        let rows = store.queued_urls(crawl, &host, after, BATCH)?;
        let Some(last) = rows.last() else { break };
        after = last.row;
        let visits = rows.iter().map(|row| visit(row.row, &row.url)).collect();
        let batch = CrawlBatch {
            crawl,
            visits,
            follow_ups: Vec::new(),
        };
        let (started, cpu_before) = (Instant::now(), cpu());
        let report = store.commit_batch(batch)?;
        cpu_spent += cpu().saturating_sub(cpu_before);
        let took = started.elapsed();
        spent += took;
        slowest = Duration::max(slowest, took);
        done += report.outcomes.len();
    }
    let each = each(cpu_spent, spent, done);
    println!("{label}: {done} pages, {each}, slowest batch {slowest:?}");
    Ok(())
}

fn read_pages(store: &Store) -> Outcome {
    let (started, cpu_before) = (Instant::now(), cpu());
    let (mut seq, mut docs) = (0, 0);
    loop {
        let changes = store.pages_changed_since(None, seq, 500)?;
        let Some(last) = changes.last() else { break };
        seq = last.seq;
        let ids: Vec<_> = changes.iter().map(|c| c.page).collect();
        docs += store.index_docs(&ids)?.len();
    }
    let each_doc = each(cpu() - cpu_before, started.elapsed(), docs);
    println!("index_docs: {docs} pages, {each_doc}");

    let (started, cpu_before) = (Instant::now(), cpu());
    let (mut after, mut chunks) = (None, 0);
    loop {
        let pending = store.pending_chunks_after(after, 512)?;
        let Some(last) = pending.last() else { break };
        after = Some(last.chunk);
        chunks += pending.len();
    }
    let each_chunk = each(cpu() - cpu_before, started.elapsed(), chunks);
    println!("pending_chunks: {chunks} chunks, {each_chunk}");
    Ok(())
}

/// The median time of 50 pages of a list, from its start and from its middle.
fn list_pages(store: &Store) -> Outcome {
    let middle = store.stats()?.pages / 2;
    let middle = PageId(i64::try_from(middle)?);
    let middle = store.page(middle)?.ok_or("no page in the middle")?;
    let all = || PageFilter {
        limit: 50,
        ..PageFilter::default()
    };
    let status = Some(PageStatus::Live);
    let url_prefix = Some("https://bench.example/section/5/".to_owned());
    let filters = [
        ("all", all()),
        ("live", PageFilter { status, ..all() }),
        (
            "gone",
            PageFilter {
                status: Some(PageStatus::Gone),
                ..all()
            },
        ),
        (
            "source",
            PageFilter {
                source: Some(SourceId(1)),
                status,
                ..all()
            },
        ),
        (
            "host",
            PageFilter {
                host: Some(middle.host.clone()),
                status,
                ..all()
            },
        ),
        (
            "prefix",
            PageFilter {
                url_prefix,
                status,
                ..all()
            },
        ),
        (
            "changed",
            PageFilter {
                changed_since: Some(Timestamp(1)),
                status,
                ..all()
            },
        ),
        (
            "favorite",
            PageFilter {
                favorite: Some(true),
                ..all()
            },
        ),
        (
            "no favorite",
            PageFilter {
                favorite: Some(false),
                ..all()
            },
        ),
    ];
    for (name, filter) in filters {
        for sort in PageSort::ALL {
            let filter = PageFilter {
                sort: *sort,
                descending: true,
                ..filter.clone()
            };
            let cursor = Some(PageCursor::behind(&middle, *sort, true));
            let from_middle = PageFilter {
                cursor,
                ..filter.clone()
            };
            let (rows, start) = median_list(store, &filter)?;
            let (more, middle) = median_list(store, &from_middle)?;
            let sort = sort.code();
            println!("{name} by {sort}: {rows} in {start:?}; from the middle {more} in {middle:?}");
        }
    }
    Ok(())
}

fn median_list(
    store: &Store,
    filter: &PageFilter,
) -> Result<(usize, Duration), Box<dyn std::error::Error>> {
    let mut rows = 0;
    let mut times = Vec::new();
    for _ in 0..21 {
        let started = Instant::now();
        rows = store.pages(filter)?.len();
        times.push(started.elapsed());
    }
    times.sort();
    Ok((rows, times[times.len() / 2]))
}

fn fill_frontier(store: &Store, crawl: CrawlId) -> Outcome {
    let host = page_url(0).url.host_key();
    for tenth in 0..10 {
        let rows = FRONTIER_ROWS / 10;
        let (mut cpu_spent, mut spent) = (Duration::ZERO, Duration::ZERO);
        for start in (0..rows).step_by(2_000) {
            let first = 10_000_000 + tenth * rows + start;
            let urls = (first..first + 2_000).map(page_url).collect();
            let (started, cpu_before) = (Instant::now(), cpu());
            store.add_urls(crawl, urls)?;
            cpu_spent += cpu().saturating_sub(cpu_before);
            spent += started.elapsed();
        }
        let added = each(cpu_spent, spent, rows);
        let (started, cpu_before) = (Instant::now(), cpu());
        for portion in 0..100 {
            store.queued_urls(crawl, &host, portion * 1_000, BATCH)?;
        }
        let read = each(cpu() - cpu_before, started.elapsed(), 100 * BATCH);
        let queued = (tenth + 1) * rows;
        println!("{queued} queued: add {added}; read {read}; RSS {}", rss());
    }
    let started = Instant::now();
    let hosts = store.queued_hosts(crawl)?.len();
    println!("queued_hosts: {hosts} in {:?}", started.elapsed());
    Ok(())
}

/// Processor time of all threads so far, which unlike the wall clock means the
/// same on a busy machine. Zero where the system does not tell.
fn cpu() -> Duration {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return Duration::ZERO;
    };
    let nanoseconds = |task: std::fs::DirEntry| -> Option<u64> {
        let line = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        line.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(nanoseconds).sum())
}

/// `1.5 µs CPU, 2.5 µs wall` for each of `count` things.
fn each(cpu: Duration, wall: Duration, count: usize) -> String {
    let one = |spent: Duration| spent.as_secs_f64() * 1e6 / count as f64;
    format!("{:.1} µs CPU, {:.1} µs wall each", one(cpu), one(wall))
}

fn rss() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.unwrap_or("unknown")
        .replace("VmRSS:", "")
        .trim()
        .to_owned()
}

fn page_url(number: usize) -> NewUrl {
    let text = format!(
        "https://bench.example/section/{}/page-{number}.html",
        number % 97
    );
    NewUrl {
        url: CanonicalUrl::parse(&text).expect("bug: the bench's own URL is valid"),
        kind: FrontierKind::Page,
        depth: 1,
    }
}

fn visit(row: i64, url: &CanonicalUrl) -> Visit {
    let number: usize = url
        .as_str()
        .rsplit_once("page-")
        .and_then(|(_, rest)| rest.strip_suffix(".html"))
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0);
    let mut chance = Chance(number as u64 + 1);
    // Ten links every page has, ten onward, of which about two are new.
    let discovered: Vec<NewUrl> = (0..10)
        .map(page_url)
        .chain((1..=10).map(|n| page_url(number * 2 + n)))
        .collect();
    let paragraph = |chance: &mut Chance| -> String {
        (0..105)
            .map(|_| chance.word())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let paragraphs: Vec<String> = (0..8).map(|_| paragraph(&mut chance)).collect();
    let text = paragraphs.join("\n\n");
    let mut blocks = Vec::new();
    let mut chunks = Vec::new();
    let mut at = 0;
    for (position, paragraph) in (0..).zip(&paragraphs) {
        let range = at..at + paragraph.len();
        at = range.end + 2;
        let mut hash = [0; 16];
        hash.copy_from_slice(&blake3::hash(paragraph.as_bytes()).as_bytes()[..16]);
        blocks.push(Block {
            kind: BlockKind::Paragraph,
            range: range.clone(),
        });
        chunks.push(Chunk {
            position,
            tldr: Some(paragraph[..paragraph.floor_char_boundary(300)].to_owned()),
            section: "A section".to_owned(),
            heading_path: vec!["Top".to_owned(), "A section".to_owned()],
            keywords: (0..6).map(|_| chance.word().to_owned()).collect(),
            language: Some("en".to_owned()),
            tokens: 140,
            hash: TextHash(hash),
            range,
        });
    }
    let links = discovered.iter().map(|new| Link {
        url: new.url.as_str().to_owned(),
        text: "a link to somewhere".to_owned(),
        nofollow: false,
    });
    let page = Page {
        title: format!("Page {number}"),
        description: Some("What the page is about, in one sentence.".to_owned()),
        language: Some("en".to_owned()),
        markdown: format!("# Page {number}\n\n{text}"),
        blocks,
        links: links.collect(),
        open_graph: vec![("og:title".to_owned(), format!("Page {number}"))],
        structured: Some("[{\"@type\":\"Article\",\"headline\":\"A page\"}]".to_owned()),
        content_hash: ContentHash(*blake3::hash(text.as_bytes()).as_bytes()),
        simhash: chance.next(),
        text,
        ..Page::default()
    };
    Visit {
        row,
        url: url.clone(),
        status: Some(200),
        wire_bytes: 20_000,
        result: VisitResult::Page(Box::new(PageVisit {
            page,
            chunks,
            etag: Some(format!("\"{number}\"")),
            last_modified: None,
            content_type: Some("text/html".to_owned()),
        })),
        discovered,
        redirect_to: None,
        fetched: true,
    }
}

/// Words with the skew of a language, repeatably.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn word(&mut self) -> &'static str {
        const TEXT: &str = include_str!("../../../LICENSE-APACHE");
        static WORDS: std::sync::OnceLock<Vec<&str>> = std::sync::OnceLock::new();
        let words = WORDS.get_or_init(|| TEXT.split_whitespace().collect());
        let one = self.next() % words.len() as u64;
        words[self.next() as usize % (one as usize + 1)]
    }
}
