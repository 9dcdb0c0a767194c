//! A tiny endpoint on loopback that answers as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// What a client sent.
pub(crate) struct Request {
    pub(crate) path: String,
    /// Lower-case header lines.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn inputs(&self) -> Vec<String> {
        let inputs = self.body["input"].as_array().expect("input is a list");
        inputs
            .iter()
            .map(|i| i.as_str().expect("text").to_owned())
            .collect()
    }
}

/// How to answer: status, extra header lines and body. `None` never answers.
pub(crate) type Answer = Option<(u16, &'static str, String)>;

pub(crate) struct Server {
    pub(crate) url: String,
    requests: Receiver<Request>,
}

impl Server {
    /// Answers the n-th request with `answer(n, request)`.
    pub(crate) fn start(answer: impl Fn(usize, &Request) -> Answer + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind loopback");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let (sender, requests) = channel();
        // Ends with the test process; a test that is over sends nothing more.
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { return };
                let Some(request) = read_request(&stream) else {
                    continue;
                };
                match answer(number, &request) {
                    Some((status, headers, body)) => respond(stream, status, headers, &body),
                    None => silent.push(stream),
                }
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Server { url, requests }
    }

    /// The next request that was answered.
    pub(crate) fn next(&self) -> Request {
        self.requests
            .recv_timeout(Duration::from_secs(10))
            .expect("a request")
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.try_iter().count()
    }
}

/// A vector per input, last first: [length of the text, 1].
pub(crate) fn vectors(request: &Request) -> String {
    let inputs = request.inputs();
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .rev()
        .map(|(index, text)| json!({"index": index, "embedding": [text.chars().count(), 1]}))
        .collect();
    json!({ "data": data }).to_string()
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        headers.push(header);
    }
    let length = headers
        .iter()
        .find_map(|h| h.strip_prefix("content-length:"))?;
    let mut body = vec![0; length.trim().parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        path,
        headers,
        body: serde_json::from_slice(&body).ok()?,
    })
}

fn respond(mut stream: TcpStream, status: u16, headers: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    // A client that has gone away is its test's business.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body.as_bytes());
}
