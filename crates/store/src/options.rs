//! How a data directory is opened.

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
    /// Whether statements are prepared on a server, which halves what it costs
    /// to run them. Off for a pooler that cannot tell sessions apart
    /// (PgBouncer before 1.21).
    pub prepared_statements: bool,
    /// How long a write waits for a server that does not answer.
    pub server_wait: Duration,
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
            server_wait: Duration::from_secs(60),
        }
    }
}
