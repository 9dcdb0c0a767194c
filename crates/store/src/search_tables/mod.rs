//! Tables that answer searches on a server: one set in each database, derived
//! from the pages and vectors there and made when the engine is chosen.
//!
//! They are no part of the schema that migrations keep: `DROP TABLE` loses
//! nothing that following the changes again does not bring back. What is ranked
//! how is nobody's business here: rows are written as they are given, and
//! candidates are handed out with what their scores are computed from.
//!
//! # Who may write when
//! Whoever follows holds a lease on the kind of table, per database, which it
//! renews with every batch; others look and go away. Each batch is one
//! transaction with the number of its last change and begins where the last one
//! ended, else nothing of it is written: a follower that was only held up
//! cannot come between. A transaction waits for [`SEARCH_TURN`], not for the
//! turn of those who write what is truth.

mod lookup;
mod moved;
mod pages;
mod tables;
mod vectors;

use std::time::{Duration, Instant};

use crate::error::Failure;
use crate::location::Location;
use crate::presence::rest;
use crate::shard::Shard;
use crate::sql::{Connection, first, params};
use crate::{Store, StoreError, StoreErrorKind};

#[cfg(test)]
pub(crate) use lookup::{CORPORA, PAGES, WORDS, WORDS_WITH, allowed, matches};
pub(crate) use moved::forget;
#[cfg(test)]
pub(crate) use vectors::{EXACT, EXACT_OF_PAGES, NEAREST};

pub use lookup::{
    SearchCandidates, SearchCorpus, SearchFilter, SearchTerm, SearchWord, SearchedPage,
};
pub use pages::SearchPage;
pub use vectors::{NearVector, VectorScope, VectorsDone};

/// Held while somebody writes search tables: "GLNR" and a 3.
pub(crate) const SEARCH_TURN: i64 = 0x474C_4E52_0003;
/// A batch waits no longer than this for a row that somebody else locks.
const LOCK_WAIT_MS: u32 = 30_000;
/// Who follows keeps others away for so long without a sign of life.
const LEASE_S: u32 = 10;

/// How long the graph over vectors is waited for.
const GRAPH_WITHIN: Duration = Duration::from_secs(3600);

/// Between the parts of a list that is one parameter.
const LIST_SEPARATOR: char = '\u{1e}';

/// What a follower keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchTables {
    Pages,
    Vectors,
}

impl SearchTables {
    fn name(self) -> &'static str {
        match self {
            SearchTables::Pages => "pages",
            SearchTables::Vectors => "vectors",
        }
    }
}

/// How far tables of one database have followed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchProgress {
    /// The last change of pages that was applied.
    pub page_seq: i64,
    /// The last vector.
    pub vector_seq: i64,
    /// What the rows are made by: other words for the same rows mean that they
    /// are to be made anew.
    pub made_by: String,
}

/// A connection of its own to one database, for following.
#[derive(Debug)]
pub struct SearchWriter {
    connection: Connection,
    place: String,
    follower: String,
}

impl Store {
    /// Whether all that is stored lies on servers, where search tables can be.
    #[must_use]
    pub fn is_on_servers(&self) -> bool {
        self.all()
            .all(|shard| matches!(shard.location(), Location::Postgres(..)))
    }

    /// The version of the extension `vector` in each database; `None` where it
    /// is not there.
    pub fn vector_extensions(&self) -> Result<Vec<Option<String>>, StoreError> {
        self.gather(|shard| {
            shard.read("look for the extension vector", |connection| {
                tables::extension_version(connection)
            })
        })
    }

    /// Connects to the only database of this handle and makes the tables where
    /// they are missing. `made_by` is what the rows are to be made by: rows made
    /// by anything else are dropped, and following begins anew. Vectors have `dims` components.
    pub fn search_writer(
        &self,
        tables: SearchTables,
        made_by: &str,
        dims: usize,
    ) -> Result<SearchWriter, StoreError> {
        let shard = self.own()?;
        let fail =
            |failure: Failure| failure.into_store_error("make search tables", &shard.describe());
        let Location::Postgres(server, _) = shard.location() else {
            return Err(not_on_a_server());
        };
        let connection = Connection::Postgres(server.connect().map_err(fail)?);
        tables::make(&connection, tables, made_by, dims).map_err(fail)?;
        Ok(SearchWriter {
            connection,
            place: shard.describe(),
            follower: shard.instance().to_owned(),
        })
    }

    /// Whether the graph over vectors is there in the only database of this
    /// handle. Without it they are compared one by one.
    pub fn search_vectors_are_indexed(&self) -> Result<bool, StoreError> {
        let shard = self.own()?;
        shard.read("look for the index of vectors", tables::has_near_index)
    }

    /// Returns when the graph over the vectors in the only database of this
    /// handle is there, if there are vectors at all: built here, or by another
    /// process that has begun. Takes minutes for a million of them, on a
    /// connection of its own; nobody who reads or writes has to wait meanwhile.
    pub fn index_search_vectors(&self) -> Result<(), StoreError> {
        let shard = self.own()?;
        let fail = |failure: Failure| failure.into_store_error("index vectors", &shard.describe());
        let Location::Postgres(server, _) = shard.location() else {
            return Err(not_on_a_server());
        };
        let begun = Instant::now();
        let mut attempts = 0;
        let mut connection = None;
        while begun.elapsed() < GRAPH_WITHIN {
            let (missing, memory) = shard.read("look at the vectors", |connection| {
                let missing = tables::exists(connection, "search_vectors")?
                    && !tables::has_near_index(connection)?;
                let memory = match missing {
                    true => tables::near_memory_kb(connection)?,
                    false => None,
                };
                Ok((missing, memory))
            })?;
            if !missing {
                return Ok(());
            }
            let connection = match &mut connection {
                Some(connection) => connection,
                None => {
                    let parameters = memory.map(|kb| format!("-c maintenance_work_mem={kb}kB"));
                    let server = server.connect_for_long(&parameters.unwrap_or_default());
                    connection.insert(Connection::Postgres(server.map_err(fail)?))
                }
            };
            if tables::make_near_index(connection, shard.instance()).map_err(fail)? {
                return Ok(());
            }
            attempts += 1;
            rest(attempts);
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "the index of vectors in {} is still being built",
                shard.describe()
            ),
        ))
    }

    /// How far the tables of each database are, with its number; `None` where
    /// there are none.
    pub fn search_progress(
        &self,
        tables: SearchTables,
    ) -> Result<Vec<(crate::ShardNumber, Option<SearchProgress>)>, StoreError> {
        self.gather(|shard| {
            let progress = read_progress(shard, tables)?;
            Ok((shard.number(), progress))
        })
    }
}

fn not_on_a_server() -> StoreError {
    StoreError::new(
        StoreErrorKind::Conflict,
        "search tables lie on a PostgreSQL server; the database is embedded",
    )
}

fn read_progress(
    shard: &Shard,
    tables: SearchTables,
) -> Result<Option<SearchProgress>, StoreError> {
    shard.read("read how far search tables are", |connection| {
        if !tables::exists(connection, "search_progress")? {
            return Ok(None);
        }
        progress(connection, tables)
    })
}

fn progress(
    connection: &Connection,
    tables: SearchTables,
) -> Result<Option<SearchProgress>, Failure> {
    let sql = "SELECT page_seq, vector_seq, made_by FROM search_progress WHERE tables = ?1";
    first(connection, sql, [tables.name()], |row| {
        Ok(SearchProgress {
            page_seq: row.get(0)?,
            vector_seq: row.get(1)?,
            made_by: row.get(2)?,
        })
    })
}

impl SearchWriter {
    /// Takes or renews the lease. False while somebody else has it.
    pub fn hold(&self, tables: SearchTables) -> Result<bool, StoreError> {
        self.alone("hold search tables", |connection| {
            let sql = format!(
                "UPDATE search_progress SET follower = ?2,
                   held_until = now() + make_interval(secs => {LEASE_S})
                 WHERE tables = ?1 AND (follower = ?2 OR held_until < now()) RETURNING 1"
            );
            let values = [tables.name(), self.follower.as_str()];
            Ok(first(connection, &sql, values, |_| Ok(()))?.is_some())
        })
    }

    /// Lets others follow at once.
    pub fn let_go(&self, tables: SearchTables) -> Result<(), StoreError> {
        self.alone("let search tables go", |connection| {
            let sql = "UPDATE search_progress SET held_until = now() - interval '1 second'
                       WHERE tables = ?1 AND follower = ?2";
            crate::sql::execute(connection, sql, [tables.name(), self.follower.as_str()])?;
            Ok(())
        })
    }

    /// How far the tables are.
    pub fn progress(&self, tables: SearchTables) -> Result<SearchProgress, StoreError> {
        let found = progress(&self.connection, tables);
        let found = found.map_err(|f| f.into_store_error("read search tables", &self.place))?;
        Ok(found.unwrap_or_default())
    }

    /// Runs `work` in a transaction of its own, in the turn of followers.
    fn alone<T>(
        &self,
        name: &str,
        work: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let Connection::Postgres(server) = &self.connection else {
            return Err(StoreError::new(StoreErrorKind::Bug, "no server"));
        };
        let done = server
            .begin_alone(SEARCH_TURN, LOCK_WAIT_MS)
            .and_then(|()| work(&self.connection))
            .and_then(|value| {
                self.connection.commit(false)?;
                Ok(value)
            });
        if done.is_err() {
            self.connection.roll_back();
        }
        done.map_err(|failure| failure.into_store_error(name, &self.place))
    }

    /// [`SearchWriter::alone`] for one batch: from `from` on, which must be where
    /// the last one ended, to `to`; a conflict else.
    fn batch(
        &self,
        tables: SearchTables,
        from: (i64, i64),
        to: (i64, i64),
        work: impl FnOnce(&Connection) -> Result<(), Failure>,
    ) -> Result<(), StoreError> {
        self.alone("write search tables", |connection| {
            let sql = format!(
                "UPDATE search_progress SET page_seq = ?5, vector_seq = ?6,
                   held_until = now() + make_interval(secs => {LEASE_S})
                 WHERE tables = ?1 AND follower = ?2 AND page_seq = ?3 AND vector_seq = ?4
                 RETURNING 1"
            );
            let values = params![tables.name(), self.follower, from.0, from.1, to.0, to.1];
            if first(connection, &sql, values, |_| Ok(()))?.is_none() {
                return Err(Failure::conflict("another process follows by now"));
            }
            work(connection)
        })
    }
}

/// Of this transaction alone, so that they hold behind a pooler, too.
fn settings(connection: &Connection, settings: &[(&str, &str)]) -> Result<(), Failure> {
    let each = settings
        .iter()
        .map(|(name, value)| format!("set_config('{name}', '{value}', true)"));
    let sql = format!("SELECT {}", each.collect::<Vec<_>>().join(", "));
    first(connection, &sql, [], |_| Ok(()))?;
    Ok(())
}

/// Parts of a list as one parameter; what separates them is nobody's text.
fn list<S: AsRef<str>>(parts: &[S]) -> String {
    let mut list = String::new();
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            list.push(LIST_SEPARATOR);
        }
        list.extend(part.as_ref().chars().filter(|c| *c != LIST_SEPARATOR));
    }
    list
}

fn ids(ids: impl Iterator<Item = i64>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    ids.join(",")
}
