//! Whole crawls of generated webs by a crawler that crashes at commits.
//!
//! The store is a model: what was committed survives, all else is lost. Each
//! seed makes its web, its policy and its crashes, so a failure is repeated
//! with the seed that is printed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use frontier::{
    BreakerPolicy, Dispatcher, FetchSignal, Next, PacePolicy, QueuedUrl, RetryPolicy,
    RobotsVerdict, UrlKind,
};
use types::{CanonicalUrl, HostKey, Timestamp};

use crate::simulation_world::{ATTEMPTS_MAX, Dice, Reply, Servers, World};

/// More turns than any of these webs can need: a crawl beyond it is stuck.
const TURNS_MAX: u32 = 100_000;

struct Row {
    url: CanonicalUrl,
    kind: UrlKind,
    attempt: u32,
    not_before: Timestamp,
    end: Option<&'static str>,
}

enum Visit {
    End {
        row: i64,
        end: &'static str,
        found: Vec<CanonicalUrl>,
    },
    Retry {
        row: i64,
        attempt: u32,
        not_before: Timestamp,
    },
}

/// What survives. Row ids are indices plus one.
#[derive(Default)]
struct Store {
    rows: Vec<Row>,
    known: HashSet<CanonicalUrl>,
    robots: HashSet<HostKey>,
    commits: u32,
    crash_at_commit: Option<(u32, bool)>,
}

struct Crash;

impl Store {
    fn add(&mut self, url: CanonicalUrl, kind: UrlKind) -> Option<HostKey> {
        if !self.known.insert(url.clone()) {
            return None;
        }
        let host = url.host_key();
        self.rows.push(Row {
            url,
            kind,
            attempt: 0,
            not_before: Timestamp(0),
            end: None,
        });
        Some(host)
    }

    /// All or nothing; crashes before or after taking effect when told to.
    fn commit(&mut self, visits: Vec<Visit>) -> Result<Vec<HostKey>, Crash> {
        self.commits += 1;
        let crash = self.crash_at_commit.filter(|(at, _)| *at == self.commits);
        if let Some((_, false)) = crash {
            return Err(Crash);
        }
        let mut queued = Vec::new();
        for visit in visits {
            match visit {
                Visit::End { row, end, found } => {
                    let row = &mut self.rows[row as usize - 1];
                    assert_eq!(row.end.replace(end), None, "Q2: {} ended twice", row.url);
                    let new = found
                        .into_iter()
                        .filter_map(|url| self.add(url, UrlKind::Page));
                    queued.extend(new.collect::<Vec<_>>());
                }
                Visit::Retry {
                    row,
                    attempt,
                    not_before,
                } => {
                    let row = &mut self.rows[row as usize - 1];
                    row.attempt = attempt;
                    row.not_before = not_before;
                }
            }
        }
        if crash.is_some() {
            Err(Crash)
        } else {
            Ok(queued)
        }
    }

    fn queued_hosts(&self) -> HashSet<HostKey> {
        let queued = self.rows.iter().filter(|row| row.end.is_none());
        queued.map(|row| row.url.host_key()).collect()
    }

    fn read(&self, host: &HostKey, after_row: i64, limit: usize) -> (Vec<QueuedUrl>, bool) {
        let mut rows: Vec<QueuedUrl> = (1i64..)
            .zip(&self.rows)
            .filter(|(id, row)| *id > after_row && row.end.is_none() && row.url.host_key() == *host)
            .take(limit + 1)
            .map(|(id, row)| QueuedUrl {
                row: id,
                url: row.url.clone(),
                kind: row.kind,
                depth: 0,
                attempt: row.attempt,
                not_before: row.not_before,
                etag: None,
                last_modified: None,
            })
            .collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        (rows, more)
    }
}

enum Flight {
    Robots(HostKey),
    Url(Box<QueuedUrl>, Reply),
}

/// A refill read from the store that has not reached the dispatcher yet.
type ReadRows = (HostKey, Vec<QueuedUrl>, bool);

/// One life of the crawler: everything in here is lost in a crash.
struct Life<'a, 'w> {
    dice: &'a mut Dice,
    servers: &'a mut Servers<'w>,
    store: &'a mut Store,
    policy: PacePolicy,
    dispatcher: Dispatcher,
    verdicts: HashMap<HostKey, RobotsVerdict>,
    flights: BTreeMap<(Timestamp, u64), Flight>,
    flights_started: u64,
    reads: Vec<ReadRows>,
    buffer: Vec<Visit>,
    batch_max: usize,
    refused: u32,
    stopped: bool,
    now: Timestamp,
}

impl Life<'_, '_> {
    fn run(&mut self) -> Result<(), Crash> {
        for host in self.store.queued_hosts() {
            self.dispatcher.add_work(&host);
        }
        let stop_at_turn = self.dice.one_in(4).then(|| self.dice.below(200) as u32);
        for turn in 0..TURNS_MAX {
            if stop_at_turn == Some(turn) {
                self.dispatcher.stop();
                self.stopped = true;
            }
            self.check_memory();
            if self.buffer.len() >= self.batch_max {
                self.commit()?;
            }
            match self.dispatcher.next(self.now) {
                Next::Fetch(url) => self.fetch(url),
                Next::Robots(host) => self.ask_robots(host),
                Next::Refill { host, after_row } => self.refill(host, after_row),
                Next::Refuse(url) => {
                    self.refused += 1;
                    self.end(url.row, "breaker_open", Vec::new());
                }
                Next::Wait(until) => {
                    assert!(until > self.now, "a wait for the past");
                    self.commit()?;
                    self.advance(Some(until));
                }
                Next::Busy => {
                    self.commit()?;
                    self.advance(None);
                }
                Next::Done => {
                    assert_eq!(self.dispatcher.in_flight(), 0);
                    assert!(self.flights.is_empty(), "done with requests in flight");
                    if self.buffer.is_empty() {
                        return Ok(());
                    }
                    self.commit()?;
                }
            }
        }
        panic!("no end after {TURNS_MAX} turns");
    }

    /// M1: a window of each host, and no more than in flight beyond it.
    fn check_memory(&self) {
        let in_flight: usize = self.flights.len();
        assert_eq!(self.dispatcher.in_flight() as usize, in_flight);
        assert!(self.dispatcher.in_flight() <= self.policy.concurrency);
        for host in self.dispatcher.hosts() {
            let most = self.policy.window_per_host + self.policy.concurrency_per_host as usize;
            assert!(host.queued_in_memory <= most, "M1: {host:?}");
        }
    }

    fn connect(&mut self, host: &HostKey, flight: Flight) {
        let PacePolicy {
            delay,
            concurrency_per_host,
            ..
        } = self.policy;
        self.servers
            .connect(host, self.now, delay, concurrency_per_host);
        let latency = self.servers.world.hosts[host].latency_ms;
        let takes = Duration::from_millis(self.dice.below(latency));
        self.flights_started += 1;
        self.flights
            .insert((self.now.plus(takes), self.flights_started), flight);
    }

    fn ask_robots(&mut self, host: HostKey) {
        if self.store.robots.contains(&host) && self.dice.one_in(2) {
            let crawl_delay = self.servers.world.crawl_delay(&host);
            self.verdicts
                .insert(host.clone(), self.servers.world.verdict(&host));
            self.dispatcher
                .robots_known(&host, crawl_delay, self.now, false);
            self.servers.robots_read(&host);
        } else {
            self.connect(&host.clone(), Flight::Robots(host));
        }
    }

    fn refill(&mut self, host: HostKey, after_row: i64) {
        let limit = 1 + self.dice.below(2 * self.policy.window_per_host as u64) as usize;
        let (rows, more) = self.store.read(&host, after_row, limit);
        // Half of the answers come late, after other commits.
        if self.dice.one_in(2) {
            self.dispatcher.refill(&host, rows, more);
        } else {
            self.reads.push((host, rows, more));
        }
    }

    fn fetch(&mut self, url: QueuedUrl) {
        let row = &self.store.rows[url.row as usize - 1];
        assert_eq!(row.end, None, "{} was finished before", row.url);
        assert!(url.not_before <= self.now, "{} is not due", row.url);
        let host = url.url.host_key();
        match &self.verdicts[&host] {
            RobotsVerdict::Unreachable => {
                self.dispatcher.not_sent(&host, url.row);
                self.end(url.row, "robots_unreachable", Vec::new());
            }
            RobotsVerdict::Rules(robots) if !robots.allowed(url.url.path_and_query()) => {
                self.dispatcher.not_sent(&host, url.row);
                self.end(url.row, "robots", Vec::new());
            }
            RobotsVerdict::Rules(_) => {
                let reply = self.servers.answer(&url.url);
                self.connect(&host, Flight::Url(Box::new(url), reply));
            }
        }
    }

    /// Lets the next thing happen: a read, the end of a request, or time.
    fn advance(&mut self, until: Option<Timestamp>) {
        if let Some((host, rows, more)) = self.reads.pop() {
            self.dispatcher.refill(&host, rows, more);
            return;
        }
        let landing = self.flights.first_key_value().map(|((at, _), _)| *at);
        if until.is_some_and(|until| landing.is_none_or(|landing| until < landing)) {
            self.now = until.unwrap_or(self.now);
            return;
        }
        // Busy right after a commit that added work is not stuck.
        if let Some(((at, _), flight)) = self.flights.pop_first() {
            self.now = self.now.max(at);
            self.land(flight);
        }
    }

    fn land(&mut self, flight: Flight) {
        match flight {
            Flight::Robots(host) => {
                self.servers.disconnect(&host);
                self.verdicts
                    .insert(host.clone(), self.servers.world.verdict(&host));
                self.store.robots.insert(host.clone());
                let crawl_delay = self.servers.world.crawl_delay(&host);
                self.dispatcher
                    .robots_known(&host, crawl_delay, self.now, true);
                self.servers.robots_read(&host);
            }
            Flight::Url(url, reply) => {
                let host = url.url.host_key();
                self.servers.disconnect(&host);
                let signal = match &reply {
                    Reply::ServerError => FetchSignal::Failed,
                    Reply::Throttled(retry_after) => FetchSignal::Throttled {
                        retry_after: *retry_after,
                    },
                    _ => FetchSignal::Ok,
                };
                self.dispatcher.finished(&host, self.now, signal);
                match reply {
                    Reply::Links(links) => self.end(url.row, "stored", links),
                    Reply::Redirect(to) => self.end(url.row, "redirect", vec![to]),
                    Reply::NotFound => self.end(url.row, "not_found", Vec::new()),
                    Reply::ServerError => self.retry(*url, None),
                    Reply::Throttled(after) => self.retry(*url, after),
                }
            }
        }
    }

    fn retry(&mut self, mut url: QueuedUrl, retry_after: Option<Duration>) {
        let policy = RetryPolicy {
            attempts_max: ATTEMPTS_MAX,
            ..RetryPolicy::default()
        };
        url.attempt += 1;
        match policy.delay(url.attempt, retry_after, self.dice.roll()) {
            None => self.end(url.row, "server_error", Vec::new()),
            Some(wait) => {
                url.not_before = self.now.plus(wait);
                self.buffer.push(Visit::Retry {
                    row: url.row,
                    attempt: url.attempt,
                    not_before: url.not_before,
                });
                self.dispatcher.retry(url);
            }
        }
    }

    fn end(&mut self, row: i64, end: &'static str, found: Vec<CanonicalUrl>) {
        self.buffer.push(Visit::End { row, end, found });
    }

    fn commit(&mut self) -> Result<(), Crash> {
        if !self.buffer.is_empty() {
            for host in self.store.commit(std::mem::take(&mut self.buffer))? {
                self.dispatcher.add_work(&host);
            }
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Tally {
    crashes: u32,
    refused: u32,
    rows: usize,
    requests: u64,
}

fn simulate(seed: u64) -> Tally {
    let mut dice = Dice::new(seed);
    let world = World::generate(&mut dice);
    let policy = PacePolicy {
        delay: Duration::from_millis([0, 0, 100, 1000][dice.below(4) as usize]),
        concurrency_per_host: 1 + dice.below(3) as u32,
        concurrency: 1 + dice.below(6) as u32,
        crawl_delay_max: Duration::from_secs(30),
        breaker: BreakerPolicy {
            failures: 5,
            open_for: Duration::from_secs(300),
            breaker_wait_max: Duration::from_secs([0, 300, 3600][dice.below(3) as usize]),
        },
        window_per_host: 1 + dice.below(12) as usize,
    };
    let mut servers = Servers::new(&world);
    let mut store = Store::default();
    for (url, kind) in &world.seeds {
        store.add(url.clone(), *kind);
    }
    let mut tally = Tally::default();
    let mut now = Timestamp(1_700_000_000_000);
    for life in 0..50 {
        // From some life on nothing crashes, so that the crawl can end.
        let crash = (life < 6).then(|| 1 + dice.below(30) as u32);
        store.crash_at_commit = crash.map(|after| (store.commits + after, dice.one_in(2)));
        let batch_max = 1 + dice.below(10) as usize;
        servers.crawler_restarts();
        let mut life = Life {
            dice: &mut dice,
            servers: &mut servers,
            store: &mut store,
            policy,
            dispatcher: Dispatcher::new(policy),
            verdicts: HashMap::new(),
            flights: BTreeMap::new(),
            flights_started: 0,
            reads: Vec::new(),
            buffer: Vec::new(),
            batch_max,
            refused: 0,
            stopped: false,
            now,
        };
        let ended = life.run();
        let stopped = life.stopped;
        tally.refused += life.refused;
        now = life.now.plus(Duration::from_secs(1));
        tally.crashes += u32::from(ended.is_err());
        if store.queued_hosts().is_empty() {
            break;
        }
        // The next life would hide what this one forgot.
        assert!(
            ended.is_err() || stopped,
            "Q2: done, but not with all that is queued"
        );
    }
    tally.rows = store.rows.len();
    tally.requests = servers.requests;
    check_accounts(&world, &store, tally.refused > 0);
    tally
}

/// Q2: every found URL ended, once (`commit` holds that), and rightly.
fn check_accounts(world: &World, store: &Store, some_refused: bool) {
    let expected = world.walk();
    for row in &store.rows {
        let end = row
            .end
            .unwrap_or_else(|| panic!("Q2: {} was lost", row.url));
        let right = expected
            .get(&row.url)
            .unwrap_or_else(|| panic!("{} is not linked", row.url));
        assert!(
            end == *right || end == "breaker_open",
            "{}: {end}, not {right}",
            row.url
        );
    }
    if !some_refused {
        assert_eq!(
            store.rows.len(),
            expected.len(),
            "Q2: found and existing URLs"
        );
    }
}

#[test]
fn crawls_with_crashes_keep_their_invariants() {
    let mut total = Tally::default();
    for seed in 0..300 {
        match catch_unwind(AssertUnwindSafe(|| simulate(seed))) {
            Ok(tally) => {
                total.crashes += tally.crashes;
                total.refused += tally.refused;
                total.rows += tally.rows;
                total.requests += tally.requests;
            }
            Err(panic) => {
                eprintln!("simulation failed with seed {seed}");
                resume_unwind(panic);
            }
        }
    }
    // The simulation must reach what it is there for.
    assert!(total.crashes > 300, "{total:?}");
    assert!(total.refused > 50, "{total:?}");
    assert!(total.rows > 5_000 && total.requests > 5_000, "{total:?}");
}
