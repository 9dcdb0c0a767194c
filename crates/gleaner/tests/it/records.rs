//! Pages in bulk, and records by their facts, through a running server and the
//! command line.

use std::path::Path;

use serde_json::{Value, json};

use crate::http::{Answer, Running};
use crate::support::gleaner;

const NDJSON: &str = "application/x-ndjson";

fn job(n: usize, record: Value) -> Value {
    let mut whole = json!({"kind": "job", "company": format!("Company {}", n % 3)});
    for (name, value) in record.as_object().expect("an object") {
        whole[name] = value.clone();
    }
    json!({
        "url": format!("https://jobs.example/{n}"),
        "title": format!("Gardener {n}"),
        "markdown": format!("# Gardener {n}\n\nWanted: a gardener number{n} who knows roses."),
        "record": whole,
    })
}

fn jobs() -> Vec<Value> {
    vec![
        job(
            0,
            json!({"salary_min": 20, "salary_max": 30, "salary_period": "hour", "skills": ["soil"]}),
        ),
        job(
            1,
            json!({"salary_min": 50_000, "published_at": "2026-01-02T00:00:00Z"}),
        ),
        job(
            2,
            json!({"remote": true, "location": "Utrecht, NL", "skills": ["soil", "roses"]}),
        ),
        job(
            3,
            json!({"remote": false, "published_at": "2026-01-01T00:00:00Z"}),
        ),
        json!({
            "url": "https://shop.example/spade",
            "text": "Spade\n\nA spade for roses.",
            "record": {"kind": "product", "brand": "Fiskars", "price": 19.99, "currency": "EUR"},
        }),
        json!({"url": "https://plain.example/", "text": "Plain\n\nNothing but roses."}),
    ]
}

fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}

fn bulk(server: &Running, path: &str, body: &str) -> Answer {
    server.ask_with("POST", path, &[], NDJSON, body.as_bytes())
}

fn served(dir: &Path) -> Running {
    let server = Running::serve(dir);
    let report = bulk(&server, "/api/v2/pages/bulk", &lines(&jobs()));
    let report = report.is(200).json();
    assert_eq!(
        (&report["lines"], &report["added"]),
        (&json!(6), &json!(6)),
        "{report}"
    );
    server
}

#[track_caller]
fn check(server: &Running, query: &str, expected: &[&str]) {
    let list = server
        .get(&format!("/api/v2/records?{query}"))
        .is(200)
        .json();
    let records = list["records"].as_array().expect("a list");
    let paths = records.iter().map(|row| {
        let url = row["url"].as_str().expect("a URL");
        url.rsplit('/').next().expect("a path").to_owned()
    });
    assert_eq!(paths.collect::<Vec<_>>(), expected, "{query}: {list}");
}

#[test]
fn records_are_listed_by_their_facts() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = served(dir.path());
    check(&server, "kind=job", &["1", "3", "2", "0"]);
    check(
        &server,
        "kind=job&salary_min=50000&sort=best_paid",
        &["0", "1"],
    );
    check(&server, "kind=job&salary_min=50001", &["0"]);
    check(&server, "remote=true", &["2"]);
    check(&server, "location=utrecht", &["2"]);
    check(&server, "company=company%200&sort=best_paid", &["0", "3"]);
    check(&server, "skill=Soil&remote=true", &["2"]);
    check(
        &server,
        "kind=product&price_max=20&currency=eur",
        &["spade"],
    );
    check(&server, "published_from=2026-01-02T00:00:00Z", &["1"]);
    check(&server, "kind=news", &[]);

    let whole = server.get("/api/v2/records?kind=job").is(200).json();
    let first = server
        .get("/api/v2/records?kind=job&limit=3")
        .is(200)
        .json();
    let next = first["next"].as_str().expect("there is more");
    let path = format!("/api/v2/records?kind=job&limit=3&cursor={next}");
    let second = server.get(&path).is(200).json();
    assert_eq!(second["records"][0], whole["records"][3]);
    assert_eq!(second["next"], Value::Null);

    let path = "/api/v2/records?kind=job&facets=company,skill&facet_values=2&limit=1";
    let counted = server.get(path).is(200).json();
    assert_eq!(counted["total"], 4);
    let expected = json!([
        {"name": "company", "distinct": 3, "values": [
            {"value": "Company 0", "count": 2}, {"value": "Company 1", "count": 1}]},
        {"name": "skill", "distinct": 2, "values": [
            {"value": "soil", "count": 2}, {"value": "roses", "count": 1}]},
    ]);
    assert_eq!(counted["facets"], expected);

    for (wrong, told) in [
        ("kind=car", "kind"),
        ("facets=colour", "colour"),
        ("salary_min=much", "salary_min"),
        ("cursor=x", "cursor"),
        ("limit=501", "limit"),
        ("published_to=soon", "published_to"),
    ] {
        let refused = server.get(&format!("/api/v2/records?{wrong}")).is(422);
        assert_eq!(refused.error(), "invalid_request");
        assert!(refused.body.contains(told), "{wrong}: {}", refused.body);
    }
    server.stop();
}

#[test]
fn searches_filter_and_count_records() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = served(dir.path());
    let found = |query: &str| {
        let answer = server
            .get(&format!("/api/v2/search?q=roses&{query}"))
            .is(200);
        answer.json()
    };
    let all = found("facets=kind,remote");
    assert_eq!(all["total"], 6);
    let kinds = &all["facets"][0];
    assert_eq!(
        kinds["values"][0],
        json!({"value": "job", "count": 4}),
        "{all}"
    );
    assert_eq!(found("kind=job")["total"], 4);
    assert_eq!(found("kind=job&salary_min=50001")["total"], 1);
    assert_eq!(
        found("brand=FISKARS")["hits"][0]["url"],
        "https://shop.example/spade"
    );
    assert_eq!(found("kind=product&price_min=20")["total"], 0);
    let body =
        json!({"query": "roses", "filters": ["kind=job", "remote=true"], "facets": ["skill"]});
    let posted = server.post("/api/v2/search", &body).is(200).json();
    assert_eq!(posted["total"], 1);
    assert_eq!(posted["facets"][0]["distinct"], 2);
    for wrong in ["facets=colour", "kind=car", "filter=kind%3Dcar"] {
        let refused = server.get(&format!("/api/v2/search?q=x&{wrong}")).is(422);
        assert_eq!(refused.error(), "invalid_request", "{wrong}");
    }
    server.stop();
}

#[test]
fn bulk_lines_stand_for_themselves() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = served(dir.path());
    let path = "/api/v2/pages/bulk";
    // The same again changes nothing; a note survives what changes the page.
    let again = bulk(&server, path, &lines(&jobs())).is(200).json();
    assert_eq!(
        (&again["unchanged"], &again["failed"]),
        (&json!(6), &json!(0)),
        "{again}"
    );
    let list = server
        .get("/api/v2/records?kind=job&remote=true")
        .is(200)
        .json();
    let id = &list["records"][0]["page_id"];
    let note = json!({"applied": true, "tags": ["soon"]});
    let notes = format!("/api/v2/pages/{id}/notes");
    server.ask("PATCH", &notes, &[], Some(&note)).is(200);

    let mut changed = job(2, json!({"remote": true, "company": "New"}));
    changed["markdown"] = json!("# Gardener\n\nAnother text.");
    let mixed = [
        changed.to_string(),
        String::new(),
        "{broken".to_owned(),
        json!({"url": "ftp://x.example/", "text": "x"}).to_string(),
        json!({"url": "https://x.example/"}).to_string(),
        json!({"url": "https://x.example/", "text": "x", "colour": 1}).to_string(),
        json!({"url": "https://x.example/", "text": "x", "record": {"kind": "job", "price": -1}})
            .to_string(),
        json!({"url": "https://plain.example/", "gone": true}).to_string(),
        json!({"url": "https://never.example/", "gone": true}).to_string(),
        format!(
            "{{\"url\":\"https://long.example/\",\"text\":\"{}\"}}",
            "a ".repeat(5 << 20)
        ),
    ];
    // Windows line ends, and none after the last line.
    let report = bulk(&server, path, &mixed.join("\r\n")).is(200).json();
    let counts = [
        "lines",
        "added",
        "updated",
        "unchanged",
        "removed",
        "failed",
    ];
    let counts = counts.map(|name| report[name].as_u64().expect("a count"));
    assert_eq!(counts, [9, 0, 1, 1, 1, 6], "{report}");
    let errors = report["errors"].as_array().expect("errors");
    let numbers: Vec<_> = errors.iter().map(|error| error["line"].as_u64()).collect();
    assert_eq!(numbers, [3, 4, 5, 6, 7, 10].map(Some));
    assert_eq!(errors[4]["url"], "https://x.example/");
    assert!(
        errors[4]["message"]
            .as_str()
            .expect("text")
            .contains("price"),
        "{report}"
    );
    assert_eq!(
        (&errors[0]["code"], &errors[5]["code"]),
        (&json!("invalid_request"), &json!("too_large"))
    );

    let list = server.get("/api/v2/records?tag=soon").is(200).json();
    let row = &list["records"][0];
    assert_eq!(
        (&row["page_id"], &row["notes"]["applied"]),
        (id, &json!(true)),
        "{list}"
    );
    assert_eq!(row["record"]["company"], "New");
    let versions = server
        .get(&format!("/api/v2/pages/{id}/versions"))
        .is(200)
        .json();
    assert_eq!(versions["versions"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        server
            .get("/api/v2/search?q=nothing+but+roses&filter=host%3Dplain.example")
            .json()["total"],
        0
    );

    let as_html = server.ask_with("POST", path, &[], "text/html", b"x");
    assert_eq!(as_html.is(415).error(), "unsupported_media_type");
    let nowhere = bulk(&server, "/api/v2/pages/bulk?source=99", "");
    assert_eq!(nowhere.is(415).error(), "unsupported_media_type");
    let nowhere = bulk(&server, "/api/v2/pages/bulk?source=99", "{}");
    assert_eq!(nowhere.is(404).error(), "not_found");
    server.stop();
}

#[test]
fn an_export_is_an_import() {
    let (here, there) = (
        tempfile::tempdir().expect("temp dir"),
        tempfile::tempdir().expect("temp dir"),
    );
    let server = served(here.path());
    let exported = server.get("/api/v2/export").is(200);
    assert_eq!(exported.headers["content-type"], NDJSON);
    assert_eq!(exported.body.lines().count(), 6);
    assert_eq!(
        server.get("/api/v2/export?source=99").is(404).error(),
        "not_found"
    );
    let none = server.get("/api/v2/export?host=other.example").is(200);
    assert_eq!(none.body, "");
    let gone = json!({"url": "https://plain.example/", "gone": true});
    bulk(
        &server,
        "/api/v2/pages/bulk",
        &lines(std::slice::from_ref(&gone)),
    )
    .is(200);
    let since = server
        .get("/api/v2/export?changed_since=2020-01-01T00:00:00Z")
        .is(200);
    let last: Value =
        serde_json::from_str(since.body.lines().last().expect("a line")).expect("JSON");
    assert_eq!((since.body.lines().count(), &last), (6, &gone));
    server.stop();

    let file = here.path().join("pages.jsonl");
    let name = file.to_str().expect("a path");
    gleaner(here.path(), &["export", "--output", name]).ok();
    let text = std::fs::read_to_string(&file).expect("written");
    let without_gone: Vec<&str> = exported
        .body
        .lines()
        .filter(|l| !l.contains("plain.example"))
        .collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), without_gone);
    let twice = gleaner(here.path(), &["export", "--output", name]);
    assert_eq!(twice.code, 1, "an existing file is not overwritten");

    let report = gleaner(there.path(), &["import", name, "--json"])
        .ok()
        .json();
    assert_eq!(report["added"], 5, "{report}");
    let copy = gleaner(there.path(), &["export"]).ok().stdout;
    assert_eq!(copy, text);
    let listed = gleaner(
        there.path(),
        &[
            "record",
            "list",
            "--kind",
            "job",
            "--salary-min",
            "50001",
            "--json",
        ],
    );
    assert_eq!(
        listed.ok().json()["records"][0]["url"],
        "https://jobs.example/0"
    );

    let broken = there.path().join("broken.jsonl");
    std::fs::write(
        &broken,
        "{\n{\"url\":\"https://b.example/\",\"text\":\"well\"}\n",
    )
    .expect("written");
    let partly = gleaner(there.path(), &["import", broken.to_str().expect("a path")]);
    assert_eq!(partly.code, 3, "{}", partly.stderr);
    assert!(partly.stderr.contains("line 1"), "{}", partly.stderr);
    let missing = gleaner(there.path(), &["import", "missing.jsonl"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.stderr.contains("missing.jsonl"),
        "{}",
        missing.stderr
    );
}

#[test]
fn similar_pages_need_vectors() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = served(dir.path());
    let refused = server.get("/api/v2/pages/1/similar").is(409);
    assert_eq!(refused.error(), "conflict");
    assert_eq!(
        server.get("/api/v2/pages/99/similar").is(404).error(),
        "not_found"
    );
    server.stop();
    gleaner(dir.path(), &["embed"]).ok();
    let similar = gleaner(
        dir.path(),
        &["page", "similar", "1", "--limit", "3", "--json"],
    )
    .ok();
    let similar = similar.lines();
    assert_eq!(similar.len(), 3);
    for found in &similar {
        let url = found["page"]["url"].as_str().expect("a URL");
        assert!(
            url.contains("jobs.example") && !url.ends_with("/0"),
            "{url}"
        );
    }
    let server = Running::serve(dir.path());
    let answer = server.get("/api/v2/pages/1/similar?limit=3").is(200).json();
    let from_server: Vec<&Value> = answer["similar"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    assert_eq!(from_server, similar.iter().collect::<Vec<_>>());
    server.stop();
}
