//! Extracts every page of a benchmark folder and writes one JSON line each:
//! `{"id", "text", "ms"}`.
//!
//! usage: cargo run --release -p gleaner-extract --example predict -- FOLDER > predictions.jsonl
//!
//! FOLDER holds `pages.jsonl` with lines `{"id", "url", "html"}`, where `html`
//! is a path to a gzip file below FOLDER. `ms` is wall time of `extract` alone.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use extract::{ExtractInput, ExtractLimits, Extracted};
use serde_json::{Value, json};

fn main() {
    let folder = std::env::args().nth(1).expect("usage: predict FOLDER");
    let folder = Path::new(&folder);
    let list = std::fs::read_to_string(folder.join("pages.jsonl")).expect("FOLDER/pages.jsonl");
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let limits = ExtractLimits::default();
    for line in list.lines() {
        let entry: Value = serde_json::from_str(line).expect("a JSON object per line");
        let path = folder.join(entry["html"].as_str().expect("html"));
        let packed = std::fs::read(&path).expect("page file");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_end(&mut bytes)
            .expect("gzip");
        let url = entry["url"].as_str().unwrap_or("http://localhost/");
        let url = url::Url::parse(url)
            .unwrap_or_else(|_| url::Url::parse("http://localhost/").expect("valid"));
        let input = ExtractInput {
            bytes: &bytes,
            content_type: Some("text/html"),
            url: &url,
            x_robots_tag: &[],
            link_canonical: None,
        };
        let started = Instant::now();
        let text = match extract::extract(&input, &limits) {
            Ok(Extracted::Page(page)) => page.text,
            Ok(_) => String::new(),
            Err(error) => panic!("{}: {error}", path.display()),
        };
        let ms = started.elapsed().as_secs_f64() * 1_000.0;
        let line = json!({"id": entry["id"], "text": text, "ms": ms});
        writeln!(output, "{line}").expect("standard output");
    }
}
