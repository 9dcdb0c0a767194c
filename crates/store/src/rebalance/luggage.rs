//! Some pages of a source with all that belongs to them, read where they lie.

use std::collections::{HashMap, HashSet};

use types::{SourceId, TenantId};

use crate::EmbeddingModel;
use crate::batch::is_representative;
use crate::embedding::current_model;
use crate::error::Failure;
use crate::rows::as_i64;
use crate::sql::{Connection, Value, collect, first};
use crate::transfer::{Picked, number};

/// Pages that go in one step: some milliseconds of reading and a transaction of
/// a fraction of a second on either side.
const PAGES_MAX: usize = 200;
/// Chunks after which a step takes no further page.
const CHUNKS_MAX: i64 = 5_000;
/// Bytes of contents after which a step takes no further page.
const BYTES_MAX: i64 = 8 * 1024 * 1024;

/// Ids given as one parameter, `?1`: a JSON array.
pub(super) const IDS: &str = "(SELECT CAST(value AS BIGINT) FROM json_each(?1))";

/// What hangs on pages, one row or several of each.
pub(super) struct Luggage {
    pub(super) tenant: TenantId,
    /// Of the vectors that come with it.
    pub(super) model: Option<EmbeddingModel>,
    pub(super) pages: Picked,
    pub(super) details: Picked,
    pub(super) versions: Picked,
    pub(super) records: Picked,
    pub(super) notes: Picked,
    pub(super) summaries: Picked,
    pub(super) contents: Picked,
    /// Those of the pages, and those of holders that stay behind.
    pub(super) chunks: Picked,
    pub(super) vectors: Picked,
    /// By content: who has its chunks, if a live page does.
    pub(super) holders: HashMap<i64, Holder>,
}

/// The page that has the chunks of a content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) page: i64,
    /// It belongs to another source, and stays.
    pub(super) stays: bool,
    pub(super) near: Option<i64>,
    pub(super) is_representative: bool,
}

/// The next pages of the source, lowest ids first; those that were deleted
/// last. Empty when all have gone.
pub(super) fn next_pages(connection: &Connection, source: SourceId) -> Result<Vec<i64>, Failure> {
    let sizes: Vec<(i64, i64, i64)> = collect(
        connection,
        "SELECT p.id, p.chunk_count,
           (SELECT CAST(coalesce(sum(octet_length(c.body)), 0) AS BIGINT) FROM contents c
            WHERE c.id = p.content_id
               OR c.id IN (SELECT v.content_id FROM page_versions v WHERE v.page_id = p.id))
         FROM pages p WHERE p.source_id = ?1 AND p.version > 0 ORDER BY p.id LIMIT ?2",
        [source.0, as_i64(PAGES_MAX)],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    if sizes.is_empty() {
        let sql = "SELECT id FROM pages WHERE source_id = ?1 AND version = 0 LIMIT ?2";
        return collect(connection, sql, [source.0, as_i64(PAGES_MAX)], |row| {
            row.get(0)
        });
    }
    let (mut chunks, mut bytes) = (0, 0);
    let mut pages = Vec::new();
    for (page, more_chunks, more_bytes) in sizes {
        if !pages.is_empty() && (chunks >= CHUNKS_MAX || bytes >= BYTES_MAX) {
            break;
        }
        chunks += more_chunks;
        bytes += more_bytes;
        pages.push(page);
    }
    Ok(pages)
}

/// All that belongs to those of the pages that the source still has here.
pub(super) fn read(
    connection: &Connection,
    source: SourceId,
    pages: &[i64],
) -> Result<Luggage, Failure> {
    let pages = Picked::read(
        connection,
        "pages",
        &format!("source_id = ?2 AND id IN {IDS} ORDER BY id"),
        &vec![Value::from(json(pages)?), Value::from(source.0)],
    )?;
    let ids = json(&pages.numbers("id"))?;
    let of_pages = |table: &str| {
        let condition = format!("page_id IN {IDS}");
        Picked::read(connection, table, &condition, [&ids])
    };
    let details = of_pages("page_details")?;
    let versions = of_pages("page_versions")?;
    let records = of_pages("records")?;
    let notes = of_pages("page_notes")?;
    let summaries = of_pages("summaries")?;
    let used: HashSet<i64> = pages
        .numbers("content_id")
        .into_iter()
        .chain(versions.numbers("content_id"))
        .collect();
    let used: Vec<i64> = used.into_iter().collect();
    let contents = Picked::read(
        connection,
        "contents",
        &format!("id IN {IDS}"),
        [json(&used)?],
    )?;
    let tenant = pages.numbers("tenant_id").first().copied().unwrap_or(0);
    let holders = holders(connection, TenantId(tenant), source, &pages)?;
    let here: HashSet<i64> = pages.numbers("id").into_iter().collect();
    let holding: Vec<i64> = holders
        .values()
        .filter(|holder| holder.stays || here.contains(&holder.page))
        .map(|holder| holder.page)
        .collect();
    let chunks = Picked::read(
        connection,
        "chunks",
        &format!("page_id IN {IDS} ORDER BY page_id, position, id"),
        [json(&holding)?],
    )?;
    let vectors: Vec<i64> = chunks
        .numbers("id")
        .into_iter()
        .flat_map(|id| [id * 2, id * 2 + 1])
        .collect();
    let vectors = Picked::read(
        connection,
        "vectors",
        &format!("id IN {IDS}"),
        [json(&vectors)?],
    )?;
    Ok(Luggage {
        tenant: TenantId(tenant),
        model: current_model(connection)?,
        pages,
        details,
        versions,
        records,
        notes,
        summaries,
        contents,
        chunks,
        vectors,
        holders,
    })
}

fn holders(
    connection: &Connection,
    tenant: TenantId,
    source: SourceId,
    pages: &Picked,
) -> Result<HashMap<i64, Holder>, Failure> {
    let (content, status) = (pages.column("content_id"), pages.column("status"));
    let live = pages.rows.iter().filter(|row| number(&row[status]) == 1);
    let contents: HashSet<i64> = live.map(|row| number(&row[content])).collect();
    let mut holders = HashMap::new();
    for content in contents {
        let found: Option<(i64, i64, Option<i64>, i64)> = first(
            connection,
            "SELECT p.id, p.source_id, p.near_duplicate_of, p.simhash
             FROM contents c JOIN pages p ON p.id = c.holder_page_id WHERE c.id = ?1",
            [content],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
        let Some((page, source_id, near, simhash)) = found else {
            continue;
        };
        let holder = Holder {
            page,
            stays: source_id != source.0,
            near,
            is_representative: is_representative(
                connection,
                tenant,
                page,
                simhash.cast_unsigned(),
            )?,
        };
        holders.insert(content, holder);
    }
    Ok(holders)
}

pub(super) fn json(ids: &[i64]) -> Result<String, Failure> {
    serde_json::to_string(ids)
        .map_err(|error| Failure::bug(format!("numbers are no JSON: {error}")))
}
