//! Summaries where there are several databases.

use std::ops::ControlFlow;

use store::{
    CrawlStatus, SaveOutcome, SourceMove, SourceMoveStage, SummaryFilter, SummaryState,
    SummaryStats, SummaryWanted,
};
use types::TenantId;

use crate::engine::Database;
use crate::moving::site_in;
use crate::suite::summaries::{save, wanted};
use crate::support::{Site, clock, page, stored};

const TENANT: TenantId = TenantId::DEFAULT;

fn ended(site: &Site) {
    let crawl = site.store.crawls(site.source, 1).unwrap()[0].id;
    let finished = site.store.finish_crawl(crawl, CrawlStatus::Completed, None);
    finished.unwrap();
}

#[test]
fn a_text_that_is_summarised_in_one_database_is_taken_over_in_another() {
    let database = Database::new();
    let clock = clock();
    let store = database.open(clock.clone());
    let [here, there] = [0, 1].map(|place| site_in(&store, &clock, place, "same", true));
    for (site, path) in [(&here, "a"), (&there, "b")] {
        site.visit(vec![(path, stored(page("same", &["text"])))]);
    }
    let found = wanted(&store, TENANT, None, 9);
    assert_eq!(found.len(), 2, "one in each database");
    assert_eq!(found[0].content_hash, found[1].content_hash);
    let saved = save(&store, TENANT, &found[1..], SummaryState::Done);
    assert_eq!(saved, [SaveOutcome::Saved]);
    let left = wanted(&store, TENANT, None, 9);
    assert_eq!(left, found[..1], "the other waits");
    assert_eq!(store.reuse_summaries(TENANT, left).unwrap(), []);
    let stats = SummaryStats {
        done: 2,
        ..SummaryStats::default()
    };
    assert_eq!(store.summary_stats(TENANT).unwrap(), stats);
    // Both are in one list, and the tokens are those of the first.
    let list = store.summaries(TENANT, &SummaryFilter::default(), None, 9);
    let mut tokens: Vec<u64> = list.unwrap().iter().map(|row| row.tokens_in).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [0, 100]);
}

/// What is compared on both sides stays as it is; what was to be saved
/// meanwhile is wanted again where the source is then.
#[test]
fn nothing_is_summarised_of_a_source_that_is_being_moved() {
    use SourceMoveStage::{Held, PagesArrived, PagesLeft, Settled};
    let database = Database::new();
    let clock = clock();
    let store = database.open(clock.clone());
    let site = site_in(&store, &clock, 0, "moves", false);
    site.visit(vec![
        ("a", stored(page("A", &["one"]))),
        ("b", stored(page("B", &["two"]))),
    ]);
    ended(&site);
    let work = wanted(&store, TENANT, None, 9);
    let done = save(&store, TENANT, &work[..1], SummaryState::Fallback);
    assert_eq!(done, [SaveOutcome::Saved]);
    let to = store.shards()[1].shard_number();
    let every = SummaryWanted {
        again: vec![SummaryState::Fallback],
        ..SummaryWanted::of_tenant(TENANT)
    };
    for stage in [Held, PagesArrived, PagesLeft, Settled] {
        let mut watch = |progress: &store::SourceMoveProgress| match progress.stage == stage {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let ended = store.move_source(site.source, to, &mut watch).unwrap();
        assert_eq!(ended, SourceMove::Interrupted, "{stage:?}");
        if stage == Settled {
            break;
        }
        let found = store.pages_to_summarize(&every, None, 9).unwrap();
        assert_eq!(found, [], "{stage:?}");
        assert_eq!(store.count_to_summarize(&every).unwrap().pages, 0);
        let refused = save(&store, TENANT, &work, SummaryState::Done);
        assert_eq!(refused, [SaveOutcome::Stale; 2], "{stage:?}");
    }
    // It is settled there, and only to be forgotten here.
    let end = store.move_source(site.source, to, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(end.unwrap(), SourceMove::Moved { .. }));
    assert_eq!(store.pages_to_summarize(&every, None, 9).unwrap(), work);
    assert_eq!(wanted(&store, TENANT, None, 9), work[1..]);
    let saved = save(&store, TENANT, &work, SummaryState::Done);
    assert_eq!(saved, [SaveOutcome::Saved; 2]);
    let there = &store.shards()[1];
    assert_eq!(there.summary_stats(TENANT).unwrap().done, 2);
}

/// A program that knows no summaries leaves them where a page was.
#[test]
fn a_summary_that_was_left_behind_is_in_nobodys_way() {
    let database = Database::new();
    let clock = clock();
    let store = database.open(clock.clone());
    let site = site_in(&store, &clock, 0, "moves", false);
    site.visit(vec![("a", stored(page("A", &["one"])))]);
    ended(&site);
    let work = wanted(&store, TENANT, None, 9);
    let left = "INSERT INTO summaries (page_id, tenant_id, state, created_at, content_hash,
                  prompt_version, tokens_in, tokens_out, took_ms, calls, model, title, summary,
                  key_points, entities)
                VALUES (PAGE, 1, 0, 1, '\\x00', 1, 0, 0, 0, 0, 'm', '', '', '[]', '[]')";
    let left = left.replace("PAGE", &work[0].page.to_string());
    database.shards[1].sql(&left);
    let list = store.summaries(TENANT, &SummaryFilter::default(), None, 9);
    assert_eq!(list.unwrap(), [], "it is of no page");
    let to = store.shards()[1].shard_number();
    let moved = store.move_source(site.source, to, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(moved.unwrap(), SourceMove::Moved { pages: 1, .. }));
    assert_eq!(store.summary(TENANT, work[0].page).unwrap(), None);
    assert_eq!(wanted(&store, TENANT, None, 9), work);
}
