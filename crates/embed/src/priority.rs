//! Lowers the priority of a thread, so that crawling gets the CPU first.

/// Niceness of embedding threads: about a tenth of the share of a normal thread
/// when both want the core, all of it otherwise.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Makes the calling thread yield to others. Linux counts niceness per thread;
/// elsewhere it belongs to the process, so nothing is done.
pub(crate) fn lower_own() {
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS)
    {
        tracing::warn!(%error, "could not lower the priority of an embedding thread");
    }
}
