//! The queue, workers, schedules: run as processes, as an operator runs them.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use store::{Access, NewTask, Store, StoreOptions, TaskFilter};
use testkit::{FakeWeb, Gate};
use types::{Priority, SystemClock, TaskState, TenantId};

use crate::resume::{gated_site, until_requested};
use crate::support::{command, gleaner, page, paragraphs};

/// A running `gleaner worker`; killed when dropped.
struct Worker(Child);

impl Worker {
    fn start(dir: &Path) -> Worker {
        let child = command(dir, &["worker", "--allow-private", "127.0.0.0/8"])
            .env("GLEANER__EMBED__PROVIDER", "off")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the worker starts");
        Worker(child)
    }

    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("reaped");
    }

    /// As Ctrl-C does; the worker ends by itself.
    fn stop(mut self) {
        let pid = i32::try_from(self.0.id()).expect("pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("pid");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signalled");
        assert!(self.0.wait().expect("ended").success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Gone already in all but failing tests.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn store(dir: &Path) -> Store {
    let options = StoreOptions::default();
    Store::open(dir, Access::Write, &options, Arc::new(SystemClock)).expect("store")
}

/// Looks until it is so, at most two minutes.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn site(web: &FakeWeb, pages: usize) {
    let links: String = (0..pages)
        .map(|n| format!("<a href=/p{n}>p{n}</a> "))
        .collect();
    let start = format!("{}{links}", paragraphs("beginnings"));
    web.route("/", page("Start", &start));
    for n in 0..pages {
        let body = paragraphs(&format!("topic {n}"));
        web.route(&format!("/p{n}"), page(&format!("Page {n}"), &body));
    }
}

fn add_source(dir: &Path, url: &str, more: &[&str]) -> i64 {
    let mut args = vec!["source", "add", url, "--json"];
    args.extend(more);
    gleaner(dir, &args).ok().json()["id"]
        .as_i64()
        .expect("source id")
}

fn task(dir: &Path, id: i64) -> Value {
    gleaner(dir, &["task", "show", &id.to_string(), "--json"])
        .ok()
        .json()
}

#[test]
fn a_due_source_is_crawled_and_due_again() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    site(&web, 5);
    let source = add_source(dir.path(), &web.url("/"), &["--every", "6h"]);
    let checked = gleaner(dir.path(), &["scheduler", "--once", "--json"]).ok();
    assert_eq!(checked.json()["enqueued"], 1);
    let again = gleaner(dir.path(), &["scheduler", "--once", "--json"]).ok();
    assert_eq!(again.json()["enqueued"], 0, "due once, enqueued once");

    let worker = Worker::start(dir.path());
    let watched = gleaner(dir.path(), &["task", "watch", "1", "--json"]).ok();
    let result = &watched.json()["result"];
    assert_eq!(result["pages"]["added"], 6, "{result}");
    worker.stop();

    let shown = gleaner(
        dir.path(),
        &["source", "show", &source.to_string(), "--json"],
    )
    .ok()
    .json();
    assert_eq!(shown["crawls"][0]["status"], "completed");
    assert_eq!(shown["source"]["failures_in_a_row"], 0);
    assert!(shown["source"]["next_due_at"].is_string(), "{shown}");
    let hits = gleaner(dir.path(), &["search", "topic", "--json"]).ok();
    assert_eq!(
        hits.json()["total"],
        5,
        "searchable when the task has ended"
    );
}

#[test]
fn a_crawl_by_hand_keeps_the_settings_of_a_scheduled_source() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    site(&web, 5);
    let mut typed = vec!["--name", "kites", "--every", "6h"];
    typed.extend(["--max-pages", "3", "--concurrency", "1"]);
    add_source(dir.path(), &web.url("/"), &typed);
    let json = crate::support::crawl(dir.path(), &web.url("/"), &["--concurrency", "2"])
        .ok()
        .json();
    assert_eq!(json["pages"]["added"], 3, "{json}");
    let shown = gleaner(dir.path(), &["source", "list", "--json"])
        .ok()
        .json();
    assert_eq!(shown["settings"], json!({"pages_max": 3, "concurrency": 2}));
    assert_eq!(shown["every_s"], 6 * 3600);
    assert_eq!(shown["name"], "kites");
}

#[test]
fn a_source_that_keeps_failing_is_flagged_and_says_why() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    let source = add_source(dir.path(), &web.url("/gone"), &["--every", "1h"]);
    let worker = Worker::start(dir.path());
    for _ in 0..3 {
        let queued = gleaner(
            dir.path(),
            &["source", "crawl", &source.to_string(), "--json"],
        )
        .ok();
        let id = queued.json()["task_id"].to_string();
        let watched = gleaner(dir.path(), &["task", "watch", &id, "--json"]);
        assert_eq!(watched.code, 1);
        assert_eq!(watched.json()["state"], "failed");
    }
    worker.stop();
    let shown = gleaner(dir.path(), &["source", "list", "--json"])
        .ok()
        .json();
    assert_eq!(shown["failures_in_a_row"], 3);
    let trouble = shown["trouble"].as_str().expect("trouble");
    assert!(trouble.contains("404"), "{trouble}");
}

#[test]
fn a_running_crawl_is_paused_resumed_and_cancelled() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    let gate = Gate::new();
    gated_site(&web, 5, &gate);
    let source = add_source(
        dir.path(),
        &web.url("/"),
        &["--concurrency", "1", "--summarize"],
    );
    let worker = Worker::start(dir.path());
    let id = gleaner(
        dir.path(),
        &["source", "crawl", &source.to_string(), "--json"],
    )
    .ok()
    .json()["task_id"]
        .as_i64()
        .expect("task");
    until_requested(&web, "/p5");
    let id_text = id.to_string();
    gleaner(dir.path(), &["task", "pause", &id_text]).ok();
    until("paused", || {
        gate.open(1);
        task(dir.path(), id)["state"] == "scheduled"
    });
    assert_eq!(task(dir.path(), id)["waiting_for"], "paused");
    let requested = web.log().len();

    gleaner(dir.path(), &["task", "resume", &id_text]).ok();
    until("resumed", || web.log().len() > requested);
    gleaner(dir.path(), &["task", "cancel", &id_text]).ok();
    // Piece by piece: all at once, it would be done before it heard.
    until("cancelled", || {
        gate.open(1);
        task(dir.path(), id)["state"] == "cancelled"
    });
    let refused = gleaner(dir.path(), &["task", "cancel", &id_text]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("already cancelled"),
        "{}",
        refused.stderr
    );
    worker.stop();
    let shown = gleaner(
        dir.path(),
        &["source", "show", &source.to_string(), "--json"],
    )
    .ok()
    .json();
    let crawl = &shown["crawls"][0];
    assert_eq!(crawl["status"], "cancelled");
    let summaries = gleaner(dir.path(), &["task", "list", "--kind", "summarize"]).ok();
    assert!(
        !summaries.stdout.contains("summarize"),
        "none: it is not to go on"
    );
    let count = |name: &str| crawl[name].as_u64().expect("count");
    let ended = ["added", "updated", "unchanged", "failed", "skipped"].map(count);
    assert_eq!(count("found"), ended.iter().sum::<u64>(), "Q2: {crawl}");
}

#[test]
fn other_chunk_settings_cut_stored_pages_anew() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    let long: String = (0..40).map(|n| paragraphs(&format!("topic {n}"))).collect();
    web.route("/", page("Long", &long));
    crate::support::crawl(dir.path(), &web.url("/"), &[]).ok();
    let chunks = || {
        gleaner(dir.path(), &["page", "list", "--json"]).ok().json()["chunks"]
            .as_u64()
            .expect("chunks")
    };
    let before = chunks();
    let worker = command(dir.path(), &["worker"])
        .env("GLEANER__EMBED__PROVIDER", "off")
        .env("GLEANER__CHUNK__TOKENS_MAX", "96")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the worker starts");
    let worker = Worker(worker);
    until("cut anew", || chunks() > before);
    worker.stop();
    let hits = gleaner(dir.path(), &["search", "\"topic 39\"", "--json"]).ok();
    assert_eq!(hits.json()["total"], 1);
}

/// Scales the two tests below up to what a release is judged by.
fn scale(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

fn mixed_tasks(web: &FakeWeb, count: usize) -> Vec<NewTask> {
    let new = |kind: &str, payload: Value, priority| NewTask {
        tenant: TenantId::DEFAULT,
        kind: kind.to_owned(),
        payload: payload.to_string(),
        priority,
        run_at: None,
        attempts_max: 5,
        timeout: Duration::from_secs(60),
        dedupe: None,
        parent: None,
    };
    (0..count)
        .map(|n| match n % 10 {
            0 => new("housekeeping", json!({}), Priority::LOW),
            1 => new("embed", json!({}), Priority::LOW),
            2 => {
                let urls: Vec<String> = (0..5)
                    .map(|k| web.url(&format!("/p{}", (n + 8 + k) % 50)))
                    .collect();
                new("scrape_batch", json!({"urls": urls}), Priority::DEFAULT)
            }
            _ => {
                let url = web.url(&format!("/p{}", n % 50));
                new("scrape", json!({"urls": [url]}), Priority::HIGH)
            }
        })
        .collect()
}

/// Every task succeeded once, and every crawl of one has exact counts.
fn check_all_done(store: &Store, tasks: usize) {
    let counts = store.queue_status(None).expect("status");
    let succeeded: u64 = counts.iter().map(|count| count.ever.succeeded).sum();
    let ended: u64 = counts
        .iter()
        .map(|count| count.ever.failed + count.ever.cancelled + count.ever.dead)
        .sum();
    assert_eq!((succeeded, ended), (tasks as u64, 0), "Q1: {counts:?}");
    for crawl in store
        .tenant_crawls(TenantId::DEFAULT, None, None, 1_000_000)
        .expect("crawls")
    {
        let c = crawl.counts;
        let sum = c.added + c.updated + c.unchanged + c.failed + c.skipped;
        assert_eq!((crawl.queued, c.found), (0, sum), "Q2: {crawl:?}");
    }
    let stats = store.stats().expect("stats");
    assert_eq!(stats.pages_live, 50, "each page once");
}

fn done(store: &Store) -> u64 {
    let counts = store.queue_status(None).expect("status");
    counts.iter().map(|count| count.ever.succeeded).sum()
}

#[test]
fn q1_kill_9_of_the_worker_loses_no_task_and_ends_none_twice() {
    let (tasks, kills) = (
        scale("GLEANER_TEST_TASKS", 200),
        scale("GLEANER_TEST_KILLS", 6),
    );
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    site(&web, 50);
    let store = store(dir.path());
    store
        .enqueue_tasks(mixed_tasks(&web, tasks))
        .expect("enqueued");
    for kill in 0..kills {
        let worker = Worker::start(dir.path());
        // Where in its work the worker is then is anybody's guess.
        let goal = (tasks * (kill + 1) / (kills + 1)) as u64;
        until("so far", || done(&store) >= goal);
        worker.kill();
    }
    let worker = Worker::start(dir.path());
    until("all done", || done(&store) >= tasks as u64);
    worker.stop();
    check_all_done(&store, tasks);
}

#[test]
fn q1_two_workers_and_two_schedulers_share_a_data_folder() {
    let tasks = scale("GLEANER_TEST_TASKS", 200);
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    site(&web, 50);
    let store = store(dir.path());
    store
        .enqueue_tasks(mixed_tasks(&web, tasks))
        .expect("enqueued");
    let workers = [Worker::start(dir.path()), Worker::start(dir.path())];
    for n in 0..10 {
        add_source(dir.path(), &web.url(&format!("/p{n}")), &["--every", "1h"]);
    }
    let enqueued: u64 = std::thread::scope(|scope| {
        let check = || {
            let ran = gleaner(dir.path(), &["scheduler", "--once", "--json"]).ok();
            assert!(!ran.stderr.contains("locked"), "{}", ran.stderr);
            ran.json()["enqueued"].as_u64().expect("count")
        };
        let schedulers = [scope.spawn(check), scope.spawn(check)];
        schedulers
            .map(|s| s.join().expect("scheduler"))
            .iter()
            .sum()
    });
    assert_eq!(enqueued, 10, "each due source is enqueued by one of them");
    let housekeeping = 1..=2;
    until("all done", || done(&store) > (tasks + 10) as u64);
    for worker in workers {
        worker.stop();
    }
    let counts = store.queue_status(None).expect("status");
    let ended: u64 = counts.iter().map(|count| count.ever.succeeded).sum();
    let extra = ended - (tasks + 10) as u64;
    assert!(housekeeping.contains(&extra), "{counts:?}");
    let runs = store
        .tasks(
            TenantId::DEFAULT,
            &TaskFilter {
                limit: 500,
                ..TaskFilter::default()
            },
        )
        .expect("tasks");
    assert!(
        runs.iter()
            .all(|task| task.state == TaskState::Succeeded && task.attempt == 1),
        "each ran once"
    );
}

#[test]
fn requests_that_cannot_be_met_say_why() {
    let dir = tempfile::tempdir().expect("temp dir");
    let refused = |args: &[&str], code: i32, text: &str| {
        let ran = gleaner(dir.path(), args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(text), "{args:?}: {}", ran.stderr);
    };
    let scrape = ["task", "scrape", "http://127.0.0.1:9/", "--json"];
    gleaner(dir.path(), &scrape).ok();
    refused(
        &["worker", "--kind", "nonsense"],
        2,
        "no task kind `nonsense`",
    );
    refused(
        &["task", "list", "--state", "lost"],
        2,
        "no task state `lost`",
    );
    refused(&["task", "show", "99"], 1, "no task 99");
    refused(&["task", "retry", "1"], 1, "queued");
    refused(
        &["task", "scrape", "https://a.example", "--priority", "-1"],
        2,
        "priority",
    );
    refused(
        &["source", "add", "https://a.example", "--every", "soon"],
        2,
        "`soon` is no time",
    );
    refused(
        &["source", "add", "https://a.example", "--cron", "* *"],
        2,
        "five fields",
    );
    refused(&["source", "crawl", "7"], 1, "no source 7");

    // Written by another version, or by nobody who knew what they did.
    let store = store(dir.path());
    let mut tasks = mixed_tasks(&FakeWeb::start_blocking(), 4);
    tasks[3].payload = json!({"addresses": ["http://127.0.0.1:9/"]}).to_string();
    let id = store
        .enqueue_tasks(vec![tasks.remove(3)])
        .expect("enqueued")[0]
        .id;
    let worker = Worker::start(dir.path());
    until("failed", || task(dir.path(), id.0)["state"] == "failed");
    worker.stop();
    let error = task(dir.path(), id.0)["error"].to_string();
    assert!(error.contains("payload"), "{error}");
}
