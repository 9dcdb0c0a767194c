//! The server under test: this binary once more, as a process of its own, so
//! that its memory and its work can be told from those of the clients.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::super::report::peak_memory_of;
use crate::cli::GlobalArgs;

/// Until the server says where it answers: it may have to make a database.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Beyond the grace that the server gives its tasks.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running `gleaner serve`; dropped, it is killed.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    pub address: SocketAddr,
}

#[derive(Deserialize)]
struct Started {
    listening: String,
}

impl ServerProcess {
    /// Starts it over `data_dir`, configured as this process is. `settings` are
    /// keys that differ, as environment variables.
    pub fn start(
        global: &GlobalArgs,
        data_dir: &Path,
        settings: &[(String, String)],
    ) -> Result<ServerProcess> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--json", "--listen", "127.0.0.1:0"])
            .args(["--allow-private", "127.0.0.0/8", "--data-dir"])
            .arg(data_dir)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C is for the benchmark, which then ends the server.
            .process_group(0);
        if let Some(file) = &global.config {
            command.arg("--config").arg(file);
        }
        if let Some(log) = &global.log {
            command.args(["--log", log]);
        }
        let mut child = command.spawn().context("start the server")?;
        let output = child.stdout.take().context("bug: there is no pipe")?;
        let (sender, started) = crossbeam_channel::bounded(1);
        std::thread::Builder::new()
            .name("server-output".into())
            .spawn(move || {
                let mut lines = BufReader::new(output).lines();
                if let Some(Ok(line)) = lines.next() {
                    let _ = sender.send(line);
                }
                // Read to the end, so that the server never waits for a reader.
                for _ in lines {}
            })
            .context("start the reader of the server's output")?;
        let mut server = ServerProcess {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let Ok(line) = started.recv_timeout(START_PATIENCE) else {
            bail!("the server did not start; what it says is above");
        };
        let started: Started = serde_json::from_str(&line)
            .context("the server said something else than its address")?;
        let address = started.listening.trim_start_matches("http://");
        server.address = address.parse().context("read the server's address")?;
        Ok(server)
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Most memory that was resident at one time; `None` where nobody knows.
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        peak_memory_of(&self.child.id().to_string())
    }

    /// Asks it to end, and waits. True when it ended by itself and in order.
    pub fn stop(mut self, grace: Duration) -> Result<bool> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && self.is_running()
        {
            kill_process(pid, Signal::TERM).context("ask the server to end")?;
        }
        let until = Instant::now() + grace + STOP_PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().context("wait for the server")? {
                return Ok(status.success());
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        // Dropping it kills it.
        Ok(false)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
