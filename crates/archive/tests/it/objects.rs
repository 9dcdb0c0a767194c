//! Objects in a folder; a bucket is spoken to in the tests of the program.

use std::path::Path;
use std::time::Duration;

use archive::{Archive, ArchiveConfig, ArchiveErrorKind};

fn config(url: &str) -> ArchiveConfig {
    ArchiveConfig {
        url: url.to_owned(),
        endpoint: String::new(),
        region: String::new(),
        access_key_id: String::new(),
        secret_access_key: String::new(),
        session_token: String::new(),
        ca_file: None,
        timeout: Duration::from_secs(5),
        synchronous: true,
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(work)
}

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

#[test]
fn objects_in_a_folder_are_stored_read_and_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("raw");
    let archive = Archive::open(&config(folder.to_str().expect("UTF-8"))).expect("opened");
    let key = "1/2/2026/11/x.warc.gz";
    run(async {
        archive.probe().await.expect("it works");
        archive.put(key, "hello".into()).await.expect("stored");
        assert_eq!(archive.get(key, 5).await.expect("read"), "hello");
        let too_large = archive.get(key, 4).await.expect_err("5 bytes");
        assert_eq!(too_large.kind(), ArchiveErrorKind::TooLarge);
        // What a killed process left beside it goes along.
        std::fs::write(folder.join(format!("{key}#1")), b"hel").expect("written");
        archive.delete(key).await.expect("removed");
        archive.delete(key).await.expect("removed before");
        let absent = archive.get(key, 5).await.expect_err("removed");
        assert_eq!(absent.kind(), ArchiveErrorKind::Absent);
    });
    assert_eq!(files(&folder), 0);
}

#[test]
fn settings_that_cannot_be_used_are_refused() {
    let check = |change: fn(&mut ArchiveConfig), expected: &str| {
        let mut config = config("s3://bucket/raw");
        change(&mut config);
        let error = Archive::open(&config).expect_err("refused");
        assert_eq!(error.kind(), ArchiveErrorKind::Config, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    };
    check(|c| "gs://x".clone_into(&mut c.url), "`gs://` is not known");
    check(
        |c| "/dev/null/x".clone_into(&mut c.url),
        "/dev/null/x cannot be used",
    );
    check(|c| "a".clone_into(&mut c.access_key_id), "needed together");
    check(
        |c| "hush".clone_into(&mut c.secret_access_key),
        "needed together",
    );
    check(
        |c| "http://x".clone_into(&mut c.endpoint),
        "needs AWS_ACCESS_KEY_ID",
    );
    let keys = |c: &mut ArchiveConfig| {
        "a".clone_into(&mut c.access_key_id);
        "hush".clone_into(&mut c.secret_access_key);
    };
    let mut with_keys = config("s3://bucket/raw");
    keys(&mut with_keys);
    with_keys.endpoint = "localhost:9000".to_owned();
    let error = Archive::open(&with_keys).expect_err("no scheme");
    assert!(
        error.to_string().contains("no http:// or https://"),
        "{error}"
    );
    with_keys.endpoint = "http://localhost:9000/".to_owned();
    let archive = Archive::open(&with_keys).expect("settings that can be used");
    assert!(!format!("{archive:?} {with_keys:?}").contains("hush"));
}
