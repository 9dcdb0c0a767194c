//! `gleaner upgrade`: the tables of the database, made or brought up to date.

use anyhow::Result;
use store::Access;

use super::output::{Exit, json_line, line};
use crate::app::App;

/// Whoever opens the database to write does the same; this does nothing else, so
/// that it can be done, or fail, before any new process is started.
pub fn run(app: &App) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let pages = store.stats()?.pages_live;
    store.close()?;
    let version = env!("CARGO_PKG_VERSION");
    if app.json {
        json_line(&serde_json::json!({"version": version, "pages_live": pages}))?;
    } else {
        line(format!(
            "The database is ready for Gleaner {version}; it has {pages} live pages."
        ))?;
    }
    Ok(Exit::Ok)
}
