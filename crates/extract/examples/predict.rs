//! Extracts every page of a benchmark folder and writes one JSON line each:
//! `{"id", "text", "ms", "links_ms", "title", "language", "headings"}`.
//!
//! usage: cargo run --release -p gleaner-extract --example predict -- FOLDER > predictions.jsonl
//!
//! FOLDER holds `pages.jsonl` with lines `{"id", "url", "html"}`, where `html`
//! is a path to a gzip file below FOLDER. `ms` is wall time of `extract`
//! alone, `links_ms` of `extract_links`.

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
        let page = match extract::extract(&input, &limits) {
            Ok(Extracted::Page(page)) => *page,
            Ok(_) => types::Page::default(),
            Err(error) => panic!("{}: {error}", path.display()),
        };
        let ms = started.elapsed().as_secs_f64() * 1_000.0;
        let started = Instant::now();
        let links = extract::extract_links(&input, &limits);
        let links_ms = started.elapsed().as_secs_f64() * 1_000.0;
        assert_eq!(links.links, page.links, "{}", path.display());
        let line = json!({
            "id": entry["id"],
            "text": page.text,
            "ms": ms,
            "links_ms": links_ms,
            "title": page.title,
            "language": page.language,
            "headings": page.headings().count(),
        });
        writeln!(output, "{line}").expect("standard output");
    }
}
