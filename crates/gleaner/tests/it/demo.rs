//! `gleaner demo` on a fresh data folder.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{check_q2, gleaner};

#[test]
fn the_demo_crawls_its_site_and_answers_three_searches() {
    let expected: Value =
        serde_json::from_str(include_str!("../../demo/expected.json")).expect("JSON");
    let dir = tempfile::tempdir().expect("temp dir");
    let data = dir.path().join("demo");
    let ran = gleaner(&data, &["demo", "--json"]).ok();
    let lines = ran.lines();
    let crawl = &lines[0];
    check_q2(crawl);
    assert_eq!(crawl["status"], "completed");
    assert_eq!(crawl["vectors"]["pending"], 0, "{crawl}");
    assert_eq!(lines.len(), 4, "the crawl and three searches");
    assert!(
        lines[1..]
            .iter()
            .all(|search| search["total"].as_u64() > Some(0))
    );

    let pages = gleaner(&data, &["page", "list", "--json"]).ok().lines();
    let stored: BTreeSet<String> = pages
        .iter()
        .map(|page| url::Url::parse(page["url"].as_str().expect("url")).expect("URL"))
        .map(|url| url.path().to_owned())
        .collect();
    let list = |name: &str| -> BTreeSet<String> {
        let items = expected[name]
            .as_array()
            .unwrap_or_else(|| panic!("{name}"));
        items
            .iter()
            .map(|item| item.as_str().expect("path").to_owned())
            .collect()
    };
    let reachable = list("pages_reachable");
    assert_eq!(stored, reachable, "exactly the reachable pages are stored");
    assert!(stored.is_disjoint(&list("disallowed")));

    for search in expected["searches"].as_array().expect("searches") {
        let query = search["query"].as_str().expect("query");
        let mode = search["mode"].as_str().expect("mode");
        let found = gleaner(&data, &["search", query, "--mode", mode, "--json"])
            .ok()
            .json();
        let top = found["hits"][0]["url"].as_str().unwrap_or_default();
        let path = search["top"].as_str().expect("top");
        assert!(
            top.ends_with(path),
            "{query} ({mode}): {top} instead of {path}"
        );
    }
}

#[test]
fn the_demo_leaves_foreign_folders_alone() {
    let dir = tempfile::tempdir().expect("temp dir");
    std::fs::write(dir.path().join("precious"), "x").expect("written");
    let ran = gleaner(dir.path(), &["demo", "--json"]);
    assert_eq!(ran.code, 1);
    assert!(dir.path().join("precious").exists());
}
