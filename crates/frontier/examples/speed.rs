//! Measures the calls made per URL. Run with
//! `cargo run --release -p gleaner-frontier --example speed [ROBOTS.TXT…]`.
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::time::Duration;

use frontier::{
    Dispatcher, FetchSignal, Next, PacePolicy, QueuedUrl, Robots, Scope, ScopeRules, TrapGuard,
    TrapLimits, UrlKind, UrlPolicy,
};
use types::{CanonicalUrl, Timestamp};

/// Time this thread has had a CPU, so that other programs do not count. Linux
/// only, and no finer than a scheduler tick (up to 4 ms).
struct Instant(u64);

impl Instant {
    fn now() -> Instant {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let ns = stat.split(' ').next().and_then(|ns| ns.parse().ok());
        Instant(ns.unwrap_or_default())
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(Instant::now().0 - self.0)
    }
}

const URLS: i64 = 1_000_000;

fn main() {
    for hosts in [1, 100, 10_000] {
        dispatch(hosts);
    }
    urls();
    for path in std::env::args().skip(1) {
        match std::fs::read(&path) {
            Ok(body) => robots(&path, &body),
            Err(error) => println!("{path}: {error}"),
        }
    }
}

fn report(what: &str, started: Instant, times: i64) {
    let ns = started.elapsed().as_nanos() / u128::from(times.unsigned_abs());
    println!("{what}: {ns} ns each");
}

/// A million queued URLs at full speed, with 16 requests always in flight.
fn dispatch(host_count: i64) {
    let mut dispatcher = Dispatcher::new(PacePolicy {
        delay: Duration::ZERO,
        concurrency_per_host: 16,
        concurrency: 16,
        ..PacePolicy::default()
    });
    let urls: Vec<CanonicalUrl> = (0..host_count)
        .filter_map(|n| CanonicalUrl::parse(&format!("http://host{n}.test/some/page")).ok())
        .collect();
    let keys: Vec<_> = urls.iter().map(CanonicalUrl::host_key).collect();
    let index_of: HashMap<_, _> = keys.iter().zip(0usize..).collect();
    let per_host = URLS / host_count;
    for key in &keys {
        dispatcher.add_work(key);
        dispatcher.robots_known(key, None, Timestamp(0), false);
    }
    let row = |row: i64, url: &CanonicalUrl| QueuedUrl {
        row,
        url: url.clone(),
        kind: UrlKind::Page,
        depth: 3,
        attempt: 0,
        not_before: Timestamp(0),
        etag: None,
        last_modified: None,
    };
    let mut in_flight = VecDeque::new();
    let mut refilling = Duration::ZERO;
    let mut fetched = 0i64;
    let mut most_in_memory = 0;
    let started = Instant::now();
    for now in 0.. {
        match dispatcher.next(Timestamp(now / 1000)) {
            Next::Fetch(url) => {
                fetched += 1;
                in_flight.push_back(url);
                if fetched % 100_000 == 0 {
                    let in_memory = dispatcher.hosts().map(|host| host.queued_in_memory).sum();
                    most_in_memory = most_in_memory.max(in_memory);
                }
            }
            Next::Refill { host, after_row } => {
                let reading = Instant::now();
                let index = index_of.get(&host).copied().unwrap_or_default();
                let rows_max = i64::try_from(dispatcher.refill_rows_max()).unwrap_or(i64::MAX);
                let last = after_row.saturating_add(rows_max).min(per_host);
                let rows = (after_row + 1..=last)
                    .map(|id| row(id, &urls[index]))
                    .collect();
                refilling += reading.elapsed();
                dispatcher.refill(&host, rows, last < per_host);
            }
            Next::Busy => {
                if let Some(url) = in_flight.pop_front() {
                    let host = url.url.host_key();
                    dispatcher.finished(&host, Timestamp(now / 1000), FetchSignal::Ok);
                }
            }
            Next::Done => break,
            other => println!("unexpected: {other:?}"),
        }
    }
    let spent = started.elapsed().saturating_sub(refilling).as_nanos();
    println!(
        "dispatcher, {host_count} hosts: {} ns per URL fetched ({fetched}), {most_in_memory} URLs in memory",
        spent / u128::from(fetched.unsigned_abs().max(1))
    );
}

fn urls() {
    let policy = UrlPolicy::default();
    let texts: Vec<String> = (0..200_000)
        .map(|n| format!("https://www.example.org/news/{n}/some-title?id={n}&utm_source=x#top"))
        .collect();
    let started = Instant::now();
    let urls: Vec<CanonicalUrl> = texts
        .iter()
        .filter_map(|t| policy.canonical(t).ok())
        .collect();
    report("canonical", started, 200_000);
    let started = Instant::now();
    let mut guard = TrapGuard::new(TrapLimits::default());
    for url in &urls {
        black_box(guard.check(url, 3));
    }
    report("trap check", started, 200_000);
    let started = Instant::now();
    if let Ok(scope) = Scope::new(&urls[..1], &ScopeRules::default()) {
        for url in &urls {
            black_box(scope.verdict(url, 3));
        }
    }
    report("scope verdict", started, 200_000);
}

fn robots(path: &str, body: &[u8]) {
    let started = Instant::now();
    for _ in 0..100 {
        black_box(Robots::parse(black_box(body), "Gleaner"));
    }
    report(&format!("{path}: parse"), started, 100);
    let robots = Robots::parse(body, "Gleaner");
    let started = Instant::now();
    for _ in 0..10_000 {
        black_box(robots.allowed(black_box("/some/page/of/the/site?with=query")));
    }
    report(&format!("{path}: verdict"), started, 10_000);
}
