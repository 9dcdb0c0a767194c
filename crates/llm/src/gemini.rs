//! Gemini's `generateContent`, and the same as a stream.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::{JsonMode, LlmConfig};
use crate::error::{LlmError, LlmErrorKind};
use crate::gathered::Gathered;
use crate::openai::{not_understood, number};
use crate::prompt::{Finish, Prompt, Usage};
use crate::refusal;

pub(crate) const DEFAULT_BASE: &str = "https://generativelanguage.googleapis.com";
pub(crate) const VERSION: &str = "v1beta";

/// `None`: no name of a model could be in a path like this.
pub(crate) fn path(model: &str, streams: bool) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let model = model.strip_prefix("models/").unwrap_or(model);
    if !model.chars().all(is_plain) || model.contains("..") {
        return None;
    }
    let folder = if model.contains('/') { "" } else { "models/" };
    let verb = if streams {
        "streamGenerateContent?alt=sse"
    } else {
        "generateContent"
    };
    Some(format!("{VERSION}/{folder}{model}:{verb}"))
}

pub(crate) fn body(config: &LlmConfig, prompt: &Prompt) -> Value {
    let mut generation = json!({ "maxOutputTokens": prompt.output_tokens_max });
    if prompt.temperature >= 0.0 {
        generation["temperature"] = number(prompt.temperature);
    }
    if let Some(json) = &prompt.json {
        if config.json != JsonMode::Off {
            generation["responseMimeType"] = "application/json".into();
        }
        if config.json == JsonMode::Schema {
            generation["responseSchema"] = schema(&json.schema);
        }
    }
    let mut body = json!({
        "contents": [{ "role": "user", "parts": [{ "text": prompt.user }] }],
        "generationConfig": generation,
    });
    if !prompt.system.is_empty() {
        body["systemInstruction"] = json!({ "parts": [{ "text": prompt.system }] });
    }
    body
}

/// In the part of OpenAPI's schemas that Gemini takes: it refuses
/// `additionalProperties` and lists of types, and says `nullable` instead.
fn schema(json: &Value) -> Value {
    let Value::Object(fields) = json else {
        return json.clone();
    };
    let mut out = Map::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("additionalProperties" | "$schema" | "title", _) => {}
            ("properties", Value::Object(properties)) => {
                let converted = properties.iter().map(|(n, v)| (n.clone(), schema(v)));
                out.insert(name.clone(), Value::Object(converted.collect()));
            }
            ("type", Value::Array(types)) => {
                let is_null = |kind: &&Value| kind.as_str() == Some("null");
                if let Some(kind) = types.iter().find(|kind| !is_null(kind)) {
                    out.insert("type".to_owned(), kind.clone());
                }
                if types.iter().any(|kind| is_null(&kind)) {
                    out.insert("nullable".to_owned(), true.into());
                }
            }
            ("items", value) => {
                out.insert(name.clone(), schema(value));
            }
            (_, value) => {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(out)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<Counted>,
    model_version: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    /// What the model thinks, not what it says.
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Counted {
    prompt_token_count: u64,
    candidates_token_count: u64,
    thoughts_token_count: u64,
}

/// Takes in a whole answer.
pub(crate) fn whole(body: &[u8], gathered: &mut Gathered) -> Result<(), LlmError> {
    let answer: Answer = serde_json::from_slice(body).map_err(not_understood)?;
    let is_empty = answer.candidates.is_empty();
    take(answer, gathered)?;
    if is_empty {
        return Err(LlmError::bad(
            "the language model's answer has no candidates",
        ));
    }
    gathered.finish.get_or_insert(Finish::Other);
    Ok(())
}

/// Takes in the data of one event.
pub(crate) fn part(data: &str, gathered: &mut Gathered) -> Result<(), LlmError> {
    take(
        serde_json::from_str(data).map_err(not_understood)?,
        gathered,
    )
}

fn take(answer: Answer, gathered: &mut Gathered) -> Result<(), LlmError> {
    if let Some(error) = answer.error.filter(|error| !error.is_null()) {
        return Err(refusal::of_body(&error));
    }
    if let Some(counted) = answer.usage_metadata {
        gathered.usage = Some(Usage {
            input: counted.prompt_token_count,
            output: counted.candidates_token_count + counted.thoughts_token_count,
        });
    }
    if gathered.model.is_none() {
        gathered.model = answer.model_version.filter(|model| !model.is_empty());
    }
    let reason = answer.prompt_feedback.and_then(|f| f.block_reason);
    if let Some(reason) = reason {
        let message = format!("the language model blocked the prompt: {}", plain(&reason));
        return Err(LlmError::new(LlmErrorKind::Refused, message));
    }
    let Some(candidate) = answer.candidates.into_iter().next() else {
        return Ok(());
    };
    let parts = candidate.content.into_iter().flat_map(|c| c.parts);
    for part in parts.filter(|part| !part.thought) {
        gathered.text.push_str(&part.text.unwrap_or_default());
    }
    if let Some(reason) = candidate.finish_reason {
        gathered.finish = Some(match reason.as_str() {
            "STOP" => Finish::Stop,
            "MAX_TOKENS" => Finish::Length,
            "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE" => {
                Finish::Filtered
            }
            _ => Finish::Other,
        });
    }
    Ok(())
}

/// A word of the server's, fit to be shown.
fn plain(word: &str) -> String {
    let shown = word.chars().filter(|c| !c.is_control());
    shown.take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_lose_what_gemini_refuses() {
        let ours = json!({
            "type": "object",
            "properties": {
                "title": { "type": "string" },
                "category": { "type": ["string", "null"] },
                "tags": { "type": "array", "items": {
                    "type": "object", "properties": { "n": { "type": "integer" } },
                    "required": ["n"], "additionalProperties": false,
                } },
            },
            "required": ["title", "category", "tags"],
            "additionalProperties": false,
        });
        let theirs = json!({
            "type": "object",
            "properties": {
                "title": { "type": "string" },
                "category": { "type": "string", "nullable": true },
                "tags": { "type": "array", "items": {
                    "type": "object", "properties": { "n": { "type": "integer" } },
                    "required": ["n"],
                } },
            },
            "required": ["title", "category", "tags"],
        });
        assert_eq!(schema(&ours), theirs);
    }

    #[test]
    fn paths() {
        let check = |model: &str, expected: Option<&str>| {
            assert_eq!(path(model, false).as_deref(), expected, "{model}");
        };
        let plain = Some("v1beta/models/gemini-2.5-flash:generateContent");
        check("gemini-2.5-flash", plain);
        check("models/gemini-2.5-flash", plain);
        check(
            "tunedModels/x-1",
            Some("v1beta/tunedModels/x-1:generateContent"),
        );
        check("a?b", None);
        check("../x", None);
    }
}
