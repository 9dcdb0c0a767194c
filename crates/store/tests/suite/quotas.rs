//! Limits of tenants, held exactly.

use store::{
    Claim, CrawlBatch, CrawlStatus, KindLimit, NewSource, NewTask, PageStatus, Quota, SourceEdit,
    StoreErrorKind, VisitResult,
};
use types::{FailReason, SkipReason, SourceId, TenantId, UrlOutcome};

use crate::suite::crawling::check_store;
use crate::suite::tasks::task;
use crate::support::{ADDED, Site, UNCHANGED, UPDATED, failed, page, stored, visit};

const FULL: UrlOutcome = UrlOutcome::Skipped(SkipReason::Quota);

fn set_pages_max(site: &Site, pages_max: u64) {
    let quota = Quota {
        pages_max: Some(pages_max),
        ..Quota::default()
    };
    site.store.set_quota(TenantId::DEFAULT, quota).unwrap();
}

fn own(title: &str) -> VisitResult {
    stored(page(title, &[title]))
}

#[test]
fn a_quota_is_what_it_was_set_to() {
    let site = Site::new();
    let store = &site.store;
    let quota = || store.quota(TenantId::DEFAULT).unwrap();
    assert_eq!(quota(), Quota::default(), "without limits");
    let limits = Quota {
        pages_max: Some(0),
        sources_max: Some(2),
        requests_per_minute: Some(3),
        tokens_per_day: Some(4),
        tasks_running_max: Some(5),
    };
    store.set_quota(TenantId::DEFAULT, limits).unwrap();
    assert_eq!(quota(), limits);
    store.set_tenant_share(TenantId::DEFAULT, 3, 7).unwrap();
    assert_eq!(quota().tasks_running_max, Some(7), "one limit, not two");
    store
        .set_quota(TenantId::DEFAULT, Quota::default())
        .unwrap();
    assert_eq!(quota(), Quota::default());
    let none = Quota {
        tasks_running_max: Some(0),
        ..limits
    };
    let refused = store.set_quota(TenantId::DEFAULT, none).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    for unknown in [
        store.set_quota(TenantId(99), limits),
        store.quota(TenantId(99)).map(|_| ()),
    ] {
        assert_eq!(unknown.unwrap_err().kind(), StoreErrorKind::NotFound);
    }
}

#[test]
fn running_tasks_are_held_to_the_quota() {
    let site = Site::new();
    let quota = Quota {
        tasks_running_max: Some(2),
        ..Quota::default()
    };
    site.store.set_quota(TenantId::DEFAULT, quota).unwrap();
    let tasks: Vec<NewTask> = (0..5).map(|_| task("a")).collect();
    site.store.enqueue_tasks(tasks).unwrap();
    let claim = Claim {
        owner: "w".to_owned(),
        kinds: vec![KindLimit {
            kind: "a".to_owned(),
            running_max: 0,
        }],
        limit: 5,
        lease_until: types::Timestamp(9_000_000),
        only: None,
    };
    assert_eq!(site.store.claim_tasks(&claim).unwrap().len(), 2);
    let stats = site.store.tenant_stats(TenantId::DEFAULT).unwrap();
    assert_eq!((stats.tasks_queued, stats.tasks_running), (3, 2));
}

#[test]
fn new_pages_beyond_the_limit_are_skipped_in_the_middle_of_a_batch() {
    let site = Site::new();
    site.visit(vec![("a", own("A"))]);
    set_pages_max(&site, 3);
    let crawl = site.crawl(&["a", "b", "c", "d", "e"]);
    let rows = site.queued(crawl);
    let visits = rows
        .iter()
        .zip(["A2", "B", "C", "D", "E"])
        .map(|(row, title)| visit(row, own(title)))
        .collect();
    let follow_ups = Vec::new();
    let batch = CrawlBatch {
        crawl,
        visits,
        follow_ups,
    };
    let report = site.store.commit_batch(batch).unwrap();
    let outcomes: Vec<_> = report.outcomes.into_iter().map(|(_, end)| end).collect();
    assert_eq!(outcomes, [UPDATED, ADDED, ADDED, FULL, FULL]);
    let counts = report.counts;
    assert_eq!((counts.found, counts.fetched), (5, 5));
    assert_eq!((counts.added, counts.updated, counts.skipped), (2, 1, 2));
    let row = site
        .store
        .finish_crawl(crawl, CrawlStatus::Completed, None)
        .unwrap();
    assert_eq!(row.counts.found, row.counts.ended(), "Q2");
    let reasons = site.store.crawl_reasons(crawl).unwrap();
    assert_eq!(reasons.len(), 1);
    assert_eq!((reasons[0].reason.as_str(), reasons[0].count), ("quota", 2));
    assert_eq!(reasons[0].examples.len(), 2);
    let stats = site.store.tenant_stats(TenantId::DEFAULT).unwrap();
    assert_eq!((stats.pages, stats.pages_live), (3, 3));
    check_store(&site);
}

#[test]
fn known_pages_pass_and_a_page_that_goes_makes_room() {
    let site = Site::new();
    site.visit(vec![("a", own("A")), ("b", own("B"))]);
    set_pages_max(&site, 1);
    assert_eq!(
        site.visit(vec![("a", own("A")), ("b", own("B2")), ("c", own("C"))]),
        [UNCHANGED, UPDATED, FULL]
    );
    let gone = UrlOutcome::Failed(FailReason::NotFound);
    // One has gone, but the other is as many as there may be.
    assert_eq!(
        site.visit(vec![("a", failed(FailReason::NotFound)), ("c", own("C"))]),
        [gone.clone(), FULL]
    );
    assert_eq!(
        site.visit(vec![("b", failed(FailReason::NotFound)), ("c", own("C"))]),
        [gone, ADDED]
    );
    // One that was gone is a new page as far as room goes.
    assert_eq!(site.visit(vec![("a", own("A"))]), [FULL]);
    assert_eq!(site.page("a").status, PageStatus::Gone);
    set_pages_max(&site, 2);
    assert_eq!(site.visit(vec![("a", own("A"))]), [ADDED]);
    // A duplicate is a page as well.
    assert_eq!(site.visit(vec![("d", own("A"))]), [FULL]);
    check_store(&site);
}

fn new_source(seed: &str) -> NewSource {
    NewSource {
        tenant: TenantId::DEFAULT,
        name: seed.to_owned(),
        seeds: vec![seed.to_owned()],
        policy: "{}".to_owned(),
    }
}

#[test]
fn sources_beyond_the_limit_are_refused_with_limit_and_use() {
    let site = Site::new();
    let store = &site.store;
    let add = |seed: &str| store.add_source(new_source(seed).into());
    let x = add("x").unwrap();
    let quota = Quota {
        sources_max: Some(3),
        ..Quota::default()
    };
    store.set_quota(TenantId::DEFAULT, quota).unwrap();
    let y = add("y").unwrap();
    let full = |refused: Result<SourceId, store::StoreError>| {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::QuotaExceeded);
        let message = refused.to_string();
        assert!(message.contains("has 3 of at most 3 sources"), "{message}");
    };
    full(add("z"));
    full(store.ensure_source(new_source("z")));
    // Those there are can be crawled and changed.
    assert_eq!(store.ensure_source(new_source("x")).unwrap(), x);
    store.edit_source(x, SourceEdit::default()).unwrap();
    assert_eq!(add("x").unwrap_err().kind(), StoreErrorKind::Conflict);
    store.remove_source(y, true).unwrap();
    let z = add("z").unwrap();
    full(add("y"));
    full(store.ensure_source(new_source("y")));
    assert!(store.source(y).unwrap().unwrap().removed_at.is_some());
    store.remove_source(z, false).unwrap();
    assert_eq!(add("y").unwrap(), y);
    let stats = store.tenant_stats(TenantId::DEFAULT).unwrap();
    assert_eq!(stats.sources, 3);
}
