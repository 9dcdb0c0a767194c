//! What the system knows of this process. Linux only; elsewhere nothing is
//! known and whoever asks does without.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// CPU time of all threads, of user and system.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Room for this user on the file system of a folder.
pub fn disk_free_bytes(folder: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail * disk.f_frsize)
}

/// A hash of the program that runs, also when another one lies in its place by
/// now: a version does not tell two builds apart. Takes some 50 ms.
pub fn program_hash() -> std::io::Result<blake3::Hash> {
    let of_process = std::path::Path::new("/proc/self/exe");
    let program = match of_process.exists() {
        true => of_process.to_owned(),
        false => std::env::current_exe()?,
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(program)?)?;
    Ok(hasher.finalize())
}

pub fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// Lets this process open as many files as its user may at most. The usual
/// limit of 1,024 is for programs that cannot deal with more; crawls of many
/// sites and connections of many clients need them.
pub fn open_more_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
