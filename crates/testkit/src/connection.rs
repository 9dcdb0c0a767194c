//! One keep-alive connection: read a head, find the answer, deliver it.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fake_web::{RequestInfo, Shared};
use crate::reply::{Delivery, Reply};

const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(PartialEq)]
enum Next {
    Serve,
    Close,
}

pub(crate) async fn serve(mut stream: TcpStream, number: usize, shared: Arc<Shared>) {
    // Small answers must not wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    loop {
        // The client closing or resetting the connection is its right.
        let Ok(Some(request)) = read_request(&mut stream, &mut buffer, number).await else {
            return;
        };
        let _in_flight = shared.begin();
        let is_head = request.method == "HEAD";
        let reply = conditional(&request, shared.answer(request.clone()));
        if deliver(&mut stream, reply, is_head).await.ok() != Some(Next::Serve) {
            return;
        }
    }
}

/// Turns a full answer into `304` when the request's validator matches.
fn conditional(request: &RequestInfo, reply: Reply) -> Reply {
    let matches_etag = match (&reply.etag, request.header("if-none-match")) {
        (Some(have), Some(asked)) => Some(asked.split(',').any(|tag| tag.trim() == have)),
        _ => None,
    };
    // RFC 9110 §13.1.3: If-None-Match takes precedence over If-Modified-Since.
    let unchanged = matches_etag.unwrap_or_else(|| {
        reply.last_modified.is_some()
            && reply.last_modified.as_deref() == request.header("if-modified-since")
    });
    if !unchanged {
        return reply;
    }
    let mut not_modified = Reply::status(304);
    not_modified.headers = reply.headers;
    not_modified.delay = reply.delay;
    not_modified
}

async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    connection: usize,
) -> io::Result<Option<RequestInfo>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let mut request = parse_head(&buffer[..end], connection)?;
            buffer.drain(..end + 4);
            request.body = read_body(stream, buffer, &request).await?;
            return Ok(Some(request));
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("request head too long"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// What `Content-Length` promises; clients of this server chunk nothing.
async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    request: &RequestInfo,
) -> io::Result<Bytes> {
    let length = request.header("content-length").unwrap_or("0");
    let length: usize = length.parse().map_err(io::Error::other)?;
    if length > BODY_BYTES_MAX {
        return Err(io::Error::other("request body too long"));
    }
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..length).collect())
}

fn parse_head(head: &[u8], connection: usize) -> io::Result<RequestInfo> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path), Some(_version)) = (words.next(), words.next(), words.next())
    else {
        return Err(io::Error::other("malformed request line"));
    };
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(RequestInfo {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        body: Bytes::new(),
        received_at: Instant::now(),
        order: 0,
        connection,
    })
}

async fn deliver(stream: &mut TcpStream, reply: Reply, is_head: bool) -> io::Result<Next> {
    if let Some(delay) = reply.delay {
        tokio::time::sleep(delay).await;
    }
    match &reply.delivery {
        Delivery::Whole => {
            let mut bytes = head(&reply, Some(reply.body.len()));
            if !is_head {
                bytes.extend_from_slice(&reply.body);
            }
            stream.write_all(&bytes).await?;
            Ok(Next::Serve)
        }
        Delivery::Gated { pieces, gate } => {
            stream.write_all(&head(&reply, None)).await?;
            for piece in pieces {
                gate.pass().await;
                write_chunk(stream, piece).await?;
            }
            stream.write_all(b"0\r\n\r\n").await?;
            Ok(Next::Serve)
        }
        Delivery::Endless { every } => {
            stream.write_all(&head(&reply, None)).await?;
            let mut ticks = every.map(tokio::time::interval);
            loop {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
                write_chunk(stream, &reply.body).await?;
            }
        }
        Delivery::Cut { sent_bytes } => {
            let mut bytes = head(&reply, Some(reply.body.len()));
            bytes.extend_from_slice(&reply.body[..reply.body.len().min(*sent_bytes)]);
            stream.write_all(&bytes).await?;
            Ok(Next::Close)
        }
        Delivery::SilentBody => {
            let promised = reply.body.len().max(1);
            stream.write_all(&head(&reply, Some(promised))).await?;
            until_client_goes(stream).await
        }
        Delivery::Silent => until_client_goes(stream).await,
        Delivery::Raw => {
            stream.write_all(&reply.body).await?;
            stream.shutdown().await?;
            Ok(Next::Close)
        }
    }
}

fn head(reply: &Reply, content_bytes: Option<usize>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        push_header(&mut head, name, value);
    }
    // RFC 9110 §8.6 and §15.4.5: no length on 1xx, 204 and (here) 304.
    let bodiless = matches!(reply.status, 100..=199 | 204 | 304);
    let scripted = |name: &str| {
        let mut headers = reply.headers.iter();
        headers.any(|(have, _)| have.eq_ignore_ascii_case(name))
    };
    match content_bytes {
        _ if bodiless => {}
        Some(_) if scripted("content-length") => {}
        Some(bytes) => push_header(&mut head, "Content-Length", &bytes.to_string()),
        None => push_header(&mut head, "Transfer-Encoding", "chunked"),
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn push_header(head: &mut String, name: &str, value: &str) {
    write!(head, "{name}: {value}\r\n").expect("bug: writing to a string cannot fail");
}

async fn write_chunk(stream: &mut TcpStream, piece: &[u8]) -> io::Result<()> {
    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
    chunk.extend_from_slice(piece);
    chunk.extend_from_slice(b"\r\n");
    stream.write_all(&chunk).await
}

async fn until_client_goes(stream: &mut TcpStream) -> io::Result<Next> {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(Next::Close)
}
