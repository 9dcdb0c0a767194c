//! Signatures as Standard Webhooks 1.0 has them (standardwebhooks.com):
//! HMAC-SHA256 over `id.timestamp.body`, keyed by the webhook's secret.
//!
//! That specification rather than a header of our own, because libraries for a
//! dozen languages check it already, the timestamp in what is signed stops
//! replays, and its list of signatures lets a secret be changed without a gap.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use store::WebhookSecret;

/// What a secret begins with where it is shown.
const MARK: &str = "whsec_";

/// 256 random bits.
pub fn new_secret() -> Result<WebhookSecret> {
    Ok(WebhookSecret(crate::random::bytes()?))
}

/// For its owner, once.
pub fn shown_secret(secret: &WebhookSecret) -> String {
    format!("{MARK}{}", STANDARD.encode(secret.0))
}

/// The value of `Webhook-Signature`: one signature for each secret.
pub fn signatures(secrets: &[WebhookSecret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let mut signed = format!("{id}.{timestamp_s}.").into_bytes();
    signed.extend_from_slice(body);
    let one = |secret: &WebhookSecret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)))
    };
    let all: Vec<String> = secrets.iter().map(one).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac` and `base64`, see docs/guides/webhooks.md.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = WebhookSecret(std::array::from_fn(|n| n as u8));
        let shown = shown_secret(&secret);
        assert_eq!(shown, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let body = br#"{"test": 2432232314}"#;
        let signed = signatures(
            std::slice::from_ref(&secret),
            "msg_1_1614265330",
            1_614_265_330,
            body,
        );
        assert_eq!(signed, "v1,JJ47osB9kJ5LQ1fZ+7DhnY5jVWIP/XtWvqqWo6hCE/w=");
        let both = signatures(
            &[secret.clone(), secret],
            "msg_1_1614265330",
            1_614_265_330,
            body,
        );
        assert_eq!(both, format!("{signed} {signed}"));
    }

    #[test]
    fn secrets_differ_and_hide() {
        let (one, other) = (new_secret().expect("random"), new_secret().expect("random"));
        assert_ne!(one, other);
        assert!(!format!("{one:?}").contains(&shown_secret(&one)[MARK.len()..]));
    }
}
