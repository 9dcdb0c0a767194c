//! Ctrl-C: the first asks for a clean end, the second ends at once.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use tokio::sync::watch;

use super::output::note;

/// Who asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A person, with Ctrl-C.
    Interrupt,
    /// A process that looks after this one, with SIGTERM.
    Terminate,
}

/// A receiver that turns true at the first Ctrl-C (or SIGTERM).
pub fn on_ctrl_c() -> Result<watch::Receiver<bool>> {
    listen(true, Arc::default())
}

/// The same; the cell then says which of the two it was.
pub fn on_signal() -> Result<(watch::Receiver<bool>, Arc<OnceLock<Asked>>)> {
    let asked: Arc<OnceLock<Asked>> = Arc::default();
    Ok((listen(true, asked.clone())?, asked))
}

/// The same for a command that has nothing to finish.
pub fn on_ctrl_c_quietly() -> Result<watch::Receiver<bool>> {
    listen(false, Arc::default())
}

fn listen(says_so: bool, asked: Arc<OnceLock<Asked>>) -> Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the signal handler")?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                let Ok(signal) = wait_for_signal().await else {
                    return;
                };
                let _ = asked.set(signal);
                if says_so {
                    note("\nstopping: finishing what is under way (Ctrl-C again to end at once)");
                }
                sender.send_replace(true);
                if wait_for_signal().await.is_ok() {
                    std::process::exit(130);
                }
            });
        })
        .context("start the signal handler")?;
    Ok(receiver)
}

async fn wait_for_signal() -> std::io::Result<Asked> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| Asked::Interrupt),
        _ = terminate.recv() => Ok(Asked::Terminate),
    }
}
