//! M1: memory is bounded by configuration, not by what the web offers.

use std::process::Stdio;

use testkit::{FakeWeb, Reply};

use crate::support::{command, page, paragraphs};

const LINKS_PER_PAGE: u64 = 60;

/// A site without end: every page links to pages nobody has seen yet.
fn endless() -> FakeWeb {
    let web = FakeWeb::start_blocking();
    web.handler(|request| {
        let number: u64 = match request.path.as_str() {
            "/" => 0,
            path => match path.strip_prefix("/articles/").and_then(|n| n.parse().ok()) {
                Some(number) => number,
                None => return Reply::status(404),
            },
        };
        let first = number * LINKS_PER_PAGE + 1;
        let links: String = (first..first + LINKS_PER_PAGE)
            .map(|n| format!("<a href=/articles/{n}>{n}</a> "))
            .collect();
        page(
            &format!("Article {number}"),
            &format!("{}{links}", paragraphs(&format!("matter {number}"))),
        )
    });
    web
}

/// Largest resident set of a crawl of `pages` pages, in KiB, and its queue's length.
fn peak_kib(pages: u64) -> (u64, u64) {
    let web = endless();
    let dir = tempfile::tempdir().expect("temp dir");
    let limit = pages.to_string();
    let args = [
        "crawl",
        &web.url("/"),
        "--embed",
        "off",
        "--json",
        "--max-pages",
        &limit,
    ];
    let mut child = command(dir.path(), &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("waits").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(kib) =
            line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok())
        {
            peak = kib;
        }
        std::thread::yield_now();
    }
    let output = child.wait_with_output().expect("output");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["pages"]["added"].as_u64(), Some(pages), "{json}");
    (peak, json["pages"]["found"].as_u64().expect("found"))
}

#[test]
fn m1_a_longer_queue_costs_disk_not_memory() {
    let (short, short_queue) = peak_kib(50);
    let (long, long_queue) = peak_kib(500);
    assert!(short > 0 && long > 0);
    assert!(
        long_queue > 8 * short_queue,
        "{short_queue} and {long_queue} URLs"
    );
    // The database's page cache and the index writer fill up to their limits.
    assert!(
        long < short + 96 * 1024,
        "{short} KiB with {short_queue} URLs, {long} with {long_queue}"
    );
}
