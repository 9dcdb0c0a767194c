//! Moving a whole database: what is found there is what was found here.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::Value;
use store::{Access, Store, StoreOptions};
use testkit::services::Postgres;
use testkit::{FakeWeb, WebSpec};
use types::SystemClock;

use crate::support::{Ran, check_q2, command, counts, ran};

/// Runs the program with a data folder, or with a server's database beside it.
fn on(machine: &Path, url: &str, args: &[&str]) -> Ran {
    let mut command = command(machine, args);
    command.env("DATABASE_URL", url);
    ran(&command.output().expect("the program starts"))
}

fn migrate(from: &str, to: &str, more: &[&str]) -> Ran {
    let elsewhere = tempfile::tempdir().expect("temp dir");
    let mut args = vec!["migrate", "--from", from, "--to", to];
    args.extend(more);
    on(elsewhere.path(), "", &args)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

/// Everything but how long it took.
fn hits(machine: &Path, url: &str, query: &str) -> Vec<Value> {
    let args = ["search", query, "--json", "--limit", "20"];
    let mut found = on(machine, url, &args).ok().json();
    let hits = found["hits"].as_array_mut().expect("hits");
    std::mem::take(hits)
}

fn pages(machine: &Path, url: &str) -> Vec<Value> {
    on(machine, url, &["page", "list", "--json"]).ok().lines()
}

fn table(moved: &Value, name: &str) -> u64 {
    let tables = moved["tables"].as_array().expect("tables");
    let found = tables.iter().find(|table| table["table"] == name);
    found.expect("the table")["rows"]
        .as_u64()
        .expect("a number")
}

#[test]
fn a_folder_moves_to_a_server_and_back_with_all_that_is_found_in_it() {
    let web = FakeWeb::start_blocking();
    let site = WebSpec {
        pages: 60,
        ..WebSpec::default()
    };
    let site = site.generate();
    web.site(&site);
    let start = web.url("/");
    let crawl = |machine: &Path, url: &str| {
        let args = ["crawl", &start, "--embed", "off", "--json"];
        on(machine, url, &args).ok().json()
    };
    let [old, server, new] = [0; 3].map(|_| tempfile::tempdir().expect("temp dir"));
    let (old, server, new) = (old.path(), server.path(), new.path().join("made"));
    let database = Postgres::fresh();
    let url = database.url();
    let first = crawl(old, "");
    check_q2(&first);
    on(
        old,
        "",
        &["source", "add", "https://later.example/", "--every", "1d"],
    )
    .ok();

    let there = migrate(text(old), &url, &["--json"]).ok().json();
    assert_eq!(there["status"], "completed", "{there}");
    assert_eq!(table(&there, "sources"), 2, "{there}");
    let back = migrate(&url, text(&new), &["--json"]).ok().json();
    assert_eq!(there["tables"], back["tables"], "rows and checksums");
    let places = [(old, ""), (server, url.as_str()), (new.as_path(), "")];
    let listed = pages(old, "");
    assert_eq!(listed.len() as u64, counts(&first)[2]);
    for (machine, url) in places {
        assert_eq!(pages(machine, url), listed);
    }
    let phrase = |at: usize| site.phrases[at].1.as_str();
    for query in ["the", phrase(3), phrase(40), "کتاب"] {
        let here = hits(old, "", query);
        for (machine, url) in &places[1..] {
            assert_eq!(hits(machine, url, query), here, "{query}");
        }
    }
    assert!(!hits(old, "", phrase(3)).is_empty());

    // The next crawl finds everything unchanged; what is new gets a new id.
    let (path, _) = &site.phrases[5];
    let stored = listed.len() as u64;
    let mut again = crawl(server, &url);
    assert_eq!(counts(&again)[4], stored, "unchanged: {again}");
    again = crawl(&new, "");
    assert_eq!(counts(&again)[4], stored, "unchanged: {again}");
    assert_ne!(again["crawl_id"], first["crawl_id"]);
    web.route(
        "/",
        testkit::Reply::html(format!(
            "<main><h1>Start</h1><p>Everything here is new, and so is \
             <a href=/added>the page behind it</a>. <a href={path}>Old</a></p></main>"
        )),
    );
    let body = "<main><h1>Added</h1><p>Nobody expected this comet to come back.</p></main>";
    web.route("/added", testkit::Reply::html(body));
    for (machine, url) in &places[1..] {
        let changed = crawl(machine, url);
        assert_eq!(counts(&changed)[2], 1, "added: {changed}");
        let found = hits(machine, url, "comet");
        assert_eq!(found.len(), 1);
        let highest = listed.iter().filter_map(|page| page["id"].as_i64()).max();
        assert!(found[0]["page_id"].as_i64() > highest, "{found:?}");
    }
}

#[test]
fn a_killed_move_goes_on_and_nobody_uses_what_is_unfinished() {
    let web = FakeWeb::start_blocking();
    web.site(&testkit::generated_site(2, 80));
    let [old, machine] = [0; 2].map(|_| tempfile::tempdir().expect("temp dir"));
    let args = ["crawl", &web.url("/"), "--embed", "off", "--json"];
    on(old.path(), "", &args).ok();
    let database = Postgres::fresh();
    let url = database.url();
    let clock = Arc::new(SystemClock);
    drop(Store::open_server(&url, Access::Write, &StoreOptions::default(), clock).expect("tables"));
    // It comes as far as the pages.
    database.sql(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$;
         CREATE TRIGGER wait BEFORE INSERT ON pages FOR EACH STATEMENT EXECUTE FUNCTION wait()",
    );
    let waiting = "FROM pg_stat_activity
                   WHERE wait_event = 'PgSleep' AND datname = current_database()";
    let args = ["migrate", "--from", text(old.path()), "--to", &url];
    let mut moving = command(machine.path(), &args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    while database.sql(&format!("SELECT count(*) {waiting}")).trim() == "0" {
        let ended = moving.try_wait().expect("asked");
        assert!(ended.is_none(), "it ended without coming to the pages");
    }
    moving.kill().expect("killed");
    moving.wait().expect("reaped");
    database.sql(&format!("SELECT pg_terminate_backend(pid) {waiting}"));
    let refused = on(machine.path(), &url, &["page", "list"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("gleaner migrate"),
        "{}",
        refused.stderr
    );
    // Rather than wait until its last sign of life is old enough.
    database.sql("DELETE FROM instances; DROP TRIGGER wait ON pages");
    let dry = migrate(text(old.path()), &url, &["--dry-run"]).ok();
    assert!(dry.stdout.contains("unfinished move"), "{}", dry.stdout);
    let moved = migrate(text(old.path()), &url, &["--json"]).ok().json();
    assert!(moved["rows_before"].as_u64() > Some(0), "{moved}");
    assert_eq!(pages(machine.path(), &url), pages(old.path(), ""));
}

#[test]
fn what_cannot_be_moved_is_refused_with_what_to_do() {
    let web = FakeWeb::start_blocking();
    web.site(&testkit::generated_site(3, 5));
    let [old, empty] = [0; 2].map(|_| tempfile::tempdir().expect("temp dir"));
    let args = ["crawl", &web.url("/"), "--embed", "off", "--json"];
    on(old.path(), "", &args).ok();
    let (old, none) = (text(old.path()), text(empty.path()));
    let left = empty.path().join("left");
    std::fs::create_dir_all(left.join("index")).expect("made");
    let foreign = Postgres::fresh();
    foreign.sql("CREATE TABLE invoices (id int)");
    let foreign = foreign.url();
    for (from, to, code, words) in [
        (old, old, 2, "the same database"),
        (none, old, 1, "not empty"),
        (none, &foreign, 1, "tables of another program"),
        (none, "mysql://app:hush@h/d", 2, "--to is a data folder"),
        (
            none,
            "postgres://app:hush@127.0.0.1:1/d",
            1,
            "does not answer",
        ),
        (old, text(&left), 2, "belongs to a database that is gone"),
        (old, "env:NO_SUCH_NAME", 2, "NO_SUCH_NAME"),
        (none, text(&empty.path().join("new")), 1, "no database in"),
    ] {
        let ran = migrate(from, to, &[]);
        assert_eq!(ran.code, code, "{from} {to}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{from} {to}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
    }
    assert!(
        !empty.path().join("new").exists(),
        "nothing is made in vain"
    );
    let dry = migrate(
        old,
        text(&empty.path().join("new")),
        &["--dry-run", "--json"],
    );
    let dry = dry.ok().json();
    assert_eq!(
        (&dry["ready"], &dry["destination"]),
        (&true.into(), &"empty".into())
    );
    assert!(table(&dry, "pages") >= 5, "{dry}");
    let dry = migrate(old, &foreign, &["--dry-run"]);
    assert_eq!(dry.code, 1, "{}", dry.stdout);
}
