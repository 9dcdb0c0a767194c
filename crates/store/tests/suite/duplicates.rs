//! Pages with the same or nearly the same content.

use types::FailReason;

use crate::support::{ADDED, Site, UPDATED, failed, page, stored};

#[test]
fn an_exact_duplicate_shares_content_and_has_no_chunks() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["one"])))]);
    assert_eq!(
        site.visit(vec![("b", stored(page("T", &["one"])))]),
        [ADDED]
    );
    let (a, b) = (site.page("a"), site.page("b"));
    assert_eq!((a.duplicate_of, b.duplicate_of), (None, Some(a.id)));
    assert_eq!((a.chunk_count, b.chunk_count), (1, 0));
    assert_eq!(site.store.duplicates_of(a.id).unwrap(), [b.id]);
    assert_eq!(site.store.duplicates_of(b.id).unwrap(), []);
    let content = site.store.page_content(b.id).unwrap().unwrap();
    assert_eq!(content.text, "one");
    assert_eq!(site.store.stats().unwrap().chunks, 1);
}

#[test]
fn duplicates_within_one_batch_are_seen() {
    let site = Site::new();
    site.visit(vec![
        ("a", stored(page("T", &["one"]))),
        ("b", stored(page("T", &["one"]))),
    ]);
    assert_eq!(site.store.live_chunk_ids().unwrap().len(), 1);
}

fn check_handed_over(change: store::VisitResult) {
    let site = Site::new();
    for path in ["a", "b", "c"] {
        site.visit(vec![(path, stored(page("T", &["one", "two"])))]);
    }
    let ids = site.chunk_ids("a");
    let before = site.page("b").change_seq;
    site.visit(vec![("a", change)]);
    let (b, c) = (site.page("b"), site.page("c"));
    assert_eq!((b.duplicate_of, c.duplicate_of), (None, Some(b.id)));
    assert!(b.change_seq > before);
    assert_eq!(
        site.chunk_ids("b"),
        ids,
        "the same chunks under another page"
    );
    assert_eq!(site.chunk_texts("b"), ["one", "two"]);
    assert_eq!((b.chunk_count, c.chunk_count), (2, 0));
    for id in site.chunk_ids("a") {
        assert!(!ids.contains(&id));
    }
}

#[test]
fn the_oldest_duplicate_takes_the_chunks_over() {
    check_handed_over(failed(FailReason::NotFound));
    check_handed_over(stored(page("T", &["new", "two"])));
}

#[test]
fn a_page_that_returns_to_shared_content_becomes_the_duplicate() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["one"])))]);
    site.visit(vec![("b", stored(page("T", &["one"])))]);
    site.visit(vec![("a", stored(page("T", &["two"])))]);
    assert_eq!(
        site.visit(vec![("a", stored(page("T", &["one"])))]),
        [UPDATED]
    );
    let (a, b) = (site.page("a"), site.page("b"));
    assert_eq!((a.duplicate_of, a.version), (Some(b.id), 3));
    assert_eq!(site.store.live_chunk_ids().unwrap().len(), 1);
    assert_eq!(site.chunk_texts("b"), ["one"]);
}

#[test]
fn a_duplicate_with_other_white_space_leaves_the_holders_bytes_alone() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("T", &["one", "two"])))]);
    site.visit(vec![("b", stored(page("T", &["   one", "two"])))]);
    assert_eq!(site.chunk_texts("a"), ["one", "two"]);
    site.visit(vec![("a", failed(FailReason::NotFound))]);
    assert_eq!(site.chunk_texts("b"), ["one", "two"]);
    site.visit(vec![("b", stored(page("T", &["   one", "two"])))]);
    assert_eq!(site.chunk_texts("b"), ["   one", "two"]);
}

fn long(title: &str, simhash: u64) -> store::VisitResult {
    let text = "word ".repeat(100);
    let mut visit = page(title, &[text.trim()]);
    visit.page.simhash = simhash;
    stored(visit)
}

fn check_near(a: u64, b: u64, expected: bool) {
    let site = Site::new();
    site.visit(vec![("a", long("A", a))]);
    site.visit(vec![("b", long("B", b))]);
    let near = expected.then(|| site.page("a").id);
    assert_eq!(site.page("b").near_duplicate_of, near, "{a:x} {b:x}");
    assert_eq!(site.page("b").chunk_count, 1);
}

#[test]
fn simhashes_at_most_three_bits_apart_are_near() {
    let hash = 0x0123_4567_89ab_cdef;
    check_near(hash, hash, true);
    check_near(hash, hash ^ 0x0001_0001_0001_0000, true);
    check_near(hash, hash ^ 0x0000_0000_0000_0007, true);
    check_near(hash, hash ^ 0x8001_0000_0001_0001, false);
    check_near(hash, hash ^ 0x0001_0001_0001_0001, false);
    check_near(hash, !hash, false);
}

#[test]
fn short_pages_have_no_near_duplicates() {
    let site = Site::new();
    for (path, title) in [("a", "A"), ("b", "B")] {
        let mut short = page(title, &["few words"]);
        short.page.simhash = 5;
        site.visit(vec![(path, stored(short))]);
    }
    assert_eq!(site.page("b").near_duplicate_of, None);
}

#[test]
fn a_family_finds_a_new_representative() {
    let site = Site::new();
    for (path, title, simhash) in [("a", "A", 0xff00), ("b", "B", 0xff01), ("c", "C", 0xff02)] {
        site.visit(vec![(path, long(title, simhash))]);
    }
    let (a, b) = (site.page("a").id, site.page("b").id);
    assert_eq!(site.page("c").near_duplicate_of, Some(a));
    site.visit(vec![("a", failed(FailReason::NotFound))]);
    assert_eq!(site.page("b").near_duplicate_of, None);
    // New pages find the representative at once, others with their next visit.
    site.visit(vec![("d", long("D", 0xff03))]);
    assert_eq!(site.page("d").near_duplicate_of, Some(b));
    site.visit(vec![("c", long("C", 0xff02))]);
    assert_eq!(site.page("c").near_duplicate_of, Some(b));
}
