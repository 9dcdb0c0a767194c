//! The configured language model: what is said of it, and when it cannot work.

use std::path::Path;

use testkit::LlmMock;

use crate::http::Running;
use crate::support::{Ran, command, ran};

fn run(dir: &Path, settings: &[(&str, &str)], args: &[&str]) -> Ran {
    let output = command(dir, args).envs(settings.iter().copied()).output();
    ran(&output.expect("the program starts"))
}

/// State and message of the doctor's line.
fn doctor(dir: &Path, settings: &[(&str, &str)]) -> Option<(String, String)> {
    let ran = run(dir, settings, &["doctor", "--json"]);
    let report = ran.json();
    let checks = report["checks"].as_array().expect("checks").clone();
    let of_model = checks.iter().find(|c| c["name"] == "language model")?;
    let text = |key: &str| of_model[key].as_str().expect("text").to_owned();
    Some((text("state"), text("message")))
}

#[test]
fn the_doctor_asks_it_for_a_word() {
    let dir = tempfile::tempdir().expect("temp dir");
    assert_eq!(doctor(dir.path(), &[]), None, "none is configured");
    let key_file = dir.path().join("key");
    std::fs::write(&key_file, "sk-hush\n").expect("written");
    let key_file = key_file.to_str().expect("UTF-8");

    let mut mock = LlmMock::start();
    let (openai, gemini) = (mock.openai_url(), mock.gemini_url());
    let of_openai = [
        ("GLEANER__LLM__PROVIDER", "openai"),
        ("GLEANER__LLM__MODEL", "some-model"),
        ("OPENAI_BASE_URL", openai.as_str()),
        ("OPENAI_API_KEY_FILE", key_file),
    ];
    let of_gemini = [
        ("GLEANER__LLM__PROVIDER", "gemini"),
        ("GLEANER__LLM__MODEL", "some-model"),
        ("GLEANER__LLM__BASE_URL", gemini.as_str()),
        ("GEMINI_API_KEY", "sk-hush"),
    ];
    for settings in [&of_openai, &of_gemini] {
        let (state, message) = doctor(dir.path(), settings).expect("a line");
        assert_eq!(state, "ok", "{message}");
        assert!(
            message.starts_with(&format!("some-model at {openai} answers")),
            "{message}"
        );
        assert!(message.contains(" tokens in, "), "{message}");
        // What is shown of the configuration has no key in it.
        let shown = run(dir.path(), settings, &["config"]).ok().stdout;
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("llm.api_key"), "{shown}");
    }
    assert_eq!(mock.requests().matches("\"seq\"").count(), 2);

    mock.stop();
    let (state, message) = doctor(dir.path(), &of_openai).expect("a line");
    assert_eq!(state, "failed");
    assert!(message.contains("cannot be reached"), "{message}");
    assert!(!message.contains("hush"), "{message}");
}

#[test]
fn its_breaker_is_shown() {
    let dir = tempfile::tempdir().expect("temp dir");
    let settings = [
        ("GLEANER__LLM__PROVIDER", "openai"),
        ("GLEANER__LLM__MODEL", "m"),
        // Nobody is asked before there is something to ask.
        ("GLEANER__LLM__BASE_URL", "http://127.0.0.1:9"),
    ];
    let running = Running::serve_with(dir.path(), &settings);
    let metrics = running.get("/metrics").body;
    assert!(
        metrics.contains("breaker_state{name=\"language model\"} 0"),
        "{metrics}"
    );
    assert!(metrics.contains("llm_calls_under_way 0"), "{metrics}");
    let status = running.get("/api/v2/system/status").json();
    assert_eq!(status["services"][0]["name"], "language model", "{status}");
    assert_eq!(status["services"][0]["breaker"], "closed");
}

#[test]
fn what_cannot_work_ends_the_program() {
    let dir = tempfile::tempdir().expect("temp dir");
    let check = |settings: &[(&str, &str)], problem: &str| {
        let ran = run(dir.path(), settings, &["worker"]);
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains(problem), "{}", ran.stderr);
    };
    let openai = ("GLEANER__LLM__PROVIDER", "openai");
    let model = ("GLEANER__LLM__MODEL", "m");
    check(&[openai], "llm.model");
    check(&[openai, model], "OPENAI_API_KEY");
    let nowhere = ("GLEANER__LLM__BASE_URL", "nowhere");
    check(&[openai, model, nowhere], "not an http(s) URL");
    let file = dir.path().join("own.toml");
    std::fs::write(&file, "[llm]\napi_key = \"sk-hush\"\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let ran = run(dir.path(), &[], &["--config", file, "config"]);
    assert_ne!(ran.code, 0);
    assert!(
        ran.stderr.contains("GLEANER__LLM__API_KEY_FILE"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
}
