//! Which pages wait for a summary.

use std::collections::BTreeSet;

use store::{StoreErrorKind, SummaryState, SummaryWanted, SummaryWork};
use types::{FailReason, PageId};

use super::{
    Done, Failed, Fallback, Saved, TENANT, backlog, ids, save, site_of, stats, visit, wanted,
};
use crate::support::{Site, failed, page, stored};

#[test]
fn a_page_waits_until_it_is_summarised_and_again_when_its_text_changes() {
    let (site, pages) = site_of(&["a", "bb", "ccc"]);
    let store = &site.store;
    let all = SummaryWanted::of_tenant(TENANT);
    let found = wanted(store, TENANT, None, 9);
    assert_eq!(ids(&found), pages);
    let first = site.page("a");
    assert_eq!(
        found[0],
        SummaryWork {
            page: first.id,
            url: first.url.clone(),
            title: "a".to_owned(),
            language: None,
            content_hash: first.content_hash,
            text_bytes: 1,
        }
    );
    assert_eq!(backlog(store, &all), (3, 6));
    assert_eq!(stats(store), [0, 0, 0, 3]);
    // On behind a page, and no more than are asked for.
    let behind = store.pages_to_summarize(&all, Some(pages[0]), 1).unwrap();
    assert_eq!(ids(&behind), [pages[1]]);
    assert_eq!(store.summary(TENANT, pages[0]).unwrap(), None);

    assert_eq!(save(store, TENANT, &found[..2], Done), [Saved; 2]);
    assert_eq!(ids(&wanted(store, TENANT, None, 9)), [pages[2]]);
    assert_eq!(stats(store), [2, 0, 0, 1]);
    // Nothing of it changes when the page is seen again as it was.
    visit(&site, &["a"]);
    assert_eq!(ids(&wanted(store, TENANT, None, 9)), [pages[2]]);

    site.visit(vec![("a", stored(page("a", &["another"])))]);
    assert_eq!(ids(&wanted(store, TENANT, None, 9)), [pages[0], pages[2]]);
    assert_eq!(stats(store), [1, 0, 0, 2]);
    let old = store.summary(TENANT, pages[0]).unwrap().unwrap();
    assert!(!old.is_current, "of the text that it had");
    // Back to the text that was summarised: that is not paid for twice.
    visit(&site, &["a"]);
    assert_eq!(ids(&wanted(store, TENANT, None, 9)), [pages[2]]);
    // Gone, it is not wanted; back, it is known.
    site.visit(vec![
        ("a", failed(FailReason::NotFound)),
        ("ccc", failed(FailReason::NotFound)),
    ]);
    assert_eq!(wanted(store, TENANT, None, 9), []);
    assert_eq!(stats(store), [1, 0, 0, 0]);
    visit(&site, &["a", "ccc"]);
    assert_eq!(ids(&wanted(store, TENANT, None, 9)), [pages[2]]);
}

#[test]
fn what_failed_or_fell_back_is_wanted_again_where_that_is_asked_for() {
    let (site, pages) = site_of(&["a", "b", "c", "d"]);
    let store = &site.store;
    let found = wanted(store, TENANT, None, 9);
    for (work, state) in found.iter().zip([Failed, Fallback, Done]) {
        save(store, TENANT, std::slice::from_ref(work), state);
    }
    let again = |again: &[SummaryState]| SummaryWanted {
        again: again.to_vec(),
        ..SummaryWanted::of_tenant(TENANT)
    };
    for (states, expected) in [
        (&[][..], &[3][..]),
        (&[Failed], &[0, 3]),
        (&[Fallback], &[1, 3]),
        (&[Failed, Fallback], &[0, 1, 3]),
    ] {
        let wanted = again(states);
        let found = store.pages_to_summarize(&wanted, None, 9).unwrap();
        let expected: Vec<PageId> = expected.iter().map(|at| pages[*at]).collect();
        assert_eq!(ids(&found), expected, "{states:?}");
        assert_eq!(backlog(store, &wanted).0, expected.len() as u64);
        // One by one, each walk goes on behind the last.
        let mut walked = Vec::new();
        while let [work] = &store
            .pages_to_summarize(&wanted, walked.last().copied(), 1)
            .unwrap()[..]
        {
            walked.push(work.page);
        }
        assert_eq!(walked, expected, "{states:?}");
    }
    assert_eq!(stats(store), [1, 1, 1, 1]);
    let refused = store.pages_to_summarize(&again(&[Done]), None, 9);
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Conflict);
    // One with another text by now is wanted once, as never summarised.
    site.visit(vec![("a", stored(page("a", &["another"])))]);
    let found = store
        .pages_to_summarize(&again(&[Failed]), None, 9)
        .unwrap();
    assert_eq!(ids(&found), [pages[0], pages[3]]);
}

#[test]
fn what_is_wanted_can_be_one_source_or_some_pages() {
    let (site, pages) = site_of(&["a", "b"]);
    let store = &site.store;
    let other = store
        .ensure_source(store::NewSource {
            tenant: TENANT,
            name: "other".to_owned(),
            seeds: vec!["https://other.example/".to_owned()],
            policy: "{}".to_owned(),
        })
        .unwrap();
    let other = Site {
        store: store.clone(),
        source: other,
        clock: site.clock.clone(),
    };
    visit(&other, &["x"]);
    let x = other.page("x").id;
    assert_eq!(ids(&wanted(store, TENANT, Some(other.source), 9)), [x]);
    assert_eq!(ids(&wanted(store, TENANT, Some(site.source), 9)), pages);
    let of = |pages: &[PageId], source| SummaryWanted {
        pages: Some(pages.to_vec()),
        source,
        again: vec![Fallback],
        ..SummaryWanted::of_tenant(TENANT)
    };
    save(store, TENANT, &wanted(store, TENANT, None, 1), Fallback);
    for (named, source, expected) in [
        (vec![x, pages[0]], None, BTreeSet::from([x, pages[0]])),
        (
            vec![x, pages[0]],
            Some(site.source),
            BTreeSet::from([pages[0]]),
        ),
        (vec![], None, BTreeSet::new()),
        (vec![PageId(77_777)], None, BTreeSet::new()),
    ] {
        let wanted = of(&named, source);
        let found = store.pages_to_summarize(&wanted, None, 9).unwrap();
        assert_eq!(ids(&found).into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(backlog(store, &wanted).0, expected.len() as u64);
    }
    let many = of(&vec![x; 10_001], None);
    let refused = store.pages_to_summarize(&many, None, 9).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    assert!(refused.to_string().contains("10001"), "{refused}");
}
