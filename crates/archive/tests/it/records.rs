//! What is written is read again; that others read it is shown with an
//! independent reader, in the tests of the program.

use archive::{ArchiveErrorKind, RawResponse, read_record, record};
use http::{HeaderMap, HeaderValue, Version};
use types::Timestamp;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn written(version: Version, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let response = RawResponse {
        url: "https://example.org/a?b=c",
        fetched_at: Timestamp(1_795_404_187_123),
        http_version: version,
        status: 200,
        headers,
        body,
    };
    record(&response, [7; 16])
}

fn text(compressed: &[u8]) -> String {
    let mut text = Vec::new();
    let mut member = flate2::read::GzDecoder::new(compressed);
    std::io::Read::read_to_end(&mut member, &mut text).expect("gzip");
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn what_is_written_is_read_again() {
    let check = |pairs: &[(&'static str, &'static str)], body: &[u8], kind: &str| {
        let read = read_record(&written(Version::HTTP_11, &headers(pairs), body), 1 << 20);
        let read = read.expect("a record");
        assert_eq!(read.url, "https://example.org/a?b=c");
        assert_eq!(read.content_type, kind);
        assert_eq!(read.body, body);
    };
    check(&[], b"", "");
    check(
        &[("content-type", "text/html; charset=x")],
        b"<p>\r\n\r\n\0\xff",
        "text/html; charset=x",
    );
    check(
        &[("content-type", "a/b"), ("content-type", "c/d")],
        b"x",
        "a/b",
    );
}

#[test]
fn headers_say_how_the_body_is_here() {
    let plain = [
        ("content-length", "2"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
    ];
    let as_sent = text(&written(Version::HTTP_11, &headers(&plain), b"hi"));
    assert!(as_sent.contains(
        "\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: a=b\r\nset-cookie: c=d\r\n\r\nhi\r\n\r\n"
    ), "{as_sent}");
    assert!(
        as_sent.contains("\r\nWARC-Date: 2026-11-23T03:23:07Z\r\n"),
        "{as_sent}"
    );
    assert!(
        as_sent.contains("<urn:uuid:07070707-0707-4707-8707-070707070707>"),
        "{as_sent}"
    );
    // `hi` by sha1sum and base32.
    assert!(
        as_sent.contains("WARC-Payload-Digest: sha1:YIVV7ELYGQTASQUNN5I3FRNPJQF542SC\r\n"),
        "{as_sent}"
    );
    let decoded = [("content-encoding", "br"), ("content-length", "9")];
    let decoded = text(&written(Version::HTTP_2, &headers(&decoded), b"hi"));
    assert!(decoded.contains("\r\nWARC-Protocol: h2\r\n"), "{decoded}");
    assert!(decoded.contains(
        "HTTP/1.1 200 OK\r\nx-crawler-content-encoding: br\r\nx-crawler-content-length: 9\r\ncontent-length: 2\r\n\r\nhi"
    ), "{decoded}");
}

#[test]
fn what_is_no_record_or_too_large_is_said() {
    let kind = |bytes: &[u8], bytes_max: u64| read_record(bytes, bytes_max).map_err(|e| e.kind());
    let good = written(Version::HTTP_11, &HeaderMap::new(), &vec![b'x'; 3 << 20]);
    assert!(kind(&good, 3 << 20).is_ok());
    assert_eq!(kind(&good, 1 << 20), Err(ArchiveErrorKind::TooLarge));
    assert_eq!(
        kind(&good[..good.len() / 2], 3 << 20),
        Err(ArchiveErrorKind::Corrupt)
    );
    assert_eq!(kind(b"nonsense", 9), Err(ArchiveErrorKind::Corrupt));
    let info = archive::warcinfo("Gleaner", Timestamp(0), [1; 16]);
    assert_eq!(kind(&info, 9), Err(ArchiveErrorKind::Corrupt));
}
