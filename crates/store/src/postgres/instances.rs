//! Which open stores still live, by a heartbeat in the database.
//!
//! Machines see each other's processes only through the server. A store renews
//! its row by the server's clock; one that has not for [`LOST_AFTER_S`] counts
//! as gone. A process that was only held up finds its work fenced off, as every
//! claim and lease has an epoch or an owner that is checked.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::connection::Connection;
use super::migrate::program_version;
use super::server::Server;
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::sql::ValueRef;

const BEAT: Duration = Duration::from_secs(2);
const LOST_AFTER_S: u32 = 12;
/// A store that was not heard of for so long will not come back as if nothing
/// was: what it needs of the schema may be taken away.
pub(super) const CONTRACT_WAIT_S: u32 = 120;
/// Stores that do not say what version they know were written before any did.
pub(super) const ANNOUNCED_FROM: i64 = 8;

/// Keeps a store known to live.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Makes `name` known and renews it until dropped.
    pub(super) fn start(server: &Server, name: &str) -> Result<Heartbeat, StoreError> {
        let connection = server
            .connect()
            .and_then(|connection| renew(&connection, name).map(|()| connection))
            .map_err(|f| f.into_store_error("register with the database", &server.describe()))?;
        let (stop, stopped) = bounded(0);
        let (server, name) = (server.clone(), name.to_owned());
        let thread = std::thread::Builder::new()
            .name("store-heartbeat".to_owned())
            .spawn(move || beat(&server, &name, connection, &stopped))
            .map_err(|e| StoreError::new(StoreErrorKind::Io, "start the heartbeat").caused_by(e))?;
        Ok(Heartbeat {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's heartbeat panicked");
        }
    }
}

fn beat(server: &Server, name: &str, connection: Connection, stopped: &Receiver<()>) {
    let mut connection = Some(connection);
    while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
        let beaten = match connection.take() {
            Some(connection) => Ok(connection),
            None => server.connect(),
        };
        match beaten.and_then(|connection| renew(&connection, name).map(|()| connection)) {
            Ok(living) => connection = Some(living),
            // The next beat connects anew.
            Err(failure) => tracing::debug!(?failure, "a heartbeat failed"),
        }
    }
    // Whoever still sees the row only waits until it is too old.
    if let Some(connection) = connection {
        let sql = "DELETE FROM instances WHERE name = ?1";
        if let Err(failure) = connection.execute(sql, &[ValueRef::Text(name)]) {
            tracing::debug!(?failure, "an instance stays registered");
        }
    }
}

/// Outside of the turns to write: it touches no row of anybody else.
fn renew(connection: &Connection, name: &str) -> Result<(), Failure> {
    let known = program_version();
    let from = announce(connection, name, known)?;
    if from > known {
        // It was held up for so long that it counted as gone.
        tracing::error!(
            "the database is for version {from} and later, this process knows {known}: it fails \
             from now on; start a newer one instead"
        );
    }
    connection.run_batch("DELETE FROM instances WHERE seen_at < now() - interval '1 day'")?;
    Ok(())
}

/// Makes a store known that knows this version of the schema; the version from
/// which on programs may use the database.
pub(super) fn announce(connection: &Connection, name: &str, version: i64) -> Result<i64, Failure> {
    let from: Option<Option<i64>> = connection.first(
        "INSERT INTO instances (name, seen_at, version) VALUES (?1, now(), ?2)
         ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, version = excluded.version
         RETURNING (SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'compatible_from')",
        &[ValueRef::Text(name), ValueRef::Integer(version)],
        |row| row.get(0),
    )?;
    Ok(from.flatten().unwrap_or(0))
}

/// The names of stores that live, by the server's clock.
pub(crate) fn living(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    let sql =
        format!("SELECT name FROM instances WHERE seen_at > now() - interval '{LOST_AFTER_S} s'");
    connection.for_each(&sql, &[], |row| {
        names.push(row.get(0)?);
        Ok(())
    })?;
    Ok(names)
}
