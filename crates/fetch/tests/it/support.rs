use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fetch::{
    AddressGuard, FetchConfig, FetchError, FetchErrorKind, FetchRequest, Fetched, Fetcher, Lookup,
    Outcome, Want,
};
use types::{CanonicalUrl, ManualClock, Timestamp};

/// Far longer than any test takes: what must not time out does not, on any machine.
const NEVER: Duration = Duration::from_secs(20);
/// Short enough not to be noticed by tests that wait for a timeout.
pub(crate) const SOON: Duration = Duration::from_millis(60);

/// 1994-11-06T08:49:37Z
pub(crate) const CLOCK_NOW: Timestamp = Timestamp(784_111_777_000);

pub(crate) fn url(text: &str) -> CanonicalUrl {
    CanonicalUrl::parse(text).expect(text)
}

pub(crate) fn config() -> FetchConfig {
    FetchConfig {
        user_agent: "gleaner-test/1 (+https://example.org/bot)".to_owned(),
        connect_timeout: NEVER,
        read_timeout: NEVER,
        total_timeout: NEVER,
        guard: AddressGuard {
            allow: vec!["127.0.0.0/8".parse().expect("a network")],
            allow_exact: Vec::new(),
        },
        ..FetchConfig::default()
    }
}

pub(crate) fn fetcher(config: FetchConfig) -> Fetcher {
    with_lookup(config, &no_names())
}

pub(crate) fn with_lookup(config: FetchConfig, lookup: &Lookup) -> Fetcher {
    let clock = Arc::new(ManualClock::at(CLOCK_NOW));
    Fetcher::with_parts(config, lookup, clock).expect("a fetcher")
}

fn no_names() -> Lookup {
    Lookup::custom(|name| Err(io::Error::other(format!("no test knows {name}"))))
}

/// Answers every name with these addresses and counts the questions.
pub(crate) fn names(addresses: &[&str]) -> (Lookup, Arc<AtomicUsize>) {
    let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().expect(a)).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let lookup = Lookup::custom(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(addresses.clone())
    });
    (lookup, asked)
}

pub(crate) async fn get(fetcher: &Fetcher, text: &str, want: Want) -> Result<Fetched, FetchError> {
    let url = url(text);
    fetcher.fetch(&FetchRequest::new(&url, want)).await
}

pub(crate) async fn page(fetcher: &Fetcher, text: &str) -> Fetched {
    get(fetcher, text, Want::Page).await.expect("an answer")
}

pub(crate) fn body_of(fetched: &Fetched) -> &[u8] {
    match &fetched.outcome {
        Outcome::Body(bytes) => bytes,
        other => panic!("{}: no body but {other:?}", fetched.url),
    }
}

/// The request fails with this kind and a message that starts like this after the URL.
pub(crate) async fn check_error(
    fetcher: &Fetcher,
    text: &str,
    want: Want,
    kind: FetchErrorKind,
    problem: &str,
) -> FetchError {
    let error = get(fetcher, text, want).await.expect_err("a failure");
    assert_eq!(error.kind(), kind, "{error:?}");
    let message = error.to_string();
    let expected = format!("fetch {}: {problem}", url(text));
    assert!(
        message.starts_with(&expected),
        "{message:?} does not start with {expected:?}"
    );
    error
}
