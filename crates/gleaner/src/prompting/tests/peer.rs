//! Calls against a server of both protocols that others wrote, as its own log tells them.

use std::time::Duration;

use guard::BreakerState;
use llm::LlmErrorKind;
use serde_json::Value;
use testkit::LlmMock;

use super::Scene;
use crate::prompting::{CallError, Purpose};

fn requests(mock: &LlmMock) -> Vec<Value> {
    let mut log: Value = serde_json::from_str(&mock.requests()).expect("JSON");
    let log = log["requests"].as_array_mut().expect("a list");
    std::mem::take(log)
}

#[test]
fn faults_are_survived_politely() {
    let mock = LlmMock::start();
    let scene = Scene::at(&mock.openai_url(), |llm| llm.retry_ms = vec![100, 200, 400]);
    mock.script(
        r#"[{"type": "fail", "status": 429, "retry_after": 1},
            {"type": "fail", "status": 500, "times": 2},
            {"type": "reply", "text": "well"}]"#,
    );
    let called = scene.call().expect("an answer");
    assert_eq!((called.text.as_str(), called.attempts), ("well", 4));

    // A stream that ends early before it has said anything is begun anew.
    mock.script(
        r#"[{"type": "stream_fault", "kind": "disconnect", "after_chunks": 0},
            {"type": "reply", "text": "as well", "times": 2}]"#,
    );
    let mut heard = String::new();
    let called = scene.call_with(Some(&mut |text: &str| heard.push_str(text)), None);
    assert_eq!(called.expect("an answer").text, "as well");
    assert_eq!(heard, "as well");

    // What it thinks of us: waits as long as it asked, backs off, believes no cut stream.
    let verdict: Value = serde_json::from_str(&mock.verdict()).expect("JSON");
    assert_eq!(verdict["passed"], true, "{verdict:#}");
    // Each request that it served is in the accounts.
    let used = scene.used(Purpose::Summary).expect("noted");
    assert_eq!(used.requests, requests(&mock).len() as u64);
    assert_eq!((used.requests, used.succeeded, used.failed), (6, 2, 0));
}

#[test]
fn its_log_shows_no_minute_beyond_the_limit() {
    let mock = LlmMock::start();
    // 3 at once, then one each 2.2 s.
    let scene = Scene::at(&mock.openai_url(), |llm| llm.requests_per_minute = 30);
    mock.script(r#"[{"type": "fail", "status": 503, "times": 2}]"#);
    scene.while_time_passes(|| {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| scene.call().expect("an answer"));
            }
        });
    });
    let log = requests(&mock);
    assert_eq!(log.len(), 5, "retries count as well");
    let at = |request: &Value| request["started_at"].as_f64().expect("seconds");
    let mut starts: Vec<f64> = log.iter().map(at).collect();
    starts.sort_by(f64::total_cmp);
    // What one minute may see, in its first 2 s.
    let first = starts.iter().filter(|at| **at < starts[0] + 2.0).count();
    assert_eq!(first, 3, "{starts:?}");
    assert!(starts[4] - starts[0] > 4.0, "{starts:?}");
}

#[test]
fn a_model_that_is_down_is_left_alone_until_it_is_back() {
    let mut mock = LlmMock::start();
    let scene = Scene::at(&mock.openai_url(), |_| {});
    scene.call().expect("an answer");
    mock.stop();
    for _ in 0..3 {
        assert_eq!(scene.failure(), LlmErrorKind::Unavailable);
    }
    assert_eq!(scene.breaker(), BreakerState::Open);
    mock.start_again();
    let refused = scene.call();
    assert!(
        matches!(refused, Err(CallError::LeftAlone(_))),
        "{refused:?}"
    );
    assert!(requests(&mock).is_empty());

    scene.clock.advance(Duration::from_secs(120));
    assert_eq!(scene.breaker(), BreakerState::HalfOpen);
    assert_eq!(scene.call().expect("an answer").attempts, 1);
    assert_eq!(scene.breaker(), BreakerState::Closed);
    assert_eq!(requests(&mock).len(), 1);
}
