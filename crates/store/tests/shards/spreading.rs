//! What is asked of several databases at once.

use std::collections::BTreeSet;
use std::time::Duration;

use store::{
    Claim, Finish, Finished, KindLimit, NewSource, NewTask, NewWebhook, PageCursor, PageFilter,
    PageRow, PageSort, Quota, StoreErrorKind, TaskEnd, WebhookSecret,
};
use types::{PageId, Priority, SourceId, TenantId, Timestamp};

use crate::engine::Database;
use crate::support::{Site, clock, page, stored};

const TENANT: TenantId = TenantId::DEFAULT;

fn all() -> PageFilter {
    PageFilter {
        limit: 100_000,
        ..PageFilter::default()
    }
}

/// One site for each of `hosts`, with two pages each.
fn sites(store: &store::Store, clock: &std::sync::Arc<types::ManualClock>, hosts: usize) {
    for n in 0..hosts {
        let source = store
            .ensure_source(NewSource {
                tenant: TENANT,
                name: format!("source {n}"),
                seeds: vec![format!("https://host-{n}.example/")],
                policy: "{}".to_owned(),
            })
            .unwrap();
        let site = Site {
            store: store.clone(),
            source,
            clock: clock.clone(),
        };
        clock.advance(Duration::from_millis(7));
        let mut other = page(&format!("{} of {n}", ["b", "a", "c"][n % 3]), &["text"]);
        other.page.published_at = (n % 4 > 0).then_some(Timestamp(n as i64 * 10 % 70));
        let (first, second) = (format!("{n}/first"), format!("{n}/second"));
        site.visit(vec![
            (
                &first,
                stored(page(&format!("page {n}"), &["first", "second"])),
            ),
            (&second, stored(other)),
        ]);
    }
}

#[test]
fn lists_of_pages_are_merged_in_every_order() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock.clone());
    sites(&store, &clock, 12);
    let spread: Vec<usize> = store
        .shards()
        .iter()
        .map(|shard| shard.pages(&all()).unwrap().len())
        .collect();
    assert_eq!(spread.iter().sum::<usize>(), 24);
    assert!(spread.iter().all(|pages| *pages > 0), "{spread:?}");
    for sort in PageSort::ALL.iter().copied() {
        for descending in [false, true] {
            let filter = |limit| PageFilter {
                sort,
                descending,
                limit,
                ..all()
            };
            let whole = store.pages(&filter(100)).unwrap();
            let ids: BTreeSet<PageId> = whole.iter().map(|page| page.id).collect();
            assert_eq!((whole.len(), ids.len()), (24, 24));
            check_order(&whole, sort, descending);
            let mut pieces: Vec<PageRow> = Vec::new();
            loop {
                let mut next = filter(5);
                next.cursor = pieces
                    .last()
                    .map(|last| PageCursor::behind(last, sort, descending));
                let piece = store.pages(&next).unwrap();
                let ends = piece.len() < 5;
                pieces.extend(piece);
                if ends {
                    break;
                }
            }
            assert_eq!(pieces, whole, "{sort:?} {descending}");
        }
    }
}

fn check_order(pages: &[PageRow], sort: PageSort, descending: bool) {
    let key = |page: &PageRow| -> (bool, i64, String) {
        match sort {
            PageSort::Id => (false, page.id.0, String::new()),
            PageSort::FetchedAt => (false, page.fetched_at.0, String::new()),
            PageSort::ChangedAt => (false, page.changed_at.0, String::new()),
            PageSort::PublishedAt => (
                page.published_at.is_none(),
                page.published_at.map_or(0, |at| at.0),
                String::new(),
            ),
            PageSort::Title => (false, 0, page.title.clone()),
        }
    };
    for pair in pages.windows(2) {
        let (a, b) = (key(&pair[0]), key(&pair[1]));
        assert!(a.0 <= b.0, "pages without a date come last");
        let (a, b) = ((a.1, a.2), (b.1, b.2));
        let in_order = if descending { a >= b } else { a <= b };
        assert!(pair[1].published_at.is_none() && sort == PageSort::PublishedAt || in_order);
    }
}

#[test]
fn what_is_known_by_ids_comes_in_the_order_asked_wherever_it_lies() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock.clone());
    sites(&store, &clock, 8);
    let mut ids: Vec<PageId> = store
        .pages(&all())
        .unwrap()
        .iter()
        .map(|page| page.id)
        .collect();
    ids.sort_by_key(|id| id.0 % 5);
    let found: Vec<PageId> = store
        .pages_by_ids(&ids)
        .unwrap()
        .iter()
        .map(|p| p.id)
        .collect();
    assert_eq!(found, ids);
    let docs: Vec<PageId> = store
        .index_docs(&ids)
        .unwrap()
        .iter()
        .map(|d| d.page.id)
        .collect();
    assert_eq!(docs, ids);
    let chunks = store.page_chunk_ids(&ids).unwrap();
    assert_eq!(
        chunks.iter().map(|(page, _)| *page).collect::<Vec<_>>(),
        ids
    );
    let unknown = PageId((3 << 40) + 1);
    assert_eq!(store.page(unknown).unwrap(), None);
    let stats = store.stats().unwrap();
    let chunk_ids = store.live_chunk_ids().unwrap();
    assert_eq!(
        (stats.pages_live, stats.chunks),
        (16, chunk_ids.len() as u64)
    );
    assert_eq!(store.tenant_stats(TENANT).unwrap().pages_live, 16);
    assert_eq!(store.tenant_stats(TENANT).unwrap().sources, 8);
    let listed: Vec<SourceId> = store
        .sources(TENANT)
        .unwrap()
        .iter()
        .map(|s| s.id)
        .collect();
    let (first, rest) = (
        store.sources_page(TENANT, None, 3).unwrap(),
        store.sources_page(TENANT, Some(listed[2]), 100).unwrap(),
    );
    let paged: Vec<SourceId> = first.iter().chain(&rest).map(|s| s.id).collect();
    assert_eq!(paged, listed);
    let names = store.source_names(TENANT, &listed).unwrap();
    assert_eq!(names.len(), 8);
    // All chunks wait, and are given up one by one wherever they are.
    let pending = store.pending_chunks(100).unwrap();
    assert_eq!(
        pending.iter().map(|p| p.chunk).collect::<Vec<_>>(),
        chunk_ids
    );
    let failures = chunk_ids.iter().map(|id| (*id, "why".to_owned())).collect();
    assert_eq!(store.fail_chunks(failures).unwrap(), chunk_ids.len() as u64);
    assert_eq!(
        store.embedding_progress().unwrap().failed,
        chunk_ids.len() as u64
    );
}

#[test]
fn a_source_is_known_by_its_seeds_wherever_it_lies() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock);
    let source = |n: usize| NewSource {
        tenant: TENANT,
        name: format!("source {n}"),
        seeds: vec![format!("https://host-{n}.example/")],
        policy: "{}".to_owned(),
    };
    for n in 0..4 {
        for (place, shard) in store.shards().iter().enumerate() {
            // Where it would not go by itself, for one of the two.
            let id = shard.ensure_source(source(2 * n + place)).unwrap();
            assert_eq!(store.ensure_source(source(2 * n + place)).unwrap(), id);
            let refused = store.add_source(source(2 * n + place).into()).unwrap_err();
            assert_eq!(refused.kind(), StoreErrorKind::Conflict);
            let found = store
                .shard_for(TENANT, &source(2 * n + place).seeds)
                .unwrap();
            assert_eq!(found.shard_number(), shard.shard_number());
        }
    }
    assert_eq!(store.sources(TENANT).unwrap().len(), 8);
    let (a, b) = (
        store.ensure_source(source(0)).unwrap(),
        store.ensure_source(source(1)).unwrap(),
    );
    let edit = store::SourceEdit {
        seeds: Some(source(1).seeds),
        ..store::SourceEdit::default()
    };
    let refused = store.edit_source(a, edit).unwrap_err();
    assert!(refused.to_string().contains(&b.to_string()), "{refused}");
}

#[test]
fn a_tenant_has_no_more_sources_than_it_may_over_all_databases() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock);
    let tenant = store.create_tenant("acme").unwrap().id;
    let quota = Quota {
        sources_max: Some(5),
        ..Quota::default()
    };
    store.set_quota(tenant, quota).unwrap();
    let add = |n: usize| {
        store.ensure_source(NewSource {
            tenant,
            name: format!("source {n}"),
            seeds: vec![format!("https://host-{n}.example/")],
            policy: "{}".to_owned(),
        })
    };
    let added: Vec<_> = (0..12).map(add).collect();
    assert_eq!(added.iter().filter(|added| added.is_ok()).count(), 5);
    for refused in added.into_iter().filter_map(Result::err) {
        assert_eq!(refused.kind(), StoreErrorKind::QuotaExceeded);
    }
}

#[test]
fn tasks_of_all_databases_are_claimed_and_finished() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock);
    let task = NewTask {
        tenant: TENANT,
        kind: "notes".to_owned(),
        payload: "{}".to_owned(),
        priority: Priority::DEFAULT,
        run_at: None,
        attempts_max: 3,
        timeout: Duration::from_secs(60),
        dedupe: None,
        parent: None,
    };
    for shard in store.shards() {
        shard.enqueue_tasks(vec![task.clone(); 3]).unwrap();
    }
    assert_eq!(store.queue_status(None).unwrap()[0].queued, 6);
    let claim = |limit| Claim {
        owner: store.instance().to_owned(),
        kinds: vec![KindLimit {
            kind: "notes".to_owned(),
            running_max: 0,
        }],
        limit,
        lease_until: Timestamp(9_000_000),
        only: None,
    };
    let mut claimed = store.claim_tasks(&claim(4)).unwrap();
    assert_eq!(claimed.len(), 4);
    claimed.extend(store.claim_tasks(&claim(4)).unwrap());
    let ids: BTreeSet<_> = claimed.iter().map(|task| task.id).collect();
    assert_eq!(ids.len(), 6);
    assert!(!store.may_claim(&claim(1).kinds).unwrap());
    assert_eq!(store.running_owners().unwrap(), [store.instance()]);
    let listed: Vec<_> = store
        .tasks(TENANT, &store::TaskFilter::default())
        .unwrap()
        .iter()
        .map(|task| task.id)
        .collect();
    assert!(
        listed.iter().rev().eq(ids.iter()),
        "newest first: {listed:?}"
    );
    let finishes = claimed
        .iter()
        .map(|task| Finish {
            task: task.task_ref(),
            end: TaskEnd::Succeeded { result: None },
            follow_ups: Vec::new(),
        })
        .collect();
    let finished = store.finish_tasks(finishes).unwrap();
    assert_eq!(finished.len(), 6);
    assert!(
        finished
            .iter()
            .all(|one| matches!(one, Finished::Now { .. }))
    );
    assert_eq!(store.queue_status(None).unwrap()[0].succeeded, 6);
}

#[test]
fn a_webhook_hears_of_the_pages_of_every_database() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock.clone());
    let webhook = NewWebhook {
        tenant: TENANT,
        url: "https://hooks.example/".to_owned(),
        description: String::new(),
        events: [store::EventType::PageAdded].into_iter().collect(),
        secret: WebhookSecret([0; 32]),
    };
    let webhook = store.add_webhook(webhook).unwrap().id;
    sites(&store, &clock, 6);
    let mut events = 0;
    for shard in store.shards() {
        while let Some(delivery) = shard.next_delivery(webhook).unwrap() {
            events += delivery.events.len();
            let attempt = store::DeliveryAttempt {
                delivery: delivery.id,
                number: 1,
                status: Some(200),
                duration: Duration::ZERO,
                error: None,
                response: None,
                verdict: store::DeliveryVerdict::Delivered,
            };
            store.record_delivery(attempt).unwrap();
        }
    }
    assert_eq!(events, 12);
    let row = store.webhook(TENANT, webhook).unwrap();
    assert_eq!((row.pending, row.delivered), (0, 6));
    store.remove_webhook(TENANT, webhook).unwrap();
    assert_eq!(database.number("SELECT count(*) FROM webhooks"), 0);
}
