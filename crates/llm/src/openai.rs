//! Chat completions as OpenAI defined them and others speak them.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{JsonMode, LlmConfig};
use crate::error::LlmError;
use crate::gathered::Gathered;
use crate::prompt::{Finish, Prompt, Usage};
use crate::refusal;

pub(crate) const DEFAULT_BASE: &str = "https://api.openai.com";
pub(crate) const VERSION: &str = "v1";
pub(crate) const PATH: &str = "v1/chat/completions";

/// Ends a stream, as data of an event of its own.
const DONE: &str = "[DONE]";

/// `is_openai`: OpenAI's newer models take `max_completion_tokens` alone, which
/// not all other servers know.
pub(crate) fn body(config: &LlmConfig, prompt: &Prompt, streams: bool, is_openai: bool) -> Value {
    let mut messages = Vec::new();
    if !prompt.system.is_empty() {
        messages.push(json!({ "role": "system", "content": prompt.system }));
    }
    messages.push(json!({ "role": "user", "content": prompt.user }));
    let limit = if is_openai {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    let mut body = json!({ "model": config.model, "messages": messages });
    body[limit] = prompt.output_tokens_max.into();
    if prompt.temperature >= 0.0 {
        body["temperature"] = number(prompt.temperature);
    }
    match (&prompt.json, config.json) {
        (Some(json), JsonMode::Schema) => {
            body["response_format"] = json!({
                "type": "json_schema",
                "json_schema": { "name": json.name, "strict": true, "schema": json.schema },
            });
        }
        (Some(_), JsonMode::Object) => body["response_format"] = json!({ "type": "json_object" }),
        (Some(_), JsonMode::Off) | (None, _) => {}
    }
    if streams {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    body
}

/// 0.2 as 0.2, which its nearest double is not.
pub(crate) fn number(value: f32) -> Value {
    let rounded = (f64::from(value) * 1000.0).round() / 1000.0;
    rounded.into()
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Counted>,
    model: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    /// Of a whole answer.
    message: Option<Message>,
    /// Of a part of one.
    delta: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    /// Why there is no content, in the model's words.
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// Takes in a whole answer.
pub(crate) fn whole(body: &[u8], gathered: &mut Gathered) -> Result<(), LlmError> {
    let answer: Answer = serde_json::from_slice(body).map_err(not_understood)?;
    if answer.error.is_none() && answer.choices.is_empty() {
        return Err(LlmError::bad("the language model's answer has no choices"));
    }
    take(answer, gathered)?;
    // That all is there is known here by the length of the body.
    gathered.finish.get_or_insert(Finish::Other);
    Ok(())
}

/// Takes in the data of one event.
pub(crate) fn part(data: &str, gathered: &mut Gathered) -> Result<(), LlmError> {
    if data.trim() == DONE {
        gathered.finish.get_or_insert(Finish::Other);
        return Ok(());
    }
    take(
        serde_json::from_str(data).map_err(not_understood)?,
        gathered,
    )
}

fn take(answer: Answer, gathered: &mut Gathered) -> Result<(), LlmError> {
    if let Some(error) = answer.error.filter(|error| !error.is_null()) {
        return Err(refusal::of_body(&error));
    }
    if let Some(counted) = answer.usage {
        gathered.usage = Some(Usage {
            input: counted.prompt_tokens,
            output: counted.completion_tokens,
        });
    }
    if gathered.model.is_none() {
        gathered.model = answer.model.filter(|model| !model.is_empty());
    }
    let Some(choice) = answer.choices.into_iter().next() else {
        return Ok(());
    };
    if let Some(message) = choice.message.or(choice.delta) {
        gathered.text.push_str(&message.content.unwrap_or_default());
        if message.refusal.is_some() {
            gathered.finish = Some(Finish::Filtered);
        }
    }
    if let Some(reason) = choice.finish_reason {
        let finish = match reason.as_str() {
            "stop" => Finish::Stop,
            "length" => Finish::Length,
            "content_filter" => Finish::Filtered,
            _ => Finish::Other,
        };
        // A refusal ends with "stop", too.
        gathered.finish.get_or_insert(finish);
    }
    Ok(())
}

pub(crate) fn not_understood(error: serde_json::Error) -> LlmError {
    LlmError::bad("the language model's answer is not understood").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Protocol;
    use crate::prompt::JsonSchema;

    #[test]
    fn bodies() {
        let check = |json: JsonMode, is_openai: bool, expected: Value| {
            let config = LlmConfig {
                json,
                ..LlmConfig::new(Protocol::OpenAi, "", "m")
            };
            let prompt = Prompt {
                system: String::new(),
                user: "u".to_owned(),
                output_tokens_max: 7,
                temperature: if is_openai { -1.0 } else { 0.2 },
                json: Some(JsonSchema {
                    name: "x",
                    schema: json!({ "type": "object" }),
                }),
            };
            assert_eq!(body(&config, &prompt, false, is_openai), expected);
        };
        let messages = json!([{ "role": "user", "content": "u" }]);
        check(
            JsonMode::Off,
            false,
            json!({ "model": "m", "messages": messages, "max_tokens": 7, "temperature": 0.2 }),
        );
        check(
            JsonMode::Object,
            true,
            json!({
                "model": "m", "messages": messages, "max_completion_tokens": 7,
                "response_format": { "type": "json_object" },
            }),
        );
        check(
            JsonMode::Schema,
            true,
            json!({
                "model": "m", "messages": messages, "max_completion_tokens": 7,
                "response_format": { "type": "json_schema", "json_schema": {
                    "name": "x", "strict": true, "schema": { "type": "object" },
                } },
            }),
        );
    }
}
