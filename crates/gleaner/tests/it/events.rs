//! Events published to NATS JetStream, from what happens to a reader.

use std::path::Path;

use async_nats::jetstream::stream;
use serde_json::{Value, json};
use testkit::services::{Nats, ServiceSet};
use testkit::{FakeWeb, Reply};

use crate::http::Running;
use crate::proxy::Proxy;
use crate::stream::{Read, Reader, without_repeats};
use crate::support::{crawl, gleaner, page, paragraphs, site};

/// Settings of a process that publishes, with names of this test's own.
struct Settings(Vec<(String, String)>);

impl Settings {
    fn new(url: &str, prefix: &str) -> Settings {
        let pairs = [
            ("NATS_URL", url),
            ("STREAM", prefix),
            ("SUBJECT", prefix),
            ("MAX_MB", "16"),
            ("TIMEOUT_MS", "2000"),
            ("RETRY_S", "1"),
        ];
        Settings(Vec::new()).with(&pairs)
    }

    fn with(mut self, pairs: &[(&str, &str)]) -> Settings {
        let pairs = pairs.iter();
        self.0.extend(
            pairs.map(|(key, value)| (format!("GLEANER__EVENTS__{key}"), (*value).to_owned())),
        );
        self
    }

    fn env(&self) -> Vec<(&str, &str)> {
        let pairs = self.0.iter();
        pairs
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }

    fn serve(&self, dir: &Path) -> Running {
        Running::serve_with(dir, &self.env())
    }
}

fn crawl_on(server: &Running, url: &str) -> Value {
    let add = json!({"urls": [url], "crawl_now": true});
    let added = server.post("/api/v2/sources", &add).is(201).json();
    ended(server, &added["task_id"]);
    added["source"]["id"].clone()
}

fn crawl_again(server: &Running, source: &Value) {
    let path = format!("/api/v2/sources/{source}/crawl");
    let queued = server.post(&path, &json!({})).is(202).json();
    ended(server, &queued["task_id"]);
}

fn ended(server: &Running, task: &Value) {
    let (_, events) = server.events(&format!("/api/v2/tasks/{task}/events"), None);
    assert_eq!(events.last().expect("an event").name, "end");
}

fn kinds(all: &[Read]) -> Vec<&str> {
    all.iter().map(Read::kind).collect()
}

/// The kinds of a first crawl's events.
fn crawl_that_added(pages: usize) -> Vec<&'static str> {
    let mut kinds = vec!["page.added"; pages + 2];
    (kinds[0], kinds[pages + 1]) = ("crawl.started", "crawl.finished");
    kinds
}

fn ids(all: &[Read]) -> Vec<i64> {
    let ids = all
        .iter()
        .map(|one| one.body["id"].as_i64().expect("an id"));
    ids.collect()
}

fn metric(server: &Running, name: &str) -> f64 {
    let text = server.get("/metrics").is(200).body;
    let of = text.lines().filter(|line| line.starts_with(name));
    let values = of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + crate::stream::PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

#[test]
fn crawls_are_published_in_order_and_read_again_at_will() {
    let (nats, web) = (Nats::shared(), FakeWeb::start_blocking());
    site(&web, 4);
    let dir = tempfile::tempdir().expect("temp dir");
    let settings = Settings::new(&nats.url, &nats.prefix);
    let server = settings.serve(dir.path());
    let source = crawl_on(&server, &web.url("/"));
    // Another page, and one that is gone.
    web.route("/p1", page("Page 1", &paragraphs("quite another topic")));
    web.route("/p2", Reply::status(410));
    crawl_again(&server, &source);
    let reader = Reader::connect(&nats.url, &nats.prefix);
    let all = reader.until_count("crawl.finished", 2);
    let mut expected = vec!["crawl.started"];
    expected.extend(["page.added"; 5]);
    expected.extend(["crawl.finished", "crawl.started"]);
    assert_eq!(kinds(&all)[..8], expected);
    let mut second = kinds(&all)[8..].to_vec();
    assert_eq!(second.pop(), Some("crawl.finished"));
    second.sort_unstable();
    assert_eq!(second, ["page.removed", "page.updated"]);
    assert!(ids(&all).is_sorted(), "{:?}", ids(&all));
    for one in &all {
        assert_eq!(
            one.subject,
            format!("{}.v1.default.{}", nats.prefix, one.kind())
        );
        assert_eq!(one.body["message_id"], one.id.as_str());
        assert_eq!(
            (&one.body["schema"], &one.body["tenant"]),
            (&json!(1), &json!("default"))
        );
        assert_eq!(one.body["source_id"], source);
        crate::event_schema::check(&one.body, "streamMessage");
    }
    assert_eq!(all[6].body["data"]["pages"]["added"], 5);
    // As made: the limits that were asked for.
    let made = reader.config();
    assert_eq!(made.max_bytes, 16 * 1024 * 1024);
    assert_eq!(made.max_age.as_secs(), 30 * 24 * 3600);
    assert_eq!(made.duplicate_window.as_secs(), 600);
    // Whoever wants only some takes a filter, and from the start again.
    let filter = format!("{}.v1.*.page.updated", nats.prefix);
    let updated = reader.until(&filter, |all| all.len() == 1);
    assert_eq!(updated[0].body["data"]["changed"], json!(["content"]));
    until("all are noted", || {
        metric(&server, "events_waiting ") == 0.0
    });
    assert_eq!(metric(&server, "events_published_total"), all.len() as f64);
    assert_eq!(metric(&server, "events_dropped_total"), 0.0);
    let env = settings.env();
    server.stop();
    let mut doctor = crate::support::command(dir.path(), &["doctor", "--json"]);
    let doctor = crate::support::ran(&doctor.envs(env).output().expect("runs"));
    let checks = doctor.json()["checks"].clone();
    let found = checks
        .as_array()
        .expect("checks")
        .iter()
        .find(|c| c["name"] == "events");
    assert_eq!(found.expect("events")["state"], "ok", "{checks}");
    reader.delete();
}

/// The server has them, and whoever published them dies before it is noted.
#[test]
fn q1_what_was_published_when_it_was_killed_comes_again_under_its_id() {
    let (nats, web) = (Nats::shared(), FakeWeb::start_blocking());
    site(&web, 3);
    let dir = tempfile::tempdir().expect("temp dir");
    // The first acknowledgement, and all that comes after it, never arrives.
    let proxy = Proxy::start(&nats.url, &format!("HPUB {}.v1.", nats.prefix));
    let through = Settings::new(&proxy.url, &nats.prefix).with(&[("TIMEOUT_MS", "60000")]);
    let server = through.serve(dir.path());
    crawl_on(&server, &web.url("/"));
    let reader = Reader::connect(&nats.url, &nats.prefix);
    let first = reader.until("", |all| all.len() == 1);
    assert_eq!(metric(&server, "events_published_total"), 0.0);
    assert_eq!(metric(&server, "events_waiting "), 6.0);
    // With SIGKILL.
    drop(server);
    drop(proxy);
    let server = Settings::new(&nats.url, &nats.prefix).serve(dir.path());
    let all = reader.until_count("crawl.finished", 1);
    assert_eq!(kinds(&all), crawl_that_added(4));
    assert_eq!(all[0].bytes, first[0].bytes);
    assert!(ids(&all).is_sorted());
    until("all are noted", || {
        metric(&server, "events_waiting ") == 0.0
    });
    // The stream had the first one already, and stored it once.
    assert_eq!(metric(&server, "events_repeated_total"), 1.0);
    server.stop();
    reader.delete();
}

/// A stream that finds no repeats, as after its window: readers find them.
#[test]
fn repeats_that_the_stream_lets_through_have_the_same_id_and_bytes() {
    let (nats, web) = (Nats::shared(), FakeWeb::start_blocking());
    site(&web, 2);
    let dir = tempfile::tempdir().expect("temp dir");
    let proxy = Proxy::start(&nats.url, &format!("HPUB {}.v1.", nats.prefix));
    let through = Settings::new(&proxy.url, &nats.prefix).with(&[("TIMEOUT_MS", "60000")]);
    let reader = Reader::connect(&nats.url, &nats.prefix);
    let server = through.serve(dir.path());
    crawl_on(&server, &web.url("/"));
    let first = reader.until("", |all| all.len() == 1);
    drop(server);
    drop(proxy);
    // Another stream of the same name knows nothing of the first message.
    reader.delete();
    let server = Settings::new(&nats.url, &nats.prefix).serve(dir.path());
    let second = reader.until_count("crawl.finished", 1);
    let mut all = first.clone();
    all.extend(second);
    assert_eq!(
        (all[0].id.as_str(), &all[0].bytes),
        (all[1].id.as_str(), &all[1].bytes)
    );
    let once = without_repeats(&all);
    assert_eq!(kinds(&once), crawl_that_added(3));
    assert!(ids(&once).is_sorted());
    server.stop();
    reader.delete();
}

#[test]
fn events_wait_while_nats_is_gone_and_come_in_order_when_it_is_back() {
    let set = ServiceSet::start(&["nats"]);
    let (nats, web) = (set.nats(), FakeWeb::start_blocking());
    site(&web, 3);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Settings::new(&nats.url, &nats.prefix).serve(dir.path());
    let source = crawl_on(&server, &web.url("/"));
    let reader = Reader::connect(&nats.url, &nats.prefix);
    reader.until_count("crawl.finished", 1);
    drop(reader);
    set.signal("nats", "KILL");
    // Crawls do not wait for it.
    web.route("/p1", page("Page 1", &paragraphs("quite another topic")));
    crawl_again(&server, &source);
    until("it fails", || {
        metric(&server, "events_publish_failures_total") > 0.0
    });
    assert_eq!(metric(&server, "events_waiting "), 3.0);
    assert!(metric(&server, "events_oldest_waiting_seconds ") > 0.0);
    set.start_again("nats");
    let reader = Reader::connect(&nats.url, &nats.prefix);
    let all = reader.until_count("crawl.finished", 2);
    let once = without_repeats(&all);
    assert_eq!(once.len(), all.len());
    assert_eq!(
        kinds(&all)[6..],
        ["crawl.started", "page.updated", "crawl.finished"]
    );
    assert!(ids(&all).is_sorted());
    server.stop();
}

/// What others write is published too, whatever their own settings.
#[test]
fn processes_without_the_settings_write_events_until_it_is_switched_off() {
    let (nats, web) = (Nats::shared(), FakeWeb::start_blocking());
    site(&web, 1);
    let dir = tempfile::tempdir().expect("temp dir");
    let settings = Settings::new(&nats.url, &nats.prefix);
    settings.serve(dir.path()).stop();
    crawl(dir.path(), &web.url("/"), &[]).ok();
    let status = gleaner(dir.path(), &["events", "status", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&status["on"], &status["waiting"]),
        (&json!(true), &json!(4))
    );
    // A server that does not publish leaves them, and its queue, alone.
    let other = Running::serve(dir.path());
    assert_eq!(metric(&other, "events_waiting "), 4.0);
    other.stop();
    let server = settings.serve(dir.path());
    let reader = Reader::connect(&nats.url, &nats.prefix);
    let all = reader.until_count("crawl.finished", 1);
    assert_eq!(kinds(&all), crawl_that_added(2));
    until("all are noted", || {
        metric(&server, "events_waiting ") == 0.0
    });
    server.stop();
    let off = gleaner(dir.path(), &["events", "off", "--json"])
        .ok()
        .json();
    assert_eq!(off, json!({"was_on": true, "not_published": 0}));
    web.route("/p0", page("Page 0", &paragraphs("quite another topic")));
    crawl(dir.path(), &web.url("/"), &[]).ok();
    let status = gleaner(dir.path(), &["events", "status", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&status["on"], &status["waiting"]),
        (&json!(false), &json!(0))
    );
    let waiting = [
        "task", "list", "--kind", "events", "--state", "queued", "--json",
    ];
    assert_eq!(
        gleaner(dir.path(), &waiting).ok().lines(),
        Vec::<Value>::new()
    );
    reader.delete();
}

#[test]
fn t1_each_tenant_has_subjects_of_its_own() {
    let (nats, web) = (Nats::shared(), FakeWeb::start_blocking());
    site(&web, 1);
    let dir = tempfile::tempdir().expect("temp dir");
    gleaner(dir.path(), &["tenant", "create", "acme"]).ok();
    let key = [
        "key", "create", "--name", "k", "--scope", "admin", "--tenant", "acme", "--json",
    ];
    let key = gleaner(dir.path(), &key).ok().json();
    let bearer = format!("Bearer {}", key["api_key"].as_str().expect("a key"));
    let server = Settings::new(&nats.url, &nats.prefix).serve(dir.path());
    let add = json!({"urls": [web.url("/")], "crawl_now": true});
    let headers = [("Authorization", bearer.as_str())];
    server
        .ask("POST", "/api/v2/sources", &headers, Some(&add))
        .is(201);
    let reader = Reader::connect(&nats.url, &nats.prefix);
    let all = reader.until_count("crawl.finished", 1);
    let theirs = format!("{}.v1.acme.", nats.prefix);
    assert!(
        all.iter().all(|one| one.subject.starts_with(&theirs)),
        "{all:?}"
    );
    assert!(
        all.iter().all(|one| one.body["tenant"] == "acme"),
        "{all:?}"
    );
    server.stop();
    reader.delete();
}

/// A stream that is full refuses some: nothing of a source overtakes them.
#[test]
fn what_is_refused_holds_up_what_is_behind_it() {
    let nats = Nats::shared();
    let webs = [FakeWeb::start_blocking(), FakeWeb::start_blocking()];
    let reader = Reader::connect(&nats.url, &nats.prefix);
    reader.make(stream::Config {
        name: nats.prefix.clone(),
        subjects: vec![format!("{}.v1.>", nats.prefix)],
        max_messages: 5,
        discard: stream::DiscardPolicy::New,
        ..stream::Config::default()
    });
    let dir = tempfile::tempdir().expect("temp dir");
    let settings = Settings::new(&nats.url, &nats.prefix);
    settings.serve(dir.path()).stop();
    // All of it waits when publishing begins.
    for web in &webs {
        site(web, 3);
        crawl(dir.path(), &web.url("/"), &[]).ok();
    }
    let server = settings.serve(dir.path());
    until("it is refused", || {
        metric(&server, "events_publish_failures_total") > 0.0
    });
    let mut all = Vec::new();
    while all.len() < 12 {
        let left = 12 - all.len();
        all.extend(reader.until("", |read| read.len() == left.min(5)));
        reader.purge();
    }
    until("all are noted", || {
        metric(&server, "events_waiting ") == 0.0
    });
    assert_eq!(without_repeats(&all).len(), 12);
    for source in [1, 2] {
        let of_source = all.iter().filter(|one| one.body["source_id"] == source);
        let of_source: Vec<Read> = of_source.cloned().collect();
        let mut expected = vec!["crawl.started"];
        expected.extend(["page.added"; 4]);
        expected.push("crawl.finished");
        assert_eq!(kinds(&of_source), expected);
        assert!(ids(&of_source).is_sorted());
    }
    server.stop();
    reader.delete();
}

#[test]
fn a_stream_that_does_not_fit_is_refused_with_the_reason() {
    let nats = Nats::shared();
    let reader = Reader::connect(&nats.url, &nats.prefix);
    let dir = tempfile::tempdir().expect("temp dir");
    let settings = Settings::new(&nats.url, &nats.prefix);
    let doctor = |settings: &Settings| {
        let mut doctor = crate::support::command(dir.path(), &["doctor", "--json"]);
        let ran = crate::support::ran(&doctor.envs(settings.env()).output().expect("runs"));
        let checks = ran.json()["checks"].clone();
        let checks = checks.as_array().expect("checks").clone();
        checks
            .into_iter()
            .find(|c| c["name"] == "events")
            .expect("events")
    };
    let base = stream::Config {
        name: nats.prefix.clone(),
        subjects: vec![format!("{}.v1.>", nats.prefix)],
        ..stream::Config::default()
    };
    reader.make(stream::Config {
        retention: stream::RetentionPolicy::WorkQueue,
        ..base.clone()
    });
    let refused = doctor(&settings);
    assert_eq!(refused["state"], "failed");
    assert!(
        refused["message"]
            .as_str()
            .expect("why")
            .contains("forgets"),
        "{refused}"
    );
    reader.delete();
    reader.make(stream::Config {
        subjects: vec![format!("{}.v1.other.>", nats.prefix)],
        ..base.clone()
    });
    let refused = doctor(&settings);
    assert!(
        refused["message"]
            .as_str()
            .expect("why")
            .contains("does not take"),
        "{refused}"
    );
    reader.delete();
    // One that fits stays as it is, and what differs is told.
    reader.make(base);
    let hint = doctor(&settings);
    assert_eq!(hint["state"], "hint");
    assert!(
        hint["message"]
            .as_str()
            .expect("why")
            .contains("longest age is 0 s"),
        "{hint}"
    );
    reader.delete();
    let wrong = Settings::new("nats://me:secret@127.0.0.1", &nats.prefix);
    let mut serve = crate::support::command(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let ran = crate::support::ran(&serve.envs(wrong.env()).output().expect("runs"));
    assert_ne!(ran.code, 0);
    assert!(
        ran.stderr.contains("NATS_PASSWORD") && !ran.stderr.contains("secret"),
        "{}",
        ran.stderr
    );
    let worker = gleaner(dir.path(), &["worker", "--kind", "events"]);
    assert_eq!(worker.code, 2, "{}", worker.stderr);
}
