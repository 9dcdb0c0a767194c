//! Raw copies: which version has which object, and which objects are to go.

use std::time::Duration;

use store::{CrawlBatch, FrontierRow, NewVersion, RawCopies, VisitResult};
use types::{CrawlId, TenantId};

use crate::support::{ADDED, Site, UNCHANGED, UPDATED, page, page_url, stored, visit};

const TENANT: TenantId = TenantId::DEFAULT;
const AN_HOUR: Duration = Duration::from_secs(3600);

/// A crawl of these paths with an object each, announced or not.
fn begun(site: &Site, paths: &[&str], announced: bool) -> (CrawlId, Vec<FrontierRow>, RawCopies) {
    let crawl = site.crawl(paths);
    let rows = site.queued(crawl);
    let row_of = |path: &&str| {
        let url = page_url(path).url;
        rows.iter().find(|row| row.url == url).unwrap().clone()
    };
    let rows: Vec<FrontierRow> = paths.iter().map(row_of).collect();
    let key = |row: &FrontierRow| format!("{crawl}/{}.warc.gz", row.url.path_and_query());
    let copies: RawCopies = rows.iter().map(|row| (row.row, key(row))).collect();
    if announced {
        let keys = copies.values().cloned().collect();
        site.store.announce_raw(crawl, keys).unwrap();
    }
    (crawl, rows, copies)
}

fn commit(
    site: &Site,
    (crawl, rows, copies): (CrawlId, Vec<FrontierRow>, RawCopies),
    results: Vec<VisitResult>,
) -> (Vec<types::UrlOutcome>, [u64; 2]) {
    let visits = rows.iter().zip(results);
    let visits = visits.map(|(row, result)| visit(row, result)).collect();
    let batch = CrawlBatch {
        crawl,
        visits,
        follow_ups: Vec::new(),
    };
    let report = site.store.commit_archived(batch, copies).unwrap();
    let outcomes = report.outcomes.into_iter().map(|(_, outcome)| outcome);
    (outcomes.collect(), [report.raw_kept, report.raw_missed])
}

fn due(site: &Site) -> Vec<String> {
    let mut due = site.store.due_raw_removals(100).unwrap();
    due.sort();
    due
}

#[test]
fn a_version_takes_its_object_and_what_nobody_takes_goes() {
    let site = Site::new();
    let store = &site.store;
    let one = |text: &str| stored(page("A", &[text]));
    let first = begun(&site, &["a", "b"], true);
    let wanted = |url: &str, text: &str| NewVersion {
        url: page_url(url).url.to_string(),
        hash: page("A", &[text]).page.content_hash,
    };
    let asked = [wanted("a", "one"), wanted("b", "one")];
    assert_eq!(
        store.would_be_new(first.0, TENANT, &asked).unwrap(),
        [true; 2]
    );
    let ended = commit(
        &site,
        first.clone(),
        vec![one("one"), stored(page("B", &["b"]))],
    );
    assert_eq!(ended, (vec![ADDED, ADDED], [2, 0]));
    let a = site.page("a").id;
    let key = |version| store.raw_key(TENANT, a, version).unwrap();
    assert_eq!(key(1).as_ref(), first.2.get(&first.1[0].row));
    assert_eq!(key(2), None);
    assert!(store.page_versions(a).unwrap()[0].has_raw);
    // T1: another tenant has no such page.
    let other = store.create_tenant("other").unwrap().id;
    assert_eq!(store.raw_key(other, a, 1).unwrap(), None);

    // One that turns out to be known is not needed; one that failed is missed.
    let second = begun(&site, &["a", "b"], true);
    let asked = [wanted("a", "one"), wanted("b", "other")];
    assert_eq!(
        store.would_be_new(second.0, TENANT, &asked).unwrap(),
        [false, true]
    );
    let (crawl, rows, mut copies) = second.clone();
    copies.remove(&rows[1].row);
    let ended = commit(
        &site,
        (crawl, rows, copies),
        vec![one("one"), stored(page("B", &["other"]))],
    );
    assert_eq!(ended, (vec![UNCHANGED, UPDATED], [0, 1]));
    let reasons = store.crawl_reasons(crawl).unwrap();
    let missed = &reasons[0];
    assert_eq!(
        (missed.class.as_str(), missed.reason.as_str()),
        ("raw", "no_copy")
    );
    assert_eq!((missed.count, reasons.len()), (1, 1));
    assert_eq!(missed.examples, ["https://site.example/b"]);
    assert_eq!(due(&site), [second.2[&second.1[0].row].clone()]);
    // The other may still be on its way, for an hour.
    store.raw_removed(&due(&site)).unwrap();
    assert_eq!(due(&site), Vec::<String>::new());
    site.clock.advance(AN_HOUR);
    let late = vec![second.2[&second.1[1].row].clone()];
    assert_eq!(due(&site), late);
    assert_eq!(store.raw_waiting().unwrap().removals, 1);
    // What cannot be removed is due again later.
    store.put_off_raw_removals(&late, AN_HOUR).unwrap();
    assert_eq!(due(&site), Vec::<String>::new());
    site.clock.advance(AN_HOUR);
    assert_eq!(due(&site), late);
    store.raw_removed(&late).unwrap();
    assert_eq!(store.raw_waiting().unwrap().removals, 0);
    assert_eq!(key(1), first.2.get(&first.1[0].row).cloned());
}

#[test]
fn an_object_that_is_being_removed_is_not_taken() {
    let site = Site::new();
    let late = begun(&site, &["a"], true);
    site.clock.advance(AN_HOUR);
    assert_eq!(due(&site).len(), 1);
    let ended = commit(&site, late.clone(), vec![stored(page("A", &["one"]))]);
    assert_eq!(ended, (vec![ADDED], [0, 1]));
    // Forgotten, and stored after all: it goes.
    site.store.raw_removed(&due(&site)).unwrap();
    let (crawl, rows, copies) = begun(&site, &["b"], false);
    let ended = commit(
        &site,
        (crawl, rows, copies.clone()),
        vec![stored(page("B", &["b"]))],
    );
    assert_eq!(ended, (vec![ADDED], [0, 1]));
    assert_eq!(due(&site), copies.into_values().collect::<Vec<_>>());
}

#[test]
fn what_is_removed_takes_its_objects_with_it_and_nobody_elses() {
    let site = Site::new();
    let store = &site.store;
    let own = store.create_tenant("own").unwrap().id;
    let theirs = Site::of_tenant(store.clone(), site.clock.clone(), own);
    let mut objects = Vec::new();
    for text in ["one", "two"] {
        let begun = begun(&site, &["a", "b"], true);
        objects.extend(begun.2.values().cloned());
        let results = vec![stored(page("A", &[text])), stored(page("B", &[text]))];
        assert_eq!(commit(&site, begun.clone(), results).1, [2, 0]);
        let cancelled = store.finish_crawl(begun.0, store::CrawlStatus::Completed, None);
        cancelled.unwrap();
    }
    let begun = begun(&theirs, &["a"], true);
    commit(&theirs, begun, vec![stored(page("A", &["one"]))]);
    assert_eq!(due(&site), Vec::<String>::new());
    store.remove_source(site.source, false).unwrap();
    objects.sort();
    assert_eq!(
        due(&site),
        objects,
        "all versions of the source and no other's"
    );
    site.clock.advance(AN_HOUR);
    assert_eq!(due(&site), objects);
}
