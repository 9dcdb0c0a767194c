//! Tenants: names, switching off, numbers.

use std::time::Duration;

use store::{NewSource, NewTask, StoreErrorKind, TenantStats};
use types::{FailReason, TenantId, Timestamp};

use crate::suite::tasks::task;
use crate::support::{Site, failed, page, stored};

#[test]
fn a_tenant_is_created_once_and_found_by_id_and_name() {
    let site = Site::new();
    let store = &site.store;
    let created = store.create_tenant("acme-2").unwrap();
    assert_eq!((created.name.as_str(), created.active), ("acme-2", true));
    assert_eq!(created.created_at, Timestamp(1_000_000));
    assert_eq!(store.tenant(created.id).unwrap(), Some(created.clone()));
    assert_eq!(
        store.tenant_by_name("acme-2").unwrap(),
        Some(created.clone())
    );
    assert_eq!(store.ensure_tenant("acme-2").unwrap(), created.id);
    let again = store.create_tenant("acme-2").unwrap_err();
    assert_eq!(again.kind(), StoreErrorKind::Conflict);
    assert!(again.to_string().contains("acme-2 already"), "{again}");
    let names: Vec<_> = store.tenants().unwrap();
    let names: Vec<_> = names.iter().map(|t| (t.id, t.name.as_str())).collect();
    assert_eq!(
        names,
        [(TenantId::DEFAULT, "default"), (created.id, "acme-2")]
    );
    assert_eq!(store.tenant(TenantId(99)).unwrap(), None);
    assert_eq!(store.tenant_by_name("nobody").unwrap(), None);
}

#[test]
fn names_are_short_and_plain() {
    let site = Site::new();
    for name in ["", "Acme", "a b", "a_b", "é", "a\0", &"a".repeat(65)] {
        let refused = site.store.create_tenant(name).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{name:?}");
        assert!(refused.to_string().contains("1 to 64"), "{refused}");
    }
    for name in ["a", "0", "-", &"a".repeat(64)] {
        site.store.create_tenant(name).unwrap();
    }
}

#[test]
fn a_tenant_is_switched_off_and_on_again_but_not_the_default_one() {
    let site = Site::new();
    let id = site.store.create_tenant("acme").unwrap().id;
    for active in [false, false, true] {
        site.store.set_tenant_active(id, active).unwrap();
        let row = site.store.tenant(id).unwrap().unwrap();
        assert_eq!(row.active, active);
    }
    let default = site.store.set_tenant_active(TenantId::DEFAULT, false);
    assert_eq!(default.unwrap_err().kind(), StoreErrorKind::Conflict);
    site.store
        .set_tenant_active(TenantId::DEFAULT, true)
        .unwrap();
    let unknown = site.store.set_tenant_active(TenantId(99), false);
    assert_eq!(unknown.unwrap_err().kind(), StoreErrorKind::NotFound);
}

#[test]
fn numbers_follow_what_a_tenant_has() {
    let site = Site::new();
    let stats = || site.store.tenant_stats(TenantId::DEFAULT).unwrap();
    let empty = TenantStats {
        sources: 1,
        ..TenantStats::default()
    };
    assert_eq!(stats(), empty);
    site.visit(vec![
        ("a", stored(page("A", &["one", "two"]))),
        ("b", stored(page("B", &["three"]))),
        ("same", stored(page("B", &["three"]))),
    ]);
    site.visit(vec![("b", failed(FailReason::NotFound))]);
    let task = |tenant| NewTask {
        tenant,
        ..task("a")
    };
    let waiting = vec![task(TenantId::DEFAULT)];
    site.store.enqueue_tasks(waiting).unwrap();
    assert_eq!(
        stats(),
        TenantStats {
            pages: 3,
            pages_live: 2,
            chunks: 3,
            sources: 1,
            tasks_queued: 1,
            tasks_running: 0,
        }
    );
    while let Some(crawl) = site.store.unfinished_crawl(site.source).unwrap() {
        site.store.cancel_crawl(crawl.id).unwrap();
    }
    // Removed twice it is one source less.
    site.store.remove_source(site.source, true).unwrap();
    site.store.remove_source(site.source, true).unwrap();
    assert_eq!((stats().sources, stats().pages_live), (0, 2));
    site.store.remove_source(site.source, false).unwrap();
    assert_eq!((stats().pages, stats().chunks), (0, 0));
    let again = Site::on(site.store.clone(), site.clock.clone());
    assert_eq!((again.source, stats().sources), (site.source, 1));
    let unknown = site.store.tenant_stats(TenantId(99)).unwrap_err();
    assert_eq!(unknown.kind(), StoreErrorKind::NotFound);
}

#[test]
fn sources_are_listed_a_few_at_a_time() {
    let site = Site::new();
    let add = |seed: &str| {
        let source = NewSource {
            tenant: TenantId::DEFAULT,
            name: seed.to_owned(),
            seeds: vec![seed.to_owned()],
            policy: "{}".to_owned(),
        };
        site.store.add_source(source.into()).unwrap()
    };
    let removed = add("removed");
    let (x, y) = (add("x"), add("y"));
    site.store.remove_source(removed, true).unwrap();
    let list = |after, limit| -> Vec<_> {
        let rows = site.store.sources_page(TenantId::DEFAULT, after, limit);
        rows.unwrap().into_iter().map(|row| row.id).collect()
    };
    // By their ids, which of several databases are not in the order of time.
    let mut ids = [site.source, x, y];
    ids.sort();
    assert_eq!(list(None, 2), ids[..2]);
    assert_eq!(list(Some(ids[1]), 2), [ids[2]]);
    assert_eq!(list(Some(ids[2]), 2), []);
    let all = site.store.sources(TenantId::DEFAULT).unwrap();
    let page = site.store.sources_page(TenantId::DEFAULT, None, 9).unwrap();
    assert_eq!(page, all);
    let with = |part: &str, after| -> Vec<_> {
        let rows = site.store.sources_with(TenantId::DEFAULT, part, after, 9);
        rows.unwrap().into_iter().map(|row| row.id).collect()
    };
    assert_eq!(with("Y", None), [y]);
    assert_eq!(with("removed", None), []);
    assert_eq!(with("", Some(ids[1])), [ids[2]]);
    assert_eq!(with("%", None), [], "no pattern");
    let names = site.store.source_names(TenantId::DEFAULT, &[x, removed]);
    assert_eq!(
        names.unwrap().into_iter().collect::<Vec<_>>(),
        [(x, "x".to_owned())]
    );
    // One that was removed is still to be looked at.
    let row = site.store.source_of_tenant(TenantId::DEFAULT, removed);
    assert!(row.unwrap().unwrap().removed_at.is_some());
}

#[test]
fn crawls_are_listed_newest_first_of_all_sources_or_one() {
    let site = Site::new();
    let source = NewSource {
        tenant: TenantId::DEFAULT,
        name: "other".to_owned(),
        seeds: vec!["other".to_owned()],
        policy: "{}".to_owned(),
    };
    let other = site.store.add_source(source.into()).unwrap();
    let one = site.crawl(&["a"]);
    site.clock.advance(Duration::from_secs(1));
    let of_other = site.store.start_crawl(other, "{}", Vec::new()).unwrap();
    site.clock.advance(Duration::from_secs(1));
    let two = site.crawl(&["b"]);
    let list = |source, before, limit| -> Vec<_> {
        let crawls = site
            .store
            .tenant_crawls(TenantId::DEFAULT, source, before, limit);
        crawls.unwrap().into_iter().map(|row| row.id).collect()
    };
    assert_eq!(list(None, None, 9), [two, of_other, one]);
    assert_eq!(list(None, None, 1), [two]);
    assert_eq!(list(None, Some(two), 9), [of_other, one]);
    assert_eq!(list(Some(site.source), None, 9), [two, one]);
    assert_eq!(list(Some(site.source), Some(two), 9), [one]);
    let row = site.store.crawl_of_tenant(TenantId::DEFAULT, one).unwrap();
    assert_eq!(row, site.store.crawl(one).unwrap());
}
