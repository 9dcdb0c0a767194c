//! Measurements of one part of Gleaner each, for people who want to know how
//! fast it is on their machine and which part to blame.
//!
//! Every command says what it ran on and takes its figures from the code that
//! crawls and searches use. Medians over runs are of runs that happened, never
//! stitched together from several.

mod crawl;
mod crawl_report;
mod embed;
mod extract;
mod queue;
mod search;
mod tenants;

mod site;

pub mod report;

use anyhow::Result;

use crate::app::App;
use crate::cli::output::Exit;
use crate::cli::{BenchCommand, GlobalArgs};

pub fn run(app: &App, global: &GlobalArgs, command: &BenchCommand) -> Result<Exit> {
    match command {
        BenchCommand::Crawl(args) => crawl::run(app, args),
        BenchCommand::Extract { dir } => extract::run(app, dir),
        BenchCommand::Embed { seconds } => embed::run(app, *seconds),
        BenchCommand::Queue(args) => queue::run(app, args),
        BenchCommand::Search(args) => search::run(app, args),
        BenchCommand::Tenants(args) => tenants::run(app, global, args),
    }
}
