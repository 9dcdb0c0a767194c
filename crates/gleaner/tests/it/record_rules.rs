//! Records of pages, and the rules a source has for them, through the program.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{FakeWeb, Reply};

use crate::http::Running;
use crate::support::{crawl, gleaner, page, paragraphs};

const PAGE: &str = "<!doctype html><title>Weaver | Linen</title><main><h1>Weaver</h1>\
    <h2 class=company>Linen &amp; Sons</h2><p class=pay>€ 3.000 - 3.500 per month</p>\
    <p>We are looking for somebody who weaves linen as it was woven long ago.</p></main>";

fn rules() -> Value {
    json!({"kind": "job", "path": "/jobs/*", "fields": {
        "company": "h2.company",
        "salary": {"select": ".pay"},
        "remote": {"value": "no"}
    }})
}

fn file(dir: &Path, name: &str, content: &str) -> String {
    let path: PathBuf = dir.join(name);
    std::fs::write(&path, content).expect("write");
    path.display().to_string()
}

#[test]
fn rules_are_tried_on_a_page() {
    let dir = tempfile::tempdir().expect("temp dir");
    let page = file(dir.path(), "page.html", PAGE);
    let rules = file(dir.path(), "rules.json", &rules().to_string());
    let extract = |base: &str, more: &[&str]| {
        let mut args = vec!["extract", &page, "--format", "json", "--base", base];
        args.extend(more);
        gleaner(dir.path(), &args).ok().json()["record"].clone()
    };
    let with_rules = ["--record-rules", rules.as_str()];
    assert_eq!(
        extract("https://linen.example/jobs/1", &with_rules),
        json!({"kind": "job", "name": "Weaver", "company": "Linen & Sons", "remote": false,
            "salary_min": 3000.0, "salary_max": 3500.0, "salary_currency": "EUR", "salary_period": "month"})
    );
    assert_eq!(extract("https://linen.example/", &with_rules), Value::Null);
    assert_eq!(extract("https://linen.example/jobs/1", &[]), Value::Null);
}

#[test]
fn wrong_rules_are_refused_when_they_are_made() {
    let dir = tempfile::tempdir().expect("temp dir");
    let check = |content: &str, problem: &str| {
        let rules = file(dir.path(), "rules.json", content);
        let args = [
            "source",
            "add",
            "https://a.example/",
            "--record-rules",
            &rules,
        ];
        let ran = gleaner(dir.path(), &args);
        assert_eq!(ran.code, 2, "{content}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(problem), "{content}: {}", ran.stderr);
    };
    check("{", "is no JSON");
    check("null", "record rules: record: is no JSON object");
    check(
        r#"{"kind": "job", "fields": {"company": "h2:hover"}}"#,
        "record rules: fields.company: selector `h2:hover`",
    );
    check(
        r#"{"kind": "job", "fields": {"pay": "b"}}"#,
        "fields.pay: is no field",
    );
    let missing = dir.path().join("missing.json").display().to_string();
    let args = [
        "source",
        "add",
        "https://a.example/",
        "--record-rules",
        &missing,
    ];
    let ran = gleaner(dir.path(), &args);
    assert!(
        ran.code != 0 && ran.stderr.contains("missing.json"),
        "{}",
        ran.stderr
    );
    let listed = gleaner(dir.path(), &["source", "list", "--json"]).ok();
    assert_eq!(listed.stdout, "");
}

#[test]
fn a_source_keeps_its_rules_until_told_otherwise() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = file(dir.path(), "rules.json", &rules().to_string());
    let add = [
        "source",
        "add",
        "https://a.example/",
        "--record-rules",
        &path,
        "--json",
    ];
    let added = gleaner(dir.path(), &add).ok().json();
    assert_eq!(added["settings"]["record"], rules());
    let id = added["id"].to_string();
    let edit = |more: &[&str]| {
        let mut args = vec!["source", "edit", &id, "--json"];
        args.extend(more);
        gleaner(dir.path(), &args).ok().json()["settings"].clone()
    };
    let kept = edit(&["--max-pages", "7"]);
    assert_eq!((&kept["record"], &kept["pages_max"]), (&rules(), &json!(7)));
    let shown = gleaner(dir.path(), &["source", "show", &id]).ok();
    assert!(shown.stdout.contains("h2.company"), "{}", shown.stdout);
    assert_eq!(edit(&["--no-record-rules"]), json!({"pages_max": 7}));
}

#[test]
fn rules_over_http() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let source =
        |record: Value| json!({"urls": ["https://a.example/"], "settings": {"record": record}});
    let wrong = json!({"kind": "job", "fields": {"company": {"select": "h2", "match": "("}}});
    let answer = server
        .post("/api/v2/sources", &source(wrong.clone()))
        .is(422);
    assert!(
        answer
            .body
            .contains("record rules: fields.company.match: unclosed group"),
        "{}",
        answer.body
    );
    let added = server
        .post("/api/v2/sources", &source(rules()))
        .is(201)
        .json();
    assert_eq!(added["source"]["settings"]["record"], rules(), "{added}");
    let path = format!("/api/v2/sources/{}", added["source"]["id"]);
    let patch = json!({"settings": {"record": wrong}});
    server.ask("PATCH", &path, &[], Some(&patch)).is(422);
    let kept = server.get(&path).is(200).json();
    assert_eq!(kept["settings"]["record"], rules());
    server.stop();
}

/// From a page's markup, by way of a crawl, to a list and a search; and what
/// becomes of a record when the page says something else.
#[test]
fn a_crawl_stores_what_pages_state_and_what_rules_find() {
    let web = FakeWeb::start_blocking();
    let start = "<a href=/jobs/1>a</a> <a href=/spade>b</a> <a href=/plain>c</a>";
    web.route(
        "/",
        page("Start", &format!("{}{start}", paragraphs("start"))),
    );
    web.route("/jobs/1", Reply::html(PAGE));
    let spade = |price: &str| {
        let data = json!({"@context": "https://schema.org", "@type": "Product", "name": "Spade",
            "brand": {"@type": "Brand", "name": "Fiskars"},
            "offers": {"@type": "Offer", "price": price, "priceCurrency": "EUR",
                "availability": "https://schema.org/InStock"}});
        let script = format!("<script type=application/ld+json>{data}</script>");
        page("Spade", &format!("{}{script}", paragraphs("spade")))
    };
    web.route("/spade", spade("19.99"));
    web.route("/plain", page("Plain", &paragraphs("plain")));
    let dir = tempfile::tempdir().expect("temp dir");
    let rules = file(dir.path(), "rules.json", &rules().to_string());
    crawl(dir.path(), &web.url("/"), &["--record-rules", &rules]).ok();
    let list = |more: &[&str]| {
        let mut args = vec!["record", "list", "--json"];
        args.extend(more);
        gleaner(dir.path(), &args).ok().json()
    };
    let job = list(&["--kind", "job", "--salary-min", "42000"]);
    let found = &job["records"][0];
    assert_eq!(found["url"], web.url("/jobs/1"));
    assert_eq!(found["record"]["company"], "Linen & Sons", "{job}");
    let products = list(&["--kind", "product", "--facets", "brand,availability"]);
    assert_eq!(products["total"], 1, "{products}");
    assert_eq!(products["facets"][0]["values"][0]["value"], "Fiskars");
    let price = || list(&["--kind", "product"])["records"][0]["record"]["price"].clone();
    assert_eq!(price(), 19.99);
    assert_eq!(list(&[])["records"].as_array().map(Vec::len), Some(2));
    let args = [
        "search",
        "spade",
        "--filter",
        "kind=product",
        "--filter",
        "price_max=20",
        "--json",
    ];
    assert_eq!(gleaner(dir.path(), &args).ok().json()["total"], 1);

    // Only the price is another: the text, and with it the version, stays. The
    // rules stay with the source as well.
    web.route("/spade", spade("25"));
    crawl(dir.path(), &web.url("/"), &[]).ok();
    assert_eq!(price(), 25.0);
    assert_eq!(gleaner(dir.path(), &args).ok().json()["total"], 0);
    assert_eq!(
        list(&["--kind", "job"])["records"].as_array().map(Vec::len),
        Some(1)
    );
}
