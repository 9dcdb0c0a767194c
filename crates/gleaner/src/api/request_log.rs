//! Every request as a line of JSON, in files that take each other's place:
//! `metrics/requests.jsonl` in the data folder, then `.1`, `.2` and so on.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde::Serialize;

use super::recent::Seen;
use crate::view::rfc3339;

const FILE: &str = "requests.jsonl";
/// Older files kept beside the present one.
const OLD_FILES: usize = 4;
/// Requests that wait to be written; of more, lines are left out rather than
/// answers held up.
const WAITING_MAX: usize = 4_096;
/// Lines reach the file within about this time.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

pub struct RequestLog {
    lines: Option<Sender<Seen>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    request_id: &'a str,
    tenant: Option<i64>,
    method: &'a str,
    route: &'a str,
    status: u16,
    took_ms: f64,
}

impl RequestLog {
    /// Files of at most `bytes_max` each in `folder`.
    pub fn start(folder: &Path, bytes_max: u64) -> Result<RequestLog> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("create the folder {}", folder.display()))?;
        let mut log = Files::open(folder, bytes_max)?;
        let (lines, waiting) = bounded(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("request-log".into())
            .spawn(move || log.write_all(&waiting))
            .context("start the request log")?;
        Ok(RequestLog {
            lines: Some(lines),
            thread: Some(thread),
        })
    }

    pub fn add(&self, seen: &Seen) {
        if let Some(lines) = &self.lines {
            let _ = lines.try_send(seen.clone());
        }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the request log panicked");
        }
    }
}

struct Files {
    path: PathBuf,
    bytes_max: u64,
    file: BufWriter<File>,
    bytes: u64,
    /// Trouble is said once.
    failed: bool,
}

impl Files {
    fn open(folder: &Path, bytes_max: u64) -> Result<Files> {
        let path = folder.join(FILE);
        let (file, bytes) = append(&path)?;
        Ok(Files {
            path,
            bytes_max,
            file,
            bytes,
            failed: false,
        })
    }

    fn write_all(&mut self, waiting: &Receiver<Seen>) {
        loop {
            let worked = match waiting.recv_timeout(FLUSH_EVERY) {
                Ok(seen) => self.write(&seen),
                Err(RecvTimeoutError::Timeout) => self.file.flush().context("write"),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.tell(worked);
        }
        let flushed = self.file.flush().context("write");
        self.tell(flushed);
    }

    fn tell(&mut self, worked: Result<()>) {
        if let Err(error) = worked
            && !std::mem::replace(&mut self.failed, true)
        {
            let path = self.path.display();
            tracing::warn!(error = %format!("{error:#}"), "lines of the request log {path} are lost");
        }
    }

    fn write(&mut self, seen: &Seen) -> Result<()> {
        let line = Line {
            at: rfc3339(seen.at),
            request_id: &seen.id,
            tenant: seen.tenant.map(|tenant| tenant.0),
            method: &seen.method,
            route: &seen.route,
            status: seen.status,
            took_ms: (seen.took.as_secs_f64() * 1e6).round() / 1000.0,
        };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        if self.bytes > 0 && self.bytes + text.len() as u64 > self.bytes_max {
            self.rotate()?;
        }
        self.bytes += text.len() as u64;
        self.file.write_all(&text).context("write")
    }

    /// The present file becomes the newest old one.
    fn rotate(&mut self) -> Result<()> {
        self.file.flush().context("write")?;
        for number in (1..OLD_FILES).rev() {
            let from = self.old(number);
            if from.exists() {
                std::fs::rename(&from, self.old(number + 1)).context("rotate")?;
            }
        }
        std::fs::rename(&self.path, self.old(1)).context("rotate")?;
        (self.file, self.bytes) = append(&self.path)?;
        Ok(())
    }

    fn old(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append(path: &Path) -> Result<(BufWriter<File>, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.with_context(|| format!("open {}", path.display()))?;
    let bytes = file.metadata().context("read its size")?.len();
    Ok((BufWriter::new(file), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Timestamp;

    #[test]
    fn files_take_each_other_s_place_and_the_oldest_goes() {
        let folder = tempfile::tempdir().expect("temp dir");
        let seen = |id: usize| Seen {
            id: format!("{id:04}"),
            at: Timestamp(0),
            tenant: None,
            method: "GET".to_owned(),
            route: "/health".to_owned(),
            status: 200,
            took: Duration::from_micros(1500),
        };
        let mut files = Files::open(folder.path(), 400).expect("opens");
        for id in 0..100 {
            files.write(&seen(id)).expect("written");
        }
        files.file.flush().expect("written");
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .expect("folder")
            .map(|entry| {
                entry
                    .expect("entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        assert_eq!(names.len(), 1 + OLD_FILES, "{names:?}");
        let newest = std::fs::read_to_string(folder.path().join(FILE)).expect("file");
        let last: serde_json::Value =
            serde_json::from_str(newest.lines().last().expect("a line")).expect("JSON");
        assert_eq!(
            (&last["request_id"], &last["took_ms"]),
            (&"0099".into(), &1.5.into())
        );
        for name in &names {
            let bytes = std::fs::metadata(folder.path().join(name))
                .expect("file")
                .len();
            assert!(bytes <= 400, "{name}: {bytes}");
        }
        // Opened again, it goes on where it was.
        drop(files);
        let files = Files::open(folder.path(), 400).expect("opens");
        assert_eq!(files.bytes, newest.len() as u64);
    }
}
