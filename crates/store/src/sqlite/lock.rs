//! Which processes may use a data directory, and whose turn it is to write.
//!
//! | file | is held | by |
//! |---|---|---|
//! | `lock` | shared, for life | every store that may write |
//! | | exclusively | a store that wants to be the only one, or changes the schema |
//! | `turn.lock`, then `write.lock` | for one group of writes | the store whose turn it is |
//! | `instances/…` | exclusively, for life | the store of that name, see [`super::instances`] |
//!
//! All are locks of open files (`flock`), so the system releases those of a
//! process that dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::instances;
use crate::error::{StoreError, StoreErrorKind};

/// The right to use a directory for writing. Taken and changed only during
/// one's [`Turn`], so that two processes never do it at the same time.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
    dir: PathBuf,
    alone: bool,
}

impl DirectoryLock {
    pub(crate) fn acquire(
        dir: &Path,
        alone: bool,
        _turn: &Turn<'_>,
    ) -> Result<DirectoryLock, StoreError> {
        let path = dir.join("lock");
        let file = open(&path)?;
        let lock = DirectoryLock {
            file,
            dir: dir.to_owned(),
            alone,
        };
        if lock.try_lock(alone)? {
            return Ok(lock);
        }
        let (who, pid) = someone_else(dir);
        Err(StoreError::new(
            StoreErrorKind::Locked { pid },
            format!(
                "{who} writes to {}; wait for it, stop it or use another data directory",
                dir.display()
            ),
        ))
    }

    /// Runs `change` while no other store is open for writing, or says who is.
    pub(crate) fn alone_for<T, E: From<StoreError>>(
        &self,
        _turn: &Turn<'_>,
        change: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if self.alone {
            return change();
        }
        // Not every system can turn a shared lock into an exclusive one. In
        // between, the turn keeps everybody else away.
        self.file.unlock().map_err(|e| self.io_error(e))?;
        let is_alone = self.try_lock(true)?;
        let result = if is_alone {
            change()
        } else {
            Err(self.in_use().into())
        };
        if is_alone {
            self.file.unlock().map_err(|e| self.io_error(e))?;
        }
        if !self.try_lock(false)? {
            return Err(StoreError::new(
                StoreErrorKind::Bug,
                format!("the lock of {} was taken out of turn", self.dir.display()),
            )
            .into());
        }
        result
    }

    fn try_lock(&self, alone: bool) -> Result<bool, StoreError> {
        let tried = if alone {
            self.file.try_lock()
        } else {
            self.file.try_lock_shared()
        };
        match tried {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(self.io_error(e)),
        }
    }

    fn in_use(&self) -> StoreError {
        let (who, pid) = someone_else(&self.dir);
        StoreError::new(
            StoreErrorKind::Locked { pid },
            format!("{who} uses {}; stop it to upgrade", self.dir.display()),
        )
    }

    fn io_error(&self, error: std::io::Error) -> StoreError {
        io_error(error, &self.dir.join("lock"), "lock")
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        release(&self.file);
    }
}

/// Whose turn it is to write, among all processes.
///
/// A process that has just written and has more to write would take a single
/// lock again before a waiting one wakes up. So whoever wants to write first
/// takes the turnstile and holds it while waiting for the one who writes: the
/// busy process then queues behind it.
#[derive(Debug)]
pub(crate) struct WriteTurns {
    turnstile: File,
    write: File,
    dir: PathBuf,
}

/// The turn to write, given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a WriteTurns,
}

impl WriteTurns {
    pub(crate) fn open(dir: &Path) -> Result<WriteTurns, StoreError> {
        Ok(WriteTurns {
            turnstile: open(&dir.join("turn.lock"))?,
            write: open(&dir.join("write.lock"))?,
            dir: dir.to_owned(),
        })
    }

    /// Waits for this process's turn: a few groups of other processes at most.
    pub(crate) fn take(&self) -> Result<Turn<'_>, StoreError> {
        let failed = |e| io_error(e, &self.dir, "wait for the turn to write in");
        wait_for(&self.turnstile).map_err(failed)?;
        let waited = wait_for(&self.write);
        release(&self.turnstile);
        waited.map_err(failed)?;
        Ok(Turn { turns: self })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        release(&self.turns.write);
    }
}

/// Names the path and maps what the system said to what the caller can do.
pub(crate) fn io_error(error: std::io::Error, path: &Path, what: &str) -> StoreError {
    use std::io::ErrorKind;
    let path = path.display();
    let (kind, advice) = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
            StoreErrorKind::NotWritable,
            "; check the directory's owner and permissions or use another data directory",
        ),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => (
            StoreErrorKind::NotWritable,
            "; something in the way is no directory, use another data directory",
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            StoreErrorKind::DiskFull,
            "; free some space and run the same command again",
        ),
        ErrorKind::NotFound => (StoreErrorKind::NotFound, ""),
        _ => (StoreErrorKind::Io, ""),
    };
    StoreError::new(kind, format!("{what} {path}{advice}")).caused_by(error)
}

fn open(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|e| io_error(e, path, "open"))
}

/// A signal handled meanwhile ends the system's wait, not ours.
pub(crate) fn wait_for(file: &File) -> std::io::Result<()> {
    loop {
        match file.lock() {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Closing the file would do, unless a child process that is just being
/// started still has a copy of it.
pub(crate) fn release(file: &File) {
    if let Err(error) = file.unlock() {
        tracing::warn!(%error, "failed to release a lock");
    }
}

/// Some store that is open for writing; the caller's is not registered yet.
fn someone_else(dir: &Path) -> (String, Option<u32>) {
    let pid = instances::pid_of_any(dir);
    let who = pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("another process (pid {pid})"),
    );
    (who, pid)
}
