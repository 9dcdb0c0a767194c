//! Adding, changing and looking at webhooks: what is shown, what is refused,
//! and the same on the command line.

use serde_json::{Value, json};
use testkit::Reply;

use crate::http::Running;
use crate::receiver::{Endpoint, is_signed_by};
use crate::support::gleaner;
use crate::webhooks::{add, webhook};

#[test]
fn secrets_are_shown_once_and_two_sign_after_a_rotation() {
    let endpoint = Endpoint::start(Reply::text("ok"));
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let (id, old) = add(&server, &endpoint.web.url("/"), &["task.failed"]);
    let rotated = server.post(&format!("/api/v2/webhooks/{id}/rotate"), &json!({}));
    let rotated = rotated.is(201).json();
    let new = rotated["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(new, old);
    let test = format!("/api/v2/webhooks/{id}/test");
    assert_eq!(
        server.post(&test, &json!({})).is(200).json()["delivered"],
        true
    );
    let (request, _) = endpoint.next();
    assert!(is_signed_by(&request, &new) && is_signed_by(&request, &old));
    let value = |secret: &str| {
        secret
            .trim_start_matches("whsec_")
            .trim_end_matches('=')
            .to_owned()
    };
    let hidden = |text: &str| {
        for secret in [&old, &new] {
            assert!(!text.contains(&value(secret)), "a secret is shown: {text}");
        }
        assert!(!text.contains("whsec_"), "{text}");
    };
    hidden(&server.get("/api/v2/webhooks").is(200).body);
    hidden(&webhook(&server, id).to_string());
    let patch = json!({"description": "another"});
    let path = format!("/api/v2/webhooks/{id}");
    hidden(&server.ask("PATCH", &path, &[], Some(&patch)).is(200).body);
    hidden(&server.get(&format!("{path}/deliveries")).is(200).body);
    hidden(
        &server
            .get("/api/v2/metrics/slow-requests?threshold_ms=0")
            .is(200)
            .body,
    );
    server.stop();
    let shown = ["webhook", "show", "1"];
    hidden(&gleaner(dir.path(), &shown).ok().stdout);
    for args in [
        ["webhook", "list", "--json"],
        ["webhook", "deliveries", "1"],
    ] {
        hidden(&gleaner(dir.path(), &args).ok().stdout);
    }
    let log = dir.path().join("metrics/requests.jsonl");
    hidden(&std::fs::read_to_string(log).expect("the log"));
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let refused = |input: Value, status: u16, text: &str| {
        let answer = server.post("/api/v2/webhooks", &input).is(status);
        assert!(answer.body.contains(text), "{input}: {}", answer.body);
    };
    let url = "https://hooks.example/";
    for wrong in [
        "",
        "hooks.example",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "http://",
    ] {
        refused(json!({"url": wrong, "events": ["*"]}), 422, "URL");
    }
    refused(
        json!({"url": "https://me:pass@hooks.example/", "events": ["*"]}),
        422,
        "user name",
    );
    let long = format!("{url}{}", "x".repeat(2048));
    refused(json!({"url": long, "events": ["*"]}), 422, "2048 bytes");
    refused(json!({"url": url, "events": []}), 422, "at least one");
    refused(
        json!({"url": url, "events": ["page.eaten"]}),
        422,
        "page.eaten",
    );
    refused(
        json!({"url": url, "events": ["webhook.test"]}),
        422,
        "webhook.test",
    );
    refused(
        json!({"url": url, "events": ["*"], "secret": "mine"}),
        422,
        "secret",
    );
    let wordy = "x".repeat(201);
    refused(
        json!({"url": url, "events": ["*"], "description": wordy}),
        422,
        "200",
    );
    for n in 0..20 {
        add(&server, &format!("{url}{n}"), &["*"]);
    }
    refused(json!({"url": url, "events": ["*"]}), 409, "at most 20");
    for path in [
        "/api/v2/webhooks/99",
        "/api/v2/webhooks/99/deliveries",
        "/api/v2/webhooks/x",
    ] {
        assert_eq!(server.get(path).is(404).error(), "not_found", "{path}");
    }
    server
        .get("/api/v2/webhooks/1/deliveries?state=lost")
        .is(422);
    server
        .get("/api/v2/webhooks/1/deliveries?limit=501")
        .is(422);
    server
        .post("/api/v2/webhooks/1/deliveries/7/retry", &json!({}))
        .is(404);
    let removed = server
        .ask("DELETE", "/api/v2/webhooks/1", &[], None)
        .is(200);
    assert_eq!(removed.json(), json!({"id": 1, "status": "removed"}));
    server.get("/api/v2/webhooks/1").is(404);
    server.stop();
}

#[test]
fn the_command_line_does_the_same() {
    let endpoint = Endpoint::start(Reply::status(204));
    let dir = tempfile::tempdir().expect("temp dir");
    let run = |args: &[&str]| {
        let mut all = vec!["webhook"];
        all.extend(args);
        gleaner(dir.path(), &all)
    };
    let url = endpoint.web.url("/hook");
    let strict = run(&["add", &url, "--event", "*"]);
    assert_eq!(strict.code, 2, "{}", strict.stderr);
    let allow = ["--allow-private", "127.0.0.0/8"];
    let add = [
        "add",
        &url,
        "--event",
        "crawl.finished",
        "--event",
        "page.*",
        "--json",
    ];
    let added = run(&[&add[..], &allow].concat()).ok().json();
    let secret = added["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(added["webhook"]["events"].as_array().map(Vec::len), Some(4));
    let tested = run(&[&["test", "1", "--json"][..], &allow].concat())
        .ok()
        .json();
    assert_eq!(
        (&tested["delivered"], &tested["status"]),
        (&json!(true), &json!(204))
    );
    assert!(is_signed_by(&endpoint.next().0, &secret));
    let untested = run(&["test", "1"]);
    assert_eq!(untested.code, 1);
    assert!(untested.stdout.contains("private"), "{}", untested.stdout);
    let off = run(&[
        "edit",
        "1",
        "--active",
        "false",
        "--description",
        "for now",
        "--json",
    ]);
    let off = off.ok().json();
    assert_eq!(
        (&off["active"], &off["description"]),
        (&json!(false), &json!("for now"))
    );
    assert!(run(&["list"]).ok().stdout.contains("off"));
    assert!(run(&["show", "1"]).ok().stdout.contains("for now"));
    let rotated = run(&["rotate", "1"]).ok().stdout;
    assert!(rotated.starts_with("whsec_") && !rotated.contains(&secret));
    run(&["deliveries", "1", "--state", "dead"]).ok();
    assert_eq!(run(&["deliveries", "1", "--state", "lost"]).code, 2);
    assert_eq!(run(&["retry", "1", "--all"]).code, 1, "it is off");
    assert_eq!(run(&["retry", "1"]).code, 2);
    run(&["remove", "1"]).ok();
    assert_eq!(run(&["show", "1"]).code, 1);
}
