//! Chunks of one page: inserted, compared, moved, deleted.

use std::collections::{HashMap, VecDeque};

use super::apply::Session;
use super::prepare::PreparedChunk;
use crate::counters::{DONE, FAILED, PENDING, embed_state_index};
use crate::error::Failure;
use crate::rows::{as_i64, small};
use crate::sql::{ToSql, ValueRef, collect, execute, many_rows, params, send};

const INSERT: &str = "
    INSERT INTO chunks
      (id, tenant_id, page_id, position, start_byte, end_byte, tokens, embed_state, hash,
       language, section, heading_path, keywords, tldr)";
const COLUMNS: usize = 14;
const PENDING_STATE: i64 = 0;

struct StoredChunk {
    id: i64,
    embed_state: usize,
    chunk: PreparedChunk,
}

impl Session<'_> {
    pub(crate) fn insert_chunks(
        &mut self,
        page_id: i64,
        chunks: &[PreparedChunk],
    ) -> Result<(), Failure> {
        let mut values = Vec::with_capacity(chunks.len() * COLUMNS);
        for chunk in chunks {
            let id = self.counters.next_chunk_id();
            values.extend([
                ValueRef::Integer(id),
                ValueRef::Integer(self.crawl.tenant.0),
                ValueRef::Integer(page_id),
                chunk.position.to_sql(),
                chunk.start.to_sql(),
                chunk.end.to_sql(),
                chunk.tokens.to_sql(),
                ValueRef::Integer(PENDING_STATE),
                chunk.hash.to_sql(),
                chunk.language.to_sql(),
                chunk.section.to_sql(),
                chunk.heading_path.to_sql(),
                chunk.keywords.to_sql(),
                chunk.tldr.to_sql(),
            ]);
        }
        for (sql, values) in many_rows(INSERT, COLUMNS, "", &values) {
            send(self.connection, &sql, values)?;
        }
        self.counters.chunks[PENDING] += as_i64(chunks.len());
        self.chunks_pending_added += chunks.len() as u64;
        Ok(())
    }

    /// Makes the page's chunks the given ones. A chunk whose hash is there
    /// already keeps its id and its vectors. True if anything changed.
    pub(crate) fn diff_chunks(
        &mut self,
        page_id: i64,
        chunks: &[PreparedChunk],
    ) -> Result<bool, Failure> {
        let stored = self.stored_chunks(page_id)?;
        if stored.is_empty() {
            self.insert_chunks(page_id, chunks)?;
            return Ok(!chunks.is_empty());
        }
        // A page may repeat a passage: equal hashes are matched in order.
        let mut by_hash: HashMap<[u8; 16], VecDeque<StoredChunk>> = HashMap::new();
        for chunk in stored {
            by_hash
                .entry(chunk.chunk.hash)
                .or_default()
                .push_back(chunk);
        }
        let mut changed = false;
        for chunk in chunks {
            let kept = by_hash.get_mut(&chunk.hash).and_then(VecDeque::pop_front);
            match kept {
                Some(kept) if kept.chunk == *chunk => {}
                Some(kept) => {
                    self.update_chunk(&kept, chunk)?;
                    changed = true;
                }
                None => {
                    self.insert_chunks(page_id, std::slice::from_ref(chunk))?;
                    changed = true;
                }
            }
        }
        for vanished in by_hash.into_values().flatten() {
            self.delete_chunk(vanished.id, vanished.embed_state)?;
            changed = true;
        }
        Ok(changed)
    }

    /// How many there were.
    pub(crate) fn delete_chunks(&mut self, page_id: i64) -> Result<usize, Failure> {
        let chunks = collect(
            self.connection,
            "SELECT id, embed_state FROM chunks WHERE page_id = ?1",
            [page_id],
            |row| Ok((row.get(0)?, embed_state_index(row.get(1)?)?)),
        )?;
        let deleted = chunks.len();
        for (id, state) in chunks {
            self.delete_chunk(id, state)?;
        }
        Ok(deleted)
    }

    /// Gives a page's chunks with their vectors to another page; their number.
    pub(crate) fn move_chunks(&mut self, from: i64, to: i64) -> Result<usize, Failure> {
        let ids: Vec<i64> = collect(
            self.connection,
            "SELECT id FROM chunks WHERE page_id = ?1",
            [from],
            |row| row.get(0),
        )?;
        for id in &ids {
            send(
                self.connection,
                "UPDATE chunks SET page_id = ?2 WHERE id = ?1",
                [*id, to],
            )?;
            for vector in [id * 2, id * 2 + 1] {
                // One number per row: readers continue behind the last they saw.
                let change_seq = self.counters.next_change_seq();
                send(
                    self.connection,
                    "UPDATE vectors SET page_id = ?2, change_seq = ?3 WHERE id = ?1",
                    [vector, to, change_seq],
                )?;
            }
        }
        Ok(ids.len())
    }

    fn stored_chunks(&self, page_id: i64) -> Result<Vec<StoredChunk>, Failure> {
        collect(
            self.connection,
            "SELECT id, embed_state, position, start_byte, end_byte, tokens, hash, language,
                    section, heading_path, keywords, tldr
             FROM chunks WHERE page_id = ?1 ORDER BY position",
            [page_id],
            |row| {
                Ok(StoredChunk {
                    id: row.get(0)?,
                    embed_state: embed_state_index(row.get(1)?)?,
                    chunk: PreparedChunk {
                        position: small(row, 2)?,
                        start: row.get(3)?,
                        end: row.get(4)?,
                        tokens: small(row, 5)?,
                        hash: row.get(6)?,
                        language: row.get(7)?,
                        section: row.get(8)?,
                        heading_path: row.get(9)?,
                        keywords: row.get(10)?,
                        tldr: row.get(11)?,
                    },
                })
            },
        )
    }

    fn update_chunk(&mut self, stored: &StoredChunk, chunk: &PreparedChunk) -> Result<(), Failure> {
        send(
            self.connection,
            "UPDATE chunks SET position = ?2, start_byte = ?3, end_byte = ?4, tokens = ?5,
               language = ?6, section = ?7, heading_path = ?8, keywords = ?9, tldr = ?10
             WHERE id = ?1",
            params![
                stored.id,
                chunk.position,
                chunk.start,
                chunk.end,
                chunk.tokens,
                chunk.language,
                chunk.section,
                chunk.heading_path,
                chunk.keywords,
                chunk.tldr
            ],
        )?;
        // The hash covers the text, not the TL;DR, which has a vector as well.
        if stored.chunk.tldr != chunk.tldr && stored.embed_state != PENDING {
            send(
                self.connection,
                "UPDATE chunks SET embed_state = 0, embed_error = NULL WHERE id = ?1",
                [stored.id],
            )?;
            self.delete_vectors(stored.id)?;
            self.counters.chunks[stored.embed_state] -= 1;
            self.counters.chunks[PENDING] += 1;
            self.chunks_pending_added += 1;
        }
        Ok(())
    }

    fn delete_chunk(&mut self, id: i64, embed_state: usize) -> Result<(), Failure> {
        if embed_state == DONE {
            self.delete_vectors(id)?;
        }
        send(self.connection, "DELETE FROM chunks WHERE id = ?1", [id])?;
        self.counters.chunks[embed_state] -= 1;
        Ok(())
    }

    fn delete_vectors(&mut self, chunk_id: i64) -> Result<(), Failure> {
        let rows = execute(
            self.connection,
            "DELETE FROM vectors WHERE id IN (?1, ?2)",
            [chunk_id * 2, chunk_id * 2 + 1],
        )?;
        self.counters.vectors -= i64::try_from(rows).unwrap_or(0);
        Ok(())
    }
}

const _: () = assert!(PENDING == 0 && DONE == 1 && FAILED == 2, "as in the schema");
