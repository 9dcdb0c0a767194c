//! What a server does wrong, and what the caller hears of it.

use std::time::Duration;

use llm::{Client, LlmConfig, LlmErrorKind, Protocol};
use serde_json::json;
use testkit::{FakeWeb, Reply};

use crate::{PROTOCOLS, always, answer, client, config, json_reply, prompt};

async fn error(protocol: Protocol, reply: Reply) -> llm::LlmError {
    let web = always(reply).await;
    let client = client(protocol, &web);
    let error = client.complete(&prompt()).await.expect_err("a fault");
    let mut silent = |_: &str| {};
    let streamed = client.stream(&prompt(), &mut silent).await;
    assert_eq!(
        streamed.expect_err("a fault").kind(),
        error.kind(),
        "streamed"
    );
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(
            !shown.contains("key-123") && !shown.contains(&web.url("")),
            "{shown}"
        );
    }
    error
}

#[tokio::test]
async fn refusals_say_what_can_be_done() {
    use LlmErrorKind::{Config, Refused, Throttled, TooLong, Unavailable};
    for protocol in PROTOCOLS {
        for (status, kind) in [
            (400, Refused),
            (401, Config),
            (403, Config),
            (404, Config),
            (413, TooLong),
            (429, Throttled),
            (500, Unavailable),
            (503, Unavailable),
        ] {
            let body = json!({ "error": { "message": "as scripted\u{7}", "code": status } });
            let error = error(protocol, json_reply(&body).with_status(status)).await;
            assert_eq!(error.kind(), kind, "{status}");
            assert_eq!(
                error.is_temporary(),
                matches!(kind, Throttled | Unavailable)
            );
            let text = error.to_string();
            assert!(
                text.contains(&status.to_string()) && text.ends_with("as scripted "),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn long_prompts_are_told_from_bad_ones() {
    let openai = json!({ "error": {
        "message": "This model's maximum context length is 8192 tokens.",
        "code": "context_length_exceeded",
    } });
    let google = json!({ "error": {
        "code": 400, "status": "INVALID_ARGUMENT",
        "message": "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
    } });
    for (protocol, body) in [(Protocol::OpenAi, openai), (Protocol::Gemini, google)] {
        let error = error(protocol, json_reply(&body).with_status(400)).await;
        assert_eq!(error.kind(), LlmErrorKind::TooLong);
        assert!(!error.is_temporary());
    }
}

#[tokio::test]
async fn a_server_says_when_to_come_back() {
    let throttled = Reply::status(429).header("Retry-After", "7");
    let error = error(Protocol::OpenAi, throttled).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn what_is_no_answer_is_told() {
    let bad = LlmErrorKind::BadResponse;
    for protocol in PROTOCOLS {
        let whole = answer(protocol, "whole").to_string();
        for reply in [
            Reply::html("<html>welcome</html>"),
            Reply::body("application/json", "{}"),
            Reply::body("application/json", whole.as_bytes()[..60].to_vec()),
            json_reply(&answer(protocol, "whole")).cut_after(60),
            Reply::body("application/json", b"\xff\xfe".to_vec()),
        ] {
            let error = error(protocol, reply).await;
            assert_eq!(error.kind(), bad, "{error}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up() {
    let endless = Reply::body("application/json", " ".repeat(64 * 1024)).endless();
    let error = error(Protocol::OpenAi, endless).await;
    assert_eq!(error.kind(), LlmErrorKind::BadResponse);
    assert!(
        error.to_string().contains("more than 16777216 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn slow_servers_are_given_up() {
    let check = async |reply: Reply| {
        let web = always(reply).await;
        let config = LlmConfig {
            timeout: Duration::from_millis(200),
            ..config(Protocol::OpenAi, &web)
        };
        let client = Client::new(config).expect("a client");
        let error = client.complete(&prompt()).await.expect_err("too slow");
        assert_eq!(error.kind(), LlmErrorKind::Unavailable);
        assert!(error.to_string().contains("longer than 200 ms"), "{error}");
    };
    check(Reply::silence()).await;
    check(Reply::text("x").silent_body()).await;
    // Something comes all the time, but never all of it.
    check(Reply::text(" ").dripping(Duration::from_millis(20))).await;
}

#[tokio::test]
async fn nobody_there() {
    let gone = FakeWeb::start().await;
    let config = config(Protocol::Gemini, &gone);
    drop(gone);
    let client = Client::new(config).expect("a client");
    let error = client.complete(&prompt()).await.expect_err("nobody");
    assert_eq!(error.kind(), LlmErrorKind::Unavailable);
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}
