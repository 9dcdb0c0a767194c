//! How large and how patient a cache is.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// Values held in memory, in bytes with a constant for each.
    pub memory_bytes_max: u64,
    /// The file of the disk tier; `None` means memory only.
    pub disk_path: Option<PathBuf>,
    /// Values held on disk, in bytes with a constant for each. The least
    /// recently used go first. The file may be somewhat larger.
    pub disk_bytes_max: u64,
    /// How long a value found on disk stays in memory at most.
    pub hot_ttl: Duration,
    /// Larger values are handed through and not kept.
    pub value_bytes_max: usize,
    /// Values waiting to be written to disk; more are not written.
    pub queue_values_max: usize,
    pub queue_bytes_max: u64,
    /// How long to wait for other processes that write to the file. Only
    /// invalidations make their callers wait for it.
    pub busy_wait: Duration,
    /// How long memory may answer what another process has invalidated.
    pub refresh_after: Duration,
    /// How long a caller waits for another one's computation of the same
    /// value before computing it too.
    pub wait_max: Duration,
}

impl Default for CacheOptions {
    fn default() -> CacheOptions {
        CacheOptions {
            memory_bytes_max: 64 * 1024 * 1024,
            disk_path: None,
            disk_bytes_max: 1024 * 1024 * 1024,
            hot_ttl: Duration::from_secs(300),
            value_bytes_max: 8 * 1024 * 1024,
            queue_values_max: 1024,
            queue_bytes_max: 32 * 1024 * 1024,
            busy_wait: Duration::from_secs(5),
            refresh_after: Duration::from_secs(1),
            wait_max: Duration::from_secs(30),
        }
    }
}
