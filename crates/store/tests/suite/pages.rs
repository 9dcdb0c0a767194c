//! What a visit does to a page, its versions and its chunks.

use std::time::Duration;

use store::{PageCursor, PageFilter, PageStatus, VisitResult};
use types::{FailReason, SkipReason, TenantId, Timestamp, UrlOutcome};

use crate::support::{ADDED, Site, UNCHANGED, UPDATED, failed, page, skipped, stored, visit};

#[test]
fn a_new_page_is_added_with_all_its_parts() {
    let site = Site::new();
    let mut new = page("Title", &["one", "two"]);
    new.page.structured = Some("[{\"type\":\"Article\"}]".to_owned());
    new.page.open_graph = vec![("og:title".to_owned(), "T".to_owned())];
    assert_eq!(site.visit(vec![("a", stored(new.clone()))]), [ADDED]);

    let row = site.page("a");
    assert_eq!(
        (row.version, row.chunk_count, row.host.as_str()),
        (1, 2, "site.example")
    );
    assert_eq!(row.status, PageStatus::Live);
    assert_eq!(row.first_seen_at, Timestamp(1_000_000));
    assert_eq!(row.content_hash, new.page.content_hash);
    assert_eq!(row.etag.as_deref(), Some("\"1\""));
    assert_eq!(row.text_bytes, 8);
    let content = site.store.page_content(row.id).unwrap().unwrap();
    assert_eq!(content.text, new.page.text);
    assert_eq!(content.markdown, new.page.markdown);
    assert_eq!(content.blocks, new.page.blocks);
    let detail = site.store.page_detail(row.id).unwrap().unwrap();
    assert_eq!(detail.links, new.page.links);
    assert_eq!(detail.open_graph, new.page.open_graph);
    assert_eq!(detail.structured, new.page.structured);
    let chunks = site.store.chunks(row.id).unwrap();
    let plain: Vec<_> = chunks.into_iter().map(|c| c.chunk).collect();
    assert_eq!(plain, new.chunks);
    assert_eq!(
        site.store.source(site.source).unwrap().unwrap().page_count,
        1
    );
}

#[test]
fn the_same_content_is_unchanged_and_keeps_its_change_number() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("Title", &["one"])))]);
    let before = site.page("a");
    let ids = site.chunk_ids("a");
    site.clock.advance(Duration::from_secs(60));
    let mut again = page("Title", &["one"]);
    again.etag = Some("\"2\"".to_owned());
    assert_eq!(site.visit(vec![("a", stored(again))]), [UNCHANGED]);
    let after = site.page("a");
    assert_eq!(after.change_seq, before.change_seq);
    assert_eq!(after.version, 1);
    assert_eq!(after.changed_at, before.changed_at);
    assert_eq!(after.etag.as_deref(), Some("\"2\""));
    assert_eq!(after.fetched_at, Timestamp(1_060_000));
    assert_eq!(site.chunk_ids("a"), ids);
}

#[test]
fn other_content_is_a_new_version_and_keeps_the_chunks_that_stayed() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("Title", &["one", "two", "three"])))]);
    let ids = site.chunk_ids("a");
    let report = site.visit_report(vec![(
        "a",
        stored(page("Title", &["zero", "one", "three"])),
    )]);
    assert_eq!(report.outcomes[0].1, UPDATED);
    assert_eq!(report.chunks_pending_added, 1);
    let now = site.chunk_ids("a");
    assert_eq!((now[1], now[2]), (ids[0], ids[2]));
    assert!(!ids.contains(&now[0]));
    assert_eq!(site.chunk_texts("a"), ["zero", "one", "three"]);

    let row = site.page("a");
    assert_eq!(row.version, 2);
    let versions = site.store.page_versions(row.id).unwrap();
    assert_eq!(
        versions.iter().map(|v| v.version).collect::<Vec<_>>(),
        [1, 2]
    );
    let old = site.store.version_content(row.id, 1).unwrap().unwrap();
    assert_eq!(old.text, "one\n\ntwo\n\nthree");
    assert_eq!(site.store.stats().unwrap().chunks, 3);
}

#[test]
fn repeated_passages_each_keep_a_chunk() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["same", "same", "x"])))]);
    let ids = site.chunk_ids("a");
    site.visit(vec![(
        "a",
        stored(page("T", &["same", "x", "same", "same"])),
    )]);
    let now = site.chunk_ids("a");
    assert_eq!((now[0], now[1], now[2]), (ids[0], ids[2], ids[1]));
    assert_eq!(site.chunk_texts("a"), ["same", "x", "same", "same"]);
}

#[test]
fn other_white_space_is_unchanged_but_ranges_follow_the_new_text() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["one", "two"])))]);
    let before = site.page("a").change_seq;
    assert_eq!(
        site.visit(vec![("a", stored(page("T", &["  one ", "two"])))]),
        [UNCHANGED]
    );
    assert_eq!(site.chunk_texts("a"), ["  one ", "two"]);
    assert!(site.page("a").change_seq > before);
    assert_eq!(site.page("a").version, 1);
}

#[test]
fn another_chunking_of_the_same_content_replaces_chunks_and_is_unchanged() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["one", "two"])))]);
    let before = site.page("a").change_seq;
    let mut coarse = page("T", &["one", "two"]);
    coarse.chunks.truncate(1);
    coarse.chunks[0].range = 0..8;
    coarse.chunks[0].hash.0[0] ^= 1;
    assert_eq!(site.visit(vec![("a", stored(coarse))]), [UNCHANGED]);
    assert_eq!(site.chunk_texts("a"), ["one\n\ntwo"]);
    assert_eq!(site.page("a").chunk_count, 1);
    assert!(site.page("a").change_seq > before);
}

#[test]
fn another_description_is_unchanged_but_told_to_indexes() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["one"])))]);
    let before = site.page("a").change_seq;
    let mut other = page("T", &["one"]);
    other.page.description = Some("new".to_owned());
    assert_eq!(site.visit(vec![("a", stored(other))]), [UNCHANGED]);
    assert_eq!(site.page("a").description.as_deref(), Some("new"));
    assert!(site.page("a").change_seq > before);
}

fn check_gone(result: VisitResult, status: Option<u16>, expected: PageStatus) {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["one"])))]);
    let crawl = site.crawl(&["a"]);
    let row = &site.queued(crawl)[0];
    let mut visit = visit(row, result);
    visit.status = status;
    let visits = vec![visit];
    site.store
        .commit_batch(store::CrawlBatch {
            crawl,
            visits,
            follow_ups: Vec::new(),
        })
        .unwrap();
    assert_eq!(site.page("a").status, expected);
    let chunks_left = site.chunk_ids("a").len();
    assert_eq!(chunks_left, usize::from(expected == PageStatus::Live));
    assert_eq!(site.store.stats().unwrap().pages_live, chunks_left as u64);
}

#[test]
fn pages_go_when_the_site_says_so_and_only_then() {
    use PageStatus::{Gone, Live};
    check_gone(failed(FailReason::NotFound), Some(404), Gone);
    check_gone(skipped(SkipReason::Noindex), Some(200), Gone);
    check_gone(skipped(SkipReason::Canonical), Some(200), Gone);
    check_gone(skipped(SkipReason::Redirect), Some(301), Gone);
    check_gone(skipped(SkipReason::Redirect), Some(302), Live);
    check_gone(skipped(SkipReason::Robots), None, Live);
    check_gone(failed(FailReason::ServerError), Some(500), Live);
    check_gone(VisitResult::NotModified, Some(304), Live);
}

#[test]
fn a_page_that_is_gone_keeps_its_content_and_may_come_back() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["one"])))]);
    let live_seq = site.page("a").change_seq;
    let outcome = site.visit(vec![("a", failed(FailReason::NotFound))]);
    assert_eq!(outcome, [UrlOutcome::Failed(FailReason::NotFound)]);
    let gone = site.page("a");
    assert!(gone.change_seq > live_seq);
    assert_eq!(
        gone.etag, None,
        "a conditional request would bring nothing back"
    );
    assert!(site.store.page_content(gone.id).unwrap().is_some());
    let changes = site
        .shard()
        .pages_changed_since(None, live_seq, 10)
        .unwrap();
    assert_eq!(
        changes.iter().map(|c| (c.page, c.live)).collect::<Vec<_>>(),
        [(gone.id, false)]
    );

    assert_eq!(
        site.visit(vec![("a", stored(page("T", &["one"])))]),
        [ADDED]
    );
    let back = site.page("a");
    assert_eq!((back.id, back.version), (gone.id, 1));
    assert_eq!(site.chunk_texts("a"), ["one"]);
    assert_eq!(
        site.visit(vec![("a", failed(FailReason::NotFound))]).len(),
        1
    );
    assert_eq!(
        site.visit(vec![("a", stored(page("T", &["two"])))]),
        [ADDED]
    );
    assert_eq!(site.page("a").version, 2);
}

#[test]
fn not_modified_without_a_stored_page_is_a_failure() {
    let site = Site::new();
    let outcome = site.visit(vec![("a", VisitResult::NotModified)]);
    assert_eq!(outcome, [UrlOutcome::Failed(FailReason::Protocol)]);
}

#[test]
fn lists_continue_behind_the_last_page_and_filter() {
    let site = Site::new();
    let mut persian = page("P", &["fa"]);
    persian.page.language = Some("fa".to_owned());
    site.visit(vec![
        ("a", stored(page("A", &["1"]))),
        ("b", stored(page("B", &["2"]))),
        ("c", stored(persian)),
    ]);
    site.visit(vec![("b", failed(FailReason::NotFound))]);
    let list = |filter: PageFilter| -> Vec<String> {
        let pages = site.store.pages(&filter).unwrap();
        pages.into_iter().map(|p| p.title).collect()
    };
    let all = PageFilter::default;
    assert_eq!(list(all()), ["A", "B", "P"]);
    assert_eq!(list(PageFilter { limit: 2, ..all() }), ["A", "B"]);
    let cursor = Some(PageCursor::behind_id(site.page("a").id));
    assert_eq!(list(PageFilter { cursor, ..all() }), ["B", "P"]);
    let status = Some(PageStatus::Gone);
    assert_eq!(list(PageFilter { status, ..all() }), ["B"]);
    let language = Some("fa".to_owned());
    assert_eq!(list(PageFilter { language, ..all() }), ["P"]);
    let host = Some("site.example".to_owned());
    assert_eq!(list(PageFilter { host, ..all() }).len(), 3);
    let host = Some("other.example".to_owned());
    assert_eq!(list(PageFilter { host, ..all() }).len(), 0);
    let source = Some(site.source);
    assert_eq!(list(PageFilter { source, ..all() }).len(), 3);
    let tenant = TenantId(2);
    assert_eq!(list(PageFilter { tenant, ..all() }).len(), 0);
}

#[test]
fn index_docs_carry_what_an_indexer_needs() {
    let site = Site::new();
    let mut first = page("T", &["one", "two"]);
    first.page.structured = Some("[]".to_owned());
    site.visit(vec![("a", stored(first.clone()))]);
    site.visit(vec![("b", stored(page("T", &["one", "two"])))]);
    site.visit(vec![("c", stored(page("C", &["three"])))]);
    site.visit(vec![("c", failed(FailReason::NotFound))]);
    let ids = ["c", "a", "b"].map(|path| site.page(path).id);
    let docs = site.store.index_docs(&ids).unwrap();
    assert_eq!(docs.iter().map(|d| d.page.id).collect::<Vec<_>>(), ids);
    assert_eq!((docs[0].content.as_ref(), docs[0].chunks.len()), (None, 0));
    let content = docs[1].content.as_ref().unwrap();
    assert_eq!(content.text, first.page.text);
    assert_eq!(docs[1].chunks, site.store.chunks(ids[1]).unwrap());
    assert_eq!(docs[1].structured.as_deref(), Some("[]"));
    assert_eq!(docs[2].page.duplicate_of, Some(ids[1]));
    assert_eq!((docs[2].content.as_ref(), docs[2].chunks.len()), (None, 0));
}
