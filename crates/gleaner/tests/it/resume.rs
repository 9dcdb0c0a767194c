//! Q1 and Q2 across kill -9 and Ctrl-C: the same command goes on where it was.

use std::process::Stdio;

use testkit::{FakeWeb, Gate, Reply};

use crate::support::{check_q2, command, counts, crawl, gleaner, page, paragraphs, ran};

const PAGES: usize = 40;

/// A start page linking to pages; from `closed` on they wait at the gate.
pub fn gated_site(web: &FakeWeb, closed: usize, gate: &Gate) {
    let links: String = (0..PAGES)
        .map(|n| format!("<a href=/p{n}>p{n}</a> "))
        .collect();
    web.route(
        "/",
        page("Start", &format!("{}{links}", paragraphs("beginnings"))),
    );
    for n in 0..PAGES {
        let reply = page(&format!("Page {n}"), &paragraphs(&format!("topic {n}")));
        let reply = if n >= closed {
            reply.gated(64, gate)
        } else {
            reply
        };
        web.route(&format!("/p{n}"), reply);
    }
}

/// Waits, without sleeping, until `path` has been requested.
pub fn until_requested(web: &FakeWeb, path: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while web.hits(path) == 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "{path} was never requested"
        );
        std::thread::yield_now();
    }
}

#[test]
fn kill_9_loses_no_committed_page_and_refetches_none() {
    for closed in [1, 7, 20, 39] {
        let web = FakeWeb::start_blocking();
        let dir = tempfile::tempdir().expect("temp dir");
        let gate = Gate::new();
        gated_site(&web, closed, &gate);
        let start = web.url("/");
        let args = [
            "crawl",
            &start,
            "--embed",
            "off",
            "--json",
            "--concurrency",
            "1",
        ];
        let mut child = command(dir.path(), &args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        until_requested(&web, &format!("/p{closed}"));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        let stored_before = gleaner(dir.path(), &["page", "list", "--json"]);
        let before: Vec<String> = stored_before
            .stdout
            .lines()
            .map(|line| {
                let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
                json["url"].as_str().expect("url").to_owned()
            })
            .collect();

        gate.open_all();
        web.clear_log();
        let json = crawl(dir.path(), &start, &[]).ok().json();
        check_q2(&json);
        assert_eq!(json["resumed"], true);
        assert_eq!(counts(&json)[0], PAGES as u64 + 1, "found: {json}");
        assert_eq!(counts(&json)[2], PAGES as u64 + 1, "added: {json}");
        for url in before {
            let path = url.trim_start_matches(&web.url("")).to_owned();
            let path = format!("/{}", path.trim_start_matches('/'));
            assert_eq!(web.hits(&path), 0, "{path} was stored and is fetched again");
        }
        let pages = gleaner(dir.path(), &["page", "list", "--json"])
            .ok()
            .lines();
        assert_eq!(pages.len(), PAGES + 1);
        let hits = gleaner(dir.path(), &["search", "topic", "--json", "--limit", "100"]).ok();
        assert_eq!(
            hits.json()["total"],
            PAGES as u64,
            "S1: each page is found once"
        );
    }
}

#[test]
fn ctrl_c_drains_says_how_to_go_on_and_the_same_command_does() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    let gate = Gate::new();
    gated_site(&web, 5, &gate);
    let start = web.url("/");
    let child = command(
        dir.path(),
        // Slow enough that seconds of work are left when the signal is heard.
        &[
            "crawl",
            &start,
            "--embed",
            "off",
            "--concurrency",
            "1",
            "--delay-ms",
            "100",
        ],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("starts");
    until_requested(&web, "/p5");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("pid")).expect("pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signalled");
    gate.open_all();
    let stopped = ran(&child.wait_with_output().expect("ended"));
    assert_eq!(stopped.code, 3, "{}{}", stopped.stdout, stopped.stderr);
    assert!(
        stopped.stdout.contains("Run the same command again"),
        "{}",
        stopped.stdout
    );

    let json = crawl(dir.path(), &start, &[]).ok().json();
    check_q2(&json);
    assert_eq!(counts(&json)[2], PAGES as u64 + 1, "{json}");
}

#[test]
fn a_second_process_is_refused_and_readers_are_not() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    let gate = Gate::new();
    gated_site(&web, 3, &gate);
    let start = web.url("/");
    let child = command(
        dir.path(),
        &["crawl", &start, "--embed", "off", "--concurrency", "1"],
    )
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .expect("starts");
    until_requested(&web, "/p3");
    let second = crawl(dir.path(), &start, &[]);
    assert_eq!(second.code, 1);
    assert!(
        second.stderr.contains(&child.id().to_string()),
        "names the process: {}",
        second.stderr
    );
    gleaner(dir.path(), &["page", "list", "--json"]).ok();
    gleaner(dir.path(), &["search", "topic", "--json"]).ok();
    gate.open_all();
    let mut child = child;
    assert!(child.wait().expect("ended").success());
}

#[test]
fn a_silent_server_does_not_hold_a_crawl_for_ever() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    web.route(
        "/",
        page(
            "Start",
            &format!("{}<a href=/dead>d</a>", paragraphs("waiting")),
        ),
    );
    web.route("/dead", Reply::silence());
    let output = command(
        dir.path(),
        &["crawl", &web.url("/"), "--embed", "off", "--json"],
    )
    .env("GLEANER__FETCH__TOTAL_TIMEOUT_MS", "200")
    .output()
    .expect("runs");
    let json = ran(&output).json();
    check_q2(&json);
    assert_eq!(counts(&json)[5], 1, "{json}");
}
