//! `gleaner`: crawl websites into a knowledge base you can search.

#![expect(
    unreachable_pub,
    reason = "a binary has no outside: pub says what other modules use"
)]

mod answers;
mod api;
mod app;
mod bench;
mod causes;
mod cli;
mod config;
mod diff;
mod eval;
mod keys;
mod memory;
mod metrics;
mod operations;
mod pipeline;
mod process;
mod prompting;
mod publishing;
mod random;
mod raw;
mod relay;
mod scheduler;
mod searching;
mod services;
mod site;
mod summaries;
mod tasks;
mod view;
mod webhooks;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
