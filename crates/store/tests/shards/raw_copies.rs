//! A source that moves keeps its raw copies: nothing of them is removed.

use std::ops::ControlFlow;

use store::{CrawlBatch, CrawlStatus, RawCopies, SourceMove};
use types::TenantId;

use crate::engine::Database;
use crate::moving::site_in;
use crate::support::{clock, page, stored, visit};

#[test]
fn raw_copies_stay_with_the_versions_of_a_source_that_moves() {
    let database = Database::new();
    let clock = clock();
    let store = database.open(clock.clone());
    let site = site_in(&store, &clock, 0, "moves", false);
    let crawl = site.crawl(&["a"]);
    let row = site.queued(crawl).remove(0);
    let key = "1/1/2026/11/a.warc.gz".to_owned();
    store.announce_raw(crawl, vec![key.clone()]).unwrap();
    let batch = CrawlBatch {
        crawl,
        visits: vec![visit(&row, stored(page("A", &["one"])))],
        follow_ups: Vec::new(),
    };
    let copies = RawCopies::from([(row.row, key.clone())]);
    assert_eq!(store.commit_archived(batch, copies).unwrap().raw_kept, 1);
    store
        .finish_crawl(crawl, CrawlStatus::Completed, None)
        .unwrap();
    let to = store.shards()[1].shard_number();
    let moved = store.move_source(site.source, to, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(moved.unwrap(), SourceMove::Moved { pages: 1, .. }));
    let there = &store.shards()[1];
    let id = site.page("a").id;
    let of = |store: &store::Store| store.raw_key(TenantId::DEFAULT, id, 1).unwrap();
    assert_eq!(of(there), Some(key.clone()));
    assert_eq!(of(&store), Some(key.clone()));
    assert_eq!(store.due_raw_removals(9).unwrap(), Vec::<String>::new());
    // Removed where it is now, it goes.
    store.remove_source(site.source, false).unwrap();
    assert_eq!(store.due_raw_removals(9).unwrap(), [key]);
}
