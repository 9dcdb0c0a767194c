//! Pausing, resuming and cancelling crawls.

use store::{CrawlBatch, CrawlControl, CrawlStatus, StoreErrorKind, VisitResult};
use types::{CrawlId, SkipReason};

use crate::support::{Site, page, page_url, stored, visit};

use CrawlControl::{Cancel, Pause, Run};

#[test]
fn a_running_crawl_hears_of_a_request_with_its_next_batch() {
    let site = Site::new();
    let crawl = site.crawl(&["a", "b", "c", "d"]);
    let rows = site.queued(crawl);
    let commit = |n: usize| {
        let visits = vec![visit(&rows[n], stored(page("T", &["one"])))];
        let batch = CrawlBatch {
            crawl,
            visits,
            follow_ups: Vec::new(),
        };
        site.store.commit_batch(batch).unwrap().control
    };
    let ask = |control| site.store.request_crawl_control(crawl, control);
    assert_eq!(commit(0), Run);
    for (asked, status) in [
        (Pause, CrawlStatus::Paused),
        (Pause, CrawlStatus::Paused),
        (Run, CrawlStatus::Running),
        (Run, CrawlStatus::Running),
        (Pause, CrawlStatus::Paused),
    ] {
        let row = ask(asked).unwrap();
        assert_eq!((row.status, row.control), (status, asked));
        assert_eq!(site.store.crawl_control(crawl).unwrap(), asked);
        assert_eq!(site.store.crawl(crawl).unwrap(), row);
    }
    assert_eq!(commit(1), Pause, "what is under way may still be saved");
    let ending = ask(Cancel).unwrap();
    assert_eq!(
        (ending.status, ending.control),
        (CrawlStatus::Paused, Cancel)
    );
    assert_eq!(ask(Cancel).unwrap(), ending);
    assert_eq!(commit(2), Cancel);
    for too_late in [Pause, Run] {
        let error = ask(too_late).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Conflict);
        assert!(error.to_string().contains("being cancelled"), "{error}");
    }
    let row = site.store.cancel_crawl(crawl).unwrap();
    assert_eq!(row.status, CrawlStatus::Cancelled);
    assert_eq!((row.counts.added, row.counts.skipped), (3, 1));
}

#[test]
fn q2_a_cancelled_crawl_counts_what_was_queued_as_skipped() {
    let site = Site::new();
    let crawl = site.crawl(&["a"]);
    let row = site.queued(crawl).remove(0);
    let mut first = visit(&row, stored(page("T", &["one"])));
    // More than one write of the clean-up touches.
    first.discovered = (0..7_000).map(|n| page_url(&format!("d{n}"))).collect();
    let visits = vec![first];
    site.store
        .commit_batch(CrawlBatch {
            crawl,
            visits,
            follow_ups: Vec::new(),
        })
        .unwrap();
    let early = site.store.finish_crawl(crawl, CrawlStatus::Cancelled, None);
    let early = early.unwrap_err();
    assert_eq!(early.kind(), StoreErrorKind::Conflict);
    assert!(early.to_string().contains("7000 URLs queued"), "{early}");

    let row = site.store.cancel_crawl(crawl).unwrap();
    assert_eq!(row.status, CrawlStatus::Cancelled);
    assert!(row.finished_at.is_some());
    assert_eq!(
        (row.counts.found, row.counts.skipped, row.queued),
        (7_001, 7_000, 0)
    );
    assert_eq!(row.counts.ended(), row.counts.found);
    let reasons = site.store.crawl_reasons(crawl).unwrap();
    assert_eq!(reasons.len(), 1);
    assert_eq!(
        (reasons[0].reason.as_str(), reasons[0].count),
        (SkipReason::Cancelled.code(), 7_000)
    );
    assert_eq!(
        site.store.cancel_crawl(crawl).unwrap(),
        row,
        "once is enough"
    );
    assert_eq!(site.store.crawl(crawl).unwrap(), row);
    assert_eq!(site.page("a").version, 1, "what was saved stays");
}

#[test]
fn finished_and_unknown_crawls_cannot_be_controlled() {
    let site = Site::new();
    let crawl = site.crawl(&["a"]);
    let row = site.queued(crawl).remove(0);
    let visits = vec![visit(&row, VisitResult::Resource)];
    site.store
        .commit_batch(CrawlBatch {
            crawl,
            visits,
            follow_ups: Vec::new(),
        })
        .unwrap();
    site.store
        .finish_crawl(crawl, CrawlStatus::Completed, None)
        .unwrap();
    for control in [Run, Pause, Cancel] {
        let error = site
            .store
            .request_crawl_control(crawl, control)
            .unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Conflict);
        assert!(error.to_string().contains("already completed"), "{error}");
        let unknown = site.store.request_crawl_control(CrawlId(9), control);
        assert_eq!(unknown.unwrap_err().kind(), StoreErrorKind::NotFound);
    }
    let error = site.store.cancel_crawl(crawl).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    let unknown = site.store.cancel_crawl(CrawlId(9)).unwrap_err();
    assert_eq!(unknown.kind(), StoreErrorKind::NotFound);
    assert_eq!(site.store.crawl_control(crawl).unwrap(), Run);
}
