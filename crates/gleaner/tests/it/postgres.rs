//! The program on a PostgreSQL server, from several machines: each has a data
//! folder of its own and knows of the others only through the server.

use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use testkit::services::{Postgres, ServiceSet};
use testkit::{FakeWeb, Gate};

use crate::http::Running;
use crate::support::{Ran, check_q2, command, counts, page, paragraphs, ran, site};

/// Runs the program on one machine.
fn on(machine: &Path, url: &str, args: &[&str]) -> Ran {
    let mut command = command(machine, args);
    command.env("DATABASE_URL", url);
    ran(&command.output().expect("the program starts"))
}

fn crawl(machine: &Path, url: &str, start: &str) -> Ran {
    on(machine, url, &["crawl", start, "--embed", "off", "--json"])
}

fn found(ran: &Ran) -> Vec<String> {
    let hits = &ran.json()["hits"];
    let hits = hits.as_array().expect("hits").iter();
    hits.map(|hit| hit["url"].as_str().expect("a URL").to_owned())
        .collect()
}

#[test]
fn a_crawl_through_a_pooler_is_found_from_another_machine() {
    let web = FakeWeb::start_blocking();
    site(&web, 12);
    let database = Postgres::fresh();
    let url = database.pgbouncer_url();
    let [here, there] = [0; 2].map(|_| tempfile::tempdir().expect("temp dir"));
    let crawled = crawl(here.path(), &url, &web.url("/")).ok().json();
    check_q2(&crawled);
    assert_eq!(counts(&crawled)[2], 13, "added: {crawled}");

    let args = ["search", "topic", "--json", "--limit", "50"];
    assert_eq!(found(&on(there.path(), &url, &args).ok()).len(), 12);
    // What the first machine adds later is found by the second, which has an
    // index of its own by now.
    web.route("/", page("Start", &paragraphs("a comet nobody expected")));
    let again = crawl(here.path(), &url, &web.url("/")).ok().json();
    assert_eq!(counts(&again)[3], 1, "updated: {again}");
    let args = ["search", "comet", "--json"];
    assert_eq!(found(&on(there.path(), &url, &args).ok()).len(), 1);
    let pages = on(there.path(), &url, &["page", "list", "--json"]).ok();
    assert_eq!(pages.lines().len(), 13);
    let healthy = on(there.path(), &url, &["doctor"]);
    assert!(
        healthy.stdout.contains("13 live pages"),
        "{}",
        healthy.stdout
    );
}

#[test]
fn an_embedded_folder_moves_to_a_server_and_back() {
    let web = FakeWeb::start_blocking();
    site(&web, 15);
    let [old, server, new] = [0; 3].map(|_| tempfile::tempdir().expect("temp dir"));
    let database = Postgres::fresh();
    let url = database.url();
    // An empty address is no address.
    crawl(old.path(), "", &web.url("/")).ok();
    let move_to = |from: &Path, from_url: &str, to: &Path, to_url: &str| {
        let exported = on(from, from_url, &["export"]).ok();
        let file = from.join("pages.jsonl");
        std::fs::write(&file, &exported.stdout).expect("written");
        let file = file.to_str().expect("a path");
        on(to, to_url, &["import", file, "--json"]).ok();
        exported.stdout
    };
    let before = move_to(old.path(), "", server.path(), &url);
    let between = move_to(server.path(), &url, new.path(), "");
    let after = on(new.path(), "", &["export"]).ok().stdout;
    let sorted = |text: &str| {
        let mut lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        lines.sort_by_key(|line| line["url"].to_string());
        lines
    };
    assert_eq!(sorted(&before).len(), 16);
    assert_eq!(sorted(&before), sorted(&between));
    assert_eq!(sorted(&before), sorted(&after));
    for query in ["topic 7", "beginnings", "main content"] {
        let args = ["search", query, "--json", "--limit", "50"];
        let embedded = found(&on(old.path(), "", &args).ok());
        assert_eq!(found(&on(server.path(), &url, &args).ok()), embedded);
        assert_eq!(found(&on(new.path(), "", &args).ok()), embedded);
    }
}

/// A worker on a machine of its own; killed when dropped.
pub struct Worker {
    child: Child,
    _machine: tempfile::TempDir,
}

impl Worker {
    fn start(url: &str) -> Worker {
        Worker::start_with(&[("DATABASE_URL".to_owned(), url.to_owned())])
    }

    /// With settings that say where everything is.
    pub fn start_with(env: &[(String, String)]) -> Worker {
        let machine = tempfile::tempdir().expect("temp dir");
        let args = ["worker", "--slots", "4", "--allow-private", "127.0.0.0/8"];
        let child = command(machine.path(), &args)
            .env("GLEANER__EMBED__PROVIDER", "off")
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the worker starts");
        Worker {
            child,
            _machine: machine,
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Follows a crawl's events until it ends.
fn ended(server: &Running, crawl: i64) -> Value {
    let (status, events) = server.events(&format!("/api/v2/crawls/{crawl}/events"), None);
    assert_eq!(status, 200);
    let last = events.last().expect("an event");
    assert_eq!(last.name, "end", "{last:?}");
    let shown = server.get(&format!("/api/v2/crawls/{crawl}")).is(200);
    shown.json()["crawl"].take()
}

#[test]
fn q1_a_crawl_goes_on_elsewhere_when_its_machine_dies() {
    const PAGES: usize = 40;
    let web = FakeWeb::start_blocking();
    site(&web, PAGES);
    let gate = Gate::new();
    // The worker that comes to this page waits there until it is killed.
    let body = paragraphs("topic 20");
    web.route("/p20", page("Page 20", &body).gated(64, &gate));
    let database = Postgres::fresh();
    let url = database.pgbouncer_url();
    let machine = tempfile::tempdir().expect("temp dir");
    let server = Running::start_with(
        machine.path(),
        &["serve", "--listen", "127.0.0.1:0", "--no-workers"],
        "listening",
        &[("DATABASE_URL", &url)],
    );
    let first = Worker::start(&url);
    let source = json!({"urls": [web.url("/")], "crawl_now": true});
    let source = server.post("/api/v2/sources", &source).is(201).json();
    while web.hits("/p20") == 0 {
        std::thread::yield_now();
    }
    first.kill();
    let _second = Worker::start(&url);
    gate.open_all();
    let crawls = format!("/api/v2/crawls?source={}", source["source"]["id"]);
    let crawl = loop {
        let crawls = server.get(&crawls).is(200).json();
        if let Some(id) = crawls["crawls"][0]["id"].as_i64() {
            break id;
        }
    };
    let crawl = ended(&server, crawl);
    assert_eq!(crawl["status"], "completed", "{crawl}");
    let pages = json!({"pages": crawl});
    check_q2(&pages);
    assert_eq!(counts(&pages)[2], PAGES as u64 + 1, "added: {crawl}");
    for n in 0..PAGES {
        let most = if n == 20 { 2 } else { 3 };
        assert!((1..=most).contains(&web.hits(&format!("/p{n}"))), "/p{n}");
    }
    let stats = server.get("/api/v2/stats").is(200).json();
    assert_eq!(stats["pages_live"], PAGES as u64 + 1);
    server.stop();
}

#[test]
fn a_crawl_outlives_a_restart_of_its_server() {
    const PAGES: usize = 60;
    let set = ServiceSet::start(&["pg"]);
    let database = set.postgres();
    let url = database.url();
    let web = FakeWeb::start_blocking();
    site(&web, PAGES);
    let gate = Gate::new();
    let body = paragraphs("topic 30");
    web.route("/p30", page("Page 30", &body).gated(64, &gate));
    let machine = tempfile::tempdir().expect("temp dir");
    let start = web.url("/");
    let crawling = command(
        machine.path(),
        &["crawl", &start, "--embed", "off", "--json"],
    )
    .env("DATABASE_URL", &url)
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("starts");
    while web.hits("/p30") == 0 {
        std::thread::yield_now();
    }
    // As a crash: every connection is cut, whatever was under way.
    set.signal("pg-0", "QUIT");
    gate.open_all();
    set.start_again("pg-0");
    let crawled = ran(&crawling.wait_with_output().expect("it ends"))
        .ok()
        .json();
    assert_eq!(crawled["status"], "completed", "{crawled}");
    check_q2(&crawled);
    assert_eq!(counts(&crawled)[2], PAGES as u64 + 1, "added: {crawled}");
    let rows = database.sql("SELECT count(*), count(DISTINCT url) FROM pages");
    assert_eq!(rows.trim(), format!("{0}|{0}", PAGES + 1));
}

#[test]
fn an_upgrade_says_what_was_done_and_what_waits() {
    let machine = tempfile::tempdir().expect("temp dir");
    let database = Postgres::fresh();
    let url = database.pgbouncer_url();
    let made = on(machine.path(), &url, &["upgrade"]).ok();
    assert!(
        made.stdout.contains("done     11: all tables"),
        "{}",
        made.stdout
    );
    assert!(made.stdout.contains("is ready"), "{}", made.stdout);
    for args in [
        &["upgrade", "--json"][..],
        &["upgrade", "--contract", "--json"],
    ] {
        let again = on(machine.path(), &url, args).ok().json();
        let found = &again["databases"][0];
        assert_eq!(found["version"], 11, "{again}");
        assert_eq!(found["compatible_from"], 9, "{again}");
        for nothing in ["done", "waiting"] {
            assert_eq!(found[nothing], json!([]), "{again}");
        }
    }
    let healthy = on(machine.path(), &url, &["doctor"]);
    assert!(healthy.stdout.contains("version 11"), "{}", healthy.stdout);
}

#[test]
fn an_unusable_database_is_refused_with_what_to_do() {
    let machine = tempfile::tempdir().expect("temp dir");
    let database = Postgres::fresh();
    let other = format!("{}_missing", database.url());
    let foreign = Postgres::fresh();
    foreign.sql("CREATE TABLE invoices (id int)");
    let stranger = database.url().replace("app@", "stranger:hush@");
    for (url, words) in [
        ("mysql://localhost/gleaner", "postgres://user:password@host"),
        (other.as_str(), "no such database"),
        (foreign.url().as_str(), "tables of another program"),
        ("postgres://app:hush@127.0.0.1:1/gleaner", "does not answer"),
        (stranger.as_str(), "refuses the user or password"),
    ] {
        let mut command = command(machine.path(), &["source", "add", "https://a.example/"]);
        command.env("DATABASE_URL", url);
        command.env("GLEANER__STORE__SERVER_WAIT_S", "1");
        let ran = ran(&command.output().expect("the program starts"));
        assert_eq!(ran.code, 1, "{url}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{url}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
    }
    let shown = on(machine.path(), "postgres://app:hush@h/d", &["config"]).ok();
    assert!(!shown.stdout.contains("hush"), "{}", shown.stdout);
}
