//! What an answer says, apart from its body's limits.

use std::time::Duration;

use bytes::Bytes;
use fetch::{FetchConfig, FetchRequest, Outcome, Want};
use testkit::{FakeWeb, Reply};

use crate::support::{body_of, config, fetcher, get, page, url};

#[tokio::test]
async fn a_page_comes_with_its_headers() {
    let web = FakeWeb::start().await;
    let reply = Reply::html("<p>hello</p>")
        .header("ETag", "W/\"v1\"")
        .header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")
        .header("X-Robots-Tag", "noindex")
        .header("X-Robots-Tag", "otherbot: nofollow")
        .header(
            "Link",
            "</style.css>; rel=preload, </real>; rel=\"canonical\"",
        )
        .header("Set-Cookie", "id=1");
    web.route("/dir/page", reply);
    let fetcher = fetcher(FetchConfig {
        accept_language: Some("fa, en;q=0.5".to_owned()),
        ..config()
    });
    let fetched = page(&fetcher, &web.url("/dir/page?q=1")).await;

    assert_eq!(fetched.url.as_str(), web.url("/dir/page?q=1"));
    assert_eq!(fetched.status, 200);
    assert_eq!(body_of(&fetched), b"<p>hello</p>");
    assert_eq!(
        fetched.content_type.as_deref(),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(fetched.etag.as_deref(), Some("W/\"v1\""));
    assert_eq!(
        fetched.last_modified.as_deref(),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
    assert_eq!(fetched.x_robots_tag, ["noindex", "otherbot: nofollow"]);
    assert_eq!(fetched.link_canonical, Some(web.url("/real")));
    assert_eq!(fetched.retry_after, None);
    assert_eq!(fetched.wire_bytes, 12);
    assert_eq!(fetched.http_version, http::Version::HTTP_11);

    // The same connection, and no cookie comes back.
    page(&fetcher, &web.url("/dir/page?q=2")).await;
    let log = web.log();
    assert_eq!(web.connections(), 1);
    let sent = |name: &str| log[1].header(name);
    assert_eq!(
        sent("user-agent"),
        Some("gleaner-test/1 (+https://example.org/bot)")
    );
    assert_eq!(sent("accept-language"), Some("fa, en;q=0.5"));
    assert_eq!(sent("accept-encoding"), Some("gzip, br, zstd"));
    assert_eq!(sent("cookie"), None);
    assert_eq!(sent("referer"), None);
    assert_eq!(sent("if-none-match"), None);
}

#[tokio::test]
async fn conditional_requests_are_answered_not_modified() {
    let web = FakeWeb::start().await;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    web.route("/tag", Reply::html("x").etag("\"v1\""));
    web.route("/date", Reply::html("x").last_modified(date));
    web.route("/304", Reply::status(304));
    let fetcher = fetcher(config());
    let check = async |path: &str, etag, last_modified, expected: Outcome| {
        let url = url(&web.url(path));
        let request = FetchRequest {
            etag,
            last_modified,
            ..FetchRequest::new(&url, Want::Page)
        };
        let fetched = fetcher.fetch(&request).await.expect("an answer");
        assert_eq!(
            fetched.outcome, expected,
            "{path} {etag:?} {last_modified:?}"
        );
    };
    let full = || Outcome::Body(Bytes::from_static(b"x"));
    check("/tag", None, None, full()).await;
    check("/tag", Some("\"v0\""), None, full()).await;
    check("/tag", Some("\"v1\""), None, Outcome::NotModified).await;
    check("/date", None, Some(date), Outcome::NotModified).await;
    // A validator that is no header value is not sent.
    check("/tag", Some("a\nb"), None, full()).await;
    // Nobody asked for a 304: there is nothing it could stand for.
    check("/304", None, None, Outcome::Status).await;
}

#[tokio::test]
async fn unwanted_content_types_are_not_read() {
    let web = FakeWeb::start().await;
    let zip = Reply::body("application/zip", vec![0; 100]).silent_body();
    web.route("/zip", zip);
    web.route("/any", Reply::body("application/zip", "PK"));
    let mut untyped = Reply::status(200);
    untyped.body = Bytes::from_static(b"<p>");
    web.route("/untyped", untyped);
    let fetcher = fetcher(config());

    let fetched = page(&fetcher, &web.url("/zip")).await;
    assert_eq!(fetched.outcome, Outcome::Unwanted);
    assert_eq!(fetched.content_type.as_deref(), Some("application/zip"));
    assert_eq!(fetched.wire_bytes, 0);

    let fetched = get(&fetcher, &web.url("/any"), Want::Any).await.unwrap();
    assert_eq!(body_of(&fetched), b"PK");
    let fetched = page(&fetcher, &web.url("/untyped")).await;
    assert_eq!(body_of(&fetched), b"<p>");
    assert_eq!(fetched.content_type, None);
}

#[tokio::test]
async fn error_statuses_are_outcomes_with_their_retry_after() {
    let web = FakeWeb::start().await;
    let fetcher = fetcher(config());
    let check = async |status: u16, retry_after: Option<&str>, seconds: Option<u64>| {
        let mut reply = Reply::html("sorry").with_status(status);
        if let Some(value) = retry_after {
            reply = reply.header("Retry-After", value);
        }
        web.route("/", reply);
        let fetched = page(&fetcher, &web.url("/")).await;
        assert_eq!(fetched.outcome, Outcome::Status, "{status}");
        assert_eq!(fetched.status, status);
        assert_eq!(fetched.retry_after, seconds.map(Duration::from_secs));
    };
    check(404, None, None).await;
    check(410, None, None).await;
    check(403, None, None).await;
    check(500, None, None).await;
    check(429, Some("7"), Some(7)).await;
    // The clock stands at 08:49:37.
    check(503, Some("Sun, 06 Nov 1994 08:51:37 GMT"), Some(120)).await;
    check(503, Some("whenever"), None).await;
    // Small error bodies are read away, so one connection serves all.
    assert_eq!(web.connections(), 1);
}

#[tokio::test]
async fn a_success_without_content_is_an_empty_body() {
    let web = FakeWeb::start().await;
    web.route("/204", Reply::status(204));
    web.route("/empty", Reply::html(""));
    web.route("/gzip", Reply::html("").header("Content-Encoding", "gzip"));
    let fetcher = fetcher(config());
    for path in ["/204", "/empty", "/gzip"] {
        let fetched = page(&fetcher, &web.url(path)).await;
        assert_eq!(body_of(&fetched), b"", "{path}");
    }
}

#[tokio::test]
async fn one_fetcher_serves_many_requests_at_once() {
    let web = FakeWeb::start().await;
    web.handler(|request| Reply::html(request.path.clone()));
    let fetcher = fetcher(config());
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let fetcher = fetcher.clone();
            let path = format!("/{number}");
            let url = web.url(&path);
            tokio::spawn(async move {
                let fetched = page(&fetcher, &url).await;
                assert_eq!(body_of(&fetched), path.as_bytes());
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(web.log().len(), 50);
}
