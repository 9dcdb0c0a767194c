//! Messages that are sent: guarded like requests, and nothing of the answer
//! is followed or read beyond its limit.

use std::time::Duration;

use bytes::Bytes;
use fetch::{AddressGuard, FetchConfig, FetchError, FetchErrorKind, Fetcher, PostRequest, Posted};
use http::{HeaderMap, HeaderValue};
use testkit::{FakeWeb, Reply};

use crate::support::{SOON, config, fetcher, names, url, with_lookup};

async fn post(fetcher: &Fetcher, target: &str) -> Result<Posted, FetchError> {
    let url = url(target);
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
    let request = PostRequest {
        url: &url,
        headers,
        body: Bytes::from_static(b"{\"a\":1}"),
        answer_bytes_max: 10,
    };
    fetcher.post(request).await
}

#[tokio::test]
async fn a_message_arrives_and_the_start_of_the_answer_comes_back() {
    let web = FakeWeb::start().await;
    web.handler(|_| Reply::html("0123456789abcdef").header("Retry-After", "7"));
    let posted = post(&fetcher(config()), &web.url("/hook?x=1")).await;
    let posted = posted.expect("an answer");
    assert_eq!(
        (posted.status, &posted.answer[..]),
        (200, &b"0123456789"[..])
    );
    assert_eq!(posted.retry_after, Some(Duration::from_secs(7)));
    let got = &web.log()[0];
    assert_eq!(
        (got.method.as_str(), got.path.as_str()),
        ("POST", "/hook?x=1")
    );
    assert_eq!(&got.body[..], b"{\"a\":1}");
    assert_eq!(got.header("webhook-id"), Some("msg_1"));
    assert_eq!(got.header("accept-encoding"), Some("identity"));
    assert_eq!(
        got.header("user-agent"),
        Some("gleaner-test/1 (+https://example.org/bot)")
    );
}

#[tokio::test]
async fn p3_private_addresses_get_no_message() {
    let web = FakeWeb::start().await;
    web.handler(|_| Reply::html("secret"));
    let strict = || FetchConfig {
        guard: AddressGuard::default(),
        ..config()
    };
    let literal = post(&fetcher(strict()), &web.url("/")).await;
    let kind = literal.expect_err("refused").kind();
    assert_eq!(kind, FetchErrorKind::PrivateAddress);
    let (lookup, _) = names(&["127.0.0.1"]);
    let named = with_lookup(strict(), &lookup);
    let named = post(&named, &web.url_at("hooks.example", "/")).await;
    let error = named.expect_err("refused");
    assert_eq!(error.kind(), FetchErrorKind::PrivateAddress);
    assert!(!error.problem().contains("hooks.example"), "{error}");
    assert!(web.log().is_empty());
}

#[tokio::test]
async fn redirects_are_answers_and_silence_has_an_end() {
    let web = FakeWeb::start().await;
    web.route("/moved", Reply::redirect("/elsewhere"));
    web.route("/silent", Reply::silence());
    web.route("/half", Reply::html("0123").cut_after(2));
    let posted = post(&fetcher(config()), &web.url("/moved")).await;
    assert_eq!(posted.expect("an answer").status, 302);
    assert_eq!(web.hits("/elsewhere"), 0);
    let cut = post(&fetcher(config()), &web.url("/half")).await;
    let cut = cut.expect("its status is known");
    assert_eq!((cut.status, &cut.answer[..]), (200, &b"01"[..]));
    let hasty = fetcher(FetchConfig {
        total_timeout: SOON,
        ..config()
    });
    let error = post(&hasty, &web.url("/silent"))
        .await
        .expect_err("silence");
    assert_eq!(error.kind(), FetchErrorKind::Timeout);
}
