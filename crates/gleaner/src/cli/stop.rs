//! Ctrl-C: the first asks for a clean end, the second ends at once.

use anyhow::{Context, Result};
use tokio::sync::watch;

use super::output::note;

/// A receiver that turns true at the first Ctrl-C (or SIGTERM).
pub fn on_ctrl_c() -> Result<watch::Receiver<bool>> {
    listen(true)
}

/// The same for a command that has nothing to finish.
pub fn on_ctrl_c_quietly() -> Result<watch::Receiver<bool>> {
    listen(false)
}

fn listen(says_so: bool) -> Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the signal handler")?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                if wait_for_signal().await.is_err() {
                    return;
                }
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

async fn wait_for_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
