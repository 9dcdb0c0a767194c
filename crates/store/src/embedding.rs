//! The embedding backlog, the vectors and their cache.
//!
//! All stored vectors come from one model, named in `meta`; choosing another
//! drops them and puts every chunk back into the backlog.

use std::collections::HashSet;

use types::{ChunkId, PageId, TenantId, TextHash, Timestamp};

use crate::codec;
use crate::counters::{self, Counters, DONE, FAILED, PENDING, embed_state_index};
use crate::error::Failure;
use crate::frontier::cut;
use crate::model::VectorKind;
use crate::rebalance::leaving;
use crate::rows::{as_i64, hash_16};
use crate::sql::{Connection, Row, ValueRef, collect, collect_each, execute, first, params, send};
use crate::{
    ChunkVectors, EmbeddingModel, EmbeddingProgress, ModelChange, PageContent, PendingChunk, Store,
    StoreError, StoredVector, VectorRow,
};

/// Rows deleted from the cache by one write.
const CACHE_ROWS_PER_STEP: usize = 5_000;

impl Store {
    /// The model all stored vectors come from.
    pub fn embedding_model(&self) -> Result<Option<EmbeddingModel>, StoreError> {
        self.first().read("read the embedding model", current_model)
    }

    /// Chooses the model. Another one than before drops all vectors and makes
    /// every chunk pending again.
    pub fn set_embedding_model(&self, model: &str, dims: usize) -> Result<ModelChange, StoreError> {
        let model = EmbeddingModel {
            id: model.to_owned(),
            dims,
        };
        // A database that has it already is not written to, and one that is away
        // keeps nobody from using the model: whoever embeds there asks again.
        let changes = self.gather(|shard| {
            let known = shard.read("read the embedding model", current_model)?;
            if known.as_ref() == Some(&model) {
                return Ok(ModelChange::Same);
            }
            let model = model.clone();
            shard.write("set the embedding model", move |connection| {
                set_model(connection, &model)
            })
        })?;
        Ok(changes
            .into_iter()
            .fold(ModelChange::Same, ModelChange::and))
    }

    pub fn embedding_progress(&self) -> Result<EmbeddingProgress, StoreError> {
        self.gather(|shard| {
            shard.read("read the embedding progress", |connection| {
                let value = |name| counters::value(connection, name).map(i64::unsigned_abs);
                Ok(EmbeddingProgress {
                    done: value("chunks_done")?,
                    pending: value("chunks_pending")?,
                    failed: value("chunks_failed")?,
                })
            })
        })
        .map(|parts| {
            parts
                .into_iter()
                .fold(EmbeddingProgress::default(), EmbeddingProgress::and)
        })
    }

    /// The oldest chunks that wait for vectors.
    pub fn pending_chunks(&self, limit: usize) -> Result<Vec<PendingChunk>, StoreError> {
        self.pending_chunks_after(None, limit)
    }

    /// Like [`Store::pending_chunks`], behind chunk `after`: to read on while
    /// earlier ones are being embedded.
    pub fn pending_chunks_after(
        &self,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<PendingChunk>, StoreError> {
        let after = after.map_or(0, |id| id.0);
        self.merged(
            limit,
            |waiting: &PendingChunk| waiting.chunk,
            |shard| {
                shard.read("read pending chunks", |connection| {
                    pending_chunks(connection, after, limit)
                })
            },
        )
    }

    /// Those of `hashes` that the model's vectors are still known of.
    pub fn cached_vectors(
        &self,
        model: &str,
        hashes: &[TextHash],
    ) -> Result<Vec<(TextHash, StoredVector)>, StoreError> {
        let known: Vec<Vec<(TextHash, StoredVector)>> = self.gather(|shard| {
            shard.read("look into the vector cache", |connection| {
                let parameters: Vec<_> = hashes
                    .iter()
                    .map(|hash| vec![ValueRef::Text(model), ValueRef::Blob(&hash.0)])
                    .collect();
                let sql =
                    "SELECT scale, codes FROM vector_cache WHERE model = ?1 AND text_hash = ?2";
                let found = collect_each(connection, sql, &parameters, |row| {
                    let (scale, codes) = scale_and_codes(row, 0)?;
                    Ok(StoredVector { scale, codes })
                })?;
                let found = hashes.iter().zip(found);
                Ok(found
                    .filter_map(|(hash, found)| Some((*hash, found.into_iter().next()?)))
                    .collect())
            })
        })?;
        let mut seen = HashSet::new();
        let all = known.into_iter().flatten();
        Ok(all.filter(|(hash, _)| seen.insert(*hash)).collect())
    }

    /// Stores vectors, and remembers them in the cache; for how many chunks.
    /// Those of chunks that vanished, have another hash by now or are being
    /// moved to another database are only remembered.
    pub fn save_vectors(&self, model: &str, vectors: Vec<ChunkVectors>) -> Result<u64, StoreError> {
        let model = model.to_owned();
        let now = self.now();
        let saved = self.write_grouped(
            "save vectors",
            vectors,
            |vectors| vectors.chunk,
            move |connection, vectors| Ok(vec![save_vectors(connection, &model, vectors, now)?]),
        )?;
        Ok(saved.into_iter().sum())
    }

    /// Gives chunks up, with the reason; how many were there.
    pub fn fail_chunks(&self, failures: Vec<(ChunkId, String)>) -> Result<u64, StoreError> {
        let failed = self.write_grouped(
            "note failed chunks",
            failures,
            |(chunk, _)| *chunk,
            |connection, failures| Ok(vec![fail_chunks(connection, failures)?]),
        )?;
        Ok(failed.into_iter().sum())
    }

    /// Failed chunks wait again; their number.
    pub fn retry_failed_chunks(&self) -> Result<u64, StoreError> {
        self.write_every("retry failed chunks", move |connection| {
            let mut counters = Counters::load(connection)?;
            let rows = as_i64(execute(
                connection,
                "UPDATE chunks SET embed_state = 0, embed_error = NULL WHERE embed_state = 2",
                [],
            )?);
            counters.chunks[FAILED] -= rows;
            counters.chunks[PENDING] += rows;
            counters.save(connection)?;
            Ok(rows.unsigned_abs())
        })
        .map(|parts| parts.into_iter().sum())
    }

    /// Forgets cached vectors made before `older_than`; their number.
    pub fn purge_vector_cache(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.in_steps(
            CACHE_ROWS_PER_STEP,
            "purge the vector cache",
            move |connection| {
                execute(
                    connection,
                    "DELETE FROM vector_cache WHERE id IN
                   (SELECT id FROM vector_cache WHERE created_at < ?1 LIMIT ?2)",
                    [older_than.0, as_i64(CACHE_ROWS_PER_STEP)],
                )
            },
        )
    }

    /// Vectors with a change number above `seq`, in its order. Empty when the
    /// stored vectors come from another model. What was deleted is learnt from
    /// [`Store::page_chunk_ids`].
    pub fn vectors_since(
        &self,
        model: &str,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<VectorRow>, StoreError> {
        self.own()?.read("read vectors", |connection| {
            if current_model(connection)?.is_none_or(|current| current.id != model) {
                return Ok(Vec::new());
            }
            let parameters = [seq, as_i64(limit)];
            collect(connection, VECTORS_SINCE, parameters, vector_row)
        })
    }
}

pub(crate) const PENDING_CHUNKS: &str = "
    SELECT k.id, k.page_id, p.title, k.section, k.start_byte, k.end_byte, k.tldr, k.hash,
           p.content_id
    FROM chunks k JOIN pages p ON p.id = k.page_id
    WHERE k.embed_state = 0 AND k.id > ?1 ORDER BY k.id LIMIT ?2";

pub(crate) const VECTORS_SINCE: &str = "
    SELECT id, tenant_id, page_id, change_seq, scale, codes
    FROM vectors WHERE change_seq > ?1 ORDER BY change_seq LIMIT ?2";

pub(crate) fn current_model(connection: &Connection) -> Result<Option<EmbeddingModel>, Failure> {
    let value = |key: &str| -> Result<Option<String>, Failure> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        first(connection, sql, [key], |row| row.get(0))
    };
    let Some(id) = value("embedding_model")? else {
        return Ok(None);
    };
    let dims = value("embedding_dims")?
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::corrupt("the embedding model's dimensions are missing"))?;
    Ok(Some(EmbeddingModel { id, dims }))
}

fn set_model(connection: &Connection, model: &EmbeddingModel) -> Result<ModelChange, Failure> {
    if current_model(connection)?.as_ref() == Some(model) {
        return Ok(ModelChange::Same);
    }
    let pairs = [
        ("embedding_model", model.id.clone()),
        ("embedding_dims", model.dims.to_string()),
    ];
    for (key, value) in pairs {
        execute(
            connection,
            "INSERT INTO meta (key, value) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [key, value.as_str()],
        )?;
    }
    let mut counters = Counters::load(connection)?;
    counters.vectors -= counters::value(connection, "vectors")?;
    execute(connection, "DELETE FROM vectors", [])?;
    let done = counters::value(connection, "chunks_done")?;
    let failed = counters::value(connection, "chunks_failed")?;
    execute(
        connection,
        "UPDATE chunks SET embed_state = 0, embed_error = NULL WHERE embed_state <> 0",
        [],
    )?;
    counters.chunks = [done + failed, -done, -failed];
    counters.save(connection)?;
    Ok(ModelChange::Changed {
        repending: (done + failed).unsigned_abs(),
    })
}

fn pending_chunks(
    connection: &Connection,
    after: i64,
    limit: usize,
) -> Result<Vec<PendingChunk>, Failure> {
    // All rows first: a server answers nothing else while rows are on their way.
    let parameters = [after, as_i64(limit)];
    let rows = collect(connection, PENDING_CHUNKS, parameters, |row| {
        let chunk = PendingChunk {
            chunk: ChunkId(row.get(0)?),
            page: PageId(row.get(1)?),
            title: row.get(2)?,
            section: row.get(3)?,
            text: String::new(),
            tldr: row.get(6)?,
            hash: TextHash(hash_16(row, 7)?),
        };
        let range: (i64, i64) = (row.get(4)?, row.get(5)?);
        Ok((chunk, range, row.get::<i64>(8)?))
    })?;
    // Chunks of one page follow each other, so its content is unpacked once.
    let mut unpacked: Option<(i64, PageContent)> = None;
    let mut chunks = Vec::with_capacity(rows.len());
    for (mut chunk, (start, end), content_id) in rows {
        let content = match unpacked.take() {
            Some((id, content)) if id == content_id => content,
            _ => read_content(connection, content_id)?,
        };
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        chunk.text = range
            .and_then(|(start, end)| content.text.get(start..end))
            .ok_or_else(|| Failure::corrupt("a chunk lies outside its page's text"))?
            .to_owned();
        unpacked = Some((content_id, content));
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn read_content(connection: &Connection, id: i64) -> Result<PageContent, Failure> {
    let sql = "SELECT body FROM contents WHERE id = ?1";
    first(connection, sql, [id], |row| {
        let body: Vec<u8> = row.get(0)?;
        codec::decode_content(&body)
    })?
    .ok_or_else(|| Failure::corrupt(format!("content {id} is missing")))
}

fn save_vectors(
    connection: &Connection,
    model: &str,
    vectors: &[ChunkVectors],
    now: Timestamp,
) -> Result<u64, Failure> {
    let current = current_model(connection)?
        .filter(|current| current.id == model)
        .ok_or_else(|| {
            Failure::conflict(format!(
                "vectors of {model} do not belong to the chosen model"
            ))
        })?;
    let leaving = leaving(connection)?;
    let mut counters = Counters::load(connection)?;
    let ids: Vec<_> = vectors
        .iter()
        .map(|vectors| vec![ValueRef::Integer(vectors.chunk.0)])
        .collect();
    let sql = "SELECT hash, embed_state, tenant_id, page_id FROM chunks WHERE id = ?1";
    let chunks = collect_each(connection, sql, &ids, |row| {
        Ok(Chunk {
            hash: hash_16(row, 0)?,
            state: embed_state_index(row.get(1)?)?,
            tenant_id: row.get(2)?,
            page_id: row.get(3)?,
        })
    })?;
    let mut done = HashSet::new();
    let mut saved = 0;
    for (vector, chunk) in vectors.iter().zip(chunks) {
        check_dims(&current, &vector.full)?;
        cache(connection, model, vector.hash, &vector.full, now)?;
        if let Some(tldr) = &vector.tldr {
            check_dims(&current, tldr)?;
            if let Some(hash) = vector.tldr_hash {
                cache(connection, model, hash, tldr, now)?;
            }
        }
        // Gone, or not what it was when it was embedded.
        let chunk = chunk.into_iter().next();
        let Some(mut chunk) = chunk.filter(|chunk| chunk.hash == vector.hash.0) else {
            continue;
        };
        // What is just being moved stays as it is.
        if let Some(leaving) = &leaving
            && leaving.has_chunk(connection, vector.chunk)?
        {
            continue;
        }
        if !done.insert(vector.chunk) {
            // Given twice, and looked up before the first.
            chunk.state = DONE;
        }
        save_chunk_vectors(connection, &mut counters, &chunk, vector)?;
        saved += 1;
    }
    counters.save(connection)?;
    Ok(saved)
}

/// A chunk as far as its vectors depend on it.
struct Chunk {
    hash: [u8; 16],
    state: usize,
    tenant_id: i64,
    page_id: i64,
}

fn save_chunk_vectors(
    connection: &Connection,
    counters: &mut Counters,
    chunk: &Chunk,
    vectors: &ChunkVectors,
) -> Result<(), Failure> {
    let id = vectors.chunk.0;
    // Only one that is done has vectors; all others lost them when they changed.
    if chunk.state == DONE {
        let old = execute(
            connection,
            "DELETE FROM vectors WHERE id IN (?1, ?2)",
            [id * 2, id * 2 + 1],
        )?;
        counters.vectors -= as_i64(old);
    }
    let both = [Some(&vectors.full), vectors.tldr.as_ref()];
    for (kind, vector) in (0..).zip(both) {
        let Some(vector) = vector else { continue };
        send(
            connection,
            "INSERT INTO vectors (id, tenant_id, page_id, change_seq, scale, codes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                id * 2 + kind,
                chunk.tenant_id,
                chunk.page_id,
                counters.next_change_seq(),
                f64::from(vector.scale),
                codec::encode_codes(&vector.codes)
            ],
        )?;
        counters.vectors += 1;
    }
    if chunk.state != DONE {
        send(
            connection,
            "UPDATE chunks SET embed_state = 1, embed_error = NULL WHERE id = ?1",
            [id],
        )?;
        counters.chunks[chunk.state] -= 1;
        counters.chunks[DONE] += 1;
    }
    Ok(())
}

fn fail_chunks(connection: &Connection, failures: &[(ChunkId, String)]) -> Result<u64, Failure> {
    let mut counters = Counters::load(connection)?;
    let mut failed = 0;
    for (chunk, reason) in failures {
        // Vectors that came in meanwhile stay.
        let rows = execute(
            connection,
            "UPDATE chunks SET embed_state = 2, embed_error = ?2 WHERE id = ?1 AND embed_state = 0",
            params![chunk.0, cut(reason)],
        )?;
        failed += as_i64(rows);
    }
    counters.chunks[PENDING] -= failed;
    counters.chunks[FAILED] += failed;
    counters.save(connection)?;
    Ok(failed.unsigned_abs())
}

fn check_dims(model: &EmbeddingModel, vector: &StoredVector) -> Result<(), Failure> {
    let found = vector.codes.len();
    if found == model.dims {
        return Ok(());
    }
    let EmbeddingModel { id, dims } = model;
    Err(Failure::conflict(format!(
        "a vector has {found} dimensions, those of {id} have {dims}"
    )))
}

fn cache(
    connection: &Connection,
    model: &str,
    hash: TextHash,
    vector: &StoredVector,
    now: Timestamp,
) -> Result<(), Failure> {
    send(
        connection,
        "INSERT INTO vector_cache (model, text_hash, created_at, scale, codes)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        params![
            model,
            hash.0,
            now.0,
            f64::from(vector.scale),
            codec::encode_codes(&vector.codes)
        ],
    )?;
    Ok(())
}

fn vector_row(row: &Row<'_>) -> Result<VectorRow, Failure> {
    let id: i64 = row.get(0)?;
    let (scale, codes) = scale_and_codes(row, 4)?;
    Ok(VectorRow {
        tenant: TenantId(row.get(1)?),
        chunk: ChunkId(id / 2),
        page: PageId(row.get(2)?),
        kind: if id % 2 == 0 {
            VectorKind::Full
        } else {
            VectorKind::Tldr
        },
        seq: row.get(3)?,
        scale,
        codes,
    })
}

fn scale_and_codes(row: &Row<'_>, start: usize) -> Result<(f32, Vec<i8>), Failure> {
    let scale: f64 = row.get(start)?;
    // Stored from an f32, so nothing is lost on the way back.
    Ok((scale as f32, codec::decode_codes(row.blob(start + 1)?)))
}
