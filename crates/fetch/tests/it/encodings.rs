//! Content codings: right, broken and hostile.

use std::io::Write as _;

use bytes::Bytes;
use fetch::{FetchConfig, FetchErrorKind, Want};
use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use testkit::{FakeWeb, Gate, Reply, gzip};

use crate::support::{body_of, check_error, config, fetcher, page};

use FetchErrorKind::{Protocol, TooLarge};

const FOX_BROTLI: &[u8] = include_bytes!("../data/fox.br");
const ZEROS_BROTLI: &[u8] = include_bytes!("../data/zeros-32mib.br");

fn fox() -> String {
    "the quick brown fox jumps over the lazy dog, ".repeat(100)
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("memory")
}

fn encoded(coding: &str, bytes: impl Into<Bytes>) -> Reply {
    Reply::body("text/html", bytes).header("Content-Encoding", coding)
}

/// Every coding with its encoding of the same text.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let fox = fox();
    let fox = fox.as_bytes();
    vec![
        ("gzip", gzip(fox)),
        ("x-gzip", gzip(fox)),
        ("GZip", gzip(fox)),
        ("deflate", zlib(fox)),
        ("deflate", raw_deflate(fox)),
        ("br", FOX_BROTLI.to_vec()),
        ("zstd", zstandard(fox)),
        ("identity", fox.to_vec()),
        ("UTF-8", fox.to_vec()),
        ("identity, gzip", gzip(fox)),
    ]
}

#[tokio::test]
async fn every_coding_in_one_piece_and_byte_by_byte() {
    let web = FakeWeb::start().await;
    let fetcher = fetcher(config());
    let open = Gate::new();
    open.open_all();
    for (coding, bytes) in samples() {
        let wire_bytes = bytes.len() as u64;
        let reply = encoded(coding, bytes);
        for reply in [
            reply.clone(),
            reply.clone().gated(1, &open),
            reply.gated(7, &open),
        ] {
            web.route("/", reply);
            let fetched = page(&fetcher, &web.url("/")).await;
            assert_eq!(body_of(&fetched), fox().as_bytes(), "{coding}");
            assert_eq!(fetched.wire_bytes, wire_bytes, "{coding}");
        }
    }
    assert_eq!(web.connections(), 1);
}

#[tokio::test]
async fn truncated_streams_are_errors() {
    let web = FakeWeb::start().await;
    let fetcher = fetcher(config());
    for (coding, bytes) in samples() {
        if matches!(coding, "identity" | "UTF-8") {
            continue;
        }
        for kept in [1, bytes.len() / 2, bytes.len() - 1] {
            web.route("/", encoded(coding, bytes[..kept].to_vec()));
            let problem = "body is not valid ";
            check_error(&fetcher, &web.url("/"), Want::Page, Protocol, problem).await;
        }
    }
}

#[tokio::test]
async fn garbage_and_unknown_codings_are_errors() {
    let web = FakeWeb::start().await;
    let fetcher = fetcher(config());
    let check = async |coding: &str, bytes: Vec<u8>, problem: &str| {
        web.route("/", encoded(coding, bytes));
        check_error(&fetcher, &web.url("/"), Want::Page, Protocol, problem).await;
    };
    let html = || b"<p>not compressed at all</p>".to_vec();
    check("gzip", html(), "body is not valid gzip").await;
    check("deflate", vec![0xff; 50], "body is not valid deflate").await;
    check("br", vec![0xff; 50], "body is not valid brotli").await;
    check("zstd", html(), "body is not valid zstd").await;
    check("compress", html(), "unknown content coding \"compress\"").await;
    check("gzip, br", html(), "body has more than one content coding").await;
    let mut wrong_sum = gzip(b"hello");
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    check("gzip", wrong_sum, "body is not valid gzip").await;
    // Empty members cost a decoder each.
    let members = gzip(b"").repeat(1025);
    check("gzip", members, "body is not valid gzip").await;
    // A window of 16 MiB, twice what RFC 9659 lets HTTP use.
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(24).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(&vec![b'x'; 100_000]).unwrap();
    check("zstd", encoder.finish().unwrap(), "body is not valid zstd").await;
}

#[tokio::test]
async fn members_add_up_and_trailing_bytes_are_ignored() {
    let web = FakeWeb::start().await;
    let fetcher = fetcher(config());
    let open = Gate::new();
    open.open_all();
    let check = async |coding: &str, bytes: Vec<u8>, expected: &str| {
        for piece_bytes in [1, bytes.len()] {
            let reply = encoded(coding, bytes.clone());
            web.route("/", reply.gated(piece_bytes, &open));
            let fetched = page(&fetcher, &web.url("/")).await;
            assert_eq!(body_of(&fetched), expected.as_bytes(), "{coding}");
        }
    };
    check("gzip", [gzip(b"one "), gzip(b"two")].concat(), "one two").await;
    check("gzip", [gzip(b"one"), vec![0; 20]].concat(), "one").await;
    check("deflate", [zlib(b"one"), vec![0; 20]].concat(), "one").await;
    check(
        "zstd",
        [zstandard(b"one "), zstandard(b"two")].concat(),
        "one two",
    )
    .await;
}

#[tokio::test]
async fn bombs_stop_at_the_cap() {
    let web = FakeWeb::start().await;
    const DECODED_BYTES: usize = 4 * 1024 * 1024;
    let zeros = vec![0; DECODED_BYTES];
    let fetcher = fetcher(FetchConfig {
        body_bytes_max: 1024 * 1024,
        ..config()
    });
    let bombs = [
        Reply::gzip_bomb(DECODED_BYTES),
        encoded("deflate", zlib(&zeros)),
        encoded("br", ZEROS_BROTLI),
        encoded("zstd", zstandard(&zeros)),
    ];
    for bomb in bombs {
        assert!(bomb.body.len() < 64 * 1024, "the wire limit must not help");
        web.route("/", bomb);
        let problem = "body is larger than 1048576 bytes";
        check_error(&fetcher, &web.url("/"), Want::Page, TooLarge, problem).await;
    }
}
