//! Through the public API only.

mod chunks;
mod extractive;
mod properties;
mod sentences;
mod tldr;
mod tokens;
mod words;
