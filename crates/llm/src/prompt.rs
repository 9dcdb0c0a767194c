//! What is asked, and what comes back.

use serde_json::Value;

/// One question to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// What the model is to be and do; empty: nothing is said.
    pub system: String,
    pub user: String,
    pub output_tokens_max: u32,
    /// Below 0: not sent, for models that refuse any.
    pub temperature: f32,
    /// The answer is to be JSON, as far as the server can be made to.
    pub json: Option<JsonSchema>,
}

/// A JSON Schema in what both protocols understand: objects that list all their
/// properties as required and allow no others, arrays, strings, numbers,
/// booleans, enums, and `["string", "null"]` for what may be absent.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonSchema {
    /// Letters, digits, `_` and `-`.
    pub name: &'static str,
    pub schema: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub text: String,
    /// As the server counted; `None` where it said nothing.
    pub usage: Option<Usage>,
    pub finish: Finish,
    /// As the server calls it, else as configured.
    pub model: String,
}

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    /// What the model thought without saying it is part of it: it is paid for.
    pub output: u64,
}

/// Why the text ends where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Stop,
    /// At `output_tokens_max`, or at the end of the context.
    Length,
    /// The server keeps the rest, or all of it, back.
    Filtered,
    Other,
}
