//! Each limit, from both sides.

use std::time::Duration;

use fetch::{FetchConfig, FetchErrorKind, Want};
use testkit::{FakeWeb, Gate, Reply, gzip};

use crate::support::{SOON, body_of, check_error, config, fetcher, get, page};

use FetchErrorKind::{Timeout, TooLarge};

const ROBOTS_BYTES_MAX: usize = 512 * 1024;

#[tokio::test]
async fn body_bytes_are_capped_with_and_without_a_promised_length() {
    let web = FakeWeb::start().await;
    let open = Gate::new();
    open.open_all();
    for (path, length) in [("/fits", 1000), ("/over", 1001)] {
        let reply = Reply::html("x".repeat(length));
        web.route(path, reply.clone());
        web.route(&format!("{path}/chunked"), reply.gated(300, &open));
    }
    web.route("/endless", Reply::html("x").endless());
    // Refused on the promise alone: the body never comes.
    let promise = Reply::html("x".repeat(5000)).silent_body();
    web.route("/promised", promise);
    let fetcher = fetcher(FetchConfig {
        body_bytes_max: 1000,
        ..config()
    });
    for path in ["/fits", "/fits/chunked"] {
        let fetched = page(&fetcher, &web.url(path)).await;
        assert_eq!(body_of(&fetched).len(), 1000, "{path}");
    }
    for path in ["/over", "/over/chunked", "/endless", "/promised"] {
        let problem = "body is larger than 1000 bytes";
        check_error(&fetcher, &web.url(path), Want::Page, TooLarge, problem).await;
    }
}

#[tokio::test]
async fn wire_bytes_are_capped_apart_from_decoded_bytes() {
    let web = FakeWeb::start().await;
    // Empty stored blocks: bytes on the wire without end that decode to none.
    let mut empty_blocks = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    empty_blocks.extend([0x00, 0x00, 0x00, 0xff, 0xff].repeat(1000));
    let reply = Reply::body("text/html", empty_blocks).header("Content-Encoding", "gzip");
    let open = Gate::new();
    open.open_all();
    web.route("/length", reply.clone());
    web.route("/chunked", reply.gated(500, &open));
    let fetcher = fetcher(FetchConfig {
        wire_bytes_max: 2000,
        ..config()
    });
    for path in ["/length", "/chunked"] {
        let problem = "body as transferred is larger than 2000 bytes";
        check_error(&fetcher, &web.url(path), Want::Page, TooLarge, problem).await;
    }
}

#[tokio::test]
async fn robots_are_cut_off_not_refused() {
    let web = FakeWeb::start().await;
    let long = "a".repeat(ROBOTS_BYTES_MAX + 1);
    web.route("/long", Reply::text(long.clone()));
    web.route("/gzip", Reply::text(long).gzip());
    web.route("/endless", Reply::text("Allow: /\n".repeat(1000)).endless());
    web.route("/bomb", Reply::gzip_bomb(8 * 1024 * 1024));
    web.route("/short", Reply::body("image/png", "User-agent: *"));
    let fetcher = fetcher(config());
    for path in ["/long", "/gzip", "/endless", "/bomb"] {
        let fetched = get(&fetcher, &web.url(path), Want::Robots).await.unwrap();
        assert_eq!(body_of(&fetched).len(), ROBOTS_BYTES_MAX, "{path}");
    }
    // Whatever it claims to be, robots.txt is robots.txt.
    let fetched = get(&fetcher, &web.url("/short"), Want::Robots).await;
    assert_eq!(body_of(&fetched.unwrap()), b"User-agent: *");
}

#[tokio::test]
async fn sitemap_files_are_inflated_within_their_own_cap() {
    let web = FakeWeb::start().await;
    let file = |bytes: Vec<u8>| Reply::body("application/octet-stream", bytes);
    let xml = "<urlset/>".repeat(100);
    web.route("/a.xml", Reply::xml(xml.clone()));
    web.route("/a.xml.gz", file(gzip(xml.as_bytes())));
    // A gzip file sent with gzip on top, as file servers do.
    web.route("/twice.xml.gz", file(gzip(xml.as_bytes())).gzip());
    let mut two_members = gzip(xml.as_bytes());
    two_members.extend(gzip(xml.as_bytes()));
    web.route("/two.xml.gz", file(two_members));
    let bomb = Reply::gzip_bomb(51 * 1024 * 1024);
    web.route("/bomb.xml.gz", file(bomb.body.to_vec()));
    let mut cut = gzip(xml.as_bytes());
    cut.truncate(cut.len() - 9);
    web.route("/cut.xml.gz", file(cut));
    // The page limits do not apply: real sitemaps are large.
    let fetcher = fetcher(FetchConfig {
        body_bytes_max: 10,
        ..config()
    });
    let check = async |path: &str, expected: &str| {
        let fetched = get(&fetcher, &web.url(path), Want::Sitemap).await.unwrap();
        assert_eq!(body_of(&fetched), expected.as_bytes(), "{path}");
    };
    check("/a.xml", &xml).await;
    check("/a.xml.gz", &xml).await;
    check("/twice.xml.gz", &xml).await;
    check("/two.xml.gz", &xml.repeat(2)).await;
    let url = web.url("/bomb.xml.gz");
    let problem = "body is larger than 52428800 bytes";
    check_error(&fetcher, &url, Want::Sitemap, TooLarge, problem).await;
    let url = web.url("/cut.xml.gz");
    let kind = FetchErrorKind::Protocol;
    check_error(
        &fetcher,
        &url,
        Want::Sitemap,
        kind,
        "body is not valid gzip",
    )
    .await;
}

#[tokio::test]
async fn headers_are_capped() {
    let web = FakeWeb::start().await;
    let wide = Reply::html("x").header("Retry-After", "3");
    web.route("/wide", wide.header("X-Wide", &"w".repeat(3000)));
    // Beyond what the HTTP client itself buffers.
    web.route(
        "/huge",
        Reply::html("x").header("X-Huge", &"h".repeat(600_000)),
    );
    let mut many = Reply::html("x");
    for number in 0..150 {
        many = many.header(&format!("X-{number}"), "y");
    }
    web.route("/many", many);
    let mut endless = b"HTTP/1.1 200 OK\r\nX-Endless: ".to_vec();
    endless.extend(vec![b'e'; 2_000_000]);
    web.route("/endless", Reply::raw(endless));
    let fetcher = fetcher(FetchConfig {
        header_bytes_max: 2000,
        ..config()
    });
    let error = check_error(
        &fetcher,
        &web.url("/wide"),
        Want::Page,
        TooLarge,
        "response headers are larger than 2000 bytes",
    )
    .await;
    assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(3));
    for path in ["/huge", "/many", "/endless"] {
        let problem = "response head is larger than the HTTP client takes";
        check_error(&fetcher, &web.url(path), Want::Page, TooLarge, problem).await;
    }
}

#[tokio::test]
async fn urls_are_capped() {
    let web = FakeWeb::start().await;
    let fetcher = fetcher(config());
    let long = format!("/{}", "p".repeat(9000));
    let url = web.url(&long);
    let error = get(&fetcher, &url, Want::Page).await.expect_err("too long");
    assert_eq!(error.kind(), TooLarge);
    assert!(
        error
            .to_string()
            .ends_with("…: URL is longer than 8192 bytes")
    );
    assert!(error.to_string().len() < 500);
    assert!(web.log().is_empty());
}

#[tokio::test]
async fn total_time_ends_a_body_that_keeps_dripping() {
    let web = FakeWeb::start().await;
    web.route("/drip", Reply::html("x").dripping(SOON / 10));
    let fetcher = fetcher(FetchConfig {
        total_timeout: SOON * 2,
        ..config()
    });
    let problem = "timed out after 0.12 s";
    check_error(&fetcher, &web.url("/drip"), Want::Page, Timeout, problem).await;
}

#[tokio::test]
async fn silence_ends_a_request() {
    let web = FakeWeb::start().await;
    web.route("/never", Reply::silence());
    web.route("/stall", Reply::html("promised").silent_body());
    let check = async |connect_timeout: Duration, path: &str, problem: &str| {
        let fetcher = fetcher(FetchConfig {
            read_timeout: SOON,
            connect_timeout,
            ..config()
        });
        check_error(&fetcher, &web.url(path), Want::Page, Timeout, problem).await;
    };
    // Plenty of time for the head: only the body can be what is late.
    check(SOON * 100, "/stall", "body stalled for 0.06 s").await;
    check(SOON * 10, "/never", "no answer for 0.66 s").await;
}

#[tokio::test]
async fn an_error_page_that_never_ends_does_not_hold_the_request() {
    let web = FakeWeb::start().await;
    web.route("/404", Reply::html("x").with_status(404).endless());
    let big = Reply::html("x".repeat(1_000_000)).with_status(500);
    web.route("/500", big.silent_body());
    let fetcher = fetcher(config());
    for (path, status) in [("/404", 404), ("/500", 500)] {
        let fetched = page(&fetcher, &web.url(path)).await;
        assert_eq!(fetched.status, status);
    }
}
