//! The dashboard's files as the server hands them out.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::http::{Answer, Running};

fn running() -> (tempfile::TempDir, Running) {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    (dir, server)
}

/// What stands between `before` and `after`, wherever it does.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before)
        .skip(1)
        .filter_map(|rest| rest.split(after).next())
        .collect()
}

/// `name` as a file of the folder of `from`, or of one above it.
fn resolved(from: &str, name: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Modules that a module imports. Those of others have no dot to begin with.
fn imports(module: &str) -> Vec<&str> {
    let found = between(module, " from \"", '"');
    for name in &found {
        assert!(name.starts_with('.'), "{name} is no file of the dashboard");
    }
    found
}

/// Everything that the first page leads to, by its path.
fn assets(server: &Running) -> Vec<(String, Answer)> {
    let index = server.get("/").is(200);
    let mut wanted: Vec<String> = ["href=\"", "src=\""]
        .iter()
        .flat_map(|mark| between(&index.body, mark, '"'))
        .filter(|name| !name.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let mut seen = BTreeSet::new();
    let mut found = vec![(String::new(), index)];
    while let Some(name) = wanted.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let answer = server.get(&format!("/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        if name.ends_with(".js") {
            let more = imports(&answer.body);
            wanted.extend(more.iter().map(|import| resolved(&name, import)));
        }
        found.push((name, answer));
    }
    found
}

#[test]
fn the_first_page_is_html_with_a_strict_policy() {
    let (_dir, server) = running();
    let index = server.get("/").is(200);
    assert_eq!(index.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(index.headers["x-content-type-options"], "nosniff");
    let policy = &index.headers["content-security-policy"];
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("script-src 'self';"), "{policy}");
    assert!(policy.contains("style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(
        policy.contains("require-trusted-types-for 'script'"),
        "{policy}"
    );
    // Below a reverse proxy's prefix, an absolute path would be another's.
    assert!(!index.body.contains("=\"/"), "{}", index.body);
    let head = server.ask("HEAD", "/", &[], None).is(200);
    assert_eq!(head.body, "");
    let wrong = server.ask("POST", "/", &[], None).is(405);
    assert_eq!(wrong.error(), "method_not_allowed");
}

#[test]
fn every_file_that_is_referred_to_is_there() {
    let (_dir, server) = running();
    let found = assets(&server);
    assert!(found.len() > 20, "{} files", found.len());
    for (name, answer) in &found {
        let expected = match name.rsplit_once('.').map(|(_, ending)| ending) {
            None => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some(other) => panic!("{other}: {name}"),
        };
        assert_eq!(answer.headers["content-type"], expected, "{name}");
        assert_eq!(answer.headers["cache-control"], "no-cache", "{name}");
    }
}

/// All that is handed out, or would be if something referred to it.
#[test]
fn nothing_comes_from_elsewhere_and_no_text_becomes_markup() {
    let (_dir, server) = running();
    let handed_out: BTreeSet<String> = assets(&server).into_iter().map(|(name, _)| name).collect();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dashboard");
    let mut folders = vec![std::path::PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).expect("below").to_string_lossy();
            let name = name.trim_start_matches("index.html");
            assert!(handed_out.contains(name), "nothing refers to {name}");
            let text = std::fs::read_to_string(&path).expect("text");
            check_text(name, &text);
        }
    }
}

#[track_caller]
fn check_text(name: &str, text: &str) {
    // The names of XML's vocabularies are fetched by nobody.
    let text = text.replace("http://www.w3.org/2000/svg", "");
    for scheme in ["https://", "http://"] {
        assert!(!text.contains(scheme), "{name} refers to {scheme}…");
    }
    let sinks = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "createContextualFragment",
        "eval(",
        "new Function",
        "javascript:",
        "import(",
        " style=",
        " onclick=",
        "<style",
    ];
    for sink in sinks {
        assert!(!text.contains(sink), "{name} has {sink}");
    }
    if name.ends_with(".js") {
        // Also see STYLE.md on long files.
        assert!(text.lines().count() < 300, "{name} is long");
        imports(&text);
    }
}

#[test]
fn what_is_known_is_not_sent_again() {
    let (_dir, server) = running();
    for path in ["/", "/assets/app.js", "/assets/app.css"] {
        let first = server.get(path).is(200);
        let etag = first.headers["etag"].as_str();
        assert_eq!(server.get(path).headers["etag"], etag, "it stays");
        let strong = etag.trim_start_matches("W/");
        for known in [etag, strong, "*", &format!("\"other\", {etag}")] {
            let again = server.ask("GET", path, &[("If-None-Match", known)], None);
            assert_eq!(again.status, 304, "{path} {known}");
            assert_eq!(again.body, "", "{path} {known}");
            assert_eq!(again.headers["etag"], etag);
            // It replaces what the browser remembers.
            assert_eq!(
                again.headers["content-security-policy"],
                first.headers["content-security-policy"]
            );
        }
        let other = server.ask("GET", path, &[("If-None-Match", "\"other\"")], None);
        assert_eq!(other.status, 200, "{path}");
    }
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let (_dir, server) = running();
    let paths = [
        "/assets/",
        "/assets/missing.js",
        "/assets/index.html",
        "/assets/../index.html",
        "/assets/../Cargo.toml",
        "/assets/../../Cargo.toml",
        "/assets/lib/../../index.html",
        "/assets/./app.js",
        "/assets//app.js",
        "/assets//etc/passwd",
        "/assets/%2e%2e/Cargo.toml",
        "/assets/%2e%2e%2fCargo.toml",
        "/assets/..%2fCargo.toml",
        "/assets/..%5cCargo.toml",
        "/assets/..\\Cargo.toml",
        "/assets/%252e%252e%252fCargo.toml",
        "/assets/%c0%ae%c0%ae/Cargo.toml",
        "/assets/%ff",
        "/assets/app.js%00",
        "/assets/app%2ejs",
        "/index.html",
        "/../Cargo.toml",
    ];
    for path in paths {
        // Sent as it stands here: clients tidy such paths up.
        let mut stream = TcpStream::connect(&server.address).expect("a connection");
        let host = &server.address;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        // A path that is none may be refused before anybody looks it up.
        let refused = answer.starts_with("HTTP/1.1 400") && path.contains('\\');
        assert!(
            refused || answer.starts_with("HTTP/1.1 404"),
            "{path}: {answer}"
        );
        assert!(!answer.contains("[package]"), "{path}: {answer}");
    }
}
