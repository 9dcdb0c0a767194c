//! Tasks that a crawl's batch gives rise to.

use store::{CrawlBatch, NewTask, TaskFilter};
use types::{FailReason, TenantId};

use super::{keyed, task};
use crate::support::{Site, failed, page, stored, visit};

fn all(site: &Site) -> usize {
    let tasks = site.store.tasks(TenantId::DEFAULT, &TaskFilter::default());
    tasks.unwrap().len()
}

#[test]
fn follow_ups_are_queued_with_the_batch_and_once() {
    let site = Site::new();
    let crawl = site.crawl(&["a", "b"]);
    let rows = site.queued(crawl);
    let batch = |follow_ups: Vec<NewTask>| CrawlBatch {
        crawl,
        visits: vec![visit(&rows[0], stored(page("T", &["one"])))],
        follow_ups,
    };
    let report = site
        .store
        .commit_batch(batch(vec![task("a"), keyed("a", "k")]));
    assert_eq!(report.unwrap().enqueued.len(), 2);
    // A crash after the commit: the same batch comes again.
    let replayed = site
        .store
        .commit_batch(batch(vec![task("a"), keyed("a", "k")]));
    assert_eq!(replayed.unwrap().enqueued, []);
    assert_eq!(all(&site), 2);
    // Part of it is new: its follow-ups are.
    let both = CrawlBatch {
        visits: vec![
            visit(&rows[0], stored(page("T", &["one"]))),
            visit(&rows[1], failed(FailReason::Timeout)),
        ],
        ..batch(vec![keyed("a", "k"), task("a")])
    };
    assert_eq!(site.store.commit_batch(both).unwrap().enqueued.len(), 2);
    assert_eq!(all(&site), 3);
    let nothing = CrawlBatch {
        visits: Vec::new(),
        ..batch(vec![task("a")])
    };
    assert_eq!(site.store.commit_batch(nothing).unwrap().enqueued, []);
}

#[test]
fn a_follow_up_that_is_refused_takes_the_batch_with_it() {
    let site = Site::new();
    let crawl = site.crawl(&["a"]);
    let row = site.queued(crawl).remove(0);
    let batch = CrawlBatch {
        crawl,
        visits: vec![visit(&row, stored(page("T", &["one"])))],
        follow_ups: vec![task("")],
    };
    let error = site.store.commit_batch(batch).unwrap_err();
    assert!(error.to_string().contains("needs a kind"), "{error}");
    assert_eq!(site.queued(crawl).len(), 1);
    assert_eq!(site.store.crawl(crawl).unwrap().counts.added, 0);
}
