//! Invariant T1: what belongs to one tenant is for another not there. Two
//! tenants with the same site, the same pages and the same notes.

use store::{
    Day, NewApiKey, NotesPatch, PageFilter, PageNotes, PageSort, Quota, Scopes, StoreError,
    StoreErrorKind, UsageDelta, UsageMetric,
};
use types::{ApiKeyId, CrawlId, PageId, SourceId, TenantId, Timestamp};

use crate::support::{ADDED, Site, page, page_url, stored};

struct Twin {
    tenant: TenantId,
    site: Site,
    crawl: CrawlId,
    pages: Vec<PageId>,
    key: ApiKeyId,
}

/// `hash` is all that differs.
fn twin(site: &Site, tenant: TenantId, hash: u8) -> Twin {
    let site = Site::of_tenant(site.store.clone(), site.clock.clone(), tenant);
    let store = &site.store;
    let outcomes = site.visit(vec![
        ("a", stored(page("A", &["one"]))),
        ("b", stored(page("B", &["two"]))),
    ]);
    assert_eq!(outcomes, [ADDED, ADDED]);
    let crawl = store.unfinished_crawl(site.source).unwrap().unwrap().id;
    let pages: Vec<PageId> = ["a", "b"]
        .into_iter()
        .map(|path| {
            let url = page_url(path).url;
            let page = store.page_by_url(tenant, url.as_str()).unwrap();
            page.unwrap().id
        })
        .collect();
    let key = NewApiKey {
        tenant,
        name: "key".to_owned(),
        prefix: "gl_".to_owned(),
        hash: [hash; 32],
        scopes: Scopes::READ,
        expires_at: None,
    };
    let key = store.add_api_key(key).unwrap().id;
    store.set_page_notes(tenant, pages[0], patch()).unwrap();
    let usage = UsageDelta {
        tenant,
        day: Day(1),
        metric: UsageMetric::Requests,
        amount: 5,
    };
    store.add_usage(vec![usage]).unwrap();
    Twin {
        tenant,
        crawl,
        pages,
        key,
        site,
    }
}

fn patch() -> NotesPatch {
    NotesPatch {
        favorite: Some(true),
        applied: Some(true),
        status: Some("s".to_owned()),
        notes: None,
        tags: Some(vec!["t".to_owned()]),
    }
}

fn twins() -> [Twin; 2] {
    let site = Site::new();
    ["one", "two"].map(|name| {
        let tenant = site.store.create_tenant(name).unwrap().id;
        twin(&site, tenant, name.as_bytes()[0])
    })
}

fn check_not_found<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound, "{error}");
}

#[test]
fn t1_another_tenants_rows_are_not_found() {
    let [one, two] = twins();
    let store = &one.site.store;
    for (own, other) in [(&one, &two), (&two, &one)] {
        let tenant = own.tenant;
        let page = |id: PageId| store.page_of_tenant(tenant, id).unwrap();
        assert_eq!(page(own.pages[0]).unwrap().tenant, tenant);
        assert_eq!(page(other.pages[0]), None);
        let source = |id: SourceId| store.source_of_tenant(tenant, id).unwrap();
        assert_eq!(source(own.site.source).unwrap().tenant, tenant);
        assert_eq!(source(other.site.source), None);
        let crawl = |id: CrawlId| store.crawl_of_tenant(tenant, id);
        assert_eq!(crawl(own.crawl).unwrap().source, own.site.source);
        check_not_found(crawl(other.crawl));

        check_not_found(store.set_page_notes(tenant, other.pages[0], patch()));
        let notes = store.page_notes(tenant, &[other.pages[0], own.pages[0]]);
        let pages: Vec<PageId> = notes.unwrap().iter().map(|notes| notes.page).collect();
        assert_eq!(pages, [own.pages[0]]);

        let later = Timestamp(9_000_000);
        check_not_found(store.revoke_api_key(tenant, other.key));
        check_not_found(store.rotate_api_key(tenant, other.key, [7; 32], "p", later));
    }
}

#[test]
fn t1_lists_and_numbers_are_of_one_tenant() {
    let [one, two] = twins();
    let store = &one.site.store;
    let usage = UsageDelta {
        tenant: two.tenant,
        day: Day(1),
        metric: UsageMetric::Requests,
        amount: 1_000,
    };
    store.add_usage(vec![usage]).unwrap();
    for (own, other) in [(&one, &two), (&two, &one)] {
        let tenant = own.tenant;
        let sources = store.sources_page(tenant, None, 9).unwrap();
        let sources: Vec<SourceId> = sources.iter().map(|row| row.id).collect();
        assert_eq!(sources, [own.site.source]);
        let crawls = |source| -> Vec<CrawlId> {
            let crawls = store.tenant_crawls(tenant, source, None, 9).unwrap();
            crawls.iter().map(|row| row.id).collect()
        };
        assert_eq!(crawls(None), [own.crawl]);
        assert_eq!(crawls(Some(own.site.source)), [own.crawl]);
        assert_eq!(crawls(Some(other.site.source)), []);
        let with = store.sources_with(tenant, "", None, 9).unwrap();
        assert_eq!(with.iter().map(|row| row.id).collect::<Vec<_>>(), sources);
        let both = [own.site.source, other.site.source];
        let names = store.source_names(tenant, &both).unwrap();
        assert_eq!(names.into_keys().collect::<Vec<_>>(), [own.site.source]);
        let keys = store.api_keys(tenant).unwrap();
        assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>(), [own.key]);
        let stats = store.tenant_stats(tenant).unwrap();
        assert_eq!((stats.pages, stats.pages_live), (2, 2));
        assert_eq!((stats.chunks, stats.sources), (2, 1));
        let usage = store.usage(tenant, Day(0), Day(9)).unwrap();
        let expected = if tenant == one.tenant { 5 } else { 1_005 };
        assert_eq!((usage.len(), usage[0].amount), (1, expected));
    }
}

/// Every sort with every filter that both tenants' rows meet.
#[test]
fn t1_lists_of_pages_are_of_one_tenant() {
    let [one, two] = twins();
    let store = &one.site.store;
    let some = |text: &str| Some(text.to_owned());
    for (own, other) in [(&one, &two), (&two, &one)] {
        let all = || PageFilter {
            tenant: own.tenant,
            ..PageFilter::default()
        };
        let noted = &own.pages[..1];
        let filters: [(PageFilter, &[PageId]); 9] = [
            (all(), &own.pages),
            (
                PageFilter {
                    host: some("site.example"),
                    ..all()
                },
                &own.pages,
            ),
            (
                PageFilter {
                    url_prefix: some("https://site.example/"),
                    ..all()
                },
                &own.pages,
            ),
            (
                PageFilter {
                    changed_since: Some(Timestamp(0)),
                    ..all()
                },
                &own.pages,
            ),
            (
                PageFilter {
                    favorite: Some(true),
                    ..all()
                },
                noted,
            ),
            (
                PageFilter {
                    applied: Some(true),
                    ..all()
                },
                noted,
            ),
            (
                PageFilter {
                    note_status: some("s"),
                    ..all()
                },
                noted,
            ),
            (
                PageFilter {
                    tag: some("t"),
                    ..all()
                },
                noted,
            ),
            (
                PageFilter {
                    source: Some(other.site.source),
                    ..all()
                },
                &[],
            ),
        ];
        for (filter, expected) in filters {
            for sort in PageSort::ALL {
                let filter = PageFilter {
                    sort: *sort,
                    ..filter.clone()
                };
                let rows = store.pages(&filter).unwrap();
                let ids: Vec<PageId> = rows.iter().map(|row| row.id).collect();
                assert_eq!(ids, expected, "{filter:?}");
            }
        }
    }
}

#[test]
fn t1_changes_and_limits_of_one_tenant_leave_the_other_alone() {
    let [one, two] = twins();
    let store = &one.site.store;
    let nothing = Quota {
        pages_max: Some(0),
        sources_max: Some(0),
        tasks_running_max: Some(1),
        ..Quota::default()
    };
    let before = store.page_notes(two.tenant, &two.pages).unwrap();
    let stats = store.tenant_stats(two.tenant).unwrap();
    store.set_quota(one.tenant, nothing).unwrap();
    store.set_tenant_active(one.tenant, false).unwrap();
    assert_eq!(store.quota(two.tenant).unwrap(), Quota::default());
    assert!(store.tenant(two.tenant).unwrap().unwrap().active);
    assert!(store.revoke_api_key(one.tenant, one.key).unwrap());
    assert_eq!(store.api_keys(two.tenant).unwrap()[0].revoked_at, None);
    store.cancel_crawl(one.crawl).unwrap();
    store.remove_source(one.site.source, false).unwrap();
    let after: Vec<PageNotes> = store.page_notes(two.tenant, &two.pages).unwrap();
    assert_eq!(after, before);
    assert_eq!(store.tenant_stats(two.tenant).unwrap(), stats);
    let outcomes = two.site.visit(vec![("new", stored(page("N", &["new"])))]);
    assert_eq!(outcomes, [ADDED], "its own quota has room");
    let tagged = PageFilter {
        tenant: two.tenant,
        tag: Some("t".to_owned()),
        ..PageFilter::default()
    };
    assert_eq!(store.pages(&tagged).unwrap().len(), 1);
}
