//! Moving sources from one database to another.

use std::ops::ControlFlow;

use anyhow::Result;
use serde::Serialize;
use store::{Access, Misplaced, ShardNumber, SourceMove, Store, StoreError, StoreErrorKind};

use super::{DrainArgs, RebalanceArgs};
use crate::app::App;
use crate::cli::output::{Exit, json_line, line, note, thousands};
use crate::cli::stop;

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

pub fn rebalance(app: &App, args: &RebalanceArgs) -> Result<Exit> {
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

pub fn drain(app: &App, args: &DrainArgs) -> Result<Exit> {
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
