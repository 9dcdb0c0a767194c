//! Webhooks, from what happens to a receiver on loopback.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use testkit::{FakeWeb, Reply};

use crate::http::Running;
use crate::receiver::{Endpoint, PATIENCE, is_signed_by};
use crate::support::{gleaner, page, paragraphs};

/// A webhook on the server and its secret.
pub fn add(server: &Running, url: &str, events: &[&str]) -> (i64, String) {
    let input = json!({"url": url, "events": events});
    let added = server.post("/api/v2/webhooks", &input).is(201).json();
    let secret = added["secret"].as_str().expect("a secret").to_owned();
    (added["webhook"]["id"].as_i64().expect("an id"), secret)
}

/// Crawls a source to its end.
fn crawl(server: &Running, url: &str) -> Value {
    let add = json!({"urls": [url], "crawl_now": true});
    let added = server.post("/api/v2/sources", &add).is(201).json();
    let (_, events) = server.events(&format!("/api/v2/tasks/{}/events", added["task_id"]), None);
    assert_eq!(events.last().expect("an event").name, "end");
    added["source"]["id"].clone()
}

fn site(web: &FakeWeb, pages: usize) {
    let links: String = (0..pages)
        .map(|n| format!("<a href=/p{n}>p{n}</a> "))
        .collect();
    let start = format!("{}{links}", paragraphs("beginnings"));
    web.route("/", page("Start", &start));
    for n in 0..pages {
        let body = paragraphs(&format!("topic {n}"));
        web.route(&format!("/p{n}"), page(&format!("Page {n}"), &body));
    }
}

pub fn webhook(server: &Running, id: i64) -> Value {
    server.get(&format!("/api/v2/webhooks/{id}")).is(200).json()
}

/// Asks until the webhook is so.
fn until(server: &Running, id: i64, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let now = webhook(server, id);
        if holds(&now) {
            return now;
        }
        assert!(std::time::Instant::now() < deadline, "never {what}: {now}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn deliveries(server: &Running, id: i64, state: &str) -> Vec<Value> {
    let path = format!("/api/v2/webhooks/{id}/deliveries?state={state}");
    let list = server.get(&path).is(200).json();
    list["deliveries"].as_array().expect("a list").clone()
}

#[test]
fn a_crawl_is_told_in_order_and_signed() {
    let (web, endpoint) = (
        FakeWeb::start_blocking(),
        Endpoint::start(Reply::text("ok")),
    );
    site(&web, 5);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let (id, secret) = add(&server, &endpoint.web.url("/hook"), &["*"]);
    let source = crawl(&server, &web.url("/"));

    let (request, body) = endpoint.next();
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/hook")
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    let agent = request.header("user-agent").expect("user-agent");
    assert!(agent.starts_with("Gleaner/"), "{agent}");
    assert!(is_signed_by(&request, &secret));
    assert!(!is_signed_by(
        &request,
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    ));
    let sent: u64 = request
        .header("webhook-timestamp")
        .expect("a time")
        .parse()
        .expect("a number");
    #[expect(clippy::disallowed_methods, reason = "what a receiver compares with")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    assert!(now.expect("after 1970").as_secs().abs_diff(sent) < 300);
    assert_eq!(
        (&body["schema"], &body["webhook_id"]),
        (&json!(1), &json!(id))
    );
    assert_eq!(
        body["message_id"],
        request.header("webhook-id").expect("an id")
    );

    let mut events = body["events"].as_array().expect("events").clone();
    crate::event_schema::check(&body, "webhookMessage");
    while !events.iter().any(|event| event["type"] == "crawl.finished") {
        let (request, body) = endpoint.next();
        crate::event_schema::check(&body, "webhookMessage");
        assert!(is_signed_by(&request, &secret));
        events.extend(body["events"].as_array().expect("events").clone());
    }
    let kinds: Vec<&str> = events
        .iter()
        .map(|e| e["type"].as_str().expect("type"))
        .collect();
    let mut expected = vec!["crawl.started"];
    expected.extend(["page.added"; 6]);
    expected.push("crawl.finished");
    assert_eq!(kinds, expected);
    let ids: Vec<i64> = events
        .iter()
        .map(|e| e["id"].as_i64().expect("id"))
        .collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert!(
        events.iter().all(|event| event["source_id"] == source),
        "{events:?}"
    );
    let end = &events[7]["data"];
    assert_eq!(
        (&end["status"], &end["pages"]["added"]),
        (&json!("completed"), &json!(6))
    );
    let added = &events[1]["data"];
    assert_eq!(
        (&added["url"], &added["version"]),
        (&json!(web.url("/")), &json!(1))
    );
    assert_eq!(added["title"], "Start");

    // Changed and gone, as the next crawl finds them; only what is wanted.
    until(&server, id, "delivered", |now| {
        now["deliveries"]["pending"] == 0
    });
    let patch = json!({"events": ["page.updated", "page.removed"]});
    let path = format!("/api/v2/webhooks/{id}");
    server.ask("PATCH", &path, &[], Some(&patch)).is(200);
    web.route("/p1", page("Page 1", &paragraphs("something else by now")));
    web.route("/p2", Reply::status(404));
    server
        .post(&format!("/api/v2/sources/{source}/crawl"), &json!({}))
        .is(202);
    let mut events = Vec::new();
    while events.len() < 2 {
        events.extend(
            endpoint.next().1["events"]
                .as_array()
                .expect("events")
                .clone(),
        );
    }
    events.sort_by_key(|event| event["type"].to_string());
    let told: Vec<_> = events
        .iter()
        .map(|e| (&e["type"], &e["data"]["url"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("page.removed"), &json!(web.url("/p2"))),
            (&json!("page.updated"), &json!(web.url("/p1")))
        ]
    );
    server.stop();
}

#[test]
fn failures_are_retried_then_dead_then_sent_again_by_hand() {
    let (web, endpoint) = (
        FakeWeb::start_blocking(),
        Endpoint::start(Reply::status(500)),
    );
    site(&web, 0);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let (id, secret) = add(&server, &endpoint.web.url("/"), &["crawl.started"]);
    crawl(&server, &web.url("/"));
    // Three attempts in all, of the same message.
    let attempts: Vec<_> = (0..3).map(|_| endpoint.next().0).collect();
    assert!(attempts.iter().all(|a| a.body == attempts[0].body));
    let ids = attempts.iter().map(|a| a.header("webhook-id"));
    assert!(ids.clone().all(|id| id == attempts[0].header("webhook-id")));
    assert!(
        attempts
            .iter()
            .all(|attempt| is_signed_by(attempt, &secret))
    );
    let dead = until(&server, id, "dead", |now| now["deliveries"]["dead"] == 1);
    assert_eq!(dead["failures_in_a_row"], 3, "{dead}");
    let letter = deliveries(&server, id, "dead").remove(0);
    assert_eq!(
        (&letter["attempts"], &letter["status"]),
        (&json!(3), &json!(500))
    );
    assert_eq!(letter["error"], "the endpoint answered 500");
    assert_eq!(
        letter["message_id"],
        attempts[0].header("webhook-id").expect("id")
    );
    let metrics = server.get("/metrics").is(200).body;
    assert!(metrics.contains("webhook_dead_letters 1"), "{metrics}");
    assert!(metrics.contains("webhook_deliveries_total{outcome=\"dead\"} 1"));

    endpoint.answer(Reply::text("thanks\u{1b}[31m"));
    let retry = format!("/api/v2/webhooks/{id}/deliveries/{}/retry", letter["id"]);
    let again = server.post(&retry, &json!({})).is(200).json();
    assert_eq!(
        (&again["state"], &again["attempts"]),
        (&json!("pending"), &json!(0))
    );
    assert_eq!(endpoint.next().0.body, attempts[0].body);
    until(&server, id, "delivered", |now| {
        now["deliveries"]["delivered"] == 1
    });
    let done = deliveries(&server, id, "delivered").remove(0);
    assert_eq!(
        (&done["attempts"], &done["error"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(done["response"], "thanks[31m");
    assert_eq!(server.post(&retry, &json!({})).is(409).error(), "conflict");
    assert_eq!(webhook(&server, id)["failures_in_a_row"], 0);
    let all = format!("/api/v2/webhooks/{id}/deliveries/retry");
    assert_eq!(server.post(&all, &json!({})).is(200).json()["retried"], 0);
    server.stop();
}

#[test]
fn an_endpoint_that_is_gone_is_switched_off_and_loses_nothing() {
    let (web, endpoint) = (
        FakeWeb::start_blocking(),
        Endpoint::start(Reply::status(410)),
    );
    site(&web, 0);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let (id, _) = add(
        &server,
        &endpoint.web.url("/"),
        &["crawl.started", "crawl.finished"],
    );
    let source = crawl(&server, &web.url("/"));
    let (first, _) = endpoint.next();
    let off = until(&server, id, "off", |now| now["active"] == false);
    assert_eq!(off["disabled_reason"], "the endpoint answered 410 Gone");

    // What happens while it is off is not for it, what waited is.
    let path = format!("/api/v2/sources/{source}/crawl");
    let task = server.post(&path, &json!({})).is(202).json()["task_id"].clone();
    server.events(&format!("/api/v2/tasks/{task}/events"), None);
    endpoint.answer(Reply::text("ok"));
    let path = format!("/api/v2/webhooks/{id}");
    let on = server
        .ask("PATCH", &path, &[], Some(&json!({"active": true})))
        .is(200)
        .json();
    assert_eq!(
        (&on["active"], &on["disabled_reason"]),
        (&json!(true), &Value::Null)
    );
    let (again, _) = endpoint.next();
    assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
    let mut crawls: Vec<Value> = Vec::new();
    let done = until(&server, id, "delivered", |now| {
        now["deliveries"]["pending"] == 0
    });
    while let Ok(request) = endpoint.messages.try_recv() {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        crawls.extend(body["events"].as_array().expect("events").clone());
    }
    assert!(
        crawls.iter().all(|event| event["data"]["crawl_id"] == 1),
        "{crawls:?}"
    );
    assert!(
        done["deliveries"]["delivered"].as_u64() >= Some(1),
        "{done}"
    );
    server.stop();
}

#[test]
fn p3_messages_reach_no_private_address_and_follow_nothing() {
    let endpoint = Endpoint::start(Reply::redirect("/elsewhere"));
    let dir = tempfile::tempdir().expect("temp dir");
    let args = ["serve", "--listen", "127.0.0.1:0"];
    let strict = Running::start(dir.path(), &args, "listening");
    for url in [
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://0x7f.1/",
        "http://169.254.169.254/",
    ] {
        let refused = strict.post("/api/v2/webhooks", &json!({"url": url, "events": ["*"]}));
        let refused = refused.is(422);
        assert!(refused.body.contains("private"), "{url}: {}", refused.body);
    }
    // What a name leads to is known when it is asked.
    let (id, _) = add(&strict, &endpoint.web.url_at("localhost", "/"), &["*"]);
    let tested = strict
        .post(&format!("/api/v2/webhooks/{id}/test"), &json!({}))
        .is(200)
        .json();
    assert_eq!(
        (&tested["delivered"], &tested["status"]),
        (&json!(false), &Value::Null)
    );
    assert!(
        tested["error"].as_str().expect("error").contains("private"),
        "{tested}"
    );
    strict.stop();
    assert!(endpoint.web.log().is_empty());

    let server = Running::serve(dir.path());
    let (id, _) = add(&server, &endpoint.web.url("/"), &["*"]);
    let tested = server
        .post(&format!("/api/v2/webhooks/{id}/test"), &json!({}))
        .is(200)
        .json();
    assert_eq!(
        (&tested["delivered"], &tested["status"]),
        (&json!(false), &json!(302))
    );
    let (_, body) = endpoint.next();
    assert_eq!(body["events"][0]["type"], "webhook.test");
    assert_eq!(endpoint.web.hits("/elsewhere"), 0);
    server.stop();
}

#[test]
fn q1_a_killed_server_s_message_is_sent_again_under_its_id() {
    let (web, endpoint) = (FakeWeb::start_blocking(), Endpoint::start(Reply::silence()));
    site(&web, 3);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    add(
        &server,
        &endpoint.web.url("/"),
        &["crawl.started", "page.added", "crawl.finished"],
    );
    crawl(&server, &web.url("/"));
    let (lost, _) = endpoint.next();
    // With SIGKILL, while the endpoint has not answered.
    drop(server);
    endpoint.answer(Reply::text("ok"));
    let server = Running::serve(dir.path());
    let (again, first) = endpoint.next();
    assert_eq!(again.header("webhook-id"), lost.header("webhook-id"));
    assert_eq!(again.body, lost.body);
    let mut events = first["events"].as_array().expect("events").clone();
    if !events.iter().any(|event| event["type"] == "crawl.finished") {
        events.extend(endpoint.events_until("crawl.finished"));
    }
    assert_eq!(events.len(), 6, "{events:?}");
    server.stop();
}

#[test]
fn a_slow_endpoint_holds_up_nobody_else() {
    let (web, quick) = (
        FakeWeb::start_blocking(),
        Endpoint::start(Reply::text("ok")),
    );
    let slow = Endpoint::start(Reply::silence());
    site(&web, 0);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let (late, _) = add(
        &server,
        &slow.web.url("/"),
        &["crawl.started", "crawl.finished"],
    );
    crawl(&server, &web.url("/"));
    slow.next();
    // Added and told while the other is still silent.
    add(&server, &quick.web.url("/"), &["crawl.finished"]);
    web.route("/other", page("Other", &paragraphs("other things")));
    crawl(&server, &web.url("/other"));
    quick.next();
    let waiting = webhook(&server, late);
    assert_eq!(
        waiting["failures_in_a_row"], 0,
        "it has not timed out: {waiting}"
    );
    // One at a time, in order: nothing more was sent to the slow one.
    assert!(slow.messages.try_recv().is_err());
    server.stop();
}

#[test]
fn t1_a_worker_of_all_tenants_tells_each_only_its_own() {
    let (web, endpoint) = (
        FakeWeb::start_blocking(),
        Endpoint::start(Reply::text("ok")),
    );
    site(&web, 2);
    let dir = tempfile::tempdir().expect("temp dir");
    let key = |dir: &Path, tenant: &str| {
        let args = [
            "key", "create", "--name", "test", "--scope", "admin", "--tenant", tenant, "--json",
        ];
        let created = gleaner(dir, &args).ok().json();
        format!("Bearer {}", created["api_key"].as_str().expect("a key"))
    };
    for tenant in ["ours", "theirs"] {
        gleaner(dir.path(), &["tenant", "create", tenant]).ok();
    }
    let keys = ["ours", "theirs"].map(|tenant| key(dir.path(), tenant));
    let server = Running::serve(dir.path());
    for (key, path) in keys.iter().zip(["/ours", "/theirs"]) {
        let input = json!({"url": endpoint.web.url(path), "events": ["*"]});
        let bearer = [("Authorization", key.as_str())];
        server
            .ask("POST", "/api/v2/webhooks", &bearer, Some(&input))
            .is(201);
    }
    let input = json!({"urls": [web.url("/")], "crawl_now": true});
    let bearer = [("Authorization", keys[0].as_str())];
    server
        .ask("POST", "/api/v2/sources", &bearer, Some(&input))
        .is(201);
    let mut events = Vec::new();
    while !events
        .iter()
        .any(|event: &Value| event["type"] == "crawl.finished")
    {
        let (request, body) = endpoint.next();
        assert_eq!(request.path, "/ours");
        events.extend(body["events"].as_array().expect("events").clone());
    }
    let bearer = [("Authorization", keys[1].as_str())];
    let theirs = server
        .ask("GET", "/api/v2/webhooks", &bearer, None)
        .is(200)
        .json();
    assert_eq!(
        theirs["webhooks"][0]["deliveries"]["pending"], 0,
        "{theirs}"
    );
    assert_eq!(endpoint.web.hits("/theirs"), 0);
    server.stop();
}
