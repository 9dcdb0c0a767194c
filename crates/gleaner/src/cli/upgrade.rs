//! `gleaner upgrade`: the tables of the database, made or brought up to date.

use anyhow::Result;
use serde::Serialize;
use store::{Access, SchemaRow};

use super::output::{Exit, json_line, line};
use crate::app::App;

/// What was done to one database, as `--json` prints it.
#[derive(Debug, Serialize)]
struct DatabaseView {
    shard: String,
    place: String,
    /// Steps that were done now.
    done: Vec<String>,
    /// `null`, and so are the others: it does not answer.
    version: Option<u32>,
    /// Programs of this version of the database and later ones may use it.
    compatible_from: Option<u32>,
    /// Steps that wait until no older program is at work.
    waiting: Option<Vec<String>>,
    older_programs: Option<u64>,
}

impl From<SchemaRow> for DatabaseView {
    fn from(row: SchemaRow) -> DatabaseView {
        let state = row.state.as_ref();
        DatabaseView {
            shard: row.number.to_string(),
            place: row.place,
            done: row.done,
            version: state.map(|state| state.version),
            compatible_from: state.map(|state| state.compatible_from),
            waiting: state.map(|state| state.waiting.clone()),
            older_programs: state.map(|state| state.older_programs),
        }
    }
}

/// Whoever opens the database to write does the same; this does nothing else, so
/// that it can be done, or fail, before any new process is started. `contract`:
/// also what waits for the end of older programs, as housekeeping does.
pub fn run(app: &App, contract: bool) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let rows = if contract {
        store.contract()?
    } else {
        store.schema_rows()?
    };
    let databases: Vec<DatabaseView> = rows.into_iter().map(DatabaseView::from).collect();
    let pages = store.stats()?.pages_live;
    store.close()?;
    let is_left = |database: &DatabaseView| match &database.waiting {
        Some(waiting) => contract && !waiting.is_empty(),
        None => true,
    };
    let exit = if databases.iter().any(is_left) {
        Exit::Partly
    } else {
        Exit::Ok
    };
    let version = env!("CARGO_PKG_VERSION");
    if app.json {
        let view = serde_json::json!({
            "version": version, "pages_live": pages, "databases": databases,
        });
        json_line(&view)?;
        return Ok(exit);
    }
    for database in &databases {
        print(database)?;
    }
    line(match exit {
        Exit::Ok => {
            format!("The database is ready for Gleaner {version}; it has {pages} live pages.")
        }
        _ => "Not everything is done; run the same command again later.".to_owned(),
    })?;
    Ok(exit)
}

fn print(database: &DatabaseView) -> Result<()> {
    for step in &database.done {
        line(format!("done     {step} in {}", database.place))?;
    }
    let Some(waiting) = &database.waiting else {
        return line(format!("away     {} does not answer", database.place));
    };
    let why = match database.older_programs {
        Some(0) => "housekeeping, or `gleaner upgrade --contract`".to_owned(),
        Some(1) => "one process of an older version".to_owned(),
        older => format!("{} processes of an older version", older.unwrap_or(0)),
    };
    for step in waiting {
        line(format!("waiting  {step} in {}, for {why}", database.place))?;
    }
    Ok(())
}
