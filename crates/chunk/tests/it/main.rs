//! Through the public API only.

mod chunks;
mod properties;
mod sentences;
mod tldr;
mod tokens;
mod words;
