//! Rows of vectors, and the nearest of them.

use std::collections::{BTreeMap, BTreeSet};

use types::{ChunkId, PageId, TenantId};

use super::{SearchTables, SearchWriter, ids, settings, tables};
use crate::error::Failure;
use crate::model::{VectorKind, VectorRow};
use crate::rows::as_i64;
use crate::sql::{Connection, collect, execute, first, params, send};
use crate::{Store, StoreError};

/// A tenant's vectors are compared one by one when they are so few, or when that
/// is cheaper than the graph, in which others' are met on the way: 4 us for each
/// of `own`, against 8 us for each of the `k * all / own` that are met until `k`
/// of them are found (PostgreSQL 18.6, pgvector 0.8.6, 384 dimensions, 40,000
/// vectors in memory, a busy machine with 2 cores: 35,000 of them 45 ms and 2 ms,
/// 4,000 of them 33 and 17, 800 of them 3 and 61).
const EXACT_MAX: u64 = 2_000;

fn is_cheaper_exact(sizes: &Sizes, k: usize) -> bool {
    let (own, all) = (u128::from(sizes.own), u128::from(sizes.all));
    sizes.own <= EXACT_MAX || own * own <= 2 * k as u128 * all
}

/// Pages whose vectors are compared one by one.
const PAGES_EXACT_MAX: usize = 2_000;
/// Vectors of the graph that are looked at in turn, and in all. Of the ten nearest
/// of 220,000 (384 dimensions, means of word vectors), 100 found 88 % in 2 ms, 200
/// 93 % in 4, 400 98 % in 7 and 800 99 % in 15 (PostgreSQL 18.6, pgvector 0.8.6).
const EF_SEARCH_MIN: usize = 500;
const EF_SEARCH_MAX: usize = 1_000;
const SCANNED_MAX: usize = 100_000;

/// A vector near the query, and its cosine to it by what is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearVector {
    pub chunk: ChunkId,
    pub page: PageId,
    pub similarity: f32,
}

/// Which vectors are looked at.
#[derive(Clone, Copy, Debug)]
pub enum VectorScope<'a> {
    /// All of the tenant's.
    Tenant,
    /// The tenant's of these pages.
    Pages(&'a [PageId]),
}

/// How far vectors were followed.
#[derive(Clone, Debug)]
pub struct VectorsDone<'a> {
    pub page_seq: i64,
    pub vector_seq: i64,
    /// Pages that changed, with the chunks each has now.
    pub pages: &'a [(PageId, Vec<ChunkId>)],
    /// New vectors.
    pub vectors: &'a [VectorRow],
}

impl SearchWriter {
    /// Applies one batch from where the last one ended, `from` (changes of
    /// pages, and of vectors): drops what chunks of changed pages had that are
    /// gone, moves what came from other pages, and adds new vectors. A conflict
    /// as with [`SearchWriter::apply_pages`].
    pub fn apply_vectors(
        &self,
        from: (i64, i64),
        done: &VectorsDone<'_>,
    ) -> Result<(), StoreError> {
        let to = (done.page_seq, done.vector_seq);
        self.batch(SearchTables::Vectors, from, to, |connection| {
            let before = tally(connection, done)?;
            for (page, chunks) in done.pages {
                let both = chunks
                    .iter()
                    .flat_map(|chunk| [chunk.0 * 2, chunk.0 * 2 + 1]);
                let kept = ids(both);
                // Chunks can move to a duplicate of their page: who has a chunk now keeps it.
                send(
                    connection,
                    "UPDATE search_vectors SET page_id = ?1 WHERE page_id <> ?1
                       AND id = ANY(CAST(string_to_array(?2, ',') AS BIGINT[]))",
                    params![page.0, kept],
                )?;
                send(
                    connection,
                    "DELETE FROM search_vectors WHERE page_id = ?1
                       AND NOT id = ANY(CAST(string_to_array(?2, ',') AS BIGINT[]))
                       AND NOT EXISTS (SELECT 1 FROM chunks k WHERE k.id = search_vectors.id / 2)",
                    params![page.0, kept],
                )?;
            }
            for row in done.vectors {
                put(connection, row)?;
            }
            count(connection, &before, &tally(connection, done)?)
        })
    }
}

/// Vectors of texts, and all, by tenant.
type Tally = BTreeMap<i64, (i64, i64)>;

/// Those that the batch may change.
fn tally(connection: &Connection, done: &VectorsDone<'_>) -> Result<Tally, Failure> {
    let pages = ids(done.pages.iter().map(|(page, _)| page.0));
    let chunks = done.pages.iter().flat_map(|(_, chunks)| chunks);
    let chunks = chunks.chain(done.vectors.iter().map(|row| &row.chunk));
    let rows = ids(chunks.flat_map(|chunk| [chunk.0 * 2, chunk.0 * 2 + 1]));
    let sql = "SELECT tenant_id, count(*) FILTER (WHERE id % 2 = 0), count(*)
               FROM search_vectors WHERE id IN (
                 SELECT id FROM search_vectors
                 WHERE page_id = ANY(CAST(string_to_array(?1, ',') AS BIGINT[]))
                 UNION SELECT CAST(r.id AS BIGINT) FROM unnest(string_to_array(?2, ',')) AS r(id))
               GROUP BY tenant_id";
    let rows = collect(connection, sql, [pages, rows], |row| {
        Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
    })?;
    Ok(rows.into_iter().collect())
}

fn put(connection: &Connection, row: &VectorRow) -> Result<(), Failure> {
    let kind = i64::from(row.kind == VectorKind::Tldr);
    let mut embedding = String::with_capacity(row.codes.len() * 4);
    for code in &row.codes {
        embedding.push(if embedding.is_empty() { '[' } else { ',' });
        embedding.push_str(&code.to_string());
    }
    embedding.push(']');
    // Not where the chunk has gone since: nobody would drop it any more.
    send(
        connection,
        "INSERT INTO search_vectors (id, tenant_id, page_id, scale, embedding)
         SELECT ?1, ?2, ?3, ?4, CAST(CAST(?5 AS TEXT) AS halfvec)
         WHERE EXISTS (SELECT 1 FROM vectors v WHERE v.id = ?1)
         ON CONFLICT (id) DO UPDATE SET page_id = excluded.page_id, scale = excluded.scale,
           embedding = excluded.embedding",
        params![
            row.chunk.0 * 2 + kind,
            row.tenant.0,
            row.page.0,
            f64::from(row.scale),
            embedding
        ],
    )
}

fn count(connection: &Connection, before: &Tally, after: &Tally) -> Result<(), Failure> {
    let tenants: BTreeSet<i64> = before.keys().chain(after.keys()).copied().collect();
    for tenant in tenants {
        let of = |tally: &Tally| tally.get(&tenant).copied().unwrap_or_default();
        let (before, after) = (of(before), of(after));
        execute(
            connection,
            "INSERT INTO search_passages AS s (tenant_id, passages, vectors) VALUES (?1, ?2, ?3)
             ON CONFLICT (tenant_id) DO UPDATE SET passages = s.passages + excluded.passages,
               vectors = s.vectors + excluded.vectors",
            [tenant, after.0 - before.0, after.1 - before.1],
        )?;
    }
    Ok(())
}

impl Store {
    /// Chunks of the tenant with the vector of their text.
    pub fn search_passages(&self, tenant: TenantId) -> Result<u64, StoreError> {
        let counts = self.gather(|shard| {
            shard.read("count vectors to search", |connection| {
                if !tables::exists(connection, "search_passages")? {
                    return Ok(0);
                }
                Ok(sizes(connection, tenant)?.passages)
            })
        })?;
        Ok(counts.into_iter().sum())
    }

    /// The `k` vectors of each database nearest to `query`, nearest first in all.
    pub fn search_vectors(
        &self,
        tenant: TenantId,
        query: &[f32],
        k: usize,
        scope: VectorScope<'_>,
    ) -> Result<Vec<NearVector>, StoreError> {
        let query = text_of(query);
        let found = self.gather(|shard| {
            shard.read("search by vectors", |connection| {
                if !tables::exists(connection, "search_vectors")? {
                    return Ok(Vec::new());
                }
                nearest(connection, tenant, &query, k, scope)
            })
        })?;
        let mut found = found.concat();
        found.sort_by(|a, b| (b.similarity.total_cmp(&a.similarity)).then(a.chunk.cmp(&b.chunk)));
        Ok(found)
    }

    /// The mean of up to `sample` vectors of `scope`; `None` without any.
    pub fn search_vector_mean(
        &self,
        tenant: TenantId,
        scope: VectorScope<'_>,
        sample: usize,
    ) -> Result<Option<Vec<f32>>, StoreError> {
        let (sql, pages) = match scope {
            VectorScope::Tenant => (MEAN_OF_TENANT, String::new()),
            VectorScope::Pages(pages) => (MEAN_OF_PAGES, ids(pages.iter().map(|page| page.0))),
        };
        let rows = self.gather(|shard| {
            shard.read("read the mean of vectors", |connection| {
                if !tables::exists(connection, "search_vectors")? {
                    return Ok(Vec::new());
                }
                let values = params![tenant.0, as_i64(sample), pages];
                collect(connection, sql, values, |row| {
                    Ok((row.get::<f64>(0)?, row.get::<String>(1)?))
                })
            })
        })?;
        let mut sum: Vec<f64> = Vec::new();
        let mut rows_read = 0.0;
        for (scale, text) in rows.concat() {
            let codes = text.trim_matches(['[', ']']).split(',');
            let codes: Vec<f64> = codes.filter_map(|code| code.parse().ok()).collect();
            sum.resize(codes.len(), 0.0);
            for (sum, code) in sum.iter_mut().zip(codes) {
                *sum += code * scale;
            }
            rows_read += 1.0;
        }
        let mean = sum.iter().map(|sum| (sum / rows_read) as f32).collect();
        Ok((rows_read > 0.0).then_some(mean))
    }
}

const MEAN_OF_TENANT: &str = "
    SELECT scale, CAST(embedding AS TEXT) FROM search_vectors
    WHERE tenant_id = ?1 AND CAST(?3 AS TEXT) = '' LIMIT ?2";

const MEAN_OF_PAGES: &str = "
    SELECT scale, CAST(embedding AS TEXT) FROM search_vectors
    WHERE 0 + tenant_id = ?1 AND page_id = ANY(CAST(string_to_array(?3, ',') AS BIGINT[]))
    LIMIT ?2";

struct Sizes {
    passages: u64,
    own: u64,
    all: u64,
}

fn sizes(connection: &Connection, tenant: TenantId) -> Result<Sizes, Failure> {
    let sql = "SELECT coalesce(sum(passages) FILTER (WHERE tenant_id = ?1), 0),
                 coalesce(sum(vectors) FILTER (WHERE tenant_id = ?1), 0),
                 coalesce(sum(vectors), 0)
               FROM search_passages";
    let sizes = first(connection, sql, [tenant.0], |row| {
        Ok(Sizes {
            passages: row.get(0)?,
            own: row.get(1)?,
            all: row.get(2)?,
        })
    })?;
    sizes.ok_or_else(|| Failure::bug("no sum"))
}

/// Through the graph, which is read on until enough is let through.
pub(crate) const NEAREST: &str = "
    SELECT id, page_id, -(embedding <#> CAST(CAST(?1 AS TEXT) AS halfvec)) * scale
    FROM search_vectors WHERE tenant_id = ?2
    ORDER BY embedding <=> CAST(CAST(?1 AS TEXT) AS halfvec) LIMIT ?3";

pub(crate) const NEAREST_OF_PAGES: &str = "
    SELECT id, page_id, -(embedding <#> CAST(CAST(?1 AS TEXT) AS halfvec)) * scale
    FROM search_vectors WHERE 0 + tenant_id = ?2
      AND page_id = ANY(CAST(string_to_array(?4, ',') AS BIGINT[]))
    ORDER BY embedding <=> CAST(CAST(?1 AS TEXT) AS halfvec) LIMIT ?3";

/// Each of the tenant's.
pub(crate) const EXACT: &str = "
    WITH own AS MATERIALIZED (
      SELECT id, page_id, -(embedding <#> CAST(CAST(?1 AS TEXT) AS halfvec)) * scale AS similarity
      FROM search_vectors WHERE tenant_id = ?2)
    SELECT id, page_id, similarity FROM own ORDER BY similarity DESC, id LIMIT ?3";

/// Each of the pages', which are found by their ids: a sum keeps the planner
/// from reading all of the tenant's.
pub(crate) const EXACT_OF_PAGES: &str = "
    WITH own AS MATERIALIZED (
      SELECT id, page_id, -(embedding <#> CAST(CAST(?1 AS TEXT) AS halfvec)) * scale AS similarity
      FROM search_vectors WHERE 0 + tenant_id = ?2
        AND page_id = ANY(CAST(string_to_array(?4, ',') AS BIGINT[])))
    SELECT id, page_id, similarity FROM own ORDER BY similarity DESC, id LIMIT ?3";

fn nearest(
    connection: &Connection,
    tenant: TenantId,
    query: &str,
    k: usize,
    scope: VectorScope<'_>,
) -> Result<Vec<NearVector>, Failure> {
    let sizes = sizes(connection, tenant)?;
    // A chunk has one vector or two.
    let per_chunk = sizes.own.div_ceil(sizes.passages.max(1)).clamp(1, 2);
    let k = k.saturating_mul(if per_chunk == 1 { 1 } else { 2 });
    let is_few = is_cheaper_exact(&sizes, k);
    let limit = as_i64(k);
    let rows = match scope {
        VectorScope::Pages(pages) => {
            let is_few = is_few || pages.len() <= PAGES_EXACT_MAX;
            let sql = if is_few {
                EXACT_OF_PAGES
            } else {
                NEAREST_OF_PAGES
            };
            if is_few {
                compare_each(connection)?;
            } else {
                walk_on(connection, k)?;
            }
            let pages = ids(pages.iter().map(|page| page.0));
            collect(
                connection,
                sql,
                params![query, tenant.0, limit, pages],
                near,
            )?
        }
        VectorScope::Tenant => {
            if is_few {
                compare_each(connection)?;
            } else {
                walk_on(connection, k)?;
            }
            let sql = if is_few { EXACT } else { NEAREST };
            collect(connection, sql, params![query, tenant.0, limit], near)?
        }
    };
    Ok(rows)
}

/// Of the many plans that would do, the graph's: that it is cheaper was found
/// out already, and the planner knows nothing of what others' vectors cost.
fn walk_on(connection: &Connection, k: usize) -> Result<(), Failure> {
    let ef_search = k.clamp(EF_SEARCH_MIN, EF_SEARCH_MAX).to_string();
    let scanned = SCANNED_MAX.to_string();
    settings(
        connection,
        &[
            ("jit", "off"),
            ("plan_cache_mode", "force_custom_plan"),
            ("enable_sort", "off"),
            ("hnsw.iterative_scan", "relaxed_order"),
            ("hnsw.max_scan_tuples", &scanned),
            ("hnsw.ef_search", &ef_search),
        ],
    )
}

/// With a plan for any vector its text would be read again for each row.
fn compare_each(connection: &Connection) -> Result<(), Failure> {
    settings(
        connection,
        &[("jit", "off"), ("plan_cache_mode", "force_custom_plan")],
    )
}

fn near(row: &crate::sql::Row<'_>) -> Result<NearVector, Failure> {
    let id: i64 = row.get(0)?;
    Ok(NearVector {
        chunk: ChunkId(id / 2),
        page: PageId(row.get(1)?),
        similarity: row.get::<f64>(2)? as f32,
    })
}

fn text_of(vector: &[f32]) -> String {
    let parts: Vec<String> = vector.iter().map(f32::to_string).collect();
    format!("[{}]", parts.join(","))
}
