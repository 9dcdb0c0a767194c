//! The only crate that touches the open web.
//!
//! It turns one URL into one bounded answer: TLS, HTTP/1.1 and HTTP/2, content
//! codings, conditional requests, and limits on time, bytes and headers that
//! hold against a hostile server. Private addresses are refused unless
//! allow-listed, for literals as well as for DNS answers, on every hop.
//!
//! It deliberately knows nothing of robots.txt rules, pace, retries or what a
//! page says: a redirect, a 404 or an unwanted content type is an [`Outcome`]
//! that the caller records, only a failure to get an answer is a [`FetchError`].
//! It keeps no cookies and follows redirects only in [`Fetcher::fetch_following`].
//!
//! [`Fetcher::post`] sends a message to an address that somebody named, under the
//! same guard.
//!
//! Start at [`Fetcher`], then [`FetchConfig`] and [`AddressGuard`].

mod answer;
mod body;
mod client;
mod config;
mod decode;
mod dns;
mod error;
mod fetcher;
mod guard;
mod headers;
mod post;

pub use answer::{FetchRequest, Fetched, Followed, Hop, Outcome, Want};
pub use config::FetchConfig;
pub use dns::Lookup;
pub use error::{FetchError, FetchErrorKind};
pub use fetcher::Fetcher;
pub use guard::{AddressGuard, is_global_unicast};
pub use post::{PostRequest, Posted};
