//! A database before its first migration, and what it begins with.

use std::hash::{BuildHasher, RandomState};

use types::Timestamp;

use super::plan::MIGRATIONS;
use super::state::State;
use crate::error::Failure;
use crate::postgres::connection::Connection;
use crate::sql::ValueRef;

/// The rows that every database begins with.
pub(super) fn plant(connection: &Connection, now: Timestamp) -> Result<(), Failure> {
    let sql = "INSERT INTO meta (key, value) VALUES ('database_id', ?1)";
    connection.execute(sql, &[ValueRef::Text(&new_database_id())])?;
    let sql = "INSERT INTO tenants (name, created_at) VALUES ('default', ?1)";
    let id = connection.insert(sql, &[ValueRef::Integer(now.0)])?;
    if id != types::TenantId::DEFAULT.0 {
        return Err(Failure::bug(format!("the default tenant has number {id}")));
    }
    Ok(())
}

/// Whether there is nothing yet; see [`crate::postgres::is_vacant`].
pub(crate) fn is_vacant(connection: &Connection) -> Result<bool, Failure> {
    let state = State::read(connection, MIGRATIONS)?;
    state.check_not_too_new(MIGRATIONS)?;
    if state.version > 0 {
        return Ok(false);
    }
    check_empty(connection).map(|()| true)
}

/// A database address in the environment may be meant for another program.
pub(super) fn check_empty(connection: &Connection) -> Result<(), Failure> {
    let sql = "SELECT count(*) FROM pg_class c
               WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
                 AND NOT EXISTS (SELECT 1 FROM pg_depend d
                                 WHERE d.objid = c.oid AND d.deptype = 'e')";
    let tables: Option<i64> = connection.first(sql, &[], |row| row.get(0))?;
    if tables != Some(0) {
        return Err(Failure::conflict(
            "the database has tables of another program; name an empty one in the database URL",
        ));
    }
    Ok(())
}

/// Tells a database from any other that was ever at its address.
fn new_database_id() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}", random())
}

/// The name that the database got when it was made.
pub(crate) fn database_id(connection: &Connection) -> Result<String, Failure> {
    let sql = "SELECT value FROM meta WHERE key = 'database_id'";
    let id = connection.first(sql, &[], |row| row.get(0))?;
    id.ok_or_else(|| Failure::corrupt("the database has no id"))
}
