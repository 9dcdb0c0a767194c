//! Places that are crawled again and again.

use rusqlite::{Connection, Row, params};
use types::{SourceId, TenantId, Timestamp};

use crate::codec;
use crate::error::Failure;
use crate::rows::{collect, count, crawl_row, first, select_crawls};
use crate::{NewSource, SourceRow, Store, StoreError};

macro_rules! select_sources {
    ($ending:literal) => {
        concat!(
            "SELECT id, tenant_id, name, seeds, policy, created_at, pages_live FROM sources ",
            $ending
        )
    };
}

impl Store {
    /// The tenant's source with this set of seeds, created where missing. Its
    /// name and policy become the given ones.
    pub fn ensure_source(&self, source: NewSource) -> Result<SourceId, StoreError> {
        let now = self.now();
        self.write("save the source", move |connection| {
            ensure_source(connection, source, now)
        })
    }

    /// All sources of a tenant, oldest first.
    pub fn sources(&self, tenant: TenantId) -> Result<Vec<SourceRow>, StoreError> {
        self.read("list sources", |connection| {
            let mut sources = collect(
                connection,
                select_sources!("WHERE tenant_id = ?1 ORDER BY id"),
                [tenant.0],
                source_row,
            )?;
            for source in &mut sources {
                add_last_crawl(connection, source)?;
            }
            Ok(sources)
        })
    }

    pub fn source(&self, id: SourceId) -> Result<Option<SourceRow>, StoreError> {
        self.read("read the source", |connection| {
            let sql = select_sources!("WHERE id = ?1");
            let mut source = first(connection, sql, [id.0], source_row)?;
            if let Some(source) = &mut source {
                add_last_crawl(connection, source)?;
            }
            Ok(source)
        })
    }
}

fn ensure_source(
    connection: &Connection,
    source: NewSource,
    now: Timestamp,
) -> Result<SourceId, Failure> {
    if source.seeds.is_empty() {
        return Err(Failure::conflict("a source needs at least one seed"));
    }
    let mut seeds = source.seeds;
    seeds.sort();
    seeds.dedup();
    let seeds = codec::encode_strings(&seeds)?;
    let known_tenant = first(
        connection,
        "SELECT 1 FROM tenants WHERE id = ?1",
        [source.tenant.0],
        |_| Ok(()),
    )?;
    if known_tenant.is_none() {
        return Err(Failure::not_found(format!("no tenant {}", source.tenant)));
    }
    let id = connection
        .prepare_cached(
            "INSERT INTO sources (tenant_id, name, seeds, seeds_hash, policy, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (tenant_id, seeds_hash)
             DO UPDATE SET name = excluded.name, policy = excluded.policy
             RETURNING id",
        )?
        .query_row(
            params![
                source.tenant.0,
                source.name,
                seeds,
                codec::hash_16(seeds.as_bytes()),
                source.policy,
                now.0
            ],
            |row| row.get(0),
        )?;
    Ok(SourceId(id))
}

fn source_row(row: &Row<'_>) -> Result<SourceRow, Failure> {
    let seeds: String = row.get(3)?;
    Ok(SourceRow {
        id: SourceId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        name: row.get(2)?,
        seeds: codec::decode_strings(&seeds)?,
        policy: row.get(4)?,
        created_at: Timestamp(row.get(5)?),
        page_count: count(row, 6)?,
        last_crawl: None,
    })
}

fn add_last_crawl(connection: &Connection, source: &mut SourceRow) -> Result<(), Failure> {
    source.last_crawl = first(
        connection,
        select_crawls!("WHERE source_id = ?1 ORDER BY id DESC LIMIT 1"),
        [source.id.0],
        crawl_row,
    )?;
    Ok(())
}
