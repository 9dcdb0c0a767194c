//! Names of open stores, by which anyone can tell whether they still live.
//!
//! A store that writes holds `instances/<name>` locked. The system drops the
//! lock with the process, so work that a dead process has claimed under its
//! name can be given to others at once, without waiting for a lease to end.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::lock::{io_error, release, wait_for};
use crate::{Store, StoreErrorKind};

const FOLDER: &str = "instances";
/// Files of dead stores that an opening one looks at; the next goes on.
const SWEPT_MAX: usize = 1_000;

impl Store {
    /// The name of this open store, unlike that of any other in any process:
    /// the process number, a hyphen and 16 hexadecimal digits. To be used as
    /// the owner of claimed work, also with `:` and a tag behind it. It lives
    /// until the last clone of this handle goes; that of a store opened for
    /// reading counts as lost from the beginning.
    pub fn instance(&self) -> &str {
        self.instance_name()
    }

    /// Those among `candidates` whose store is no more, because it was closed
    /// or its process died. A tag behind `:` is not looked at. What is no
    /// instance name at all is lost, too.
    pub fn lost_owners(&self, candidates: &[String]) -> Vec<String> {
        let own = self.writes().then(|| self.instance_name());
        let folder = self.directory().map(|dir| dir.join(FOLDER));
        let is_lost = |owner: &&String| {
            let name = owner.split(':').next().unwrap_or_default();
            if pid_in(name).is_none() {
                return true;
            }
            if Some(name) == own {
                return false;
            }
            let Some(folder) = &folder else { return true };
            !lives(&folder.join(name))
        };
        candidates.iter().filter(is_lost).cloned().collect()
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
