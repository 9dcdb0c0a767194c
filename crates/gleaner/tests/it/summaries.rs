//! Summaries: by a language model that fails now and then, by one that is down,
//! and without any.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{FakeWeb, LlmMock, Reply};

use crate::http::Running;
use crate::support::{Ran, command, ran};

/// What the program is told of the model at `base_url`.
fn model(base_url: &str) -> Vec<(&'static str, String)> {
    let settings = [
        ("GLEANER__EMBED__PROVIDER", "off"),
        ("GLEANER__LLM__PROVIDER", "openai"),
        ("GLEANER__LLM__MODEL", "some-model"),
        ("GLEANER__LLM__BASE_URL", base_url),
        ("GLEANER__LLM__REQUESTS_PER_MINUTE", "60000"),
        ("GLEANER__LLM__RETRY_MS", "1,2,4"),
        ("GLEANER__LLM__CALLS_MAX", "4"),
    ];
    settings
        .map(|(name, value)| (name, value.to_owned()))
        .into()
}

fn run(dir: &Path, settings: &[(&str, String)], args: &[&str]) -> Ran {
    let settings = settings.iter().map(|(name, value)| (name, value));
    let output = command(dir, args).envs(settings).output();
    ran(&output.expect("the program starts"))
}

/// Stores pages without asking any site for them.
fn import(dir: &Path, pages: &[(String, String, &str)]) {
    let file = dir.join("pages.jsonl");
    let lines: String = pages
        .iter()
        .map(|(url, text, language)| {
            let title = format!("About {url}");
            let line = json!({"url": url, "title": title, "text": text, "language": language});
            format!("{line}\n")
        })
        .collect();
    std::fs::write(&file, lines).expect("written");
    let file = file.to_str().expect("UTF-8").to_owned();
    run(dir, &[], &["import", &file, "--json"]).ok();
}

fn english(count: usize) -> Vec<(String, String, &'static str)> {
    (0..count)
        .map(|n| {
            let text = format!(
                "Station {n} measured the rain of the whole year. In spring {n} gauges were \
                 flooded, and the keepers carried them to the hill. The council has paid for \
                 new ones, which stand behind the mill since June."
            );
            (format!("https://example.org/{n}"), text, "en")
        })
        .collect()
}

/// Every request that the mock has seen.
fn asked(mock: &LlmMock) -> Vec<Value> {
    let log: Value = serde_json::from_str(&mock.requests()).expect("JSON");
    log["requests"].as_array().expect("requests").clone()
}

fn answered(asked: &[Value]) -> Vec<String> {
    let answered = asked.iter().filter(|request| request["status"] == 200);
    let prompt = |request: &Value| request["body"]["messages"][1]["content"].to_string();
    answered.map(prompt).collect()
}

fn listed(running: &Running) -> (Vec<Value>, Value) {
    let list = running.get("/api/v2/summaries?limit=500").is(200).json();
    let rows = list["summaries"].as_array().expect("summaries").clone();
    (rows, list["stats"].clone())
}

#[test]
fn every_page_is_done_or_falls_back_and_the_accounts_add_up() {
    let dir = tempfile::tempdir().expect("temp dir");
    import(dir.path(), &english(80));
    let mock = LlmMock::start_with(&["--error-rate", "429=0.1", "--error-rate", "500=0.1"]);
    let mut settings = model(&mock.openai_url());
    let prices = "another-model 9 9, some-model 1 2".to_owned();
    settings.push(("GLEANER__LLM__PRICES", prices));

    let dry = run(dir.path(), &settings, &["summarize", "--dry-run", "--json"]);
    let estimate = dry.ok().json()["estimate"].clone();
    assert_eq!(
        (&estimate["pages"], &estimate["calls"]),
        (&json!(80), &json!(80))
    );
    assert_eq!(estimate["model"], "some-model");
    assert!(
        estimate["tokens_in"].as_u64() > Some(80 * 100),
        "{estimate}"
    );
    assert!(estimate["cost"].as_f64() > Some(0.0), "{estimate}");
    assert!(asked(&mock).is_empty(), "nobody was asked");

    let made = run(dir.path(), &settings, &["summarize", "--json"])
        .ok()
        .json();
    let result = &made["result"];
    let count = |name: &str| result[name].as_u64().expect("a number");
    assert_eq!(count("done") + count("fallback"), 80, "{made}");
    assert_eq!(
        (count("pages"), count("failed"), count("unsaved")),
        (80, 0, 0)
    );
    assert!(
        count("fallback") <= 2,
        "three retries help nearly always: {made}"
    );
    let all = asked(&mock);
    let mut pages = answered(&all);
    let llm = &result["llm"];
    assert_eq!(llm["successful_requests"], pages.len() as u64);
    assert_eq!(llm["fallback_requests"], result["fallback"]);
    pages.sort();
    pages.dedup();
    assert_eq!(pages.len() as u64, count("done"), "no page twice");
    if count("fallback") == 0 {
        assert_eq!(llm["attempts"], all.len() as u64);
    }

    // The same figures are the tenant's.
    let env: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let running = Running::serve_with(dir.path(), &env);
    let of_tenant = running.get("/api/v2/metrics/llm").is(200).json();
    for name in [
        "successful_requests",
        "failed_requests",
        "fallback_requests",
    ] {
        assert_eq!(of_tenant[name], llm[name], "{name}: {of_tenant}");
    }
    for name in ["total_tokens", "tokens_in", "tokens_out"] {
        assert!(
            of_tenant[name].as_u64() >= llm[name].as_u64(),
            "{name}: {of_tenant}"
        );
    }
    assert_eq!(of_tenant["attempts"], all.len() as u64, "{of_tenant}");
    assert_eq!(of_tenant["today"]["used"], of_tenant["total_tokens"]);
    assert_eq!(of_tenant["last_batch"]["total_tokens"], llm["total_tokens"]);
    assert_eq!(of_tenant["breaker"], "closed");
    let tokens = |name: &str| of_tenant[name].as_f64().expect("tokens");
    let cost = (tokens("tokens_in") + 2.0 * tokens("tokens_out")) / 1e6;
    assert!((of_tenant["cost"].as_f64().expect("a cost") - cost).abs() < 1e-9);
    assert_eq!(of_tenant["by"][0]["cost"], of_tenant["cost"]);
    let (rows, stats) = listed(&running);
    assert_eq!((rows.len(), &stats["waiting"]), (80, &json!(0)));
    let sum = |name: &str| {
        rows.iter()
            .filter_map(|row| row[name].as_u64())
            .sum::<u64>()
    };
    assert_eq!(
        sum("tokens_in") + sum("tokens_out"),
        llm["total_tokens"].as_u64().expect("one")
    );
    assert!(
        rows.iter()
            .all(|row| row["summary"] != "" && row["current"] == true)
    );
    running.stop();

    // Nothing is left, and nobody is asked again.
    let again = run(dir.path(), &settings, &["summarize", "--json"])
        .ok()
        .json();
    assert_eq!(again["result"]["pages"], 0, "{again}");
    assert_eq!(asked(&mock).len(), all.len());
    // One page changes: it alone is done anew.
    let mut changed = english(1);
    changed[0].1.push_str(" In autumn the mill burnt down.");
    import(dir.path(), &changed);
    let again = run(dir.path(), &settings, &["summarize", "--json"])
        .ok()
        .json();
    assert_eq!(again["result"]["pages"], 1, "{again}");
}

#[test]
fn what_was_killed_goes_on_with_the_rest() {
    let dir = tempfile::tempdir().expect("temp dir");
    import(dir.path(), &english(120));
    let mock = LlmMock::start();
    let settings = model(&mock.openai_url());
    // 30 at once and then less than five a second: the last would be asked for
    // after twenty seconds, long after the first were committed.
    let slowly = [("GLEANER__LLM__REQUESTS_PER_MINUTE", "300")];
    let named = settings.iter().map(|(name, value)| (name, value));
    let mut killed = command(dir.path(), &["summarize", "--json"])
        .envs(named)
        .envs(slowly)
        .spawn()
        .expect("starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let dry = run(dir.path(), &settings, &["summarize", "--dry-run", "--json"]);
        if dry.ok().json()["estimate"]["pages"].as_u64() < Some(120) {
            break;
        }
        assert!(Instant::now() < deadline, "nothing was ever committed");
    }
    killed.kill().expect("killed");
    killed.wait().expect("gone");
    let before = asked(&mock).len();
    assert!(before < 120, "it was killed too late: {before}");

    let rest = run(dir.path(), &settings, &["summarize", "--json"])
        .ok()
        .json();
    let pages = rest["result"]["pages"].as_u64().expect("pages");
    assert!(pages < 120, "what was committed stays: {rest}");
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for page in answered(&asked(&mock)) {
        *times.entry(page).or_default() += 1;
    }
    assert_eq!(times.len(), 120);
    // Twice at most: what was answered and not committed yet.
    assert!(times.values().all(|times| *times <= 2), "{times:?}");
    let running = Running::serve(dir.path());
    let (rows, stats) = listed(&running);
    assert_eq!((rows.len(), &stats["done"]), (120, &json!(120)));
}

#[test]
fn a_model_that_is_down_is_left_alone_and_sentences_stand_in() {
    let dir = tempfile::tempdir().expect("temp dir");
    import(dir.path(), &english(20));
    let mut mock = LlmMock::start();
    let mut settings = model(&mock.openai_url());
    settings.push(("GLEANER__LLM__BREAKER_OPEN_S", "1".to_owned()));
    settings.push(("GLEANER__LLM__CALLS_MAX", "1".to_owned()));
    mock.stop();
    let env: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let running = Running::serve_with(dir.path(), &env);
    let queued = running.post("/api/v2/summaries", &json!({})).is(202).json();
    assert_eq!(
        (&queued["pages"], &queued["known"]),
        (&json!(20), &json!(0))
    );
    let task = queued["task_ids"][0].to_string();
    let ended = |task: &str| -> Value {
        let (_, events) = running.events(&format!("/api/v2/tasks/{task}/events"), None);
        events.last().expect("an end").json()
    };
    let task = ended(&task);
    assert_eq!(task["state"], "succeeded", "{task}");
    let result = &task["result"];
    assert_eq!(
        (&result["fallback"], &result["done"]),
        (&json!(20), &json!(0))
    );
    // Three calls with their retries, and none after that.
    assert_eq!(result["llm"]["failed_requests"], 3, "{result}");
    let status = running.get("/api/v2/system/status").json();
    let services = status["services"].as_array().expect("services");
    let model = services.iter().find(|one| one["name"] == "language model");
    assert_ne!(model.expect("it is shown")["breaker"], "closed", "{status}");
    let metrics = running.get("/metrics").body;
    assert!(
        metrics.contains("llm_fallbacks_total{purpose=\"summary\"} 20"),
        "{metrics}"
    );
    let (rows, _) = listed(&running);
    let reasons: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["error"].as_str())
        .collect();
    assert_eq!(reasons.len(), 20);
    assert_eq!(
        reasons
            .iter()
            .filter(|why| why.contains("left alone"))
            .count(),
        17,
        "{reasons:?}"
    );
    assert!(
        rows.iter()
            .all(|row| row["status"] == "fallback" && row["model"] == "extractive")
    );
    // Other work goes on.
    let found = running.get("/api/v2/search?q=rain").is(200).json();
    assert_eq!(found["total"], 20);

    // It comes back, is tried once the breaker's time is over, and all is done anew.
    mock.start_again();
    let deadline = Instant::now() + Duration::from_secs(60);
    let again = json!({"again": ["fallback"]});
    loop {
        assert!(Instant::now() < deadline, "never closed again");
        let queued = running.post("/api/v2/summaries", &again).is(202).json();
        if queued["task_ids"].as_array().is_some_and(Vec::is_empty) {
            break;
        }
        let task = ended(&queued["task_ids"][0].to_string());
        assert_eq!(task["state"], "succeeded", "{task}");
    }
    let (rows, stats) = listed(&running);
    assert_eq!((rows.len(), &stats["done"]), (20, &json!(20)));
    assert_eq!(
        running.get("/api/v2/metrics/llm").json()["breaker"],
        "closed"
    );
}

/// A model that answers as it is told, and whose requests can be looked at.
fn scripted(answer: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> FakeWeb {
    let web = FakeWeb::start_blocking();
    web.handler(move |request| {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let message = |n: usize| body["messages"][n]["content"].as_str().expect("text").to_owned();
        let text = answer(&message(0), &message(1));
        let reply = json!({
            "model": "some-model",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        });
        Reply::body("application/json", reply.to_string())
    });
    web
}

#[test]
fn a_long_page_is_summarised_by_its_parts() {
    let dir = tempfile::tempdir().expect("temp dir");
    let paragraph = "The keepers of the dam write down the level of the water every morning. ";
    let text: String = (0..200)
        .map(|n| format!("{}Day {n}.\n", paragraph.repeat(4)))
        .collect();
    import(
        dir.path(),
        &[("https://example.org/long".to_owned(), text, "en")],
    );
    let web = scripted(|system, user| {
        if system.contains("You take notes") {
            let day = user.rsplit("Day ").next().unwrap_or_default();
            format!(
                "- up to day {}",
                day.chars()
                    .take_while(char::is_ascii_digit)
                    .collect::<String>()
            )
        } else {
            assert!(user.contains("- up to day 199"), "{user}");
            json!({"title": "Levels", "summary": "The level of the dam was written down each morning.",
                   "key_points": ["200 days"], "entities": [{"name": "the dam", "kind": "place"}],
                   "category": "reference"})
            .to_string()
        }
    });
    let mut settings = model(&web.url(""));
    settings.push(("GLEANER__LLM__CONTEXT_TOKENS", "4096".to_owned()));
    let args = ["summarize", "--url", "https://example.org/long", "--json"];
    let made = run(dir.path(), &settings, &args).ok().json();
    let summary = &made["summaries"][0];
    assert_eq!(summary["status"], "done", "{made}");
    assert_eq!(summary["title"], "Levels");
    assert_eq!(summary["category"], "reference");
    assert_eq!(summary["entities"][0]["kind"], "place");
    let calls = summary["calls"].as_u64().expect("calls");
    assert!((5..=33).contains(&calls), "{summary}");
    assert_eq!(calls as usize, web.log().len());
    assert_eq!(summary["tokens_in"], calls * 10);
    let shown = run(
        dir.path(),
        &[],
        &["page", "summary", "https://example.org/long"],
    )
    .ok();
    assert!(
        shown.stdout.contains("written down each morning"),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains("by some-model"), "{}", shown.stdout);
}

#[test]
fn the_language_of_the_page_is_kept() {
    let dir = tempfile::tempdir().expect("temp dir");
    let persian = "رصدخانه در زمستان بسته است. نگهبانان هر شب دمای هوا را می‌نویسند و آینه را \
                   می‌پوشانند. در بهار بازدیدکنندگان دوباره می‌آیند و ستاره‌ها را می‌بینند.";
    let pages = [
        (
            "https://example.org/fa/1".to_owned(),
            persian.to_owned(),
            "fa",
        ),
        (
            "https://example.org/fa/2".to_owned(),
            format!("{persian} این صفحه دوم است."),
            "fa",
        ),
    ];
    import(dir.path(), &pages);
    let english = json!({"summary": "The observatory is closed in winter, and its keepers write down the temperature."});
    let in_persian =
        json!({"summary": "رصدخانه در زمستان بسته است و نگهبانان دمای هوا را می‌نویسند."});
    let web = scripted(move |system, user| {
        assert!(system.contains("Write in Persian"), "{system}");
        let insists = system.contains("An earlier answer was not usable");
        if user.contains("دوم") || !insists {
            english.to_string()
        } else {
            in_persian.to_string()
        }
    });
    let settings = model(&web.url(""));
    run(dir.path(), &settings, &["summarize", "--json"]).ok();
    let shown = |n: usize| {
        let url = format!("https://example.org/fa/{n}");
        run(dir.path(), &[], &["page", "summary", &url, "--json"])
            .ok()
            .json()
    };
    // Told a second time it obeys; else the page's own sentences stand in.
    let (first, second) = (shown(1), shown(2));
    assert_eq!(
        (&first["status"], &first["calls"]),
        (&json!("done"), &json!(2))
    );
    assert!(
        first["summary"]
            .as_str()
            .is_some_and(|text| text.contains("نگهبانان"))
    );
    assert_eq!(second["status"], "fallback", "{second}");
    let why = second["error"].as_str().expect("a reason");
    assert_eq!(why, "the model answered in en, the page is in fa");
    assert!(
        second["summary"]
            .as_str()
            .is_some_and(|text| text.contains("رصدخانه"))
    );
}

#[test]
fn a_budget_is_a_hard_stop() {
    let dir = tempfile::tempdir().expect("temp dir");
    import(dir.path(), &english(30));
    let mock = LlmMock::start();
    let settings = model(&mock.openai_url());
    run(
        dir.path(),
        &[],
        &["tenant", "edit", "default", "--tokens-per-day", "6000"],
    )
    .ok();
    let made = run(dir.path(), &settings, &["summarize", "--json"]);
    assert_eq!(made.code, 3, "{}", made.stderr);
    let made = made.json();
    assert_eq!(made["result"]["ended"], "budget", "{made}");
    assert_eq!(
        made["result"]["fallback"], 0,
        "the rest waits for tomorrow: {made}"
    );
    let done = made["result"]["done"].as_u64().expect("a number");
    assert!((1..30).contains(&done), "{made}");
    let used = made["result"]["llm"]["total_tokens"]
        .as_u64()
        .expect("tokens");
    assert!(used <= 6000, "{made}");
    assert_eq!(asked(&mock).len() as u64, done);
    // Without the model it costs nothing, and can be had at once.
    let page = run(
        dir.path(),
        &settings,
        &["summarize", "--extractive", "--json"],
    )
    .ok()
    .json();
    assert_eq!(
        page["result"]["fallback"].as_u64(),
        Some(30 - done),
        "{page}"
    );
}

#[test]
fn tenants_see_their_own_summaries_and_figures_alone() {
    let dir = tempfile::tempdir().expect("temp dir");
    import(dir.path(), &english(3));
    run(dir.path(), &[], &["summarize"]).ok();
    let args = ["tenant", "create", "other", "--json"];
    run(dir.path(), &[], &args).ok();
    let key = |tenant: &str| {
        let args = ["key", "create", "--tenant", tenant, "--name", "k", "--json"];
        let made = run(dir.path(), &[], &args).ok().json();
        made["api_key"].as_str().expect("a key").to_owned()
    };
    let (ours, theirs) = (key("default"), key("other"));
    let running = Running::serve(dir.path());
    let ask = |key: &str, path: &str| {
        let bearer = format!("Bearer {key}");
        running.ask("GET", path, &[("authorization", &bearer)], None)
    };
    let count = |key: &str| {
        let list = ask(key, "/api/v2/summaries").is(200).json();
        (
            list["summaries"].as_array().map(Vec::len),
            list["stats"]["fallback"].clone(),
        )
    };
    assert_eq!(count(&ours), (Some(3), json!(3)));
    assert_eq!(count(&theirs), (Some(0), json!(0)));
    let page = "/api/v2/pages/1/summary";
    ask(&ours, page).is(200);
    ask(&theirs, page).is(404);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    import(dir.path(), &english(2));
    let running = Running::serve(dir.path());
    let refused = |body: Value, words: &str| {
        let answer = running.post("/api/v2/summaries", &body);
        assert!(
            (400..500).contains(&answer.status),
            "{body}: {}",
            answer.body
        );
        assert!(answer.body.contains(words), "{body}: {}", answer.body);
    };
    refused(json!({"limit": 0}), "limit is 1 to 10000");
    refused(
        json!({"again": ["done"]}),
        "again is `failed` or `fallback`",
    );
    refused(json!({"source": 1, "query": "rain"}), "one of the three");
    refused(json!({"source": 77}), "no source 77");
    refused(json!({"page_ids": [77]}), "no page 77");
    refused(
        json!({"urls": ["https://example.org/none"]}),
        "crawl or scrape it first",
    );
    refused(json!({"query": " "}), "the query is empty");
    refused(json!({"url": "https://example.org/1"}), "url");
    let missing = running.get("/api/v2/pages/1/summary").is(404);
    assert!(missing.body.contains("has no summary"), "{}", missing.body);
    let dry = running.post(
        "/api/v2/summaries",
        &json!({"query": "rain", "limit": 1, "dry_run": true}),
    );
    assert_eq!(dry.is(200).json()["estimate"]["pages"], 1);
}
