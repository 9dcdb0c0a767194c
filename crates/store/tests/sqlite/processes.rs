//! Several processes on one data directory. The other processes are this test
//! binary, started again for one of the [`Role`]s below.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::{
    Access, CrawlBatch, FrontierKind, NewSource, NewUrl, PageFilter, Store, StoreError,
    StoreErrorKind, StoreOptions, Synchronous,
};
use types::{CrawlId, SystemClock, TenantId, Timestamp};

use crate::support::{page, stored, url, visit};

const ROLE: &str = "GLEANER_STORE_TEST_ROLE";
const DIR: &str = "GLEANER_STORE_TEST_DIR";
const BATCHES: usize = 1_000;
const HOSTS: usize = 2_000;
const FLOODERS: u64 = 3;

fn open(dir: &Path, access: Access) -> Result<Store, StoreError> {
    let options = StoreOptions {
        synchronous: Synchronous::Normal,
        ..StoreOptions::default()
    };
    Store::open(dir, access, &options, Arc::new(SystemClock))
}

/// A process in a role. It says what it has to say in lines, and goes on or
/// ends when told to.
struct Other {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    told: Option<ChildStdin>,
}

impl Other {
    fn start(role: &str, dir: &Path) -> Other {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["processes::role", "--exact", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = child.stdin.take();
        let said = BufReader::new(child.stdout.take().unwrap());
        Other { child, said, told }
    }

    /// The rest of the next line that begins with `> `.
    fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            let bytes = self.said.read_line(&mut line).unwrap();
            assert!(bytes > 0, "the other process ended without a word");
            // The test harness may have begun the line.
            if let Some((_, words)) = line.split_once("> ") {
                return words.trim_end().to_owned();
            }
        }
    }

    fn tell(&mut self) {
        self.told.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn end(mut self) {
        self.told = None;
        // Whatever else it says must not fill the pipe.
        std::io::copy(&mut self.said, &mut std::io::sink()).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // Only matters when the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "> {words}").unwrap();
    out.flush().unwrap();
}

/// False once the first process has nothing more to tell.
fn wait() -> bool {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap() > 0
}

#[test]
#[ignore = "the other process of the tests in this file, started by them"]
fn role() {
    let dir = std::env::var(DIR).unwrap();
    let dir = Path::new(&dir);
    match std::env::var(ROLE).unwrap().as_str() {
        "create" => {
            wait();
            let store = open(dir, Access::Write).unwrap();
            say(&store.stats().unwrap().pages.to_string());
            wait();
        }
        "live" => {
            let store = open(dir, Access::Write).unwrap();
            say(store.instance());
            wait();
        }
        "older program" => {
            // Holds what such a one holds, without changing the schema.
            let lock = std::fs::File::create(dir.join("lock")).unwrap();
            lock.lock_shared().unwrap();
            let name = format!("{}-0123456789abcdef", std::process::id());
            std::fs::create_dir(dir.join("instances")).unwrap();
            let instance = std::fs::File::create(dir.join("instances").join(name)).unwrap();
            instance.lock().unwrap();
            say("ready");
            wait();
        }
        "crawl" => {
            let store = open(dir, Access::Write).unwrap();
            say("ready");
            wait();
            crawl_batches(&store, "other", "shared");
            say("done");
            wait();
        }
        "read" => {
            read_all_the_time(dir);
        }
        "flood" => flood(&open(dir, Access::Write).unwrap()),
        other => panic!("no role {other}"),
    }
}

fn start_crawl(store: &Store, site: &str, paths: impl Iterator<Item = String>) -> CrawlId {
    let source = store
        .ensure_source(NewSource {
            tenant: TenantId::DEFAULT,
            name: site.to_owned(),
            seeds: vec![format!("https://{site}.example/")],
            policy: "{}".to_owned(),
        })
        .unwrap();
    let seeds = paths.map(|path| new_url(site, &path)).collect();
    store.start_crawl(source, "{}", seeds).unwrap()
}

fn new_url(site: &str, path: &str) -> NewUrl {
    NewUrl {
        url: url(&format!("https://{site}.example/{path}")),
        kind: FrontierKind::Page,
        depth: 0,
    }
}

/// Saves pages one by one. Every third has a content that all sites share, so
/// that processes meet in the same rows.
fn crawl_batches(store: &Store, site: &str, shared: &str) {
    let crawl = start_crawl(store, site, (0..BATCHES).map(|n| n.to_string()));
    let host = url(&format!("https://{site}.example/")).host_key();
    let rows = store.queued_urls(crawl, &host, 0, BATCHES).unwrap();
    for (n, row) in rows.iter().enumerate() {
        let owner = if n % 3 == 0 { shared } else { site };
        let title = format!("{owner} {n}");
        let visits = vec![visit(row, stored(page(&title, &["one", "two"])))];
        let report = store
            .commit_batch(CrawlBatch {
                crawl,
                visits,
                follow_ups: Vec::new(),
            })
            .unwrap();
        assert_eq!(report.counts.ended(), n as u64 + 1);
    }
}

/// Opens, reads and closes until told to stop; nothing may fail or go back.
fn read_all_the_time(dir: &Path) {
    say("ready");
    let stop = std::thread::spawn(wait);
    let (mut pages, mut seq, mut rounds) = (0, 0, 0);
    while !stop.is_finished() {
        let store = open(dir, Access::Read).unwrap();
        for _ in 0..20 {
            let stats = store.stats().unwrap();
            assert!(stats.pages >= pages && stats.change_seq >= seq);
            assert_eq!(stats.pages, stats.pages_live);
            (pages, seq) = (stats.pages, stats.change_seq);
            let changed = store.pages_changed_since(None, seq, 10).unwrap();
            let mut last = seq;
            for change in changed {
                assert!(change.seq > last);
                last = change.seq;
            }
        }
        store.data_version().unwrap();
        rounds += 1;
    }
    say(&rounds.to_string());
}

/// Writes without a pause: a write takes milliseconds, preparing it nothing,
/// and while one is committed others wait already. Each is counted by a URL.
fn flood(store: &Store) {
    for n in 0..HOSTS {
        let host = url(&format!("https://{n}.example/")).host_key();
        let end = Timestamp(i64::MAX);
        store.acquire_host_lease(&host, "flood", end).unwrap();
    }
    let crawl = start_crawl(store, "flood", std::iter::empty());
    let stop = std::thread::spawn(wait);
    std::thread::scope(|scope| {
        for flooder in 0..FLOODERS {
            let stop = &stop;
            scope.spawn(move || {
                for write in 0.. {
                    if stop.is_finished() {
                        return;
                    }
                    store.renew_host_leases("flood", Timestamp(write)).unwrap();
                    let counted = new_url("flood", &format!("{flooder}/{write}"));
                    store.add_urls(crawl, vec![counted]).unwrap();
                    if (flooder, write) == (0, 2) {
                        say(&crawl.0.to_string());
                    }
                }
            });
        }
    });
}

#[test]
fn two_processes_write_a_thousand_batches_each_and_a_third_reads() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Access::Write).unwrap();
    let mut other = Other::start("crawl", dir.path());
    let mut reader = Other::start("read", dir.path());
    assert_eq!(
        (other.hear(), reader.hear()),
        ("ready".into(), "ready".into())
    );
    other.tell();
    crawl_batches(&store, "own", "shared");
    assert_eq!(other.hear(), "done");
    reader.told = None;
    assert_ne!(reader.hear(), "0", "the reader read");
    reader.end();
    other.end();

    let all = PageFilter {
        limit: 3 * BATCHES,
        ..PageFilter::default()
    };
    let pages = store.pages(&all).unwrap();
    assert_eq!(pages.len(), 2 * BATCHES);
    for source in store.sources(TenantId::DEFAULT).unwrap() {
        assert_eq!(source.page_count, BATCHES as u64);
        let counts = source.last_crawl.unwrap().counts;
        assert_eq!(counts.added, BATCHES as u64);
    }
    let shared = BATCHES.div_ceil(3);
    let duplicates = pages.iter().filter(|p| p.duplicate_of.is_some()).count();
    assert_eq!(duplicates, shared);
    let chunks = store.live_chunk_ids().unwrap().len();
    assert_eq!(chunks, 2 * (2 * BATCHES - shared));
    let stats = store.stats().unwrap();
    assert_eq!(
        (stats.pages, stats.chunks),
        (2 * BATCHES as u64, chunks as u64)
    );
    let mut numbers: Vec<i64> = pages.iter().map(|p| p.change_seq).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(
        numbers.len(),
        pages.len(),
        "no change number was given twice"
    );
    assert_eq!(numbers.last(), Some(&stats.change_seq));
}

#[test]
fn a_busy_process_lets_others_write_after_a_few_of_its_groups() {
    const WRITES: usize = 40;
    /// In two of its groups: the one under way and one that was ahead.
    const OTHERS_WRITES_MAX: u64 = 2 * FLOODERS;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Access::Write).unwrap();
    let mut other = Other::start("flood", dir.path());
    let crawl = CrawlId(other.hear().parse().unwrap());
    let written = || store.crawl(crawl).unwrap().counts.found;
    let start = written();
    let mut waits: Vec<u64> = (0..WRITES)
        .map(|_| {
            // Let it get into its stride.
            let before = written();
            while written() < before + 2 * FLOODERS {}
            let before = written();
            // Writes nothing but tells what was written when its turn came.
            let visits = Vec::new();
            let report = store
                .commit_batch(CrawlBatch {
                    crawl,
                    visits,
                    follow_ups: Vec::new(),
                })
                .unwrap();
            report.counts.found - before
        })
        .collect();
    assert!(written() - start >= WRITES as u64 * FLOODERS);
    waits.sort_unstable();
    // The machine may have put this thread aside before its write was sent.
    let usual = waits[WRITES * 3 / 4];
    assert!(usual <= OTHERS_WRITES_MAX, "waited for {waits:?} writes");
    other.end();
}

#[test]
fn of_two_that_create_a_database_at_once_the_second_opens_it() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let mut others: Vec<Other> = (0..3).map(|_| Other::start("create", &path)).collect();
        for other in &mut others {
            other.tell();
        }
        for other in &mut others {
            assert_eq!(other.hear(), "0");
        }
        for other in others {
            other.end();
        }
    }
}

#[test]
fn the_name_of_a_killed_process_is_lost_and_that_of_a_live_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Access::Write).unwrap();
    let mut killed = Other::start("live", dir.path());
    let mut ended = Other::start("live", dir.path());
    let (killed_name, ended_name) = (killed.hear(), ended.hear());
    assert!(killed_name.starts_with(&format!("{}-", killed.child.id())));
    let tagged = format!("{killed_name}:crawl 7");
    let candidates = [
        killed_name.clone(),
        tagged.clone(),
        store.instance().to_owned(),
        "embedded".to_owned(),
        ended_name.clone(),
        "../../lock".to_owned(),
        "1-0123456789abcdef".to_owned(),
    ];
    let strangers = ["embedded", "../../lock", "1-0123456789abcdef"];
    assert_eq!(store.lost_owners(&candidates), strangers);

    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    let file = |name: &str| dir.path().join("instances").join(name);
    assert!(file(&killed_name).exists(), "nobody has looked yet");
    let lost = store.lost_owners(&candidates);
    assert_eq!(lost[..2], [killed_name.clone(), tagged]);
    assert_eq!(lost[2..], strangers);
    assert!(!file(&killed_name).exists());
    assert!(file(&ended_name).exists());
    ended.end();
    assert!(!file(&ended_name).exists());
    assert_eq!(
        store.lost_owners(std::slice::from_ref(&ended_name)),
        [ended_name]
    );

    let name = store.instance().to_owned();
    drop(store);
    let next = open(dir.path(), Access::Write).unwrap();
    assert_ne!(next.instance(), name);
    assert_eq!(next.lost_owners(std::slice::from_ref(&name)), [name]);
    let reader = open(dir.path(), Access::Read).unwrap();
    let names = [next.instance().to_owned(), reader.instance().to_owned()];
    for store in [&next, &reader] {
        assert_eq!(store.lost_owners(&names), names[1..]);
    }
}

#[test]
fn opening_removes_what_dead_processes_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut killed = Other::start("live", dir.path());
    let name = killed.hear();
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    let store = open(dir.path(), Access::WriteAlone).unwrap();
    let left: Vec<String> = std::fs::read_dir(dir.path().join("instances"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, [store.instance()]);
    assert_ne!(left, [name]);
}

#[test]
fn a_schema_is_changed_only_when_nobody_else_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let golden = zstd::decode_all(crate::durability::GOLDEN_V1).unwrap();
    std::fs::write(dir.path().join("gleaner.db"), golden).unwrap();
    let mut older = Other::start("older program", dir.path());
    older.hear();
    let pid = older.child.id();
    for access in [Access::Write, Access::WriteAlone] {
        let error = open(dir.path(), access).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Locked { pid: Some(pid) });
        let expected = match access {
            Access::Write => format!("another process (pid {pid}) uses"),
            _ => format!("another process (pid {pid}) writes to"),
        };
        assert!(error.to_string().contains(&expected), "{error}");
    }
    older.child.kill().unwrap();
    older.child.wait().unwrap();
    let store = open(dir.path(), Access::Write).unwrap();
    assert_eq!(store.pages(&PageFilter::default()).unwrap().len(), 2);
    open(dir.path(), Access::Write).unwrap();
}

#[test]
fn commits_are_heard_here_and_seen_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), Access::Write).unwrap();
    let second = open(dir.path(), Access::Write).unwrap();
    let reader = open(dir.path(), Access::Read).unwrap();
    let memory = Store::open_memory(Arc::new(SystemClock)).unwrap();
    let host = url("https://site.example/").host_key();

    let rung = Arc::new(AtomicU64::new(0));
    let ring = rung.clone();
    let listener = Arc::new(move || {
        ring.fetch_add(1, Ordering::SeqCst);
    });
    let listening = first.on_commit(listener.clone());
    // Fails without the noise of a panic.
    let failing = first.on_commit(Arc::new(|| std::panic::resume_unwind(Box::new(()))));
    for (store, heard) in [(&first, 1), (&second, 1), (&first, 2)] {
        store.save_robots(&host, 200, b"x").unwrap();
        assert_eq!(rung.load(Ordering::SeqCst), heard);
    }
    let unknown = first.add_active_ms(CrawlId(9), 1).unwrap_err();
    assert_eq!(unknown.kind(), StoreErrorKind::NotFound);
    assert_eq!(rung.load(Ordering::SeqCst), 2, "nothing was committed");
    drop(listening);
    drop(failing);
    first.save_robots(&host, 200, b"y").unwrap();
    assert_eq!(rung.load(Ordering::SeqCst), 2);

    let mut value = 0;
    for (writer, watcher) in [
        (&first, &first),
        (&second, &first),
        (&first, &reader),
        (&memory, &memory),
    ] {
        // SQLite writes nothing when a row stays what it is.
        value += 1;
        let value = value.to_string();
        let before = watcher.data_version().unwrap();
        assert_eq!(watcher.data_version().unwrap(), before);
        writer.save_robots(&host, 200, value.as_bytes()).unwrap();
        assert_ne!(watcher.data_version().unwrap(), before);
    }
    let only = memory.instance().to_owned();
    let names = [only, first.instance().to_owned()];
    assert_eq!(memory.lost_owners(&names), names[1..]);
}

#[test]
fn a_program_that_is_not_ours_is_named_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        busy_wait: Duration::from_millis(20),
        ..StoreOptions::default()
    };
    let clock = Arc::new(SystemClock);
    let store = Store::open(dir.path(), Access::Write, &options, clock).unwrap();
    let shell = rusqlite::Connection::open(dir.path().join("gleaner.db")).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let host = url("https://site.example/").host_key();
    let error = store.save_robots(&host, 200, b"x").unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked { pid: None });
    assert!(error.to_string().contains("another program"), "{error}");
    assert!(!error.to_string().contains("database is locked"), "{error}");
    assert!(std::error::Error::source(&error).is_none());
    shell.execute_batch("COMMIT").unwrap();
    store.save_robots(&host, 200, b"x").unwrap();
}
