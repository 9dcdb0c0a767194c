//! Events, and the messages that webhooks get of them.

use std::time::Duration;

use proptest::prelude::*;
use store::{
    CrawlStatus, DeliveryAttempt, DeliveryFilter, DeliveryState, DeliveryVerdict, EventType,
    EventTypes, NewWebhook, OutgoingDelivery, SEND_EVENTS, SourceOutcome, Store, StoreErrorKind,
    TaskFilter, WebhookEdit, WebhookRow, WebhookSecret,
};
use types::{FailReason, Record, RecordKind, SourceId, TenantId, Timestamp, WebhookId};

use crate::support::{Site, clock, failed, page, page_url, stored};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn all() -> EventTypes {
    EventType::ALL.iter().copied().collect()
}

fn add(store: &Store, tenant: TenantId, events: &[EventType]) -> WebhookId {
    let webhook = NewWebhook {
        tenant,
        url: "https://hooks.example/".to_owned(),
        description: String::new(),
        events: events.iter().copied().collect(),
        secret: WebhookSecret([7; 32]),
    };
    store.add_webhook(webhook).unwrap().id
}

fn row(store: &Store, id: WebhookId) -> WebhookRow {
    store.webhook(TenantId::DEFAULT, id).unwrap()
}

fn next(store: &Store, id: WebhookId) -> Option<OutgoingDelivery> {
    store.next_delivery(id).unwrap()
}

fn end(store: &Store, sent: &OutgoingDelivery, verdict: DeliveryVerdict) -> Option<DeliveryState> {
    let attempt = DeliveryAttempt {
        delivery: sent.id,
        number: sent.attempt,
        status: Some(200),
        duration: Duration::from_millis(5),
        error: None,
        response: Some("x".repeat(5_000)),
        verdict,
    };
    store.record_delivery(attempt).unwrap()
}

/// Sends everything that is due; types and sources of the events, in order.
fn drain(store: &Store, id: WebhookId) -> Vec<(EventType, Option<SourceId>)> {
    let mut events = Vec::new();
    while let Some(sent) = next(store, id) {
        assert!((1..=100).contains(&sent.events.len()));
        events.extend(sent.events.iter().map(|event| (event.kind, event.source)));
        let ended = end(store, &sent, DeliveryVerdict::Delivered);
        assert_eq!(ended, Some(DeliveryState::Delivered));
    }
    events
}

fn kinds(events: &[(EventType, Option<SourceId>)]) -> Vec<EventType> {
    events.iter().map(|(kind, _)| *kind).collect()
}

fn send_tasks(store: &Store) -> usize {
    let filter = TaskFilter {
        kind: Some(SEND_EVENTS.to_owned()),
        ..TaskFilter::default()
    };
    store.tasks(TenantId::DEFAULT, &filter).unwrap().len()
}

#[test]
fn nothing_is_written_that_nobody_wants() {
    let site = Site::new();
    site.visit(vec![("a", stored(page("A", &["one"])))]);
    assert_eq!(send_tasks(&site.store), 0);
    // Wanted from now on, and by type.
    let id = add(&site.store, TenantId::DEFAULT, &[EventType::PageUpdated]);
    site.visit(vec![("b", stored(page("B", &["two"])))]);
    assert_eq!(
        (drain(&site.store, id), send_tasks(&site.store)),
        (vec![], 0)
    );
    site.visit(vec![("a", stored(page("A", &["another"])))]);
    assert_eq!(send_tasks(&site.store), 1);
    assert_eq!(kinds(&drain(&site.store, id)), [EventType::PageUpdated]);
    // Of one that is off nothing is written.
    let off = WebhookEdit {
        active: Some(false),
        ..WebhookEdit::default()
    };
    site.store.edit_webhook(TenantId::DEFAULT, id, off).unwrap();
    let on = add(&site.store, TenantId::DEFAULT, &[EventType::TaskFailed]);
    site.visit(vec![("a", stored(page("A", &["a third"])))]);
    assert!(next(&site.store, id).is_none() && next(&site.store, on).is_none());
}

/// A page that says the same of another price is told of as well.
#[test]
fn another_record_of_the_same_content_is_told() {
    let site = Site::new();
    let id = add(&site.store, TenantId::DEFAULT, &[EventType::PageUpdated]);
    let visit = |text: &str, price: Option<f64>| {
        let mut visit = page("A", &[text]);
        visit.page.record = price.map(|price| {
            Box::new(Record {
                price: Some(price),
                ..Record::new(RecordKind::Product)
            })
        });
        site.visit(vec![("a", stored(visit))]);
        let Some(sent) = next(&site.store, id) else {
            return String::new();
        };
        end(&site.store, &sent, DeliveryVerdict::Delivered);
        let [event] = &sent.events[..] else {
            panic!("{:?}", sent.events)
        };
        let data: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
        data["changed"].to_string()
    };
    assert_eq!(visit("one", Some(10.0)), "");
    assert_eq!(visit("one", Some(10.0)), "");
    assert_eq!(visit("one", Some(9.0)), r#"["record"]"#);
    assert_eq!(visit("one", None), r#"["record"]"#);
    assert_eq!(visit("two", None), r#"["content"]"#);
    assert_eq!(visit("three", Some(9.0)), r#"["content","record"]"#);
}

#[test]
fn all_that_happens_is_told_in_order() {
    let site = Site::new();
    let id = add(&site.store, TenantId::DEFAULT, EventType::ALL);
    site.visit(vec![("a", stored(page("A", &["one"])))]);
    site.visit(vec![("a", stored(page("A", &["two"])))]);
    site.visit(vec![("a", failed(FailReason::NotFound))]);
    let crawl = site.crawl(&[]);
    site.store
        .finish_crawl(crawl, CrawlStatus::Completed, None)
        .unwrap();
    let sent = next(&site.store, id).unwrap();
    let told: Vec<EventType> = sent.events.iter().map(|event| event.kind).collect();
    use EventType::{CrawlFinished, CrawlStarted, PageAdded, PageRemoved, PageUpdated};
    assert_eq!(
        told,
        [
            CrawlStarted,
            PageAdded,
            CrawlStarted,
            PageUpdated,
            CrawlStarted,
            PageRemoved,
            CrawlStarted,
            CrawlFinished
        ]
    );
    assert!(
        sent.events
            .iter()
            .all(|event| event.source == Some(site.source))
    );
    let added: serde_json::Value = serde_json::from_str(&sent.events[1].payload).unwrap();
    assert_eq!(added["url"], page_url("a").url.as_str());
    assert_eq!(
        (&added["version"], &added["title"]),
        (&1.into(), &"A".into())
    );
    let finished: serde_json::Value = serde_json::from_str(&sent.events[7].payload).unwrap();
    assert_eq!(
        (&finished["status"], &finished["crawl_id"]),
        (&"completed".into(), &crawl.0.into())
    );
    // Told once: the end of a crawl that has ended is none.
    end(&site.store, &sent, DeliveryVerdict::Delivered);
    site.store
        .finish_crawl(crawl, CrawlStatus::Completed, None)
        .unwrap();
    assert!(next(&site.store, id).is_none());
    let flagged = || SourceOutcome::Failed {
        why: "down".to_owned(),
        flag: true,
    };
    for _ in 0..2 {
        site.store
            .record_source_outcome(site.source, flagged(), None)
            .unwrap();
    }
    assert_eq!(kinds(&drain(&site.store, id)), [EventType::SourceTroubled]);
    site.store.remove_source(site.source, false).unwrap_err();
    // The other three crawls have not ended.
    while let Some(open) = site.store.unfinished_crawl(site.source).unwrap() {
        site.store.cancel_crawl(open.id).unwrap();
    }
    site.visit(vec![("b", stored(page("B", &["three"])))]);
    while let Some(open) = site.store.unfinished_crawl(site.source).unwrap() {
        site.store.cancel_crawl(open.id).unwrap();
    }
    drain(&site.store, id);
    site.store.remove_source(site.source, false).unwrap();
    assert_eq!(kinds(&drain(&site.store, id)), [EventType::PageRemoved]);
}

#[test]
fn a_batch_that_fails_tells_nothing() {
    let site = Site::new();
    let id = add(&site.store, TenantId::DEFAULT, &[EventType::PageAdded]);
    let crawl = site.crawl(&["a"]);
    let queued = site.queued(crawl).remove(0);
    let refused = store::CrawlBatch {
        crawl,
        visits: vec![crate::support::visit(&queued, stored(page("A", &["one"])))],
        follow_ups: vec![store::NewTask {
            kind: String::new(),
            ..store::send_task(Timestamp(0))
        }],
    };
    site.store.commit_batch(refused).unwrap_err();
    assert!(next(&site.store, id).is_none());
    // And a batch that comes twice, after a crash, tells it once.
    for _ in 0..2 {
        let batch = store::CrawlBatch {
            crawl,
            visits: vec![crate::support::visit(&queued, stored(page("A", &["one"])))],
            follow_ups: Vec::new(),
        };
        site.store.commit_batch(batch).unwrap();
    }
    assert_eq!(drain(&site.store, id).len(), 1);
}

/// Two sources of one tenant.
fn two_sites() -> (Site, Site) {
    let one = Site::new();
    let source = store::NewSource {
        tenant: TenantId::DEFAULT,
        name: "other".to_owned(),
        seeds: vec!["https://other.example/".to_owned()],
        policy: "{}".to_owned(),
    };
    let other = Site {
        store: one.store.clone(),
        source: one.store.ensure_source(source).unwrap(),
        clock: one.clock.clone(),
    };
    (one, other)
}

#[test]
fn one_that_is_refused_holds_up_its_own_source_alone() {
    let (one, other) = two_sites();
    let id = add(&one.store, TenantId::DEFAULT, &[EventType::CrawlStarted]);
    one.crawl(&[]);
    let refused = next(&one.store, id).unwrap();
    let later = one.clock_now().plus(DAY);
    let retry = DeliveryVerdict::Retry {
        at: later,
        hold_until: None,
    };
    assert_eq!(
        end(&one.store, &refused, retry),
        Some(DeliveryState::Pending)
    );
    one.crawl(&[]);
    other.crawl(&[]);
    assert_eq!(
        drain(&one.store, id),
        [(EventType::CrawlStarted, Some(other.source))]
    );
    assert_eq!(one.store.next_delivery_at().unwrap(), Some(later));
    assert_eq!(row(&one.store, id).pending, 2);
    // Its time has come: the same message first, then the one behind it.
    one.clock.set(later);
    let again = next(&one.store, id).unwrap();
    assert_eq!((again.id, again.attempt), (refused.id, 2));
    assert_eq!(again.events, refused.events);
    assert_eq!(drain(&one.store, id).len(), 2);
    assert_eq!(row(&one.store, id).pending, 0);
}

#[test]
fn an_endpoint_that_asks_for_time_gets_it_for_all() {
    let (one, other) = two_sites();
    let id = add(&one.store, TenantId::DEFAULT, &[EventType::CrawlStarted]);
    one.crawl(&[]);
    let until = one.clock_now().plus(Duration::from_secs(60));
    let busy = DeliveryVerdict::Retry {
        at: until,
        hold_until: Some(until),
    };
    end(&one.store, &next(&one.store, id).unwrap(), busy);
    other.crawl(&[]);
    assert!(next(&one.store, id).is_none());
    assert_eq!(one.store.webhooks_at_work().unwrap(), []);
    one.clock.set(until);
    assert_eq!(one.store.webhooks_at_work().unwrap().len(), 1);
    assert_eq!(drain(&one.store, id).len(), 2);
}

#[test]
fn an_attempt_counts_once_and_only_while_it_is_the_last() {
    let site = Site::new();
    let id = add(&site.store, TenantId::DEFAULT, &[EventType::CrawlStarted]);
    site.crawl(&[]);
    let sent = next(&site.store, id).unwrap();
    // Whoever was to note it died: it is due still, under the same id.
    let again = next(&site.store, id).unwrap();
    assert_eq!((again.id, again.attempt), (sent.id, sent.attempt));
    assert!(end(&site.store, &sent, DeliveryVerdict::Delivered).is_some());
    assert_eq!(end(&site.store, &again, DeliveryVerdict::Dead), None);
    let now = row(&site.store, id);
    assert_eq!((now.pending, now.delivered, now.dead), (0, 1, 0));
    let filter = DeliveryFilter {
        state: None,
        before: None,
        limit: 10,
    };
    let shown = site
        .store
        .deliveries(TenantId::DEFAULT, id, filter)
        .unwrap()
        .remove(0);
    assert_eq!(shown.response.map(|text| text.len()), Some(1024));
}

#[test]
fn dead_letters_are_sent_again_while_their_events_are_kept() {
    let site = Site::new();
    let id = add(&site.store, TenantId::DEFAULT, &[EventType::CrawlStarted]);
    let tenant = TenantId::DEFAULT;
    for _ in 0..3 {
        site.crawl(&[]);
        end(
            &site.store,
            &next(&site.store, id).unwrap(),
            DeliveryVerdict::Dead,
        );
    }
    assert_eq!(row(&site.store, id).dead, 3);
    assert_eq!(site.store.retry_dead_deliveries(tenant, id).unwrap(), 3);
    site.clock
        .set(site.clock_now().plus(Duration::from_millis(5)));
    assert_eq!(drain(&site.store, id).len(), 3);
    site.crawl(&[]);
    let sent = next(&site.store, id).unwrap();
    end(&site.store, &sent, DeliveryVerdict::Dead);
    site.clock.set(site.clock_now().plus(6 * DAY));
    site.store.housekeep_outbox(7 * DAY).unwrap();
    assert!(site.store.retry_delivery(tenant, id, sent.id).is_ok());
    end(
        &site.store,
        &next(&site.store, id).unwrap(),
        DeliveryVerdict::Dead,
    );
    site.clock.set(site.clock_now().plus(2 * DAY));
    let report = site.store.housekeep_outbox(7 * DAY).unwrap();
    assert_eq!((report.events, report.more), (4, false));
    let gone = site.store.retry_delivery(tenant, id, sent.id).unwrap_err();
    assert_eq!(gone.kind(), StoreErrorKind::Conflict);
    assert_eq!(site.store.retry_dead_deliveries(tenant, id).unwrap(), 0);
    // The letter itself goes a week after it died.
    site.clock.set(site.clock_now().plus(7 * DAY));
    site.store.housekeep_outbox(7 * DAY).unwrap();
    let now = row(&site.store, id);
    assert_eq!((now.pending, now.delivered, now.dead), (0, 0, 0));
}

#[test]
fn days_of_dead_letters_flag_a_webhook_and_a_success_lifts_it() {
    let site = Site::new();
    let id = add(&site.store, TenantId::DEFAULT, &[EventType::CrawlStarted]);
    for day in 0..4 {
        assert_eq!(row(&site.store, id).trouble, None, "day {day}");
        site.crawl(&[]);
        end(
            &site.store,
            &next(&site.store, id).unwrap(),
            DeliveryVerdict::Dead,
        );
        site.clock.set(site.clock_now().plus(DAY));
    }
    let flagged = row(&site.store, id);
    assert!(flagged.trouble.is_some());
    assert_eq!(flagged.failures_in_a_row, 4);
    site.crawl(&[]);
    drain(&site.store, id);
    let well = row(&site.store, id);
    assert_eq!((well.trouble, well.failures_in_a_row), (None, 0));
}

#[test]
fn what_waited_when_it_was_switched_off_is_sent_later() {
    let site = Site::new();
    let tenant = TenantId::DEFAULT;
    let id = add(&site.store, tenant, &[EventType::CrawlStarted]);
    let other = add(&site.store, tenant, &[EventType::CrawlStarted]);
    let edit = |active| WebhookEdit {
        active: Some(active),
        ..WebhookEdit::default()
    };
    site.crawl(&[]);
    site.store.edit_webhook(tenant, id, edit(false)).unwrap();
    site.crawl(&[]);
    assert!(next(&site.store, id).is_none());
    assert_eq!(drain(&site.store, other).len(), 2);
    site.store.edit_webhook(tenant, id, edit(true)).unwrap();
    assert_eq!(drain(&site.store, id).len(), 1);
    site.crawl(&[]);
    assert_eq!(drain(&site.store, id).len(), 1);
}

#[test]
fn t1_webhooks_and_their_events_stay_with_their_tenant() {
    let ours = Site::new();
    let theirs = ours.store.create_tenant("theirs").unwrap().id;
    let other = Site::of_tenant(ours.store.clone(), ours.clock.clone(), theirs);
    let mine = add(&ours.store, TenantId::DEFAULT, EventType::ALL);
    let yours = add(&ours.store, theirs, EventType::ALL);
    ours.visit(vec![("a", stored(page("A", &["one"])))]);
    assert!(next(&ours.store, yours).is_none());
    other.crawl(&[]);
    assert_eq!(
        drain(&ours.store, yours),
        [(EventType::CrawlStarted, Some(other.source))]
    );
    let told = drain(&ours.store, mine);
    assert!(
        told.iter().all(|(_, source)| *source == Some(ours.source)),
        "{told:?}"
    );
    let store = &ours.store;
    let edit = WebhookEdit::default();
    let filter = DeliveryFilter {
        state: None,
        before: None,
        limit: 10,
    };
    let delivery = store.deliveries(TenantId::DEFAULT, mine, filter).unwrap()[0].id;
    let secret = WebhookSecret([1; 32]);
    let refusals = [
        store.webhook(theirs, mine).unwrap_err(),
        store.edit_webhook(theirs, mine, edit).unwrap_err(),
        store.remove_webhook(theirs, mine).unwrap_err(),
        store
            .rotate_webhook_secret(theirs, mine, secret, Timestamp(0))
            .unwrap_err(),
        store.webhook_endpoint(theirs, mine).unwrap_err(),
        store.deliveries(theirs, mine, filter).unwrap_err(),
        store.delivery(theirs, mine, delivery).unwrap_err(),
        store.delivery(theirs, yours, delivery).unwrap_err(),
        store.retry_delivery(theirs, mine, delivery).unwrap_err(),
        store.retry_dead_deliveries(theirs, mine).unwrap_err(),
        store.hurry_deliveries(theirs, mine).unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.kind(), StoreErrorKind::NotFound, "{refusal}");
    }
    assert_eq!(store.webhooks(theirs).unwrap().len(), 1);
    // Nothing is sent for a tenant that is shut out.
    other.crawl(&[]);
    store.set_tenant_active(theirs, false).unwrap();
    assert_eq!(store.webhooks_at_work().unwrap(), []);
}

#[test]
fn secrets_hide_and_the_old_one_signs_for_its_time() {
    let site = Site::new();
    let tenant = TenantId::DEFAULT;
    let id = add(&site.store, tenant, &[EventType::CrawlStarted]);
    let until = site.clock_now().plus(DAY);
    let new = WebhookSecret([9; 32]);
    let rotated = site
        .store
        .rotate_webhook_secret(tenant, id, new.clone(), until)
        .unwrap();
    assert_eq!(rotated.old_secret_until, Some(until));
    let endpoint = site.store.webhook_endpoint(tenant, id).unwrap();
    assert_eq!(endpoint.secrets, [new.clone(), WebhookSecret([7; 32])]);
    let shown = format!("{endpoint:?}");
    assert!(!shown.contains('7') && !shown.contains("9,"), "{shown}");
    site.clock.set(until);
    assert_eq!(
        site.store.webhook_endpoint(tenant, id).unwrap().secrets,
        [new]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::engine::cases(24), failure_persistence: None, ..ProptestConfig::default() })]

    /// However much happens, and however sending goes, each event arrives
    /// at least once, and those of a source in the order they happened.
    #[test]
    fn every_event_arrives_and_those_of_a_source_in_order(
        crawls in prop::collection::vec(0..2usize, 1..250),
        outcomes in prop::collection::vec(0..4u8, 1..40),
    ) {
        let (one, other) = two_sites();
        let store = &one.store;
        let id = add(store, TenantId::DEFAULT, &[EventType::CrawlStarted]);
        let mut outcomes = outcomes.into_iter();
        let mut arrived: Vec<(i64, SourceId)> = Vec::new();
        let mut send = |outcome: Option<u8>| -> bool {
            let Some(sent) = store.next_delivery(id).unwrap() else {
                return false;
            };
            let at = one.clock_now().plus(Duration::from_secs(1));
            let verdict = match outcome {
                // It died before it noted anything, after the message arrived or not.
                Some(0) => return true,
                Some(1) => DeliveryVerdict::Retry { at, hold_until: None },
                Some(2) => DeliveryVerdict::Retry { at, hold_until: Some(at) },
                _ => DeliveryVerdict::Delivered,
            };
            if verdict == DeliveryVerdict::Delivered {
                arrived.extend(sent.events.iter().map(|e| (e.id, e.source.unwrap())));
            }
            end(store, &sent, verdict);
            true
        };
        for (n, site) in crawls.iter().enumerate() {
            [&one, &other][*site].crawl(&[]);
            if n % 16 == 0 {
                send(outcomes.next());
            }
        }
        for outcome in outcomes {
            send(Some(outcome));
            one.clock.set(one.clock_now().plus(Duration::from_millis(400)));
        }
        loop {
            while send(None) {}
            match store.next_delivery_at().unwrap() {
                Some(at) => one.clock.set(at.max(one.clock_now())),
                None => break,
            }
        }
        prop_assert_eq!(arrived.len(), crawls.len());
        for source in [one.source, other.source] {
            let of_source: Vec<i64> =
                arrived.iter().filter(|(_, from)| *from == source).map(|(id, _)| *id).collect();
            prop_assert!(of_source.is_sorted(), "{:?}", of_source);
        }
        let row = row(store, id);
        prop_assert_eq!((row.pending, row.dead), (0, 0));
    }
}

#[test]
fn a_webhook_has_bounds() {
    let store = crate::engine::store(clock());
    let new = || NewWebhook {
        tenant: TenantId::DEFAULT,
        url: "https://hooks.example/".to_owned(),
        description: String::new(),
        events: all(),
        secret: WebhookSecret([7; 32]),
    };
    let refused = |webhook: NewWebhook| {
        let error = store.add_webhook(webhook).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Conflict, "{error}");
    };
    refused(NewWebhook {
        url: String::new(),
        ..new()
    });
    refused(NewWebhook {
        url: "x".repeat(2049),
        ..new()
    });
    refused(NewWebhook {
        description: "x".repeat(201),
        ..new()
    });
    refused(NewWebhook {
        events: EventTypes::default(),
        ..new()
    });
    for _ in 0..store::WEBHOOKS_MAX {
        store.add_webhook(new()).unwrap();
    }
    refused(new());
}
