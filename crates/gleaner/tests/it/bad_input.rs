//! Bad input gets one clear line, the right exit code, and loses nothing.

use testkit::{FakeWeb, Reply};

use crate::support::{command, counts, crawl, gleaner, page, paragraphs, ran};

/// Crawls a start page that cannot be stored; the reason and advice are shown.
fn check_start(reply: Reply, reason: &str, advice: &str) {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    web.route("/", reply);
    let url = web.url("/");
    let ran = gleaner(dir.path(), &["crawl", &url, "--embed", "off"]);
    assert_eq!(ran.code, 1, "{reason}: {}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains(&format!("({reason})")),
        "{reason}: {}",
        ran.stdout
    );
    assert!(ran.stdout.contains(advice), "{reason}: {}", ran.stdout);
}

#[test]
fn start_pages_that_cannot_be_stored() {
    check_start(Reply::status(404), "not_found", "Check the address");
    check_start(Reply::status(500), "server_error", "try again later");
    check_start(
        Reply::body("image/png", vec![1, 2, 3]),
        "content_type",
        "Start from an HTML page",
    );
    check_start(
        Reply::redirect("/"),
        "redirect_loop",
        "redirects in a circle",
    );
    check_start(
        Reply::raw("garbage that is no HTTP\r\n\r\n"),
        "protocol",
        "--log info",
    );
    check_start(
        Reply::gzip_bomb(100 * 1024 * 1024),
        "too_large",
        "body_bytes_max",
    );
    check_start(
        Reply::html("<html><title>x</title><body></body></html>"),
        "empty",
        "no text",
    );
}

#[test]
fn a_huge_body_is_cut_off_without_being_read() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    web.route(
        "/",
        page(
            "Start",
            &format!("{}<a href=/huge>h</a>", paragraphs("sizes")),
        ),
    );
    web.route("/huge", Reply::html("x".repeat(1024 * 1024)).endless());
    let json = crawl(dir.path(), &web.url("/"), &[]).ok().json();
    let [_, _, added, _, _, failed, _] = counts(&json);
    assert_eq!([added, failed], [1, 1], "{json}");
}

#[test]
fn a_robots_forbidden_start_is_not_fetched() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    web.route("/robots.txt", Reply::text("User-agent: *\nDisallow: /\n"));
    web.route("/", page("Start", &paragraphs("secrets")));
    let ran = gleaner(dir.path(), &["crawl", &web.url("/"), "--embed", "off"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.contains("robots.txt disallows the start page"),
        "{}",
        ran.stdout
    );
    assert_eq!(web.hits("/"), 0);
}

#[test]
fn unreachable_and_unresolvable_hosts() {
    let dir = tempfile::tempdir().expect("temp dir");
    // A port that was free a moment ago: nothing answers there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("port")
        .port();
    let url = format!("http://127.0.0.1:{port}/");
    let ran = gleaner(dir.path(), &["crawl", &url, "--embed", "off"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.contains("Nothing answers there"),
        "{}",
        ran.stdout
    );

    let dir = tempfile::tempdir().expect("temp dir");
    let ran = gleaner(
        dir.path(),
        &["crawl", "http://no-such-host.invalid/", "--embed", "off"],
    );
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("Check the spelling"), "{}", ran.stdout);
}

/// P3: neither a link nor a redirect reaches a private address.
#[test]
fn p3_private_addresses_are_refused_on_every_hop() {
    let inner = FakeWeb::start_blocking();
    inner.route("/", page("Inner", &paragraphs("metadata")));
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    web.route("/", Reply::redirect(&inner.url("/")));
    let ran = gleaner(dir.path(), &["crawl", &web.url("/"), "--embed", "off"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(
        inner.log().is_empty(),
        "another loopback port is not the seed's"
    );

    let ran = gleaner(
        dir.path(),
        &["crawl", "http://169.254.169.254/latest/", "--embed", "off"],
    );
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("--allow-private"), "{}", ran.stdout);

    let dir = tempfile::tempdir().expect("temp dir");
    crawl(
        dir.path(),
        &web.url("/"),
        &["--allow-private", "127.0.0.0/8"],
    )
    .ok();
    assert!(!inner.log().is_empty(), "allow-listed");
}

#[test]
fn wrong_usage_exits_with_2() {
    let dir = tempfile::tempdir().expect("temp dir");
    assert_eq!(gleaner(dir.path(), &["crawl"]).code, 2);
    assert_eq!(gleaner(dir.path(), &["no-such-command"]).code, 2);
    let output = command(dir.path(), &["config"])
        .env("GLEANER__CRAWL__DELAI_MS", "1")
        .output()
        .expect("runs");
    let unknown = ran(&output);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.stderr.contains("did you mean `crawl.delay_ms`?"),
        "{}",
        unknown.stderr
    );
    for typed in [
        "http://[broken",
        "ht!tp:/x y",
        "not a host",
        "ftp://example.org/",
    ] {
        let malformed = gleaner(dir.path(), &["crawl", typed, "--embed", "off"]);
        assert_eq!(malformed.code, 2, "{typed}");
        assert!(
            malformed.stderr.contains("no crawlable URL"),
            "{typed}: {}",
            malformed.stderr
        );
    }
}

#[test]
fn a_data_folder_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().expect("temp dir");
    let file = dir.path().join("file");
    std::fs::write(&file, "x").expect("written");
    let web = FakeWeb::start_blocking();
    let ran = crawl(&file.join("below"), &web.url("/"), &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("below"), "{}", ran.stderr);

    let empty = dir.path().join("empty");
    let ran = gleaner(&empty, &["search", "anything"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("crawl something first"),
        "says what to do: {}",
        ran.stderr
    );
}
