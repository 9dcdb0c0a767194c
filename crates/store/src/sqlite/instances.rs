//! Names of open stores, by which anyone can tell whether they still live.
//!
//! A store that writes holds `instances/<name>` locked. The system drops the
//! lock with the process, so work that a dead process has claimed under its
//! name can be given to others at once, without waiting for a lease to end.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use super::connection::Database;
use super::lock::{io_error, release, wait_for};
use crate::error::{StoreError, StoreErrorKind};

const FOLDER: &str = "instances";
/// Files of dead stores that an opening one looks at; the next goes on.
const SWEPT_MAX: usize = 1_000;

/// The instances of one directory.
#[derive(Debug)]
pub(crate) struct LivingInstances {
    /// `None` in memory, where there are no others.
    folder: Option<PathBuf>,
}

impl LivingInstances {
    pub(crate) fn in_directory(database: &Database) -> LivingInstances {
        let folder = match database {
            Database::File(path) => path.parent().map(|dir| dir.join(FOLDER)),
            Database::Memory(_) => None,
        };
        LivingInstances { folder }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        let folder = self.folder.as_ref().filter(|_| pid_in(name).is_some());
        folder.is_some_and(|folder| lives(&folder.join(name)))
    }
}

/// The file that says that a store lives.
#[derive(Debug)]
pub(crate) struct Instance {
    path: PathBuf,
    file: File,
}

impl Instance {
    /// Makes and locks the file of `name`, and removes those of stores that
    /// died. The caller holds the turn to write.
    pub(crate) fn register(dir: &Path, name: &str) -> Result<Instance, StoreError> {
        let folder = dir.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(|e| io_error(e, &folder, "create"))?;
        for (_, path) in entries(&folder) {
            lives(&path);
        }
        let path = folder.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| io_error(e, &path, "create"))?;
        wait_for(&file).map_err(|e| {
            StoreError::new(StoreErrorKind::Io, format!("lock {}", path.display())).caused_by(e)
        })?;
        Ok(Instance { path, file })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "an instance file stays");
        }
        release(&self.file);
    }
}

/// A name that nobody has.
pub(crate) fn new_name() -> String {
    // Seeded by the system anew for each value: process numbers come again.
    let random = RandomState::new().hash_one(std::process::id());
    format!("{}-{random:016x}", std::process::id())
}

/// The process of some store that is open for writing.
pub(crate) fn pid_of_any(dir: &Path) -> Option<u32> {
    entries(&dir.join(FOLDER))
        .find(|(_, path)| lives(path))
        .and_then(|(name, _)| pid_in(&name))
}

/// Names and paths of instance files.
fn entries(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    // Without the folder there are none.
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    found.take(SWEPT_MAX).filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        pid_in(&name)?;
        Some((name, entry.path()))
    })
}

/// The process number in a name of our making.
fn pid_in(name: &str) -> Option<u32> {
    let (pid, random) = name.split_once('-')?;
    let is_random = random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_random || !pid.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    pid.parse().ok()
}

/// Whether the file is held; removes it when not. Many may ask at once, which
/// is why they take a shared lock.
fn lives(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    if file.try_lock_shared().is_err() {
        return true;
    }
    // A handle opened for reading may not be allowed to remove it.
    let _ = std::fs::remove_file(path);
    release(&file);
    false
}
