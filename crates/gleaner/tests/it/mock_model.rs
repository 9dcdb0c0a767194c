//! A language model that says what a test wants, by the OpenAI protocol.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use testkit::{FakeWeb, Gate, Reply};

/// Of a stream that is gated: some words of the answer.
const PIECE_BYTES: usize = 4096;

/// What a model was told.
#[derive(Clone, Debug)]
pub struct Told {
    pub system: String,
    pub user: String,
}

impl Told {
    /// What the marks around the sources hold.
    pub fn fence(&self) -> String {
        let mark = self.user.split("<source-").nth(1).expect("a mark");
        mark.split('>').next().expect("its end").to_owned()
    }

    /// The number of the first source that says so.
    pub fn source_that_says(&self, text: &str) -> Option<usize> {
        let begin = format!("<source-{} number=\"", self.fence());
        let sources = self.user.split(&begin).skip(1);
        let found = sources.into_iter().find(|source| {
            let source = source.split("</source-").next().unwrap_or_default();
            source.contains(text)
        })?;
        found.split('"').next()?.parse().ok()
    }
}

/// What it says.
#[derive(Clone, Debug)]
pub struct Said {
    status: u16,
    text: String,
    finish: &'static str,
    /// What comes after its first words waits for it.
    gate: Option<Gate>,
}

impl Said {
    pub fn text(text: &str) -> Said {
        Said {
            status: 200,
            text: text.to_owned(),
            finish: "stop",
            gate: None,
        }
    }

    pub fn status(status: u16) -> Said {
        Said {
            status,
            ..Said::text("no")
        }
    }

    pub fn cut_off(mut self) -> Said {
        self.finish = "length";
        self
    }

    /// Streams no faster than the gate lets a few words through.
    pub fn gated(mut self, gate: &Gate) -> Said {
        self.gate = Some(gate.clone());
        self
    }

    fn reply(&self, streams: bool) -> Reply {
        if self.status != 200 {
            let error = json!({"error": {"message": self.text, "type": "invalid_request_error"}});
            return Reply::body("application/json", error.to_string()).with_status(self.status);
        }
        let usage = json!({"prompt_tokens": 321, "completion_tokens": 12, "total_tokens": 333});
        if !streams {
            let reply = json!({"id": "1", "object": "chat.completion", "model": "mock", "usage": usage,
                "choices": [{"index": 0, "finish_reason": self.finish,
                    "message": {"role": "assistant", "content": self.text}}]});
            return Reply::body("application/json", reply.to_string());
        }
        let chunk = |delta: Value, finish: Value, usage: Value| {
            let chunk = json!({"id": "1", "object": "chat.completion.chunk", "model": "mock", "usage": usage,
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
            format!("data: {chunk}\n\n")
        };
        // In pieces that cut marks and links in two.
        let chars: Vec<char> = self.text.chars().collect();
        let pieces = chars.chunks(3).map(|piece| {
            let piece: String = piece.iter().collect();
            chunk(json!({"content": piece}), Value::Null, Value::Null)
        });
        let mut body: String = pieces.collect();
        body.push_str(&chunk(json!({}), json!(self.finish), usage));
        body.push_str("data: [DONE]\n\n");
        let reply = Reply::body("text/event-stream", body);
        match &self.gate {
            None => reply,
            Some(gate) => reply.gated(PIECE_BYTES, gate),
        }
    }
}

pub struct MockModel {
    /// Answers as long as this lives.
    _web: FakeWeb,
    url: String,
    prompts: Arc<Mutex<Vec<Told>>>,
}

impl MockModel {
    pub fn start(answer: impl Fn(&Told) -> Said + Send + Sync + 'static) -> MockModel {
        let web = FakeWeb::start_blocking();
        let prompts: Arc<Mutex<Vec<Told>>> = Arc::default();
        let heard = prompts.clone();
        web.handler(move |request| {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            let said = |role: &str| {
                let messages = body["messages"].as_array().expect("messages");
                let message = messages.iter().find(|message| message["role"] == role);
                let content = message.and_then(|message| message["content"].as_str());
                content.unwrap_or_default().to_owned()
            };
            let told = Told {
                system: said("system"),
                user: said("user"),
            };
            assert!(
                told.system.contains("never instructions"),
                "{}",
                told.system
            );
            heard.lock().expect("prompts").push(told.clone());
            answer(&told).reply(body["stream"] == true)
        });
        MockModel {
            url: web.url("/v1"),
            _web: web,
            prompts,
        }
    }

    /// Settings with which it is asked.
    pub fn env(&self) -> Vec<(&str, &str)> {
        vec![
            ("GLEANER__LLM__PROVIDER", "openai"),
            ("GLEANER__LLM__BASE_URL", &self.url),
            ("GLEANER__LLM__MODEL", "mock"),
            ("GLEANER__LLM__RETRY_MS", "1,1"),
        ]
    }

    /// All that it was told so far.
    pub fn prompts(&self) -> Vec<Told> {
        self.prompts.lock().expect("prompts").clone()
    }
}
