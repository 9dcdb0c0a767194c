//! The program over several databases on servers.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::FakeWeb;
use testkit::services::{Postgres, ServiceSet};

use crate::http::Running;
use crate::support::{Ran, command, page, paragraphs, ran};

const PAGES: usize = 4;

/// Runs the program with these databases, the home first.
fn on(machine: &Path, urls: &[String], args: &[&str]) -> Ran {
    let mut command = command(machine, args);
    for (number, url) in urls.iter().enumerate() {
        command.env(format!("DATABASE_URL_SHARD_{number}"), url);
    }
    ran(&command.output().expect("the program starts"))
}

fn lines(ran: &Ran) -> Vec<Value> {
    let lines = ran.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn shards(machine: &Path, urls: &[String]) -> Vec<Value> {
    lines(&on(machine, urls, &["shard", "list", "--json"]).ok())
}

/// A site whose texts are like no other's: what is said twice in one database
/// has chunks once, and in two twice.
fn site(web: &FakeWeb, number: usize) {
    let links: String = (0..PAGES)
        .map(|n| format!("<a href=/p{n}>p{n}</a> "))
        .collect();
    let start = paragraphs(&format!("beginnings of site {number}"));
    web.route("/", page("Start", &format!("{start}{links}")));
    for n in 0..PAGES {
        let body = paragraphs(&format!("topic {n} of site {number}"));
        web.route(&format!("/p{n}"), page(&format!("Page {n}"), &body));
    }
}

/// Web sites that were crawled, one after the other, until each of two
/// databases has pages.
fn spread(machine: &Path, urls: &[String]) -> Vec<FakeWeb> {
    let mut webs: Vec<FakeWeb> = Vec::new();
    while webs.len() < 40 {
        let web = FakeWeb::start_blocking();
        site(&web, webs.len());
        let args = ["crawl", &web.url("/"), "--embed", "off", "--json"];
        on(machine, urls, &args).ok();
        webs.push(web);
        let shards = shards(machine, urls);
        if webs.len() > 3 && shards.iter().all(|shard| shard["pages_live"] != 0) {
            return webs;
        }
    }
    panic!("forty hosts lie in one database");
}

#[test]
fn what_lies_in_two_databases_is_listed_and_found_as_in_one() {
    let (two, one) = (Postgres::fresh_shards(2), Postgres::fresh());
    let two: Vec<String> = two_urls(&two);
    let one = vec![one.url()];
    let [apart, together] = [0; 2].map(|_| tempfile::tempdir().expect("temp dir"));
    let webs = spread(apart.path(), &two);
    for web in &webs {
        let args = ["crawl", &web.url("/"), "--embed", "off", "--json"];
        on(together.path(), &one, &args).ok();
    }
    let shown = shards(apart.path(), &two);
    let sum = |field: &str| -> u64 { shown.iter().filter_map(|shard| shard[field].as_u64()).sum() };
    assert_eq!(sum("sources"), webs.len() as u64);
    assert_eq!(sum("pages_live"), (webs.len() * (PAGES + 1)) as u64);
    assert_eq!(shown[0]["shard"], "0");
    assert_eq!(shown[1]["shard"], "1");

    let urls_of = |ran: &Ran| {
        let mut urls: Vec<String> = lines(ran)
            .iter()
            .map(|row| row["url"].to_string())
            .collect();
        urls.sort();
        urls
    };
    let list = ["page", "list", "--json", "--limit", "500"];
    assert_eq!(
        urls_of(&on(apart.path(), &two, &list).ok()),
        urls_of(&on(together.path(), &one, &list).ok())
    );
    for query in ["topic", "beginnings", "topic 3"] {
        let args = ["search", query, "--json", "--limit", "100"];
        let hits = |ran: Ran| {
            let found = ran.ok().json();
            let hits = found["hits"].as_array().expect("hits").iter();
            let mut hits: Vec<(String, String)> = hits
                .map(|hit| (hit["url"].to_string(), hit["score"].to_string()))
                .collect();
            assert!(!hits.is_empty(), "{query}: {found}");
            hits.sort();
            hits
        };
        assert_eq!(
            hits(on(apart.path(), &two, &args)),
            hits(on(together.path(), &one, &args)),
            "{query}"
        );
    }
    // Known again wherever it lies: nothing is new.
    let again = ["crawl", &webs[0].url("/"), "--embed", "off", "--json"];
    let again = on(apart.path(), &two, &again).ok().json();
    assert_eq!(again["pages"]["added"], 0, "{again}");
    let healthy = on(apart.path(), &two, &["doctor"]);
    assert!(healthy.stdout.contains("shard"), "{}", healthy.stdout);
    // One of them alone is only half of it.
    let half = on(apart.path(), &two[..1], &list);
    assert_eq!(half.code, 1);
    assert!(half.stderr.contains("name all shards"), "{}", half.stderr);
}

/// Sites are crawled into one database, then another one joins.
#[test]
fn after_another_database_joined_sources_move_there_and_nothing_else_changes() {
    let databases = Postgres::fresh_shards(2);
    let urls = two_urls(&databases);
    let machine = tempfile::tempdir().expect("temp dir");
    let webs: Vec<FakeWeb> = (0..8).map(|_| FakeWeb::start_blocking()).collect();
    for (number, web) in webs.iter().enumerate() {
        site(web, number);
        let args = ["crawl", &web.url("/"), "--embed", "off", "--json"];
        on(machine.path(), &urls[..1], &args).ok();
    }
    let list = ["page", "list", "--json", "--limit", "500"];
    let found = |urls: &[String]| -> Vec<Value> {
        let queries = ["topic", "beginnings", "topic 3"].iter();
        queries
            .map(|query| {
                let args = ["search", query, "--json", "--limit", "100"];
                let hits = on(machine.path(), urls, &args).ok().json()["hits"].take();
                let hits = hits.as_array().expect("hits").iter();
                let hits = hits.map(|hit| json!([hit["url"], hit["page_id"], hit["score"]]));
                let mut hits: Vec<Value> = hits.collect();
                hits.sort_by_key(Value::to_string);
                assert!(!hits.is_empty(), "{query}");
                Value::from(hits)
            })
            .collect()
    };
    let pages = lines(&on(machine.path(), &urls[..1], &list).ok());
    assert_eq!(pages.len(), webs.len() * (PAGES + 1));
    let hits = found(&urls[..1]);

    let early = on(machine.path(), &urls, &["shard", "list"]);
    assert_eq!(early.code, 1, "{}", early.stderr);
    assert!(
        early.stderr.contains("gleaner shard add"),
        "{}",
        early.stderr
    );
    let added = on(machine.path(), &urls, &["shard", "add", "--json"]).ok();
    assert!(
        added.stderr.contains("gleaner shard rebalance"),
        "{}",
        added.stderr
    );
    let added = lines(&added);
    assert_eq!(added.len(), 2);
    assert_eq!(added[1]["sources"], 0);
    let again = |web: &FakeWeb| {
        let args = ["crawl", &web.url("/"), "--embed", "off", "--json"];
        on(machine.path(), &urls, &args).ok().json()
    };
    assert_eq!(again(&webs[0])["pages"]["added"], 0);
    let rebalance = ["shard", "rebalance", "--json"];
    let dry_run = ["shard", "rebalance", "--json", "--dry-run"];
    let planned = lines(&on(machine.path(), &urls, &dry_run).ok());
    let moved = lines(&on(machine.path(), &urls, &rebalance).ok());
    assert_eq!(moved.len(), planned.len());
    for one in &moved {
        assert_eq!(one["outcome"], "moved", "{one}");
        assert_eq!((&one["from"], &one["to"]), (&json!("0"), &json!("1")));
    }
    // All of eight ports stay in one of two databases once in 256 times.
    let shown = shards(machine.path(), &urls);
    assert_eq!(shown[1]["sources"], moved.len());
    assert_eq!(shown[0]["sources"], webs.len() - moved.len());
    assert_eq!(shown[1]["pages_live"], moved.len() * (PAGES + 1));

    let pages_of = |rows: &[Value]| {
        let rows = rows
            .iter()
            .map(|row| row["id"].to_string() + &row["url"].to_string());
        let mut rows: Vec<String> = rows.collect();
        rows.sort();
        rows
    };
    let without_scores = |found: &[Value]| -> Vec<Vec<String>> {
        let hits = found.iter().filter_map(Value::as_array);
        let shown = |hit: &Value| format!("{} {}", hit[0], hit[1]);
        hits.map(|hits| hits.iter().map(shown).collect()).collect()
    };
    let listed = lines(&on(machine.path(), &urls, &list).ok());
    assert_eq!(pages_of(&listed), pages_of(&pages));
    assert_eq!(without_scores(&found(&urls)), without_scores(&hits));
    // Until segments are merged, word statistics count what was replaced in
    // them; of an index that is written anew the scores are the same, too.
    on(machine.path(), &urls, &["reindex"]).ok();
    assert_eq!(found(&urls), hits);
    for web in &webs {
        assert_eq!(again(web)["pages"]["added"], 0);
    }
    let listed = lines(&on(machine.path(), &urls, &list).ok());
    assert_eq!(pages_of(&listed), pages_of(&pages));
    assert_eq!(found(&urls), hits);
    let balanced = on(machine.path(), &urls, &["shard", "rebalance"]).ok();
    assert_eq!(balanced.stdout, "nothing to move\n");

    // All the way back: into one database, then into a folder.
    let drained = lines(&on(machine.path(), &urls, &["shard", "drain", "1", "--json"]).ok());
    assert_eq!(drained.len(), moved.len() + 1);
    let left = drained.last().expect("what came of the shard");
    assert_eq!(
        (&left["shard"], &left["outcome"]),
        (&json!("1"), &json!("left"))
    );
    let both = on(machine.path(), &urls, &list);
    assert!(both.stderr.contains("was taken away"), "{}", both.stderr);
    let listed = lines(&on(machine.path(), &urls[..1], &list).ok());
    assert_eq!(pages_of(&listed), pages_of(&pages));
    on(machine.path(), &urls[..1], &["reindex"]).ok();
    assert_eq!(found(&urls[..1]), hits);
    let folder = machine.path().join("folder");
    let to = folder.to_str().expect("a path");
    let migrate = ["migrate", "--from", &databases[0].url(), "--to", to];
    on(machine.path(), &[], &migrate).ok();
    let listed = lines(&on(&folder, &[], &list).ok());
    assert_eq!(pages_of(&listed), pages_of(&pages));
}

fn two_urls(databases: &[Postgres]) -> Vec<String> {
    databases.iter().map(Postgres::pgbouncer_url).collect()
}

#[test]
fn without_one_of_the_databases_the_rest_is_answered_and_says_so() {
    let set = ServiceSet::start(&["pg"]);
    let databases = set.postgres_shards(2);
    let urls: Vec<String> = databases.iter().map(Postgres::url).collect();
    let machine = tempfile::tempdir().expect("temp dir");
    let webs = spread(machine.path(), &urls);
    let all = webs.len() * (PAGES + 1);
    let environment = [
        ("DATABASE_URL_SHARD_0", urls[0].as_str()),
        ("DATABASE_URL_SHARD_1", urls[1].as_str()),
    ];
    let server = Running::serve_with(machine.path(), &environment);
    assert_eq!(listed(&server), (all, None));

    set.signal("pg-1", "QUIT");
    let (pages, partial) = listed(&server);
    assert!(pages > 0 && pages < all, "{pages} of {all}");
    assert_eq!(partial.as_deref(), Some("shard 1"));
    // What lacks something is not kept.
    for _ in 0..2 {
        let again = server.get("/api/v2/pages?limit=100").is(200);
        assert_eq!(again.headers["x-cache"], "miss");
        assert_eq!(again.headers["x-partial"], "shard 1");
    }
    let found = server.get("/api/v2/search?q=topic&limit=100").is(200);
    assert_eq!(found.headers["x-partial"], "shard 1");
    let hits = found.json()["hits"].as_array().expect("hits").len();
    assert!(hits > 0 && hits < webs.len() * PAGES, "{hits}");
    // The others' work goes on: a source that lies in the home is crawled.
    let sources = server.get("/api/v2/sources").is(200).json();
    let here = &sources["sources"][0]["id"];
    let begun = server
        .post(&format!("/api/v2/sources/{here}/crawl"), &json!({}))
        .is(202)
        .json();
    let task = format!("/api/v2/tasks/{}/events", begun["task_id"]);
    let (status, events) = server.events(&task, None);
    assert_eq!(status, 200);
    let end = events.last().expect("an end");
    assert_eq!(end.name, "end", "{end:?}");

    set.start_again("pg-1");
    until_whole(&server, all);
    server.stop();
    // One that starts without it takes it in when it answers.
    set.signal("pg-1", "QUIT");
    let server = Running::serve_with(machine.path(), &environment);
    assert_eq!(listed(&server), (pages, partial));
    server.get("/api/v2/search?q=topic&limit=100").is(200);
    set.start_again("pg-1");
    until_whole(&server, all);
    server.stop();
}

/// How many pages are listed, and what is said to be missing.
fn listed(server: &Running) -> (usize, Option<String>) {
    let answer = server.get("/api/v2/pages?limit=100").is(200);
    let partial = answer.headers.get("x-partial").cloned();
    let pages = answer.json()["pages"].as_array().expect("pages").len();
    (pages, partial)
}

fn until_whole(server: &Running, all: usize) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while listed(server) != (all, None) {
        assert!(Instant::now() < deadline, "{:?}", listed(server));
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
