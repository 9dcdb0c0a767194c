//! What somebody who watches the service sees: lists over everything, figures
//! over time, broken hosts, and the end of a crawl.

use serde_json::{Value, json};
use testkit::{FakeWeb, Gate, Reply};

use crate::http::Running;
use crate::support::{gleaner, page, paragraphs};

fn numbers(list: &Value, field: &str) -> Vec<i64> {
    let items = list[field].as_array().expect("a list");
    let id = |item: &Value| item["id"].as_i64().expect("an id");
    items.iter().map(id).collect()
}

fn add(server: &Running, url: &str, name: &str) -> Value {
    let add = json!({"urls": [url], "name": name});
    server.post("/api/v2/sources", &add).is(201).json()["source"]["id"].clone()
}

/// Crawls a source and reads its task's stream to the end.
fn crawl(server: &Running, source: &Value) {
    let path = format!("/api/v2/sources/{source}/crawl");
    let queued = server.post(&path, &json!({})).is(202).json();
    let path = format!("/api/v2/tasks/{}/events", queued["task_id"]);
    assert_eq!(server.events(&path, None).0, 200);
}

/// The newest crawl, once there is one other than `known`.
fn newest_crawl(server: &Running, known: Option<i64>) -> Value {
    loop {
        let crawls = server.get("/api/v2/crawls?limit=1").is(200).json();
        let newest = &crawls["crawls"][0];
        if newest["id"].is_i64() && newest["id"].as_i64() != known {
            return newest.clone();
        }
    }
}

#[test]
fn crawls_and_sources_are_listed_a_few_at_a_time() {
    let web = FakeWeb::start_blocking();
    for path in ["/a/", "/b/"] {
        web.route(path, page(path, &paragraphs(path)));
    }
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let [a, b] = ["/a/", "/b/"].map(|path| add(&server, &web.url(path), &format!("Site {path}")));
    for source in [&a, &b, &a] {
        crawl(&server, source);
    }
    let get = |path: &str| server.get(path).is(200).json();

    let all = get("/api/v2/crawls");
    let ids = numbers(&all, "crawls");
    assert_eq!((ids.len(), &all["next"]), (3, &Value::Null), "{all}");
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{all}");
    let names: Vec<&Value> = (0..3).map(|n| &all["crawls"][n]["source_name"]).collect();
    assert_eq!(names, ["Site /a/", "Site /b/", "Site /a/"], "{all}");
    let two = get("/api/v2/crawls?limit=2");
    assert_eq!(
        (numbers(&two, "crawls"), &two["next"]),
        (ids[..2].to_vec(), &json!(ids[1]))
    );
    let rest = get(&format!("/api/v2/crawls?limit=2&before={}", two["next"]));
    assert_eq!(
        (numbers(&rest, "crawls"), &rest["next"]),
        (ids[2..].to_vec(), &Value::Null)
    );
    let of_a = get(&format!("/api/v2/crawls?source={a}"));
    assert_eq!(numbers(&of_a, "crawls"), [ids[0], ids[2]]);
    assert_eq!(
        server.get("/api/v2/crawls?source=99").is(404).error(),
        "not_found"
    );

    let one = get("/api/v2/sources?limit=1");
    assert_eq!(
        (numbers(&one, "sources"), &one["next"]),
        (vec![a.as_i64().expect("id")], &a)
    );
    let rest = get(&format!("/api/v2/sources?after={}", one["next"]));
    assert_eq!(
        (numbers(&rest, "sources"), &rest["next"]),
        (vec![b.as_i64().expect("id")], &Value::Null)
    );
    for (part, found) in [
        ("site%20/B", vec![&b]),
        ("127.0.0.1", vec![&a, &b]),
        ("nowhere", vec![]),
    ] {
        let found: Vec<i64> = found.iter().filter_map(|id| id.as_i64()).collect();
        let list = get(&format!("/api/v2/sources?q={part}"));
        assert_eq!(numbers(&list, "sources"), found, "{part}");
    }
    for wrong in ["sources?limit=0", "sources?limit=501", "crawls?limit=501"] {
        let refused = server.get(&format!("/api/v2/{wrong}")).is(422);
        assert_eq!(refused.error(), "invalid_request", "{wrong}");
    }
    // A source that was removed has crawls in no list.
    server
        .ask("DELETE", &format!("/api/v2/sources/{b}"), &[], None)
        .is(200);
    let left = get("/api/v2/crawls");
    assert!(
        left["crawls"]
            .as_array()
            .expect("crawls")
            .iter()
            .all(|crawl| { (crawl["source"] == a) == crawl["source_name"].is_string() }),
        "{left}"
    );
    server.stop();
}

#[test]
fn a_page_comes_with_its_notes_and_use_with_its_limits() {
    let web = FakeWeb::start_blocking();
    web.route("/", page("Start", &paragraphs("beginnings")));
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let source = add(&server, &web.url("/"), "one page");
    crawl(&server, &source);
    let pages = server.get("/api/v2/pages").is(200).json();
    let path = format!("/api/v2/pages/{}", pages["pages"][0]["page_id"]);
    assert_eq!(server.get(&path).is(200).json()["notes"], Value::Null);
    let note = json!({"favorite": true, "tags": ["later"]});
    let noted = server
        .ask("PATCH", &format!("{path}/notes"), &[], Some(&note))
        .is(200)
        .json();
    let shown = server.get(&path).is(200).json();
    assert_eq!(
        (&shown["notes"], &shown["page"]["title"]),
        (&noted, &json!("Start"))
    );

    let limit = json!({"quota": {"pages_max": 7}});
    server
        .ask("PATCH", "/api/v2/admin/tenants/1", &[], Some(&limit))
        .is(200);
    let usage = server.get("/api/v2/admin/usage").is(200).json();
    let tenant = &usage["tenant"];
    assert_eq!(
        (
            &tenant["name"],
            &tenant["has"]["pages_live"],
            &tenant["quota"]["pages_max"]
        ),
        (&json!("default"), &json!(1), &json!(7))
    );
    server.stop();
    let edit = [
        "source",
        "edit",
        &source.to_string(),
        "--url",
        "http://127.0.0.1:9/x",
        "--json",
    ];
    let edited = gleaner(dir.path(), &edit).ok().json();
    assert_eq!(edited["seeds"], json!(["http://127.0.0.1:9/x"]), "{edited}");
}

#[test]
fn start_urls_can_be_changed_unless_they_are_anothers() {
    let web = FakeWeb::start_blocking();
    let gate = Gate::new();
    let held = page("Held", &paragraphs("waiting")).gated(1_000_000, &gate);
    web.route("/old/", held);
    web.route("/new/", page("New", &paragraphs("moving")));
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let source = add(&server, &web.url("/old/"), "moving");
    let other = add(&server, &web.url("/other/"), "other");
    let path = format!("/api/v2/sources/{source}");
    let patch = |urls: &[String]| server.ask("PATCH", &path, &[], Some(&json!({"urls": urls})));

    // Not while a crawl from the old ones is under way.
    server.post(&format!("{path}/crawl"), &json!({})).is(202);
    let running = newest_crawl(&server, None);
    let refused = patch(&[web.url("/new/")]).is(409);
    assert!(refused.body.contains("has not ended"), "{}", refused.body);
    assert_eq!(refused.error(), "conflict");
    gate.open_all();
    server.events(&format!("/api/v2/crawls/{}/events", running["id"]), None);

    let refused = patch(&[web.url("/other/")]).is(409);
    assert!(
        refused.body.contains(&format!("source {other} ")),
        "{}",
        refused.body
    );
    for (urls, code) in [(vec![], 422), (vec!["ftp://a.example/".to_owned()], 422)] {
        assert_eq!(patch(&urls).status, code, "{urls:?}");
    }
    let urls = [web.url("/new/"), web.url("/two/")];
    let changed = patch(&urls).is(200).json();
    assert_eq!(
        (&changed["seeds"], &changed["name"]),
        (&json!(urls), &json!("moving"))
    );
    // The old ones are free, and what a removed source began at is free as well.
    server
        .ask("DELETE", &format!("/api/v2/sources/{other}"), &[], None)
        .is(200);
    assert_eq!(patch(&[web.url("/other/")]).is(200).json()["id"], source);
    assert_ne!(add(&server, &web.url("/old/"), "again"), source);
    patch(&[web.url("/new/")]).is(200);
    crawl(&server, &source);
    assert_eq!(web.hits("/new/"), 1);
    server.stop();
}

/// Whoever hears that a crawl has ended hears how long it took, too.
#[test]
fn the_last_event_of_a_crawl_has_its_final_figures() {
    let web = FakeWeb::start_blocking();
    let gate = Gate::new();
    web.route(
        "/",
        page(
            "Start",
            &format!("{}<a href=/p>p</a>", paragraphs("beginnings")),
        ),
    );
    web.route(
        "/p",
        page("Held", &paragraphs("waiting")).gated(1_000_000, &gate),
    );
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let source = add(&server, &web.url("/"), "timed");
    server
        .post(&format!("/api/v2/sources/{source}/crawl"), &json!({}))
        .is(202);
    let running = newest_crawl(&server, None);
    assert_eq!(running["finished_at"], Value::Null, "{running}");
    let path = format!("/api/v2/crawls/{}", running["id"]);
    let (_, events) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| server.events(&format!("{path}/events"), None));
        // Watched from here on: the stream counts as one.
        while server.get("/api/v2/system/status").is(200).json()["event_streams"] == 0 {}
        gate.open_all();
        watching.join().expect("the stream ends")
    });
    let end = events.last().expect("an event");
    assert_eq!(end.name, "end");
    let end = end.json();
    assert!(end["duration_ms"].as_i64() > Some(0), "{end}");
    assert!(end["pages_per_s"].as_f64() > Some(0.0), "{end}");
    assert_eq!(server.get(&path).is(200).json()["crawl"], end);
    server.stop();
}

#[test]
fn the_last_hour_is_shown_to_whoever_runs_the_service() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    // The first sample is taken at the start, by a thread of its own.
    let history = loop {
        let history = server.get("/api/v2/metrics/history").is(200).json();
        if history["samples"] != json!([]) {
            break history;
        }
    };
    assert_eq!(
        (&history["every_s"], &history["samples_max"]),
        (&json!(5), &json!(720))
    );
    let first = &history["samples"][0];
    for figure in [
        "pages_per_s",
        "tasks_waiting",
        "tasks_running",
        "requests_per_s",
        "errors_per_s",
    ] {
        assert!(first[figure].is_number(), "{figure}: {first}");
    }
    assert_eq!(first["cache_hit_rate"], Value::Null, "{first}");
    let at = first["at"].as_str().expect("a time");
    let later = server
        .get(&format!("/api/v2/metrics/history?since={at}"))
        .is(200)
        .json();
    assert!(
        later["samples"]
            .as_array()
            .expect("samples")
            .iter()
            .all(|sample| sample["at"] != at),
        "{later}"
    );
    let refused = server
        .get("/api/v2/metrics/history?since=yesterday")
        .is(422);
    assert_eq!(refused.error(), "invalid_request");
    server.stop();
}

/// T1 and crash safety: the next crawl of the same tenant leaves a broken host
/// alone, also in another process; nobody else hears of it.
#[test]
fn t1_a_broken_host_is_left_alone_by_the_crawls_of_who_found_it() {
    let web = FakeWeb::start_blocking();
    let links: String = (0..9).map(|n| format!("<a href=/p{n}>p{n}</a> ")).collect();
    web.route(
        "/",
        page("Start", &format!("{}{links}", paragraphs("beginnings"))),
    );
    for n in 0..9 {
        web.route(&format!("/p{n}"), Reply::status(500));
    }
    let dir = tempfile::tempdir().expect("temp dir");
    gleaner(dir.path(), &["tenant", "create", "theirs"]).ok();
    let args = [
        "key", "create", "--name", "k", "--scope", "write", "--tenant", "theirs", "--json",
    ];
    let key = gleaner(dir.path(), &args).ok().json()["api_key"].clone();
    let bearer = format!("Bearer {}", key.as_str().expect("a key"));
    let theirs = [("Authorization", bearer.as_str())];
    let env = [
        ("GLEANER__CRAWL__BREAKER_FAILURES", "2"),
        ("GLEANER__CRAWL__BREAKER_WAIT_MAX_S", "0"),
        // What is under way when it opens is not called back.
        ("GLEANER__CRAWL__LOOPBACK_CONCURRENCY_PER_HOST", "2"),
        ("GLEANER__CRAWL__SITEMAPS", "false"),
    ];
    let server = Running::serve_with(dir.path(), &env);
    let broken = |server: &Running| {
        server.get("/api/v2/system/status").is(200).json()["broken_hosts"].clone()
    };
    assert_eq!(broken(&server), json!([]));
    let source = add(&server, &web.url("/"), "broken");
    crawl(&server, &source);
    let first = newest_crawl(&server, None);
    assert_eq!(first["added"], 1, "{first}");
    let asked = web.log().len();
    assert!(asked < 12, "it goes on asking: {asked}");
    let hosts = broken(&server);
    assert_eq!(hosts[0]["host"], web.url(""), "{hosts}");
    let time = |name: &str| hosts[0][name].as_str().expect("a time").to_owned();
    assert!(time("broken_since") < time("open_until"), "{hosts}");
    let other = server
        .ask("GET", "/api/v2/system/status", &theirs, None)
        .is(200)
        .json();
    assert_eq!(other["broken_hosts"], json!([]));
    server.stop();

    let server = Running::serve_with(dir.path(), &env);
    assert_eq!(broken(&server), hosts);
    server
        .post(&format!("/api/v2/sources/{source}/crawl"), &json!({}))
        .is(202);
    let second = newest_crawl(&server, first["id"].as_i64());
    let (_, events) = server.events(&format!("/api/v2/crawls/{}/events", second["id"]), None);
    let end = events.last().expect("an event").json();
    assert_eq!(
        (&end["failed"], &end["fetched"]),
        (&json!(1), &json!(0)),
        "{end}"
    );
    assert_eq!(web.log().len(), asked, "it was asked again");
    // Another tenant finds out for itself.
    let add = json!({"urls": [web.url("/")], "crawl_now": true});
    let added = server
        .ask("POST", "/api/v2/sources", &theirs, Some(&add))
        .is(201)
        .json();
    let path = format!("/api/v2/tasks/{}/events", added["task_id"]);
    server.ask("GET", &path, &theirs, None).is(200);
    assert!(web.log().len() > asked, "it was not asked");
    server.stop();
}

#[test]
fn services_asked_over_the_network_are_shown_with_their_breaker() {
    let dir = tempfile::tempdir().expect("temp dir");
    let services = |env: &[(&str, &str)]| {
        let server = Running::serve_with(dir.path(), env);
        let status = server.get("/api/v2/system/status").is(200).json();
        server.stop();
        status["services"].clone()
    };
    assert_eq!(
        services(&[]),
        json!([]),
        "nothing is asked over the network"
    );
    let endpoint = [
        ("GLEANER__EMBED__PROVIDER", "http"),
        ("GLEANER__EMBED__BASE_URL", "http://127.0.0.1:9"),
        ("GLEANER__EMBED__MODEL", "m"),
        ("GLEANER__EMBED__DIMS", "4"),
    ];
    let expected = json!([{
        "name": "embedding endpoint", "breaker": "closed", "failures_in_a_row": 0, "open_until": null,
    }]);
    assert_eq!(services(&endpoint), expected);
}

/// A reverse proxy may put the whole service below a path of its own.
#[test]
fn the_api_reference_names_nothing_by_absolute_path() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let moved = server.get("/docs").is(303);
    assert_eq!(moved.headers["location"], "docs/");
    let index = server.get("/docs/").is(200);
    for absolute in ["src=\"/", "href=\"/"] {
        assert!(!index.body.contains(absolute), "{}", index.body);
    }
    let start = server.get("/docs/swagger-initializer.js").is(200);
    assert!(start.body.contains("\"../openapi.json\""), "{}", start.body);
    assert!(!start.body.contains("\"/"), "{}", start.body);
    let document = server.get("/openapi.json").is(200).json();
    assert_eq!(
        document["servers"][0]["url"], "./",
        "calls go below the prefix, too"
    );
    server.get("/docs/swagger-ui.css").is(200);
    server.get("/docs/errors").is(200);
    server.stop();
}
