//! Servers that are asked over HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Variables, unique_name};

/// A bucket of its own on the S3 server.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// `http://127.0.0.1:PORT`. Any key and secret will do.
    pub endpoint: String,
    pub name: String,
}

impl Bucket {
    /// Of the shared set.
    #[must_use]
    pub fn fresh() -> Bucket {
        Bucket::fresh_in(&Variables::of_this_process())
    }

    pub(super) fn fresh_in(variables: &Variables) -> Bucket {
        let bucket = Bucket {
            endpoint: variables.get("TEST_S3_ENDPOINT"),
            name: unique_name().replace('_', "-"),
        };
        bucket.make();
        bucket
    }

    fn make(&self) {
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the S3 server listens");
        let name = &self.name;
        let request = format!(
            "PUT /{name} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
}

/// A server of OpenSearch's REST protocol, with indexes of one test, which are
/// deleted with this value.
#[derive(Debug)]
pub struct Opensearch {
    pub url: String,
    /// For the names of indexes of this one test.
    pub prefix: String,
}

impl Opensearch {
    /// Of the shared set.
    #[must_use]
    pub fn shared() -> Opensearch {
        Opensearch::of(&Variables::of_this_process())
    }

    pub(super) fn of(variables: &Variables) -> Opensearch {
        Opensearch {
            url: variables.get("TEST_OPENSEARCH_URL"),
            prefix: unique_name(),
        }
    }

    /// Status and body of an answer; `body` is JSON, or empty.
    ///
    /// # Panics
    /// If there is none.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        self.try_ask(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {}{path}: {error}", self.url))
    }

    /// Returns once it answers, as after [`super::ServiceSet::start_again`].
    ///
    /// # Panics
    /// If it takes half a minute.
    pub fn wait(&self) {
        let since = Instant::now();
        let (_never, pause) = std::sync::mpsc::channel::<()>();
        while self.try_ask("GET", "/", b"").is_err() {
            assert!(since.elapsed().as_secs() < 30, "{} is away", self.url);
            let _ = pause.recv_timeout(Duration::from_millis(20));
        }
    }

    fn try_ask(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        try_ask(&self.url, method, path, body)
    }
}

impl Drop for Opensearch {
    fn drop(&mut self) {
        // With its server stopped by the test there is nothing left behind.
        for path in ["", "_index_template/"] {
            let _ = self.try_ask("DELETE", &format!("/{path}{}*", self.prefix), b"");
        }
    }
}

/// Status and body of an answer.
pub(crate) fn try_ask(
    url: &str,
    method: &str,
    path: &str,
    body: &[u8],
) -> std::io::Result<(u16, Vec<u8>)> {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    // The older protocol has neither chunks nor connections that stay.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let status = answer.get(9..12).map(String::from_utf8_lossy);
    match (end, status.and_then(|status| status.parse().ok())) {
        (Some(end), Some(status)) => Ok((status, answer.split_off(end + 4))),
        _ => Err(std::io::Error::other("no HTTP answer")),
    }
}
