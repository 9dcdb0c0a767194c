//! Cursors of lists of pages: what they keep, what they refuse.

use proptest::prelude::*;
use store::{PageCursor, PageFilter, PageSort, StoreErrorKind};

use crate::support::{Site, page, stored};

#[test]
fn a_cursor_of_another_order_is_refused() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("A", &["one"])))]);
    let row = site.page("a");
    let (sort, limit) = (PageSort::Title, 5);
    let cursor = Some(PageCursor::behind(&row, sort, false));
    let filter = |sort, descending| PageFilter {
        sort,
        descending,
        cursor: cursor.clone(),
        limit,
        ..PageFilter::default()
    };
    let behind_the_last = site.store.pages(&filter(sort, false)).unwrap();
    assert_eq!(behind_the_last, []);
    for (sort, descending) in [(PageSort::Title, true), (PageSort::Id, false)] {
        let refused = site.store.pages(&filter(sort, descending)).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict);
        assert!(refused.to_string().contains("another order"), "{refused}");
    }
    let cursor = Some(PageCursor::behind_id(row.id));
    let by_title = PageFilter {
        cursor,
        sort,
        ..PageFilter::default()
    };
    let refused = site.store.pages(&by_title).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
}

fn check_garbage(text: &str) {
    let refused = PageCursor::decode(text).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{text:?}");
    assert!(refused.to_string().contains("no cursor"), "{refused}");
}

#[test]
fn garbage_is_no_cursor() {
    for text in [
        "",
        "A",
        "AA",
        "AAAA",
        "!",
        "é",
        "a b",
        "====",
        &"A".repeat(10_000),
    ] {
        check_garbage(text);
    }
    let site = Site::new();
    site.visit(vec![("a", stored(page("Title", &["one"])))]);
    let row = site.page("a");
    for sort in PageSort::ALL {
        assert_eq!(PageSort::from_code(sort.code()), Some(*sort));
        for descending in [false, true] {
            let cursor = PageCursor::behind(&row, *sort, descending);
            let text = cursor.encode();
            assert_eq!(PageCursor::decode(&text).unwrap(), cursor);
            for end in 0..text.len() {
                check_garbage(&text[..end]);
            }
            check_garbage(&format!("{text}A"));
            check_garbage(&format!("A{text}"));
            for at in 0..text.len() {
                let mut changed = text.clone();
                let other = if &text[at..=at] == "x" { "y" } else { "x" };
                changed.replace_range(at..=at, other);
                check_garbage(&changed);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_cursor_or_refused(text in ".{0,80}", plain in "[A-Za-z0-9_-]{0,80}") {
        for text in [text, plain] {
            if let Ok(cursor) = PageCursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }
}
