//! The fake web and the site generator, through their public face.

mod services;

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use testkit::{FakeWeb, Gate, Reply, WebSpec, generated_site};

/// Sends one request on a new connection and reads until the server closes or
/// the promised body is complete.
fn exchange(web: &FakeWeb, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(web.addr()).expect("the server answers");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").expect("the server answers");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("the server answers");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn routes_before_handler_before_404_and_all_logged() {
    let web = FakeWeb::start_blocking();
    web.route("/a", Reply::html("page a"));
    web.route("/a?x=1", Reply::html("page a with x"));
    assert!(exchange(&web, "/a", "").ends_with("page a"));
    assert!(exchange(&web, "/a?x=1", "").ends_with("page a with x"));
    assert!(exchange(&web, "/a?x=2", "").ends_with("page a"));
    assert!(exchange(&web, "/b", "").starts_with("HTTP/1.1 404 "));
    web.handler(|request| Reply::text(format!("{} #{}", request.path, request.order)));
    assert!(exchange(&web, "/b", "X-Probe: yes\r\n").ends_with("/b #4"));

    let log = web.log();
    let paths: Vec<&str> = log.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/a", "/a?x=1", "/a?x=2", "/b", "/b"]);
    assert_eq!(log[4].header("x-probe"), Some("yes"));
    assert!(log.is_sorted_by_key(|request| request.received_at));
    assert_eq!((web.hits("/b"), web.connections()), (2, 5));
    web.clear_log();
    assert_eq!(web.hits("/b"), 0);
}

#[test]
fn validators_answer_304() {
    let web = FakeWeb::start_blocking();
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    web.route("/", Reply::html("x").etag("\"v1\"").last_modified(date));
    let check = |headers: &str, status: &str| {
        let answer = exchange(&web, "/", headers);
        assert_eq!(&answer[9..12], status, "{headers}");
    };
    check("", "200");
    check("If-None-Match: \"v0\"\r\n", "200");
    check("If-None-Match: \"v0\", \"v1\"\r\n", "304");
    check(&format!("If-Modified-Since: {date}\r\n"), "304");
    check(
        &format!("If-None-Match: \"v0\"\r\nIf-Modified-Since: {date}\r\n"),
        "200",
    );
}

#[test]
fn misbehaviour_is_sent_as_scripted() {
    let web = FakeWeb::start_blocking();
    web.route("/cut", Reply::html("0123456789").cut_after(4));
    let cut = exchange(&web, "/cut", "");
    assert!(cut.contains("Content-Length: 10") && cut.ends_with("\r\n\r\n0123"));

    web.route("/raw", Reply::raw("not http at all"));
    assert_eq!(exchange(&web, "/raw", ""), "not http at all");

    let gate = Gate::new();
    web.route("/gated", Reply::text("abcdef").gated(4, &gate));
    gate.open(2);
    let gated = exchange(&web, "/gated", "");
    assert!(
        gated.ends_with("4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n"),
        "{gated}"
    );
}

#[test]
fn dropping_closes_port_and_connections() {
    let web = FakeWeb::start_blocking();
    web.route("/never", Reply::silence());
    let mut stream = TcpStream::connect(web.addr()).unwrap();
    write!(stream, "GET /never HTTP/1.1\r\n\r\n").unwrap();
    let addr = web.addr();
    drop(web);
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn sites_are_deterministic_and_reachable() {
    let site = generated_site(7, 120);
    assert_eq!(site, generated_site(7, 120));
    assert_ne!(site, generated_site(8, 120));
    assert_eq!(site.pages.len(), 120 + WebSpec::default().duplicates);

    let mut seen = BTreeSet::from(["/".to_owned()]);
    let mut queue = VecDeque::from(["/".to_owned()]);
    let mut missing = BTreeSet::new();
    while let Some(path) = queue.pop_front() {
        let Some(html) = site.pages.get(&path) else {
            missing.insert(path);
            continue;
        };
        for link in html.split("href=\"").skip(1) {
            let link = link.split('"').next().unwrap();
            if seen.insert(link.to_owned()) {
                queue.push_back(link.to_owned());
            }
        }
    }
    let broken: BTreeSet<String> = site.broken.iter().cloned().collect();
    assert_eq!(missing, broken);
    assert!(site.pages.keys().all(|path| seen.contains(path)));

    for (copy, original) in &site.duplicates {
        assert_eq!(site.pages[copy], site.pages[original]);
    }
    for (path, phrase) in &site.phrases {
        let holders = site
            .pages
            .iter()
            .filter(|(_, html)| html.contains(&format!("{phrase}.")));
        let body = &site.pages[path];
        assert!(
            holders.into_iter().all(|(_, html)| html == body),
            "{phrase}"
        );
    }
}
