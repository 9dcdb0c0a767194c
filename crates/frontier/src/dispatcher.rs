//! Chooses the next request of a crawl: hosts take turns, each at its own pace.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use types::{HostKey, Timestamp};

use crate::breaker::BreakerState;
use crate::host::{Action, Host, Plan, RobotsKnowledge};
use crate::pace::{FetchSignal, Next, PacePolicy, QueuedUrl};

/// URLs in memory over all hosts. A queued URL is about 300 bytes, so this is
/// some 30 MB; it is shared out once more than a few hundred hosts are known.
const URLS_IN_MEMORY_MAX: usize = 100_000;

/// A host's window is not made smaller than this however many hosts there are.
const WINDOW_MIN: usize = 4;

/// The earliest due time: what takes no request slot and keeps hosts going.
const AT_ONCE: Timestamp = Timestamp(i64::MIN);

/// Decides what to do next, given the time and what has happened so far.
///
/// The durable queue is elsewhere; the dispatcher holds a window of each host's
/// rows and asks for more by row cursor ([`Next::Refill`]). It relies on:
/// - rows of a host being numbered in the order in which they were queued;
/// - each `Fetch` being answered once, by [`Dispatcher::finished`] or
///   [`Dispatcher::not_sent`]; each `Robots` by [`Dispatcher::robots_known`];
///   each `Refill` by [`Dispatcher::refill`];
/// - time not running backwards (an earlier time counts as the latest seen).
///
/// Invariant P1: two requests to a host never start closer than its delay, and
/// never more than `concurrency_per_host` are in flight, robots.txt included.
/// Every call is O(log hosts).
#[derive(Debug)]
pub struct Dispatcher {
    policy: PacePolicy,
    hosts: Vec<Host>,
    by_key: HashMap<HostKey, usize>,
    /// Hosts that can do something now or later: due time, turn, index.
    ready: BTreeSet<(Timestamp, u64, usize)>,
    turn: u64,
    now: Timestamp,
    in_flight: u32,
    refills_asked: u32,
    stopped: bool,
}

/// What a host is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostActivity {
    /// Nothing queued that the dispatcher knows of.
    Idle,
    /// Its robots.txt is being fetched.
    Robots,
    /// It has URLs queued or in flight.
    Working,
}

/// One host, for progress reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSnapshot<'a> {
    pub host: &'a HostKey,
    pub activity: HostActivity,
    /// No request starts earlier. Long ago for a host never asked.
    pub next_allowed: Timestamp,
    /// As of the host's last event: `Open` may have run out since.
    pub breaker: BreakerState,
    /// When it opened first, while it is not closed.
    pub broken_since: Option<Timestamp>,
    pub in_flight: u32,
    /// Queued URLs held in memory; the store may hold more.
    pub queued_in_memory: usize,
}

impl Dispatcher {
    #[must_use]
    pub fn new(policy: PacePolicy) -> Dispatcher {
        Dispatcher {
            policy,
            hosts: Vec::new(),
            by_key: HashMap::new(),
            ready: BTreeSet::new(),
            turn: 0,
            now: Timestamp(i64::MIN),
            in_flight: 0,
            refills_asked: 0,
            stopped: false,
        }
    }

    /// The store has (new) queued rows for this host.
    pub fn add_work(&mut self, host: &HostKey) {
        let index = self.index(host);
        self.hosts[index].add_work();
        self.schedule(index);
    }

    /// The host's breaker is open, as an earlier crawl left it. For a host that
    /// nothing has been asked of yet.
    pub fn reopen_breaker(
        &mut self,
        host: &HostKey,
        broken_since: Timestamp,
        until: Timestamp,
        now: Timestamp,
    ) {
        self.now = self.now.max(now);
        let index = self.index(host);
        self.hosts[index]
            .breaker
            .reopen(broken_since, until, self.now);
        self.schedule(index);
    }

    /// Answers [`Next::Refill`]: the host's queued rows above `after_row`, in row
    /// order; `more` when further rows may follow the last of them. At most the
    /// window is kept, what is beyond will be asked for again. An answer without
    /// rows ends the host's work until the next `add_work`.
    pub fn refill(&mut self, host: &HostKey, rows: Vec<QueuedUrl>, more: bool) {
        let index = self.index(host);
        let window = self.window();
        let host = &mut self.hosts[index];
        if host.refill_asked {
            self.refills_asked -= 1;
        }
        host.refill(rows, more, window, self.now);
        self.schedule(index);
    }

    /// How many rows a refill can use at most. Reading more is harmless but wasted.
    #[must_use]
    pub fn refill_rows_max(&self) -> usize {
        self.window()
    }

    /// The host's robots.txt is known (or known to be missing). Ends the request
    /// of [`Next::Robots`] if there was one. `requested` is false when it came
    /// from a cache: then it does not count for the host's pace.
    pub fn robots_known(
        &mut self,
        host: &HostKey,
        crawl_delay: Option<Duration>,
        now: Timestamp,
        requested: bool,
    ) {
        self.now = self.now.max(now);
        let index = self.index(host);
        if self.hosts[index].robots == RobotsKnowledge::Asked {
            self.end_request(index);
        }
        self.hosts[index].robots_known(crawl_delay, self.now, requested, &self.policy);
        self.schedule(index);
    }

    /// What to do now.
    pub fn next(&mut self, now: Timestamp) -> Next {
        self.now = self.now.max(now);
        if self.stopped {
            return self.nothing_ready();
        }
        let full = self.in_flight >= self.policy.concurrency.max(1);
        // Each turn of the loop hands something out or moves one host to a
        // later time, so it ends after at most one turn per host.
        while let Some(&(due, _, index)) = self.ready.first() {
            if full && due != AT_ONCE {
                return Next::Busy;
            }
            if due > self.now {
                return Next::Wait(due);
            }
            if let Plan::Now(action) = self.plan(index)
                && (!full || action == Action::Refill)
            {
                let next = self.act(index, action);
                self.hosts[index].served_at = self.now;
                self.reschedule(index);
                return next;
            }
            self.reschedule(index);
        }
        self.nothing_ready()
    }

    /// A request of [`Next::Fetch`] has ended.
    pub fn finished(&mut self, host: &HostKey, now: Timestamp, signal: FetchSignal) {
        self.now = self.now.max(now);
        let index = self.index(host);
        self.end_request(index);
        self.hosts[index].finished(self.now, signal, &self.policy);
        self.schedule(index);
    }

    /// A URL of [`Next::Fetch`] was never requested (robots.txt disallows it, a
    /// limit was reached): takes its place in flight and in the host's pace back,
    /// so that a thousand disallowed URLs do not cost a thousand delays.
    pub fn not_sent(&mut self, host: &HostKey, row: i64) {
        let index = self.index(host);
        self.end_request(index);
        let host = &mut self.hosts[index];
        host.undo_start(Some(row));
        host.breaker.neutral();
        self.schedule(index);
    }

    /// Puts a URL back, to be given out again from its `not_before` on.
    pub fn retry(&mut self, url: QueuedUrl) {
        let index = self.index(&url.url.host_key());
        self.hosts[index].delay_or_queue(url, self.now);
        self.schedule(index);
    }

    /// Requests under way, robots.txt included.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Every host seen so far, in the order in which they came.
    pub fn hosts(&self) -> impl Iterator<Item = HostSnapshot<'_>> {
        self.hosts.iter().map(snapshot)
    }

    /// One of them.
    #[must_use]
    pub fn host(&self, host: &HostKey) -> Option<HostSnapshot<'_>> {
        let index = self.by_key.get(host)?;
        Some(snapshot(&self.hosts[*index]))
    }

    /// Starts nothing any more: `next` says `Busy` until what is in flight has
    /// ended, then `Done`. May be called twice.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    fn act(&mut self, index: usize, action: Action) -> Next {
        const PLANNED: &str = "bug: the plan saw a URL that is due";
        let host = &mut self.hosts[index];
        match action {
            Action::Refill => {
                self.refills_asked += 1;
                Next::Refill {
                    host: host.key.clone(),
                    after_row: host.ask_refill(),
                }
            }
            Action::Robots => {
                host.robots = RobotsKnowledge::Asked;
                host.start(None, self.now, &self.policy);
                self.in_flight += 1;
                Next::Robots(host.key.clone())
            }
            Action::Refuse => Next::Refuse(host.take_url(self.now).expect(PLANNED)),
            Action::Fetch => {
                let url = host.take_url(self.now).expect(PLANNED);
                let allowed = host.breaker.allow(self.now);
                debug_assert!(allowed, "the plan asked the breaker");
                host.start(Some(url.row), self.now, &self.policy);
                self.in_flight += 1;
                Next::Fetch(url)
            }
        }
    }

    fn end_request(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        debug_assert!(host.in_flight > 0, "an answer to no request");
        if host.in_flight > 0 {
            host.in_flight -= 1;
            self.in_flight -= 1;
        }
    }

    fn nothing_ready(&self) -> Next {
        let refilling = self.refills_asked > 0 && !self.stopped;
        if self.in_flight > 0 || refilling {
            Next::Busy
        } else {
            Next::Done
        }
    }

    fn index(&mut self, host: &HostKey) -> usize {
        if let Some(&index) = self.by_key.get(host) {
            return index;
        }
        let index = self.hosts.len();
        self.hosts.push(Host::new(host.clone(), &self.policy));
        self.by_key.insert(host.clone(), index);
        index
    }

    fn window(&self) -> usize {
        let share = URLS_IN_MEMORY_MAX / self.hosts.len().max(1);
        self.policy
            .window_per_host
            .min(share.max(WINDOW_MIN))
            .max(1)
    }

    fn plan(&self, index: usize) -> Plan {
        self.hosts[index].plan(self.now, &self.policy, self.window())
    }

    /// Moves the host to its due time; keeps its turn when that is unchanged.
    fn schedule(&mut self, index: usize) {
        let due = self.due(index);
        if self.hosts[index].scheduled.map(|(at, _)| at) != due {
            self.put(index, due);
        }
    }

    /// As `schedule`, but to the end of the line of those due at the same time.
    fn reschedule(&mut self, index: usize) {
        let due = self.due(index);
        self.put(index, due);
    }

    fn due(&self, index: usize) -> Option<Timestamp> {
        match self.plan(index) {
            Plan::Idle => None,
            Plan::At(at) => Some(at),
            Plan::Now(Action::Refill) => Some(AT_ONCE),
            // Least recently served first. Never `AT_ONCE`, which is for what
            // may happen even when all request slots are taken.
            Plan::Now(_) => Some(self.hosts[index].served_at.max(Timestamp(i64::MIN + 1))),
        }
    }

    fn put(&mut self, index: usize, due: Option<Timestamp>) {
        if let Some((at, turn)) = self.hosts[index].scheduled.take() {
            self.ready.remove(&(at, turn, index));
        }
        if let Some(due) = due {
            self.turn += 1;
            self.ready.insert((due, self.turn, index));
            self.hosts[index].scheduled = Some((due, self.turn));
        }
    }
}

fn snapshot(host: &Host) -> HostSnapshot<'_> {
    HostSnapshot {
        host: &host.key,
        activity: if host.robots == RobotsKnowledge::Asked {
            HostActivity::Robots
        } else if host.more || host.in_flight > 0 || host.in_memory() > 0 {
            HostActivity::Working
        } else {
            HostActivity::Idle
        },
        next_allowed: host.next_allowed,
        breaker: host.breaker.last_state(),
        broken_since: host.breaker.broken_since(),
        in_flight: host.in_flight,
        queued_in_memory: host.in_memory(),
    }
}
