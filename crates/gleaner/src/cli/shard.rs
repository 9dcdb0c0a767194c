//! `gleaner shard list`: the databases that share what is stored.

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;
use store::{Access, ShardRow};

use super::output::{Exit, bytes, json_line, line, thousands};
use crate::app::App;

#[derive(Debug, Subcommand)]
pub enum ShardCommand {
    /// Show the databases that share what is stored, and how much each has
    #[command(after_help = "Example: gleaner shard list

The first one, the home, is store.database_url; the others are store.shards, or all of them are
DATABASE_URL_SHARD_0, DATABASE_URL_SHARD_1 and so on. An empty database that is named there joins when
a command that writes opens it; from then on every process has to name all of them.")]
    List,
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
            error: row.stats.err(),
        }
    }
}

pub fn run(app: &App, command: &ShardCommand) -> Result<Exit> {
    match command {
        ShardCommand::List => list(app),
    }
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
        line(format!("{}  {}", view.shard, view.place))?;
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
