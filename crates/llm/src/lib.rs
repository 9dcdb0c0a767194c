//! One request to a language model: OpenAI-compatible chat, or Gemini.
//!
//! A [`Client`] sends a [`Prompt`] and gives back a [`Reply`], whole or while
//! it is being written, within limits of time and size. It deliberately does
//! not retry, limit, count or store anything, and knows nothing of pages: the
//! caller governs what is asked how often. It reads no environment.
//!
//! Start at [`Client`]; `openai` and `gemini` hold what differs between the two
//! protocols, `sse` the format that both stream in.

mod client;
mod config;
mod error;
mod gathered;
mod gemini;
mod openai;
mod prompt;
mod refusal;
mod sse;

pub use client::Client;
pub use config::{JsonMode, LlmConfig, Protocol};
pub use error::{LlmError, LlmErrorKind};
pub use prompt::{Finish, JsonSchema, Prompt, Reply, Usage};
pub use types::Secret;
