//! Taking a database away again.
//!
//! While one is drained it gets no new sources, and those that it has belong
//! elsewhere, so [`Store::misplaced`] names them. When nothing of it is needed
//! any more it leaves: the home remembers its number, which no other gets, and
//! a program that still names it is told to stop doing so.

use std::collections::BTreeSet;

use crate::Store;
use crate::catalogue::{Standing, listed, meta, save_listed, set_meta};
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::placement::ShardNumber;
use crate::shard::Shard;
use crate::sql::{Connection, execute, first};

/// Of a database that left: that it takes nothing in any more.
const LEFT: &str = "left";

/// What a drained database still has that must not be lost, and the statement
/// that counts it. In the order in which people can do something about it.
const KEPT: &[(&str, &str)] = &[
    (
        "sources",
        "SELECT count(*) FROM sources WHERE removed_at IS NULL",
    ),
    (
        "pages that removed sources left; remove those sources with their pages",
        "SELECT count(*) FROM pages WHERE version > 0",
    ),
    (
        "unfinished tasks; let workers go on",
        "SELECT count(*) FROM tasks WHERE state < 3",
    ),
    (
        "messages to webhooks that were not sent; let workers go on",
        "SELECT CAST(coalesce(sum(pending), 0) AS BIGINT) FROM webhooks",
    ),
    (
        "raw copies to be removed; let workers go on",
        "SELECT count(*) FROM raw_removals",
    ),
    (
        "events that were not published; let workers go on",
        "SELECT CAST(coalesce(sum(waiting), 0) AS BIGINT) FROM publications",
    ),
];

impl Store {
    /// From now on a database gets no new sources, or, if not `is_to_drain`,
    /// gets them again. The home and one that left cannot be drained.
    pub fn set_draining(&self, number: ShardNumber, is_to_drain: bool) -> Result<(), StoreError> {
        let shard = self.shard_numbered(number)?;
        let standing = if is_to_drain {
            Standing::Draining
        } else {
            Standing::Active
        };
        self.home().write("drain a shard", move |connection| {
            let mut all = listed(connection)?;
            let found = all.iter_mut().find(|listed| listed.number == number.0);
            let Some(found) = found else {
                return Err(Failure::conflict(format!("there is no shard {number}")));
            };
            if found.standing == Standing::Left {
                return Err(Failure::conflict(format!("shard {number} has left")));
            }
            found.standing = standing;
            save_listed(connection, &all)
        })?;
        if is_to_drain {
            return Ok(());
        }
        // Somebody who was taking it away may not have come to tell the home.
        shard.write("stay", |connection| {
            execute(connection, "DELETE FROM meta WHERE key = ?1", [LEFT])?;
            Ok(())
        })
    }

    /// Databases that get no new sources.
    pub(crate) fn draining(&self) -> Result<BTreeSet<ShardNumber>, StoreError> {
        if self.shards_held().len() == 1 {
            return Ok(BTreeSet::new());
        }
        self.home().read("read the list of shards", |connection| {
            let all = listed(connection)?.into_iter();
            let closed = all.filter(|listed| listed.standing != Standing::Active);
            Ok(closed.map(|listed| ShardNumber(listed.number)).collect())
        })
    }

    /// Takes a drained database away: it is not to be named any more. What it
    /// still has that is needed, when there is something; nothing is changed then.
    pub fn take_away(&self, number: ShardNumber) -> Result<Option<String>, StoreError> {
        let shard = self.shard_numbered(number)?;
        if !self.draining()?.contains(&number) {
            return Err(conflict(format!("shard {number} is not being drained")));
        }
        // First there, in the transaction that finds nothing: whoever comes
        // later with a source is turned away.
        let needed = shard.write("leave", |connection| {
            for (what, sql) in KEPT {
                let count: i64 = first(connection, sql, [], |row| row.get(0))?.unwrap_or(0);
                if count > 0 {
                    return Ok(Some(format!("{count} {what}")));
                }
            }
            set_meta(connection, LEFT, "1")?;
            Ok(None)
        })?;
        if needed.is_none() {
            self.home().write("take a shard away", move |connection| {
                let mut all = listed(connection)?;
                for listed in all.iter_mut().filter(|listed| listed.number == number.0) {
                    listed.standing = Standing::Left;
                }
                save_listed(connection, &all)
            })?;
        }
        Ok(needed)
    }

    fn shard_numbered(&self, number: ShardNumber) -> Result<&Shard, StoreError> {
        if number == ShardNumber::HOME {
            return Err(conflict("the home cannot be taken away"));
        }
        self.all()
            .find(|shard| shard.number() == number)
            .ok_or_else(|| conflict(format!("there is no shard {number}")))
    }
}

/// Fails in a database that left.
pub(crate) fn check_takes_sources(connection: &Connection) -> Result<(), Failure> {
    if meta(connection, LEFT)?.is_none() {
        return Ok(());
    }
    Err(Failure::conflict(
        "this database was taken away; take it out of store.shards and start the program again",
    ))
}

fn conflict(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Conflict, message)
}
