//! Content codings, decoded while streaming into a capped buffer.
//!
//! Done here rather than by the HTTP client, because only then are the bytes
//! on the wire known, and because the cap must hold inside one network chunk:
//! 64 KiB of gzip can become 64 MiB.

use std::io::{self, Write};
use std::mem;

use brotli_decompressor::DecompressorWriter;
use flate2::write::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::error::{Failure, FetchErrorKind};

/// What requests offer, in `Accept-Encoding`.
pub(crate) const ACCEPTED: &str = "gzip, br, zstd";

/// RFC 9659: zstd as a content coding needs no window above 8 MiB, so a frame
/// that asks for more memory is refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Each gzip member costs a decoder; a body of empty ones would cost CPU without end.
const GZIP_MEMBERS_MAX: u32 = 1024;
const BROTLI_BUFFER_BYTES: usize = 16 * 1024;
const INFLATE_STEP_BYTES: usize = 32 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Coding, Failure> {
        let mut coding = Coding::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            for token in value.as_bytes().split(|b| *b == b',') {
                let token = String::from_utf8_lossy(token.trim_ascii()).to_ascii_lowercase();
                let one = match token.as_str() {
                    // Charsets and "none" are common slips that mean no coding.
                    "" | "identity" | "none" | "utf-8" | "utf8" => continue,
                    "gzip" | "x-gzip" => Coding::Gzip,
                    "deflate" => Coding::Deflate,
                    "br" => Coding::Brotli,
                    "zstd" => Coding::Zstd,
                    unknown => {
                        return Err(Failure::new(
                            FetchErrorKind::Protocol,
                            format!("unknown content coding {:?}", cut(unknown)),
                        ));
                    }
                };
                if coding != Coding::Identity {
                    let problem = "body has more than one content coding";
                    return Err(Failure::new(FetchErrorKind::Protocol, problem));
                }
                coding = one;
            }
        }
        Ok(coding)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "brotli",
            Coding::Zstd => "zstd",
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Bytes that never grow beyond a cap.
#[derive(Debug, Default)]
pub(crate) struct CappedBytes {
    bytes: Vec<u8>,
    bytes_max: usize,
    overflowed: bool,
}

impl CappedBytes {
    pub(crate) fn new(bytes_max: usize, capacity: usize) -> CappedBytes {
        CappedBytes {
            bytes: Vec::with_capacity(capacity.min(bytes_max)),
            bytes_max,
            overflowed: false,
        }
    }

    /// Appends what fits; `false` when something did not.
    fn append(&mut self, more: &[u8]) -> bool {
        let room = self.bytes_max - self.bytes.len();
        let fits = more.len().min(room);
        self.bytes.extend_from_slice(&more[..fits]);
        self.overflowed |= fits < more.len();
        !self.overflowed
    }
}

/// What decoders write to. An error is the only way to stop one.
impl Write for CappedBytes {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.append(more) {
            Ok(more.len())
        } else {
            Err(io::Error::other("decoded bytes over the cap"))
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a decoder wants more input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Fits,
    /// The output is at its cap and more would have come.
    Overflowed,
}

/// One body's decoder.
pub(crate) struct Decoder {
    state: State,
    coding: Coding,
    /// An empty body is valid in every coding: servers send it with 200 and 204.
    fed: bool,
}

enum State {
    Identity(CappedBytes),
    Gzip(Gzip),
    Deflate(Deflate),
    Brotli(Box<DecompressorWriter<CappedBytes>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, CappedBytes>>),
}

impl Decoder {
    pub(crate) fn new(coding: Coding, output: CappedBytes) -> Result<Decoder, Failure> {
        let state = match coding {
            Coding::Identity => State::Identity(output),
            Coding::Gzip => State::Gzip(Gzip {
                decoder: Box::new(GzDecoder::new(output)),
                members: 1,
                ended: false,
            }),
            Coding::Deflate => State::Deflate(Deflate {
                first: Vec::new(),
                inflate: None,
                output,
                ended: false,
            }),
            Coding::Brotli => State::Brotli(Box::new(DecompressorWriter::new(
                output,
                BROTLI_BUFFER_BYTES,
            ))),
            Coding::Zstd => {
                let prepare = || -> io::Result<_> {
                    let mut decoder = zstd::stream::write::Decoder::new(output)?;
                    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                    Ok(decoder)
                };
                let decoder = prepare().map_err(|error| Failure::decode(coding.name(), error))?;
                State::Zstd(Box::new(decoder))
            }
        };
        Ok(Decoder {
            state,
            coding,
            fed: false,
        })
    }

    pub(crate) fn push(&mut self, input: &[u8]) -> Result<Pushed, Failure> {
        if input.is_empty() {
            return Ok(Pushed::Fits);
        }
        self.fed = true;
        let result = match &mut self.state {
            State::Identity(output) => {
                output.append(input);
                Ok(())
            }
            State::Gzip(gzip) => gzip.push(input),
            State::Deflate(deflate) => deflate.push(input),
            State::Brotli(decoder) => push_all(decoder, input),
            State::Zstd(decoder) => push_all(decoder, input),
        };
        self.outcome(result)
    }

    /// The end of the body: whatever is held back comes out, and a truncated
    /// stream is an error.
    pub(crate) fn finish(&mut self) -> Result<Pushed, Failure> {
        if !self.fed {
            return Ok(Pushed::Fits);
        }
        let result = match &mut self.state {
            State::Identity(_) => Ok(()),
            State::Gzip(gzip) => gzip.decoder.try_finish(),
            State::Deflate(deflate) => deflate.finish(),
            State::Brotli(decoder) => decoder.close(),
            State::Zstd(decoder) => decoder.do_finish(),
        };
        self.outcome(result)
    }

    /// The decoded bytes so far; leaves none behind.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        mem::take(&mut self.output().bytes)
    }

    fn outcome(&mut self, result: io::Result<()>) -> Result<Pushed, Failure> {
        // Asked first: the cap shows up as a write error of the decoder.
        if self.output().overflowed {
            return Ok(Pushed::Overflowed);
        }
        match result {
            Ok(()) => Ok(Pushed::Fits),
            Err(error) => Err(Failure::decode(self.coding.name(), error)),
        }
    }

    fn output(&mut self) -> &mut CappedBytes {
        match &mut self.state {
            State::Identity(output) => output,
            State::Gzip(gzip) => gzip.decoder.get_mut(),
            State::Deflate(deflate) => &mut deflate.output,
            State::Brotli(decoder) => decoder.get_mut(),
            State::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

/// Writes until everything is taken or the stream has ended; what follows a
/// stream's end is ignored, as browsers do.
fn push_all(decoder: &mut impl Write, mut input: &[u8]) -> io::Result<()> {
    while !input.is_empty() {
        let taken = decoder.write(input)?;
        if taken == 0 {
            break;
        }
        input = &input[taken..];
    }
    Ok(())
}

/// gzip, which may consist of several members (RFC 1952 §2.2).
struct Gzip {
    decoder: Box<GzDecoder<CappedBytes>>,
    members: u32,
    ended: bool,
}

impl Gzip {
    fn push(&mut self, mut input: &[u8]) -> io::Result<()> {
        while !input.is_empty() && !self.ended {
            let taken = self.decoder.write(input)?;
            input = &input[taken..];
            if taken > 0 {
                continue;
            }
            // The member is complete. Its magic number may be cut by a chunk's end.
            if !(input.starts_with(&[0x1f, 0x8b]) || input == [0x1f]) {
                self.ended = true;
                continue;
            }
            if self.members == GZIP_MEMBERS_MAX {
                return Err(io::Error::other("too many gzip members"));
            }
            self.members += 1;
            self.decoder.try_finish()?;
            let output = mem::take(self.decoder.get_mut());
            *self.decoder = GzDecoder::new(output);
        }
        Ok(())
    }
}

/// `deflate` means zlib (RFC 9110 §8.4.1.2), but some servers send it raw.
struct Deflate {
    /// The first two bytes, until they have told which of the two it is.
    first: Vec<u8>,
    inflate: Option<Decompress>,
    output: CappedBytes,
    ended: bool,
}

impl Deflate {
    fn push(&mut self, mut input: &[u8]) -> io::Result<()> {
        if self.inflate.is_none() {
            let missing = (2 - self.first.len()).min(input.len());
            let (head, rest) = input.split_at(missing);
            self.first.extend_from_slice(head);
            input = rest;
            let [cmf, flg] = self.first[..] else {
                return Ok(());
            };
            // RFC 1950 §2.2: method 8 and a check sum over both bytes.
            let zlib = cmf & 0x0f == 8 && u16::from_be_bytes([cmf, flg]) % 31 == 0;
            self.inflate = Some(Decompress::new(zlib));
            self.inflate(&[cmf, flg])?;
        }
        self.inflate(input)
    }

    fn inflate(&mut self, mut input: &[u8]) -> io::Result<()> {
        let Some(inflate) = &mut self.inflate else {
            return Ok(());
        };
        let mut step = vec![0; INFLATE_STEP_BYTES];
        while !self.ended {
            let (in_before, out_before) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(input, &mut step, FlushDecompress::None)?;
            let taken = count(inflate.total_in() - in_before);
            let made = count(inflate.total_out() - out_before);
            input = &input[taken..];
            self.output.write_all(&step[..made])?;
            self.ended = status == Status::StreamEnd;
            if taken == 0 && made == 0 {
                break;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "stream is incomplete",
        ))
    }
}

fn count(bytes: u64) -> usize {
    usize::try_from(bytes).expect("bug: more bytes than the buffer given")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CODINGS: [Coding; 5] = [
        Coding::Identity,
        Coding::Gzip,
        Coding::Deflate,
        Coding::Brotli,
        Coding::Zstd,
    ];

    fn decode(coding: Coding, input: &[u8], piece_bytes: usize, bytes_max: usize) -> Vec<u8> {
        let output = CappedBytes::new(bytes_max, 16);
        let mut decoder = Decoder::new(coding, output).expect("a decoder");
        for piece in input.chunks(piece_bytes) {
            if decoder.push(piece).ok() != Some(Pushed::Fits) {
                break;
            }
        }
        // Broken input fails here as well; what came out before counts.
        let _ = decoder.finish();
        decoder.take()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60*40))]

        #[test]
        fn noise_never_panics_and_never_passes_the_cap(
            noise in proptest::collection::vec(any::<u8>(), 0..400),
            bytes_max in 0_usize..64,
        ) {
            for coding in CODINGS {
                // With a plausible start the noise gets deeper into the decoder.
                let mut framed = match coding {
                    Coding::Gzip => vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
                    Coding::Deflate => vec![0x78, 0x9c],
                    Coding::Zstd => vec![0x28, 0xb5, 0x2f, 0xfd],
                    Coding::Brotli | Coding::Identity => Vec::new(),
                };
                framed.extend(&noise);
                prop_assert!(decode(coding, &framed, 400, bytes_max).len() <= bytes_max);
            }
        }

        #[test]
        fn pieces_do_not_matter(
            text in proptest::collection::vec(0_u8..8, 0..3000),
            piece_bytes in 1_usize..50,
            bytes_max in 0_usize..4000,
        ) {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&text).expect("memory");
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            zlib.write_all(&text).expect("memory");
            let encoded = [
                (Coding::Identity, text.clone()),
                (Coding::Gzip, gzip.finish().expect("memory")),
                (Coding::Deflate, zlib.finish().expect("memory")),
                (Coding::Zstd, zstd::encode_all(&text[..], 1).expect("memory")),
            ];
            let expected = &text[..text.len().min(bytes_max)];
            for (coding, bytes) in encoded {
                prop_assert_eq!(&decode(coding, &bytes, piece_bytes, bytes_max), expected);
            }
        }
    }
}
