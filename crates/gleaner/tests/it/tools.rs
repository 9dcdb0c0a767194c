//! What other projects' tools say about the server: Schemathesis of its API,
//! Prometheus' promtool of its metrics and alert rules. `./test` installs them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::http::Running;

pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Runs a tool that must be there, with `input`.
fn run(name: &str, command: &mut Command, input: &str) -> Output {
    let started = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.unwrap_or_else(|error| {
        panic!("{name} does not start ({error}); `./test` installs what tests need")
    });
    let mut pipe = child.stdin.take().expect("piped");
    // A tool that has seen enough closes its end.
    let _ = pipe.write_all(input.as_bytes());
    drop(pipe);
    child.wait_with_output().expect("it ends")
}

#[track_caller]
pub fn check(name: &str, command: &mut Command, input: &str) -> String {
    let output = run(name, command, input);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {out}\n{err}");
    // promtool tells of lint there and succeeds all the same.
    assert_eq!(err, "", "{name}");
    out
}

/// What Schemathesis finds wrong with the operations that `chosen` options
/// choose is a failure; says how many it has tried.
///
/// The requests are the same each time and on every machine: a build fails for
/// what was changed. So there is no limit on the time of the whole; their number
/// is bounded, and so is the time of each.
#[track_caller]
fn fuzz(server: &Running, dir: &Path, checks: &[&str], chosen: &[&str]) -> usize {
    let of_tests = root().join("crates/gleaner/tests/it");
    let mut schemathesis = Command::new("schemathesis");
    schemathesis
        .arg("--config-file")
        .arg(of_tests.join("schemathesis.toml"))
        .args(["run", &format!("http://{}/openapi.json", server.address)])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--checks", &checks.join(",")])
        .args(["--max-examples", "60", "--generation-deterministic"])
        .args(["--suppress-health-check", "too_slow"])
        .args(["--request-timeout", "60"])
        .args(["--warnings", "off", "--no-color"])
        .args(chosen)
        .env("SCHEMATHESIS_HOOKS", of_tests.join("schemathesis_hooks.py"))
        .current_dir(dir);
    let output = run("schemathesis", &mut schemathesis, "");
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{error}");
    let tested = told.lines().find(|line| line.contains("Tested:"));
    let tested = tested.and_then(|line| line.split_whitespace().last()?.parse().ok());
    tested.unwrap_or_else(|| panic!("how many were tested? {told}"))
}

/// What the document allows is answered as the document says; what it does not
/// allow is refused; nothing is a fault of the server.
#[test]
fn the_api_keeps_to_its_document_whatever_is_asked() {
    const BULK: &str = "/api/v2/pages/bulk";
    const REFUSES_WHAT_IS_WRONG: &str = "negative_data_rejection";
    const CHECKS: [&str; 6] = [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
    ];
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::start(
        dir.path(),
        &["serve", "--listen", "127.0.0.1:0", "--no-workers"],
        "listening",
    );
    // Something to be found under the first numbers.
    let lines: String = (0..20)
        .map(|n| {
            let line = json!({
                "url": format!("https://jobs.example/{n}"),
                "markdown": format!("# Job {n}\n\nA job of number {n}."),
                "record": {"kind": "job", "company": "Acme", "salary_min": 10 * n},
            });
            format!("{line}\n")
        })
        .collect();
    let stored = server.ask_with("POST", BULK, &[], "application/x-ndjson", lines.as_bytes());
    assert_eq!(stored.is(200).json()["added"], 20);
    let source = json!({"urls": ["https://a.example/"], "crawl_now": true});
    server.post("/api/v2/sources", &source).is(201);

    // Streams end when their task does, and not before.
    let most = ["--exclude-path", BULK, "--exclude-path-regex", "events$"];
    let all_checks = [CHECKS.as_slice(), &[REFUSES_WHAT_IS_WRONG]].concat();
    let tested = fuzz(&server, dir.path(), &all_checks, &most);
    // Lines that are wrong are told of in an answer of 200.
    let bulk = fuzz(&server, dir.path(), &CHECKS, &["--include-path", BULK]);

    let document = server.get("/openapi.json").is(200).json();
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths
        .iter()
        .filter(|(path, _)| !path.ends_with("events"))
        .flat_map(|(_, item)| item.as_object().expect("operations").keys())
        .filter(|name| ["get", "post", "put", "patch", "delete"].contains(&name.as_str()))
        .count();
    assert_eq!(tested + bulk, operations);
    server.stop();
}

#[test]
fn prometheus_reads_metrics_and_rules_without_complaint() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    server.get("/api/v2/search?q=nothing").is(200);
    server.get("/api/v2/nothing").is(404);
    let metrics = server.get("/metrics").is(200).body;
    server.stop();
    let mut promtool = Command::new("promtool");
    check("promtool", promtool.args(["check", "metrics"]), &metrics);
    let rules = root().join("deploy/prometheus/alerts.yml");
    let mut promtool = Command::new("promtool");
    let told = check(
        "promtool",
        promtool.args(["check", "rules"]).arg(&rules),
        "",
    );
    assert!(told.contains("SUCCESS"), "{told}");
}
