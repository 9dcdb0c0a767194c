//! What an answer that is none means: by its status, and by what it says.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::error::{LlmError, LlmErrorKind};

/// Of the server's own words, so many letters are shown.
const HINT_CHARS_MAX: usize = 300;

/// How OpenAI, vLLM, llama.cpp's server, Ollama and Gemini say that a prompt is
/// too long, in code or message.
const TOO_LONG: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "context size",
    "context length",
    "context window",
    "exceeds the maximum number of tokens",
    "input is too long",
    "prompt is too long",
];
/// What no waiting helps against, whatever the status.
const ACCOUNT: &[&str] = &["insufficient_quota", "api_key_invalid", "api key not valid"];

/// An answer with a status that is no success.
pub(crate) fn of_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> LlmError {
    let text = String::from_utf8_lossy(body);
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let error = json.as_ref().map(error_of);
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let kind = match status.as_u16() {
        _ if says(ACCOUNT) => LlmErrorKind::Config,
        400 | 413 | 422 | 500 if says(TOO_LONG) => LlmErrorKind::TooLong,
        413 => LlmErrorKind::TooLong,
        300..=399 | 401..=405 => LlmErrorKind::Config,
        408 | 409 | 425 => LlmErrorKind::Unavailable,
        429 => LlmErrorKind::Throttled,
        500..=599 => LlmErrorKind::Unavailable,
        _ => LlmErrorKind::Refused,
    };
    let hint = match error.and_then(|error| error["message"].as_str().or(error.as_str())) {
        Some(message) => shown(message),
        None => shown(&text),
    };
    let colon = if hint.is_empty() { "" } else { ": " };
    let after = retry_after(headers).or_else(|| json.as_ref().and_then(retry_delay));
    LlmError::new(
        kind,
        format!("the language model answered {status}{colon}{hint}"),
    )
    .with_retry_after(after)
}

/// An error within an answer that began well, as streams have them.
pub(crate) fn of_body(error: &Value) -> LlmError {
    let error = error_of(error);
    let message = error["message"].as_str().or(error.as_str());
    let hint = message.map_or_else(|| shown(&error.to_string()), shown);
    let lower = error.to_string().to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let code = match &error["code"] {
        Value::String(code) => code.parse().ok(),
        code => code.as_u64(),
    };
    let kind = match code {
        _ if says(ACCOUNT) => LlmErrorKind::Config,
        _ if says(TOO_LONG) => LlmErrorKind::TooLong,
        Some(429) => LlmErrorKind::Throttled,
        Some(400..=499) => LlmErrorKind::Refused,
        _ => LlmErrorKind::Unavailable,
    };
    LlmError::new(kind, format!("the language model broke off: {hint}"))
}

/// `{"error": …}`, a list with such an entry (Gemini's streams), or itself.
fn error_of(json: &Value) -> &Value {
    let json = json.get(0).unwrap_or(json);
    json.get("error").unwrap_or(json)
}

fn shown(text: &str) -> String {
    let plain = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    plain.take(HINT_CHARS_MAX).collect()
}

/// Seconds, or a date: by the server's own clock, which it sends along.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

/// `RetryInfo` of Google's errors: `"retryDelay": "17s"`.
fn retry_delay(json: &Value) -> Option<Duration> {
    let details = error_of(json)["details"].as_array()?;
    let delay = details.iter().find_map(|d| d["retryDelay"].as_str())?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_words() {
        let check = |status: u16, body: &str, kind: LlmErrorKind| {
            let status = StatusCode::from_u16(status).expect("a status");
            let error = of_status(status, &HeaderMap::new(), body.as_bytes());
            assert_eq!(error.kind(), kind, "{status} {body}");
        };
        use LlmErrorKind::{Config, Refused, Throttled, TooLong, Unavailable};
        check(
            401,
            r#"{"error":{"message":"Incorrect API key provided"}}"#,
            Config,
        );
        check(404, r#"{"error":"model 'x' not found"}"#, Config);
        check(302, "", Config);
        check(429, "", Throttled);
        check(429, r#"{"error":{"code":"insufficient_quota"}}"#, Config);
        check(
            400,
            r#"{"error":{"code":"context_length_exceeded"}}"#,
            TooLong,
        );
        check(
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
            TooLong,
        );
        check(
            400,
            r#"{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8)."}}"#,
            TooLong,
        );
        check(400, r#"{"error":{"message":"bad schema"}}"#, Refused);
        check(
            400,
            r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key."}}"#,
            Config,
        );
        check(503, "overloaded", Unavailable);
    }

    #[test]
    fn waits_that_servers_ask_for() {
        let check = |headers: &[(&str, &str)], body: &str, expected: Option<u64>| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                let name = reqwest::header::HeaderName::from_bytes(name.as_bytes());
                map.insert(name.expect("a name"), value.parse().expect("a value"));
            }
            let error = of_status(StatusCode::TOO_MANY_REQUESTS, &map, body.as_bytes());
            assert_eq!(error.retry_after().map(|wait| wait.as_secs()), expected);
        };
        check(&[("retry-after", "7")], "", Some(7));
        let now = ("date", "Mon, 23 Nov 2026 07:00:00 GMT");
        let later = ("retry-after", "Mon, 23 Nov 2026 07:00:30 GMT");
        check(&[now, later], "", Some(30));
        check(&[later], "", None);
        let body = r#"{"error":{"code":429,"details":[{"@type":"x"},{"retryDelay":"17s"}]}}"#;
        check(&[], body, Some(17));
        check(&[("retry-after", "soon")], "", None);
    }
}
