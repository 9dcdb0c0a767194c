//! Sources: adding, editing, schedules, removal.

use std::time::Duration;

use proptest::prelude::*;
use store::{
    CrawlStatus, IntervalBounds, NewSource, NewSourceSpec, PageFilter, PageStatus, SourceEdit,
    SourceOutcome, SourceRow, SourceSchedule, StoreError, StoreErrorKind,
};
use types::{FailReason, SourceId, TenantId, Timestamp};

use crate::engine::Database;
use crate::support::{Site, failed, page, page_url, stored, visit};

const HOUR: Duration = Duration::from_secs(3600);

fn spec(seed: &str) -> NewSourceSpec {
    NewSourceSpec::from(NewSource {
        tenant: TenantId::DEFAULT,
        name: seed.to_owned(),
        seeds: vec![seed.to_owned()],
        policy: "{}".to_owned(),
    })
}

fn adaptive() -> SourceSchedule {
    SourceSchedule {
        every: Some(HOUR),
        cron: None,
        adaptive: Some(IntervalBounds {
            min: HOUR / 4,
            max: 24 * HOUR,
        }),
    }
}

#[test]
fn a_source_is_added_once_and_shows_all_of_it() {
    let site = Site::new();
    let due = Some(Timestamp(5));
    let added = site
        .store
        .add_source(NewSourceSpec {
            schedule: adaptive(),
            settings: r#"{"pages_max":5}"#.to_owned(),
            next_due_at: due,
            ..spec("x")
        })
        .unwrap();
    let row = site.store.source(added).unwrap().unwrap();
    assert_eq!((row.schedule, row.next_due_at), (adaptive(), due));
    assert_eq!((row.kind.as_str(), row.active), ("web", true));
    assert_eq!(row.settings, r#"{"pages_max":5}"#);
    assert_eq!((row.interval, row.last_crawled_at), (None, None));
    assert_eq!((row.failures_in_a_row, row.trouble), (0, None));
    assert_eq!((row.removed_at, row.purging), (None, false));

    let again = site.store.add_source(spec("x")).unwrap_err();
    assert_eq!(again.kind(), StoreErrorKind::Conflict);
    assert!(
        again.to_string().contains(&format!("source {added} ")),
        "{again}"
    );
    // Typed again at the command line it stays what it is.
    let typed = spec("x").source;
    assert_eq!(site.store.ensure_source(typed).unwrap(), added);
    let row = site.store.source(added).unwrap().unwrap();
    assert_eq!(row.schedule, adaptive());
}

fn check_refused(change: impl FnOnce(&mut NewSourceSpec), expected: &str) {
    let site = Site::new();
    let mut wrong = spec("x");
    change(&mut wrong);
    let added = site.store.add_source(wrong.clone()).unwrap_err();
    assert_eq!(added.kind(), StoreErrorKind::Conflict, "{added}");
    assert!(added.to_string().contains(expected), "{added}");
    let edit = SourceEdit {
        seeds: Some(wrong.source.seeds),
        kind: Some(wrong.kind),
        schedule: Some(wrong.schedule),
        settings: Some(wrong.settings),
        ..SourceEdit::default()
    };
    let before = site.store.source(site.source).unwrap();
    let edited = site.store.edit_source(site.source, edit).unwrap_err();
    assert!(edited.to_string().contains(expected), "{edited}");
    assert_eq!(site.store.source(site.source).unwrap(), before);
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let cron = |text: &str| Some(text.to_owned());
    let bounds = |min, max| Some(IntervalBounds { min, max });
    check_refused(|s| s.source.seeds.clear(), "at least one seed");
    check_refused(|s| s.kind.clear(), "kind");
    check_refused(|s| s.kind = "k".repeat(41), "kind");
    check_refused(|s| s.settings = "[]".to_owned(), "no JSON object");
    check_refused(|s| s.settings = "{".to_owned(), "no JSON object");
    check_refused(|s| s.settings = " ".repeat(70_000), "64 KiB");
    check_refused(|s| s.schedule.cron = cron(""), "200 bytes");
    check_refused(|s| s.schedule.cron = cron(&"*".repeat(201)), "200 bytes");
    check_refused(
        |s| s.schedule.every = Some(Duration::ZERO),
        "at least a millisecond",
    );
    check_refused(
        |s| s.schedule.adaptive = bounds(Duration::ZERO, HOUR),
        "above zero",
    );
    check_refused(
        |s| s.schedule.adaptive = bounds(2 * HOUR, HOUR),
        "lower one first",
    );
    check_refused(
        |s| {
            s.schedule.cron = cron("@daily");
            s.schedule.every = Some(HOUR);
        },
        "not both",
    );
}

#[test]
fn an_edit_changes_what_it_names() {
    let site = Site::new();
    let id = site.store.add_source(spec("x")).unwrap();
    let before = site.store.source(id).unwrap().unwrap();
    let same = site.store.edit_source(id, SourceEdit::default()).unwrap();
    assert_eq!(same, before);
    let edit = SourceEdit {
        name: Some("new".to_owned()),
        active: Some(false),
        schedule: Some(adaptive()),
        seeds: Some(vec!["z".to_owned(), "y".to_owned()]),
        ..SourceEdit::default()
    };
    let row = site.store.edit_source(id, edit.clone()).unwrap();
    assert_eq!((row.name.as_str(), row.active), ("new", false));
    assert_eq!((&row.schedule, &row.policy), (&adaptive(), &before.policy));
    assert_eq!(row.seeds, ["y", "z"]);
    let freed = site.store.add_source(spec("x")).unwrap();
    assert_ne!(freed, id, "its old seeds are free");
    let other = site.store.edit_source(
        site.source,
        SourceEdit {
            name: None,
            ..edit.clone()
        },
    );
    let other = other.unwrap_err();
    assert!(
        other.to_string().contains(&format!("source {id} ")),
        "{other}"
    );

    let at = Timestamp(9);
    let interval = Some(2 * HOUR);
    let crawled = SourceOutcome::Crawled { at, interval };
    site.store.record_source_outcome(id, crawled, None).unwrap();
    let same = site.store.edit_source(id, edit).unwrap();
    assert_eq!(same.interval, interval, "the same schedule goes on");
    let schedule = Some(SourceSchedule::default());
    let edit = SourceEdit {
        schedule,
        ..SourceEdit::default()
    };
    assert_eq!(site.store.edit_source(id, edit).unwrap().interval, None);
    let unknown = site.store.edit_source(SourceId(99), SourceEdit::default());
    assert_eq!(unknown.unwrap_err().kind(), StoreErrorKind::NotFound);
}

fn begin_at(site: &Site, id: SourceId, seed: &str) -> Result<SourceRow, StoreError> {
    let seeds = Some(vec![seed.to_owned()]);
    let edit = SourceEdit {
        seeds,
        ..SourceEdit::default()
    };
    site.store.edit_source(id, edit)
}

#[test]
fn seeds_stay_while_a_crawl_from_them_has_not_ended() {
    let site = Site::new();
    let crawl = site.crawl(&["a"]);
    let refused = begin_at(&site, site.source, "moved").unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    assert!(
        refused.to_string().contains(&format!("crawl {crawl} ")),
        "{refused}"
    );
    let same = site.store.source(site.source).unwrap().unwrap().seeds;
    let edit = SourceEdit {
        seeds: Some(same),
        ..SourceEdit::default()
    };
    site.store.edit_source(site.source, edit).unwrap();
    site.store.cancel_crawl(crawl).unwrap();
    assert_eq!(
        begin_at(&site, site.source, "moved").unwrap().seeds,
        ["moved"]
    );
}

#[test]
fn a_removed_source_gives_its_seeds_up() {
    let site = Site::new();
    let removed = site.store.add_source(spec("x")).unwrap();
    let other = site.store.add_source(spec("y")).unwrap();
    let taken = begin_at(&site, other, "x").unwrap_err();
    assert!(
        taken.to_string().contains(&format!("source {removed} ")),
        "{taken}"
    );
    site.store.remove_source(removed, true).unwrap();
    assert_eq!(begin_at(&site, other, "x").unwrap().id, other);
    // Its old seeds make a new source, not the removed one again.
    begin_at(&site, other, "z").unwrap();
    let again = site.store.add_source(spec("x")).unwrap();
    assert!(again != removed && again != other);
}

#[test]
fn sources_of_a_tenant_that_is_shut_out_are_not_due() {
    let site = Site::new();
    let tenant = site.store.create_tenant("late").unwrap().id;
    let mut spec = spec("https://late.example/");
    spec.source.tenant = tenant;
    spec.next_due_at = Some(Timestamp(10));
    let source = site.store.add_source(spec).unwrap();
    let due = || -> Vec<SourceId> {
        let rows = site.store.due_sources(Timestamp(99), 10).unwrap();
        rows.iter().map(|row| row.id).collect()
    };
    assert_eq!(due(), [source]);
    site.store.set_tenant_active(tenant, false).unwrap();
    assert_eq!(
        (due(), site.store.next_source_due().unwrap()),
        (vec![], None)
    );
    site.store.set_tenant_active(tenant, true).unwrap();
    assert_eq!(due(), [source]);
}

#[test]
fn due_sources_come_the_longest_due_first() {
    let site = Site::new();
    let add = |seed: &str, due: Option<i64>, active| {
        let next_due_at = due.map(Timestamp);
        let spec = NewSourceSpec {
            active,
            next_due_at,
            ..spec(seed)
        };
        site.store.add_source(spec).unwrap()
    };
    assert_eq!(site.store.next_source_due().unwrap(), None);
    let late = add("late", Some(30), true);
    let early = add("early", Some(10), true);
    add("inactive", Some(5), false);
    add("never", None, true);
    let due = |now, limit| -> Vec<SourceId> {
        let rows = site.store.due_sources(Timestamp(now), limit).unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(due(9, 10), []);
    assert_eq!(due(10, 10), [early]);
    assert_eq!(due(99, 10), [early, late]);
    assert_eq!(due(99, 1), [early]);
    assert_eq!(site.store.next_source_due().unwrap(), Some(Timestamp(10)));
    site.store.set_next_due(early, Some(Timestamp(40))).unwrap();
    assert_eq!(due(99, 10), [late, early]);
    site.store.set_next_due(early, None).unwrap();
    assert_eq!(due(99, 10), [late]);
    site.store.remove_source(late, true).unwrap();
    assert_eq!(due(99, 10), []);
    assert_eq!(site.store.next_source_due().unwrap(), None);
    let unknown = site.store.set_next_due(SourceId(99), None).unwrap_err();
    assert_eq!(unknown.kind(), StoreErrorKind::NotFound);
}

#[test]
fn failures_add_up_and_a_good_crawl_ends_the_trouble() {
    let site = Site::new();
    let record = |outcome, due| {
        let due = Some(Timestamp(due));
        site.store
            .record_source_outcome(site.source, outcome, due)
            .unwrap()
    };
    let fail = |flag| SourceOutcome::Failed {
        why: "no route to host".to_owned(),
        flag,
    };
    assert_eq!(record(fail(false), 10), 1);
    let row = site.store.source(site.source).unwrap().unwrap();
    assert_eq!((row.trouble, row.next_due_at), (None, Some(Timestamp(10))));
    assert_eq!(record(fail(true), 20), 2);
    let row = site.store.source(site.source).unwrap().unwrap();
    assert_eq!(row.trouble.as_deref(), Some("no route to host"));
    assert_eq!((row.failures_in_a_row, row.last_crawled_at), (2, None));
    for interval in [Some(HOUR), None] {
        let at = Timestamp(7);
        assert_eq!(record(SourceOutcome::Crawled { at, interval }, 30), 0);
        let row = site.store.source(site.source).unwrap().unwrap();
        assert_eq!((row.trouble, row.failures_in_a_row), (None, 0));
        assert_eq!((row.last_crawled_at, row.interval), (Some(at), Some(HOUR)));
        assert_eq!(row.next_due_at, Some(Timestamp(30)));
    }
}

#[test]
fn a_source_removed_with_its_pages_kept_is_only_hidden() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["one"])))]);
    let crawl = site.crawl(&["b"]);
    let running = site.store.remove_source(site.source, true).unwrap_err();
    assert_eq!(running.kind(), StoreErrorKind::Conflict);
    assert!(running.to_string().contains("cancel it first"), "{running}");
    end_crawls(&site);
    let before = site.page("a");

    assert_eq!(site.store.remove_source(site.source, true).unwrap(), 0);
    assert_eq!(site.store.sources(TenantId::DEFAULT).unwrap(), []);
    let row = site.store.source(site.source).unwrap().unwrap();
    assert_eq!(
        (row.removed_at, row.purging),
        (Some(Timestamp(1_000_000)), false)
    );
    assert_eq!(row.last_crawl.unwrap().id, crawl);
    assert_eq!((site.page("a"), row.page_count), (before, 1));
    let refusals = [
        site.store
            .start_crawl(site.source, "{}", vec![])
            .unwrap_err(),
        site.store.set_next_due(site.source, None).unwrap_err(),
        site.store
            .edit_source(site.source, SourceEdit::default())
            .unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.kind(), StoreErrorKind::Conflict);
        assert!(refusal.to_string().contains("was removed"), "{refusal}");
    }

    let again = Site::on(site.store.clone(), site.clock.clone());
    assert_eq!(again.source, site.source, "typed again it is back");
    assert_eq!(site.store.sources(TenantId::DEFAULT).unwrap().len(), 1);
    site.store.remove_source(site.source, true).unwrap();
    let schedule = adaptive();
    let seed = "https://site.example/";
    let added = site
        .store
        .add_source(NewSourceSpec {
            schedule,
            ..spec(seed)
        })
        .unwrap();
    assert_eq!(added, site.source);
    let row = site.store.source(added).unwrap().unwrap();
    assert_eq!((row.schedule, row.removed_at), (adaptive(), None));
    let unknown = site.store.remove_source(SourceId(99), false).unwrap_err();
    assert_eq!(unknown.kind(), StoreErrorKind::NotFound);
}

fn end_crawls(site: &Site) {
    while let Some(crawl) = site.store.unfinished_crawl(site.source).unwrap() {
        site.store.cancel_crawl(crawl.id).unwrap();
    }
}

fn rows(database: &Database, table: &str) -> i64 {
    database.number(&format!("SELECT count(*) FROM {table}"))
}

#[test]
fn a_source_removed_with_its_pages_leaves_nothing_of_them() {
    let database = Database::new();
    let clock = crate::support::clock();
    let store = database.open(clock.clone());
    // Sources in different databases share nothing.
    let site = Site::on(store, clock).in_its_database();
    let store = &site.store;
    // Another source's page shares the content of "a", which holds the chunks.
    site.visit(vec![("a", stored(page("S", &["shared", "text"])))]);
    let mut other = Site {
        store: store.clone(),
        source: site.source,
        clock: site.clock.clone(),
    };
    other.source = store.add_source(spec("other")).unwrap();
    other.visit(vec![("other", stored(page("S", &["shared", "text"])))]);
    site.visit(vec![("a2", stored(page("S", &["shared", "text"])))]);
    for version in 0..3 {
        site.visit(vec![(
            "b",
            stored(page("B", &[&format!("version {version}")])),
        )]);
    }
    site.visit(vec![("gone", stored(page("G", &["gone"])))]);
    site.visit(vec![("gone", failed(FailReason::NotFound))]);
    let paths: Vec<String> = (0..450).map(|n| format!("many/{n}")).collect();
    let many = paths
        .iter()
        .map(|p| (p.as_str(), stored(page(p, &["own"]))));
    site.visit(many.collect());
    store.set_embedding_model("m", 1).unwrap();
    end_crawls(&site);
    end_crawls(&other);
    let before = site.shard().change_seq().unwrap();
    let gone_before = store.page_by_url(TenantId::DEFAULT, page_url("gone").url.as_str());
    assert_eq!(gone_before.unwrap().unwrap().status, PageStatus::Gone);
    assert_eq!(other.page("other").duplicate_of, Some(site.page("a").id));
    let b = site.page("b").id;

    assert_eq!(store.remove_source(site.source, false).unwrap(), 454);
    let row = store.source(site.source).unwrap().unwrap();
    assert_eq!((row.page_count, row.purging), (0, false));
    let all = PageFilter {
        limit: 1000,
        ..PageFilter::default()
    };
    let left = store.pages(&all).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(
        left[0].duplicate_of, None,
        "the other's page has the chunks now"
    );
    assert_eq!(other.chunk_texts("other"), ["shared", "text"]);
    let stats = store.stats().unwrap();
    assert_eq!((stats.pages, stats.pages_live, stats.chunks), (1, 1, 2));
    assert_eq!(
        (store.page(b).unwrap(), store.page_content(b).unwrap()),
        (None, None)
    );
    assert_eq!(store.page_versions(b).unwrap(), []);
    for (table, expected) in [
        ("page_versions", 1),
        ("page_details", 1),
        // The shared one and the one of deleted pages.
        ("contents", 2),
        ("chunks", 2),
    ] {
        assert_eq!(rows(&database, table), expected, "{table}");
    }
    // Indexes hear of each page that was live.
    let changes = site
        .shard()
        .pages_changed_since(None, before, 1000)
        .unwrap();
    assert_eq!(changes.iter().filter(|change| !change.live).count(), 453);
    let ids: Vec<_> = changes.iter().map(|change| change.page).collect();
    let chunks: usize = store
        .page_chunk_ids(&ids)
        .unwrap()
        .iter()
        .map(|(_, ids)| ids.len())
        .sum();
    assert_eq!(chunks, 2);
    for doc in store.index_docs(&ids).unwrap() {
        assert_eq!(doc.content.is_some(), doc.page.id == left[0].id);
    }

    // Found again, a page begins anew, under its old number.
    let site = Site::on(store.clone(), site.clock.clone());
    site.clock.set(Timestamp(2_000_000));
    let outcomes = site.visit(vec![("b", stored(page("B", &["version 2"])))]);
    assert_eq!(outcomes, [crate::support::ADDED]);
    let row = site.page("b");
    assert_eq!(
        (row.id, row.version, row.first_seen_at),
        (b, 1, Timestamp(2_000_000))
    );
    assert_eq!(store.page_versions(b).unwrap().len(), 1);
    assert_eq!(store.stats().unwrap().pages, 2);
}

#[test]
fn an_interrupted_deletion_is_finished_later_or_stopped() {
    let database = Database::new();
    let open = || {
        let clock = crate::support::clock();
        (database.open(clock.clone()), clock)
    };
    let (store, clock) = open();
    let site = Site::on(store, clock);
    site.visit(vec![
        ("a", stored(page("A", &["one"]))),
        ("b", stored(page("B", &["two"]))),
    ]);
    end_crawls(&site);
    let source = site.source;
    site.store.remove_source(source, true).unwrap();
    drop(site);
    let interrupt = || {
        // As a crash after the first write of the removal leaves it.
        database.execute("UPDATE sources SET removed_at = 1, purging = 1");
    };
    interrupt();
    let (store, clock) = open();
    assert!(store.source(source).unwrap().unwrap().purging);
    let site = Site::on(store, clock);
    assert!(!site.store.source(source).unwrap().unwrap().purging);
    assert_eq!(
        site.store.finish_removals().unwrap(),
        0,
        "it is wanted again"
    );
    assert_eq!(site.store.stats().unwrap().pages, 2);
    let store = site.store;
    interrupt();
    assert_eq!(store.finish_removals().unwrap(), 2);
    assert_eq!(store.finish_removals().unwrap(), 0);
    assert_eq!(store.stats().unwrap().pages, 0);
    assert_eq!(store.remove_source(source, false).unwrap(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::engine::cases(24), failure_persistence: None, ..ProptestConfig::default() })]

    /// After any visits to two sources and the removal of one, the other's
    /// pages are whole, and every counter equals a scan.
    #[test]
    fn removal_leaves_other_sources_whole(
        visits in prop::collection::vec((any::<bool>(), 0..6usize, 0..4usize, 0..6u8), 1..30)
    ) {
        let site = Site::new();
        let second = site.store.add_source(spec("second")).unwrap();
        let other = Site { store: site.store.clone(), source: second, clock: site.clock.clone() };
        for (in_other, path, content, end) in visits {
            let site = if in_other { &other } else { &site };
            let result = match end {
                0 => failed(FailReason::NotFound),
                _ => stored(page("T", &["one", "two", "three", "four"][..=content])),
            };
            let crawl = site.crawl(&[&path.to_string()]);
            let row = site.queued(crawl).remove(0);
            let visits = vec![visit(&row, result)];
            site.store.commit_batch(store::CrawlBatch { crawl, visits, follow_ups: Vec::new() }).unwrap();
            site.store.finish_crawl(crawl, CrawlStatus::Completed, None).unwrap();
        }
        let kept = |row: &store::PageRow| row.source == second;
        let all = PageFilter::default;
        let before: Vec<_> = site.store.pages(&all()).unwrap().into_iter().filter(kept).collect();
        site.store.remove_source(site.source, false).unwrap();
        let after = site.store.pages(&all()).unwrap();
        let short = |rows: &[store::PageRow]| -> Vec<_> {
            rows.iter().map(|r| (r.url.clone(), r.status, r.version, r.content_hash)).collect()
        };
        prop_assert_eq!(short(&before), short(&after));
        crate::suite::crawling::check_store(&other);
        for row in &after {
            let content = site.store.page_content(row.id).unwrap().unwrap();
            prop_assert!(!content.text.is_empty());
            let versions = site.store.page_versions(row.id).unwrap();
            for version in &versions {
                let old = site.store.version_content(row.id, version.version).unwrap();
                prop_assert!(!old.unwrap().text.is_empty());
            }
            prop_assert_eq!(versions.len(), row.version as usize);
        }
    }
}

#[test]
fn imports_have_one_source_of_their_own() {
    let site = Site::new();
    let ensure = || site.store.ensure_import_source(TenantId::DEFAULT).unwrap();
    let id = ensure();
    assert_eq!(ensure(), id);
    let source = site.store.source(id).unwrap().unwrap();
    assert_eq!((source.kind.as_str(), source.active), ("import", false));
    assert_eq!((source.seeds.len(), source.next_due_at), (0, None));
    site.store.remove_source(id, false).unwrap();
    assert_eq!(ensure(), id, "it is back");
    assert!(site.store.source(id).unwrap().unwrap().removed_at.is_none());
}
