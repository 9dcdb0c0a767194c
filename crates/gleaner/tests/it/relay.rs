//! Machines with one database and one Redis, by which they hear of each
//! other's work and share answers. Where looking every now and then would do
//! as well, it is so seldom that only having heard explains what happens.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::services::{self, Postgres, ServiceSet};
use testkit::{FakeWeb, Gate};

use crate::http::Running;
use crate::support::{page, paragraphs, site};

/// Longer than any test.
const NEVER_MS: &str = "3600000";
const OFTEN_MS: &str = "50";

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// What machines of one deployment have in common.
struct Deployment {
    settings: Vec<(&'static str, String)>,
}

impl Deployment {
    fn new(database: &Postgres, redis: &services::Redis, poll_ms: &str) -> Deployment {
        let settings = [
            ("DATABASE_URL", database.pgbouncer_url()),
            ("REDIS_URL", redis.url.clone()),
            ("GLEANER__REDIS__PREFIX", redis.prefix.clone()),
            ("GLEANER__STORE__POLL_MS", poll_ms.to_owned()),
            // As loopback has it without keys, but only so often.
            ("GLEANER__API__RATE_REQUESTS", "1000000".to_owned()),
        ];
        Deployment {
            settings: settings.into(),
        }
    }

    /// Redis is found by its Sentinels alone.
    fn by_sentinels(mut self, redis: &services::Redis) -> Deployment {
        self.settings.retain(|(name, _)| *name != "REDIS_URL");
        let sentinels = redis.sentinels.join(",");
        self.settings.push(("GLEANER__REDIS__SENTINELS", sentinels));
        let master = redis.master.clone();
        self.settings.push(("GLEANER__REDIS__MASTER", master));
        self
    }

    /// Answers, and does no work.
    fn server(&self) -> Machine {
        let args = ["serve", "--no-workers", "--listen", "127.0.0.1:0"];
        self.start(&args, "listening")
    }

    /// Works, and answers nothing but how it is.
    fn worker(&self) -> Machine {
        let args = [
            "worker",
            "--metrics-listen",
            "127.0.0.1:0",
            "--allow-private",
            "127.0.0.0/8",
        ];
        self.start(&args, "metrics")
    }

    fn start(&self, args: &[&str], field: &str) -> Machine {
        let folder = tempfile::tempdir().expect("temp dir");
        let settings = self.settings.iter();
        let settings: Vec<(&str, &str)> = settings
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let log = File::create(folder.path().join("log")).expect("a file");
        let log = Stdio::from(log);
        let running = Running::start_logging(folder.path(), args, field, &settings, log);
        let machine = Machine { running, folder };
        machine.until_redis(true);
        machine
    }
}

/// A process with a folder of its own.
struct Machine {
    running: Running,
    folder: tempfile::TempDir,
}

impl Machine {
    /// A figure of `/metrics`; 0 when it is not there.
    fn figure(&self, name: &str) -> f64 {
        let metrics = self.running.get("/metrics").is(200).body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0.0, |value| value.trim().parse().expect("a number"))
    }

    fn heard(&self) -> f64 {
        self.figure("bus_messages_total{direction=\"heard\"}")
    }

    fn until_redis(&self, is_up: bool) {
        until("Redis is so", || {
            self.figure("redis_up") == f64::from(u8::from(is_up))
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("a log")
    }

    /// Has a worker fetch a page, and follows its task to the end.
    fn scrape(&self, url: &str) {
        let queued = self
            .running
            .post("/api/v2/tasks/scrape/async", &json!({"url": url}));
        let task = &queued.is(202).json()["task_id"];
        let (status, events) = self
            .running
            .events(&format!("/api/v2/tasks/{task}/events"), None);
        let last = events.last().expect("an event");
        assert_eq!((status, last.name.as_str()), (200, "end"), "{last:?}");
        assert_eq!(last.json()["state"], "succeeded", "{last:?}");
    }

    fn import(&self, path: &str) {
        let line =
            json!({"url": format!("https://a.example{path}"), "text": format!("About {path}.")});
        let sent = self.running.ask_with(
            "POST",
            "/api/v2/pages/bulk",
            &[],
            "application/x-ndjson",
            line.to_string().as_bytes(),
        );
        assert_eq!(sent.is(200).json()["added"], 1);
    }

    /// Whether it was kept, and the answer.
    fn kept(&self, path: &str) -> (bool, Value) {
        let answer = self.running.get(path).is(200);
        let is_kept = answer.headers["x-cache"] == "hit";
        (is_kept, answer.json())
    }
}

fn pages(web: &FakeWeb, count: usize) -> Vec<String> {
    let urls = (0..count).map(|n| {
        let path = format!("/page-{n}");
        web.route(
            &path,
            page(&format!("Page {n}"), &paragraphs(&format!("subject {n}"))),
        );
        web.url(&path)
    });
    urls.collect()
}

#[test]
fn workers_hear_of_tasks_and_watchers_of_progress() {
    let (database, redis) = (Postgres::fresh(), services::Redis::shared());
    let deployment = Deployment::new(&database, &redis, NEVER_MS);
    let (server, worker) = (deployment.server(), deployment.worker());
    let web = FakeWeb::start_blocking();
    // One begins when the one before has ended: no other commit of the worker
    // makes it look.
    for url in pages(&web, 4) {
        server.scrape(&url);
    }
    assert!(worker.heard() >= 4.0);
    assert!(server.figure("bus_messages_total{direction=\"told\"}") >= 4.0);
    // The server's own index follows.
    until("found", || {
        let found = server.running.get("/api/v2/search?q=subject").is(200);
        found.json()["total"] == 4
    });

    // A crawl that cannot end yet is seen from the other machine.
    site(&web, 30);
    let gate = Gate::new();
    let body = paragraphs("topic 20");
    web.route("/p20", page("Page 20", &body).gated(64, &gate));
    let source = json!({"urls": [web.url("/")], "crawl_now": true});
    let source = server
        .running
        .post("/api/v2/sources", &source)
        .is(201)
        .json();
    let crawls = format!("/api/v2/crawls?source={}", source["source"]["id"]);
    let mut crawl = Value::Null;
    until("a crawl", || {
        let listed = server.running.get(&crawls).is(200).json();
        crawl = listed["crawls"][0]["id"].clone();
        crawl.is_i64()
    });
    let mut stream = TcpStream::connect(&server.running.address).expect("a connection");
    let request = format!(
        "GET /api/v2/crawls/{crawl}/events HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.running.address
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
    stream
        .set_read_timeout(Some(Duration::from_secs(120)))
        .expect("a time-out");
    let lines = BufReader::new(stream)
        .lines()
        .map(|line| line.expect("a line"));
    let states = lines.filter_map(|line| {
        let data = line.strip_prefix("data:")?;
        Some(serde_json::from_str::<Value>(data).expect("JSON"))
    });
    let mut has_moved = false;
    for state in states {
        let added = state["added"].as_u64().expect("a count");
        if added > 1 && !has_moved {
            has_moved = true;
            assert_eq!(state["status"], "running", "{state}");
            gate.open_all();
        }
        if state["status"] == "completed" {
            assert_eq!(added, 31, "{state}");
            break;
        }
    }
    assert!(has_moved, "the gate was never opened");
}

#[test]
fn what_one_answered_is_kept_for_the_others_as_long_as_it_is_right() {
    let (database, redis) = (Postgres::fresh(), services::Redis::shared());
    let deployment = Deployment::new(&database, &redis, OFTEN_MS);
    let [one, other] = [0; 2].map(|_| deployment.server());
    one.import("/first");
    // What is kept is written to Redis after it was answered: at some time the
    // other one finds an answer that it has never been asked for.
    let list = |limit: usize| format!("/api/v2/pages?limit={limit}");
    let shares = |list: &dyn Fn(usize) -> String| {
        let mut limit = 0;
        until("shared", || {
            limit += 1;
            let (was_kept, made) = one.kept(&list(limit));
            assert!(!was_kept, "{limit}");
            let (is_kept, found) = other.kept(&list(limit));
            assert_eq!(found, made);
            is_kept
        });
        list(limit)
    };
    let shared = shares(&list);
    shares(&|limit| format!("/api/v2/records?limit={limit}"));
    for machine in [&one, &other] {
        assert_eq!(
            machine.kept(&shared).1["pages"]
                .as_array()
                .expect("pages")
                .len(),
            1
        );
    }
    let stats = other.running.get("/api/v2/cache/stats").is(200).json();
    assert_eq!(stats["redis_works"], true, "{stats}");
    assert!(stats["areas"]["pages"]["redis"]["hits"].as_u64() >= Some(1));
    assert!(other.figure("cache_hits_total{tier=\"redis\"}") >= 2.0);
    // Each machine has an index of its own, and answers that come of it.
    let search = "/api/v2/search?q=first";
    until("found", || other.kept(search).1["total"] == 1);
    let hits = other.running.get("/api/v2/cache/stats").is(200).json();
    assert_eq!(hits["areas"]["search"]["redis"]["hits"], 0, "{hits}");

    // A write makes it another question, whoever wrote.
    other.import("/second");
    for machine in [&one, &other] {
        let found = machine.kept("/api/v2/pages?limit=100").1;
        assert_eq!(found["pages"].as_array().expect("pages").len(), 2);
    }
    // The key has not changed since, so only having heard of it can explain
    // that an answer is gone.
    let shared = shares(&list);
    assert!(one.kept("/api/v2/pages?limit=100").0);
    assert!(other.kept(&shared).0);
    let clear = json!({"area": "pages"});
    let cleared = other.running.post("/api/v2/cache/clear", &clear).is(200);
    assert!(cleared.json()["removed"].as_u64() >= Some(1));
    assert!(!other.kept(&shared).0);
    until("forgotten", || !one.kept("/api/v2/pages?limit=100").0);

    // Another database under the same prefix, by mistake.
    let elsewhere = Postgres::fresh();
    let stranger = Deployment::new(&elsewhere, &redis, OFTEN_MS).server();
    stranger.import("/third");
    for limit in 1..=10 {
        let (_, found) = stranger.kept(&list(limit));
        let pages = found["pages"].as_array().expect("pages");
        assert_eq!(pages.len(), 1);
        assert_eq!(pages[0]["url"], "https://a.example/third");
    }
}

#[test]
fn without_redis_work_goes_on_by_looking_and_with_it_again_by_hearing() {
    let set = ServiceSet::start(&["redis-alone"]);
    let (database, redis) = (Postgres::fresh(), set.redis());
    let deployment = Deployment::new(&database, &redis, OFTEN_MS);
    let (server, worker) = (deployment.server(), deployment.worker());
    let web = FakeWeb::start_blocking();
    let urls = pages(&web, 3);
    server.scrape(&urls[0]);
    server.kept("/api/v2/pages");

    set.signal("redis-a", "KILL");
    for machine in [&server, &worker] {
        machine.until_redis(false);
    }
    server.scrape(&urls[1]);
    let found = server.kept("/api/v2/pages").1;
    assert_eq!(found["pages"].as_array().expect("pages").len(), 2);
    let stats = server.running.get("/api/v2/cache/stats").is(200).json();
    assert_eq!(stats["redis_works"], false, "{stats}");
    for machine in [&server, &worker] {
        let log = machine.log();
        let warnings = log.lines().filter(|line| line.contains("Redis is away"));
        assert_eq!(warnings.count(), 1, "{log}");
    }

    set.start_again("redis-a");
    for machine in [&server, &worker] {
        machine.until_redis(true);
        // Somebody may have said something meanwhile.
        until("looked", || {
            machine.figure("bus_messages_total{direction=\"missed\"}") >= 1.0
        });
    }
    let heard = worker.heard();
    server.scrape(&urls[2]);
    until("heard again", || worker.heard() > heard);
    let log = worker.log();
    assert_eq!(log.matches("Redis is away").count(), 1, "{log}");
}

#[test]
fn work_is_heard_of_by_the_master_that_took_over() {
    let set = ServiceSet::start(&["redis"]);
    let (database, redis) = (Postgres::fresh(), set.redis());
    let deployment = Deployment::new(&database, &redis, NEVER_MS).by_sentinels(&redis);
    let (server, worker) = (deployment.server(), deployment.worker());
    let web = FakeWeb::start_blocking();
    let urls = pages(&web, 4);
    server.scrape(&urls[0]);

    set.signal("redis-a", "KILL");
    for machine in [&server, &worker] {
        until("with the new master", || {
            let is_up = machine.figure("redis_up") == 1.0;
            is_up && machine.figure("redis_connections_total") >= 2.0
        });
    }
    for url in &urls[1..] {
        server.scrape(url);
    }
}
