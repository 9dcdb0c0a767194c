//! The durable queue and its hosts.

use store::{CrawlBatch, CrawlStatus, FrontierKind, HostBreaker, NewUrl, VisitResult};
use types::{HostKey, SkipReason, TenantId, Timestamp};

use crate::support::{Site, page, page_url, stored, url, visit};

#[test]
fn a_url_is_queued_once_in_a_crawl() {
    let site = Site::new();
    let crawl = site.crawl(&["a", "b", "a"]);
    let host = page_url("a").url.host_key();
    let other = NewUrl {
        url: url("http://other.example/"),
        kind: FrontierKind::Page,
        depth: 3,
    };
    let urls = vec![page_url("a"), page_url("c"), other.clone(), other];
    let queued = site.store.add_urls(crawl, urls).unwrap();
    let other_host = url("http://other.example/").host_key();
    assert_eq!(queued, [(other_host.clone(), 1), (host.clone(), 1)]);
    let row = site.store.crawl(crawl).unwrap();
    assert_eq!((row.counts.found, row.queued), (4, 4));
    let mut hosts = site.store.queued_hosts(crawl).unwrap();
    hosts.sort();
    assert_eq!(hosts, [other_host.clone(), host]);
    let rows = site.store.queued_urls(crawl, &other_host, 0, 10).unwrap();
    assert_eq!((rows.len(), rows[0].depth), (1, 3));
    assert_eq!(
        site.queued(site.crawl(&["a"])).len(),
        1,
        "another crawl, another queue"
    );
}

#[test]
fn queued_urls_come_in_order_and_in_portions() {
    let site = Site::new();
    let crawl = site.crawl(&["a", "b", "c"]);
    let host = page_url("a").url.host_key();
    let first = site.store.queued_urls(crawl, &host, 0, 2).unwrap();
    let paths: Vec<_> = first.iter().map(|r| r.url.path_and_query()).collect();
    assert_eq!(paths, ["/a", "/b"]);
    let rest = site
        .store
        .queued_urls(crawl, &host, first[1].row, 2)
        .unwrap();
    assert_eq!(rest.len(), 1);
    let unknown = HostKey::from_stored("https://nowhere.example:443".to_owned());
    assert_eq!(site.store.queued_urls(crawl, &unknown, 0, 2).unwrap(), []);
}

#[test]
fn a_retry_stays_queued_with_its_time() {
    let site = Site::new();
    let crawl = site.crawl(&["a"]);
    let row = site.queued(crawl).remove(0);
    let retry = VisitResult::Retry {
        attempt: 2,
        not_before: Timestamp(77),
        detail: "busy".to_owned(),
    };
    let visits = vec![visit(&row, retry)];
    let report = site
        .store
        .commit_batch(CrawlBatch {
            crawl,
            visits,
            follow_ups: Vec::new(),
        })
        .unwrap();
    assert_eq!((report.outcomes.len(), report.counts.fetched), (0, 0));
    let again = site.queued(crawl).remove(0);
    assert_eq!(
        (again.row, again.attempt, again.not_before),
        (row.row, 2, Timestamp(77))
    );
    assert_eq!(site.store.crawl(crawl).unwrap().bytes, 100);
}

#[test]
fn rows_carry_the_validators_of_the_live_page() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["one"])))]);
    let crawl = site.crawl(&["a", "b"]);
    let rows = site.queued(crawl);
    assert_eq!(rows[0].etag.as_deref(), Some("\"1\""));
    assert_eq!(rows[0].page, Some(site.page("a").id));
    assert_eq!((&rows[1].etag, rows[1].page), (&None, None));
}

#[test]
fn skipping_the_rest_ends_every_queued_row() {
    let site = Site::new();
    let crawl = site.crawl(&["a"]);
    let many = (0..6_000).map(|n| page_url(&format!("n{n}"))).collect();
    site.store.add_urls(crawl, many).unwrap();
    let pages = site
        .store
        .skip_queued(crawl, SkipReason::PageLimit, "limit 1");
    assert_eq!(pages.unwrap(), 6_001);
    let row = site.store.crawl(crawl).unwrap();
    assert_eq!(
        (row.queued, row.counts.skipped, row.counts.found),
        (0, 6_001, 6_001)
    );
    assert_eq!(site.store.queued_hosts(crawl).unwrap(), []);
    let reasons = site.store.crawl_reasons(crawl).unwrap();
    assert_eq!(
        (reasons[0].reason.as_str(), reasons[0].count),
        ("page_limit", 6_001)
    );
}

#[test]
fn pruning_forgets_urls_of_old_finished_crawls_only() {
    let site = Site::new();
    let finished = |path| {
        let crawl = site.crawl(&[path]);
        site.store
            .skip_queued(crawl, SkipReason::PageLimit, "")
            .unwrap();
        site.store
            .finish_crawl(crawl, CrawlStatus::Completed, None)
            .unwrap();
        crawl
    };
    let old = finished("a");
    finished("b");
    let open = site.crawl(&["c"]);
    assert_eq!(site.store.prune_frontier(1).unwrap(), 1);
    assert_eq!(site.store.prune_frontier(1).unwrap(), 0);
    assert_eq!(site.store.prune_frontier(0).unwrap(), 1);
    assert_eq!(site.queued(open).len(), 1);
    assert_eq!(site.store.crawl(old).unwrap().counts.skipped, 1);
}

#[test]
fn t1_open_breakers_are_known_to_the_tenant_that_found_them() {
    let site = Site::new();
    let other = site.store.create_tenant("other").unwrap().id;
    let breaker = |host: &str, open_until| HostBreaker {
        host: url(&format!("http://{host}/")).host_key(),
        broken_since: Timestamp(1_000_000),
        open_until: Timestamp(open_until),
    };
    let (a, b) = (
        breaker("a.example", 1_000_010),
        breaker("b.example", 1_000_020),
    );
    let ours = TenantId::DEFAULT;
    for (tenant, breaker) in [(ours, &a), (ours, &b), (other, &a)] {
        site.store.save_breaker(tenant, breaker).unwrap();
    }
    let open = |tenant, limit| site.store.open_breakers(tenant, limit).unwrap();
    assert_eq!(open(ours, 9), [b.clone(), a.clone()]);
    assert_eq!(open(ours, 1), std::slice::from_ref(&b));
    site.store.forget_breaker(other, &a.host).unwrap();
    assert_eq!((open(other, 9), open(ours, 9).len()), (vec![], 2));
    let longer = breaker("a.example", 1_000_030);
    site.store.save_breaker(ours, &longer).unwrap();
    assert_eq!(open(ours, 9), [longer.clone(), b]);
    site.clock.set(Timestamp(1_000_020));
    assert_eq!(open(ours, 9), [longer]);
    site.clock.set(Timestamp(1_000_030));
    assert_eq!(open(ours, 9), []);
}

#[test]
fn hosts_remember_robots() {
    let site = Site::new();
    let host = url("http://robots.example/").host_key();
    assert_eq!(site.store.host(&host).unwrap(), None);
    site.store
        .save_robots(&host, 200, b"User-agent: *")
        .unwrap();
    let row = site.store.host(&host).unwrap().unwrap();
    assert_eq!(
        (row.robots_status, row.robots_body.as_slice()),
        (Some(200), &b"User-agent: *"[..])
    );
    assert_eq!(row.robots_fetched_at, Some(Timestamp(1_000_000)));
    site.store.save_robots(&host, 0, b"").unwrap();
    let row = site.store.host(&host).unwrap().unwrap();
    assert_eq!((row.robots_status, row.robots_body.len()), (Some(0), 0));
}
