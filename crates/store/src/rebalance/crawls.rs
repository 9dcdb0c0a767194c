//! The crawl log of a source, and the source itself.

use types::{SourceId, TenantId, Timestamp};

use super::hold::{ARRIVING, Leaving, is_arriving};
use super::luggage::{IDS, json};
use crate::EmbeddingModel;
use crate::embedding::current_model;
use crate::error::Failure;
use crate::quotas::discount_source;
use crate::rows::as_i64;
use crate::sources::{give_seeds_up, no_seeds, no_source};
use crate::sql::{Connection, Value, collect, execute, first, params};
use crate::transfer::{Picked, number};

/// Crawls that go in one step.
const CRAWLS_MAX: usize = 200;
/// Rows of the frontier that one write deletes.
const FRONTIER_ROWS_MAX: usize = 5_000;

/// Crawls with the reasons why URLs failed or were skipped. The URLs of ended
/// crawls stay behind: nothing asks for them any more.
pub(super) struct CrawlLog {
    pub(super) crawls: Picked,
    reasons: Picked,
}

/// The source's oldest crawls that are still here.
pub(super) fn next_crawls(connection: &Connection, source: SourceId) -> Result<CrawlLog, Failure> {
    let crawls = Picked::read(
        connection,
        "crawls",
        "source_id = ?1 ORDER BY id LIMIT ?2",
        [source.0, as_i64(CRAWLS_MAX)],
    )?;
    let reasons = Picked::read(
        connection,
        "crawl_reasons",
        &format!("crawl_id IN {IDS}"),
        [json(&crawls.numbers("id"))?],
    )?;
    Ok(CrawlLog { crawls, reasons })
}

pub(super) fn arrive(
    connection: &Connection,
    source: SourceId,
    log: &CrawlLog,
) -> Result<(), Failure> {
    if !is_arriving(connection, source)? {
        return Err(Failure::conflict(format!(
            "another process has moved source {source}"
        )));
    }
    let ids = log.crawls.numbers("id");
    let sql = format!("SELECT id FROM crawls WHERE id IN {IDS}");
    let known: Vec<i64> = collect(connection, &sql, [json(&ids)?], |row| row.get(0))?;
    let mut new = [log.crawls.clone(), log.reasons.clone()];
    for (picked, column) in new.iter_mut().zip(["id", "crawl_id"]) {
        let column = picked.column(column);
        picked
            .rows
            .retain(|row| !known.contains(&number(&row[column])));
        picked.insert(connection)?;
    }
    Ok(())
}

/// Crawls with their reasons, as many as there are.
pub(super) fn count(connection: &Connection, crawls: &str) -> Result<Vec<(i64, i64)>, Failure> {
    let sql = format!(
        "SELECT c.id, (SELECT count(*) FROM crawl_reasons r WHERE r.crawl_id = c.id)
         FROM crawls c WHERE c.id IN {IDS} ORDER BY c.id"
    );
    collect(connection, &sql, [crawls], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

/// True when there is nothing more to delete.
pub(super) fn leave(
    connection: &Connection,
    leaving: &Leaving,
    crawls: &str,
) -> Result<bool, Failure> {
    leaving.check(connection)?;
    let sql = format!(
        "DELETE FROM frontier WHERE id IN
           (SELECT id FROM frontier WHERE crawl_id IN {IDS} LIMIT ?2)"
    );
    let limit = as_i64(FRONTIER_ROWS_MAX);
    let rows = execute(connection, &sql, params![crawls, limit])?;
    if rows == FRONTIER_ROWS_MAX {
        return Ok(false);
    }
    let sql = format!("DELETE FROM crawl_reasons WHERE crawl_id IN {IDS}");
    execute(connection, &sql, [crawls])?;
    let sql = format!("DELETE FROM crawls WHERE id IN {IDS}");
    execute(connection, &sql, [crawls])?;
    Ok(true)
}

/// What one database tells the other before anything is moved.
pub(super) struct Habits {
    model: Option<EmbeddingModel>,
    chunk_settings: Option<String>,
}

pub(super) fn habits(connection: &Connection) -> Result<Habits, Failure> {
    Ok(Habits {
        model: current_model(connection)?,
        chunk_settings: setting(connection, CHUNK_SETTINGS)?,
    })
}

const CHUNK_SETTINGS: &str = "chunk_settings";

fn setting(connection: &Connection, key: &str) -> Result<Option<String>, Failure> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    first(connection, sql, [key], |row| row.get(0))
}

impl Habits {
    /// Why pages of a database with these cannot go to one with `there`.
    pub(super) fn clash(&self, there: &Habits) -> Option<String> {
        let (here, there) = (self.model.as_ref()?, there.model.as_ref()?);
        let (here_id, there_id) = (&here.id, &there.id);
        (here != there).then(|| {
            format!("its vectors are of {here_id}, those of the other database of {there_id}")
        })
    }

    /// What the database does not know yet is as it was where the pages come
    /// from. Where chunks were made with other settings, it is forgotten which:
    /// then they are made anew, and those that are the same stay.
    fn adopt(&self, connection: &Connection) -> Result<(), Failure> {
        let there = habits(connection)?;
        let save = |key: &str, value: &str| {
            let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
            execute(connection, sql, [key, value])
        };
        if let (Some(model), None) = (&self.model, &there.model) {
            save("embedding_model", &model.id)?;
            save("embedding_dims", &model.dims.to_string())?;
        }
        let sql = "SELECT value FROM counters WHERE name = 'pages'";
        let pages: Option<i64> = first(connection, sql, [], |row| row.get(0))?;
        match (&self.chunk_settings, &there.chunk_settings) {
            (Some(settings), None) if pages == Some(0) => {
                save(CHUNK_SETTINGS, settings)?;
            }
            (here, Some(there)) if here.as_ref() != Some(there) => {
                let sql = "DELETE FROM meta WHERE key = ?1";
                execute(connection, sql, [CHUNK_SETTINGS])?;
            }
            _ => {}
        }
        Ok(())
    }
}

pub(super) fn read_source(connection: &Connection, source: SourceId) -> Result<Picked, Failure> {
    Picked::read(connection, "sources", "id = ?1", [source.0])
}

/// Makes room for the source's pages: a row that is in no list and that nobody
/// finds by its id or its start URLs, but pages may belong to.
pub(super) fn announce(
    connection: &Connection,
    source: SourceId,
    row: &Picked,
    habits: &Habits,
    now: Timestamp,
) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM sources WHERE id = ?1";
    if first(connection, sql, [source.0], |_| Ok(()))?.is_some() {
        return Ok(());
    }
    habits.adopt(connection)?;
    let mut row = row.clone();
    let set = [
        ("seeds_hash", Value::Blob(no_seeds(source).to_vec())),
        ("pages_live", Value::Integer(0)),
        ("next_due_at", Value::Null),
        ("removed_at", Value::Integer(now.0)),
        ("purging", Value::Integer(ARRIVING)),
    ];
    for (name, value) in set {
        let column = row.column(name);
        row.rows[0][column] = value;
    }
    row.insert(connection)
}

/// All has arrived: from now on this is where the source is.
pub(super) fn settle(
    connection: &Connection,
    source: SourceId,
    row: &Picked,
    leaving: &Leaving,
) -> Result<(), Failure> {
    if !is_arriving(connection, source)? {
        // It has settled already.
        return Ok(());
    }
    let column = |name: &str| &row.rows[0][row.column(name)];
    let tenant = number(column("tenant_id"));
    let same_seeds: Option<(i64, Option<i64>)> = first(
        connection,
        "SELECT id, removed_at FROM sources WHERE tenant_id = ?1 AND seeds_hash = ?2",
        params![tenant, column("seeds_hash")],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    match same_seeds {
        Some((other, Some(_))) => give_seeds_up(connection, SourceId(other))?,
        Some((other, None)) => {
            return Err(Failure::conflict(format!(
                "source {other} there has the same start URLs"
            )));
        }
        None => {}
    }
    const COLUMNS: [&str; 14] = [
        "name",
        "seeds",
        "seeds_hash",
        "policy",
        "kind",
        "active",
        "every_ms",
        "cron",
        "interval_min_ms",
        "interval_max_ms",
        "interval_ms",
        "last_crawled_at",
        "failures_in_a_row",
        "trouble",
    ];
    let places: Vec<String> = (2..)
        .zip(COLUMNS)
        .map(|(n, c)| format!("{c} = ?{n}"))
        .collect();
    let sql = format!(
        "UPDATE sources SET {}, settings = ?16, next_due_at = ?17, removed_at = NULL, purging = 0
         WHERE id = ?1",
        places.join(", ")
    );
    let mut values = vec![Value::Integer(source.0)];
    values.extend(COLUMNS.iter().map(|name| column(name).clone()));
    values.push(column("settings").clone());
    values.push(Value::from(leaving.next_due_at));
    execute(connection, &sql, &values)?;
    let sql = "UPDATE tenants SET sources = sources + 1, data_version = data_version + 1
               WHERE id = ?1";
    execute(connection, sql, [tenant])?;
    Ok(())
}

/// The last of the source goes, and with it the hold.
pub(super) fn forget(
    connection: &Connection,
    leaving: &Leaving,
    tenant: TenantId,
) -> Result<(), Failure> {
    leaving.check(connection)?;
    let sql = "DELETE FROM sources WHERE id = ?1";
    if execute(connection, sql, [leaving.source])? == 0 {
        return Err(no_source(SourceId(leaving.source)));
    }
    discount_source(connection, tenant)?;
    let sql = "UPDATE tenants SET data_version = data_version + 1 WHERE id = ?1";
    execute(connection, sql, [tenant.0])?;
    leaving.end(connection)
}
