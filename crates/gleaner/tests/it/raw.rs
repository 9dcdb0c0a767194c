//! Raw copies through the program's edge: kept by a crawl, read, exported and
//! removed, in a folder and in a bucket.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::services::{Bucket, Postgres, ServiceSet};
use testkit::{FakeWeb, Gate};

use crate::http::Running;
use crate::resume::{gated_site, until_requested};
use crate::support::{Ran, check_q2, command, counts, page, paragraphs, ran, site};
use crate::tools::check;

/// Far longer than a server takes to start.
const PATIENCE: Duration = Duration::from_secs(120);

type Settings<'a> = &'a [(&'a str, &'a str)];

fn run(dir: &Path, settings: Settings<'_>, args: &[&str]) -> Ran {
    let mut command = command(dir, args);
    command.envs(settings.iter().copied());
    ran(&command.output().expect("the program starts"))
}

fn crawl(dir: &Path, settings: Settings<'_>, url: &str) -> Value {
    let args = ["crawl", url, "--embed", "off", "--json"];
    let json = run(dir, settings, &args).ok().json();
    check_q2(&json);
    json
}

/// All files of a folder and of those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let entries = entries.map(|entry| entry.expect("an entry").path());
    let files = entries.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    files.collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What an independent reader finds in a WARC file: the URL of each response
/// whose digests are right.
fn responses(file: &Path) -> Vec<String> {
    let file = text(file);
    check("warcio", Command::new("warcio").args(["check", file]), "");
    let fields = "warc-type,warc-target-uri,http:status,http:content-length";
    let mut index = Command::new("warcio");
    let index = check("warcio", index.args(["index", "-f", fields, file]), "");
    let mut records: Vec<Value> = index
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(records.remove(0), json!({"warc-type": "warcinfo"}));
    let url = |record: &Value| {
        assert_eq!(record["warc-type"], "response", "{record}");
        assert_eq!(record["http:status"], "200", "{record}");
        record["warc-target-uri"]
            .as_str()
            .expect("a URL")
            .to_owned()
    };
    let mut urls: Vec<String> = records.iter().map(url).collect();
    urls.sort();
    urls
}

/// A crawl, its copies read one by one and as a file, a change, and the end of
/// it all; `stored` counts objects where that can be seen.
fn keeps_reads_exports_and_removes(settings: Settings<'_>, stored: &dyn Fn() -> Option<usize>) {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    site(&web, 3);
    let first = crawl(dir.path(), settings, &web.url("/"));
    assert_eq!(first["raw_missed"], 0, "{first}");
    let url = web.url("/p1");
    let before = page("Page 1", &paragraphs("topic 1")).body;
    let body = run(dir.path(), settings, &["page", "raw", &url])
        .ok()
        .stdout;
    assert_eq!(body.as_bytes(), before);
    assert_eq!(stored().unwrap_or(4), 4);

    // Only what is new is kept again.
    web.route("/p1", page("Page 1", &paragraphs("something else")));
    let second = crawl(dir.path(), settings, &web.url("/"));
    assert_eq!(counts(&second)[2..5], [0, 1, 3], "{second}");
    assert_eq!(stored().unwrap_or(5), 5);
    let old = ["page", "raw", &url, "--version", "1"];
    let old = run(dir.path(), settings, &old).ok().stdout;
    assert_eq!(old.as_bytes(), before);
    let new = run(dir.path(), settings, &["page", "raw", &url])
        .ok()
        .stdout;
    assert!(new.contains("something else"), "{new}");
    let none = ["page", "raw", &url, "--version", "3"];
    let none = run(dir.path(), settings, &none);
    assert_eq!(none.code, 1);
    assert!(
        none.stderr.contains("no raw copy of version 3"),
        "{}",
        none.stderr
    );

    let file = dir.path().join("all.warc.gz");
    let export = ["export", "--format", "warc", "--output", text(&file)];
    let told = run(dir.path(), settings, &export).ok().stderr;
    assert!(
        told.contains("4 raw copies written; 0 pages have none"),
        "{told}"
    );
    let urls = ["/", "/p0", "/p1", "/p2"].map(|path| web.url(path));
    assert_eq!(responses(&file), urls);

    let doctor = run(dir.path(), settings, &["doctor"]).stdout;
    assert!(
        doctor.contains("can be stored, read and removed"),
        "{doctor}"
    );
    let source = second["source_id"].to_string();
    run(dir.path(), settings, &["source", "remove", &source]).ok();
    assert_eq!(stored().unwrap_or(0), 0);
    let doctor = run(dir.path(), settings, &["doctor"]).stdout;
    assert!(!doctor.contains("wait to be removed"), "{doctor}");
}

#[test]
fn raw_copies_in_a_folder() {
    let folder = tempfile::tempdir().expect("temp dir");
    let raw = folder.path().join("raw");
    let settings = [("GLEANER__ARCHIVE__URL", text(&raw))];
    keeps_reads_exports_and_removes(&settings, &|| Some(files(&raw).len()));
}

#[test]
fn raw_copies_in_a_bucket_with_a_server_as_the_database() {
    let (bucket, database) = (Bucket::fresh(), Postgres::fresh());
    let secrets = tempfile::tempdir().expect("temp dir");
    let secret = secrets.path().join("secret");
    std::fs::write(&secret, "hush\n").expect("written");
    let (url, database) = (format!("s3://{}/raw", bucket.name), database.url());
    let settings = [
        ("GLEANER__ARCHIVE__URL", url.as_str()),
        ("AWS_ENDPOINT_URL", bucket.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY_FILE", text(&secret)),
        ("DATABASE_URL", database.as_str()),
    ];
    keeps_reads_exports_and_removes(&settings, &|| None);
    let shown = run(secrets.path(), &settings, &["config"]).stdout;
    assert!(
        shown.contains("archive.url") && !shown.contains("hush"),
        "{shown}"
    );
}

#[test]
fn nothing_is_kept_unless_it_is_wanted() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    site(&web, 1);
    let json = crawl(dir.path(), &[], &web.url("/"));
    assert_eq!(json.get("raw_missed"), None, "{json}");
    let found = files(dir.path());
    assert!(
        !found.iter().any(|file| text(file).contains("warc")),
        "{found:?}"
    );
    let raw = run(dir.path(), &[], &["page", "raw", &web.url("/")]);
    assert_eq!(raw.code, 1);
    assert!(
        raw.stderr.contains("no raw copies are kept"),
        "{}",
        raw.stderr
    );
    let doctor = run(dir.path(), &[], &["doctor"]).stdout;
    assert!(!doctor.contains("archive"), "{doctor}");
}

#[test]
fn settings_that_cannot_be_used_fail_at_the_start() {
    let check = |settings: Settings<'_>, expected: &str| {
        let dir = tempfile::tempdir().expect("temp dir");
        let args = ["crawl", "http://127.0.0.1:9/", "--embed", "off"];
        let refused = run(dir.path(), settings, &args);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    };
    check(
        &[("GLEANER__ARCHIVE__URL", "gs://bucket")],
        "archive.url: `gs://` is not known",
    );
    let bucket = ("GLEANER__ARCHIVE__URL", "s3://bucket");
    check(
        &[bucket, ("AWS_ACCESS_KEY_ID", "a")],
        "AWS_SECRET_ACCESS_KEY are needed together",
    );
    check(
        &[bucket, ("AWS_ENDPOINT_URL", "http://h")],
        "needs AWS_ACCESS_KEY_ID",
    );
}

/// The archive is a server of its own, killed and started again between crawls.
#[test]
fn pages_are_stored_without_a_copy_while_the_archive_is_away() {
    let services = ServiceSet::start(&["s3"]);
    let bucket = services.bucket();
    let url = format!("s3://{}", bucket.name);
    let settings = [
        ("GLEANER__ARCHIVE__URL", url.as_str()),
        ("GLEANER__ARCHIVE__TIMEOUT_MS", "5000"),
        ("AWS_ENDPOINT_URL", bucket.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    site(&web, 5);
    let start = web.url("/");
    services.signal("s3", "KILL");
    let away = crawl(dir.path(), &settings, &start);
    assert_eq!(
        (counts(&away)[2], &away["raw_missed"]),
        (6, &json!(6)),
        "{away}"
    );
    let raw = run(dir.path(), &settings, &["page", "raw", &start]);
    assert!(
        raw.stderr.contains("no raw copy of version 1"),
        "{}",
        raw.stderr
    );
    let doctor = run(dir.path(), &settings, &["doctor"]);
    assert_eq!(doctor.code, 1);
    assert!(
        doctor.stdout.contains("Connection refused"),
        "{}",
        doctor.stdout
    );
    // A person is told, too.
    web.route("/p0", page("Page 0", &paragraphs("news of the day")));
    let told = run(dir.path(), &settings, &["crawl", &start, "--embed", "off"]).ok();
    let line = "archive: 1 pages are stored without a raw copy";
    assert!(told.stdout.contains(line), "{}", told.stdout);

    services.start_again("s3");
    // It listens some time before it takes anything.
    let deadline = Instant::now() + PATIENCE;
    while run(dir.path(), &settings, &["doctor"]).code != 0 {
        assert!(
            Instant::now() < deadline,
            "the S3 server does not come back"
        );
    }
    web.route("/p1", page("Page 1", &paragraphs("news of tomorrow")));
    let back = crawl(dir.path(), &settings, &start);
    assert_eq!(
        (counts(&back)[3], &back["raw_missed"]),
        (1, &json!(0)),
        "{back}"
    );
    let raw = run(dir.path(), &settings, &["page", "raw", &web.url("/p1")]);
    assert!(raw.ok().stdout.contains("news of tomorrow"));
    let file = dir.path().join("some.warc.gz");
    let export = ["export", "--format", "warc", "--output", text(&file)];
    let told = run(dir.path(), &settings, &export).ok().stderr;
    assert!(
        told.contains("1 raw copies written; 5 pages have none"),
        "{told}"
    );
    assert_eq!(responses(&file), [web.url("/p1")]);

    // One that takes connections and never answers is waited for so long.
    services.signal("s3", "STOP");
    let mut impatient = settings;
    impatient[1].1 = "300";
    web.route("/p2", page("Page 2", &paragraphs("silence")));
    let hung = crawl(dir.path(), &impatient, &start);
    let updated = (counts(&hung)[3], &hung["raw_missed"]);
    assert_eq!(updated, (1, &json!(1)), "{hung}");
    services.signal("s3", "CONT");
}

/// Whatever was under way when it was killed: no version is without its object.
#[test]
fn kill_9_leaves_no_version_without_its_object() {
    let folder = tempfile::tempdir().expect("temp dir");
    let raw = folder.path().join("raw");
    let settings = [("GLEANER__ARCHIVE__URL", text(&raw))];
    for closed in [1, 13, 39] {
        let web = FakeWeb::start_blocking();
        let dir = tempfile::tempdir().expect("temp dir");
        let gate = Gate::new();
        gated_site(&web, closed, &gate);
        let start = web.url("/");
        let mut child = command(dir.path(), &["crawl", &start, "--embed", "off"])
            .envs(settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        until_requested(&web, &format!("/p{closed}"));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        let file = dir.path().join("before.warc.gz");
        let export = ["export", "--format", "warc", "--output", text(&file)];
        let told = run(dir.path(), &settings, &export).ok().stderr;
        assert!(told.contains("; 0 pages have none"), "{told}");

        gate.open_all();
        let json = crawl(dir.path(), &settings, &start);
        assert_eq!(json["raw_missed"], 0, "{json}");
        let file = dir.path().join("after.warc.gz");
        let export = ["export", "--format", "warc", "--output", text(&file)];
        let told = run(dir.path(), &settings, &export).ok().stderr;
        assert!(
            told.contains("41 raw copies written; 0 pages have none"),
            "{told}"
        );
        assert_eq!(responses(&file).len(), 41);
    }
}

/// Bytes of strangers, handed to a browser that must neither run nor show them;
/// to their tenant alone (T1).
#[test]
fn raw_copies_are_downloads_and_their_tenants_own() {
    let folder = tempfile::tempdir().expect("temp dir");
    let raw = folder.path().join("raw");
    let settings = [("GLEANER__ARCHIVE__URL", text(&raw))];
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    site(&web, 1);
    crawl(dir.path(), &settings, &web.url("/"));
    run(dir.path(), &settings, &["tenant", "create", "other"]).ok();
    let key = |tenant: &str| {
        let args = [
            "key", "create", "--name", "k", "--scope", "read", "--tenant", tenant, "--json",
        ];
        let made = run(dir.path(), &settings, &args).ok().json();
        format!("Bearer {}", made["api_key"].as_str().expect("a key"))
    };
    let (ours, theirs) = (key("default"), key("other"));
    let server = Running::serve_with(dir.path(), &settings);
    let get = |path: &str, key: &str| server.ask("GET", path, &[("Authorization", key)], None);
    let shown = get("/api/v2/pages/1", &ours).is(200).json();
    assert_eq!(shown["raw"], true);
    let versions = get("/api/v2/pages/1/versions", &ours).is(200).json();
    assert_eq!(versions["versions"][0]["raw"], true);
    let answer = get("/api/v2/pages/1/raw", &ours).is(200);
    assert!(
        answer.body.contains("<title>Start</title>"),
        "{}",
        answer.body
    );
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        (
            "content-disposition",
            "attachment; filename=\"page-1-version-1.html\"",
        ),
        ("x-content-type-options", "nosniff"),
        (
            "content-security-policy",
            "sandbox; default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        assert_eq!(answer.headers[name], value);
    }
    let absent = get("/api/v2/pages/1/raw?version=2", &ours).is(404);
    assert_eq!(absent.error(), "not_found");
    for path in [
        "/api/v2/pages/1/raw",
        "/api/v2/pages/1/raw?version=1&format=warc",
    ] {
        assert_eq!(get(path, &theirs).is(404).error(), "not_found");
    }
    server.stop();
}
