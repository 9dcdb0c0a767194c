//! The robots.txt of each host in a crawl: from the cache in the store, or
//! fetched; and the verdict for each of its URLs (invariant P2).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use fetch::{FetchErrorKind, FetchRequest, Fetcher, Outcome, Want};
use frontier::{Robots, RobotsFetch, RobotsVerdict, robots_from_fetch};
use store::Store;
use types::{CanonicalUrl, Clock, FailReason, HostKey};

use super::fetching::fail_reason;
use crate::causes::chain;

/// Product token that robots.txt groups are matched against.
pub const AGENT_TOKEN: &str = "gleaner";

/// Tries before an unreachable robots.txt closes its host for the crawl.
const ATTEMPTS_MAX: u32 = 3;

/// What a host allows.
#[derive(Clone, Debug)]
pub enum HostRules {
    Known(Arc<Robots>),
    /// robots.txt could not be read: nothing may be fetched (RFC 9309 §2.3.1.4).
    Unreachable {
        reason: FailReason,
        detail: String,
    },
}

#[derive(Clone)]
pub struct RobotsReader {
    pub store: Store,
    pub fetcher: Fetcher,
    pub clock: Arc<dyn Clock>,
    pub ttl: Duration,
    /// False: everything is allowed, on the user's word.
    pub obey: bool,
}

impl std::fmt::Debug for RobotsReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RobotsReader")
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

impl RobotsReader {
    /// The rules of a host, and whether a request was made for them.
    pub async fn rules(&self, host: &HostKey) -> Result<(HostRules, bool)> {
        if !self.obey {
            return Ok((HostRules::Known(Arc::new(Robots::allow_all())), false));
        }
        if let Some(cached) = self.cached(host)? {
            return Ok((cached, false));
        }
        let url = CanonicalUrl::parse(&host.robots_url())?;
        let (fetched, failure) = self.download(&url).await;
        let (status, body): (i64, &[u8]) = match &fetched {
            RobotsFetch::Body(body) => (200, body),
            RobotsFetch::Status(status) => (i64::from(*status), &[]),
            RobotsFetch::Unreachable => (0, &[]),
        };
        let rules = verdict(&fetched, failure);
        // An unreachable file is asked for again by the next crawl.
        if matches!(rules, HostRules::Known(_)) {
            self.store.save_robots(host, status, body)?;
        }
        Ok((rules, true))
    }

    fn cached(&self, host: &HostKey) -> Result<Option<HostRules>> {
        let Some(row) = self.store.host(host)? else {
            return Ok(None);
        };
        let Some(fetched_at) = row.robots_fetched_at else {
            return Ok(None);
        };
        if self.clock.now().since(fetched_at) >= self.ttl {
            return Ok(None);
        }
        let fetched = match row.robots_status.and_then(|s| u16::try_from(s).ok()) {
            Some(200) => RobotsFetch::Body(row.robots_body),
            Some(status) if status > 0 => RobotsFetch::Status(status),
            _ => return Ok(None),
        };
        Ok(Some(verdict(&fetched, None)))
    }

    async fn download(&self, url: &CanonicalUrl) -> (RobotsFetch, Option<(FailReason, String)>) {
        let request = FetchRequest {
            url,
            etag: None,
            last_modified: None,
            want: Want::Robots,
        };
        let mut failure = None;
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(500 << attempt)).await;
            }
            match self.fetcher.fetch_following(&request).await {
                Ok(followed) => {
                    let status = followed.fetched.status;
                    match followed.fetched.outcome {
                        Outcome::Body(body) => return (RobotsFetch::Body(body.to_vec()), None),
                        _ if status >= 500 || status == 429 => {
                            let detail = format!("robots.txt answered HTTP {status}");
                            failure = Some((FailReason::RobotsUnreachable, detail));
                        }
                        _ => return (RobotsFetch::Status(status), None),
                    }
                }
                Err(error) => {
                    // Too many redirects: treat as unavailable (RFC 9309 §2.3.1.2).
                    if error.kind() == FetchErrorKind::RedirectLoop {
                        return (RobotsFetch::Status(404), None);
                    }
                    failure = Some((fail_reason(&error), chain(&error)));
                    if !error.kind().is_transient() {
                        break;
                    }
                }
            }
        }
        (RobotsFetch::Unreachable, failure)
    }
}

fn verdict(fetched: &RobotsFetch, failure: Option<(FailReason, String)>) -> HostRules {
    match robots_from_fetch(fetched, AGENT_TOKEN) {
        RobotsVerdict::Rules(rules) => HostRules::Known(Arc::new(rules)),
        RobotsVerdict::Unreachable => {
            let (reason, detail) = failure.unwrap_or_else(|| {
                (
                    FailReason::RobotsUnreachable,
                    "robots.txt could not be read".to_owned(),
                )
            });
            HostRules::Unreachable { reason, detail }
        }
    }
}
