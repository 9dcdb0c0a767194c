//! `gleaner shard`: the databases that share what is stored.

mod list;
mod moving;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::output::Exit;
use crate::app::App;

#[derive(Debug, Subcommand)]
pub enum ShardCommand {
    /// Show the databases that share what is stored, and how much each has
    #[command(after_help = "Example: gleaner shard list

The first one, the home, is store.database_url; the others are store.shards, or all of them are
DATABASE_URL_SHARD_0, DATABASE_URL_SHARD_1 and so on.")]
    List,
    /// Take in empty databases that were named since
    #[command(
        after_help = "Example: DATABASE_URL_SHARD_2=postgres://… gleaner shard add

Name the empty database in store.shards first, or number it. From then on every process has to name all of
them. New sources go there by themselves; `gleaner shard rebalance` moves those of before."
    )]
    Add,
    /// Move sources to the databases where they belong, after one was added
    #[command(after_help = "Example: gleaner shard rebalance

Everything goes on meanwhile. The source that is just being moved is held: it is not crawled, edited or
noted on. One that is being crawled, or has a crawl queued, stays for the next time (exit code 3).
Interrupted at any point, it goes on when it is run again.")]
    Rebalance(RebalanceArgs),
    /// Move everything out of a database, then take it away
    #[command(after_help = "Example: gleaner shard drain 2

Everything goes on meanwhile. From now on the database gets no new sources, and its own move to the others,
as in `rebalance`. When nothing is left that is needed it is taken away: take it out of store.shards then, and
start every process again. Until that is so (exit code 3) run it again. The home cannot be drained.")]
    Drain(DrainArgs),
}

#[derive(Debug, Args)]
pub struct RebalanceArgs {
    /// Only say what would be moved
    #[arg(long)]
    pub dry_run: bool,
    /// Move at most so many sources
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Number of the database, as `gleaner shard list` shows it
    pub shard: u16,
    /// Give it new sources again instead; what has gone stays where it is
    #[arg(long, conflicts_with = "limit")]
    pub cancel: bool,
    /// Move at most so many sources
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

pub fn run(app: &App, command: &ShardCommand) -> Result<Exit> {
    match command {
        ShardCommand::List => list::list(app),
        ShardCommand::Add => list::add(app),
        ShardCommand::Rebalance(args) => moving::rebalance(app, args),
        ShardCommand::Drain(args) => moving::drain(app, args),
    }
}
