//! The handle that everything goes through.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use types::{Clock, Timestamp};

use crate::error::StoreError;
use crate::options::{Access, StoreOptions};
use crate::postgres::Server;
use crate::shard::Shard;
use crate::sqlite;
use crate::transfer;
use crate::writer::WriteStats;

/// Handle on all that is stored; clones share it. The last one to go finishes
/// what is queued, closes the databases and releases a data directory.
///
/// What is stored lies in one database or, on servers, in several, see
/// [`Store::open_servers`]. What belongs to a source lies with it, whole, in
/// one of them; the catalogue (tenants, keys, hosts) in the first, the home. Whoever asks
/// need not know.
#[derive(Clone)]
pub struct Store {
    home: Arc<Shard>,
    /// The home is the first of them, unless this handle was narrowed down.
    shards: Arc<[Arc<Shard>]>,
    clock: Arc<dyn Clock>,
}

impl Store {
    /// Opens the data directory `dir`. For writing it is created where missing
    /// and migrated to the newest version, unless another process uses it.
    /// What a [`crate::Move`] has not completed is refused.
    pub fn open(
        dir: &Path,
        access: Access,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        transfer::finished(Store::open_any(dir, access, options, clock)?)
    }

    /// Opens `dir`, also while a move still fills it.
    pub(crate) fn open_any(
        dir: &Path,
        access: Access,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let shard = Shard::open_directory(dir, access, options, clock.now())?;
        Ok(Store::of(vec![Arc::new(shard)], clock))
    }

    /// Opens a database on a PostgreSQL server, directly or through a pooler
    /// in transaction mode: `postgres://user:password@host:5432/database`. For
    /// writing it is migrated to the newest version. [`Access::WriteAlone`] is
    /// refused: a server is for many. So is what a [`crate::Move`] has not completed.
    pub fn open_server(
        url: &str,
        access: Access,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        Store::open_servers(&[url], access, options, clock)
    }

    /// Opens one server's database, also while a move still fills it.
    pub(crate) fn open_any_server(
        url: &str,
        access: Access,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let instance = sqlite::new_name();
        let server =
            Server::new(url, options)?.reached_directly(options.direct_urls.get(0), options)?;
        let shard = Shard::open_server(&server, access, &instance, options, clock.now())?;
        Ok(Store::of(vec![Arc::new(shard)], clock))
    }

    /// A store that lives in memory and ends with its last handle, for tests.
    pub fn open_memory(clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        let shard = Shard::open_memory(memory_name(), clock.now())?;
        Ok(Store::of(vec![Arc::new(shard)], clock))
    }

    /// `shards` begins with the home.
    pub(crate) fn of(shards: Vec<Arc<Shard>>, clock: Arc<dyn Clock>) -> Store {
        Store {
            home: shards[0].clone(),
            shards: shards.into(),
            clock,
        }
    }

    /// This store, with `shard` as all that it has of what lies on shards.
    pub(crate) fn narrowed(&self, shard: &Arc<Shard>) -> Store {
        Store {
            home: self.home.clone(),
            shards: [shard.clone()].into(),
            clock: self.clock.clone(),
        }
    }

    /// Tells a server's database from any other that was ever at its address,
    /// of several the home's; `None` for an embedded one, which its data
    /// directory tells apart. What is derived from what is stored and kept
    /// elsewhere belongs to this id.
    pub fn database_id(&self) -> Option<&str> {
        self.home.database_id()
    }

    /// Empties the write-ahead log into the database and lets go of this
    /// handle. Without it the last drop does the same but cannot report.
    pub fn close(self) -> Result<(), StoreError> {
        if self.home.writes() {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Empties the write-ahead log into the database file.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.all().try_for_each(Shard::checkpoint)
    }

    /// What this process has written; zeros when it only reads.
    pub fn write_stats(&self) -> WriteStats {
        self.all()
            .map(Shard::write_stats)
            .fold(WriteStats::default(), WriteStats::and)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The database of the catalogue.
    pub(crate) fn home(&self) -> &Shard {
        &self.home
    }

    /// The databases that share what belongs to sources.
    pub(crate) fn shards_held(&self) -> &[Arc<Shard>] {
        &self.shards
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().map(AsRef::as_ref)
    }
}

/// Unlike that of any other database in memory of this process.
pub(crate) fn memory_name() -> String {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let number = OPENED.fetch_add(1, Ordering::Relaxed);
    format!("gleaner-{}-{number}", std::process::id())
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.all().map(Shard::describe).collect();
        f.debug_struct("Store")
            .field("databases", &places)
            .field("writable", &self.home.writes())
            .finish_non_exhaustive()
    }
}
