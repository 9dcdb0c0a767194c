//! The crate through its public surface, against a scripted server and a peer.

mod answers;
mod faults;
mod peer;
mod streams;

use std::time::Duration;

use llm::{Client, JsonSchema, LlmConfig, Prompt, Protocol, Secret};
use serde_json::{Value, json};
use testkit::{FakeWeb, Reply, RequestInfo};

const PROTOCOLS: [Protocol; 2] = [Protocol::OpenAi, Protocol::Gemini];

fn config(protocol: Protocol, web: &FakeWeb) -> LlmConfig {
    LlmConfig {
        api_key: Some(Secret::new("key-123".to_owned())),
        timeout: Duration::from_secs(20),
        ..LlmConfig::new(protocol, web.url(""), "test-model")
    }
}

fn client(protocol: Protocol, web: &FakeWeb) -> Client {
    Client::new(config(protocol, web)).expect("a client")
}

fn prompt() -> Prompt {
    Prompt {
        system: "You are brief.".to_owned(),
        user: "سلام, who are you?".to_owned(),
        output_tokens_max: 99,
        temperature: 0.2,
        json: None,
    }
}

fn in_json(mut prompt: Prompt) -> Prompt {
    prompt.json = Some(JsonSchema {
        name: "answer",
        schema: json!({
            "type": "object",
            "properties": { "title": { "type": ["string", "null"] } },
            "required": ["title"],
            "additionalProperties": false,
        }),
    });
    prompt
}

/// A server that answers everything so.
async fn always(reply: Reply) -> FakeWeb {
    let web = FakeWeb::start().await;
    web.handler(move |_| reply.clone());
    web
}

fn json_reply(body: &Value) -> Reply {
    Reply::body("application/json; charset=utf-8", body.to_string())
}

/// Of a whole answer.
fn answer(protocol: Protocol, text: &str) -> Value {
    match protocol {
        Protocol::OpenAi => json!({
            "id": "x", "object": "chat.completion", "model": "test-model-7",
            "choices": [{
                "index": 0, "message": { "role": "assistant", "content": text },
                "finish_reason": "stop",
            }],
            "usage": { "prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17 },
        }),
        Protocol::Gemini => json!({
            "candidates": [{
                "content": { "role": "model", "parts": [
                    { "text": "let me think", "thought": true },
                    { "text": text },
                ] },
                "finishReason": "STOP",
            }],
            "usageMetadata": {
                "promptTokenCount": 12, "candidatesTokenCount": 3, "thoughtsTokenCount": 2,
            },
            "modelVersion": "test-model-7",
        }),
    }
}

fn body_of(request: &RequestInfo) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}
