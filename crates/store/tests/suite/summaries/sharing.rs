//! Pages of the same text, and several who save at once.

use store::{SaveOutcome, SummaryWanted};

use super::{
    Done, Fallback, Known, Saved, TENANT, backlog, ids, save, save_of, stats, visit, wanted,
};
use crate::support::{Site, page, stored};

#[test]
fn pages_of_the_same_text_share_what_was_paid_for_one() {
    let site = Site::new();
    let store = &site.store;
    let same = || stored(page("same", &["text"]));
    site.visit(vec![
        ("a", same()),
        ("b", same()),
        ("c", stored(page("c", &["c"]))),
    ]);
    let all = SummaryWanted::of_tenant(TENANT);
    let found = wanted(store, TENANT, None, 9);
    let [a, b, c] = ["a", "b", "c"].map(|path| site.page(path).id);
    assert_eq!(ids(&found), [a, c], "one of each text");
    assert_eq!(backlog(store, &all).0, 3, "each is counted");
    assert_eq!(ids(&wanted(store, TENANT, None, 1)), [a]);
    // Whatever came of it, it came of both.
    assert_eq!(save(store, TENANT, &found[..1], Fallback), [Saved]);
    assert_eq!(stats(store), [0, 0, 2, 1]);
    let paid = |page| {
        let row = store.summary(TENANT, page).unwrap().unwrap();
        (
            row.state,
            row.calls,
            row.tokens_in + row.tokens_out,
            row.took_ms,
        )
    };
    assert_eq!(paid(a), (Fallback, 1, 110, 7));
    assert_eq!(paid(b), (Fallback, 0, 0, 0));
    // A better one replaces it at both, whichever it is made for.
    assert_eq!(
        save_of(store, TENANT, &[(b, found[0].content_hash)], Done),
        [Saved]
    );
    assert_eq!((paid(a), paid(b)), ((Done, 0, 0, 0), (Done, 1, 110, 7)));
    assert_eq!(stats(store), [2, 0, 0, 1]);
    assert_eq!(ids(&wanted(store, TENANT, None, 9)), [c]);

    // One that comes later waits, and is given it without asking a model.
    site.visit(vec![("d", same())]);
    let found = wanted(store, TENANT, None, 9);
    let d = site.page("d").id;
    assert_eq!(ids(&found), [c, d]);
    let left = store.reuse_summaries(TENANT, found.clone()).unwrap();
    assert_eq!(ids(&left), [c]);
    assert_eq!(paid(d), (Done, 0, 0, 0));
    let (from, to) = (store.summary(TENANT, b), store.summary(TENANT, d));
    let (from, to) = (from.unwrap().unwrap(), to.unwrap().unwrap());
    assert_eq!((from.summary, from.entities), (to.summary, to.entities));
    // T1: what another tenant has is nobody's to take.
    let other = store.create_tenant("other").unwrap().id;
    let theirs = Site::of_tenant(store.clone(), site.clock.clone(), other);
    theirs.visit(vec![("d", same())]);
    let work = wanted(store, other, None, 9);
    assert_eq!(store.reuse_summaries(other, work.clone()).unwrap(), work);
}

#[test]
fn texts_that_many_pages_have_leave_room_for_others() {
    let site = Site::new();
    let paths: Vec<String> = (0..250).map(|n| format!("p{n:03}")).collect();
    let visits = paths.iter().enumerate().map(|(n, path)| {
        let text = if n % 50 == 49 { path.as_str() } else { "same" };
        (path.as_str(), stored(page(text, &[text])))
    });
    site.visit(visits.collect());
    let found = wanted(&site.store, TENANT, None, 4);
    let expected = ["p000", "p049", "p099", "p149"].map(|path| site.page(path).id);
    assert_eq!(ids(&found), expected);
    assert_eq!(save(&site.store, TENANT, &found, Done), [Saved; 4]);
    assert_eq!(stats(&site.store), [248, 0, 0, 2]);
}

#[test]
fn savers_at_once_save_each_text_once() {
    let site = Site::new();
    let paths: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    visit(&site, &paths);
    let work = wanted(&site.store, TENANT, None, 100);
    let outcomes: Vec<Vec<SaveOutcome>> = std::thread::scope(|scope| {
        let savers: Vec<_> = (0..3)
            .map(|_| {
                let (store, work) = (site.store.clone(), work.clone());
                scope.spawn(move || {
                    let parts = work.chunks(7);
                    parts
                        .flat_map(|part| save(&store, TENANT, part, Done))
                        .collect()
                })
            })
            .collect();
        savers.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for (at, work) in work.iter().enumerate() {
        let saved = outcomes.iter().filter(|of| of[at] == Saved).count();
        let known = outcomes.iter().filter(|of| of[at] == Known).count();
        assert_eq!((saved, known), (1, 2), "{}", work.url);
    }
    assert_eq!(stats(&site.store), [40, 0, 0, 0]);
}
