//! What the dispatcher knows of one host, and what that host could do next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use types::{HostKey, Timestamp};

use crate::breaker::{Breaker, BreakerState};
use crate::pace::{FetchSignal, PacePolicy, QueuedUrl, UrlKind};

/// RFC 9309 §2.4: a copy of robots.txt older than a day should not be used.
const ROBOTS_FRESH_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// First wait of a host that throttles without saying for how long.
const THROTTLE_WAIT_MIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RobotsKnowledge {
    Unknown,
    Asked,
    Known { until: Timestamp },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Refill,
    Robots,
    Refuse,
    Fetch,
}

/// What a host could do, seen from one moment. `Idle` never turns into
/// something else by time passing alone, only by an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Now(Action),
    At(Timestamp),
    Idle,
}

/// The newest request start, kept so that it can be taken back.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// `None` for robots.txt.
    row: Option<i64>,
    allowed_before: Timestamp,
    allowed_after: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) key: HostKey,
    pub(crate) robots: RobotsKnowledge,
    pub(crate) next_allowed: Timestamp,
    pub(crate) in_flight: u32,
    pub(crate) breaker: Breaker,
    /// The store may hold rows above `cursor`.
    pub(crate) more: bool,
    pub(crate) refill_asked: bool,
    /// Place in the dispatcher's ready set.
    pub(crate) scheduled: Option<(Timestamp, u64)>,
    /// When it was last given something to do; hosts take turns by it.
    pub(crate) served_at: Timestamp,
    crawl_delay: Option<Duration>,
    last_start: Option<Start>,
    throttles_in_row: u32,
    /// Sitemaps and feeds: they lead to pages, so they go first.
    resources: VecDeque<QueuedUrl>,
    pages: VecDeque<QueuedUrl>,
    /// By `not_before`, then row.
    delayed: BTreeMap<(Timestamp, i64), QueuedUrl>,
    cursor: i64,
    /// Rows were added while a refill was being read, which may have missed them.
    work_added_while_asked: bool,
}

impl Host {
    pub(crate) fn new(key: HostKey, policy: &PacePolicy) -> Host {
        Host {
            key,
            robots: RobotsKnowledge::Unknown,
            next_allowed: Timestamp(i64::MIN),
            in_flight: 0,
            breaker: Breaker::new(policy.breaker),
            more: false,
            refill_asked: false,
            scheduled: None,
            served_at: Timestamp(i64::MIN),
            crawl_delay: None,
            last_start: None,
            throttles_in_row: 0,
            resources: VecDeque::new(),
            pages: VecDeque::new(),
            delayed: BTreeMap::new(),
            cursor: 0,
            work_added_while_asked: false,
        }
    }

    /// URLs in memory, not counting those in flight.
    pub(crate) fn in_memory(&self) -> usize {
        self.resources.len() + self.pages.len() + self.delayed.len()
    }

    pub(crate) fn plan(&self, now: Timestamp, policy: &PacePolicy, window: usize) -> Plan {
        if self.robots == RobotsKnowledge::Asked {
            return Plan::Idle;
        }
        let robots_fresh = matches!(self.robots, RobotsKnowledge::Known { until } if now < until);
        let refusing = self.breaker.refuses(now);
        // robots.txt first: with it the caller can drop rows as it reads them.
        if (robots_fresh || refusing) && self.wants_refill(window) {
            return Plan::Now(Action::Refill);
        }
        let url_at = if self.resources.is_empty() && self.pages.is_empty() {
            self.delayed.first_key_value().map(|((at, _), _)| *at)
        } else {
            Some(Timestamp(i64::MIN))
        };
        if refusing {
            return plan_at(url_at, now, Action::Refuse);
        }
        let mut earliest = self.next_allowed;
        match self.breaker.state(now) {
            BreakerState::Closed => {}
            BreakerState::Open { until } => earliest = earliest.max(until),
            // The probe must be alone, so that what ends next is the probe.
            BreakerState::HalfOpen if self.in_flight > 0 || self.breaker.is_probing() => {
                return Plan::Idle;
            }
            BreakerState::HalfOpen => {}
        }
        if self.in_flight >= policy.concurrency_per_host.max(1) {
            return Plan::Idle;
        }
        if robots_fresh {
            return plan_at(url_at.map(|at| at.max(earliest)), now, Action::Fetch);
        }
        let wanted_at = if self.more { Some(earliest) } else { url_at };
        plan_at(wanted_at.map(|at| at.max(earliest)), now, Action::Robots)
    }

    pub(crate) fn take_url(&mut self, now: Timestamp) -> Option<QueuedUrl> {
        self.wake_delayed(now);
        self.resources
            .pop_front()
            .or_else(|| self.pages.pop_front())
    }

    pub(crate) fn start(&mut self, row: Option<i64>, now: Timestamp, policy: &PacePolicy) {
        let allowed_after = now.plus(self.delay(policy));
        self.last_start = Some(Start {
            row,
            allowed_before: self.next_allowed,
            allowed_after,
        });
        self.next_allowed = allowed_after;
        self.in_flight += 1;
    }

    /// Takes a start back, when it is the newest and nothing else (a throttle)
    /// has moved the host since.
    pub(crate) fn undo_start(&mut self, row: Option<i64>) {
        if let Some(start) = self.last_start
            && start.row == row
        {
            if self.next_allowed == start.allowed_after {
                self.next_allowed = start.allowed_before;
            }
            self.last_start = None;
        }
    }

    pub(crate) fn ask_refill(&mut self) -> i64 {
        self.refill_asked = true;
        self.work_added_while_asked = false;
        self.cursor
    }

    pub(crate) fn add_work(&mut self) {
        self.more = true;
        self.work_added_while_asked = true;
    }

    /// Takes what fits the window; the rest will be read again later.
    pub(crate) fn refill(
        &mut self,
        rows: Vec<QueuedUrl>,
        more: bool,
        window: usize,
        now: Timestamp,
    ) {
        debug_assert!(
            rows.is_sorted_by_key(|url| url.row),
            "rows come in row order"
        );
        let got_any = rows.last().is_some_and(|last| last.row > self.cursor);
        let mut left_over = false;
        for url in rows {
            if url.row <= self.cursor {
                continue;
            }
            if self.in_memory() >= window {
                left_over = true;
                break;
            }
            self.cursor = url.row;
            self.delay_or_queue(url, now);
        }
        // A claim of "more" without a single new row would be asked for forever.
        self.more = left_over || (more && got_any) || self.work_added_while_asked;
        self.refill_asked = false;
        self.work_added_while_asked = false;
    }

    pub(crate) fn delay_or_queue(&mut self, url: QueuedUrl, now: Timestamp) {
        if url.not_before > now {
            self.delayed.insert((url.not_before, url.row), url);
        } else {
            self.queue(url);
        }
    }

    pub(crate) fn robots_known(
        &mut self,
        crawl_delay: Option<Duration>,
        now: Timestamp,
        requested: bool,
        policy: &PacePolicy,
    ) {
        let asked = self.robots == RobotsKnowledge::Asked;
        self.robots = RobotsKnowledge::Known {
            until: now.plus(ROBOTS_FRESH_FOR),
        };
        self.crawl_delay = crawl_delay;
        if requested {
            self.last_start = None;
            // From its end, not its start: redirects may have been followed.
            self.next_allowed = self.next_allowed.max(now.plus(self.delay(policy)));
        } else if asked {
            self.undo_start(None);
        }
    }

    pub(crate) fn finished(&mut self, now: Timestamp, signal: FetchSignal, policy: &PacePolicy) {
        match signal {
            FetchSignal::Ok => {
                self.throttles_in_row = 0;
                self.breaker.success();
            }
            FetchSignal::Failed => self.breaker.failure(now),
            FetchSignal::Throttled { retry_after } => {
                let wait = retry_after.unwrap_or_else(|| {
                    let doublings = self.throttles_in_row.min(31);
                    self.delay(policy)
                        .max(THROTTLE_WAIT_MIN)
                        .saturating_mul(1 << doublings)
                });
                // Never longer than URLs would wait for a broken host.
                let longest = (policy.breaker.open_for)
                    .max(policy.breaker.breaker_wait_max)
                    .max(THROTTLE_WAIT_MIN);
                self.next_allowed = self.next_allowed.max(now.plus(wait.min(longest)));
                self.throttles_in_row = self.throttles_in_row.saturating_add(1);
                self.breaker.failure(now);
            }
            FetchSignal::Neutral => self.breaker.neutral(),
        }
    }

    fn delay(&self, policy: &PacePolicy) -> Duration {
        let asked = self.crawl_delay.unwrap_or_default();
        policy.delay.max(asked.min(policy.crawl_delay_max))
    }

    fn wants_refill(&self, window: usize) -> bool {
        let ready = self.resources.len() + self.pages.len();
        self.more && !self.refill_asked && ready <= window / 4 && self.in_memory() < window
    }

    fn queue(&mut self, url: QueuedUrl) {
        match url.kind {
            UrlKind::Sitemap | UrlKind::Feed => self.resources.push_back(url),
            UrlKind::Page => self.pages.push_back(url),
        }
    }

    fn wake_delayed(&mut self, now: Timestamp) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let url = entry.remove();
            self.queue(url);
        }
    }
}

fn plan_at(at: Option<Timestamp>, now: Timestamp, action: Action) -> Plan {
    match at {
        None => Plan::Idle,
        Some(at) if at <= now => Plan::Now(action),
        Some(at) => Plan::At(at),
    }
}
