//! The crate through its public API, over a store in memory.

#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod analyzer;
mod filters;
mod fusion;
mod index;
mod opensearch;
mod postgres;
mod records;
mod servers;
mod snippets;
mod support;
mod tenants;
mod vectors;
mod words;
