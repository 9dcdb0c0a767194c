//! Which databases belong together, and what each has of the catalogue.
//!
//! The home lists its shards; each of them names its home and its number. Rows
//! that others refer to (tenants, webhooks) are in every database, with the ids
//! that the home gave them. They are written to the home first; whatever of
//! them is missing elsewhere is added when the databases are next opened.
//! A database that does not answer then is known by where it was, see [`Late`].

mod members;
mod opening;
mod spreading;

use serde::{Deserialize, Serialize};

use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::placement::ShardNumber;
use crate::shard::Shard;
use crate::sql::{Connection, execute, first};
use crate::{Store, StoreStats};

pub(crate) use spreading::spread;

/// Of the home: all of its shards but itself, as JSON.
const SHARDS: &str = "shards";
/// Of a shard: the database id of its home, and its number.
const HOME: &str = "home";
const NUMBER: &str = "shard";

/// A shard as the home knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) number: u16,
    database_id: String,
    /// Where it was seen last.
    place: String,
    #[serde(default)]
    pub(crate) standing: Standing,
}

/// Whether a database takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    #[default]
    Active,
    /// It gets no new sources, and those it has are to go elsewhere.
    Draining,
    /// It was taken away.
    Left,
}

/// One of the databases that are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRow {
    pub number: ShardNumber,
    /// Host, port and database, or a file.
    pub place: String,
    pub database_id: Option<String>,
    /// What it has, or why it could not be asked.
    pub stats: Result<StoreStats, String>,
    /// Sources of all tenants, without removed ones.
    pub sources: u64,
    pub standing: Standing,
}

impl Store {
    /// All databases with what they have.
    pub fn shard_rows(&self) -> Vec<ShardRow> {
        // Without the home nothing is said of it.
        let draining = self.draining().unwrap_or_default();
        let row = |store: Store| {
            let shard = store.first();
            let sources = shard.read("count sources", |connection| {
                let sql = "SELECT CAST(coalesce(sum(sources), 0) AS BIGINT) FROM tenants";
                Ok(first(connection, sql, [], |row| row.get(0))?.unwrap_or(0))
            });
            ShardRow {
                number: shard.number(),
                place: shard.describe(),
                database_id: shard.database_id().map(str::to_owned),
                stats: store.stats().map_err(|error| error.to_string()),
                sources: sources.unwrap_or(0),
                standing: match draining.contains(&shard.number()) {
                    true => Standing::Draining,
                    false => Standing::Active,
                },
            }
        };
        self.shards().into_iter().map(row).collect()
    }
}

fn conflict(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Conflict, message)
}

/// Said of an empty database to who may not write.
fn not_joined(place: &str) -> StoreError {
    conflict(format!(
        "{place} is new here and has not joined; `gleaner shard add` takes it in"
    ))
}

fn id_of(shard: &Shard) -> Result<String, StoreError> {
    let id = shard.database_id().map(str::to_owned);
    id.ok_or_else(|| StoreError::new(StoreErrorKind::Bug, "a database without an id"))
}

pub(crate) fn meta(connection: &Connection, key: &str) -> Result<Option<String>, Failure> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    first(connection, sql, [key], |row| row.get(0))
}

pub(crate) fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<(), Failure> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    execute(connection, sql, [key, value])?;
    Ok(())
}

pub(crate) fn listed(connection: &Connection) -> Result<Vec<Listed>, Failure> {
    match meta(connection, SHARDS)? {
        Some(json) => serde_json::from_str(&json)
            .map_err(|error| Failure::corrupt(format!("the list of shards: {error}"))),
        None => Ok(Vec::new()),
    }
}

pub(crate) fn save_listed(connection: &Connection, all: &[Listed]) -> Result<(), Failure> {
    let json = serde_json::to_string(all)
        .map_err(|error| Failure::bug(format!("the list of shards: {error}")))?;
    set_meta(connection, SHARDS, &json)
}
