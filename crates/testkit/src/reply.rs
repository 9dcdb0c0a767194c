//! What the fake web answers, well-behaved or not.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Semaphore;

/// One scripted answer. Starts well-behaved; the builder methods add headers
/// or spoil its delivery.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) delay: Option<Duration>,
    pub(crate) delivery: Delivery,
}

/// How an answer's bytes reach the client.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    /// Head with `Content-Length`, then the body.
    Whole,
    /// Head, then one chunk each time the gate lets one through.
    Gated { pieces: Vec<Bytes>, gate: Gate },
    /// Head without a length, then the body again and again, until the client goes.
    Endless { every: Option<Duration> },
    /// Head promising the whole body, its first bytes, then the connection closes.
    Cut { sent_bytes: usize },
    /// Head promising the whole body, then nothing, the connection stays open.
    SilentBody,
    /// Not even a head; the connection stays open.
    Silent,
    /// The body alone, byte for byte, then the connection closes.
    Raw,
}

/// Lets the pieces of a gated answer through, one by one or all at once.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Gate {
        Gate::new()
    }
}

impl Gate {
    #[must_use]
    pub fn new() -> Gate {
        Gate(Arc::new(Semaphore::new(0)))
    }

    /// Lets `pieces` more pieces through.
    pub fn open(&self, pieces: usize) {
        self.0.add_permits(pieces);
    }

    /// Lets everything through from now on.
    pub fn open_all(&self) {
        self.0.close();
    }

    pub(crate) async fn pass(&self) {
        // A closed semaphore means "open for all": both arms let the piece pass.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

impl Reply {
    /// An empty answer with this status.
    #[must_use]
    pub fn status(status: u16) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            etag: None,
            last_modified: None,
            delay: None,
            delivery: Delivery::Whole,
        }
    }

    /// `200` with these bytes and content type.
    #[must_use]
    pub fn body(content_type: &str, body: impl Into<Bytes>) -> Reply {
        let mut reply = Reply::status(200).header("Content-Type", content_type);
        reply.body = body.into();
        reply
    }

    #[must_use]
    pub fn html(html: impl Into<String>) -> Reply {
        Reply::body("text/html; charset=utf-8", html.into())
    }

    #[must_use]
    pub fn text(text: impl Into<String>) -> Reply {
        Reply::body("text/plain; charset=utf-8", text.into())
    }

    #[must_use]
    pub fn xml(xml: impl Into<String>) -> Reply {
        Reply::body("application/xml", xml.into())
    }

    /// `302` to `location`, which is sent as written.
    #[must_use]
    pub fn redirect(location: &str) -> Reply {
        Reply::status(302).header("Location", location)
    }

    /// These bytes instead of an HTTP answer, then the connection closes.
    #[must_use]
    pub fn raw(bytes: impl Into<Bytes>) -> Reply {
        let mut reply = Reply::status(0).delivered(Delivery::Raw);
        reply.body = bytes.into();
        reply
    }

    /// Reads the request and never answers.
    #[must_use]
    pub fn silence() -> Reply {
        Reply::status(0).delivered(Delivery::Silent)
    }

    /// A page of `decoded_bytes` zeros, sent as gzip: less than a hundredth on the wire.
    #[must_use]
    pub fn gzip_bomb(decoded_bytes: usize) -> Reply {
        Reply::html("").gzipped_as(gzip_of_zeros(decoded_bytes))
    }

    /// Replaces the status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Reply {
        self.status = status;
        self
    }

    /// Adds a header; a name may be added more than once.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends this entity tag (quotes included) and answers `304` to a matching `If-None-Match`.
    #[must_use]
    pub fn etag(mut self, etag: &str) -> Reply {
        self.etag = Some(etag.to_owned());
        self.header("ETag", etag)
    }

    /// Sends this date and answers `304` to the same `If-Modified-Since`.
    #[must_use]
    pub fn last_modified(mut self, http_date: &str) -> Reply {
        self.last_modified = Some(http_date.to_owned());
        self.header("Last-Modified", http_date)
    }

    /// Compresses the body and says so.
    #[must_use]
    pub fn gzip(self) -> Reply {
        let compressed = gzip(&self.body);
        self.gzipped_as(compressed)
    }

    /// Waits this long before the head is sent.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Reply {
        self.delay = Some(delay);
        self
    }

    /// Sends the body as chunks of at most `piece_bytes`, each when `gate` lets it through.
    #[must_use]
    pub fn gated(self, piece_bytes: usize, gate: &Gate) -> Reply {
        assert!(piece_bytes > 0, "a piece has at least one byte");
        let pieces = self
            .body
            .chunks(piece_bytes)
            .map(|piece| self.body.slice_ref(piece))
            .collect();
        let gate = gate.clone();
        self.delivered(Delivery::Gated { pieces, gate })
    }

    /// Repeats the body until the client goes away, as fast as it is read.
    #[must_use]
    pub fn endless(self) -> Reply {
        self.delivered(Delivery::Endless { every: None })
    }

    /// Repeats the body until the client goes away, once per `every`.
    #[must_use]
    pub fn dripping(self, every: Duration) -> Reply {
        self.delivered(Delivery::Endless { every: Some(every) })
    }

    /// Promises the whole body, closes the connection after `sent_bytes` of it.
    #[must_use]
    pub fn cut_after(self, sent_bytes: usize) -> Reply {
        self.delivered(Delivery::Cut { sent_bytes })
    }

    /// Sends the head, then nothing more.
    #[must_use]
    pub fn silent_body(self) -> Reply {
        self.delivered(Delivery::SilentBody)
    }

    fn gzipped_as(mut self, compressed: Vec<u8>) -> Reply {
        self.body = compressed.into();
        self.header("Content-Encoding", "gzip")
    }

    fn delivered(mut self, delivery: Delivery) -> Reply {
        self.delivery = delivery;
        self
    }
}

/// `bytes` as one gzip member.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("bug: writing to memory cannot fail")
}

/// Members of 1 MiB, compressed once: quick to make also without optimisation.
fn gzip_of_zeros(decoded_bytes: usize) -> Vec<u8> {
    const MEMBER_BYTES: usize = 1024 * 1024;
    let zeros = vec![0; MEMBER_BYTES.min(decoded_bytes)];
    let mut bomb = gzip(&zeros).repeat(decoded_bytes / MEMBER_BYTES);
    let rest = decoded_bytes % MEMBER_BYTES;
    if rest > 0 {
        bomb.extend(gzip(&zeros[..rest]));
    }
    bomb
}
