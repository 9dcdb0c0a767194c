//! The HTTP API through a running server.

use serde_json::{Value, json};
use testkit::FakeWeb;

use crate::http::Running;
use crate::support::{gleaner, site};

/// The task's last state, heard from its stream.
fn ended(server: &Running, task: &Value) -> Value {
    let (status, events) = server.events(&format!("/api/v2/tasks/{task}/events"), None);
    assert_eq!(status, 200);
    let last = events.last().expect("an event");
    assert_eq!(last.name, "end", "{last:?}");
    last.json()
}

#[test]
fn the_calls_of_the_systems_before_work_as_written() {
    let web = FakeWeb::start_blocking();
    site(&web, 3);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    assert_eq!(server.get("/health").is(200).json()["status"], "ok");
    assert_eq!(server.get("/ready").is(200).json()["ready"], true);

    let scrape = json!({"url": web.url("/p1"), "brand": "Roland", "priority": 5});
    let queued = server
        .post("/api/v2/tasks/scrape/async", &scrape)
        .is(202)
        .json();
    let done = ended(&server, &queued["task_id"]);
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(done["result"]["pages"]["added"], 1, "{done}");
    let shown = server
        .get(&format!("/api/v2/tasks/{}", queued["task_id"]))
        .is(200);
    assert_eq!(shown.json()["payload"]["brand"], "Roland");

    let batch = json!({
        "urls": [web.url("/p0"), web.url("/missing")],
        "brand": "Roland", "max_concurrent": 5, "delay_ms": 0,
    });
    let queued = server.post("/api/v2/scrape/batch", &batch).is(202).json();
    let done = ended(&server, &queued["task_id"]);
    assert_eq!(done["result"]["pages"]["added"], 1, "{done}");
    assert_eq!(
        done["result"]["errors"][0]["url"],
        web.url("/missing"),
        "{done}"
    );

    let create = json!({"url": web.url("/"), "max_pages": 200});
    let path = "/api/v1/web-knowledge/websites/create-and-crawl/";
    let created = server.post(path, &create).is(201).json();
    let done = ended(&server, &created["task_id"]);
    assert_eq!(done["result"]["pages"]["found"], 4, "{done}");
    // What else the source is set to outlives another such call.
    let source = format!("/api/v2/sources/{}", created["id"]);
    let set = json!({"settings": {"pages_max": 200, "exclude": ["/p0"]}});
    server.ask("PATCH", &source, &[], Some(&set)).is(200);
    let again = server.post(path, &create).is(201).json();
    let kept = server.get(&source).is(200).json();
    assert_eq!(kept["settings"]["exclude"], json!(["/p0"]), "{kept}");
    assert_eq!(again["id"], created["id"], "the same website");
    ended(&server, &again["task_id"]);

    let status = server.get("/api/v2/tasks/queue/status").is(200).json();
    assert_eq!(status["queued"], 0, "{status}");
    let stats = server
        .get("/api/v2/metrics/stats?last_n=100")
        .is(200)
        .json();
    assert!(stats["all"]["requests"].as_u64() >= Some(5), "{stats}");
    server
        .get("/api/v2/metrics/slow-requests?threshold_ms=1000")
        .is(200);
    let system = server.get("/api/v2/system/status").is(200).json();
    assert_eq!(system["status"], "ok", "{system}");
    server.stop();
}

#[test]
fn a_source_is_added_crawled_watched_searched_and_removed() {
    let web = FakeWeb::start_blocking();
    site(&web, 20);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let add = json!({"urls": [web.url("/")], "name": "topics", "crawl_now": true,
        "settings": {"delay_ms": 0}, "schedule": {"every_s": 86400}});
    let added = server.post("/api/v2/sources", &add).is(201).json();
    let source = added["source"]["id"].clone();
    let done = ended(&server, &added["task_id"]);
    assert_eq!(done["state"], "succeeded", "{done}");

    let crawls = server
        .get(&format!("/api/v2/crawls?source={source}"))
        .is(200)
        .json();
    assert_eq!(
        crawls["crawls"].as_array().map(Vec::len),
        Some(1),
        "{crawls}"
    );
    let crawl = &crawls["crawls"][0];
    assert_eq!(
        (&crawl["status"], &crawl["added"]),
        (&json!("completed"), &json!(21))
    );
    let path = format!("/api/v2/crawls/{}/events", crawl["id"]);
    let (_, events) = server.events(&path, None);
    let end = events.last().expect("an event");
    assert_eq!(
        (end.name.as_str(), &end.json()["added"]),
        ("end", &json!(21))
    );
    // Heard already: nothing more will come.
    assert_eq!(server.events(&path, Some(&end.id)).0, 204);
    let cancel = server.post(
        &format!("/api/v2/crawls/{}/cancel", crawl["id"]),
        &json!({}),
    );
    assert_eq!(cancel.is(409).error(), "conflict");

    let found = server
        .get("/api/v2/search?q=topic%2017&limit=1")
        .is(200)
        .json();
    assert_eq!(found["hits"][0]["url"], web.url("/p17"), "{found}");
    let body =
        json!({"query": "\"topic 3\"", "mode": "keyword", "filters": [format!("source={source}")]});
    let found = server.post("/api/v2/search", &body).is(200).json();
    assert_eq!(found["total"], 1, "{found}");

    let mut urls = Vec::new();
    let mut after = String::new();
    loop {
        let list = server
            .get(&format!("/api/v2/pages?source={source}&limit=8{after}"))
            .is(200)
            .json();
        urls.extend(
            list["pages"]
                .as_array()
                .expect("pages")
                .iter()
                .map(|p| p["url"].clone()),
        );
        match list["next"].as_str() {
            Some(next) => after = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(urls.len(), 21, "{urls:?}");
    let page = server.get("/api/v2/pages/1").is(200).json();
    assert!(
        page["markdown"]
            .as_str()
            .is_some_and(|text| text.contains("# ")),
        "{page}"
    );
    assert_eq!(
        server.get("/api/v2/pages/1/diff").is(409).error(),
        "conflict"
    );

    let patch = json!({"active": false, "settings": {"pages_max": 5}});
    let path = format!("/api/v2/sources/{source}");
    let edited = server.ask("PATCH", &path, &[], Some(&patch)).is(200).json();
    assert_eq!(
        (&edited["active"], &edited["settings"]["pages_max"]),
        (&json!(false), &json!(5))
    );
    let removed = server.ask("DELETE", &path, &[], None).is(200).json();
    assert_eq!(removed["pages_deleted"], 21, "{removed}");
    assert_eq!(server.get(&path).is(404).error(), "not_found");
    server.stop();
}

#[test]
fn whatever_is_wrong_with_a_request_is_said_in_one_form() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let check = |method: &str, path: &str, body: Option<Value>, status: u16, code: &str| {
        let answer = server.ask(method, path, &[], body.as_ref()).is(status);
        assert_eq!(answer.error(), code, "{method} {path}");
        assert!(
            answer.headers.contains_key("x-request-id"),
            "{method} {path}"
        );
    };
    check("GET", "/nothing/here", None, 404, "not_found");
    check("PUT", "/api/v2/tasks", None, 405, "method_not_allowed");
    check("GET", "/api/v2/tasks/99", None, 404, "not_found");
    check("GET", "/api/v2/tasks/x", None, 404, "not_found");
    check("GET", "/api/v2/tasks/99/events", None, 404, "not_found");
    check("DELETE", "/api/v2/tasks/99", None, 404, "not_found");
    check("GET", "/api/v2/tasks?limit=0", None, 422, "invalid_request");
    check(
        "GET",
        "/api/v2/tasks?state=lost",
        None,
        422,
        "invalid_request",
    );
    check("GET", "/api/v2/crawls/9", None, 404, "not_found");
    check("GET", "/api/v2/pages/9/versions", None, 404, "not_found");
    check(
        "GET",
        "/api/v2/pages?status=odd",
        None,
        422,
        "invalid_request",
    );
    check("GET", "/api/v2/search?q=", None, 422, "invalid_request");
    check(
        "GET",
        "/api/v2/search?q=x&mode=odd",
        None,
        422,
        "invalid_request",
    );
    check(
        "GET",
        "/api/v2/search?q=x&offset=999&limit=50",
        None,
        422,
        "invalid_request",
    );
    check(
        "GET",
        "/api/v2/search?q=x&filter=from%3Dnever",
        None,
        422,
        "invalid_request",
    );
    check(
        "POST",
        "/api/v2/tasks/scrape/async",
        None,
        415,
        "unsupported_media_type",
    );
    let scrape = |url: &str| Some(json!({"url": url}));
    check(
        "POST",
        "/api/v2/tasks/scrape/async",
        scrape("nonsense"),
        422,
        "invalid_request",
    );
    check(
        "POST",
        "/api/v2/tasks/scrape/async",
        scrape("ftp://a.example/"),
        422,
        "invalid_request",
    );
    let priority = json!({"url": "https://a.example/", "priority": 10});
    check(
        "POST",
        "/api/v2/tasks/scrape/async",
        Some(priority),
        422,
        "invalid_request",
    );
    let none = json!({"urls": []});
    check(
        "POST",
        "/api/v2/scrape/batch",
        Some(none),
        422,
        "invalid_request",
    );
    let unknown = json!({"urls": ["https://a.example/"], "wrong": 1});
    check(
        "POST",
        "/api/v2/sources",
        Some(unknown),
        422,
        "invalid_request",
    );
    let cron = json!({"urls": ["https://a.example/"], "schedule": {"cron": "61 * * * *"}});
    check(
        "POST",
        "/api/v2/sources",
        Some(cron),
        422,
        "invalid_request",
    );
    let scope = json!({"urls": ["https://a.example/"], "settings": {"scope": "galaxy"}});
    check(
        "POST",
        "/api/v2/sources",
        Some(scope),
        422,
        "invalid_request",
    );
    check(
        "POST",
        "/api/v2/tasks/queue/odd/pause",
        None,
        404,
        "not_found",
    );
    let errors = server
        .get("/api/v2/metrics/errors?limit=1000")
        .is(200)
        .json();
    assert!(
        errors["requests"]
            .as_array()
            .is_some_and(|seen| seen.len() > 10),
        "{errors}"
    );
    server.stop();
}

#[test]
fn pages_of_other_sites_cannot_speak_for_the_owner() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let add = json!({"urls": ["https://a.example/"]});
    let ask = |headers: &[(&str, &str)]| {
        let answer = server.ask("POST", "/api/v2/sources", headers, Some(&add));
        (answer.status, answer)
    };
    let (status, answer) = ask(&[("Origin", "https://evil.example")]);
    assert_eq!((status, answer.error().as_str()), (403, "forbidden"));
    assert_eq!(ask(&[("Sec-Fetch-Site", "cross-site")]).0, 403);
    // A name that was made to point at loopback.
    assert_eq!(ask(&[("Host", "evil.example")]).0, 403);
    let rebound = server.ask("GET", "/api/v2/sources", &[("Host", "evil.example")], None);
    assert_eq!(rebound.status, 403);
    let own = format!("http://{}", server.address);
    assert_eq!(ask(&[("Origin", &own)]).0, 201);
    let headers = server.get("/api/v2/sources").headers;
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert!(
        !headers.contains_key("access-control-allow-origin"),
        "{headers:?}"
    );
}

/// P3: whoever submits a URL, private addresses stay closed.
#[test]
fn p3_submitted_urls_reach_no_private_address() {
    let web = FakeWeb::start_blocking();
    site(&web, 1);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::start(
        dir.path(),
        &["serve", "--listen", "127.0.0.1:0"],
        "listening",
    );
    let port = web
        .url("/")
        .rsplit(':')
        .next()
        .map(str::to_owned)
        .expect("a port");
    for url in [
        web.url("/"),
        format!("http://localhost:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://2130706433:{port}"),
    ] {
        let queued = server.post("/api/v2/tasks/scrape/async", &json!({"url": url}));
        let done = ended(&server, &queued.is(202).json()["task_id"]);
        assert_eq!(done["state"], "failed", "{url}: {done}");
        let error = done["error"].as_str().unwrap_or_default();
        assert!(error.contains("private_address"), "{url}: {error}");
    }
    assert!(web.log().is_empty(), "{:?}", web.log());
    server.stop();
}

#[test]
fn from_outside_every_request_needs_a_key() {
    let dir = tempfile::tempdir().expect("temp dir");
    let args = ["serve", "--listen", "0.0.0.0:0", "--no-workers"];
    let mut server = Running::start(dir.path(), &args, "listening");
    server.address = server.address.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(
        server.get("/api/v2/sources").is(401).error(),
        "unauthorized"
    );
    assert_eq!(server.get("/metrics").is(401).error(), "unauthorized");
    server.get("/health").is(200);
}

#[test]
fn metrics_are_as_prometheus_reads_them() {
    let web = FakeWeb::start_blocking();
    site(&web, 4);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let add = json!({"urls": [web.url("/")], "crawl_now": true});
    let added = server.post("/api/v2/sources", &add).is(201).json();
    ended(&server, &added["task_id"]);
    let answer = server.get("/metrics").is(200);
    assert!(
        answer.headers["content-type"].starts_with("text/plain"),
        "{:?}",
        answer.headers
    );
    for line in [
        "crawl_total{status=\"completed\"} 1",
        "page_process_total{status=\"added\"} 5",
        "page_process_duration_seconds_count 5",
        "chunk_total{status=\"ok\"} 5",
        "crawl_pages_total{source=\"1\"} 5",
        "task_total{kind=\"crawl\",status=\"succeeded\"} 1",
        "queue_size{queue_name=\"crawl\",state=\"queued\"} 0",
    ] {
        assert!(
            answer.body.lines().any(|have| have == line),
            "{line}: {}",
            answer.body
        );
    }
    check_exposition(&answer.body);
    server.stop();
}

/// The rules of `promtool check metrics` that can be checked by name.
fn check_exposition(text: &str) {
    let declared = |kind: &str| -> Vec<&str> {
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("# {kind} ")));
        lines
            .filter_map(|line| line.split_once(' ').map(|(name, _)| name))
            .collect()
    };
    assert_eq!(declared("HELP"), declared("TYPE"));
    let reference = include_str!("../../../../docs/reference/metrics.md");
    for name in declared("TYPE") {
        assert!(
            reference.contains(&format!("`{name}`")),
            "{name} is not documented"
        );
    }
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("name and type");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        assert!(
            !name.contains("_ms") && !name.contains("milliseconds"),
            "{line}"
        );
    }
}

#[test]
fn a_worker_without_a_server_has_metrics_too() {
    let dir = tempfile::tempdir().expect("temp dir");
    let args = ["worker", "--metrics-listen", "127.0.0.1:0"];
    let worker = Running::start(dir.path(), &args, "metrics");
    let text = worker.get("/metrics").is(200).body;
    assert!(text.contains("\nworker_slots "), "{text}");
    check_exposition(&text);
    worker.get("/health").is(200);
    worker.stop();
}

#[test]
fn the_document_that_is_checked_in_is_the_one_served() {
    let dir = tempfile::tempdir().expect("temp dir");
    let made = gleaner(dir.path(), &["openapi"]).ok().stdout;
    let checked_in = include_str!("../../../../openapi.json");
    assert!(
        made == checked_in,
        "the API has changed: `cargo run -- openapi > openapi.json`"
    );
    let server = Running::serve(dir.path());
    let served = server.get("/openapi.json").is(200).json();
    let made: Value = serde_json::from_str(&made).expect("JSON");
    assert_eq!(served["paths"], made["paths"]);
    let docs = server.get("/docs/").is(200);
    assert!(
        !docs.body.contains("https://"),
        "loads from elsewhere: {}",
        docs.body
    );
}
