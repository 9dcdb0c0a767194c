//! The store seen from outside.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the test functions themselves"
)]

mod crawling;
mod duplicates;
mod durability;
mod embedding;
mod frontier;
mod pages;
mod support;
