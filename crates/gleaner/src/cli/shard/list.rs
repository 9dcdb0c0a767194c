//! Showing the databases, and taking new ones in.

use anyhow::Result;
use serde::Serialize;
use store::{Access, ShardRow, Standing, Store};

use crate::app::App;
use crate::cli::output::{Exit, bytes, json_line, line, note, thousands};

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

pub fn list(app: &App) -> Result<Exit> {
    show(app, &app.open_store(Access::Read)?)
}

/// Opening the databases for writing takes new ones in.
pub fn add(app: &App) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let exit = show(app, &store)?;
    let misplaced = store.misplaced()?.len();
    if misplaced > 0 {
        note(format!(
            "{} {} elsewhere than they belong: gleaner shard rebalance",
            thousands(misplaced as u64),
            if misplaced == 1 {
                "source lies"
            } else {
                "sources lie"
            }
        ));
    }
    Ok(exit)
}

fn show(app: &App, store: &Store) -> Result<Exit> {
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
