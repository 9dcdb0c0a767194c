//! Answers as they are written.

use llm::{Client, Finish, LlmConfig, LlmErrorKind, Protocol, Usage};
use serde_json::{Value, json};
use testkit::{FakeWeb, Gate, Reply};

use crate::{PROTOCOLS, always, answer, body_of, client, config, json_reply, prompt};

fn events(parts: &[Value], end: &str) -> String {
    let lines = parts.iter().map(|part| format!("data: {part}\r\n\r\n"));
    lines.collect::<String>() + end
}

fn openai_part(text: &str) -> Value {
    json!({ "model": "m-7", "choices": [{ "index": 0, "delta": { "content": text } }] })
}

fn openai_stream() -> String {
    let parts = [
        json!({ "model": "m-7", "choices": [{ "delta": { "role": "assistant", "content": null } }] }),
        openai_part("سلام"),
        openai_part(" دنیا — "),
        openai_part("😀!"),
        json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] }),
        json!({ "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 4 } }),
    ];
    format!(": ping\r\n\r\n{}", events(&parts, "data: [DONE]\r\n\r\n"))
}

fn gemini_part(text: &str) -> Value {
    json!({
        "candidates": [{ "content": { "parts": [{ "text": text }] } }],
        "usageMetadata": { "promptTokenCount": 9 },
        "modelVersion": "m-7",
    })
}

fn gemini_stream() -> String {
    let last = json!({
        "candidates": [{ "content": { "parts": [{ "text": "😀!" }] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 9, "candidatesTokenCount": 4 },
    });
    events(&[gemini_part("سلام"), gemini_part(" دنیا — "), last], "")
}

fn stream(protocol: Protocol) -> String {
    match protocol {
        Protocol::OpenAi => openai_stream(),
        Protocol::Gemini => gemini_stream(),
    }
}

fn sse(body: impl Into<String>) -> Reply {
    Reply::body("text/event-stream; charset=utf-8", body.into())
}

async fn heard(client: &Client) -> (Vec<String>, Result<llm::Reply, llm::LlmError>) {
    let mut heard = Vec::new();
    let mut on_text = |text: &str| heard.push(text.to_owned());
    let result = client.stream(&prompt(), &mut on_text).await;
    (heard, result)
}

#[tokio::test]
async fn text_comes_in_parts_however_the_stream_is_cut() {
    for protocol in PROTOCOLS {
        for piece_bytes in [1, 2, 3, 7, 64, 100_000] {
            let gate = Gate::new();
            gate.open_all();
            let web = always(sse(stream(protocol)).gated(piece_bytes, &gate)).await;
            let (heard, reply) = heard(&client(protocol, &web)).await;
            let reply = reply.expect("a reply");
            assert_eq!(heard, ["سلام", " دنیا — ", "😀!"], "{piece_bytes}");
            assert_eq!(reply.text, heard.concat());
            assert_eq!((reply.finish, reply.model.as_str()), (Finish::Stop, "m-7"));
            let usage = Usage {
                input: 9,
                output: 4,
            };
            assert_eq!(reply.usage, Some(usage));

            let asked = &web.log()[0];
            match protocol {
                Protocol::OpenAi => {
                    let sent = body_of(asked);
                    assert_eq!(sent["stream"], true);
                    assert_eq!(sent["stream_options"]["include_usage"], true);
                }
                Protocol::Gemini => assert_eq!(
                    asked.path,
                    "/v1beta/models/test-model:streamGenerateContent?alt=sse"
                ),
            }
        }
    }
}

#[tokio::test]
async fn text_is_heard_before_the_answer_ends() {
    let gate = Gate::new();
    let body = openai_stream();
    let first = body.find(" دنیا").expect("there");
    let web = always(sse(body).gated(first, &gate)).await;
    let client = client(Protocol::OpenAi, &web);
    gate.open(1);
    // The rest is let through only once the first part has been heard.
    let mut heard = String::new();
    let question = prompt();
    let mut on_text = |text: &str| {
        heard.push_str(text);
        gate.open_all();
    };
    let reply = client.stream(&question, &mut on_text).await;
    assert_eq!(reply.expect("a reply").text, heard);
}

#[tokio::test]
async fn cut_streams_are_no_answers() {
    for protocol in PROTOCOLS {
        let whole = stream(protocol);
        let cut = match protocol {
            Protocol::OpenAi => whole.find("finish_reason"),
            Protocol::Gemini => whole.find("finishReason"),
        };
        let cut = cut.expect("a reason");
        let broken = sse(whole.clone()).cut_after(cut);
        // Also when the connection ends as it should.
        let ended = sse(&whole[..cut]);
        // Between two events, so that what is there is understood.
        let between = whole[..cut].rfind("data:").expect("an event");
        let short = sse(&whole[..between]);
        for (name, reply) in [("broken", broken), ("ended", ended), ("short", short)] {
            let web = always(reply).await;
            let (heard, result) = heard(&client(protocol, &web)).await;
            let error = result.expect_err(name);
            assert_eq!(error.kind(), LlmErrorKind::BadResponse, "{name}: {error}");
            assert!(error.is_temporary());
            assert_eq!(heard[0], "سلام", "{name}");
        }
    }
}

#[tokio::test]
async fn a_stream_may_end_without_its_last_words() {
    let whole = openai_stream();
    let check = async |body: String, finish: Finish, has_usage: bool| {
        let web = always(sse(body)).await;
        let (_, reply) = heard(&client(Protocol::OpenAi, &web)).await;
        let reply = reply.expect("a reply");
        assert_eq!(reply.text, "سلام دنیا — 😀!");
        assert_eq!((reply.finish, reply.usage.is_some()), (finish, has_usage));
    };
    let usage = whole.find(r#"data: {"choices":[],"usage""#).expect("there");
    check(whole[..usage].to_owned(), Finish::Stop, false).await;
    // [DONE] alone says that it is whole, too.
    let without_reason = whole.replace(r#","finish_reason":"stop""#, "");
    check(without_reason, Finish::Other, true).await;
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_heard_at_once() {
    for protocol in PROTOCOLS {
        let web = always(json_reply(&answer(protocol, "all of it"))).await;
        let (heard, reply) = heard(&client(protocol, &web)).await;
        assert_eq!(heard, ["all of it"]);
        assert_eq!(reply.expect("a reply").finish, Finish::Stop);
    }
}

#[tokio::test]
async fn errors_within_a_stream_are_told() {
    let check = async |error: Value, kind: LlmErrorKind| {
        let body = events(&[openai_part("a"), json!({ "error": error })], "");
        let web = always(sse(body)).await;
        let (heard, result) = heard(&client(Protocol::OpenAi, &web)).await;
        assert_eq!(heard, ["a"]);
        let error = result.expect_err("broken off");
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains("no more"), "{error}");
    };
    let unavailable = LlmErrorKind::Unavailable;
    check(json!({ "message": "no more", "code": 500 }), unavailable).await;
    check(json!("no more"), unavailable).await;
    let throttled = json!({ "message": "no more", "code": 429 });
    check(throttled, LlmErrorKind::Throttled).await;
}

#[tokio::test]
async fn garbage_in_a_stream_is_no_answer() {
    let web = always(sse(events(&[openai_part("a")], "data: {oops\n\n"))).await;
    let (heard, result) = heard(&client(Protocol::OpenAi, &web)).await;
    assert_eq!(heard, ["a"]);
    let error = result.expect_err("garbage");
    assert_eq!(error.kind(), LlmErrorKind::BadResponse);
}

#[tokio::test]
async fn silence_within_a_stream_ends_it() {
    let gate = Gate::new();
    gate.open(1);
    let web = always(sse(openai_stream()).gated(120, &gate)).await;
    let config = LlmConfig {
        idle_timeout: std::time::Duration::from_millis(200),
        ..config(Protocol::OpenAi, &web)
    };
    let (_, result) = heard(&Client::new(config).expect("a client")).await;
    let error = result.expect_err("silence");
    assert_eq!(error.kind(), LlmErrorKind::Unavailable);
    assert!(error.to_string().contains("silent for 200 ms"), "{error}");
}

#[tokio::test]
async fn a_stream_without_an_end_is_given_up() {
    let parts = events(&vec![openai_part(&"x".repeat(1000)); 100], "");
    let web = always(sse(parts).endless()).await;
    let (_, result) = heard(&client(Protocol::OpenAi, &web)).await;
    let error = result.expect_err("too large");
    assert_eq!(error.kind(), LlmErrorKind::BadResponse);
    assert!(
        error.to_string().contains("more than 16777216 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn a_call_that_is_dropped_closes_its_connection() {
    let gate = Gate::new();
    gate.open(1);
    let web = FakeWeb::start().await;
    let scripted = sse(openai_stream()).gated(400, &gate);
    web.handler(move |_| scripted.clone());
    let client = client(Protocol::OpenAi, &web);
    let (heard, mut was_heard) = tokio::sync::mpsc::channel(9);
    let question = prompt();
    let mut on_text = |text: &str| {
        let _ = heard.try_send(text.to_owned());
    };
    tokio::select! {
        result = client.stream(&question, &mut on_text) => panic!("ended: {result:?}"),
        first = was_heard.recv() => assert_eq!(first.as_deref(), Some("سلام")),
    }
    // What was dropped cannot be used again: the next call opens another.
    gate.open_all();
    client
        .stream(&question, &mut |_: &str| {})
        .await
        .expect("a reply");
    assert_eq!(web.connections(), 2);
}
