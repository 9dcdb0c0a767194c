//! `gleaner`: crawl websites into a knowledge base you can search.

#![expect(
    unreachable_pub,
    reason = "a binary has no outside: pub says what other modules use"
)]

mod api;
mod app;
mod bench;
mod cli;
mod config;
mod diff;
mod eval;
mod keys;
mod metrics;
mod operations;
mod pipeline;
mod process;
mod scheduler;
mod searching;
mod services;
mod site;
mod tasks;
mod view;
mod webhooks;

use std::process::ExitCode;

/// Extraction and indexing allocate many small strings on several threads;
/// the C library's allocator holds on to much more memory there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
