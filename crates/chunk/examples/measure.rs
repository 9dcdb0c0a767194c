//! Times chunking over a folder of HTML or text files:
//!
//! `cargo run --release -p gleaner-chunk --example measure -- FOLDER [SHOW]`
//!
//! Tags are stripped crudely (extraction is another crate's work); with a file
//! name as SHOW the chunks of that file are printed instead.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chunk::{ChunkConfig, chunk, estimate_tokens, sentences, summarize, words};
use types::{Block, BlockKind, Page};

const FILES_MAX: usize = 2000;

#[expect(clippy::print_stdout, reason = "a measuring tool reports on stdout")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned()));
    let show = arguments.next();
    let config = ChunkConfig::default();
    let pages: Vec<(String, Page)> = files_below(&folder)
        .iter()
        .filter_map(|path| {
            let bytes = std::fs::read(path).ok()?;
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some((name, page_of(&String::from_utf8_lossy(&bytes))))
        })
        .collect();
    if let Some(wanted) = show {
        for (_, page) in pages.iter().filter(|(name, _)| *name == wanted) {
            for c in chunk(page, &config) {
                println!("{c:#?}\n{}\n", &page.text[c.range.clone()]);
            }
        }
        return;
    }
    let bytes: usize = pages.iter().map(|(_, p)| p.text.len()).sum();
    println!("{} pages, {bytes} bytes of text", pages.len());
    let mut chunks = 0;
    let report = |name: &str, took: Duration| {
        let per_6_kb = took.as_secs_f64() * 1e6 * 6144.0 / bytes.max(1) as f64;
        println!(
            "{name:16} {:8.1} ms  {per_6_kb:7.1} µs per 6 KiB",
            took.as_secs_f64() * 1e3
        );
    };
    report(
        "chunk",
        time(|| chunks = pages.iter().map(|(_, p)| chunk(p, &config).len()).sum()),
    );
    println!("{chunks} chunks");
    let mut sum = 0usize;
    let texts = || pages.iter().map(|(_, p)| p.text.as_str());
    report(
        "words",
        time(|| sum += texts().map(|t| words(t).count()).sum::<usize>()),
    );
    report(
        "sentences",
        time(|| sum += texts().map(|t| sentences(t).len()).sum::<usize>()),
    );
    report(
        "estimate_tokens",
        time(|| sum += texts().map(|t| estimate_tokens(t) as usize).sum::<usize>()),
    );
    report(
        "summarize",
        time(|| {
            sum += texts()
                .map(|t| summarize(t, None, 100).len())
                .sum::<usize>();
        }),
    );
    println!("checksum {sum}");
}

/// CPU time of the fastest of seven runs: the machine may be shared.
fn time(mut run: impl FnMut()) -> Duration {
    (0..7)
        .map(|_| {
            let (wall, cpu) = (Instant::now(), cpu_time());
            run();
            match (cpu, cpu_time()) {
                (Some(start), Some(end)) => end.saturating_sub(start),
                _ => wall.elapsed(),
            }
        })
        .min()
        .unwrap_or_default()
}

/// Time this thread has run, as Linux counts it.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = stat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for path in entries.map(|e| e.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "html" || e == "txt") {
                files.push(path);
            }
        }
    }
    files.sort();
    files.truncate(FILES_MAX);
    files
}

/// Text and blocks of a page, by block tags alone.
fn page_of(html: &str) -> Page {
    let mut page = Page {
        language: html
            .find("lang=\"")
            .map(|at| html[at + 6..].chars().take(2).collect()),
        ..Page::default()
    };
    let mut kind = BlockKind::Paragraph;
    let mut block = String::new();
    let mut hidden = false;
    for piece in html.split('<') {
        let (tag, body) = piece.split_once('>').unwrap_or(("", piece));
        let name: String = tag
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '/')
            .collect();
        match name.as_str() {
            "script" | "style" | "head" => hidden = true,
            "/script" | "/style" | "/head" => hidden = false,
            "p" | "/p" | "li" | "/li" | "div" | "/div" | "pre" | "/pre" | "table" | "/table"
            | "h1" | "h2" | "h3" | "h4" | "/h1" | "/h2" | "/h3" | "/h4" | "dd" | "dt" | "br" => {
                finish_block(&mut page, kind, &mut block);
                kind = match name.as_str() {
                    "pre" => BlockKind::Code,
                    "table" => BlockKind::Table,
                    "li" => BlockKind::ListItem,
                    "h1" => BlockKind::Heading(1),
                    "h2" => BlockKind::Heading(2),
                    "h3" => BlockKind::Heading(3),
                    "h4" => BlockKind::Heading(4),
                    _ => BlockKind::Paragraph,
                };
            }
            "/tr" => block.push('\n'),
            "/td" | "/th" => block.push_str(" | "),
            _ => {}
        }
        if !hidden {
            let body = body
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&");
            if kind == BlockKind::Code || kind == BlockKind::Table {
                block.push_str(&body);
            } else {
                block.push_str(&body.replace('\n', " "));
            }
        }
    }
    finish_block(&mut page, kind, &mut block);
    page
}

fn finish_block(page: &mut Page, kind: BlockKind, block: &mut String) {
    let text = block.trim();
    if !text.is_empty() {
        if !page.text.is_empty() {
            page.text.push_str("\n\n");
        }
        let start = page.text.len();
        page.text.push_str(text);
        page.blocks.push(Block {
            kind,
            range: start..page.text.len(),
        });
    }
    block.clear();
}
