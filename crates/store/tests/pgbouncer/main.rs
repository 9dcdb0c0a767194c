//! The engine on a PostgreSQL server behind PgBouncer in transaction mode, seen from outside.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the test functions themselves"
)]

mod clients;

#[path = "../suite/moving.rs"]
mod moving;

#[path = "../suite/mod.rs"]
mod suite;

use suite::support;

#[path = "../suite/server.rs"]
mod engine;

/// How the suite reaches a database.
fn url(database: &testkit::services::Postgres) -> String {
    database.pgbouncer_url()
}
