//! Crawls: counts, reasons, replays. Q2 names the sum rule.

use proptest::prelude::*;
use store::{
    CrawlBatch, CrawlStatus, FrontierKind, NewSource, NewUrl, StoreErrorKind, VisitResult,
};
use types::{FailReason, SkipReason, TenantId, Timestamp};

use crate::support::{Site, failed, page, page_url, skipped, stored, url, visit};

#[test]
fn the_same_seeds_are_the_same_source() {
    let site = Site::new();
    let ensure = |tenant, seeds: &[&str], policy: &str| {
        site.store.ensure_source(NewSource {
            tenant,
            name: "n".to_owned(),
            seeds: seeds.iter().map(|s| (*s).to_owned()).collect(),
            policy: policy.to_owned(),
        })
    };
    let first = ensure(TenantId::DEFAULT, &["x", "y"], "1").unwrap();
    assert_eq!(
        ensure(TenantId::DEFAULT, &["y", "x", "y"], "2").unwrap(),
        first
    );
    assert_ne!(ensure(TenantId::DEFAULT, &["x"], "2").unwrap(), first);
    let row = site.store.source(first).unwrap().unwrap();
    assert_eq!((row.policy.as_str(), row.seeds.len()), ("2", 2));
    assert_eq!(site.store.sources(TenantId::DEFAULT).unwrap().len(), 3);
    let unknown = ensure(TenantId(9), &["x"], "1").unwrap_err();
    assert_eq!(unknown.kind(), StoreErrorKind::NotFound);
    let empty = ensure(TenantId::DEFAULT, &[], "1").unwrap_err();
    assert_eq!(empty.kind(), StoreErrorKind::Conflict);
}

#[test]
fn a_crawl_is_unfinished_until_it_is_finished_once() {
    let site = Site::new();
    assert_eq!(site.store.unfinished_crawl(site.source).unwrap(), None);
    let crawl = site.crawl(&["a"]);
    let unfinished = site.store.unfinished_crawl(site.source).unwrap().unwrap();
    assert_eq!((unfinished.id, unfinished.queued), (crawl, 1));
    let finish = |status| site.store.finish_crawl(crawl, status, None);
    let too_early = finish(CrawlStatus::Completed).unwrap_err();
    assert_eq!(too_early.kind(), StoreErrorKind::Conflict);
    assert!(
        too_early.to_string().contains("1 URLs queued"),
        "{too_early}"
    );
    assert!(finish(CrawlStatus::Paused).is_err());
    site.store
        .skip_queued(crawl, SkipReason::PageLimit, "")
        .unwrap();
    let row = finish(CrawlStatus::Completed).unwrap();
    assert_eq!(row.status, CrawlStatus::Completed);
    assert_eq!(site.store.crawl(crawl).unwrap(), row);
    assert_eq!(finish(CrawlStatus::Completed).unwrap(), row);
    assert!(finish(CrawlStatus::Failed).is_err());
    assert_eq!(site.store.unfinished_crawl(site.source).unwrap(), None);
    let late = site.store.add_urls(crawl, vec![page_url("b")]).unwrap_err();
    assert_eq!(late.kind(), StoreErrorKind::Conflict);
    let source = site.store.source(site.source).unwrap().unwrap();
    assert_eq!(source.last_crawl, Some(row));
}

#[test]
fn active_time_adds_up() {
    let site = Site::new();
    let crawl = site.crawl(&["a"]);
    site.store.add_active_ms(crawl, 40).unwrap();
    site.store.add_active_ms(crawl, 2).unwrap();
    assert_eq!(site.store.crawl(crawl).unwrap().active_ms, 42);
    let unknown = site.store.add_active_ms(types::CrawlId(99), 1).unwrap_err();
    assert_eq!(unknown.kind(), StoreErrorKind::NotFound);
}

#[test]
fn a_crawl_ends_with_its_time() {
    let site = Site::new();
    let crawl = site.crawl(&["a"]);
    let too_early = site.store.complete_crawl(crawl, 40).unwrap_err();
    assert_eq!(too_early.kind(), StoreErrorKind::Conflict);
    assert_eq!(site.store.crawl(crawl).unwrap().active_ms, 0);
    site.store
        .skip_queued(crawl, SkipReason::PageLimit, "")
        .unwrap();
    let row = site.store.complete_crawl(crawl, 40).unwrap();
    assert_eq!((row.status, row.active_ms), (CrawlStatus::Completed, 40));
    assert_eq!(site.store.newest_crawls_fetched(9).unwrap(), [(crawl, 0)]);
}

#[test]
fn replaying_a_batch_changes_nothing() {
    let site = Site::new();
    let crawl = site.crawl(&["a", "b"]);
    let rows = site.queued(crawl);
    let mut first = visit(&rows[0], stored(page("A", &["one"])));
    first.discovered = vec![page_url("c"), page_url("c"), page_url("a")];
    let batch = CrawlBatch {
        crawl,
        visits: vec![
            first.clone(),
            first,
            visit(&rows[1], failed(FailReason::Dns)),
        ],
        follow_ups: Vec::new(),
    };
    let report = site.store.commit_batch(batch.clone()).unwrap();
    assert_eq!(report.outcomes.len(), 2);
    assert_eq!(report.queued, [(rows[0].url.host_key(), 1)]);
    let before = site.store.crawl(crawl).unwrap();
    assert_eq!(
        (before.counts.found, before.counts.fetched, before.bytes),
        (3, 2, 200)
    );
    let replay = site.store.commit_batch(batch).unwrap();
    assert_eq!(replay.outcomes, []);
    assert_eq!(replay.change_seq, report.change_seq);
    assert_eq!(replay.counts, report.counts);
    assert_eq!(site.store.crawl(crawl).unwrap(), before);
}

#[test]
fn a_batch_with_an_unknown_row_is_refused_whole() {
    let site = Site::new();
    let crawl = site.crawl(&["a"]);
    let row = site.queued(crawl).remove(0);
    let mut wrong = row.clone();
    wrong.row = 99;
    let visits = vec![
        visit(&row, stored(page("A", &["one"]))),
        visit(&wrong, VisitResult::NotModified),
    ];
    let error = site
        .store
        .commit_batch(CrawlBatch {
            crawl,
            visits,
            follow_ups: Vec::new(),
        })
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
    assert_eq!(site.queued(crawl).len(), 1);
    assert_eq!(site.store.stats().unwrap().pages, 0);
}

#[test]
fn a_chunk_outside_its_text_is_refused() {
    let site = Site::new();
    let crawl = site.crawl(&["a"]);
    let row = site.queued(crawl).remove(0);
    let mut broken = page("A", &["é"]);
    broken.chunks[0].range = 0..1;
    let visits = vec![visit(&row, stored(broken))];
    let error = site
        .store
        .commit_batch(CrawlBatch {
            crawl,
            visits,
            follow_ups: Vec::new(),
        })
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Bug);
}

#[test]
fn reasons_are_counted_with_five_examples() {
    let site = Site::new();
    let paths: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let crawl = site.crawl(&paths);
    for row in site.queued(crawl) {
        let result = if row.url.as_str().ends_with("p7") {
            skipped(SkipReason::Robots)
        } else {
            failed(FailReason::Timeout)
        };
        let visits = vec![visit(&row, result)];
        site.store
            .commit_batch(CrawlBatch {
                crawl,
                visits,
                follow_ups: Vec::new(),
            })
            .unwrap();
    }
    let reasons = site.store.crawl_reasons(crawl).unwrap();
    let short: Vec<_> = reasons
        .iter()
        .map(|r| {
            (
                r.class.as_str(),
                r.reason.as_str(),
                r.count,
                r.examples.len(),
            )
        })
        .collect();
    assert_eq!(
        short,
        [("failed", "timeout", 7, 5), ("skipped", "robots", 1, 1)]
    );
}

#[test]
fn sitemaps_and_feeds_do_not_count_as_pages() {
    let site = Site::new();
    let resource = |path: &str, kind| NewUrl {
        url: url(&format!("https://site.example/{path}")),
        kind,
        depth: 0,
    };
    let seeds = vec![
        resource("sitemap.xml", FrontierKind::Sitemap),
        resource("broken.xml", FrontierKind::Sitemap),
        resource("feed", FrontierKind::Feed),
        page_url("linked-feed"),
    ];
    let crawl = site.store.start_crawl(site.source, "{}", seeds).unwrap();
    let rows = site.queued(crawl);
    let visits = vec![
        visit(&rows[0], VisitResult::Resource),
        visit(&rows[1], failed(FailReason::NotFound)),
        // A feed URL that turned out to be a page is one.
        visit(&rows[2], stored(page("F", &["one"]))),
        visit(&rows[3], VisitResult::Resource),
    ];
    let report = site
        .store
        .commit_batch(CrawlBatch {
            crawl,
            visits,
            follow_ups: Vec::new(),
        })
        .unwrap();
    assert_eq!(report.outcomes.len(), 2);
    let row = site
        .store
        .finish_crawl(crawl, CrawlStatus::Completed, None)
        .unwrap();
    assert_eq!(
        (row.counts.found, row.counts.added, row.counts.skipped),
        (2, 1, 1)
    );
    assert_eq!(row.counts.ended(), row.counts.found);
    let reasons = site.store.crawl_reasons(crawl).unwrap();
    assert!(
        reasons
            .iter()
            .any(|r| r.class == "resource" && r.reason == "not_found")
    );
}

fn any_result() -> impl Strategy<Value = VisitResult> {
    let retry = VisitResult::Retry {
        attempt: 1,
        not_before: Timestamp(0),
        detail: String::new(),
    };
    let content = (0..3usize).prop_map(|n| stored(page("T", &["one", "two", "three"][..=n])));
    prop_oneof![
        4 => content,
        1 => Just(VisitResult::NotModified),
        1 => Just(VisitResult::Resource),
        1 => Just(retry),
        2 => proptest::sample::select(SkipReason::ALL).prop_map(skipped),
        2 => proptest::sample::select(FailReason::ALL).prop_map(failed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::engine::cases(24), failure_persistence: None, ..ProptestConfig::default() })]

    /// Q2 after any sequence of visits over several crawls, and after each of
    /// them counters equal what a scan finds.
    #[test]
    fn q2_found_is_the_sum_of_all_ends(
        crawls in prop::collection::vec(
            prop::collection::vec((0..12usize, any_result(), 0..12usize), 0..25),
            1..4,
        )
    ) {
        let site = Site::new();
        for visits in crawls {
            let crawl = site.crawl(&["0", "1", "2"]);
            for (at, result, discovered) in visits {
                let rows = site.queued(crawl);
                if rows.is_empty() {
                    break;
                }
                let mut visit = visit(&rows[at % rows.len()], result);
                visit.discovered = vec![page_url(&discovered.to_string())];
                visit.fetched = visit.row % 2 == 0;
                let visits = vec![visit];
                let report = site.store.commit_batch(CrawlBatch { crawl, visits, follow_ups: Vec::new() }).unwrap();
                let row = site.store.crawl(crawl).unwrap();
                prop_assert_eq!(report.counts, row.counts);
                prop_assert_eq!(row.queued, site.queued(crawl).len() as u64);
                prop_assert_eq!(row.counts.found, row.counts.ended() + row.queued);
            }
            site.store.skip_queued(crawl, SkipReason::PageLimit, "limit").unwrap();
            let row = site.store.finish_crawl(crawl, CrawlStatus::Completed, None).unwrap();
            prop_assert_eq!(row.counts.found, row.counts.ended());
            prop_assert!(row.counts.fetched <= row.counts.found);
            let reasons = site.store.crawl_reasons(crawl).unwrap();
            let explained: u64 = reasons.iter().map(|r| r.count).sum();
            prop_assert_eq!(explained, row.counts.failed + row.counts.skipped);
            check_store(&site);
        }
    }
}

/// Counters equal a scan; every distinct live content has its chunks exactly
/// once, and they rebuild its text (S1 and S2 as far as the store goes).
pub(crate) fn check_store(site: &Site) {
    let pages = site.store.pages(&store::PageFilter::default()).unwrap();
    let live: Vec<_> = pages
        .iter()
        .filter(|p| p.status == store::PageStatus::Live)
        .collect();
    let stats = site.store.stats().unwrap();
    assert_eq!(stats.pages, pages.len() as u64);
    assert_eq!(stats.pages_live, live.len() as u64);
    let source = site.store.source(site.source).unwrap().unwrap();
    assert_eq!(source.page_count, live.len() as u64);
    let of_tenant = site.store.tenant_stats(source.tenant).unwrap();
    assert_eq!(
        (of_tenant.pages, of_tenant.pages_live, of_tenant.chunks),
        (stats.pages, stats.pages_live, stats.chunks)
    );
    let sources = site.store.sources(source.tenant).unwrap();
    assert_eq!(of_tenant.sources, sources.len() as u64);
    assert_eq!(
        stats.chunks,
        site.store.live_chunk_ids().unwrap().len() as u64
    );
    let mut chunks = 0;
    for page in &pages {
        let holds = live.contains(&page) && page.duplicate_of.is_none();
        let rows = site.store.chunks(page.id).unwrap();
        chunks += rows.len();
        assert_eq!(rows.len(), page.chunk_count as usize);
        assert_eq!(rows.is_empty(), !holds);
        if holds {
            let content = site.store.page_content(page.id).unwrap().unwrap();
            let texts: Vec<&str> = rows
                .iter()
                .map(|c| &content.text[c.chunk.range.clone()])
                .collect();
            assert_eq!(texts.join("\n\n"), content.text);
        }
        if let Some(holder) = page.duplicate_of {
            let holder = site.store.page(holder).unwrap().unwrap();
            assert_eq!(holder.duplicate_of, None);
            assert_eq!(holder.content_hash, page.content_hash);
            assert!(
                site.store
                    .duplicates_of(holder.id)
                    .unwrap()
                    .contains(&page.id)
            );
        }
    }
    assert_eq!(chunks as u64, stats.chunks);
}
