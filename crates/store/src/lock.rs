//! One writing process per data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::{StoreError, StoreErrorKind};

/// Held as long as the value lives; the system releases it with the process,
/// so a killed writer leaves no stale lock.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(crate) fn acquire(dir: &Path) -> Result<DirectoryLock, StoreError> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| io_error(e, &path, "open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(&mut file, dir)),
            Err(TryLockError::Error(e)) => return Err(io_error(e, &path, "lock")),
        }
        // The text only serves the other side's message.
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()));
        written.map_err(|e| io_error(e, &path, "write"))?;
        Ok(DirectoryLock { _file: file })
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

fn locked(file: &mut File, dir: &Path) -> StoreError {
    let mut text = String::new();
    // Some systems refuse to read a locked file; the message then lacks the number.
    let pid = match file.take(32).read_to_string(&mut text) {
        Ok(_) => text.trim().parse::<u32>().ok(),
        Err(_) => None,
    };
    let who = pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("another process (pid {pid})"),
    );
    StoreError::new(
        StoreErrorKind::Locked { pid },
        format!(
            "{who} writes to {}; wait for it, stop it or use another data directory",
            dir.display()
        ),
    )
}
