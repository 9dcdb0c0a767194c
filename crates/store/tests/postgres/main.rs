//! The engine on a PostgreSQL server, seen from outside.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the test functions themselves"
)]

mod certificates;
mod faults;
mod machines;
mod restarts;
mod upgrades;

#[path = "../suite/moving.rs"]
mod moving;

#[path = "../suite/mod.rs"]
mod suite;

use suite::support;

#[path = "../suite/server.rs"]
mod engine;

/// How the suite reaches a database.
fn url(database: &testkit::services::Postgres) -> String {
    database.url()
}
