//! Each kind of failure and how it reads.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fetch::{FetchConfig, FetchErrorKind, Fetcher, Lookup, Want};
use testkit::{FakeWeb, Reply};
use types::SystemClock;

use crate::support::{SOON, check_error, config, fetcher, get, page, with_lookup};

use FetchErrorKind::{Config, Connect, Dns, PrivateAddress, Protocol, Timeout};

#[tokio::test]
async fn unknown_names() {
    let lookup = Lookup::custom(|name| match name {
        "empty.example" => Ok(Vec::new()),
        _ => Err(io::Error::other("no such host")),
    });
    let fetcher = with_lookup(config(), &lookup);
    let check = async |url: &str, cause: &str| {
        let error = check_error(&fetcher, url, Want::Page, Dns, "name does not resolve").await;
        let source = error.source().expect("a source");
        assert_eq!(source.to_string(), cause);
        assert!(error.kind().is_transient());
    };
    check("http://gone.example/", "no such host").await;
    check("https://gone.example/", "no such host").await;
    check("http://empty.example/", "name has no address").await;
}

#[tokio::test]
async fn refused_connections() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let fetcher = fetcher(config());
    let problem = "connection failed";
    let error = check_error(&fetcher, &url, Want::Page, Connect, problem).await;
    let source = error.source().expect("a source").to_string();
    assert!(source.contains("refused"), "{source}");
}

#[tokio::test]
async fn connecting_takes_too_long() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let fetcher = fetcher(FetchConfig {
        connect_timeout: SOON,
        ..config()
    });
    // TLS against a server that accepts and then says nothing.
    let url = format!("https://127.0.0.1:{port}/");
    let problem = "connect timed out after 0.06 s";
    check_error(&fetcher, &url, Want::Page, Timeout, problem).await;
}

#[tokio::test]
async fn broken_http() {
    let web = FakeWeb::start().await;
    web.route("/garbage", Reply::raw(vec![0x00, 0xff, 0x13, 0x37]));
    web.route("/text", Reply::raw("SSH-2.0-OpenSSH_9\r\n"));
    web.route("/closed", Reply::raw(""));
    web.route("/half", Reply::raw("HTTP/1.1 200 OK\r\nContent-Le"));
    let lengths = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab";
    web.route("/lengths", Reply::raw(lengths));
    let fetcher = fetcher(config());
    for path in ["/garbage", "/text", "/closed", "/half", "/lengths"] {
        let problem = "no valid HTTP answer";
        let error = check_error(&fetcher, &web.url(path), Want::Page, Protocol, problem).await;
        assert!(error.source().is_some(), "{path}");
    }
    web.route("/cut", Reply::html("x".repeat(1000)).cut_after(400));
    let problem = "body broke off after ";
    check_error(&fetcher, &web.url("/cut"), Want::Page, Protocol, problem).await;
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nboo";
    web.route("/chunks", Reply::raw(chunks));
    check_error(&fetcher, &web.url("/chunks"), Want::Page, Protocol, problem).await;
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced() {
    let web = FakeWeb::start().await;
    let closing = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/html\r\n\r\nok";
    web.route("/", Reply::raw(closing));
    let fetcher = fetcher(config());
    for _ in 0..20 {
        page(&fetcher, &web.url("/")).await;
    }
}

#[tokio::test]
async fn messages_never_carry_a_proxy_password() {
    let proxied = FetchConfig {
        proxy: Some("http://user:secret@127.0.0.1:1/".to_owned()),
        ..config()
    };
    assert!(!format!("{proxied:?}").contains("secret"));
    let fetcher = fetcher(proxied);
    assert!(!format!("{fetcher:?}").contains("secret"));
    let error = get(&fetcher, "http://8.8.8.8/", Want::Page).await;
    let error = error.expect_err("nothing listens on port 1");
    assert_eq!(error.kind(), Connect);
    assert!(!format!("{error:?}").contains("secret"));
}

#[test]
fn unusable_settings_are_named() {
    let check = |config: FetchConfig, expected: &str| {
        let clock = Arc::new(SystemClock);
        let built = Fetcher::with_parts(config, &Lookup::System, clock);
        let error = built.expect_err(expected);
        assert_eq!(error.kind(), Config);
        assert_eq!(
            error.to_string(),
            format!("set up the HTTP client: {expected}")
        );
        assert!(!error.kind().is_transient());
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let ca = |content: &str| {
        std::fs::write(&file, content).unwrap();
        FetchConfig {
            extra_ca_file: Some(file.clone()),
            ..config()
        }
    };
    let named = |problem: &str| format!("CA file {}: {problem}", file.display());
    check(
        FetchConfig {
            extra_ca_file: Some(file.clone()),
            ..config()
        },
        &named("cannot be read"),
    );
    check(ca("no PEM here"), &named("holds no certificate"));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check(ca(broken), &named("holds an unusable certificate"));

    let user_agent = String::from("a\nb");
    let bad = FetchConfig {
        user_agent,
        ..config()
    };
    check(bad, "user agent cannot be sent in a header");
    let user_agent = String::from(" ");
    let bad = FetchConfig {
        user_agent,
        ..config()
    };
    check(bad, "user agent is empty");
    for (proxy, problem) in [
        ("nonsense", "proxy is not a URL"),
        (
            "socks5://127.0.0.1:1",
            "proxy is neither http:// nor https://",
        ),
    ] {
        let proxy = Some(proxy.to_owned());
        check(FetchConfig { proxy, ..config() }, problem);
    }
    for (total_timeout, problem) in [
        (Duration::ZERO, "total_timeout is 0"),
        (Duration::MAX, "total_timeout is over a day"),
    ] {
        let bad = FetchConfig {
            total_timeout,
            ..config()
        };
        check(bad, problem);
    }
    assert!(!PrivateAddress.is_transient() && Timeout.is_transient());
}
