//! Pages that go to another database.

use super::{SEARCH_TURN, SearchTables, ids, pages, tables};
use crate::error::Failure;
use crate::sql::{Connection, collect, execute, first};

/// Drops what the tables here have of `gone`, in the transaction that removes
/// these pages. They leave no change behind by which followers would hear of it.
pub(crate) fn forget(connection: &Connection, gone: &[i64]) -> Result<(), Failure> {
    let is_server = matches!(connection, Connection::Postgres(_));
    if !is_server || !tables::exists(connection, "search_progress")? {
        return Ok(());
    }
    // Followers never wait for those who write pages, so this cannot be a circle.
    let turn = "SELECT pg_advisory_xact_lock(?1)";
    first(connection, turn, [SEARCH_TURN], |_| Ok(()))?;
    // A batch that was read before the pages went is not to be applied after it.
    let sql = "UPDATE search_progress SET follower = '', held_until = '-infinity'";
    execute(connection, sql, [])?;
    let gone = ids(gone.iter().copied());
    if has(connection, SearchTables::Pages)? {
        pages::take_out(connection, &gone)?;
    }
    if has(connection, SearchTables::Vectors)? {
        let counted: Vec<(i64, i64, i64)> = collect(
            connection,
            "WITH gone AS (
               DELETE FROM search_vectors
               WHERE page_id = ANY(CAST(string_to_array(?1, ',') AS BIGINT[]))
               RETURNING id, tenant_id)
             SELECT tenant_id, count(*) FILTER (WHERE id % 2 = 0), count(*)
             FROM gone GROUP BY tenant_id",
            [&gone],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        for (tenant, passages, vectors) in counted {
            let sql = "UPDATE search_passages SET passages = passages - ?2, vectors = vectors - ?3
                       WHERE tenant_id = ?1";
            execute(connection, sql, [tenant, passages, vectors])?;
        }
    }
    Ok(())
}

fn has(connection: &Connection, tables: SearchTables) -> Result<bool, Failure> {
    let sql = "SELECT 1 FROM search_progress WHERE tables = ?1";
    Ok(first(connection, sql, [tables.name()], |_| Ok(()))?.is_some())
}
