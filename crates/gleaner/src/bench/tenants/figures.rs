//! What a run came to, and how it stands beside what is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::report::Times;
use super::client::{Call, CallCounts};
use super::load::{CrawlSeen, RunEnd, Seen};
use super::scrape::{Buckets, Reading};
use super::web::WebTotals;

/// What is known of a run beside what clients saw.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub database: &'static str,
    pub slots_max: usize,
    pub embeds: bool,
    /// Of the server's process.
    pub memory_peak_bytes: Option<u64>,
    /// Share of all cores that was in use, by whatever: 0 to 1.
    pub machine_busy: f64,
    /// `None`: there can be none.
    pub deadlocks: Option<u64>,
    pub web: WebTotals,
}

#[derive(Clone, Debug)]
pub struct Figures {
    pub end: RunEnd,
    pub took: Duration,
    pub around: Surroundings,
    pub crawls: usize,
    /// Crawls that succeeded and stored every page of their site.
    pub complete: usize,
    /// Crawls by their last known state; `""`: never created.
    pub states: BTreeMap<String, usize>,
    /// Of crawls that were not complete.
    pub problems: Vec<String>,
    pub pages_stored: u64,
    pub pages_wanted: u64,
    /// From the request to the begin of the crawl, and to its end.
    pub waited: Times,
    pub ended: Times,
    pub page_process: Buckets,
    pub chunk: Buckets,
    pub fetch: Buckets,
    pub calls: CallCounts,
    pub searches_with_hits: u64,
    pub foreign_hits: u64,
    pub backlog: Series,
    pub slots_busy: Series,
    pub write_queue: Series,
    pub open_files_max: f64,
    /// CPU time of the server over the time of the run, in cores.
    pub server_cores: f64,
    /// Shares of the time that the store's writer worked, and waited for others.
    pub writer_busy: f64,
    pub writer_waited: f64,
    pub commits: f64,
    pub chunks_pending: f64,
}

/// Readings of a gauge, one a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Series {
    pub mean: f64,
    pub p95: f64,
    pub max: f64,
}

impl Series {
    pub fn of(values: &[f64]) -> Series {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() as f64 * 0.95) as usize;
        let last = sorted.len().saturating_sub(1);
        Series {
            mean: values.iter().sum::<f64>() / values.len().max(1) as f64,
            p95: sorted.get(place.min(last)).copied().unwrap_or(0.0),
            max: sorted.last().copied().unwrap_or(0.0),
        }
    }
}

/// Reasons that are shown.
const PROBLEMS_MAX: usize = 5;

impl Figures {
    pub fn of(pages: usize, seen: Seen, around: Surroundings) -> Figures {
        let is_complete =
            |crawl: &&CrawlSeen| crawl.state == "succeeded" && crawl.stored >= pages as u64;
        let mut states = BTreeMap::new();
        let (mut waited, mut ended) = (Times::default(), Times::default());
        let mut problems = Vec::new();
        for crawl in &seen.crawls {
            *states.entry(crawl.state.clone()).or_default() += 1;
            crawl
                .waited()
                .into_iter()
                .for_each(|time| waited.push(time));
            crawl.ended().into_iter().for_each(|time| ended.push(time));
            if !is_complete(&crawl) && problems.len() < PROBLEMS_MAX {
                problems.extend(problem(pages, crawl));
            }
        }
        let seconds = seen.took.as_secs_f64().max(1e-9);
        let last: &Reading = &seen.last;
        let stored = ["added", "updated", "unchanged"];
        let stored =
            stored.map(|status| last.sum_where("page_process_total", &[("status", status)]));
        Figures {
            end: seen.end,
            took: seen.took,
            crawls: seen.crawls.len(),
            complete: seen.crawls.iter().filter(is_complete).count(),
            states,
            problems,
            pages_stored: stored.iter().sum::<f64>() as u64,
            pages_wanted: (pages * seen.crawls.len()) as u64,
            waited,
            ended,
            page_process: last.histogram("page_process_duration_seconds"),
            chunk: last.histogram("chunk_duration_seconds"),
            fetch: last.histogram("fetch_duration_seconds"),
            calls: seen.calls,
            searches_with_hits: seen.searches_with_hits,
            foreign_hits: seen.foreign_hits,
            backlog: Series::of(&seen.samples.backlog),
            slots_busy: Series::of(&seen.samples.slots_busy),
            write_queue: Series::of(&seen.samples.write_queue),
            open_files_max: seen.samples.files,
            server_cores: last.sum("process_cpu_seconds_total") / seconds,
            writer_busy: last.sum("store_write_seconds_total") / seconds,
            writer_waited: last.sum("store_lock_wait_seconds_total") / seconds,
            commits: last.sum("store_commits_total"),
            chunks_pending: last.sum_where("embedding_chunks", &[("state", "pending")]),
            around,
        }
    }

    pub fn pages_per_s(&self) -> f64 {
        self.pages_stored as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Of all crawls that were asked for, also those that never began.
    pub fn success_percent(&self) -> f64 {
        100.0 * self.complete as f64 / self.crawls.max(1) as f64
    }

    pub fn api_error_percent(&self) -> f64 {
        100.0 * self.calls.failed() as f64 / self.calls.all().max(1) as f64
    }

    pub fn call_times(&self, call: Call) -> Times {
        self.calls.times.get(&call).cloned().unwrap_or_default()
    }

    /// What kept it from being faster, by what was in use nearly all the time.
    pub fn binds(&self) -> String {
        const NEARLY_ALL: f64 = 0.85;
        let slots = self.around.slots_max;
        let busy = |share: f64| format!("{:.0} %", share * 100.0);
        if self.around.machine_busy >= NEARLY_ALL {
            return format!(
                "the machine's cores, {} in use with sites and clients",
                busy(self.around.machine_busy)
            );
        }
        if self.writer_busy + self.writer_waited >= NEARLY_ALL {
            return format!(
                "the database's one writer, {} at work and {} waiting for its turn",
                busy(self.writer_busy),
                busy(self.writer_waited)
            );
        }
        if self.slots_busy.mean >= NEARLY_ALL * slots as f64 {
            return format!(
                "the slots: {:.1} of {slots} in use while the cores were not; raise worker.slots_max",
                self.slots_busy.mean
            );
        }
        "the sites: their latency and the pace at which they are asked".to_owned()
    }

    /// Each figure that something is asked of.
    pub fn targets(&self) -> Vec<Target> {
        let deadlocks = self.around.deadlocks.unwrap_or(0) as f64;
        let errors = self.api_error_percent();
        let target = |name, unit, measured, bound, old, strict| Target {
            name,
            unit,
            measured,
            bound,
            old,
            strict,
        };
        let complete = self.success_percent();
        let page = self.page_process.quantile(0.95);
        let chunk = self.chunk.quantile(0.95);
        let backlog = self.backlog.max;
        vec![
            target("crawls complete", "%", complete, Bound::AtLeast, 99.0, 99.9),
            target("page process p95", "s", page, Bound::Below, 5.0, 1.0),
            target("chunk p95", "s", chunk, Bound::Below, 10.0, 1.0),
            target("queue backlog, most", "", backlog, Bound::Below, 5e3, 5e3),
            target("API errors", "%", errors, Bound::AtMost, 0.5, 0.1),
            target("deadlocks", "", deadlocks, Bound::AtMost, 0.0, 0.0),
        ]
    }
}

fn problem(pages: usize, crawl: &CrawlSeen) -> Option<String> {
    let stored = format!("{} of {pages} pages stored", crawl.stored);
    match (&crawl.error, crawl.state.as_str()) {
        (Some(error), _) => Some(format!("{stored}: {error}")),
        (None, "succeeded" | "failed" | "cancelled" | "dead") => Some(stored),
        // It was still at it.
        (None, _) => None,
    }
}

/// A figure beside what the system that Gleaner replaces was to reach, and what
/// Gleaner is to reach.
#[derive(Clone, Debug)]
pub struct Target {
    pub name: &'static str,
    pub unit: &'static str,
    pub measured: f64,
    pub bound: Bound,
    pub old: f64,
    pub strict: f64,
}

/// On which side of a figure one wants to be.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtLeast,
    AtMost,
    Below,
}

impl Bound {
    pub fn sign(self) -> &'static str {
        match self {
            Bound::AtLeast => "≥",
            Bound::AtMost => "≤",
            Bound::Below => "<",
        }
    }

    fn holds(self, value: f64, figure: f64) -> bool {
        match self {
            Bound::AtLeast => value >= figure,
            Bound::AtMost => value <= figure,
            Bound::Below => value < figure,
        }
    }
}

impl Target {
    pub fn meets_old(&self) -> bool {
        self.bound.holds(self.measured, self.old)
    }

    pub fn meets_strict(&self) -> bool {
        self.bound.holds(self.measured, self.strict)
    }
}
