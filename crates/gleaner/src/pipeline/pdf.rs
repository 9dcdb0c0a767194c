//! PDF extraction in a child process.
//!
//! PDF parsers meet hostile files and may loop, panic or allocate without end.
//! The crawler runs its own binary as `gleaner pdf-child` with an address-space
//! limit and a deadline, so that a bad file costs one child and nothing else.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use types::{Block, BlockKind, ContentHash, Page, Timestamp};

#[derive(Clone, Debug)]
pub struct PdfLimits {
    pub timeout: Duration,
    pub memory_mb: u64,
    pub text_bytes_max: usize,
}

/// What the child writes: the parts of a page that a PDF has.
#[derive(Debug, Serialize, Deserialize)]
struct PdfPage {
    title: String,
    author: Option<String>,
    published_ms: Option<i64>,
    modified_ms: Option<i64>,
    language: Option<String>,
    markdown: String,
    text: String,
    /// Heading level (0: paragraph), start and end of each block.
    blocks: Vec<(u8, usize, usize)>,
    content_hash: [u8; 32],
    simhash: u64,
}

/// Extracts a PDF in a child process.
pub fn extract_in_child(bytes: &[u8], url: &url::Url, limits: &PdfLimits) -> Result<Page> {
    let program = std::env::current_exe().context("find this program")?;
    let mut child = Command::new(program)
        .arg("pdf-child")
        .arg(url.as_str())
        .args(["--memory-mb", &limits.memory_mb.to_string()])
        .args(["--text-bytes-max", &limits.text_bytes_max.to_string()])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("start the PDF child process")?;
    let mut stdin = child
        .stdin
        .take()
        .context("bug: child without standard input")?;
    let mut stdout = child
        .stdout
        .take()
        .context("bug: child without standard output")?;
    let output_max = limits.text_bytes_max as u64 * 8 + 65_536;
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that dies early closes the pipe; its exit is reported below.
            let _ = stdin.write_all(bytes);
        });
        scope.spawn(move || {
            let mut output = Vec::new();
            let read = stdout.by_ref().take(output_max).read_to_end(&mut output);
            let _ = sender.send(read.map(|_| output));
        });
        let received = receiver.recv_timeout(limits.timeout);
        if received.is_err() {
            // Ends both threads: their pipes close with the child.
            let _ = child.kill();
        }
        received
    });
    let output = match result {
        Ok(output) => output.context("read from the PDF child process")?,
        Err(_) => {
            reap(&mut child);
            bail!("PDF took longer than {} s", limits.timeout.as_secs());
        }
    };
    let status = child.wait().context("wait for the PDF child process")?;
    if !status.success() {
        bail!(
            "PDF could not be read (broken file or over {} MB of memory)",
            limits.memory_mb
        );
    }
    let page: PdfPage = serde_json::from_slice(&output).context("PDF text over the limit")?;
    Ok(page.into())
}

fn reap(child: &mut Child) {
    let _ = child.wait();
}

/// The child's side: bounds itself, reads standard input, writes one JSON object.
pub fn run_child(url: &str, memory_mb: u64, text_bytes_max: usize) -> Result<()> {
    limit_memory(memory_mb)?;
    let url = url::Url::parse(url).context("parse the URL")?;
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .context("read the PDF")?;
    let limits = extract::ExtractLimits {
        text_bytes_max,
        ..extract::ExtractLimits::default()
    };
    let page = extract::extract_pdf(&bytes, &url, &limits)?;
    crate::cli::output::json_line(&PdfPage::from(page))
}

fn limit_memory(memory_mb: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let bytes = memory_mb.saturating_mul(1024 * 1024);
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    setrlimit(Resource::As, limit).context("limit the memory of the PDF child process")
}

impl From<Page> for PdfPage {
    fn from(page: Page) -> PdfPage {
        let blocks = page
            .blocks
            .iter()
            .map(|block| {
                let level = match block.kind {
                    BlockKind::Heading(level) => level,
                    _ => 0,
                };
                (level, block.range.start, block.range.end)
            })
            .collect();
        PdfPage {
            title: page.title,
            author: page.author,
            published_ms: page.published_at.map(|t| t.0),
            modified_ms: page.modified_at.map(|t| t.0),
            language: page.language,
            markdown: page.markdown,
            text: page.text,
            blocks,
            content_hash: page.content_hash.0,
            simhash: page.simhash,
        }
    }
}

impl From<PdfPage> for Page {
    fn from(page: PdfPage) -> Page {
        let blocks = page
            .blocks
            .into_iter()
            .map(|(level, start, end)| Block {
                kind: if level == 0 {
                    BlockKind::Paragraph
                } else {
                    BlockKind::Heading(level)
                },
                range: start..end,
            })
            .collect();
        Page {
            title: page.title,
            author: page.author,
            published_at: page.published_ms.map(Timestamp),
            modified_at: page.modified_ms.map(Timestamp),
            language: page.language,
            markdown: page.markdown,
            text: page.text,
            blocks,
            content_hash: ContentHash(page.content_hash),
            simhash: page.simhash,
            ..Page::default()
        }
    }
}
