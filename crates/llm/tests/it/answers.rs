//! Requests as they are sent, and whole answers.

use llm::{Client, Finish, JsonMode, LlmConfig, LlmErrorKind, Protocol, Usage};
use serde_json::{Value, json};
use testkit::FakeWeb;

use crate::{PROTOCOLS, always, answer, body_of, client, config, in_json, json_reply, prompt};

#[tokio::test]
async fn both_protocols_ask_and_answer() {
    for protocol in PROTOCOLS {
        let web = always(json_reply(&answer(protocol, "I am a test."))).await;
        let client = client(protocol, &web);
        let reply = client.complete(&prompt()).await.expect("a reply");
        assert_eq!(reply.text, "I am a test.");
        let usage = Usage {
            input: 12,
            output: 5,
        };
        assert_eq!(reply.usage, Some(usage));
        assert_eq!(reply.finish, Finish::Stop);
        assert_eq!(reply.model, "test-model-7");
        assert_eq!(client.model(), "test-model");

        let log = web.log();
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].method, "POST");
        let (path, key, sent) = match protocol {
            Protocol::OpenAi => (
                "/v1/chat/completions",
                ("authorization", "Bearer key-123"),
                json!({
                    "model": "test-model",
                    "messages": [
                        { "role": "system", "content": "You are brief." },
                        { "role": "user", "content": "سلام, who are you?" },
                    ],
                    "max_tokens": 99,
                    "temperature": 0.2,
                }),
            ),
            Protocol::Gemini => (
                "/v1beta/models/test-model:generateContent",
                ("x-goog-api-key", "key-123"),
                json!({
                    "contents": [{ "role": "user", "parts": [{ "text": "سلام, who are you?" }] }],
                    "generationConfig": { "maxOutputTokens": 99, "temperature": 0.2 },
                    "systemInstruction": { "parts": [{ "text": "You are brief." }] },
                }),
            ),
        };
        assert_eq!(log[0].path, path);
        assert_eq!(log[0].header(key.0), Some(key.1));
        assert_eq!(body_of(&log[0]), sent);

        // One connection serves all that come one after another.
        client.complete(&prompt()).await.expect("a reply");
        assert_eq!(web.connections(), 1);
    }
}

#[tokio::test]
async fn json_is_asked_for_as_the_server_can() {
    let check = async |protocol, json: JsonMode, at: &str, expected: Option<Value>| {
        let web = always(json_reply(&answer(protocol, "{}"))).await;
        let config = LlmConfig {
            json,
            ..config(protocol, &web)
        };
        let client = Client::new(config).expect("a client");
        client.complete(&in_json(prompt())).await.expect("a reply");
        let sent = body_of(&web.log()[0]);
        assert_eq!(sent.pointer(at), expected.as_ref(), "{json:?}");
    };
    let (open, gemini) = (Protocol::OpenAi, Protocol::Gemini);
    let format = "/response_format";
    check(open, JsonMode::Off, format, None).await;
    let object = json!({ "type": "json_object" });
    check(open, JsonMode::Object, format, Some(object)).await;
    let strict = Some(json!(true));
    check(
        open,
        JsonMode::Schema,
        "/response_format/json_schema/strict",
        strict,
    )
    .await;
    let properties = json!({ "title": { "type": ["string", "null"] } });
    let at = "/response_format/json_schema/schema/properties";
    check(open, JsonMode::Schema, at, Some(properties)).await;

    let mime = "/generationConfig/responseMimeType";
    check(gemini, JsonMode::Off, mime, None).await;
    check(
        gemini,
        JsonMode::Object,
        mime,
        Some(json!("application/json")),
    )
    .await;
    check(
        gemini,
        JsonMode::Object,
        "/generationConfig/responseSchema",
        None,
    )
    .await;
    let schema = json!({
        "type": "object",
        "properties": { "title": { "type": "string", "nullable": true } },
        "required": ["title"],
    });
    let at = "/generationConfig/responseSchema";
    check(gemini, JsonMode::Schema, at, Some(schema)).await;
}

#[tokio::test]
async fn ends_are_told_apart() {
    let check = async |protocol, change: &dyn Fn(&mut Value), expected: Finish| {
        let mut body = answer(protocol, "x");
        change(&mut body);
        let web = always(json_reply(&body)).await;
        let reply = client(protocol, &web).complete(&prompt()).await;
        assert_eq!(reply.expect("a reply").finish, expected, "{body}");
    };
    for (reason, finish) in [
        (json!("length"), Finish::Length),
        (json!("content_filter"), Finish::Filtered),
        (json!("tool_calls"), Finish::Other),
        // All of the body is there: it is whole.
        (Value::Null, Finish::Other),
    ] {
        let change = |body: &mut Value| body["choices"][0]["finish_reason"] = reason.clone();
        check(Protocol::OpenAi, &change, finish).await;
    }
    let refuses = |body: &mut Value| {
        body["choices"][0]["message"] = json!({ "content": null, "refusal": "I will not." });
    };
    check(Protocol::OpenAi, &refuses, Finish::Filtered).await;
    for (reason, finish) in [
        ("MAX_TOKENS", Finish::Length),
        ("SAFETY", Finish::Filtered),
        ("OTHER", Finish::Other),
    ] {
        let change = |body: &mut Value| body["candidates"][0]["finishReason"] = reason.into();
        check(Protocol::Gemini, &change, finish).await;
    }
    // All was thought, nothing said.
    let thought = |body: &mut Value| {
        body["candidates"][0] = json!({ "finishReason": "MAX_TOKENS" });
    };
    check(Protocol::Gemini, &thought, Finish::Length).await;
}

#[tokio::test]
async fn a_blocked_prompt_is_refused() {
    let body = json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" } });
    let web = always(json_reply(&body)).await;
    let error = client(Protocol::Gemini, &web).complete(&prompt()).await;
    let error = error.expect_err("blocked");
    assert_eq!(error.kind(), LlmErrorKind::Refused);
    assert!(error.to_string().ends_with("PROHIBITED_CONTENT"), "{error}");
}

#[tokio::test]
async fn a_proxy_is_asked_instead() {
    let proxy = always(json_reply(&answer(Protocol::OpenAi, "by proxy"))).await;
    let config = LlmConfig {
        proxy: Some(proxy.url("")),
        // No such host: only the proxy can answer.
        base_url: "http://model.invalid".to_owned(),
        ..config(Protocol::OpenAi, &proxy)
    };
    let client = Client::new(config).expect("a client");
    let reply = client.complete(&prompt()).await.expect("a reply");
    assert_eq!(reply.text, "by proxy");
    let asked = &proxy.log()[0].path;
    assert_eq!(asked, "http://model.invalid/v1/chat/completions");
}

#[tokio::test]
async fn what_cannot_work_is_said_at_once() {
    let web = FakeWeb::start().await;
    let check = |change: &dyn Fn(&mut LlmConfig), problem: &str| {
        let mut config = config(Protocol::OpenAi, &web);
        change(&mut config);
        let error = Client::new(config).expect_err(problem);
        assert_eq!(error.kind(), LlmErrorKind::Config);
        let text = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(text.contains(problem), "{text}");
        assert!(!text.contains("hush"), "{text}");
    };
    check(&|c| c.model = " ".to_owned(), "needs a name");
    check(&|c| c.base_url = "hush".to_owned(), "not an http(s) URL");
    check(
        &|c| c.base_url = "http://u:hush@x".to_owned(),
        "user or password",
    );
    check(&|c| c.proxy = Some("socks5://hush".to_owned()), "proxy");
    check(&|c| c.timeout = std::time::Duration::ZERO, "timeouts");
    let key = llm::Secret::new("hush\n".to_owned());
    check(&move |c| c.api_key = Some(key.clone()), "API key");
    check(&|c| c.ca_file = Some("/no/such.pem".into()), "/no/such.pem");
}
