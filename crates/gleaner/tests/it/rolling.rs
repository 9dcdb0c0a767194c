//! Servers that are stopped and started while they are asked all the time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use testkit::FakeWeb;
use testkit::services::Postgres;

use crate::balancer::Balancer;
use crate::http::Running;
use crate::support::{page, paragraphs};

const SERVE: [&str; 4] = ["serve", "--listen", "127.0.0.1:0", "--no-workers"];

/// Looks until it is so, at most two minutes.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// One client of many requests, over connections that it keeps as long as the
/// other side does.
struct Client {
    address: String,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    fn new(address: &str) -> Client {
        Client {
            address: address.to_owned(),
            connection: None,
        }
    }

    /// The status of the answer.
    fn ask(&mut self, request: &str, body: &str, keep: bool) -> std::io::Result<u16> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(&self.address)?),
        };
        let stream = connection.get_mut();
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let (host, length) = (&self.address, body.len());
        let close = if keep { "" } else { "Connection: close\r\n" };
        let head = format!(
            "{request} HTTP/1.1\r\nHost: {host}\r\n{close}Content-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes())?;
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let broken = |what: &str| std::io::Error::other(what.to_owned());
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| broken("no status"))?;
        let (mut length, mut is_kept) = (0, keep);
        loop {
            let mut line = String::new();
            connection.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "connection" => is_kept &= value.trim() != "close",
                _ => {}
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body)?;
        self.connection = is_kept.then_some(connection);
        Ok(status)
    }
}

#[test]
fn a_rolling_restart_fails_no_request() {
    let database = Postgres::fresh();
    let url = database.pgbouncer_url();
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("GLEANER__API__DRAIN_S", "5"),
    ];
    let machines = [0; 2].map(|_| tempfile::tempdir().expect("temp dir"));
    let start = |n: usize| Running::start_with(machines[n].path(), &SERVE, "listening", &settings);
    let balancer = Balancer::start();
    let mut servers = [start(0), start(1)];
    for server in &servers {
        balancer.add(&server.address);
        until("ready", || balancer.is_ready(&server.address));
    }
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failures = std::thread::scope(|scope| {
        let ask = |n: usize| {
            let mut client = Client::new(&balancer.address);
            let mut failures = Vec::new();
            for turn in 0.. {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                let line = json!({"url": format!("https://a.example/{n}/{turn}"),
                    "markdown": format!("# Page {turn}\n\nOf {n}, in turn {turn}.")});
                let (request, body) = match turn % 3 {
                    0 => ("GET /api/v2/stats", String::new()),
                    1 => ("GET /api/v2/sources", String::new()),
                    _ => ("POST /api/v2/pages/bulk", line.to_string()),
                };
                // Two keep their connections, two do not.
                match client.ask(request, &body, n < 2) {
                    Ok(200) => _ = answered.fetch_add(1, Ordering::SeqCst),
                    other => failures.push(format!("{n}/{turn} {request}: {other:?}")),
                }
            }
            failures
        };
        let clients = [0, 1, 2, 3].map(|n| scope.spawn(move || ask(n)));
        let more = |least: usize| {
            let from = answered.load(Ordering::SeqCst);
            until("answered", || {
                answered.load(Ordering::SeqCst) >= from + least
            });
        };
        more(20);
        for (n, server) in servers.iter_mut().enumerate() {
            server.signal(Signal::TERM);
            // It answers, and asks to be sent nothing more.
            until("seen as leaving", || !balancer.is_ready(&server.address));
            let leaving = server.get("/ready").is(503).json();
            assert_eq!(leaving["checks"][0]["name"], "leaving", "{leaving}");
            let answer = server.get("/api/v2/stats").is(200);
            assert_eq!(answer.headers["connection"], "close");
            server.get("/health").is(200);
            let old = std::mem::replace(server, start(n));
            let address = old.address.clone();
            old.ended();
            balancer.remove(&address);
            balancer.add(&server.address);
            until("ready again", || balancer.is_ready(&server.address));
            more(20);
        }
        is_over.store(true, Ordering::SeqCst);
        clients
            .map(|client| client.join().expect("a client"))
            .concat()
    });
    assert_eq!(failures, [""; 0]);
    for server in servers {
        server.stop();
    }
}

#[test]
fn what_is_under_way_is_answered_and_streams_end() {
    let web = FakeWeb::start_blocking();
    web.route("/", page("Start", &paragraphs("beginnings")));
    let dir = tempfile::tempdir().expect("temp dir");
    let settings = [
        ("GLEANER__API__DRAIN_S", "0"),
        ("GLEANER__API__GRACE_S", "600"),
    ];
    let server = Running::start_with(dir.path(), &SERVE, "listening", &settings);
    let scrape = json!({"url": web.url("/")});
    let queued = server.post("/api/v2/tasks/scrape/async", &scrape).is(202);
    // Nobody runs the task, so its stream would not end for a long time.
    let path = format!("/api/v2/tasks/{}/events", queued.json()["task_id"]);
    let (first, second) = (
        "{\"url\":\"https://a.example/\",",
        "\"text\":\"One page.\"}",
    );
    let mut half = TcpStream::connect(&server.address).expect("a connection");
    write!(
        half,
        "POST /api/v2/pages/bulk HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{first}",
        server.address,
        first.len() + second.len(),
    )
    .expect("sent");
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| server.events(&path, None));
        until("both are under way", || {
            let status = server.get("/api/v2/system/status").is(200).json();
            status["event_streams"] == 1
        });
        server.signal(Signal::TERM);
        let (status, events) = watcher.join().expect("the stream ends");
        assert_eq!(status, 200);
        assert_eq!(events.last().expect("a state").name, "progress");
    });
    until("nobody new gets in", || {
        TcpStream::connect(&server.address).is_err()
    });
    half.write_all(second.as_bytes()).expect("sent");
    let mut answer = String::new();
    half.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"added\":1"), "{answer}");
    server.ended();
}
