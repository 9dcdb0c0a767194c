//! The turn to change the schema, in a transaction.

use std::time::Duration;

use crate::error::Failure;
use crate::postgres::connection::{Connection, IDLE_MS, WRITE_TURN};
use crate::sql::ValueRef;

impl Connection {
    /// Begins a transaction that holds `lock` and the turn to write, and waits
    /// for what else it locks no longer than given; false when another has `lock`.
    pub(super) fn begin_if_free(&self, lock: i64, wait: Duration) -> Result<bool, Failure> {
        self.run_batch(&format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED;
             SET LOCAL idle_in_transaction_session_timeout = {IDLE_MS}"
        ))?;
        self.begun();
        let sql = "SELECT CAST(CAST(pg_try_advisory_xact_lock(?1) AS INT) AS BIGINT)";
        let values = [ValueRef::Integer(lock)];
        let taken: Option<i64> = self.first(sql, &values, |row| row.get(0))?;
        if taken != Some(1) {
            self.roll_back()?;
            return Ok(false);
        }
        let wait_ms = wait.as_millis();
        self.run_batch(&format!(
            "SELECT pg_advisory_xact_lock({WRITE_TURN}); SET LOCAL lock_timeout = {wait_ms}"
        ))?;
        Ok(true)
    }

    /// The transaction of another connection that has been open for longest, for people.
    pub(super) fn longest_transaction(&self) -> Result<Option<String>, Failure> {
        let sql = "SELECT format('process %s, %s, open for %s s', pid,
                     coalesce(nullif(application_name, ''), 'unnamed'),
                     CAST(extract(epoch FROM now() - xact_start) AS BIGINT))
                   FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()
                     AND xact_start IS NOT NULL AND backend_type = 'client backend'
                   ORDER BY xact_start LIMIT 1";
        self.first(sql, &[], |row| row.get(0))
    }
}
