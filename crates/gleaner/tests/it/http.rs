//! The least of an HTTP client, and a running server to ask with it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::command;

/// A server that hangs must not hang its test.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// The code of an error answer, whose shape is checked.
    #[track_caller]
    pub fn error(&self) -> String {
        let json = self.json();
        let error = &json["error"];
        for field in ["code", "message", "type", "link"] {
            assert!(error[field].is_string(), "{field}: {json}");
        }
        error["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One event of a stream.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).expect("JSON in the event")
    }
}

/// A process that answers HTTP; killed when dropped.
pub struct Running {
    child: Child,
    pub address: String,
}

impl Running {
    /// Starts `args` and reads the address from the JSON line's `field`.
    pub fn start(dir: &Path, args: &[&str], field: &str) -> Running {
        Running::start_with(dir, args, field, &[])
    }

    /// The same with some settings of its own.
    pub fn start_with(dir: &Path, args: &[&str], field: &str, env: &[(&str, &str)]) -> Running {
        Running::start_logging(dir, args, field, env, Stdio::null())
    }

    /// The same with a place for its log.
    pub fn start_logging(
        dir: &Path,
        args: &[&str],
        field: &str,
        env: &[(&str, &str)],
        log: Stdio,
    ) -> Running {
        let mut child = command(dir, args)
            .arg("--json")
            .env("GLEANER__EMBED__PROVIDER", "off")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let told: Value = serde_json::from_str(&line).expect("JSON");
        let address = told[field].as_str().expect("an address");
        Running {
            child,
            address: address.trim_start_matches("http://").to_owned(),
        }
    }

    pub fn serve(dir: &Path) -> Running {
        Running::serve_with(dir, &[])
    }

    pub fn serve_with(dir: &Path, env: &[(&str, &str)]) -> Running {
        let args = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--allow-private",
            "127.0.0.0/8",
        ];
        Running::start_with(dir, &args, "listening", env)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], Some(body))
    }

    pub fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.ask_with(method, path, headers, "application/json", body.as_bytes())
    }

    /// With a body of any type; no body when it is empty.
    pub fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        content_type: &str,
        body: &[u8],
    ) -> Answer {
        ask(&self.address, method, path, headers, content_type, body)
    }

    /// Reads a stream of events to its end.
    pub fn events(&self, path: &str, last: Option<&str>) -> (u16, Vec<Event>) {
        let headers: Vec<(&str, &str)> = last.map(|id| ("Last-Event-ID", id)).into_iter().collect();
        read_events(send(&self.address, "GET", path, &headers, "", &[]))
    }

    /// The events that answer a question.
    pub fn events_of(&self, path: &str, body: &Value, more: &[(&str, &str)]) -> Vec<Event> {
        let mut headers = vec![("Accept", "text/event-stream")];
        headers.extend(more);
        let body = body.to_string();
        let json = "application/json";
        let reader = send(&self.address, "POST", path, &headers, json, body.as_bytes());
        let (status, events) = read_events(reader);
        assert_eq!(status, 200, "{events:?}");
        events
    }

    /// As Ctrl-C does; the server ends by itself.
    pub fn stop(self) {
        self.signal(rustix::process::Signal::INT);
        self.ended();
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).expect("pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("pid");
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    /// Waits until it has ended, and well.
    pub fn ended(mut self) {
        assert!(self.child.wait().expect("ended").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already in all but failing tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request to whatever listens at `address`, and its whole answer.
pub fn ask(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    content_type: &str,
    body: &[u8],
) -> Answer {
    let mut reader = send(address, method, path, headers, content_type, body);
    let (status, headers) = read_head(&mut reader);
    let length = headers.get("content-length").map(|n| n.parse());
    // Not everybody closes the connection behind it.
    let length = length.unwrap_or(Ok(u64::MAX)).expect("a length");
    let mut body = String::new();
    let whole = reader.take(length).read_to_string(&mut body);
    whole.expect("a body");
    if headers
        .get("transfer-encoding")
        .is_some_and(|coding| coding == "chunked")
    {
        body = unchunked(&body);
    }
    Answer {
        status,
        headers,
        body,
    }
}

fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    content_type: &str,
    body: &[u8],
) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        let length = body.len();
        head.push_str(&format!(
            "Content-Type: {content_type}\r\nContent-Length: {length}\r\n"
        ));
    }
    write!(stream, "{head}\r\n").expect("sent");
    stream.write_all(body).expect("sent");
    BufReader::new(stream)
}

/// Begins to read a stream of events, and leaves it after one of this name.
pub fn leave_after(server: &Running, path: &str, body: &Value, name: &str) {
    let headers = [("Accept", "text/event-stream")];
    let body = body.to_string();
    let mut reader = send(
        &server.address,
        "POST",
        path,
        &headers,
        "application/json",
        body.as_bytes(),
    );
    let wanted = format!("event: {name}");
    let mut line = String::new();
    while line.trim_end() != wanted {
        line.clear();
        let read = reader.read_line(&mut line).expect("a line");
        assert!(read > 0, "the stream ended before `{name}`");
    }
}

/// A stream of events to its end.
fn read_events(mut reader: BufReader<TcpStream>) -> (u16, Vec<Event>) {
    let (status, headers) = read_head(&mut reader);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("a stream");
    if headers
        .get("transfer-encoding")
        .is_some_and(|c| c == "chunked")
    {
        text = unchunked(&text);
    }
    let mut events = Vec::new();
    let mut event = Event::default();
    for line in text.lines() {
        match line.split_once(':') {
            Some(("event", name)) => event.name = name.trim().to_owned(),
            Some(("id", id)) => event.id = id.trim().to_owned(),
            Some(("data", data)) => event.data = data.trim().to_owned(),
            None if line.is_empty() && !event.name.is_empty() => {
                events.push(std::mem::take(&mut event));
            }
            _ => {}
        }
    }
    (status, events)
}

fn read_head(reader: &mut impl BufRead) -> (u16, HashMap<String, String>) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a status line");
    let status = line.split_whitespace().nth(1).expect("a status");
    let status = status.parse().expect("a number");
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    (status, headers)
}

fn unchunked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        out.push_str(after.get(..size).unwrap_or(after));
        rest = after.get(size + 2..).unwrap_or_default();
    }
    out
}
