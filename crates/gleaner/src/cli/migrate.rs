//! `gleaner migrate`: a whole database to another place, of whichever engine.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde::Serialize;
use store::{
    Access, Move, MoveDestination, MoveProgress, MoveStage, MovedTable, Place, Selection, Store,
    StoreError, TableSize,
};

use super::data_args::MigrateArgs;
use super::live::{eta, style};
use super::output::{Exit, bytes, json_line, line, note, thousands};
use super::stop;
use crate::app::{App, UsageError};

const SERVER_SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// What a data folder has beside its database, derived from it.
const DERIVED: [&str; 2] = ["index", "cache.db"];

pub fn run(app: &App, args: &MigrateArgs) -> Result<Exit> {
    let (from, to) = (place("--from", &args.from)?, place("--to", &args.to)?);
    check_apart(&from, &to)?;
    let look = to.look(&app.store_options(is_embedded(&to)), app.clock.clone())?;
    check_leftovers(&to, &look)?;
    if args.dry_run {
        return dry_run(app, &from, &look, describe(&to));
    }
    if look == MoveDestination::Occupied {
        bail!(
            "{} is not empty; name a new folder or an empty database",
            describe(&to)
        );
    }
    let stopped = stop::on_ctrl_c()?;
    let start = Instant::now();
    // First, so that nothing is made for a source that cannot be had.
    let source = from.open_source(&app.store_options(is_embedded(&from)), app.clock.clone())?;
    let target = to.open_destination(&app.store_options(is_embedded(&to)), app.clock.clone())?;
    let places = Places {
        from: source.place(),
        to: target.place(),
    };
    let mut moving = Move::begin(source, target.clone())?;
    let rows_before = moving.rows_before();
    if rows_before > 0 && !app.json {
        note(format!(
            "going on behind {} rows that are there already",
            thousands(rows_before)
        ));
    }
    let bar = bar(!app.json);
    let mut last = None;
    let moved = moving.run(&mut |progress| {
        draw(&bar, progress, rows_before, start.elapsed());
        last = Some(progress.clone());
        if *stopped.borrow() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    bar.finish_and_clear();
    let sizes = moving.table_sizes().to_vec();
    let moved = moved?;
    drop(moving);
    target.close()?;
    match moved {
        Some(tables) => {
            let moved = Moved::new(places, rows_before, &sizes, &tables, start.elapsed());
            moved.show(app, &to)?;
            Ok(Exit::Ok)
        }
        None => {
            interrupted(app, places, last)?;
            Ok(Exit::Partly)
        }
    }
}

/// `env:NAME` keeps a password out of the list of processes.
fn place(flag: &str, typed: &str) -> Result<Place> {
    let text = match typed.strip_prefix("env:") {
        Some(name) => std::env::var(name).map_err(|_| {
            UsageError(format!(
                "{flag}: there is no variable {name} in the environment"
            ))
        })?,
        None => typed.to_owned(),
    };
    if SERVER_SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(Place::Server(text));
    }
    if text.is_empty() || text.contains("://") {
        // Without what was typed: it may hold a password.
        let message = format!(
            "{flag} is a data folder, or a URL such as postgres://user:password@host:5432/database"
        );
        return Err(UsageError(message).into());
    }
    Ok(Place::Directory(PathBuf::from(text)))
}

fn is_embedded(place: &Place) -> bool {
    matches!(place, Place::Directory(_))
}

/// For people; a server's URL is not shown, as it may hold a password.
fn describe(place: &Place) -> String {
    match place {
        Place::Directory(dir) => dir.display().to_string(),
        Place::Server(_) => "the server's database".to_owned(),
    }
}

fn check_apart(from: &Place, to: &Place) -> Result<()> {
    let is_same = match (from, to) {
        (Place::Directory(from), Place::Directory(to)) => {
            from == to
                || matches!((from.canonicalize(), to.canonicalize()), (Ok(a), Ok(b)) if a == b)
        }
        (Place::Server(from), Place::Server(to)) => from == to,
        _ => false,
    };
    if is_same {
        return Err(UsageError("--from and --to are the same database".to_owned()).into());
    }
    Ok(())
}

/// An index that was made of another database would be taken for that of this one.
fn check_leftovers(to: &Place, look: &MoveDestination) -> Result<()> {
    let (Place::Directory(dir), MoveDestination::Empty) = (to, look) else {
        return Ok(());
    };
    let left = DERIVED.iter().map(|name| dir.join(name));
    match left.into_iter().find(|path| path.exists()) {
        Some(path) => Err(UsageError(format!(
            "{} belongs to a database that is gone; name a new folder, or remove it first",
            path.display()
        ))
        .into()),
        None => Ok(()),
    }
}

#[derive(Serialize)]
struct Places {
    from: String,
    to: String,
}

#[derive(Serialize)]
struct TableLine {
    table: &'static str,
    rows: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

impl From<&TableSize> for TableLine {
    fn from(size: &TableSize) -> TableLine {
        TableLine {
            table: size.table,
            rows: size.rows,
            bytes: size.bytes,
            checksum: None,
        }
    }
}

fn dry_run(app: &App, from: &Place, look: &MoveDestination, to: String) -> Result<Exit> {
    let options = app.store_options(is_embedded(from));
    let source: Result<Store, StoreError> = match from {
        Place::Directory(dir) => Store::open(dir, Access::Read, &options, app.clock.clone()),
        Place::Server(url) => Store::open_server(url, Access::Read, &options, app.clock.clone()),
    };
    let source = source?;
    let others = source.others_alive()?;
    let sizes = source.table_sizes(Selection::Everything)?;
    let (rows, size) = totals(&sizes);
    let (state, can_move) = match look {
        MoveDestination::Empty => ("empty", true),
        MoveDestination::Unfinished { .. } => ("unfinished", true),
        MoveDestination::Occupied => ("occupied", false),
    };
    let is_ready = can_move && others == 0;
    if app.json {
        let tables: Vec<TableLine> = sizes.iter().map(TableLine::from).collect();
        json_line(&serde_json::json!({
            "status": "dry_run", "from": source.place(), "to": to, "destination": state,
            "source_open_elsewhere": others > 0, "ready": is_ready,
            "rows": rows, "bytes": size, "tables": tables,
        }))?;
    } else {
        for size in sizes.iter().filter(|size| size.rows > 0) {
            line(format!(
                "{:<20} {:>14} rows {:>12}",
                size.table,
                thousands(size.rows),
                bytes(size.bytes)
            ))?;
        }
        line(format!(
            "{} rows, {}, would be moved from {}",
            thousands(rows),
            bytes(size),
            source.place()
        ))?;
        line(match look {
            MoveDestination::Empty => format!("to {to}, which is empty"),
            MoveDestination::Unfinished { from } => {
                format!("to {to}, where an unfinished move from {from} would go on")
            }
            MoveDestination::Occupied => {
                format!("NOT to {to}: it is not empty; name a new folder or an empty database")
            }
        })?;
        if others > 0 {
            line("Other processes have the source open: stop them first")?;
        }
    }
    Ok(if is_ready { Exit::Ok } else { Exit::Failed })
}

fn totals(sizes: &[TableSize]) -> (u64, u64) {
    let rows = sizes.iter().map(|size| size.rows).sum();
    let bytes = sizes.iter().map(|size| size.bytes).sum();
    (rows, bytes)
}

fn bar(show: bool) -> ProgressBar {
    let target = if show {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    ProgressBar::with_draw_target(Some(1), target)
}

fn draw(bar: &ProgressBar, progress: &MoveProgress, rows_before: u64, took: Duration) {
    bar.set_length(progress.rows_total.max(1));
    bar.set_position(progress.rows);
    match progress.stage {
        MoveStage::Copying => {
            let rows = progress.rows.saturating_sub(rows_before);
            let per_s = rows as f64 / took.as_secs_f64().max(0.001);
            let left = progress.rows_total.saturating_sub(progress.rows);
            bar.set_style(style("copy"));
            bar.set_message(format!(
                "{per_s:.0} rows/s · {}{}",
                progress.table,
                eta(left, per_s)
            ));
        }
        MoveStage::Verifying => {
            bar.set_style(style("verify"));
            bar.set_message(progress.table);
        }
    }
}

fn interrupted(app: &App, places: Places, last: Option<MoveProgress>) -> Result<()> {
    let (rows, rows_total) = match last {
        Some(progress) if progress.stage == MoveStage::Copying => {
            (progress.rows, progress.rows_total)
        }
        Some(progress) => (progress.rows_total, progress.rows_total),
        None => (0, 0),
    };
    if app.json {
        return json_line(&serde_json::json!({
            "status": "interrupted", "from": places.from, "to": places.to,
            "rows": rows, "rows_total": rows_total,
        }));
    }
    line(format!(
        "Interrupted: {} of {} rows are in {}. Run the same command again to go on there; until \
         then no other command opens that database. To give up, drop it.",
        thousands(rows),
        thousands(rows_total),
        places.to
    ))
}

#[derive(Serialize)]
struct Moved {
    status: &'static str,
    #[serde(flatten)]
    places: Places,
    rows: u64,
    bytes: u64,
    /// Of these, copied by earlier runs.
    rows_before: u64,
    duration_ms: u64,
    rows_per_s: u64,
    tables: Vec<TableLine>,
}

impl Moved {
    fn new(
        places: Places,
        rows_before: u64,
        sizes: &[TableSize],
        tables: &[MovedTable],
        took: Duration,
    ) -> Moved {
        let (rows, bytes) = totals(sizes);
        let copied = rows.saturating_sub(rows_before);
        let lines = sizes.iter().zip(tables).map(|(size, moved)| TableLine {
            checksum: Some(moved.checksum.clone()),
            ..TableLine::from(size)
        });
        Moved {
            status: "completed",
            places,
            rows,
            bytes,
            rows_before,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            rows_per_s: (copied as f64 / took.as_secs_f64().max(0.001)) as u64,
            tables: lines.collect(),
        }
    }

    fn show(&self, app: &App, to: &Place) -> Result<()> {
        if app.json {
            return json_line(self);
        }
        line(format!(
            "Moved {} rows ({}) of {} tables in {:.1} s, {} rows/s, and found both sides the same",
            thousands(self.rows),
            bytes(self.bytes),
            self.tables.len(),
            self.duration_ms as f64 / 1000.0,
            thousands(self.rows_per_s)
        ))?;
        line(format!(
            "  from  {}\n  to    {}",
            self.places.from, self.places.to
        ))?;
        line(
            "Indexes and caches were not moved: the first search builds them from the database, \
             or `gleaner reindex` now.",
        )?;
        line(match to {
            Place::Directory(dir) => format!(
                "From now on: --data-dir {}, and no DATABASE_URL. The old database stays as it is.",
                shown(dir)
            ),
            Place::Server(_) => "From now on: DATABASE_URL (store.database_url) names the new \
                                 database. The old one stays as it is."
                .to_owned(),
        })
    }
}

fn shown(dir: &Path) -> String {
    dir.canonicalize()
        .unwrap_or_else(|_| dir.to_owned())
        .display()
        .to_string()
}
