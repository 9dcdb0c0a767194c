//! Running the program and reading what it prints.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use testkit::{FakeWeb, Reply};

pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The last line of standard output as JSON.
    pub fn json(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last)
            .unwrap_or_else(|e| panic!("no JSON ({e}): {}\n{}", self.stdout, self.stderr))
    }

    pub fn lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON line"))
            .collect()
    }

    pub fn ok(self) -> Ran {
        assert_eq!(
            self.code, 0,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }
}

pub fn command(data_dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner"));
    command
        .args(args)
        .arg("--data-dir")
        .arg(data_dir)
        .env_clear()
        .env("HOME", data_dir)
        // Retries and commits as a user has them, only sooner.
        .env("GLEANER__CRAWL__RETRY_BASE_MS", "10")
        .env("GLEANER__INDEX__COMMIT_MS", "100")
        .env("GLEANER__WEBHOOKS__RETRY_S", "0,0")
        .stdin(Stdio::null());
    command
}

pub fn gleaner(data_dir: &Path, args: &[&str]) -> Ran {
    ran(&command(data_dir, args)
        .output()
        .expect("the program starts"))
}

pub fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A crawl by keyword only, as JSON.
pub fn crawl(data_dir: &Path, url: &str, more: &[&str]) -> Ran {
    let mut args = vec!["crawl", url, "--embed", "off", "--json"];
    args.extend(more);
    gleaner(data_dir, &args)
}

pub fn counts(json: &Value) -> [u64; 7] {
    [
        "found",
        "fetched",
        "added",
        "updated",
        "unchanged",
        "failed",
        "skipped",
    ]
    .map(|name| {
        json["pages"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name} in {json}"))
    })
}

/// Q2: every URL found has ended in exactly one way.
pub fn check_q2(json: &Value) {
    let [found, _, added, updated, unchanged, failed, skipped] = counts(json);
    assert_eq!(
        found,
        added + updated + unchanged + failed + skipped,
        "Q2: {json}"
    );
}

pub fn page(title: &str, body: &str) -> Reply {
    Reply::html(format!(
        "<!doctype html><html lang=en><head><title>{title}</title></head><body>\
         <nav><a href=/>Home</a></nav><main><h1>{title}</h1>{body}</main></body></html>"
    ))
}

pub fn paragraphs(words: &str) -> String {
    format!(
        "<p>This page is about {words}. It says enough about {words} that an extractor \
         takes it for the main content, and no other page says quite the same.</p>\
         <p>Whoever looks for {words} should find it here, in a second paragraph.</p>"
    )
}

/// A start page with links to so many others, each about a topic of its own.
pub fn site(web: &FakeWeb, pages: usize) {
    let links: String = (0..pages)
        .map(|n| format!("<a href=/p{n}>p{n}</a> "))
        .collect();
    web.route(
        "/",
        page("Start", &format!("{}{links}", paragraphs("beginnings"))),
    );
    for n in 0..pages {
        let body = paragraphs(&format!("topic {n}"));
        web.route(&format!("/p{n}"), page(&format!("Page {n}"), &body));
    }
}

pub fn paths(web: &FakeWeb) -> Vec<String> {
    web.log()
        .iter()
        .map(|request| request.path.clone())
        .collect()
}
