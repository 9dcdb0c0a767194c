//! Sending one message, and what its answer means.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use fetch::{FetchError, Fetcher, PostRequest, Posted};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use store::{DeliveryVerdict, Endpoint};
use types::{CanonicalUrl, Clock, Timestamp};

use super::message::Message;
use super::sign::signatures;
use crate::app::App;
use crate::config::WebhookConfig;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Of an answer, to be shown.
const ANSWER_BYTES_MAX: usize = 1_024;
/// An endpoint may not put a message off for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
const RETRIES_MAX: usize = 20;
const RETRY_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Sends messages. It belongs to the runtime that it is first used in, whose
/// end ends its connections.
pub struct Sender {
    fetcher: Fetcher,
    waits: Vec<Duration>,
}

/// How one attempt went.
#[derive(Debug)]
pub struct Sent {
    pub took: Duration,
    pub result: Result<Posted, FetchError>,
}

impl Sender {
    pub fn new(app: &App) -> Result<Sender> {
        let config = &app.config.webhooks;
        Ok(Sender {
            fetcher: app.message_fetcher(Duration::from_millis(config.timeout_ms))?,
            waits: waits(config)?,
        })
    }

    /// Signs the message with the endpoint's secrets and sends it.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        message: &Message,
        clock: &dyn Clock,
    ) -> Result<Sent> {
        // Checked when it was saved.
        let url = CanonicalUrl::parse(&endpoint.url).context("bug: the webhook's URL is none")?;
        let timestamp_s = clock.now().0.div_euclid(1000);
        let signed = signatures(&endpoint.secrets, &message.id, timestamp_s, &message.body);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ID, HeaderValue::from_str(&message.id)?);
        headers.insert(TIMESTAMP, HeaderValue::from(timestamp_s));
        headers.insert(SIGNATURE, HeaderValue::from_str(&signed)?);
        let request = PostRequest {
            url: &url,
            headers,
            body: Bytes::from(message.body.clone()),
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let started = std::time::Instant::now();
        let result = self.fetcher.post(request).await;
        Ok(Sent {
            took: started.elapsed(),
            result,
        })
    }

    /// What becomes of a message after this attempt, the first is 1. `random`
    /// is any number.
    pub fn verdict(
        &self,
        sent: &Sent,
        attempt: u32,
        now: Timestamp,
        random: u64,
    ) -> DeliveryVerdict {
        verdict(
            &self.waits,
            sent.status(),
            sent.retry_after(),
            attempt,
            now,
            random,
        )
    }
}

impl Sent {
    pub fn status(&self) -> Option<u16> {
        self.result.as_ref().ok().map(|posted| posted.status)
    }

    fn retry_after(&self) -> Option<Duration> {
        self.result.as_ref().ok()?.retry_after
    }

    pub fn delivered(&self) -> bool {
        self.status().is_some_and(is_success)
    }

    /// Why it was not delivered. Names no URL, which may hold a password.
    pub fn error(&self) -> Option<String> {
        match &self.result {
            Ok(posted) if is_success(posted.status) => None,
            Ok(posted) if (300..400).contains(&posted.status) => Some(format!(
                "the endpoint answered {}; redirects are not followed",
                posted.status
            )),
            Ok(posted) => Some(format!("the endpoint answered {}", posted.status)),
            Err(error) => Some(error.problem().to_owned()),
        }
    }

    /// What the answer began with; characters that a terminal would obey are
    /// left out.
    pub fn response(&self) -> Option<String> {
        let answer = &self.result.as_ref().ok()?.answer;
        let text = String::from_utf8_lossy(answer);
        let is_shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
        let shown: String = text.chars().filter(is_shown).collect();
        (!shown.is_empty()).then_some(shown)
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn waits(config: &WebhookConfig) -> Result<Vec<Duration>> {
    if config.retry_s.len() > RETRIES_MAX {
        bail!("webhooks.retry_s has more than {RETRIES_MAX} entries");
    }
    let waits: Vec<Duration> = config
        .retry_s
        .iter()
        .map(|seconds| Duration::from_secs(*seconds))
        .collect();
    if waits.iter().any(|wait| *wait > RETRY_MAX) {
        bail!("webhooks.retry_s has a wait of more than a week");
    }
    Ok(waits)
}

fn verdict(
    waits: &[Duration],
    status: Option<u16>,
    retry_after: Option<Duration>,
    attempt: u32,
    now: Timestamp,
    random: u64,
) -> DeliveryVerdict {
    match status {
        Some(status) if is_success(status) => return DeliveryVerdict::Delivered,
        Some(410) => {
            let reason = "the endpoint answered 410 Gone".to_owned();
            return DeliveryVerdict::Disable { reason };
        }
        _ => {}
    }
    let asked = retry_after.filter(|_| matches!(status, Some(429 | 503)));
    let hold_until = asked.map(|asked| now.plus(asked.min(RETRY_AFTER_MAX)));
    let Some(wait) = waits.get(attempt.saturating_sub(1) as usize) else {
        return DeliveryVerdict::Dead;
    };
    // Up to a fifth more, so that what failed together does not come together.
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let jitter_ms = random.checked_rem(wait_ms / 5).unwrap_or(0);
    let at = now.plus(Duration::from_millis(wait_ms.saturating_add(jitter_ms)));
    DeliveryVerdict::Retry {
        at: hold_until.map_or(at, |until| at.max(until)),
        hold_until,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn check(status: Option<u16>, retry_after_s: Option<u64>, attempt: u32) -> DeliveryVerdict {
        let waits = [Duration::from_secs(5), Duration::from_secs(30)];
        let retry_after = retry_after_s.map(Duration::from_secs);
        verdict(&waits, status, retry_after, attempt, NOW, 0)
    }

    fn retry(seconds: u64, hold_s: Option<u64>) -> DeliveryVerdict {
        let after = |seconds| NOW.plus(Duration::from_secs(seconds));
        DeliveryVerdict::Retry {
            at: after(seconds),
            hold_until: hold_s.map(after),
        }
    }

    #[test]
    fn answers_mean_what_the_guide_says() {
        for status in [200, 201, 204, 299] {
            assert_eq!(check(Some(status), None, 1), DeliveryVerdict::Delivered);
        }
        for status in [None, Some(302), Some(400), Some(404), Some(500)] {
            assert_eq!(check(status, None, 1), retry(5, None), "{status:?}");
            assert_eq!(check(status, Some(60), 2), retry(30, None), "{status:?}");
            assert_eq!(check(status, None, 3), DeliveryVerdict::Dead, "{status:?}");
        }
        assert!(matches!(
            check(Some(410), None, 1),
            DeliveryVerdict::Disable { .. }
        ));
        for status in [429, 503] {
            assert_eq!(check(Some(status), Some(60), 1), retry(60, Some(60)));
            assert_eq!(check(Some(status), Some(1), 2), retry(30, Some(1)));
            assert_eq!(
                check(Some(status), Some(999_999), 1),
                retry(3600, Some(3600))
            );
            assert_eq!(check(Some(status), Some(60), 3), DeliveryVerdict::Dead);
        }
    }

    #[test]
    fn jitter_only_ever_waits_longer() {
        for random in [0, 1, 999, u64::MAX] {
            let wait = [Duration::from_secs(10)];
            let verdict = verdict(&wait, Some(500), None, 1, NOW, random);
            let DeliveryVerdict::Retry { at, .. } = verdict else {
                panic!("{verdict:?}");
            };
            let waited = at.since(NOW).as_secs_f64();
            assert!((10.0..12.0).contains(&waited), "{waited}");
        }
        // A wait of nothing has no jitter to choose from.
        let none = verdict(&[Duration::ZERO], None, None, 1, NOW, 7);
        assert_eq!(none, retry(0, None));
    }
}
