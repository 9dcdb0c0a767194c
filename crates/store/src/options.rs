//! How a data directory is opened.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// After the disk says so: survives a power cut.
    #[default]
    Full,
    /// After the system has it: a power cut may lose the last commits, never
    /// the database. A killed process loses nothing either way.
    Normal,
}

/// Whether a [`crate::Store`] may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Beside any number of other processes, in turns. Creates the database;
    /// migrates it if nobody else has it open for writing.
    Write,
    /// Like [`Access::Write`], as the only process that may write.
    WriteAlone,
    /// Takes no lock and works beside writers.
    Read,
}

#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub synchronous: Synchronous,
    /// Page cache of the writing connection.
    pub cache_mb: u32,
    /// Part of the file that is memory mapped; 0 turns mapping off.
    pub mmap_mb: u32,
    /// Read connections at most, opened when first needed.
    pub readers: usize,
    /// How many of them stay open when nobody reads.
    pub readers_kept: usize,
    /// Write operations waiting for the writer; a caller beyond it waits.
    pub writer_queue_max: usize,
    /// How long a write waits for a program that is not ours and holds the
    /// database. Other processes of ours take turns and do not count.
    pub busy_wait: Duration,
    /// Size limit of the database file; 0 means none.
    pub database_mb_max: u32,
    /// Whether statements are prepared on a server, so that each is planned
    /// once. Off for a pooler that cannot follow that (PgBouncer before 1.21).
    pub prepared_statements: bool,
    /// A statement that takes longer is ended by the server; 0 means none.
    pub statement_timeout: Duration,
    /// How long a write waits for a server that does not answer, and opening a
    /// database for writing.
    pub server_wait: Duration,
    /// How long a read waits for a server that went away, from when it was
    /// first missed; and opening a database for reading. Then reads fail at
    /// once, until the server answers again.
    pub read_wait: Duration,
    /// Authorities that may have signed a server's certificate, in PEM, beside
    /// the public ones.
    pub ca_file: Option<PathBuf>,
    /// The same databases past a pooler, for migrations that need a session.
    pub direct_urls: DirectUrls,
}

/// URLs of databases in the order in which these are opened, straight to their
/// servers; an empty or a missing one is as the database is reached otherwise.
#[derive(Clone, Default)]
pub struct DirectUrls(pub Vec<String>);

impl DirectUrls {
    pub(crate) fn get(&self, place: usize) -> Option<&str> {
        self.0.get(place).map(String::as_str)
    }
}

impl fmt::Debug for DirectUrls {
    /// Without the URLs: they may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirectUrls").field(&self.0.len()).finish()
    }
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            synchronous: Synchronous::Full,
            cache_mb: 64,
            mmap_mb: 256,
            readers: 4,
            readers_kept: 4,
            writer_queue_max: 64,
            busy_wait: Duration::from_secs(60),
            database_mb_max: 0,
            prepared_statements: true,
            statement_timeout: Duration::from_secs(120),
            server_wait: Duration::from_secs(60),
            read_wait: Duration::from_secs(10),
            ca_file: None,
            direct_urls: DirectUrls::default(),
        }
    }
}
