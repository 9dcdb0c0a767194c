//! Locks whose data a panic cannot leave half changed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock even after a panic of its holder. For data that is
/// consistent between any two statements of ours.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
