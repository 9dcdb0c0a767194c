//! The thread on which connections to servers live, and waiting for it.
//!
//! The store blocks; the client library does not. One thread reads and writes
//! all sockets; whoever asks parks until the answer is there, so a caller may
//! be any thread, also one of an asynchronous runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Builder, Handle};

use crate::error::{StoreError, StoreErrorKind};

/// The thread that runs connections, started by the first.
pub(super) fn connections() -> Result<&'static Handle, StoreError> {
    static HANDLE: OnceLock<Handle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle);
    }
    let failed =
        |error| StoreError::new(StoreErrorKind::Io, "start the database thread").caused_by(error);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let handle = runtime.handle().clone();
    // Two that start it at once make two; one is used, the other idles.
    thread::Builder::new()
        .name("store-postgres".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(failed)?;
    Ok(HANDLE.get_or_init(|| handle))
}

/// Parks this thread until `future` is done.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
