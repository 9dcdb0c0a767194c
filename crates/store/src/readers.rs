//! A bounded pool of read-only connections.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Failure;
use crate::location::Location;
use crate::options::StoreOptions;
use crate::postgres::{Fault, fault_of_failure};
use crate::presence::Attempt;
use crate::sql::Connection;

pub(crate) struct Readers {
    location: Location,
    options: StoreOptions,
    pool: Mutex<Pool>,
    returned: Condvar,
}

struct Pool {
    idle: Vec<Connection>,
    opened: usize,
}

impl Pool {
    fn forget_idle(&mut self) {
        self.opened -= self.idle.len();
        self.idle.clear();
    }
}

impl Readers {
    pub(crate) fn new(location: Location, options: StoreOptions) -> Readers {
        Readers {
            location,
            options,
            pool: Mutex::new(Pool {
                idle: Vec::new(),
                opened: 0,
            }),
            returned: Condvar::new(),
        }
    }

    /// Runs `read` in one read transaction, so that it sees one state of the
    /// database even when it asks several times. Waits for a free connection,
    /// and reads once more when the one it got turns out to be dead.
    pub(crate) fn read<T>(
        &self,
        mut read: impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Attempt> {
        loop {
            let lease = self.check_out().map_err(|failure| Attempt {
                fault: fault_of_failure(&failure),
                failure,
            })?;
            let connection = lease.connection();
            let value = connection.begin_reading().and_then(|()| read(connection));
            let value = value.and_then(|value| {
                connection.commit(false)?;
                Ok(value)
            });
            let failure = match value {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let fault = connection.fault();
            if matches!(fault, Some(Fault::Lost | Fault::Stale)) {
                // Its neighbours died with it.
                self.pool().forget_idle();
                if lease.was_kept {
                    continue;
                }
            }
            return Err(Attempt { failure, fault });
        }
    }

    fn check_out(&self) -> Result<Lease<'_>, Failure> {
        let mut pool = self.pool();
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok(Lease {
                    readers: self,
                    connection: Some(connection),
                    was_kept: true,
                });
            }
            if pool.opened < self.options.readers.max(1) {
                pool.opened += 1;
                drop(pool);
                let mut lease = Lease {
                    readers: self,
                    connection: None,
                    was_kept: false,
                };
                // On failure the lease gives the place back.
                lease.connection = Some(self.location.open_reader(&self.options)?);
                return Ok(lease);
            }
            pool = self
                .returned
                .wait(pool)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A panic elsewhere leaves the pool's two fields consistent.
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Lease<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
    /// It may have died while nobody looked.
    was_kept: bool,
}

impl Lease<'_> {
    fn connection(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("bug: a lease is handed out with its connection")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // A transaction that could not be ended must not be passed on.
        let connection = self.connection.take();
        let connection =
            connection.filter(|connection| connection.roll_back() && connection.fault().is_none());
        let mut pool = self.readers.pool();
        match connection {
            Some(connection) if pool.idle.len() < self.readers.options.readers_kept.max(1) => {
                pool.idle.push(connection);
            }
            _ => pool.opened -= 1,
        }
        drop(pool);
        self.readers.returned.notify_one();
    }
}
