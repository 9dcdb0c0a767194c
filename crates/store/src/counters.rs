//! The maintained numbers, read once and written once per operation.

use std::collections::HashMap;

use crate::error::Failure;
use crate::sql::{Connection, collect, first, params, send};

/// Numbers given out and differences counted by one write operation.
#[derive(Debug)]
pub(crate) struct Counters {
    change_seq: Sequence,
    chunk_id: Sequence,
    page_id: Sequence,
    pub(crate) pages: i64,
    pub(crate) pages_live: i64,
    pub(crate) chunks: [i64; 3],
    pub(crate) vectors: i64,
}

#[derive(Debug)]
struct Sequence {
    last: i64,
    stored: i64,
}

pub(crate) const PENDING: usize = 0;
pub(crate) const DONE: usize = 1;
pub(crate) const FAILED: usize = 2;

const CHUNK_COUNTERS: [&str; 3] = ["chunks_pending", "chunks_done", "chunks_failed"];

impl Counters {
    pub(crate) fn load(connection: &Connection) -> Result<Counters, Failure> {
        let sql = "SELECT name, value FROM counters
                   WHERE name IN ('change_seq', 'chunk_id', 'page_id')";
        let stored: HashMap<String, i64> = collect(connection, sql, [], |row| {
            Ok((row.get::<String>(0)?, row.get::<i64>(1)?))
        })?
        .into_iter()
        .collect();
        let sequence = |name: &str| -> Result<Sequence, Failure> {
            let last = *stored.get(name).ok_or_else(|| missing(name))?;
            Ok(Sequence { last, stored: last })
        };
        Ok(Counters {
            change_seq: sequence("change_seq")?,
            chunk_id: sequence("chunk_id")?,
            page_id: sequence("page_id")?,
            pages: 0,
            pages_live: 0,
            chunks: [0; 3],
            vectors: 0,
        })
    }

    pub(crate) fn next_change_seq(&mut self) -> i64 {
        self.change_seq.last += 1;
        self.change_seq.last
    }

    pub(crate) fn next_chunk_id(&mut self) -> i64 {
        self.chunk_id.last += 1;
        self.chunk_id.last
    }

    pub(crate) fn next_page_id(&mut self) -> i64 {
        self.page_id.last += 1;
        self.page_id.last
    }

    /// Writes what changed. Call it last; without it nothing was counted.
    pub(crate) fn save(self, connection: &Connection) -> Result<i64, Failure> {
        let sequences = [
            ("change_seq", self.change_seq.last - self.change_seq.stored),
            ("chunk_id", self.chunk_id.last - self.chunk_id.stored),
            ("page_id", self.page_id.last - self.page_id.stored),
            ("pages", self.pages),
            ("pages_live", self.pages_live),
            ("vectors", self.vectors),
        ];
        let chunks = CHUNK_COUNTERS.into_iter().zip(self.chunks);
        for (name, difference) in sequences.into_iter().chain(chunks) {
            if difference != 0 {
                let sql = "UPDATE counters SET value = value + ?2 WHERE name = ?1";
                send(connection, sql, params![name, difference])?;
            }
        }
        Ok(self.change_seq.last)
    }
}

pub(crate) fn value(connection: &Connection, name: &str) -> Result<i64, Failure> {
    let sql = "SELECT value FROM counters WHERE name = ?1";
    let value = first(connection, sql, [name], |row| row.get(0))?;
    value.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Failure {
    Failure::corrupt(format!("counter {name} is missing"))
}

/// `embed_state` column to index into [`Counters::chunks`].
pub(crate) fn embed_state_index(stored: i64) -> Result<usize, Failure> {
    usize::try_from(stored)
        .ok()
        .filter(|state| *state <= FAILED)
        .ok_or_else(|| Failure::corrupt(format!("unknown embed state {stored}")))
}
