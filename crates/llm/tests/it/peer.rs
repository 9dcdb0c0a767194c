//! The same against a server of both protocols that others wrote.

use std::time::{Duration, Instant};

use llm::{Client, Finish, LlmConfig, LlmError, LlmErrorKind, Protocol, Reply};
use serde_json::Value;
use testkit::LlmMock;

use crate::{PROTOCOLS, in_json, prompt};

fn config(protocol: Protocol, mock: &LlmMock) -> LlmConfig {
    let base = match protocol {
        Protocol::OpenAi => mock.openai_url(),
        Protocol::Gemini => mock.gemini_url(),
    };
    LlmConfig {
        api_key: Some(llm::Secret::new("key-123".to_owned())),
        ..LlmConfig::new(protocol, base, "some-model")
    }
}

fn client(protocol: Protocol, mock: &LlmMock) -> Client {
    Client::new(config(protocol, mock)).expect("a client")
}

async fn streamed(client: &Client) -> (String, Result<Reply, LlmError>) {
    let mut heard = String::new();
    let mut on_text = |text: &str| heard.push_str(text);
    let result = client.stream(&prompt(), &mut on_text).await;
    (heard, result)
}

#[tokio::test]
async fn it_understands_us_and_we_it() {
    let mock = LlmMock::start();
    for protocol in PROTOCOLS {
        let client = client(protocol, &mock);
        mock.script(r#"[{"type": "reply", "text": "سلام — hello 😀", "times": 2}]"#);
        let whole = client.complete(&prompt()).await.expect("a reply");
        assert_eq!(whole.text, "سلام — hello 😀");
        assert_eq!(whole.finish, Finish::Stop);
        let usage = whole.usage.expect("counted");
        assert!(usage.input > 0 && usage.output > 0, "{usage:?}");

        let (heard, reply) = streamed(&client).await;
        let reply = reply.expect("a reply");
        assert_eq!(
            (heard.as_str(), reply.finish),
            (whole.text.as_str(), Finish::Stop)
        );
        assert_eq!(reply.usage, Some(usage), "{protocol:?}");

        // By the schema that was asked for.
        let answer = client.complete(&in_json(prompt())).await.expect("a reply");
        let answer: Value = serde_json::from_str(&answer.text).expect("JSON");
        let title = &answer["title"];
        assert!(
            title.is_string() || title.is_null(),
            "{protocol:?} {answer}"
        );

        mock.script(r#"[{"type": "reply", "text": "x", "finish_reason": "length"}]"#);
        let cut = client.complete(&prompt()).await.expect("a reply");
        assert_eq!(cut.finish, Finish::Length);
    }
    let log: Value = serde_json::from_str(&mock.requests()).expect("JSON");
    let log = log["requests"].as_array().expect("a log");
    assert_eq!(log.len(), 8);
    assert!(log.iter().all(|request| request["status"] == 200));
    let providers: Vec<_> = log.iter().map(|request| &request["provider"]).collect();
    assert!(
        providers[0] == "openai" && providers[7] == "gemini",
        "{providers:?}"
    );
}

#[tokio::test]
async fn its_faults_are_told_apart() {
    let mock = LlmMock::start_with(&["--context-window", "500"]);
    let check = async |protocol, script: &str, kind: LlmErrorKind| {
        let client = client(protocol, &mock);
        mock.script(script);
        let error = client.complete(&prompt()).await.expect_err(script);
        assert_eq!(error.kind(), kind, "{protocol:?} {script}: {error}");
        error
    };
    for protocol in PROTOCOLS {
        use LlmErrorKind::{Config, Refused, Throttled, TooLong, Unavailable};
        let script = r#"[{"type": "fail", "status": 429, "retry_after": 7}]"#;
        let error = check(protocol, script, Throttled).await;
        assert_eq!(
            error.retry_after(),
            Some(Duration::from_secs(7)),
            "{protocol:?}"
        );
        check(
            protocol,
            r#"[{"type": "fail", "status": 500}]"#,
            Unavailable,
        )
        .await;
        check(
            protocol,
            r#"[{"type": "fail", "status": 503}]"#,
            Unavailable,
        )
        .await;
        check(protocol, r#"[{"type": "fail", "status": 401}]"#, Config).await;
        check(protocol, r#"[{"type": "fail", "status": 400}]"#, Refused).await;

        let mut long = prompt();
        long.user = "word ".repeat(2000);
        let error = client(protocol, &mock).complete(&long).await;
        assert_eq!(error.expect_err("too long").kind(), TooLong, "{protocol:?}");
    }
}

#[tokio::test]
async fn its_broken_streams_are_no_answers() {
    let mock = LlmMock::start();
    for protocol in PROTOCOLS {
        for fault in ["disconnect", "truncate", "malformed"] {
            mock.script(&format!(
                r#"[{{"type": "reply", "text": "one two three four five six seven"}},
                    {{"type": "stream_fault", "kind": "{fault}", "after_chunks": 3}}]"#
            ));
            let (heard, result) = streamed(&client(protocol, &mock)).await;
            let error = result.expect_err(fault);
            let kind = error.kind();
            assert_eq!(
                kind,
                LlmErrorKind::BadResponse,
                "{protocol:?} {fault}: {error}"
            );
            let whole = "one two three four five six seven";
            assert!(
                whole.starts_with(&heard) && heard != whole,
                "{fault}: {heard}"
            );
        }
        // It says nothing for half a minute; we wait for less.
        mock.script(
            r#"[{"type": "reply", "text": "one two three four"},
                {"type": "stream_fault", "kind": "stall", "after_chunks": 2}]"#,
        );
        let config = LlmConfig {
            idle_timeout: Duration::from_millis(300),
            ..config(protocol, &mock)
        };
        let since = Instant::now();
        let (_, result) = streamed(&Client::new(config).expect("a client")).await;
        let error = result.expect_err("silence");
        assert_eq!(error.kind(), LlmErrorKind::Unavailable, "{error}");
        assert!(since.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn it_may_be_slow() {
    let mock = LlmMock::start();
    mock.script(r#"[{"type": "delay", "seconds": 20}]"#);
    let config = LlmConfig {
        timeout: Duration::from_millis(300),
        ..config(Protocol::OpenAi, &mock)
    };
    let error = Client::new(config)
        .expect("a client")
        .complete(&prompt())
        .await;
    assert_eq!(error.expect_err("slow").kind(), LlmErrorKind::Unavailable);
}
