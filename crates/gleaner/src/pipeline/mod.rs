//! How a URL becomes searchable, one file per stage in the order of the flow.
//!
//! [`crawl`] runs it all, [`coordinator`] decides which URL is next (with `frontier`) and fetches it,
//! [`visit`] makes a page and its chunks of the response on the CPU pool,
//! [`links`] decides which discovered links are queued, [`archive`] keeps raw
//! copies where that is configured, [`mod@write`] commits
//! visits in batches, [`index`] makes committed pages searchable by keyword
//! and [`backlog`] gives chunks their vectors, which [`embedding`] asks for. All stages are joined by
//! bounded channels; full means slower, never bigger.

pub mod archive;
pub mod backlog;
mod breakers;
mod coordinator;
pub mod crawl;
pub mod embedding;
pub mod fetching;
pub mod index;
pub mod lease;
pub mod links;
pub mod pdf;
pub mod permits;
mod plan;
pub mod progress;
pub mod robots;
pub mod settings;
pub mod start;
pub mod visit;
pub mod window;
pub mod write;
