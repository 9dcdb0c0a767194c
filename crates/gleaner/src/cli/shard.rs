//! `gleaner shard`: the databases that share what is stored.

use std::ops::ControlFlow;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use store::{
    Access, Misplaced, ShardNumber, ShardRow, SourceMove, Standing, Store, StoreError,
    StoreErrorKind,
};

use super::output::{Exit, bytes, json_line, line, note, thousands};
use super::stop;
use crate::app::App;

#[derive(Debug, Subcommand)]
pub enum ShardCommand {
    /// Show the databases that share what is stored, and how much each has
    #[command(after_help = "Example: gleaner shard list

The first one, the home, is store.database_url; the others are store.shards, or all of them are
DATABASE_URL_SHARD_0, DATABASE_URL_SHARD_1 and so on. An empty database that is named there joins when
a command that writes opens it; from then on every process has to name all of them.")]
    List,
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

/// One database, as `--json` prints it.
#[derive(Debug, Serialize)]
struct ShardView {
    shard: String,
    place: String,
    database_id: Option<String>,
    sources: u64,
    pages_live: Option<u64>,
    chunks: Option<u64>,
    chunks_pending: Option<u64>,
    bytes: Option<u64>,
    /// `active` or `draining`.
    standing: Standing,
    /// Why it could not be asked.
    error: Option<String>,
}

impl From<ShardRow> for ShardView {
    fn from(row: ShardRow) -> ShardView {
        let stats = row.stats.as_ref().ok();
        ShardView {
            shard: row.number.to_string(),
            place: row.place,
            database_id: row.database_id,
            sources: row.sources,
            pages_live: stats.map(|stats| stats.pages_live),
            chunks: stats.map(|stats| stats.chunks),
            chunks_pending: stats.map(|stats| stats.chunks_pending),
            bytes: stats.map(|stats| stats.disk_bytes),
            standing: row.standing,
            error: row.stats.err(),
        }
    }
}

pub fn run(app: &App, command: &ShardCommand) -> Result<Exit> {
    match command {
        ShardCommand::List => list(app),
        ShardCommand::Rebalance(args) => rebalance(app, args),
        ShardCommand::Drain(args) => drain(app, args),
    }
}

/// A source that lies elsewhere than it belongs, as `--json` prints it.
#[derive(Debug, Serialize)]
struct RebalancedView {
    source_id: i64,
    tenant_id: i64,
    name: String,
    from: String,
    to: String,
    /// Live pages that were still to be moved.
    pages: u64,
    /// `misplaced`, `moved`, `busy`, `refused`, `failed` or `interrupted`.
    outcome: &'static str,
    /// Why it was not moved.
    reason: Option<String>,
}

impl RebalancedView {
    fn new(misplaced: &Misplaced, outcome: &'static str, reason: Option<String>) -> RebalancedView {
        RebalancedView {
            source_id: misplaced.source.0,
            tenant_id: misplaced.tenant.0,
            name: misplaced.name.clone(),
            from: misplaced.from.to_string(),
            to: misplaced.to.to_string(),
            pages: misplaced.pages,
            outcome,
            reason,
        }
    }

    fn print(&self, app: &App) -> Result<()> {
        if app.json {
            return json_line(self);
        }
        let RebalancedView {
            source_id,
            name,
            from,
            to,
            outcome,
            ..
        } = self;
        let reason = self.reason.as_ref().map(|why| format!(": {why}"));
        line(format!(
            "source {source_id} ({name}), {} live pages, from shard {from} to {to}: {outcome}{}",
            thousands(self.pages),
            reason.unwrap_or_default()
        ))
    }
}

fn rebalance(app: &App, args: &RebalanceArgs) -> Result<Exit> {
    let access = if args.dry_run {
        Access::Read
    } else {
        Access::Write
    };
    let store = app.open_store(access)?;
    let misplaced = store.misplaced()?;
    if misplaced.is_empty() && !app.json {
        line("nothing to move")?;
    }
    let limit = args.limit.unwrap_or(usize::MAX);
    if args.dry_run {
        for misplaced in misplaced.iter().take(limit) {
            RebalancedView::new(misplaced, "misplaced", None).print(app)?;
        }
        return Ok(Exit::Ok);
    }
    move_all(app, &store, &misplaced, limit)
}

fn drain(app: &App, args: &DrainArgs) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let number = ShardNumber::new(args.shard);
    store.set_draining(number, !args.cancel)?;
    let told = |outcome: &str, reason: Option<&str>, text: String| -> Result<()> {
        if app.json {
            return json_line(&serde_json::json!({
                "shard": number.to_string(), "outcome": outcome, "reason": reason,
            }));
        }
        line(text)
    };
    if args.cancel {
        told(
            "active",
            None,
            format!("shard {number} gets new sources again"),
        )?;
        return Ok(Exit::Ok);
    }
    let mut leaving = store.misplaced()?;
    leaving.retain(|misplaced| misplaced.from == number);
    let limit = args.limit.unwrap_or(usize::MAX);
    let moved = move_all(app, &store, &leaving, limit)?;
    match store.take_away(number)? {
        None => {
            told(
                "left",
                None,
                format!(
                    "shard {number} is taken away: take it out of store.shards, then start every \
                     process again"
                ),
            )?;
            Ok(moved)
        }
        Some(why) => {
            told(
                "draining",
                Some(&why),
                format!("shard {number} is still needed, it has {why}; then run this again"),
            )?;
            Ok(Exit::Partly)
        }
    }
}

/// Moves sources, at most `limit` of them, and says of each what came of it.
fn move_all(app: &App, store: &Store, misplaced: &[Misplaced], limit: usize) -> Result<Exit> {
    let mut exit = Exit::Ok;
    let stopped = stop::on_ctrl_c()?;
    let mut moved = 0;
    for misplaced in misplaced {
        if moved == limit {
            break;
        }
        let ended = match move_one(app, store, misplaced, &|| *stopped.borrow()) {
            // What is wrong with one source keeps no other from being moved.
            Err(error) if error.kind() == StoreErrorKind::Conflict => Err(error),
            ended => Ok(ended?),
        };
        let (outcome, reason) = match ended {
            Err(error) => ("failed", Some(error.to_string())),
            Ok(ended) => match ended {
                SourceMove::Moved { .. } => {
                    moved += 1;
                    ("moved", None)
                }
                SourceMove::Busy(why) => ("busy", Some(why)),
                SourceMove::Refused(why) => ("refused", Some(why)),
                SourceMove::Interrupted => {
                    let why = "it is held until the same command is run again";
                    ("interrupted", Some(why.to_owned()))
                }
            },
        };
        if reason.is_some() {
            exit = Exit::Partly;
        }
        RebalancedView::new(misplaced, outcome, reason).print(app)?;
        if outcome == "interrupted" {
            break;
        }
    }
    Ok(exit)
}

fn move_one(
    app: &App,
    store: &Store,
    misplaced: &Misplaced,
    is_stopped: &dyn Fn() -> bool,
) -> Result<SourceMove, StoreError> {
    let mut told = 0;
    store.move_source(misplaced.source, misplaced.to, &mut |progress| {
        // A step takes a fraction of a second; people hear of each thousand pages.
        if !app.json && progress.pages / 1_000 > told {
            told = progress.pages / 1_000;
            note(format!(
                "source {}: {} pages moved",
                misplaced.source,
                thousands(progress.pages)
            ));
        }
        if is_stopped() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
}

fn list(app: &App) -> Result<Exit> {
    let store = app.open_store(Access::Read)?;
    let mut exit = Exit::Ok;
    for row in store.shard_rows() {
        let view = ShardView::from(row);
        if view.error.is_some() {
            exit = Exit::Partly;
        }
        if app.json {
            json_line(&view)?;
            continue;
        }
        let standing = match view.standing {
            Standing::Draining => ", draining",
            Standing::Active | Standing::Left => "",
        };
        line(format!("{}  {}{standing}", view.shard, view.place))?;
        line(match (view.pages_live, view.chunks, view.bytes) {
            (Some(pages), Some(chunks), Some(size)) => format!(
                "   {} sources, {} live pages, {} chunks, {}",
                thousands(view.sources),
                thousands(pages),
                thousands(chunks),
                bytes(size)
            ),
            _ => format!("   {}", view.error.unwrap_or_default()),
        })?;
    }
    Ok(exit)
}
