//! Accounts of language models, and the tokens of a day.

use std::collections::BTreeMap;
use std::time::Duration;

use store::{
    Day, EventType, LlmBudget, LlmReservationId, LlmReserve, LlmUse, LlmUseRow, NewWebhook, Quota,
    Store, StoreErrorKind, UsageMetric, WebhookSecret,
};
use types::{Clock, ManualClock, TenantId, Timestamp};

use crate::support::clock;

const TENANT: TenantId = TenantId::DEFAULT;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A call that succeeded, with so many requests and tokens in and out.
pub(crate) fn used(requests: u64, [tokens_in, tokens_out]: [u64; 2]) -> LlmUse {
    LlmUse {
        model: "model".to_owned(),
        purpose: "summary".to_owned(),
        requests,
        succeeded: 1,
        failed: 0,
        tokens_in,
        tokens_out,
        took_ms: 5,
    }
}

fn limit(store: &Store, tokens_per_day: Option<u64>) {
    let quota = Quota {
        tokens_per_day,
        ..Quota::default()
    };
    store.set_quota(TENANT, quota).unwrap();
}

fn granted(store: &Store, tokens: u64) -> LlmReservationId {
    match store.reserve_llm(TENANT, tokens, MINUTE).unwrap() {
        LlmReserve::Granted(id) => id,
        LlmReserve::Refused { used, max } => panic!("{used} of {max} are used"),
    }
}

fn refused(store: &Store, tokens: u64) -> (u64, u64) {
    match store.reserve_llm(TENANT, tokens, MINUTE).unwrap() {
        LlmReserve::Refused { used, max } => (used, max),
        LlmReserve::Granted(id) => panic!("{tokens} were granted as {id}"),
    }
}

fn budget(store: &Store) -> (u64, u64) {
    let LlmBudget { used, reserved, .. } = store.llm_budget(TENANT).unwrap();
    (used, reserved)
}

fn today(clock: &ManualClock) -> Day {
    Day::of(clock.now())
}

/// On the middle of a day.
fn noon() -> std::sync::Arc<ManualClock> {
    let clock = clock();
    let begun = clock.now().since(Day::of(clock.now()).start());
    clock.advance(DAY + DAY / 2 - begun);
    clock
}

#[test]
fn use_is_kept_by_day_model_and_purpose_and_adds_up() {
    let clock = noon();
    let store = crate::engine::store(clock.clone());
    let first = today(&clock);
    let settle = |use_: LlmUse| store.settle_llm(granted(&store, 10), use_).unwrap();
    settle(used(3, [100, 10]));
    settle(used(1, [5, 7]));
    let failed = LlmUse {
        succeeded: 0,
        failed: 1,
        purpose: "answer".to_owned(),
        ..used(4, [0, 0])
    };
    settle(failed);
    // Never sent: nothing was used.
    let stopped = LlmUse {
        succeeded: 0,
        took_ms: 0,
        ..used(0, [0, 0])
    };
    settle(stopped);
    store
        .note_llm_fallback(TENANT, "model", "summary", 2)
        .unwrap();
    clock.advance(DAY);
    settle(used(1, [1, 2]));
    let second = today(&clock);
    let row = |day, purpose: &str, calls: [u64; 5], tokens: [u64; 2], took_ms| LlmUseRow {
        tenant: TENANT,
        day,
        model: "model".to_owned(),
        purpose: purpose.to_owned(),
        requests: calls[0],
        succeeded: calls[1],
        failed: calls[2],
        fallback: calls[3],
        retries: calls[4],
        tokens_in: tokens[0],
        tokens_out: tokens[1],
        took_ms,
    };
    let expected = [
        row(first, "answer", [4, 0, 1, 0, 3], [0, 0], 5),
        row(first, "summary", [4, 2, 0, 2, 2], [105, 17], 10),
        row(second, "summary", [1, 1, 0, 0, 0], [1, 2], 5),
    ];
    let read = |tenant| store.llm_use(tenant, first, second).unwrap();
    assert_eq!(read(Some(TENANT)), expected);
    assert_eq!(store.llm_use(None, second, second).unwrap(), expected[2..]);
    // T1, and the sums of all are those of each.
    let other = store.create_tenant("other").unwrap().id;
    assert_eq!(read(Some(other)), []);
    store
        .note_llm_fallback(other, "extractive", "summary", 1)
        .unwrap();
    assert_eq!(read(None).len(), 4);
    let usage = store.usage(TENANT, first, second).unwrap();
    let mut sums: BTreeMap<UsageMetric, u64> = BTreeMap::new();
    for row in &usage {
        *sums.entry(row.metric).or_default() += row.amount;
    }
    let tokens = [(UsageMetric::TokensIn, 106), (UsageMetric::TokensOut, 19)];
    assert_eq!(sums, BTreeMap::from(tokens));
}

#[test]
fn what_cannot_be_counted_is_refused() {
    let store = crate::engine::store(noon());
    let kind = |error: store::StoreError| error.kind();
    let nobody = TenantId(99);
    assert_eq!(
        store.reserve_llm(nobody, 1, MINUTE).map_err(kind),
        Err(StoreErrorKind::NotFound)
    );
    assert_eq!(
        store.note_llm_fallback(nobody, "m", "p", 1).map_err(kind),
        Err(StoreErrorKind::NotFound)
    );
    let unknown = store.settle_llm(LlmReservationId(99), used(1, [1, 1]));
    assert_eq!(unknown.map_err(kind), Err(StoreErrorKind::NotFound));
    // It stays open, and can be settled rightly.
    let id = granted(&store, 5);
    for (model, purpose) in [
        ("", "p"),
        ("m", ""),
        ("m", &*"p".repeat(33)),
        (&*"m".repeat(201), "p"),
    ] {
        let use_ = LlmUse {
            model: model.to_owned(),
            purpose: purpose.to_owned(),
            ..used(1, [1, 1])
        };
        let refused = store.settle_llm(id, use_).map_err(kind);
        assert_eq!(refused, Err(StoreErrorKind::Conflict));
    }
    assert_eq!(budget(&store), (0, 5));
    store.settle_llm(id, used(1, [1, 1])).unwrap();
    assert_eq!(budget(&store), (2, 0));
    let read = |tenant, days: i64| store.llm_use(tenant, Day(0), Day(days)).map_err(kind);
    assert!(read(Some(TENANT), 366).is_ok());
    assert_eq!(read(Some(TENANT), 367), Err(StoreErrorKind::Conflict));
    assert!(read(None, 31).is_ok());
    assert_eq!(read(None, 32), Err(StoreErrorKind::Conflict));
    // Sums stay at the highest number.
    for _ in 0..2 {
        let id = granted(&store, u64::MAX);
        store.settle_llm(id, used(u64::MAX, [u64::MAX, 0])).unwrap();
    }
    let row = store
        .llm_use(Some(TENANT), Day(0), Day(99))
        .unwrap()
        .remove(0);
    assert_eq!(
        (row.requests, row.tokens_in),
        (i64::MAX as u64, i64::MAX as u64)
    );
}

#[test]
fn a_budget_is_held_to_by_what_is_used_and_what_is_under_way() {
    let store = crate::engine::store(noon());
    limit(&store, Some(100));
    let first = granted(&store, 60);
    assert_eq!(refused(&store, 41), (60, 100));
    let second = granted(&store, 40);
    assert_eq!(refused(&store, 1), (100, 100));
    // It used less than it asked for.
    store.settle_llm(first, used(1, [20, 10])).unwrap();
    assert_eq!(budget(&store), (30, 40));
    assert_eq!(refused(&store, 31), (70, 100));
    // And more: what was used was used.
    store.settle_llm(second, used(1, [50, 30])).unwrap();
    assert_eq!(budget(&store), (110, 0));
    assert_eq!(refused(&store, 1), (110, 100));
    limit(&store, Some(0));
    assert_eq!(refused(&store, 0), (110, 0));
    limit(&store, None);
    granted(&store, 1_000_000);
    // Another tenant has tokens of its own.
    limit(&store, Some(1));
    let other = store.create_tenant("other").unwrap().id;
    let theirs = store.reserve_llm(other, 1_000, MINUTE).unwrap();
    assert!(matches!(theirs, LlmReserve::Granted(_)));
}

#[test]
fn a_reservation_is_settled_once_also_when_its_time_has_passed() {
    let clock = noon();
    let store = crate::engine::store(clock.clone());
    limit(&store, Some(100));
    let id = granted(&store, 100);
    clock.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(refused(&store, 1), (100, 100));
    clock.advance(Duration::from_millis(1));
    // Its process may have died: others go on.
    let next = granted(&store, 60);
    assert_ne!(next, id);
    for _ in 0..3 {
        store.settle_llm(id, used(1, [10, 5])).unwrap();
        assert_eq!(store.housekeep_llm().unwrap(), 0);
    }
    assert_eq!(budget(&store), (15, 60));
    clock.advance(DAY);
    store.settle_llm(id, used(1, [10, 5])).unwrap();
    assert_eq!(budget(&store), (0, 0), "yesterday's");
    clock.advance(MINUTE + Duration::from_millis(1));
    assert_eq!(store.housekeep_llm().unwrap(), 2);
    assert_eq!(store.housekeep_llm().unwrap(), 0);
    let gone = store.settle_llm(next, used(1, [1, 1])).unwrap_err();
    assert_eq!(gone.kind(), StoreErrorKind::NotFound);
    // Ids are never given again.
    assert!(granted(&store, 1) > next);
}

#[test]
fn tokens_belong_to_the_day_on_which_they_are_settled() {
    let clock = noon();
    let store = crate::engine::store(clock.clone());
    limit(&store, Some(100));
    store
        .settle_llm(granted(&store, 90), used(1, [80, 0]))
        .unwrap();
    clock.advance(DAY / 2 - MINUTE / 2);
    let over_midnight = granted(&store, 20);
    assert_eq!(refused(&store, 1), (100, 100));
    clock.advance(MINUTE / 2);
    // A new day, on which a call is still under way.
    assert_eq!(budget(&store), (0, 20));
    assert_eq!(refused(&store, 81), (20, 100));
    store.settle_llm(over_midnight, used(1, [15, 0])).unwrap();
    assert_eq!(budget(&store), (15, 0));
    let yesterday = Day(today(&clock).0 - 1);
    let of = |day| store.llm_use(Some(TENANT), day, day).unwrap()[0].tokens_in;
    assert_eq!((of(yesterday), of(today(&clock))), (80, 15));
}

#[test]
fn those_who_ask_at_once_never_get_more_than_there_is() {
    let store = crate::engine::store(noon());
    limit(&store, Some(1_000));
    let sums: Vec<u64> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4u64)
            .map(|caller| {
                let store = store.clone();
                scope.spawn(move || {
                    let mut sum = 0;
                    for call in 0..25 {
                        let asked = 20 + (call + caller) % 7;
                        let LlmBudget { used, reserved, .. } = store.llm_budget(TENANT).unwrap();
                        assert!(used + reserved <= 1_000, "{used} and {reserved}");
                        let LlmReserve::Granted(id) =
                            store.reserve_llm(TENANT, asked, MINUTE).unwrap()
                        else {
                            continue;
                        };
                        store.settle_llm(id, used_up(asked)).unwrap();
                        sum += asked;
                    }
                    sum
                })
            })
            .collect();
        callers.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let sum: u64 = sums.iter().sum();
    // Somebody was refused, who asked for 26 at most.
    assert!((975..=1_000).contains(&sum), "{sum}");
    assert_eq!(budget(&store), (sum, 0));
}

/// All of what was asked for, in and out.
fn used_up(tokens: u64) -> LlmUse {
    used(1, [tokens / 2, tokens - tokens / 2])
}

/// What the tenant is told of, as type and payload.
fn told(store: &Store, webhook: types::WebhookId) -> Vec<(EventType, String)> {
    let mut events = Vec::new();
    while let Some(sent) = store.next_delivery(webhook).unwrap() {
        let new = sent
            .events
            .iter()
            .inspect(|event| assert_eq!(event.source, None));
        events.extend(new.map(|event| (event.kind, event.payload.clone())));
        let attempt = store::DeliveryAttempt {
            delivery: sent.id,
            number: sent.attempt,
            status: Some(200),
            duration: Duration::ZERO,
            error: None,
            response: None,
            verdict: store::DeliveryVerdict::Delivered,
        };
        store.record_delivery(attempt).unwrap();
    }
    events
}

#[test]
fn a_tenant_is_told_once_a_day_that_its_tokens_run_out() {
    use EventType::{BudgetExhausted, BudgetWarning};
    // 2026-11-23, whatever the hour.
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp(1_795_392_000_000)));
    let store = crate::engine::store(clock.clone());
    let webhook = NewWebhook {
        tenant: TENANT,
        url: "https://hooks.example/".to_owned(),
        description: String::new(),
        events: [BudgetWarning, BudgetExhausted].into_iter().collect(),
        secret: WebhookSecret([7; 32]),
    };
    let webhook = store.add_webhook(webhook).unwrap().id;
    let settle = |tokens: u64| {
        let id = granted(&store, tokens);
        store.settle_llm(id, used_up(tokens)).unwrap();
    };
    settle(500);
    limit(&store, Some(1_000));
    settle(299);
    assert_eq!(told(&store, webhook), []);
    // At 80 %.
    settle(1);
    let warning = r#"{"day":"2026-11-23","tokens_used":800,"tokens_max":1000}"#;
    assert_eq!(told(&store, webhook), [(BudgetWarning, warning.to_owned())]);
    settle(100);
    let under_way = granted(&store, 60);
    refused(&store, 70);
    refused(&store, 80);
    let exhausted = r#"{"day":"2026-11-23","tokens_used":900,"tokens_reserved":60,"tokens_asked":70,"tokens_max":1000}"#;
    assert_eq!(
        told(&store, webhook),
        [(BudgetExhausted, exhausted.to_owned())]
    );
    // The same day with another limit.
    limit(&store, Some(100));
    refused(&store, 1);
    assert_eq!(told(&store, webhook), []);
    // The next one: a limit that is exceeded at once by what was under way.
    clock.advance(DAY);
    store.settle_llm(under_way, used_up(120)).unwrap();
    refused(&store, 1);
    let kinds: Vec<EventType> = told(&store, webhook)
        .iter()
        .map(|(kind, _)| *kind)
        .collect();
    assert_eq!(kinds, [BudgetWarning, BudgetExhausted]);
    // A limit that is lowered is noticed with the next call.
    clock.advance(DAY);
    limit(&store, Some(1_000));
    settle(500);
    limit(&store, Some(600));
    granted(&store, 1);
    let kinds: Vec<EventType> = told(&store, webhook)
        .iter()
        .map(|(kind, _)| *kind)
        .collect();
    assert_eq!(kinds, [BudgetWarning]);
}

#[test]
fn events_of_budgets_are_published_without_a_source() {
    let store = crate::engine::store(noon());
    store.start_publishing("here", DAY).unwrap();
    limit(&store, Some(0));
    refused(&store, 1);
    let home = &store.shards()[0];
    let waiting = home.unpublished(TenantId(0)).unwrap();
    let events: Vec<_> = waiting.iter().flat_map(|one| &one.events).collect();
    let [event] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(
        (event.kind, event.source),
        (EventType::BudgetExhausted, None)
    );
}
