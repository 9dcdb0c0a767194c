//! The store seen from outside.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the test functions themselves"
)]

mod control;
mod crawling;
mod cursors;
mod duplicates;
mod durability;
mod embedding;
mod frontier;
mod keys;
mod leases;
mod listing;
mod notes;
mod pages;
mod processes;
mod quotas;
mod rechunk;
mod records;
mod sources;
mod support;
mod tasks;
mod tenancy;
mod tenants;
mod usage;
mod webhooks;
