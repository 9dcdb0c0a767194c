//! The second tier, wherever it is.

use types::Timestamp;

use super::disk::{Disk, Look, Maybe, NewRow, Written};
use super::generations::{Numbered, Stamp};
use super::key::{CacheKey, Target};
use super::remote::Remote;

#[derive(Debug)]
pub(crate) enum Second {
    /// Of this machine. Once it fails it is given up.
    Disk(Box<Disk>),
    /// Of all machines. It is busy while it is away.
    Redis(Remote),
}

impl Second {
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Second::Disk(disk) => disk.is_open(),
            Second::Redis(_) => true,
        }
    }

    pub(crate) fn remote(&self) -> Option<&Remote> {
        match self {
            Second::Disk(_) => None,
            Second::Redis(remote) => Some(remote),
        }
    }

    pub(crate) fn look(&self, key: &CacheKey, known: Stamp, now: Timestamp) -> Maybe<Look> {
        match self {
            Second::Disk(disk) => disk.look(key, known),
            Second::Redis(remote) => remote.look(key, known, now),
        }
    }

    pub(crate) fn news(&self, known: Stamp) -> Maybe<Vec<Numbered>> {
        match self {
            Second::Disk(disk) => {
                disk.check_in_place()?;
                disk.news(known)
            }
            Second::Redis(remote) => remote.news(known),
        }
    }

    pub(crate) fn has(&self, key: &CacheKey) -> Maybe<bool> {
        match self {
            Second::Disk(disk) => disk.has(key),
            Second::Redis(remote) => remote.has(key),
        }
    }

    pub(crate) fn usage(&self) -> Maybe<Vec<(String, u64, u64)>> {
        match self {
            Second::Disk(disk) => disk.usage(),
            // Counting would look at every key of the server.
            Second::Redis(_) => Ok(Some(Vec::new())),
        }
    }

    pub(crate) fn invalidate(&self, target: &Target, known: Stamp) -> Maybe<(u64, Vec<Numbered>)> {
        match self {
            Second::Disk(disk) => disk.invalidate(target, known),
            Second::Redis(remote) => remote.invalidate(target, known),
        }
    }

    pub(crate) fn store(
        &self,
        rows: &[NewRow],
        used: &[(i64, Timestamp)],
        now: Timestamp,
    ) -> Maybe<Written> {
        match self {
            Second::Disk(disk) => disk.store(rows, used, now),
            Second::Redis(remote) => {
                let stored = remote.store(rows, now)?;
                Ok(stored.map(|()| Written::default()))
            }
        }
    }

    /// Some of what an invalidation made stale. In Redis it is left to expire.
    pub(crate) fn sweep(&self, target: &Target, number: u64) -> Maybe<usize> {
        match self {
            Second::Disk(disk) => disk.sweep(target, number),
            Second::Redis(_) => Ok(Some(0)),
        }
    }

    /// All of what an invalidation made stale, and how much it was.
    pub(crate) fn clear(&self, target: &Target, number: u64) -> Maybe<usize> {
        match self {
            Second::Disk(disk) => {
                let mut removed = 0;
                while let Some(swept @ 1..) = disk.sweep(target, number)? {
                    removed += swept;
                }
                Ok(Some(removed))
            }
            Second::Redis(remote) => remote.clear(target),
        }
    }

    pub(crate) fn shrink(&self) -> Maybe<bool> {
        match self {
            Second::Disk(disk) => disk.shrink(),
            Second::Redis(_) => Ok(Some(false)),
        }
    }

    #[cfg(test)]
    pub(crate) fn limit_to_present_size(&self) {
        if let Second::Disk(disk) = self {
            disk.limit_to_present_size();
        }
    }
}
