//! All that can be seen of what several databases have, and whether what they
//! say of themselves is true.

use std::collections::BTreeSet;

use store::{PageFilter, PageStatus, RecordFilter, RecordSort, Store, SummaryFilter};
use types::{PageId, SourceId, TenantId};

use crate::engine::Database;

const TENANT: TenantId = TenantId::DEFAULT;

pub(crate) fn all_pages() -> PageFilter {
    PageFilter {
        limit: 100_000,
        ..PageFilter::default()
    }
}

/// All that can be seen of what is stored, one line for each thing.
pub(crate) fn seen(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    let pages = store.pages(&all_pages()).unwrap();
    for page in &pages {
        let id = page.id;
        let mut shown = page.clone();
        shown.change_seq = 0;
        if page.url.contains("/many/") {
            lines.push(format!("{shown:?}"));
            continue;
        }
        let by_url = store.page_by_url(TENANT, &page.url).unwrap().unwrap();
        assert_eq!(by_url.id, id);
        lines.push(format!("{shown:?}"));
        lines.push(format!(
            "{:?}",
            store.page(id).unwrap().map(|page| page.url)
        ));
        lines.push(format!("{:?}", store.page_content(id).unwrap()));
        lines.push(format!("{:?}", store.page_detail(id).unwrap()));
        lines.push(format!("{:?}", store.page_versions(id).unwrap()));
        lines.push(format!("{:?}", store.version_content(id, 1).unwrap()));
        lines.push(format!("{:?}", store.chunks(id).unwrap()));
        lines.push(format!("{:?}", store.page_notes(TENANT, &[id]).unwrap()));
        lines.push(format!("{:?}", store.record_of(id).unwrap()));
        lines.push(format!("{:?}", store.summary(TENANT, id).unwrap()));
    }
    let every = store.summaries(TENANT, &SummaryFilter::default(), None, 1_000);
    lines.push(format!("{:?}", every.unwrap()));
    let tagged = PageFilter {
        tag: Some("red".to_owned()),
        ..all_pages()
    };
    let ids = |pages: Vec<store::PageRow>| -> Vec<PageId> { pages.iter().map(|p| p.id).collect() };
    lines.push(format!("tagged {:?}", ids(store.pages(&tagged).unwrap())));
    let gone = PageFilter {
        status: Some(PageStatus::Gone),
        ..all_pages()
    };
    lines.push(format!("gone {:?}", ids(store.pages(&gone).unwrap())));
    let records = store.records(
        &RecordFilter::of_tenant(TENANT),
        RecordSort::Newest,
        None,
        100,
    );
    let records: Vec<PageId> = records.unwrap().iter().map(|row| row.page.id).collect();
    lines.push(format!("records {records:?}"));
    for source in store.sources(TENANT).unwrap() {
        let of_source = PageFilter {
            source: Some(source.id),
            ..all_pages()
        };
        lines.push(format!(
            "{} {:?} {:?}",
            source.name,
            store.source(source.id).unwrap().map(|source| source.id),
            ids(store.pages(&of_source).unwrap())
        ));
    }
    for crawl in store.tenant_crawls(TENANT, None, None, 1_000).unwrap() {
        lines.push(format!(
            "{crawl:?} {:?}",
            store.crawl_reasons(crawl.id).unwrap()
        ));
    }
    lines.push(format!("{:?}", store.live_chunk_ids().unwrap()));
    let mut vectors = BTreeSet::new();
    for shard in store.shards() {
        for row in shard.vectors_since("m", 0, 100_000).unwrap() {
            vectors.insert(format!("{:?}", (row.chunk, row.page, row.kind, row.codes)));
        }
    }
    lines.extend(vectors);
    lines
}

/// What the maintained numbers say.
pub(crate) fn numbers(store: &Store) -> String {
    let mut stats = store.stats().unwrap();
    stats.change_seq = 0;
    stats.disk_bytes = 0;
    let mut sources: Vec<(SourceId, u64)> = Vec::new();
    for source in store.sources(TENANT).unwrap() {
        sources.push((source.id, source.page_count));
    }
    let tenant = store.tenant_stats(TENANT).unwrap();
    format!("{stats:?} {tenant:?} {sources:?}")
}

/// In each database by itself, maintained numbers are what a count gives.
pub(crate) fn check_counted(database: &Database) {
    for (counter, counted) in [
        ("pages", "pages WHERE version > 0"),
        ("pages_live", "pages WHERE status = 1"),
        ("chunks_pending", "chunks WHERE embed_state = 0"),
        ("chunks_done", "chunks WHERE embed_state = 1"),
        ("chunks_failed", "chunks WHERE embed_state = 2"),
        ("vectors", "vectors"),
    ] {
        for (place, shard) in database.shards.iter().enumerate() {
            let sql = format!(
                "SELECT (SELECT value FROM counters WHERE name = '{counter}')
                   - (SELECT count(*) FROM {counted})"
            );
            assert_eq!(shard.sql(&sql).trim(), "0", "{counter} of {place}");
        }
    }
    for sql in [
        "SELECT count(*) FROM tenants t WHERE
           (pages, pages_live, chunks) <> (
             (SELECT count(*) FROM pages WHERE tenant_id = t.id AND version > 0),
             (SELECT count(*) FROM pages WHERE tenant_id = t.id AND status = 1),
             (SELECT count(*) FROM chunks WHERE tenant_id = t.id))
           OR sources <> (SELECT count(*) FROM sources
                          WHERE tenant_id = t.id AND removed_at IS NULL)",
        "SELECT count(*) FROM sources s WHERE pages_live <>
           (SELECT count(*) FROM pages WHERE source_id = s.id AND status = 1)",
        "SELECT count(*) FROM pages p WHERE chunk_count <>
           (SELECT count(*) FROM chunks WHERE page_id = p.id)",
        "SELECT count(*) FROM contents c WHERE holder_page_id IS NULL
           AND EXISTS (SELECT 1 FROM pages WHERE content_id = c.id AND status = 1)",
        "SELECT count(*) FROM contents c WHERE
           NOT EXISTS (SELECT 1 FROM pages WHERE content_id = c.id)
           AND NOT EXISTS (SELECT 1 FROM page_versions WHERE content_id = c.id)",
        "SELECT count(*) FROM summaries s WHERE
           NOT EXISTS (SELECT 1 FROM pages WHERE id = s.page_id AND version > 0)",
        "SELECT count(*) FROM simhash_bands b WHERE
           NOT EXISTS (SELECT 1 FROM pages WHERE id = b.page_id)",
        "SELECT count(*) FROM vectors v WHERE
           NOT EXISTS (SELECT 1 FROM chunks WHERE id = v.id / 2 AND page_id = v.page_id)",
    ] {
        assert_eq!(database.number(sql), 0, "{sql}");
    }
}

/// Rows that a database has of a source, by table.
pub(crate) fn rows_of(database: &Database, place: usize, source: SourceId) -> Vec<(String, i64)> {
    let pages = format!("(SELECT id FROM pages WHERE source_id = {source})");
    let crawls = format!("(SELECT id FROM crawls WHERE source_id = {source})");
    let counted = [
        format!("sources WHERE id = {source}"),
        format!("pages WHERE source_id = {source}"),
        format!("page_versions WHERE page_id IN {pages}"),
        format!("chunks WHERE page_id IN {pages}"),
        format!("vectors WHERE page_id IN {pages}"),
        format!("records WHERE source_id = {source}"),
        format!("page_notes WHERE page_id IN {pages}"),
        format!("page_tags WHERE page_id IN {pages}"),
        format!("summaries WHERE page_id IN {pages}"),
        format!("crawls WHERE source_id = {source}"),
        format!("crawl_reasons WHERE crawl_id IN {crawls}"),
    ];
    let count = |from: String| {
        let sql = format!("SELECT count(*) FROM {from}");
        let rows = database.shards[place].sql(&sql).trim().parse().unwrap();
        (from.split(' ').next().unwrap().to_owned(), rows)
    };
    counted.into_iter().map(count).collect()
}
