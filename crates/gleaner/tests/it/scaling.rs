//! Which tasks a worker takes, and what an autoscaler is told.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::FakeWeb;

use crate::http::Running;
use crate::support::{command, gleaner, ran, site};

const SERVE: [&str; 6] = [
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--no-workers",
    "--allow-private",
    "127.0.0.0/8",
];

fn worker(dir: &Path, more: &[&str]) -> Running {
    let mut args = vec!["worker", "--metrics-listen", "127.0.0.1:0"];
    args.extend(["--allow-private", "127.0.0.0/8"]);
    args.extend(more);
    Running::start(dir, &args, "metrics")
}

/// One kind of task as the scaling signals tell it.
fn of(scaling: &Value, queue: &str) -> Value {
    let queues = scaling["queues"].as_array().expect("queues").iter();
    let mut found = queues.filter(|q| q["queue"] == queue);
    found.next().unwrap_or_else(|| panic!("{scaling}")).clone()
}

fn scaling(server: &Running, queues: &str) -> Value {
    let path = format!("/api/v2/system/scaling{queues}");
    server.get(&path).is(200).json()
}

/// Looks until it is so, at most two minutes.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn workers_take_their_queues_and_the_rest_is_told_to_the_autoscaler() {
    let web = FakeWeb::start_blocking();
    site(&web, 4);
    let dir = tempfile::tempdir().expect("temp dir");
    let limits = [
        ("GLEANER__WORKER__AUTOSCALE_MIN", "0"),
        ("GLEANER__WORKER__SLOTS_MAX", "2"),
    ];
    let server = Running::start_with(dir.path(), &SERVE, "listening", &limits);
    let idle = scaling(&server, "");
    assert_eq!(idle["suggested_workers"], 0, "{idle}");
    assert_eq!(
        (&idle["slots_per_worker"], &idle["workers_max"]),
        (&json!(2), &json!(50))
    );

    // A message waits for a webhook, a light task; a crawl and a scrape wait for a slot.
    let hook = json!({"url": web.url("/hook"), "events": ["page.added"]});
    server.post("/api/v2/webhooks", &hook).is(201);
    let line = json!({"url": "https://a.example/", "markdown": "# A\n\nOne page."}).to_string();
    let bulk = "/api/v2/pages/bulk";
    let stored = server.ask_with("POST", bulk, &[], "application/x-ndjson", line.as_bytes());
    assert_eq!(stored.is(200).json()["added"], 1);
    let source = json!({"urls": [web.url("/")], "crawl_now": true});
    server.post("/api/v2/sources", &source).is(201);
    let scrape = json!({"url": web.url("/p1")});
    let scraped = server.post("/api/v2/tasks/scrape/async", &scrape).is(202);
    let scraped = scraped.json()["task_id"].clone();

    // The message is due a moment after the page was stored.
    let light = || of(&scaling(&server, "?queues=webhooks"), "webhooks");
    until("due", || light()["ready"] == 1);
    let waiting = scaling(&server, "");
    let counts = |kind: &Value| (kind["ready"].clone(), kind["suggested_slots"].clone());
    assert_eq!(counts(&of(&waiting, "crawl")), (json!(1), json!(1)));
    assert_eq!(counts(&of(&waiting, "scrape")), (json!(1), json!(1)));
    let light = of(&waiting, "webhooks");
    assert_eq!(counts(&light), (json!(1), json!(0)));
    assert_eq!(light["is_light"], true);
    assert_eq!(waiting["suggested_workers"], 1, "two slots: {waiting}");
    let of_light = scaling(&server, "?queues=webhooks");
    assert_eq!(of_light["suggested_workers"], 1, "{of_light}");
    let alone = scaling(&server, "?slots_per_worker=1");
    assert_eq!(alone["suggested_workers"], 2, "{alone}");
    server
        .get("/api/v2/system/scaling?slots_per_worker=0")
        .is(422);
    let none = scaling(&server, "?queues=housekeeping");
    assert_eq!(none["suggested_workers"], 0, "{none}");
    let unknown = server.get("/api/v2/system/scaling?queues=crwl").is(422);
    assert!(
        unknown.body.contains("did you mean `crawl`?"),
        "{}",
        unknown.body
    );
    let text = server.get("/metrics").is(200).body;
    for told in [
        "queue_due{queue_name=\"crawl\"} 1\n",
        "queue_suggested_slots{queue_name=\"scrape\"} 1\n",
        "suggested_workers 1\n",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }

    // It takes scrapes, and neither the crawl nor, light as it is, the message.
    let scrapes = worker(dir.path(), &["--queues", "scrape,scrape_batch"]);
    let path = format!("/api/v2/tasks/{scraped}");
    let state = || server.get(&path).is(200).json()["state"].clone();
    until("scraped", || state() == "succeeded");
    let rest = scaling(&server, "");
    assert_eq!(of(&rest, "scrape")["ready"], 0, "{rest}");
    assert_eq!(of(&rest, "crawl")["ready"], 1, "{rest}");
    assert!(of(&rest, "webhooks")["ready"].as_u64() >= Some(1), "{rest}");
    assert_eq!(web.hits("/hook"), 0);
    let text = scrapes.get("/metrics").is(200).body;
    assert!(
        text.contains("worker_queue{queue_name=\"scrape\"} 1\n"),
        "{text}"
    );
    assert!(
        !text.contains("worker_queue{queue_name=\"crawl\"}"),
        "{text}"
    );
    assert_eq!(scrapes.get("/ready").is(200).json()["ready"], true);
    scrapes.stop();

    let others = worker(dir.path(), &["--kind", "crawl", "--kind", "webhooks"]);
    until("crawled and told", || {
        let rest = scaling(&server, "?queues=crawl,webhooks");
        let left = ["ready", "running"].map(|state| of(&rest, "crawl")[state] == 0);
        left == [true; 2] && web.hits("/hook") > 0
    });
    others.stop();
    server.stop();
}

#[test]
fn queues_may_be_configured_and_are_shown() {
    let dir = tempfile::tempdir().expect("temp dir");
    let some = [("GLEANER__WORKER__QUEUES", "embed,webhooks")];
    let args = ["serve", "--listen", "127.0.0.1:0"];
    let server = Running::start_with(dir.path(), &args, "listening", &some);
    let worker = || server.get("/api/v2/system/status").is(200).json()["worker"].take();
    assert_eq!(worker()["queues"], json!(["embed", "webhooks"]));
    assert_eq!(worker()["slots_max"], 4);
    server.stop();
    // What is typed wins.
    let typed = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--queues",
        "scrape",
        "--slots",
        "2",
    ];
    let server = Running::start_with(dir.path(), &typed, "listening", &some);
    let worker = server.get("/api/v2/system/status").is(200).json()["worker"].take();
    assert_eq!(worker["queues"], json!(["scrape"]));
    assert_eq!(worker["slots_max"], 2);
    server.stop();
    let server = Running::start(dir.path(), &SERVE, "listening");
    let status = server.get("/api/v2/system/status").is(200).json();
    assert_eq!(status["worker"], Value::Null);
    server.stop();
    let told = gleaner(dir.path(), &["worker", "--help"]).ok().stdout;
    let kinds = gleaner(dir.path(), &["worker", "--queues", "nonsense"]).stderr;
    let kinds = kinds.split("There are ").nth(1).expect("kinds").trim();
    for kind in kinds.split(", ") {
        assert!(told.contains(kind), "{kind}: {told}");
    }
}

#[test]
fn queues_that_are_none_are_refused_with_the_nearest() {
    let dir = tempfile::tempdir().expect("temp dir");
    let check = |args: &[&str], set: &[(&str, &str)], words: &str| {
        let mut command = command(dir.path(), args);
        command.envs(set.iter().copied());
        let ran = ran(&command.output().expect("the program starts"));
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    };
    check(
        &["worker", "--queues", "crwl"],
        &[],
        "did you mean `crawl`?",
    );
    check(
        &["serve", "--queues", "scrape,embedd"],
        &[],
        "did you mean `embed`?",
    );
    let set = [("GLEANER__WORKER__QUEUES", "webhook")];
    check(
        &["worker"],
        &set,
        "worker.queues: there is no task kind `webhook`",
    );
    check(&["worker", "--queues", "events"], &[], "events.nats_url");
    check(&["worker", "--slots", "0"], &[], "--slots");
    check(
        &[&SERVE[..], &["--queues", "crawl"]].concat(),
        &[],
        "--no-workers",
    );
    let mut doctor = command(dir.path(), &["doctor", "--json"]);
    let doctor = doctor.envs(set).env("GLEANER__EMBED__PROVIDER", "off");
    let doctor = ran(&doctor.output().expect("the program starts"));
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("did you mean `webhooks`?"),
        "{}",
        doctor.stdout
    );
}
