//! A receiver of webhooks, which checks signatures with code of its own.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use testkit::{FakeWeb, Reply, RequestInfo};

/// Far longer than any message takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An endpoint that answers as it was last told.
pub struct Endpoint {
    pub web: FakeWeb,
    pub messages: Receiver<RequestInfo>,
    answer: Arc<Mutex<Reply>>,
}

impl Endpoint {
    pub fn start(reply: Reply) -> Endpoint {
        let web = FakeWeb::start_blocking();
        let (heard, messages) = channel();
        let answer = Arc::new(Mutex::new(reply));
        let answers = answer.clone();
        web.handler(move |request| {
            // A test that has ended wants to hear no more.
            let _ = heard.send(request.clone());
            answers.lock().expect("unharmed").clone()
        });
        Endpoint {
            web,
            messages,
            answer,
        }
    }

    pub fn answer(&self, reply: Reply) {
        *self.answer.lock().expect("unharmed") = reply;
    }

    /// The next message, as it came and as JSON.
    pub fn next(&self) -> (RequestInfo, Value) {
        let request = self.messages.recv_timeout(PATIENCE).expect("a message");
        let body = serde_json::from_slice(&request.body).expect("JSON");
        (request, body)
    }

    /// Events up to the first of this type, in the order of their arrival.
    pub fn events_until(&self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let (_, body) = self.next();
            events.extend(body["events"].as_array().expect("events").clone());
            if events.iter().any(|event| event["type"] == kind) {
                return events;
            }
        }
    }
}

const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 §4, written anew so that nothing of the program checks itself.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= group.len() {
                char::from(DIGITS[value as usize])
            } else {
                '='
            });
        }
    }
    text
}

fn unbase64(text: &str) -> Vec<u8> {
    let digit = |c: u8| DIGITS.iter().position(|known| *known == c).expect("base64") as u32;
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::new();
    for group in text.chunks(4) {
        let bits = group.iter().fold(0, |bits, c| bits << 6 | digit(*c));
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}

/// RFC 2104, over another implementation of SHA-256 than the program's.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message);
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner.finalize());
    outer.finalize().to_vec()
}

/// How a receiver checks a message by the Standard Webhooks specification.
pub fn is_signed_by(request: &RequestInfo, secret: &str) -> bool {
    let header = |name: &str| request.header(name).expect(name).to_owned();
    let key = unbase64(secret.strip_prefix("whsec_").expect("a mark"));
    assert_eq!(key.len(), 32);
    let mut signed = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp"));
    signed.push_str(std::str::from_utf8(&request.body).expect("text"));
    let expected = format!("v1,{}", base64(&hmac(&key, signed.as_bytes())));
    header("webhook-signature")
        .split(' ')
        .any(|one| one == expected)
}

#[test]
fn hmac_is_that_of_rfc_4231() {
    let hex: String = hmac(b"Jefe", b"what do ya want for nothing?")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(base64(b"fooba"), "Zm9vYmE=");
    assert_eq!(unbase64("Zm9vYmE="), b"fooba");
    assert_eq!(unbase64("Zm9vYmFy"), b"foobar");
}
