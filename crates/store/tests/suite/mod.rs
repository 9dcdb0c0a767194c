//! What every engine of the store has to keep to. Each engine is a test target
//! of its own (`tests/sqlite`, `tests/postgres`, `tests/pgbouncer`, `tests/shards`) that takes
//! this whole folder and says in `engine` how a store of its own is made.

mod control;
pub(crate) mod crawling;
mod cursors;
mod duplicates;
mod embedding;
mod frontier;
mod keys;
mod leases;
mod listing;
pub(crate) mod llm_use;
mod notes;
mod pages;
mod publishing;
mod quotas;
mod raw;
mod rechunk;
mod records;
mod sources;
pub(crate) mod summaries;
pub(crate) mod support;
pub(crate) mod tasks;
mod tenancy;
mod tenants;
mod usage;
mod webhooks;
