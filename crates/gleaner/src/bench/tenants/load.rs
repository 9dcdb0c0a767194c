//! The load: a client per tenant that creates a website and waits for its crawl,
//! others that search meanwhile, and one that watches the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::{Call, CallCounts, Calls, Client};
use super::scrape::Reading;
use super::server::ServerProcess;
use super::web;

/// The tenants come one after the other within so long.
const RAMP: Duration = Duration::from_secs(5);
/// How often a client looks how far its crawl is.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// Each searching client asks so often.
pub const SEARCH_EVERY: Duration = Duration::from_secs(1);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// A client whose website could not be created tries again so often.
const CREATE_ATTEMPTS: u32 = 5;
const CREATE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A tenant and what it is going to crawl.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub key: String,
    /// The start page; all pages of the site begin with it.
    pub site: String,
}

#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub server: SocketAddr,
    pub tenants: Arc<Vec<Tenant>>,
    /// Sent as `max_pages`.
    pub pages_max: usize,
    pub searchers: usize,
    pub limit: Duration,
}

/// One tenant's crawl as its client saw it.
#[derive(Clone, Debug, Default)]
pub struct CrawlSeen {
    pub task: Option<i64>,
    /// As of the last look.
    pub state: String,
    pub error: Option<String>,
    pub stored: u64,
    pub enqueued_at: Option<jiff::Timestamp>,
    /// Of its last run.
    pub started_at: Option<jiff::Timestamp>,
    pub finished_at: Option<jiff::Timestamp>,
}

impl CrawlSeen {
    /// From the request to the begin of the crawl.
    pub fn waited(&self) -> Option<Duration> {
        between(self.enqueued_at, self.started_at)
    }

    /// From the request to the end of the crawl.
    pub fn ended(&self) -> Option<Duration> {
        between(self.enqueued_at, self.finished_at)
    }

    fn is_over(&self) -> bool {
        matches!(
            self.state.as_str(),
            "succeeded" | "failed" | "cancelled" | "dead"
        )
    }
}

fn between(from: Option<jiff::Timestamp>, to: Option<jiff::Timestamp>) -> Option<Duration> {
    Duration::try_from(to? - from?).ok()
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Every crawl has ended.
    Complete,
    TimeLimit,
    Interrupted,
    ServerDied,
}

/// What was seen of a run.
#[derive(Debug)]
pub struct Seen {
    pub end: RunEnd,
    pub took: Duration,
    pub crawls: Vec<CrawlSeen>,
    pub calls: CallCounts,
    /// Hits of other tenants' pages: there must be none.
    pub foreign_hits: u64,
    pub searches_with_hits: u64,
    pub samples: Samples,
    pub last: Reading,
}

/// What was read of the server once a second.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Tasks that waited for a worker.
    pub backlog: Vec<f64>,
    pub slots_busy: Vec<f64>,
    pub write_queue: Vec<f64>,
    pub files: f64,
}

impl Samples {
    fn add(&mut self, reading: &Reading) {
        self.backlog
            .push(reading.sum_where("queue_size", &[("state", "queued")]));
        self.slots_busy.push(reading.sum("worker_slots_busy"));
        self.write_queue.push(reading.sum("store_write_queue_size"));
        self.files = self.files.max(reading.sum("process_open_fds"));
    }
}

#[derive(Debug, Default)]
struct SearchesSeen {
    with_hits: AtomicU64,
    foreign_hits: AtomicU64,
}

/// Puts the load on the server until every crawl has ended, the time is up, or
/// `interrupted` says so.
pub async fn run(
    plan: &LoadPlan,
    server: &mut ServerProcess,
    mut interrupted: watch::Receiver<bool>,
) -> Result<Seen> {
    let start = Instant::now();
    let calls = Calls::default();
    let (stop, stopped) = watch::channel(false);
    let mut crawls = JoinSet::new();
    for number in 0..plan.tenants.len() {
        let (plan, calls, stopped) = (plan.clone(), calls.clone(), stopped.clone());
        crawls.spawn(async move { crawl(&plan, number, calls, stopped).await });
    }
    let searches: Arc<SearchesSeen> = Arc::default();
    let mut searchers = JoinSet::new();
    for number in 0..plan.searchers {
        let (plan, calls, seen) = (plan.clone(), calls.clone(), searches.clone());
        searchers.spawn(async move { search(&plan, number as u64, calls, &seen).await });
    }
    let mut watcher = Client::new(plan.server, None, calls.clone());
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut samples, mut last) = (Samples::default(), Reading::default());
    let mut seen = vec![CrawlSeen::default(); plan.tenants.len()];
    let end = loop {
        tokio::select! {
            crawl = crawls.join_next() => match crawl {
                Some(crawl) => {
                    let (number, crawl) = crawl.context("bug: a client panicked")?;
                    seen[number] = crawl;
                }
                None => break RunEnd::Complete,
            },
            _ = ticks.tick() => {
                if let Some(reading) = read_metrics(&mut watcher).await {
                    samples.add(&reading);
                    last = reading;
                }
                if !server.is_running() {
                    break RunEnd::ServerDied;
                }
                if start.elapsed() >= plan.limit {
                    break RunEnd::TimeLimit;
                }
            }
            _ = interrupted.wait_for(|interrupted| *interrupted) => break RunEnd::Interrupted,
        }
    };
    let took = start.elapsed();
    searchers.shutdown().await;
    if let Some(reading) = read_metrics(&mut watcher).await {
        last = reading;
    }
    let counts = calls.counts();
    stop.send_replace(true);
    while let Some(crawl) = crawls.join_next().await {
        let (number, crawl) = crawl.context("bug: a client panicked")?;
        seen[number] = crawl;
    }
    Ok(Seen {
        took: span(&seen)
            .filter(|_| end == RunEnd::Complete)
            .unwrap_or(took),
        end,
        crawls: seen,
        calls: counts,
        foreign_hits: searches.foreign_hits.load(Ordering::Relaxed),
        searches_with_hits: searches.with_hits.load(Ordering::Relaxed),
        samples,
        last,
    })
}

/// From the first request to the end of the last crawl: clients look now and then
/// only, and hear of it later.
fn span(crawls: &[CrawlSeen]) -> Option<Duration> {
    let begin = crawls.iter().filter_map(|crawl| crawl.enqueued_at).min();
    let end = crawls.iter().filter_map(|crawl| crawl.finished_at).max();
    between(begin, end).filter(|span| !span.is_zero())
}

async fn read_metrics(client: &mut Client) -> Option<Reading> {
    let answer = client.get(Call::Own, "/metrics").await.ok()?;
    let text = std::str::from_utf8(&answer.body).ok()?;
    answer.is_success().then(|| Reading::parse(text))
}

/// One tenant: creates its website, then looks now and then how far the crawl
/// is. What has not ended when told to stop is cancelled.
async fn crawl(
    plan: &LoadPlan,
    number: usize,
    calls: Calls,
    mut stopped: watch::Receiver<bool>,
) -> (usize, CrawlSeen) {
    let tenant = &plan.tenants[number];
    let mut client = Client::new(plan.server, Some(tenant.key.clone()), calls);
    let mut seen = CrawlSeen::default();
    let is_stopped = async {
        // Also when nobody is left who could say so.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    tokio::select! {
        () = follow(plan, number, &mut client, &mut seen) => return (number, seen),
        () = is_stopped => {}
    }
    if let Some(task) = seen.task
        && !seen.is_over()
    {
        // On a database that stays nothing of the load is to be left in the queue.
        let path = format!("/api/v2/tasks/{task}");
        let _ = client.ask(Call::Own, Method::DELETE, &path, None).await;
    }
    (number, seen)
}

async fn follow(plan: &LoadPlan, number: usize, client: &mut Client, seen: &mut CrawlSeen) {
    let share = number as f64 / plan.tenants.len().max(1) as f64;
    tokio::time::sleep(RAMP.mul_f64(share)).await;
    create(plan, number, client, seen).await;
    let Some(task) = seen.task else {
        return;
    };
    let path = format!("/api/v2/tasks/{task}");
    while !seen.is_over() {
        tokio::time::sleep(STATUS_EVERY).await;
        if let Ok(answer) = client.get(Call::Status, &path).await
            && answer.is_success()
            && let Ok(view) = answer.json()
        {
            read_task(seen, &view);
        }
    }
}

async fn create(plan: &LoadPlan, number: usize, client: &mut Client, seen: &mut CrawlSeen) {
    const PATH: &str = "/api/v1/web-knowledge/websites/create-and-crawl/";
    let wanted = json!({ "url": plan.tenants[number].site, "max_pages": plan.pages_max });
    for attempt in 1..=CREATE_ATTEMPTS {
        let asked = client
            .ask(Call::Create, Method::POST, PATH, Some(&wanted))
            .await;
        match asked {
            Ok(answer) if answer.is_success() => {
                seen.task = answer.json().ok().and_then(|made| made["task_id"].as_i64());
                return;
            }
            Ok(answer) => {
                seen.error = Some(String::from_utf8_lossy(&answer.body).into_owned());
            }
            Err(error) => seen.error = Some(format!("{error:#}")),
        }
        tokio::time::sleep(CREATE_AGAIN_AFTER * attempt).await;
    }
}

fn read_task(seen: &mut CrawlSeen, view: &Value) {
    let text = |name: &str| view[name].as_str().map(str::to_owned);
    let at = |name: &str| view[name].as_str()?.parse::<jiff::Timestamp>().ok();
    seen.state = text("state").unwrap_or_default();
    seen.error = text("error");
    let pages = &view["result"]["pages"];
    seen.stored = if pages.is_object() {
        let count = |name: &str| pages[name].as_u64().unwrap_or(0);
        count("added") + count("updated") + count("unchanged")
    } else {
        let progress = &view["progress"];
        let count = |name: &str| progress[name].as_u64().unwrap_or(0);
        count("completed").saturating_sub(count("errors"))
    };
    seen.enqueued_at = at("enqueued_at");
    seen.started_at = at("started_at");
    seen.finished_at = at("finished_at");
}

/// Searches one tenant's pages after the other's, for ever.
async fn search(plan: &LoadPlan, number: u64, calls: Calls, seen: &SearchesSeen) {
    let mut client = Client::new(plan.server, None, calls);
    let mut ticks = tokio::time::interval(SEARCH_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Not all in the same moment.
    let share = number as f64 / plan.searchers.max(1) as f64;
    tokio::time::sleep(SEARCH_EVERY.mul_f64(share)).await;
    for round in 0u64.. {
        ticks.tick().await;
        let turn = round * plan.searchers as u64 + number;
        // A stride without a common factor comes round to everybody.
        let tenant = (turn.wrapping_mul(7_919) % plan.tenants.len().max(1) as u64) as usize;
        let tenant = &plan.tenants[tenant];
        client.use_key(&tenant.key);
        let words = web::query(turn).replace(' ', "+");
        let path = format!("/api/v2/search?q={words}&fields=url");
        let Ok(answer) = client.get(Call::Search, &path).await else {
            continue;
        };
        let Some(view) = answer.is_success().then(|| answer.json().ok()).flatten() else {
            continue;
        };
        let hits = view["hits"].as_array().map_or(&[][..], Vec::as_slice);
        if !hits.is_empty() {
            seen.with_hits.fetch_add(1, Ordering::Relaxed);
        }
        let foreign = hits.iter().filter(|hit| {
            let url = hit["url"].as_str().unwrap_or_default();
            !url.starts_with(&tenant.site)
        });
        let foreign = foreign.count() as u64;
        seen.foreign_hits.fetch_add(foreign, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_answer_says_how_far_the_crawl_is() {
        let mut seen = CrawlSeen::default();
        let mut view = json!({
            "state": "running", "error": null, "result": null,
            "enqueued_at": "2024-01-01T00:00:00Z", "started_at": "2024-01-01T00:00:02.5Z",
            "finished_at": null, "progress": {"completed": 7, "errors": 2},
        });
        read_task(&mut seen, &view);
        assert!(!seen.is_over());
        assert_eq!((seen.stored, seen.ended()), (5, None));
        assert_eq!(seen.waited(), Some(Duration::from_millis(2500)));
        view["state"] = json!("succeeded");
        view["finished_at"] = json!("2024-01-01T00:00:09Z");
        view["result"] = json!({"pages": {"added": 4, "updated": 1, "unchanged": 1, "failed": 3}});
        read_task(&mut seen, &view);
        assert!(seen.is_over());
        assert_eq!(
            (seen.stored, seen.ended()),
            (6, Some(Duration::from_secs(9)))
        );
    }
}
