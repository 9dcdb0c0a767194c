use std::time::Duration;

use frontier::{
    BreakerPolicy, BreakerState, Dispatcher, FetchSignal, HostActivity, Next, PacePolicy,
    QueuedUrl, UrlKind,
};
use types::{HostKey, Timestamp};

use crate::url;

const POLICY: PacePolicy = PacePolicy {
    delay: Duration::from_millis(1000),
    concurrency_per_host: 2,
    concurrency: 10,
    crawl_delay_max: Duration::from_secs(30),
    breaker: BreakerPolicy {
        failures: 3,
        open_for: Duration::from_secs(10),
        breaker_wait_max: Duration::from_secs(10),
    },
    window_per_host: 8,
};

const FULL_SPEED: PacePolicy = PacePolicy {
    delay: Duration::ZERO,
    ..POLICY
};

fn row(host: &str, row: i64) -> QueuedUrl {
    QueuedUrl {
        row,
        url: url(&format!("http://{host}/{row}")),
        kind: UrlKind::Page,
        depth: 1,
        attempt: 0,
        not_before: Timestamp(0),
        etag: None,
        last_modified: None,
    }
}

fn key(host: &str) -> HostKey {
    url(&format!("http://{host}/")).host_key()
}

fn at(ms: i64) -> Timestamp {
    Timestamp(ms)
}

/// A dispatcher whose robots are known from a cache and whose rows are read.
fn ready(policy: PacePolicy, hosts: &[(&str, i64)]) -> Dispatcher {
    let mut dispatcher = Dispatcher::new(policy);
    let mut first_row = 1;
    for (host, rows) in hosts {
        dispatcher.robots_known(&key(host), None, at(0), false);
        let rows = (first_row..first_row + rows)
            .map(|id| row(host, id))
            .collect::<Vec<_>>();
        first_row += rows.len() as i64;
        dispatcher.refill(&key(host), rows, false);
    }
    dispatcher
}

/// The row that is fetched now.
fn fetch(dispatcher: &mut Dispatcher, now: i64) -> i64 {
    match dispatcher.next(at(now)) {
        Next::Fetch(url) => url.row,
        other => panic!("no fetch at {now}: {other:?}"),
    }
}

fn refill_of(host: &str, after_row: i64) -> Next {
    Next::Refill {
        host: key(host),
        after_row,
    }
}

#[test]
fn robots_come_first_then_rows_then_pages() {
    let mut d = Dispatcher::new(POLICY);
    assert_eq!(d.next(at(0)), Next::Done);
    d.add_work(&key("a.test"));
    assert_eq!(d.next(at(0)), Next::Robots(key("a.test")));
    assert_eq!(d.in_flight(), 1);
    assert_eq!(d.next(at(0)), Next::Busy);
    d.robots_known(&key("a.test"), None, at(300), true);
    assert_eq!(d.in_flight(), 0);
    assert_eq!(d.next(at(300)), refill_of("a.test", 0));
    assert_eq!(d.next(at(300)), Next::Busy, "until the rows are read");
    d.refill(&key("a.test"), vec![row("a.test", 1)], false);
    assert_eq!(
        d.next(at(300)),
        Next::Wait(at(1300)),
        "robots.txt counts for the pace"
    );
    assert_eq!(fetch(&mut d, 1300), 1);
    assert_eq!(d.next(at(1300)), Next::Busy);
    d.finished(&key("a.test"), at(1400), FetchSignal::Ok);
    assert_eq!(d.next(at(1400)), Next::Done);
}

#[test]
fn cached_robots_cost_nothing() {
    let mut d = Dispatcher::new(POLICY);
    d.add_work(&key("a.test"));
    assert_eq!(d.next(at(5)), Next::Robots(key("a.test")));
    d.robots_known(&key("a.test"), None, at(5), false);
    assert_eq!(d.next(at(5)), refill_of("a.test", 0));
    d.refill(&key("a.test"), vec![row("a.test", 1)], false);
    assert_eq!(fetch(&mut d, 5), 1);
}

#[test]
fn robots_are_asked_for_again_after_a_day() {
    let mut d = ready(POLICY, &[("a.test", 2)]);
    assert_eq!(fetch(&mut d, 0), 1);
    d.finished(&key("a.test"), at(0), FetchSignal::Ok);
    let day = 24 * 60 * 60 * 1000;
    assert_eq!(d.next(at(day)), Next::Robots(key("a.test")));
    d.robots_known(&key("a.test"), None, at(day), false);
    assert_eq!(fetch(&mut d, day), 2);
}

#[test]
fn starts_keep_their_distance_and_number() {
    let mut d = ready(POLICY, &[("a.test", 5)]);
    assert_eq!(fetch(&mut d, 0), 1);
    assert_eq!(d.next(at(0)), Next::Wait(at(1000)));
    assert_eq!(d.next(at(999)), Next::Wait(at(1000)));
    assert_eq!(fetch(&mut d, 1000), 2);
    assert_eq!(d.next(at(5000)), Next::Busy, "two in flight");
    d.finished(&key("a.test"), at(5000), FetchSignal::Ok);
    assert_eq!(fetch(&mut d, 5000), 3);
}

#[test]
fn crawl_delay_replaces_a_smaller_delay_up_to_its_limit() {
    let check = |seconds, expected: i64| {
        let mut d = ready(POLICY, &[("a.test", 2)]);
        d.robots_known(
            &key("a.test"),
            Some(Duration::from_secs(seconds)),
            at(0),
            false,
        );
        assert_eq!(fetch(&mut d, 0), 1);
        d.finished(&key("a.test"), at(1), FetchSignal::Ok);
        assert_eq!(d.next(at(1)), Next::Wait(at(expected)), "{seconds} s");
    };
    check(0, 1000);
    check(5, 5000);
    check(500, 30_000);
}

#[test]
fn hosts_take_turns_at_full_speed() {
    let mut d = ready(FULL_SPEED, &[("a.test", 3), ("b.test", 3)]);
    let rows: Vec<i64> = (0..4).map(|_| fetch(&mut d, 0)).collect();
    assert_eq!(rows, [1, 4, 2, 5]);
    assert_eq!(d.next(at(0)), Next::Busy);
    d.finished(&key("b.test"), at(0), FetchSignal::Ok);
    assert_eq!(fetch(&mut d, 0), 6);
}

#[test]
fn the_concurrency_of_all_hosts_is_bounded() {
    let policy = PacePolicy {
        concurrency: 3,
        ..FULL_SPEED
    };
    let mut d = ready(policy, &[("a.test", 3), ("b.test", 3)]);
    (0..3).for_each(|_| assert!(fetch(&mut d, 0) > 0));
    assert_eq!(d.next(at(0)), Next::Busy);
    // Reading rows needs no slot.
    d.add_work(&key("a.test"));
    assert_eq!(d.next(at(0)), refill_of("a.test", 3));
    assert_eq!(d.next(at(0)), Next::Busy);
}

#[test]
fn what_was_not_sent_costs_no_delay() {
    let mut d = ready(POLICY, &[("a.test", 8)]);
    assert_eq!(fetch(&mut d, 0), 1);
    d.finished(&key("a.test"), at(10), FetchSignal::Ok);
    for expected in 2..6 {
        assert_eq!(fetch(&mut d, 1000), expected);
        d.not_sent(&key("a.test"), expected);
    }
    assert_eq!(d.in_flight(), 0);
    assert_eq!(fetch(&mut d, 1000), 6);
    assert_eq!(d.next(at(1000)), Next::Wait(at(2000)));
}

#[test]
fn taking_an_older_start_back_leaves_the_newer_one_its_distance() {
    let mut d = ready(POLICY, &[("a.test", 5)]);
    assert_eq!(fetch(&mut d, 0), 1);
    assert_eq!(fetch(&mut d, 1000), 2);
    d.not_sent(&key("a.test"), 1);
    assert_eq!(d.next(at(1000)), Next::Wait(at(2000)));
}

#[test]
fn sitemaps_and_feeds_go_before_pages() {
    let mut d = ready(FULL_SPEED, &[("a.test", 1)]);
    let mut sitemap = row("a.test", 2);
    sitemap.kind = UrlKind::Sitemap;
    let mut feed = row("a.test", 3);
    feed.kind = UrlKind::Feed;
    d.refill(&key("a.test"), vec![sitemap, feed], false);
    assert_eq!([fetch(&mut d, 0), fetch(&mut d, 0)], [2, 3]);
}

#[test]
fn rows_beyond_the_window_stay_in_the_store() {
    let mut d = Dispatcher::new(FULL_SPEED);
    d.robots_known(&key("a.test"), None, at(0), false);
    d.add_work(&key("a.test"));
    assert_eq!(d.next(at(0)), refill_of("a.test", 0));
    d.refill(
        &key("a.test"),
        (1..=1000).map(|id| row("a.test", id)).collect(),
        false,
    );
    let host = d.hosts().next().expect("one host");
    assert_eq!(host.queued_in_memory, 8);
    for expected in 1..=6 {
        assert_eq!(fetch(&mut d, 0), expected);
        d.finished(&key("a.test"), at(0), FetchSignal::Ok);
    }
    assert_eq!(
        d.next(at(0)),
        refill_of("a.test", 8),
        "before the window is empty"
    );
    assert_eq!(fetch(&mut d, 0), 7, "and without waiting for the answer");
}

#[test]
fn work_added_while_rows_are_read_is_not_forgotten() {
    let mut d = Dispatcher::new(FULL_SPEED);
    d.robots_known(&key("a.test"), None, at(0), false);
    d.add_work(&key("a.test"));
    assert_eq!(d.next(at(0)), refill_of("a.test", 0));
    d.add_work(&key("a.test"));
    d.refill(&key("a.test"), vec![row("a.test", 1)], false);
    assert_eq!(d.next(at(0)), refill_of("a.test", 1));
    d.refill(&key("a.test"), vec![row("a.test", 2)], false);
    assert_eq!([fetch(&mut d, 0), fetch(&mut d, 0)], [1, 2]);
}

#[test]
fn rows_that_come_twice_are_taken_once() {
    let mut d = ready(FULL_SPEED, &[("a.test", 2)]);
    d.refill(
        &key("a.test"),
        vec![row("a.test", 1), row("a.test", 2), row("a.test", 3)],
        false,
    );
    for expected in 1..=3 {
        assert_eq!(fetch(&mut d, 0), expected);
        d.finished(&key("a.test"), at(0), FetchSignal::Ok);
    }
    assert_eq!(d.next(at(0)), Next::Done);
}

#[test]
fn an_empty_answer_ends_the_hosts_work() {
    let mut d = ready(FULL_SPEED, &[("a.test", 0)]);
    d.add_work(&key("a.test"));
    assert_eq!(d.next(at(0)), refill_of("a.test", 0));
    d.refill(&key("a.test"), Vec::new(), true);
    assert_eq!(d.next(at(0)), Next::Done);
}

#[test]
fn a_retry_waits_for_its_time() {
    let mut d = ready(FULL_SPEED, &[("a.test", 2)]);
    let Next::Fetch(mut url) = d.next(at(0)) else {
        panic!("a fetch");
    };
    d.finished(&key("a.test"), at(0), FetchSignal::Failed);
    url.attempt = 1;
    url.not_before = at(700);
    d.retry(url);
    assert_eq!(fetch(&mut d, 0), 2);
    d.finished(&key("a.test"), at(0), FetchSignal::Ok);
    assert_eq!(d.next(at(0)), Next::Wait(at(700)));
    let Next::Fetch(url) = d.next(at(700)) else {
        panic!("the retry");
    };
    assert_eq!((url.row, url.attempt), (1, 1));
}

#[test]
fn a_throttled_host_waits_as_asked_or_ever_longer() {
    let mut d = ready(FULL_SPEED, &[("a.test", 9)]);
    let mut wait_after = |now, seconds: Option<u64>| {
        fetch(&mut d, now);
        let retry_after = seconds.map(Duration::from_secs);
        d.finished(
            &key("a.test"),
            at(now),
            FetchSignal::Throttled { retry_after },
        );
        match d.next(at(now)) {
            Next::Wait(until) => until.0 - now,
            other => panic!("no wait: {other:?}"),
        }
    };
    assert_eq!(wait_after(0, Some(3)), 3_000);
    assert_eq!(wait_after(10_000, None), 2_000);
    // The third in a row opens the breaker, for ten seconds.
    assert_eq!(wait_after(20_000, None), 10_000);
}

fn fail_times(d: &mut Dispatcher, times: usize, now: i64) {
    for _ in 0..times {
        fetch(d, now);
        d.finished(&key("a.test"), at(now), FetchSignal::Failed);
    }
}

#[test]
fn an_open_breaker_lets_one_probe_through_in_time() {
    let mut d = ready(FULL_SPEED, &[("a.test", 8)]);
    fail_times(&mut d, 3, 0);
    assert_eq!(d.next(at(0)), Next::Wait(at(10_000)));
    let host = d.hosts().next().expect("one host");
    assert_eq!(host.breaker, BreakerState::Open { until: at(10_000) });
    assert_eq!(fetch(&mut d, 10_000), 4);
    assert_eq!(d.next(at(10_000)), Next::Busy, "the probe is alone");
    d.finished(&key("a.test"), at(10_500), FetchSignal::Ok);
    assert_eq!([fetch(&mut d, 10_500), fetch(&mut d, 10_500)], [5, 6]);
}

#[test]
fn a_breaker_of_an_earlier_crawl_stays_open() {
    let reopened = |policy, since, until| {
        let mut d = Dispatcher::new(policy);
        d.reopen_breaker(&key("a.test"), at(since), at(until), at(0));
        d.robots_known(&key("a.test"), None, at(0), false);
        d.refill(
            &key("a.test"),
            (1..9).map(|id| row("a.test", id)).collect(),
            false,
        );
        d
    };
    let mut d = reopened(FULL_SPEED, -4_000, 6_000);
    let host = d.host(&key("a.test")).expect("known");
    assert_eq!(host.breaker, BreakerState::Open { until: at(6_000) });
    assert_eq!(host.broken_since, Some(at(-4_000)));
    assert_eq!(d.next(at(0)), Next::Wait(at(6_000)));
    assert_eq!(fetch(&mut d, 6_000), 1);
    assert_eq!(d.next(at(6_000)), Next::Busy, "the probe is alone");
    // Broken for longer than its URLs wait: refused at once.
    let mut d = reopened(FULL_SPEED, -5_000, 6_000);
    assert!(matches!(d.next(at(0)), Next::Refuse(_)));
    // Over, too far ahead, or never to open.
    assert_eq!(fetch(&mut reopened(FULL_SPEED, -9_000, 0), 0), 1);
    let mut d = reopened(FULL_SPEED, 0, 99_000);
    assert_eq!(d.next(at(0)), Next::Wait(at(10_000)));
    let breaker = BreakerPolicy {
        failures: 0,
        ..POLICY.breaker
    };
    let never = PacePolicy {
        breaker,
        ..FULL_SPEED
    };
    assert_eq!(fetch(&mut reopened(never, 0, 9_000), 0), 1);
}

#[test]
fn a_probe_that_says_nothing_is_repeated() {
    let mut d = ready(FULL_SPEED, &[("a.test", 8)]);
    fail_times(&mut d, 3, 0);
    assert_eq!(fetch(&mut d, 10_000), 4);
    d.finished(&key("a.test"), at(10_000), FetchSignal::Neutral);
    assert_eq!(fetch(&mut d, 10_000), 5);
    d.not_sent(&key("a.test"), 5);
    assert_eq!(fetch(&mut d, 10_000), 6);
    assert_eq!(d.next(at(10_000)), Next::Busy);
}

#[test]
fn a_host_broken_for_too_long_has_its_urls_refused() {
    let mut d = ready(FULL_SPEED, &[("a.test", 6), ("b.test", 2)]);
    for now in [0, 0, 0, 10_000] {
        loop {
            match d.next(at(now)) {
                Next::Fetch(url) if url.url.host() == "a.test" => break,
                Next::Fetch(url) => d.finished(&url.url.host_key(), at(now), FetchSignal::Ok),
                other => panic!("no fetch: {other:?}"),
            }
        }
        d.finished(&key("a.test"), at(now), FetchSignal::Failed);
    }
    // Also those that were still in the store.
    d.add_work(&key("a.test"));
    assert_eq!(d.next(at(10_000)), refill_of("a.test", 6));
    d.refill(&key("a.test"), vec![row("a.test", 10)], false);
    for expected in [5, 6, 10] {
        match d.next(at(10_000)) {
            Next::Refuse(url) => assert_eq!(url.row, expected),
            other => panic!("no refusal: {other:?}"),
        }
    }
    assert_eq!(d.in_flight(), 0);
    assert_eq!(d.next(at(10_000)), Next::Done);
}

#[test]
fn stopping_drains() {
    let mut d = ready(FULL_SPEED, &[("a.test", 3)]);
    assert_eq!(fetch(&mut d, 0), 1);
    d.stop();
    d.stop();
    assert_eq!(d.next(at(0)), Next::Busy);
    d.finished(&key("a.test"), at(0), FetchSignal::Ok);
    assert_eq!(d.next(at(0)), Next::Done);
}

#[test]
fn the_snapshot_says_what_hosts_do() {
    let mut d = ready(POLICY, &[("a.test", 2)]);
    d.add_work(&key("b.test"));
    assert_eq!(fetch(&mut d, 7), 1);
    assert_eq!(d.next(at(7)), Next::Robots(key("b.test")));
    let hosts: Vec<_> = d.hosts().collect();
    assert_eq!(hosts[0].activity, HostActivity::Working);
    assert_eq!((hosts[0].in_flight, hosts[0].queued_in_memory), (1, 1));
    assert_eq!(hosts[0].next_allowed, at(1007));
    assert_eq!(hosts[1].activity, HostActivity::Robots);
    assert_eq!(*hosts[1].host, key("b.test"));
}

#[test]
fn time_running_backwards_does_not_shorten_a_delay() {
    let mut d = ready(POLICY, &[("a.test", 2)]);
    assert_eq!(fetch(&mut d, 5_000), 1);
    assert_eq!(d.next(at(0)), Next::Wait(at(6_000)));
}

#[test]
fn many_hosts_share_the_memory() {
    let mut d = Dispatcher::new(PacePolicy {
        window_per_host: 256,
        ..FULL_SPEED
    });
    for n in 0..1_000 {
        d.robots_known(&key(&format!("h{n}.test")), None, at(0), false);
    }
    let rows = (1..=256).map(|id| row("h1.test", id)).collect();
    d.refill(&key("h1.test"), rows, false);
    let host = d.hosts().nth(1).expect("a thousand hosts");
    assert_eq!(host.queued_in_memory, 100);
    assert_eq!(d.refill_rows_max(), 100);
}

#[test]
fn kinds_have_their_stored_names() {
    for kind in [UrlKind::Page, UrlKind::Sitemap, UrlKind::Feed] {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert!("Page".parse::<UrlKind>().is_err());
}
