//! `gleaner reindex`: the keyword index anew from the database.

use std::time::Instant;

use anyhow::Result;
use search::engine::Follower;
use store::Access;

use super::output::{Exit, json_line, line, thousands};
use crate::app::App;

pub fn run(app: &App) -> Result<Exit> {
    let store = app.open_store(Access::WriteAlone)?;
    let start = Instant::now();
    let mut index = Follower::new(app.keyword_engine(&store)?.open_writer()?);
    let report = index.rebuild(&store)?;
    index.close()?;
    let seconds = start.elapsed().as_secs_f64();
    if app.json {
        json_line(
            &serde_json::json!({"pages": report.pages, "duration_ms": (seconds * 1000.0) as u64}),
        )?;
    } else {
        line(format!(
            "Indexed {} pages in {seconds:.1} s",
            thousands(report.pages as u64)
        ))?;
    }
    store.close()?;
    Ok(Exit::Ok)
}
