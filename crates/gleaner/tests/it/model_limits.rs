//! Several processes that ask one language model: together they keep to what
//! one of them may.

use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use testkit::LlmMock;
use testkit::services;

use crate::support::{command, gleaner};

/// 15 at once and then nine in four seconds; two at a time, of them one that is
/// a summary.
const SETTINGS: [(&str, &str); 5] = [
    ("GLEANER__EMBED__PROVIDER", "off"),
    ("GLEANER__LLM__PROVIDER", "openai"),
    ("GLEANER__LLM__MODEL", "some-model"),
    ("GLEANER__LLM__REQUESTS_PER_MINUTE", "150"),
    ("GLEANER__LLM__CALLS_MAX", "2"),
];
const PAGES: usize = 15;

fn start(dir: &Path, mock: &LlmMock, redis: &services::Redis, args: &[&str]) -> Child {
    command(dir, args)
        .envs(SETTINGS)
        .env("GLEANER__LLM__BASE_URL", mock.openai_url())
        .env("REDIS_URL", &redis.url)
        .env("GLEANER__REDIS__PREFIX", &redis.prefix)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

#[track_caller]
fn ended(process: Child) -> Value {
    let output = process.wait_with_output().expect("ends");
    let error = String::from_utf8_lossy(&output.stderr);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{error}{told}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The most that were under way at the same moment.
fn most_at_once(requests: &[&Value]) -> usize {
    let time = |request: &Value, name: &str| request[name].as_f64().expect("seconds");
    let under_way = |at: f64| {
        let is_under_way =
            |request: &&&Value| time(request, "started_at") <= at && at < time(request, "ended_at");
        requests.iter().filter(is_under_way).count()
    };
    let starts = requests.iter().map(|request| time(request, "started_at"));
    starts.map(under_way).max().unwrap_or_default()
}

#[test]
fn processes_share_the_limits_and_the_turns_of_a_model() {
    let mock = LlmMock::start_with(&["--latency-ms", "20"]);
    let redis = services::Redis::shared();
    let folders = [(); 2].map(|()| {
        let dir = tempfile::tempdir().expect("temp dir");
        let lines: String = (0..PAGES)
            .map(|n| {
                let text = format!(
                    "Station {n} measured the rain of the year. In spring its gauges were \
                     flooded, and the keepers carried them to the hill behind the mill."
                );
                let url = format!("https://example.org/{n}");
                let line = json!({"url": url, "title": format!("Station {n}"), "text": text});
                format!("{line}\n")
            })
            .collect();
        let file = dir.path().join("pages.jsonl");
        std::fs::write(&file, lines).expect("written");
        let file = file.to_str().expect("UTF-8");
        gleaner(dir.path(), &["import", file, "--json"]).ok();
        dir
    });
    let summarizing = folders
        .each_ref()
        .map(|dir| start(dir.path(), &mock, &redis, &["summarize", "--json"]));
    let question = [
        "ask",
        "Who carried the gauges to the hill in spring?",
        "--json",
    ];
    let asking = start(folders[0].path(), &mock, &redis, &question);
    for process in summarizing {
        let made = ended(process);
        assert_eq!(made["result"]["done"], PAGES, "{made}");
    }
    let answer = ended(asking);
    assert_eq!(answer["found"], true, "{answer}");

    let log: Value = serde_json::from_str(&mock.requests()).expect("JSON");
    let all: Vec<&Value> = log["requests"].as_array().expect("a list").iter().collect();
    assert_eq!(all.len(), 2 * PAGES + 1);
    let is_summary = |request: &&Value| request["body"].get("response_format").is_some();
    let summaries: Vec<&Value> = all.iter().copied().filter(is_summary).collect();
    assert_eq!(summaries.len(), 2 * PAGES);
    assert_eq!(most_at_once(&summaries), 1, "one is kept for questions");
    assert!(most_at_once(&all) <= 2, "{log:#}");
    // Each for itself could have sent its own at once: here the last 16 waited.
    let time = |request: &Value| request["started_at"].as_f64().expect("seconds");
    let times = || all.iter().copied().map(time);
    let took = times().fold(0.0, f64::max) - times().fold(f64::MAX, f64::min);
    assert!(took >= 6.0, "{took}");
}
