//! The crate through its public API, over a store in memory.

mod analyzer;
mod filters;
mod fusion;
mod index;
mod snippets;
mod support;
mod vectors;
mod words;
