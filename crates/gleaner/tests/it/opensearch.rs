//! Searches by an index of an OpenSearch cluster instead of one on each machine.

use std::path::Path;

use serde_json::Value;
use testkit::FakeWeb;
use testkit::services::{Opensearch, Postgres, ServiceSet};

use crate::http::Running;
use crate::support::{Ran, command, page, paragraphs, ran, site};

/// What a machine is told.
fn environment(cluster: &Opensearch) -> Vec<(&'static str, String)> {
    vec![
        ("GLEANER__SEARCH__KEYWORD", "opensearch".to_owned()),
        (
            "GLEANER__SEARCH__OPENSEARCH__PREFIX",
            cluster.prefix.clone(),
        ),
        ("GLEANER__SEARCH__OPENSEARCH__RETRY_S", "1".to_owned()),
        ("OPENSEARCH_URL", cluster.url.clone()),
    ]
}

fn on(machine: &Path, environment: &[(&'static str, String)], args: &[&str]) -> Ran {
    let mut command = command(machine, args);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    ran(&command.output().expect("the program starts"))
}

fn urls(answer: &Value) -> Vec<String> {
    let hits = answer["hits"].as_array().expect("hits").iter();
    hits.map(|hit| hit["url"].as_str().expect("a URL").to_owned())
        .collect()
}

#[test]
fn a_crawl_is_searched_with_filters_and_facets() {
    let web = FakeWeb::start_blocking();
    site(&web, 12);
    let cluster = Opensearch::shared();
    let environment = environment(&cluster);
    let machine = tempfile::tempdir().expect("temp dir");
    let run = |args: &[&str]| on(machine.path(), &environment, args);
    let crawl = || run(&["crawl", &web.url("/"), "--embed", "off", "--json"]).ok();
    crawl();
    assert!(!machine.path().join("index").exists());
    let found = run(&[
        "search", "topic", "--json", "--limit", "50", "--facet", "host",
    ]);
    let found = found.ok().json();
    assert_eq!(urls(&found).len(), 12);
    assert_eq!(found["total"], 12, "{found}");
    let hosts = &found["facets"][0]["values"][0];
    assert_eq!(hosts["count"], 12, "{found}");
    let some = run(&["search", "topic", "--json", "--filter", "path=/p1"]);
    let paths = urls(&some.ok().json());
    assert!(paths.iter().all(|url| url.contains("/p1")), "{paths:?}");

    web.route("/", page("Start", &paragraphs("a comet nobody expected")));
    crawl();
    let comet = || urls(&run(&["search", "comet", "--json"]).ok().json());
    assert_eq!(comet(), [web.url("/")]);
    let doctor = run(&["doctor"]);
    for said in [
        "words by an index of OpenSearch",
        "opensearch 3.",
        "1 node, ",
        "13 pages, up to date",
    ] {
        assert!(doctor.stdout.contains(said), "{said}: {}", doctor.stdout);
    }
    assert_eq!(run(&["reindex", "--json"]).ok().json()["pages"], 13);
    assert_eq!(comet(), [web.url("/")]);

    // Another folder has other pages, and must not touch these.
    let other = tempfile::tempdir().expect("temp dir");
    let args = ["crawl", &web.url("/"), "--embed", "off", "--json"];
    let refused = on(other.path(), &environment, &args);
    assert!(
        refused.stderr.contains("belongs to another database"),
        "{}",
        refused.stderr
    );
    assert_eq!(comet(), [web.url("/")]);
}

#[test]
fn machines_share_one_index_beside_their_database() {
    let web = FakeWeb::start_blocking();
    site(&web, 5);
    let (cluster, database) = (Opensearch::shared(), Postgres::fresh());
    let mut environment = environment(&cluster);
    environment.push(("DATABASE_URL", database.url()));
    let [here, there] = [0; 2].map(|_| tempfile::tempdir().expect("temp dir"));
    let args = ["crawl", &web.url("/"), "--embed", "off", "--json"];
    on(here.path(), &environment, &args).ok();
    let found = on(there.path(), &environment, &["search", "topic", "--json"]);
    assert_eq!(urls(&found.ok().json()).len(), 5);
}

#[test]
fn a_cluster_that_is_away_or_unnamed_is_told() {
    let machine = tempfile::tempdir().expect("temp dir");
    let unnamed = [("GLEANER__SEARCH__KEYWORD", "opensearch".to_owned())];
    let refused = on(machine.path(), &unnamed, &["search", "anything"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("search.opensearch.urls"),
        "{}",
        refused.stderr
    );

    let set = ServiceSet::start(&["search"]);
    let cluster = set.opensearch();
    let mut environment = environment(&cluster);
    let password = machine.path().join("password");
    std::fs::write(&password, "hush-hush\n").expect("a file");
    let file = password.to_str().expect("a path").to_owned();
    environment.push(("GLEANER__SEARCH__OPENSEARCH__USERNAME", "ada".to_owned()));
    environment.push(("GLEANER__SEARCH__OPENSEARCH__PASSWORD_FILE", file));
    let shown = on(machine.path(), &environment, &["config"]).ok().stdout;
    assert!(
        !shown.contains("hush-hush") && !shown.contains(&cluster.url),
        "{shown}"
    );
    let web = FakeWeb::start_blocking();
    site(&web, 3);
    let args = ["crawl", &web.url("/"), "--embed", "off", "--json"];
    on(machine.path(), &environment, &args).ok();

    let variables: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let server = Running::serve_with(machine.path(), &variables);
    let search = |query: &str| server.get(&format!("/api/v2/search?q={query}"));
    assert_eq!(urls(&search("topic").is(200).json()).len(), 3);
    set.signal("search", "KILL");
    // What was answered before may be answered again.
    search("second").is(503);
    let away = on(machine.path(), &environment, &["search", "topic"]);
    assert_ne!(away.code, 0);
    assert!(away.stderr.contains("cannot be reached"), "{}", away.stderr);
    let doctor = on(machine.path(), &environment, &["doctor"]);
    assert!(
        doctor.stdout.contains("search cluster"),
        "{}",
        doctor.stdout
    );
    assert!(!doctor.stdout.contains("secret"), "{}", doctor.stdout);
    // It is empty when it comes back; whoever searches next fills it again.
    set.start_again("search");
    cluster.wait();
    let found = on(machine.path(), &environment, &["search", "topic", "--json"]);
    assert_eq!(urls(&found.ok().json()).len(), 3);
    assert_eq!(urls(&search("paragraph").is(200).json()).len(), 4);
}
