//! Lists whose rows have only the fields asked for.

use std::path::Path;

use serde_json::{Value, json};
use testkit::FakeWeb;

use crate::http::Running;
use crate::support::{gleaner, site};

/// A server with two pages about jobs, a source, a task and a crawl.
fn filled(dir: &Path) -> Running {
    let web = FakeWeb::start_blocking();
    site(&web, 1);
    let server = Running::serve(dir);
    let lines: String = (0..2)
        .map(|n| {
            let line = json!({
                "url": format!("https://jobs.example/{n}"),
                "markdown": format!("# Gardener {n}\n\nWanted: somebody who knows roses."),
                "record": {"kind": "job", "company": "Acme"},
            });
            format!("{line}\n")
        })
        .collect();
    let path = "/api/v2/pages/bulk";
    let stored = server.ask_with("POST", path, &[], "application/x-ndjson", lines.as_bytes());
    assert_eq!(stored.is(200).json()["added"], 2);
    let source = json!({"urls": [web.url("/")], "crawl_now": true});
    let added = server.post("/api/v2/sources", &source).is(201).json();
    let task = added["task_id"].as_i64().expect("a task");
    let (_, told) = server.events(&format!("/api/v2/tasks/{task}/events"), None);
    assert_eq!(told.last().expect("an end").json()["state"], "succeeded");
    server
}

fn keys(row: &Value) -> Vec<&str> {
    let row = row.as_object().expect("a row");
    row.keys().map(String::as_str).collect()
}

#[test]
fn lists_and_hits_have_the_fields_asked_for_and_no_others() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = filled(dir.path());
    for (path, rows, all, some) in [
        ("pages?sort=id", "pages", 18, "page_id,title,notes"),
        ("records?kind=job", "records", 8, "url,record"),
        ("sources?limit=9", "sources", 16, "id,name"),
        ("tasks?limit=9", "tasks", 19, "id,state,result"),
        ("crawls?limit=9", "crawls", 19, "id,source_name"),
        ("search?q=roses&mode=keyword", "hits", 13, "url,title,score"),
    ] {
        let path = format!("/api/v2/{path}");
        let whole = server.get(&path).is(200).json();
        let chosen = server.get(&format!("{path}&fields={some}")).is(200).json();
        let (whole, chosen) = (&whole[rows], &chosen[rows]);
        assert_eq!(keys(&whole[0]).len(), all, "{whole}");
        let names: Vec<&str> = some.split(',').collect();
        let (whole, chosen) = (whole.as_array(), chosen.as_array());
        let (whole, chosen) = (whole.expect("rows"), chosen.expect("rows"));
        assert_eq!(chosen.len(), whole.len(), "{path}");
        for (whole, chosen) in whole.iter().zip(chosen) {
            assert_eq!(keys(chosen), names, "{path}");
            for name in &names {
                assert_eq!(chosen[name], whole[name], "{path}: {name}");
            }
        }
        for (wrong, why) in [
            ("nothing", "fields: `nothing` is none of"),
            ("", "fields: `` is none of"),
            ("url,,url", "is none of"),
            (&"id,url,page_id,".repeat(40), "fields: "),
        ] {
            let refused = server.get(&format!("{path}&fields={wrong}")).is(422);
            assert_eq!(refused.error(), "invalid_request", "{path} {wrong}");
            assert!(refused.body.contains(why), "{}", refused.body);
        }
        // The refusal names what there is.
        let refused = server.get(&format!("{path}&fields=nothing")).is(422);
        for name in names {
            assert!(refused.body.contains(name), "{name}: {}", refused.body);
        }
    }

    let ask = |fields: Value| {
        let body = json!({"query": "roses", "mode": "keyword", "fields": fields});
        server.post("/api/v2/search", &body)
    };
    let found = ask(json!(["title", "title"])).is(200).json();
    assert_eq!(keys(&found["hits"][0]), ["title"]);
    assert_eq!(keys(&ask(json!(null)).is(200).json()["hits"][0]).len(), 13);
    for wrong in [json!([]), json!(["nothing"]), json!("title"), json!([1])] {
        assert_eq!(ask(wrong).is(422).error(), "invalid_request");
    }
    server.stop();
}

#[test]
fn a_kept_answer_is_never_one_with_other_fields() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = filled(dir.path());
    for path in ["pages?limit=9", "records?limit=9", "search?q=roses"] {
        let path = format!("/api/v2/{path}");
        let asked = ["", "&fields=url", "&fields=url,title", "&fields=title,url"];
        let ask = |fields: &str| server.get(&format!("{path}{fields}")).is(200);
        let first = asked.map(&ask);
        for (answer, fields) in first.iter().zip(asked) {
            assert_eq!(answer.headers["x-cache"], "miss", "{path}{fields}");
            let again = ask(fields);
            assert_eq!(again.headers["x-cache"], "hit", "{path}{fields}");
            assert_eq!(again.headers["etag"], answer.headers["etag"]);
            assert_eq!(again.body, answer.body);
        }
        assert_ne!(first[1].body, first[2].body);
        // Names given twice make no other answer.
        assert_eq!(ask("&fields=url,url").headers["x-cache"], "hit");
    }
    server.stop();

    let listed = |arguments: &[&str]| {
        let mut told = gleaner(dir.path(), arguments).ok().lines();
        told.remove(0)
    };
    let page = listed(&["page", "list", "--json", "--fields", "url,title"]);
    assert_eq!(keys(&page), ["url", "title"]);
    let source = listed(&["source", "list", "--json", "--fields", "id"]);
    assert_eq!(keys(&source), ["id"]);
    let task = listed(&["task", "list", "--json", "--fields", "kind"]);
    assert_eq!(keys(&task), ["kind"]);
    let records = listed(&["record", "list", "--json", "--fields", "url"]);
    assert_eq!(keys(&records["records"][0]), ["url"]);
    let found = listed(&["search", "roses", "--json", "--fields", "url"]);
    assert_eq!(keys(&found["hits"][0]), ["url"]);
    for wrong in [
        ["page", "list", "--json", "--fields", "nothing"].as_slice(),
        &["page", "list", "--fields", "url"],
        &["record", "list", "--fields", "url"],
    ] {
        assert_eq!(gleaner(dir.path(), wrong).code, 2, "{wrong:?}");
    }
}
