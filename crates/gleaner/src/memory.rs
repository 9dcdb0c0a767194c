//! The allocator of this process, and giving back what it holds on to.

use std::time::{Duration, Instant};

/// Extraction and indexing allocate many small strings on several threads;
/// the C library's allocator holds on to much more memory there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps the kernel from backing this process with pages of 2 MB. Freed and
/// unused parts of them stay resident, which made half of an idle server's
/// memory (29 MB with them and 16 MB without, measured where the system leaves
/// them to `madvise`, as most do). Commands that end soon keep them: they are
/// a little faster.
pub fn use_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on");
    }
}

/// How often an idle process looks for memory to give back.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(5);

/// Gives memory that was freed back to the system now and then. The allocator
/// does so only while it is asked for more, so a process that has become idle
/// would keep the most it ever needed at once.
#[derive(Debug, Default)]
pub struct GiveBack {
    last: Option<Instant>,
}

impl GiveBack {
    /// To be called often, by one thread that does little else.
    pub fn tick(&mut self) {
        if self
            .last
            .is_some_and(|last| last.elapsed() < GIVE_BACK_EVERY)
        {
            return;
        }
        self.last = Some(Instant::now());
        collect();
    }
}

#[expect(unsafe_code, reason = "the allocator has no safe interface for this")]
fn collect() {
    // SAFETY: takes no pointers; any thread may call it at any time.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
