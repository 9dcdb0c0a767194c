//! Notes on pages, and how long they stay.

use std::time::Duration;

use store::{NotesPatch, PageNotes, StoreErrorKind};
use types::{FailReason, PageId, TenantId, Timestamp};

use crate::engine::Database;
use crate::support::{Site, clock, failed, page, stored};

fn tags(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

fn full() -> NotesPatch {
    NotesPatch {
        favorite: Some(true),
        applied: Some(true),
        status: Some("interview".to_owned()),
        notes: Some("Call back.\nزنگ بزن".to_owned()),
        tags: Some(tags(&["rust", "remote", "rust"])),
    }
}

fn note(site: &Site, path: &str, patch: NotesPatch) -> PageNotes {
    let page = site.page(path).id;
    let tenant = TenantId::DEFAULT;
    site.store.set_page_notes(tenant, page, patch).unwrap()
}

fn read(site: &Site, page: PageId) -> Option<PageNotes> {
    let mut notes = site.store.page_notes(TenantId::DEFAULT, &[page]).unwrap();
    notes.pop()
}

#[test]
fn a_patch_changes_what_it_names() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("A", &["one"])))]);
    let id = site.page("a").id;
    assert_eq!(read(&site, id), None);
    let first = note(&site, "a", full());
    assert_eq!(
        (first.page, first.favorite, first.applied),
        (id, true, true)
    );
    assert_eq!(first.tags, ["rust", "remote"], "each once");
    assert_eq!(first.updated_at, Timestamp(1_000_000));
    assert_eq!(read(&site, id), Some(first.clone()));

    site.clock.advance(Duration::from_secs(1));
    let patch = NotesPatch {
        favorite: Some(false),
        tags: Some(tags(&["remote", "new"])),
        ..NotesPatch::default()
    };
    let second = note(&site, "a", patch);
    assert_eq!((second.favorite, second.applied), (false, true));
    assert_eq!(second.tags, ["remote", "new"]);
    assert_eq!(
        (&second.status, &second.notes),
        (&first.status, &first.notes)
    );
    assert_eq!(second.updated_at, Timestamp(1_001_000));
    let patch = NotesPatch {
        status: Some(String::new()),
        ..NotesPatch::default()
    };
    assert_eq!(note(&site, "a", patch).status, "");
}

#[test]
fn notes_come_in_the_order_asked() {
    let site = Site::new();
    let paths = ["a", "b", "c"];
    for path in paths {
        site.visit(vec![(path, stored(page(path, &[path])))]);
    }
    let [a, b, c] = paths.map(|path| site.page(path).id);
    note(&site, "a", full());
    note(&site, "c", NotesPatch::default());
    let asked = [c, PageId(99), b, a];
    let notes = site.store.page_notes(TenantId::DEFAULT, &asked).unwrap();
    let pages: Vec<PageId> = notes.iter().map(|notes| notes.page).collect();
    assert_eq!(pages, [c, a]);
}

fn check_refused(patch: NotesPatch, expected: &str) {
    let site = Site::new();
    site.visit(vec![("a", stored(page("A", &["one"])))]);
    let id = site.page("a").id;
    let refused = site.store.set_page_notes(TenantId::DEFAULT, id, patch);
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    assert!(refused.to_string().contains(expected), "{refused}");
    assert_eq!(read(&site, id), None);
}

#[test]
fn what_is_too_long_is_refused() {
    let patch = NotesPatch::default;
    let status = Some("é".repeat(65));
    check_refused(NotesPatch { status, ..patch() }, "64 characters");
    let notes = Some("n".repeat(16 * 1024 + 1));
    check_refused(NotesPatch { notes, ..patch() }, "16384 bytes");
    for wrong in ["", &"t".repeat(65)] {
        let tags = Some(tags(&["fine", wrong]));
        check_refused(NotesPatch { tags, ..patch() }, "1 to 64 characters");
    }
    let tags = Some((0..33).map(|n| n.to_string()).collect());
    check_refused(NotesPatch { tags, ..patch() }, "at most 32 tags");

    let site = Site::new();
    site.visit(vec![("a", stored(page("A", &["one"])))]);
    let longest = NotesPatch {
        status: Some("é".repeat(64)),
        notes: Some("n".repeat(16 * 1024)),
        tags: Some((0..32).map(|n| format!("{n:064}")).collect()),
        ..patch()
    };
    assert_eq!(note(&site, "a", longest).tags.len(), 32);
    let unknown = site
        .store
        .set_page_notes(TenantId::DEFAULT, PageId(99), patch());
    assert_eq!(unknown.unwrap_err().kind(), StoreErrorKind::NotFound);
}

#[test]
fn notes_outlive_all_that_a_site_does() {
    let site = Site::new();
    let version = |text: &str| vec![("a", stored(page("A", &[text])))];
    site.visit(version("one"));
    let id = site.page("a").id;
    let noted = note(&site, "a", full());
    let check = || assert_eq!(read(&site, id).as_ref(), Some(&noted));
    site.visit(version("one"));
    check();
    site.visit(version("two"));
    check();
    site.visit(vec![("a", failed(FailReason::NotFound))]);
    check();
    // A page that is gone can still be noted on.
    let again = site.store.set_page_notes(TenantId::DEFAULT, id, full());
    assert_eq!(again.unwrap(), noted);
    site.visit(version("three"));
    check();
    end_crawls(&site);
    site.store.remove_source(site.source, true).unwrap();
    check();
}

fn end_crawls(site: &Site) {
    while let Some(crawl) = site.store.unfinished_crawl(site.source).unwrap() {
        site.store.cancel_crawl(crawl.id).unwrap();
    }
}

#[test]
fn notes_go_with_the_pages_of_a_removed_source() {
    let database = Database::new();
    let clock = clock();
    let store = database.open(clock.clone());
    let site = Site::on(store, clock);
    site.visit(vec![
        ("a", stored(page("A", &["one"]))),
        ("b", stored(page("B", &["two"]))),
    ]);
    let id = site.page("a").id;
    note(&site, "a", full());
    end_crawls(&site);
    assert_eq!(site.store.remove_source(site.source, false).unwrap(), 2);
    assert_eq!(read(&site, id), None);
    for table in ["page_notes", "page_tags"] {
        let rows = database.number(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(rows, 0, "{table}");
    }
    let deleted = site.store.set_page_notes(TenantId::DEFAULT, id, full());
    assert_eq!(deleted.unwrap_err().kind(), StoreErrorKind::NotFound);
    // Found again it is a new page, without the old notes.
    let site = Site::on(site.store.clone(), site.clock.clone());
    site.visit(vec![("a", stored(page("A", &["one"])))]);
    assert_eq!((site.page("a").id, read(&site, id)), (id, None));
}
