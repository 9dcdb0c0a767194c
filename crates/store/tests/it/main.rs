//! The store seen from outside.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the test functions themselves"
)]

mod control;
mod crawling;
mod duplicates;
mod durability;
mod embedding;
mod frontier;
mod leases;
mod pages;
mod processes;
mod rechunk;
mod sources;
mod support;
mod tasks;
