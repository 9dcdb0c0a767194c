//! The second tier: values in a file that outlives the process.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use types::Timestamp;

use super::generations::{Numbered, Stamp};
use super::key::{CacheKey, Target};
use super::memory::Held;
use super::options::CacheOptions;
use super::schema::{self, DiskError, Identity};
use crate::sync::lock;

/// Reads at the same time; more callers than this wait for one another.
const READERS: usize = 4;
/// What a row takes besides its value: its other columns and five indexes.
const ROW_BYTES: u64 = 300;
/// Rows one transaction deletes for one reason, so that none takes long.
pub(crate) const SWEPT_ROWS_MAX: usize = 256;
const VACUUMED_PAGES_MAX: i64 = 512;

/// `None`: the file is closed.
pub(crate) type Maybe<T> = Result<Option<T>, DiskError>;

/// A value on its way to disk.
pub(crate) struct NewRow {
    pub(crate) key: CacheKey,
    pub(crate) held: Held,
}

/// What one look at the file brought.
pub(crate) struct Look {
    pub(crate) found: Option<Found>,
    /// Invalidations since the number given.
    pub(crate) news: Vec<Numbered>,
}

pub(crate) struct Found {
    pub(crate) row: i64,
    pub(crate) held: Held,
    pub(crate) last_used: Timestamp,
}

/// Entries dropped for want of room, by area, and whether there are more to go.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) evicted: Vec<String>,
    pub(crate) is_over: bool,
}

/// One open cache file. After [`Disk::close`] every operation gives `None`.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    identity: Identity,
    bytes_max: u64,
    readers: [Mutex<Option<Connection>>; READERS],
    turnstile: Mutex<()>,
    /// Dropped last: a reader that closes a file cannot tidy up its log.
    writer: Mutex<Option<Connection>>,
    next_reader: AtomicUsize,
    closed: AtomicBool,
}

impl Disk {
    pub(crate) fn open(path: &Path, options: &CacheOptions) -> Result<Disk, DiskError> {
        let writer = schema::open_writer(path, options)?;
        let mut readers = [const { Mutex::new(None) }; READERS];
        for reader in &mut readers {
            *reader = Mutex::new(Some(schema::open_reader(path)?));
        }
        Ok(Disk {
            path: path.to_owned(),
            identity: Identity::of(path)?,
            bytes_max: options.disk_bytes_max,
            readers,
            turnstile: Mutex::new(()),
            writer: Mutex::new(Some(writer)),
            next_reader: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }

    /// Stops using the file, once: `true` for who did it. The file goes too:
    /// it will not hear of invalidations from now on, and nobody may take it
    /// for current later.
    pub(crate) fn close(&self, reason: &DiskError) -> bool {
        if self.closed.swap(true, Ordering::SeqCst) {
            return false;
        }
        for connection in self.readers.iter().chain([&self.writer]) {
            lock(connection).take();
        }
        let removed = match reason {
            DiskError::Replaced => Ok(()),
            reason if reason.is_damage() => schema::set_aside(&self.path),
            _ => schema::remove(&self.path),
        };
        if let Err(error) = removed {
            tracing::debug!(path = %self.path.display(), %error, "the file stays");
        }
        true
    }

    /// Whether the path still leads to this file.
    pub(crate) fn check_in_place(&self) -> Result<(), DiskError> {
        match Identity::of(&self.path) {
            Ok(identity) if identity == self.identity => Ok(()),
            _ => Err(DiskError::Replaced),
        }
    }

    pub(crate) fn look(&self, key: &CacheKey, known: Stamp) -> Maybe<Look> {
        self.read(|connection| {
            let found = find(connection, key)?;
            // After the row: an invalidation in between makes it stale.
            let news = news(connection, known)?;
            Ok(Look { found, news })
        })
    }

    pub(crate) fn news(&self, known: Stamp) -> Maybe<Vec<Numbered>> {
        self.read(|connection| news(connection, known))
    }

    pub(crate) fn has(&self, key: &CacheKey) -> Maybe<bool> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT 1 FROM entry WHERE scope = ?1 AND area = ?2 AND name = ?3")?
                .exists(params![key.scope.cast_signed(), key.area, key.name])
        })
    }

    /// Entries and bytes of each area.
    pub(crate) fn usage(&self) -> Maybe<Vec<(String, u64, u64)>> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT area, entries, bytes FROM usage WHERE entries > 0")?
                .query_map([], |row| Ok((row.get(0)?, count(row, 1)?, count(row, 2)?)))?
                .collect()
        })
    }

    /// Numbers an invalidation. Also gives what other processes invalidated
    /// since `known`: the new number is higher than theirs.
    pub(crate) fn invalidate(&self, target: &Target, known: Stamp) -> Maybe<(u64, Vec<Numbered>)> {
        self.write(|transaction| {
            let scope = target.scope.map(u64::cast_signed);
            if *target == Target::new(None, None) {
                transaction.execute("DELETE FROM invalidation", [])?;
            } else {
                transaction
                    .prepare_cached("DELETE FROM invalidation WHERE scope IS ?1 AND area IS ?2")?
                    .execute(params![scope, target.area])?;
            }
            transaction
                .prepare_cached("INSERT INTO invalidation (scope, area) VALUES (?1, ?2)")?
                .execute(params![scope, target.area])?;
            let number = transaction.last_insert_rowid().cast_unsigned();
            Ok((number, news(transaction, known)?))
        })
    }

    /// Writes values, remembers which were used, and deletes as much as that
    /// takes: some of what expired, then the least recently used.
    pub(crate) fn store(
        &self,
        rows: &[NewRow],
        used: &[(i64, Timestamp)],
        now: Timestamp,
    ) -> Maybe<Written> {
        self.write(|transaction| {
            for row in rows {
                insert(transaction, row)?;
            }
            for (row, at) in used {
                transaction
                    .prepare_cached(
                        "UPDATE entry SET last_used = ?2 WHERE id = ?1 AND last_used < ?2",
                    )?
                    .execute(params![row, at.0])?;
            }
            transaction
                .prepare_cached(
                    "DELETE FROM entry WHERE id IN
                        (SELECT id FROM entry WHERE expires_at <= ?1 LIMIT ?2)",
                )?
                .execute(params![now.0, SWEPT_ROWS_MAX as i64])?;
            self.make_room(transaction)
        })
    }

    /// Deletes some of what an invalidation made stale, and says how many.
    pub(crate) fn sweep(&self, target: &Target, number: u64) -> Maybe<usize> {
        let sql = match (target.scope.is_some(), target.area.is_some()) {
            (true, true) => "scope = ?1 AND area = ?2 AND",
            (true, false) => "scope = ?1 AND ?2 IS NULL AND",
            (false, true) => "?1 IS NULL AND area = ?2 AND",
            (false, false) => "?1 IS NULL AND ?2 IS NULL AND",
        };
        let sql = format!(
            "DELETE FROM entry WHERE id IN
                (SELECT id FROM entry WHERE {sql} stamp < ?3 LIMIT ?4)"
        );
        let scope = target.scope.map(u64::cast_signed);
        self.write(|transaction| {
            transaction.prepare_cached(&sql)?.execute(params![
                scope,
                target.area,
                number.cast_signed(),
                SWEPT_ROWS_MAX as i64
            ])
        })
    }

    /// Gives some of the room back to the system if a good part of the file is
    /// empty. `true`: there is more.
    pub(crate) fn shrink(&self) -> Maybe<bool> {
        self.write(|transaction| {
            let pages =
                |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let free = pages("freelist_count")?;
            if free < VACUUMED_PAGES_MAX || free < pages("page_count")? / 4 {
                return Ok(false);
            }
            let sql = format!("PRAGMA incremental_vacuum({VACUUMED_PAGES_MAX})");
            let mut statement = transaction.prepare(&sql)?;
            let mut steps = statement.query([])?;
            while steps.next()?.is_some() {}
            Ok(true)
        })
    }

    fn make_room(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Written> {
        let mut written = Written::default();
        loop {
            let bytes: i64 = transaction
                .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM usage")?
                .query_row([], |row| row.get(0))?;
            written.is_over = bytes.cast_unsigned() > self.bytes_max;
            if !written.is_over || written.evicted.len() >= SWEPT_ROWS_MAX {
                return Ok(written);
            }
            let area = transaction
                .prepare_cached(
                    "DELETE FROM entry WHERE id =
                        (SELECT id FROM entry ORDER BY last_used LIMIT 1) RETURNING area",
                )?
                .query_row([], |row| row.get(0))
                .optional()?;
            let Some(area) = area else {
                return Ok(written);
            };
            written.evicted.push(area);
        }
    }

    #[cfg(test)]
    pub(crate) fn limit_to_present_size(&self) {
        if let Some(connection) = lock(&self.writer).as_ref() {
            // SQLite raises a limit below the present size to just that.
            connection
                .pragma_update(None, "max_page_count", 1)
                .expect("a limit");
        }
    }

    /// Readers wait for nobody who writes.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Maybe<T> {
        let free = self
            .readers
            .iter()
            .find_map(|reader| reader.try_lock().ok());
        let reader = free.unwrap_or_else(|| {
            let turn = self.next_reader.fetch_add(1, Ordering::Relaxed);
            lock(&self.readers[turn % READERS])
        });
        Ok(reader.as_ref().map(read).transpose()?)
    }

    fn write<T>(&self, write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Maybe<T> {
        // The writing thread, with more to write, would take the lock again
        // before a waiting invalidation wakes up; so whoever waits for the
        // lock keeps others from asking for it.
        let turn = lock(&self.turnstile);
        let mut writer = lock(&self.writer);
        drop(turn);
        let Some(connection) = writer.as_mut() else {
            return Ok(None);
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = write(&transaction)?;
        transaction.commit()?;
        Ok(Some(value))
    }
}

fn find(connection: &Connection, key: &CacheKey) -> rusqlite::Result<Option<Found>> {
    let found = connection
        .prepare_cached(
            "SELECT id, stamp, created_at, expires_at, last_used, digest, value FROM entry
             WHERE scope = ?1 AND area = ?2 AND name = ?3",
        )?
        .query_row(
            params![key.scope.cast_signed(), key.area, key.name],
            |row| {
                let held = Held {
                    stamp: Stamp(count(row, 1)?),
                    created_at: Timestamp(row.get(2)?),
                    expires_at: Timestamp(row.get(3)?),
                    value: Bytes::from(row.get::<_, Vec<u8>>(6)?),
                };
                let is_whole = row.get::<_, Vec<u8>>(5)? == digest(key, &held);
                let found = Found {
                    row: row.get(0)?,
                    last_used: Timestamp(row.get(4)?),
                    held,
                };
                Ok(is_whole.then_some(found))
            },
        )
        .optional()?;
    Ok(found.flatten())
}

fn news(connection: &Connection, known: Stamp) -> rusqlite::Result<Vec<Numbered>> {
    connection
        .prepare_cached("SELECT number, scope, area FROM invalidation WHERE number > ?1")?
        .query_map([known.0.cast_signed()], |row| {
            Ok(Numbered {
                number: count(row, 0)?,
                target: Target {
                    scope: row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned),
                    area: row.get(2)?,
                },
            })
        })?
        .collect()
}

fn insert(transaction: &Transaction<'_>, NewRow { key, held }: &NewRow) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO entry
                (scope, area, name, stamp, created_at, expires_at, last_used, bytes, digest, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5, ?7, ?8, ?9)
             ON CONFLICT (scope, area, name) DO UPDATE SET
                stamp = excluded.stamp, created_at = excluded.created_at,
                expires_at = excluded.expires_at, last_used = excluded.last_used,
                bytes = excluded.bytes, digest = excluded.digest, value = excluded.value",
        )?
        .execute(params![
            key.scope.cast_signed(),
            key.area,
            key.name,
            held.stamp.0.cast_signed(),
            held.created_at.0,
            held.expires_at.0,
            (held.value.len() as u64 + ROW_BYTES).cast_signed(),
            digest(key, held),
            held.value.as_ref(),
        ])?;
    Ok(())
}

/// SQLite does not notice a bit that changed within a value, and a key that
/// changed would show one tenant's value to another.
fn digest(key: &CacheKey, held: &Held) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.name);
    hasher.update(&key.scope.to_le_bytes());
    for number in [held.created_at.0, held.expires_at.0] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&held.stamp.0.to_le_bytes());
    hasher.update(&(key.area.len() as u64).to_le_bytes());
    hasher.update(key.area.as_bytes());
    hasher.update(&held.value);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
