//! Searches by tables on the servers of the store instead of an index on each
//! machine.

use std::path::Path;

use serde_json::Value;
use testkit::FakeWeb;
use testkit::services::{Postgres, ServiceSet};

use crate::http::Running;
use crate::support::{Ran, command, page, paragraphs, ran, site};

const ON_SERVERS: [(&str, &str); 2] = [
    ("GLEANER__SEARCH__KEYWORD", "postgres"),
    ("GLEANER__SEARCH__VECTORS", "postgres"),
];

/// Runs the program with these databases, the home first.
fn on(machine: &Path, urls: &[String], args: &[&str]) -> Ran {
    let mut command = command(machine, args);
    for (number, url) in urls.iter().enumerate() {
        command.env(format!("DATABASE_URL_SHARD_{number}"), url);
    }
    command.envs(ON_SERVERS);
    ran(&command.output().expect("the program starts"))
}

fn crawl(machine: &Path, urls: &[String], web: &FakeWeb) {
    let args = ["crawl", &web.url("/"), "--embed", "off", "--json"];
    on(machine, urls, &args).ok();
}

fn hits(answer: &Value) -> Vec<String> {
    let hits = answer["hits"].as_array().expect("hits").iter();
    hits.map(|hit| hit["url"].as_str().expect("a URL").to_owned())
        .collect()
}

fn found(machine: &Path, urls: &[String], query: &str) -> Vec<String> {
    let args = ["search", query, "--json", "--limit", "50"];
    hits(&on(machine, urls, &args).ok().json())
}

#[test]
fn machines_share_one_index_through_a_pooler() {
    let web = FakeWeb::start_blocking();
    site(&web, 12);
    let database = Postgres::fresh();
    let urls = [database.pgbouncer_url()];
    let [here, there] = [0; 2].map(|_| tempfile::tempdir().expect("temp dir"));
    crawl(here.path(), &urls, &web);
    assert_eq!(found(there.path(), &urls, "topic").len(), 12);
    // No index files on either machine.
    for machine in [&here, &there] {
        let folders = std::fs::read_dir(machine.path()).expect("a folder");
        for folder in folders.flatten().filter(|f| f.path().is_dir()) {
            assert!(!folder.path().join("index").exists(), "{folder:?}");
        }
    }
    web.route("/", page("Start", &paragraphs("a comet nobody expected")));
    crawl(here.path(), &urls, &web);
    assert_eq!(found(there.path(), &urls, "comet"), [web.url("/")]);
    let doctor = on(there.path(), &urls, &["doctor"]);
    for said in [
        "words by tables on the server, vectors by tables on the server",
        "extension vector",
        "13 pages, up to date",
    ] {
        assert!(doctor.stdout.contains(said), "{said}: {}", doctor.stdout);
    }
    let again = on(here.path(), &urls, &["reindex", "--json"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(found(there.path(), &urls, "topic").len(), 12);
}

#[test]
fn an_embedded_database_has_no_tables_to_search() {
    let machine = tempfile::tempdir().expect("temp dir");
    let refused = on(machine.path(), &[], &["search", "anything"]);
    assert_ne!(refused.code, 0);
    assert!(
        refused
            .stderr
            .contains("search.keyword = \"postgres\" needs"),
        "{}",
        refused.stderr
    );
}

#[test]
fn of_two_databases_the_one_that_answers_is_searched_and_says_so() {
    let set = ServiceSet::start(&["pg"]);
    let databases = set.postgres_shards(2);
    let urls: Vec<String> = databases.iter().map(Postgres::url).collect();
    let machine = tempfile::tempdir().expect("temp dir");
    let mut webs = Vec::new();
    let count = |database: &Postgres| -> u64 {
        let sql = "SELECT count(*) FROM pages WHERE status = 1";
        database.sql(sql).trim().parse().expect("a number")
    };
    while webs.len() < 4 || databases.iter().any(|database| count(database) == 0) {
        assert!(webs.len() < 40, "forty hosts lie in one database");
        let web = FakeWeb::start_blocking();
        let text = format!("the topic of site {}", webs.len());
        web.route(
            "/",
            page(&format!("Site {}", webs.len()), &paragraphs(&text)),
        );
        crawl(machine.path(), &urls, &web);
        webs.push(web);
    }
    let mut environment = vec![
        ("DATABASE_URL_SHARD_0", urls[0].as_str()),
        ("DATABASE_URL_SHARD_1", urls[1].as_str()),
    ];
    environment.extend(ON_SERVERS);
    let server = Running::serve_with(machine.path(), &environment);
    let search = |query: &str| {
        let path = format!("/api/v2/search?q={query}&limit=100");
        server.get(&path).is(200)
    };
    let all = search("topic");
    assert_eq!(hits(&all.json()).len(), webs.len());
    assert_eq!(all.headers.get("x-partial"), None);

    set.signal("pg-1", "QUIT");
    let some = search("site");
    let left = hits(&some.json()).len();
    assert!(left > 0 && left < webs.len(), "{left} of {}", webs.len());
    assert_eq!(some.headers["x-partial"], "shard 1");
    set.start_again("pg-1");
}

#[test]
fn a_benchmark_asks_the_folder_and_a_copy_on_a_server() {
    let web = FakeWeb::start_blocking();
    site(&web, 8);
    let machine = tempfile::tempdir().expect("temp dir");
    let here = |args: &[&str]| {
        let output = command(machine.path(), args).output();
        ran(&output.expect("the program starts"))
    };
    here(&["crawl", &web.url("/"), "--embed", "off", "--json"]).ok();
    let database = Postgres::fresh();
    let url = database.url();
    let bench = [
        "bench",
        "search",
        "--count",
        "3",
        "--json",
        "--database-url",
        &url,
    ];
    let from = machine.path().to_str().expect("a path");
    here(&["migrate", "--from", from, "--to", &url]).ok();
    let figures = here(&bench).ok().json();
    let on_server = &figures["server"]["modes"]["keyword"];
    assert!(on_server["queries_per_s"].as_f64() > Some(0.0), "{figures}");
    assert!(figures["modes"]["keyword"]["ms"].is_object(), "{figures}");
    // Another database is no copy.
    web.route(
        "/",
        page("Start", &paragraphs("another page, without links")),
    );
    web.route("/new", page("New", &paragraphs("one page more")));
    here(&["crawl", &web.url("/new"), "--embed", "off", "--json"]).ok();
    let refused = here(&bench);
    assert!(refused.stderr.contains("copy them"), "{}", refused.stderr);
}
