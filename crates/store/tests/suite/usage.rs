//! Use by day and metric.

use store::{Day, Store, StoreErrorKind, UsageDelta, UsageMetric};
use types::{TenantId, Timestamp};

use crate::support::clock;

fn delta(day: i64, metric: UsageMetric, amount: u64) -> UsageDelta {
    UsageDelta {
        tenant: TenantId::DEFAULT,
        day: Day(day),
        metric,
        amount,
    }
}

fn read(store: &Store, from: i64, to: i64) -> Vec<(i64, &'static str, u64)> {
    let rows = store.usage(TenantId::DEFAULT, Day(from), Day(to)).unwrap();
    let short = |row: &store::UsageRow| (row.day.0, row.metric.code(), row.amount);
    rows.iter().map(short).collect()
}

#[test]
fn use_adds_up_by_day_and_metric() {
    use UsageMetric::{Bytes, Requests, TokensIn};
    let store = crate::engine::store(clock());
    store
        .add_usage(vec![
            delta(2, Requests, 1),
            delta(2, Requests, 2),
            delta(2, Bytes, 1_000),
            delta(3, TokensIn, 7),
        ])
        .unwrap();
    store.add_usage(vec![delta(2, Requests, 10)]).unwrap();
    store.add_usage(Vec::new()).unwrap();
    let second = [(2, "bytes", 1_000), (2, "requests", 13)];
    assert_eq!(read(&store, 2, 2), second);
    assert_eq!(read(&store, 3, 9), [(3, "tokens_in", 7)]);
    assert_eq!(read(&store, 0, 9).len(), 3);
    assert_eq!(read(&store, 3, 2), []);
}

#[test]
fn a_sum_stays_at_the_highest_number() {
    let store = crate::engine::store(clock());
    let metric = UsageMetric::Bytes;
    for amount in [5, u64::MAX, u64::MAX] {
        store.add_usage(vec![delta(1, metric, amount)]).unwrap();
    }
    assert_eq!(read(&store, 1, 1), [(1, "bytes", i64::MAX as u64)]);
}

#[test]
fn nothing_is_added_when_one_tenant_is_unknown() {
    let store = crate::engine::store(clock());
    let of_nobody = UsageDelta {
        tenant: TenantId(99),
        ..delta(1, UsageMetric::Pages, 1)
    };
    let deltas = vec![delta(1, UsageMetric::Pages, 1), of_nobody];
    let refused = store.add_usage(deltas).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::NotFound);
    assert_eq!(read(&store, 0, 9), []);
}

#[test]
fn a_year_can_be_read_and_not_much_more() {
    let store = crate::engine::store(clock());
    assert_eq!(read(&store, 0, 366), []);
    for (from, to) in [(0, 367), (i64::MIN, i64::MAX)] {
        let refused = store.usage(TenantId::DEFAULT, Day(from), Day(to));
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Conflict);
    }
}

#[test]
fn days_begin_at_midnight_utc() {
    const DAY_MS: i64 = 86_400_000;
    for (ms, day) in [(0, 0), (DAY_MS - 1, 0), (DAY_MS, 1), (-1, -1)] {
        assert_eq!(Day::of(Timestamp(ms)), Day(day), "{ms}");
    }
    assert_eq!(Day(3).start(), Timestamp(3 * DAY_MS));
    for metric in UsageMetric::ALL {
        assert_eq!(UsageMetric::from_code(metric.code()), Some(*metric));
    }
}
