//! Reading bodies within limits.

use std::time::Duration;

use bytes::Bytes;
use http::Version;
use reqwest::Response;
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::Want;
use crate::config::{FetchConfig, ROBOTS_BYTES_MAX, SITEMAP_BYTES_MAX};
use crate::decode::{CappedBytes, Coding, Decoder, Pushed};
use crate::error::{Failure, FetchErrorKind};

/// Memory reserved on the word of `Content-Length` alone.
const RESERVED_BYTES_MAX: u64 = 1024 * 1024;
/// Unread bodies up to here are read and dropped, because that is cheaper than
/// a new connection, TLS most of all.
const DRAINED_BYTES_MAX: u64 = 64 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    pub(crate) decoded_bytes_max: u64,
    pub(crate) wire_bytes_max: u64,
    /// What is over `decoded_bytes_max` is cut off instead of failing.
    pub(crate) truncate: bool,
}

impl BodyLimits {
    pub(crate) fn of(want: Want, config: &FetchConfig) -> BodyLimits {
        let (decoded_bytes_max, wire_bytes_max, truncate) = match want {
            Want::Page | Want::Any => (config.body_bytes_max, config.wire_bytes_max, false),
            Want::Robots => (ROBOTS_BYTES_MAX, config.wire_bytes_max, true),
            Want::Sitemap => {
                let wire_bytes_max = config.wire_bytes_max.max(SITEMAP_BYTES_MAX);
                (SITEMAP_BYTES_MAX, wire_bytes_max, false)
            }
        };
        BodyLimits {
            decoded_bytes_max,
            wire_bytes_max,
            truncate,
        }
    }

    fn decoded_too_large(&self) -> Failure {
        too_large("body", self.decoded_bytes_max)
    }
}

/// The decoded body and its size on the wire.
pub(crate) async fn read(
    response: &mut Response,
    limits: BodyLimits,
    read_timeout: Duration,
) -> Result<(Bytes, u64), Failure> {
    let coding = Coding::of(response.headers())?;
    let promised = promised_bytes(response);
    check_promise(promised, coding, limits)?;

    let mut wire_bytes = 0;
    let first = next_chunk(response, wire_bytes, read_timeout).await?;
    let first = first.unwrap_or_default();
    wire_bytes += length(&first);
    // Most small pages come in one piece, which then needs no copy.
    if coding == Coding::Identity
        && promised == Some(wire_bytes)
        && wire_bytes <= limits.decoded_bytes_max
    {
        // Seeing the end lets the connection be used again.
        let rest = next_chunk(response, wire_bytes, read_timeout).await?;
        debug_assert!(rest.is_none(), "more than Content-Length promised");
        return Ok((first, wire_bytes));
    }

    let mut decoder = Decoder::new(coding, output(coding, promised, limits))?;
    let mut chunk = first;
    loop {
        if wire_bytes > limits.wire_bytes_max {
            return Err(too_large("body as transferred", limits.wire_bytes_max));
        }
        if decoder.push(&chunk)? == Pushed::Overflowed {
            break;
        }
        let Some(next) = next_chunk(response, wire_bytes, read_timeout).await? else {
            if decoder.finish()? == Pushed::Overflowed {
                break;
            }
            return Ok((decoder.take().into(), wire_bytes));
        };
        wire_bytes += length(&next);
        chunk = next;
    }
    if limits.truncate {
        Ok((decoder.take().into(), wire_bytes))
    } else {
        Err(limits.decoded_too_large())
    }
}

/// Undoes the compression of a `.gz` file, which is no content coding.
pub(crate) async fn inflate_gzip_file(file: Bytes, limits: BodyLimits) -> Result<Bytes, Failure> {
    let inflate = move || {
        let capacity = length(&file).saturating_mul(4).min(RESERVED_BYTES_MAX);
        let output = CappedBytes::new(size(limits.decoded_bytes_max), size(capacity));
        let mut decoder = Decoder::new(Coding::Gzip, output)?;
        for part in file.chunks(64 * 1024) {
            if decoder.push(part)? == Pushed::Overflowed {
                return Err(limits.decoded_too_large());
            }
        }
        if decoder.finish()? == Pushed::Overflowed {
            return Err(limits.decoded_too_large());
        }
        Ok(Bytes::from(decoder.take()))
    };
    // Up to 50 MiB: too long a computation between two awaits.
    match tokio::task::spawn_blocking(inflate).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Failure::new(
                FetchErrorKind::Protocol,
                "stopped while inflating, the runtime is shutting down",
            )),
        },
    }
}

/// Reads a small unwanted body so that its HTTP/1 connection can be used
/// again. Failures are of no interest: the answer is known already.
pub(crate) async fn drain(response: &mut Response, wire_bytes_max: u64) {
    let limit = DRAINED_BYTES_MAX.min(wire_bytes_max);
    let multiplexed = response.version() >= Version::HTTP_2;
    if multiplexed || promised_bytes(response).is_some_and(|bytes| bytes > limit) {
        return;
    }
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    let mut drained = 0;
    while let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await {
        drained += length(&chunk);
        if drained > limit {
            return;
        }
    }
}

async fn next_chunk(
    response: &mut Response,
    wire_bytes: u64,
    read_timeout: Duration,
) -> Result<Option<Bytes>, Failure> {
    match timeout(read_timeout, response.chunk()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(error)) => Err(Failure::receiving(&error, wire_bytes)),
        Err(_) => Err(Failure::timeout("body stalled for", read_timeout)),
    }
}

/// Refuses at once what would be refused after the transfer.
fn check_promise(promised: Option<u64>, coding: Coding, limits: BodyLimits) -> Result<(), Failure> {
    let Some(promised) = promised else {
        return Ok(());
    };
    if limits.truncate {
        return Ok(());
    }
    if promised > limits.wire_bytes_max {
        return Err(too_large("body as transferred", limits.wire_bytes_max));
    }
    if coding == Coding::Identity && promised > limits.decoded_bytes_max {
        return Err(limits.decoded_too_large());
    }
    Ok(())
}

fn output(coding: Coding, promised: Option<u64>, limits: BodyLimits) -> CappedBytes {
    let expected = match (coding, promised) {
        (Coding::Identity, Some(bytes)) => bytes,
        // HTML usually shrinks to a quarter.
        (_, Some(bytes)) => bytes.saturating_mul(4),
        (_, None) => 16 * 1024,
    };
    let capacity = size(expected.min(RESERVED_BYTES_MAX));
    CappedBytes::new(size(limits.decoded_bytes_max), capacity)
}

/// `Content-Length`, or the exact size where the framing tells it.
fn promised_bytes(response: &Response) -> Option<u64> {
    response.content_length()
}

fn too_large(what: &str, bytes_max: u64) -> Failure {
    let problem = format!("{what} is larger than {bytes_max} bytes");
    Failure::new(FetchErrorKind::TooLarge, problem)
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A limit beyond the address space is none.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
