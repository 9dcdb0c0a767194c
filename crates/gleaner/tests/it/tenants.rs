//! Keys, limits, caches and the walls between tenants, through a running server.

use std::path::Path;

use serde_json::{Value, json};
use testkit::FakeWeb;

use crate::http::{Answer, Running};
use crate::support::{gleaner, page, paragraphs};

fn key(dir: &Path, tenant: &str, scope: &str) -> String {
    let args = [
        "key", "create", "--name", "test", "--scope", scope, "--tenant", tenant, "--json",
    ];
    let created = gleaner(dir, &args).ok().json();
    created["api_key"].as_str().expect("a key").to_owned()
}

/// Asks with a key.
struct As<'a>(&'a Running, String);

impl As<'_> {
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.1);
        self.0
            .ask(method, path, &[("Authorization", &bearer)], body)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }
}

#[test]
fn a_key_opens_what_its_scope_allows_until_it_is_revoked() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (reader, writer) = (
        key(dir.path(), "default", "read"),
        key(dir.path(), "default", "write"),
    );
    let args = ["serve", "--listen", "0.0.0.0:0", "--no-workers"];
    let mut server = Running::start(dir.path(), &args, "listening");
    server.address = server.address.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(
        server.get("/api/v2/sources").is(401).error(),
        "unauthorized"
    );

    let reader = As(&server, reader);
    let writer = As(&server, writer);
    let add = json!({"urls": ["https://a.example/"]});
    assert_eq!(
        reader.get("/api/v2/sources").is(200).json()["sources"],
        json!([])
    );
    assert_eq!(
        reader
            .ask("POST", "/api/v2/sources", Some(&add))
            .is(403)
            .error(),
        "forbidden"
    );
    writer.ask("POST", "/api/v2/sources", Some(&add)).is(201);
    assert_eq!(
        writer.get("/api/v2/admin/keys").is(403).error(),
        "forbidden"
    );
    let by_header = [("X-API-Key", reader.1.as_str())];
    server
        .ask("GET", "/api/v2/sources", &by_header, None)
        .is(200);

    // Who may write may not have others told of what happens.
    let hook = json!({"url": "https://hooks.example/", "events": ["*"]});
    writer.ask("POST", "/api/v2/webhooks", Some(&hook)).is(403);
    writer.get("/api/v2/webhooks").is(403);

    for wrong in [
        "",
        "gl_",
        "gl_00",
        &format!("gl_{}", "0".repeat(64)),
        "Basic x",
    ] {
        let wrong = As(&server, wrong.to_owned());
        assert_eq!(wrong.get("/api/v2/sources").is(401).error(), "unauthorized");
    }
    let admin = As(&server, key(dir.path(), "default", "admin"));
    let keys = admin.get("/api/v2/admin/keys").is(200);
    assert!(!keys.body.contains(&reader.1[12..]), "a key is shown again");
    let keys = keys.json();
    let id = |prefix: &str| {
        let keys = keys["keys"].as_array().expect("keys");
        let key = keys
            .iter()
            .find(|key| prefix.starts_with(key["prefix"].as_str().expect("prefix")));
        key.expect("listed")["id"].clone()
    };
    let rotated = admin.ask(
        "POST",
        &format!("/api/v2/admin/keys/{}/rotate", id(&writer.1)),
        Some(&json!({"old_valid_s": 3600})),
    );
    let rotated = rotated.is(201).json()["api_key"]
        .as_str()
        .expect("a key")
        .to_owned();
    writer.get("/api/v2/sources").is(200);
    As(&server, rotated).get("/api/v2/sources").is(200);
    admin
        .ask(
            "DELETE",
            &format!("/api/v2/admin/keys/{}", id(&reader.1)),
            None,
        )
        .is(200);
    let refused = reader.get("/api/v2/sources").is(401);
    assert!(refused.body.contains("revoked"), "{}", refused.body);
    let stored = std::fs::read(dir.path().join("gleaner.db")).expect("database");
    let secret = writer.1.as_bytes();
    assert!(
        !stored.windows(secret.len()).any(|part| part == secret),
        "stored in the clear"
    );
}

/// T1: two tenants with the same site see, count and change only their own.
#[test]
fn t1_no_tenant_sees_another() {
    let web = FakeWeb::start_blocking();
    web.route(
        "/",
        page(
            "Start",
            &format!("{}<a href=/p>p</a>", paragraphs("beginnings")),
        ),
    );
    web.route("/p", page("Secret plans", &paragraphs("quarterly secrets")));
    let dir = tempfile::tempdir().expect("temp dir");
    gleaner(dir.path(), &["tenant", "create", "ours"]).ok();
    gleaner(dir.path(), &["tenant", "create", "theirs"]).ok();
    let keys = ["ours", "theirs"].map(|tenant| key(dir.path(), tenant, "admin"));
    let server = Running::serve(dir.path());
    let [ours, theirs] = keys.map(|key| As(&server, key));

    let add = json!({"urls": [web.url("/")], "crawl_now": true});
    let added = ours
        .ask("POST", "/api/v2/sources", Some(&add))
        .is(201)
        .json();
    let task = added["task_id"].clone();
    let bearer = format!("Bearer {}", ours.1);
    let path = format!("/api/v2/tasks/{task}/events");
    let stream = server
        .ask("GET", &path, &[("Authorization", &bearer)], None)
        .is(200);
    assert!(stream.body.contains("event: end"), "{}", stream.body);
    let source = added["source"]["id"].clone();
    let crawls = ours
        .get(&format!("/api/v2/crawls?source={source}"))
        .is(200)
        .json();
    let crawl = crawls["crawls"][0]["id"].clone();
    let pages = ours.get("/api/v2/pages").is(200).json();
    let page = pages["pages"][1]["page_id"].clone();
    let note = json!({"favorite": true, "notes": "ours alone", "tags": ["x"]});
    ours.ask("PATCH", &format!("/api/v2/pages/{page}/notes"), Some(&note))
        .is(200);
    let line = json!({
        "url": web.url("/p"), "markdown": "# Secret plans\n\nquarterly secrets, imported",
        "record": {"kind": "job", "company": "Secret"},
    });
    ours.ask("POST", "/api/v2/pages/bulk", Some(&line)).is(200);
    let search = "/api/v2/search?q=quarterly%20secrets&facets=company";
    for cache in ["miss", "hit"] {
        let found = ours.get(search).is(200);
        assert_eq!(found.headers["x-cache"], cache);
        assert_eq!(found.json()["total"], 1, "{}", found.body);
    }

    let hook = json!({"url": "https://hooks.example/", "events": ["task.failed"]});
    let hook = ours.ask("POST", "/api/v2/webhooks", Some(&hook)).is(201);
    let hook = hook.json()["webhook"]["id"].clone();
    let hooks = format!("/api/v2/webhooks/{hook}");

    // The other asks for each of these things by its number.
    for (method, path, body) in [
        ("GET", format!("/api/v2/tasks/{task}"), None),
        ("GET", format!("/api/v2/tasks/{task}/events"), None),
        ("DELETE", format!("/api/v2/tasks/{task}"), None),
        (
            "POST",
            format!("/api/v2/tasks/{task}/retry"),
            Some(json!({})),
        ),
        ("GET", format!("/api/v2/sources/{source}"), None),
        (
            "PATCH",
            format!("/api/v2/sources/{source}"),
            Some(json!({"name": "taken"})),
        ),
        ("DELETE", format!("/api/v2/sources/{source}"), None),
        (
            "POST",
            format!("/api/v2/sources/{source}/crawl"),
            Some(json!({})),
        ),
        ("GET", format!("/api/v2/crawls?source={source}"), None),
        ("GET", format!("/api/v2/crawls/{crawl}"), None),
        ("GET", format!("/api/v2/crawls/{crawl}/events"), None),
        ("POST", format!("/api/v2/crawls/{crawl}/cancel"), None),
        ("POST", format!("/api/v2/crawls/{crawl}/pause"), None),
        ("GET", format!("/api/v2/pages/{page}"), None),
        ("GET", format!("/api/v2/pages/{page}/versions"), None),
        ("GET", format!("/api/v2/pages/{page}/similar"), None),
        ("GET", format!("/api/v2/export?source={source}"), None),
        (
            "GET",
            format!("/api/v2/pages/{page}/diff?from=1&to=1"),
            None,
        ),
        (
            "PATCH",
            format!("/api/v2/pages/{page}/notes"),
            Some(note.clone()),
        ),
        ("DELETE", "/api/v2/admin/keys/1".to_owned(), None),
        ("GET", hooks.clone(), None),
        (
            "PATCH",
            hooks.clone(),
            Some(json!({"url": "https://theirs.example/"})),
        ),
        ("DELETE", hooks.clone(), None),
        ("POST", format!("{hooks}/test"), None),
        ("POST", format!("{hooks}/rotate"), None),
        ("GET", format!("{hooks}/deliveries"), None),
        ("POST", format!("{hooks}/deliveries/1/retry"), None),
        ("POST", format!("{hooks}/deliveries/retry"), None),
    ] {
        let answer = theirs.ask(method, &path, body.as_ref());
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.body);
    }
    // And looks where everything is listed or counted.
    assert_eq!(
        theirs.get("/api/v2/tasks").is(200).json()["tasks"],
        json!([])
    );
    assert_eq!(
        theirs.get("/api/v2/sources").is(200).json()["sources"],
        json!([])
    );
    assert_eq!(
        theirs.get("/api/v2/pages").is(200).json()["pages"],
        json!([])
    );
    for path in ["/api/v2/records", "/api/v2/export"] {
        assert!(!ours.get(path).is(200).body.is_empty());
        let answer = theirs.get(path).is(200).body;
        assert!(!answer.contains("http"), "{path}: {answer}");
    }
    let counted = theirs.get("/api/v2/records?facets=kind,company").is(200);
    assert_eq!(counted.json()["total"], 0, "{}", counted.body);
    let into_ours = format!("/api/v2/pages/bulk?source={source}");
    let line = json!({"url": web.url("/p"), "text": "overwritten"});
    let refused = theirs.ask("POST", &into_ours, Some(&line));
    assert_eq!(refused.is(404).error(), "not_found");
    assert_eq!(
        theirs.get("/api/v2/webhooks").is(200).json()["webhooks"],
        json!([])
    );
    let stats = theirs.get("/api/v2/stats").is(200).json();
    assert_eq!(
        (&stats["pages"], &stats["chunks"], &stats["sources"]),
        (&json!(0), &json!(0), &json!(0))
    );
    let found = theirs.get(search).is(200);
    assert_eq!(
        (found.headers["x-cache"].as_str(), &found.json()["total"]),
        ("miss", &json!(0))
    );
    let keys = theirs.get("/api/v2/admin/keys").is(200).json();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1), "{keys}");
    let own = theirs.get("/api/v2/metrics/stats").is(200).json();
    assert!(
        !own["routes"].to_string().contains("POST /api/v2/sources\""),
        "{own}"
    );
    assert_eq!(
        theirs.get("/api/v2/crawls").is(200).json()["crawls"],
        json!([])
    );
    for path in [
        "/metrics",
        "/api/v2/admin/tenants",
        "/api/v2/cache/stats",
        "/api/v2/metrics/history",
    ] {
        assert_eq!(theirs.get(path).is(403).error(), "forbidden", "{path}");
    }
    let other = theirs.get("/api/v2/admin/keys?tenant=1");
    assert_eq!(other.is(403).error(), "forbidden");

    // The same site again is theirs from the start.
    let mine = theirs
        .ask("POST", "/api/v2/sources", Some(&add))
        .is(201)
        .json();
    assert_ne!(mine["source"]["id"], source);
    let bearer = format!("Bearer {}", theirs.1);
    let path = format!("/api/v2/tasks/{}/events", mine["task_id"]);
    server
        .ask("GET", &path, &[("Authorization", &bearer)], None)
        .is(200);
    let pages = theirs.get("/api/v2/pages").is(200);
    assert!(!pages.body.contains("ours alone"), "{}", pages.body);
    assert_eq!(theirs.get(search).is(200).json()["total"], 1);
    assert_eq!(ours.get("/api/v2/stats").is(200).json()["pages"], 2);
    server.stop();
}

#[test]
fn who_asks_too_much_is_told_when_to_come_back() {
    let dir = tempfile::tempdir().expect("temp dir");
    gleaner(
        dir.path(),
        &["tenant", "create", "busy", "--requests-per-minute", "5"],
    )
    .ok();
    gleaner(dir.path(), &["tenant", "create", "calm"]).ok();
    let keys = ["busy", "calm"].map(|tenant| key(dir.path(), tenant, "read"));
    let server = Running::serve(dir.path());
    let [busy, calm] = keys.map(|key| As(&server, key));
    for left in (0..5).rev() {
        let answer = busy.get("/api/v2/stats").is(200);
        assert_eq!(answer.headers["x-ratelimit-limit"], "5");
        let told: u64 = answer.headers["x-ratelimit-remaining"]
            .parse()
            .expect("a number");
        // A slow machine earns one back meanwhile.
        assert!((left..=left + 1).contains(&told), "{told}, {left}");
    }
    let mut answer = busy.get("/api/v2/stats");
    if answer.status == 200 {
        answer = busy.get("/api/v2/stats");
    }
    let answer = answer.is(429);
    assert_eq!(answer.error(), "rate_limited");
    let wait: u64 = answer.headers["retry-after"].parse().expect("seconds");
    assert!((1..=12).contains(&wait), "{wait}");
    assert_eq!(answer.headers["x-ratelimit-remaining"], "0");
    let other = calm.get("/api/v2/stats").is(200);
    assert_eq!(other.headers["x-ratelimit-limit"], "100");
    // The owner on loopback is not limited.
    for _ in 0..150 {
        server.get("/api/v2/stats").is(200);
    }
    server.stop();
}

/// Whoever tries keys is held back; tenants who share an address with each
/// other, behind one proxy say, are not.
#[test]
fn wrong_keys_are_counted_against_an_address_and_right_ones_are_not() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let create = json!({"name": "one of many", "scope": "read"});
    let made = || server.ask("POST", "/api/v2/admin/keys", &[], Some(&create));
    let keys: Vec<String> = (0..70)
        .map(|_| {
            made().is(201).json()["api_key"]
                .as_str()
                .expect("a key")
                .to_owned()
        })
        .collect();
    for key in &keys {
        As(&server, key.clone()).get("/api/v2/stats").is(200);
    }
    let wrong = |number: usize| As(&server, format!("gl_{number:064}"));
    let refused = (0..70).find(|number| wrong(*number).get("/api/v2/stats").status == 429);
    // A slow machine earns some back meanwhile.
    assert!(refused.is_some_and(|tried| tried >= 60), "{refused:?}");
    let answer = wrong(0).get("/api/v2/stats");
    assert!(matches!(answer.status, 401 | 429), "{}", answer.status);
    // Known by now, so nothing has to be looked up.
    As(&server, keys[69].clone()).get("/api/v2/stats").is(200);
    server.stop();
}

#[test]
fn heavy_requests_count_for_more() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let source = json!({"urls": ["https://a.example/"]});
    let batch = json!({"urls": ["https://a.example/1", "https://a.example/2"]});
    for (method, path, body, cost) in [
        ("GET", "/api/v2/stats", None, 1),
        ("GET", "/api/v2/search?q=x&mode=keyword", None, 1),
        ("GET", "/api/v2/sources", None, 1),
        ("POST", "/api/v2/sources", Some(&source), 5),
        ("POST", "/api/v2/sources/999/crawl", Some(&json!({})), 5),
        ("POST", "/api/v2/scrape/batch", Some(&batch), 5),
        ("POST", "/api/v2/pages/bulk", Some(&json!({})), 10),
        ("GET", "/api/v2/export?format=jsonl", None, 10),
        ("HEAD", "/api/v2/export", None, 10),
        ("GET", "/api/v2/pages/999/similar", None, 2),
    ] {
        // Whose limit nobody has touched before.
        let asker = As(&server, key(dir.path(), "default", "write"));
        let headers = asker.ask(method, path, body).headers;
        let before: u32 = headers["x-ratelimit-limit"].parse().expect("a number");
        let after: u32 = headers["x-ratelimit-remaining"].parse().expect("a number");
        assert_eq!((before, before - after), (100, cost), "{method} {path}");
    }
    server.stop();
}

#[test]
fn answers_are_kept_until_the_data_is_another() {
    let web = FakeWeb::start_blocking();
    web.route("/", page("Start", &paragraphs("beginnings")));
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let scrape = |path: &str| {
        let input = json!({"url": web.url(path)});
        let queued = server
            .post("/api/v2/tasks/scrape/async", &input)
            .is(202)
            .json();
        server.events(&format!("/api/v2/tasks/{}/events", queued["task_id"]), None);
    };
    scrape("/");
    let search = "/api/v2/search?q=beginnings";
    let first = server.get(search).is(200);
    assert_eq!(first.headers["x-cache"], "miss");
    let again = server.get(search).is(200);
    assert_eq!(
        (again.headers["x-cache"].as_str(), &again.body),
        ("hit", &first.body)
    );
    let tag = [("If-None-Match", again.headers["etag"].as_str())];
    let unchanged = server.ask("GET", search, &tag, None).is(304);
    assert_eq!(unchanged.body, "");

    web.route("/p", page("More", &paragraphs("other beginnings")));
    scrape("/p");
    // Its task has ended, so it is found.
    assert_eq!(server.get(search).is(200).json()["total"], 2);
    server.ask("GET", search, &tag, None).is(200);
    let stats = server.get("/api/v2/cache/stats").is(200).json();
    assert!(
        stats["areas"]["search"]["memory"]["hits"].as_u64() >= Some(1),
        "{stats}"
    );
    let clear = "/api/v2/cache/clear";
    let other_area = json!({"area": "pages"});
    assert_eq!(server.post(clear, &other_area).is(200).json()["removed"], 0);
    for wrong in [
        json!([]),
        json!({"area": "vectors"}),
        json!({"areas": "pages"}),
    ] {
        let refused = server.post(clear, &wrong).is(422);
        assert_eq!(refused.error(), "invalid_request");
    }
    let cleared = server.ask("POST", clear, &[], None).is(200).json();
    assert!(cleared["removed"].as_u64() >= Some(1), "{cleared}");
    assert_eq!(server.get(search).is(200).headers["x-cache"], "miss");
    // What the disk has is there after a restart.
    server.get("/api/v2/search?q=more").is(200);
    server.stop();
    let server = Running::serve(dir.path());
    assert_eq!(
        server.get("/api/v2/search?q=more").is(200).headers["x-cache"],
        "hit"
    );
    server.stop();
}
