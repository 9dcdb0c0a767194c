//! A cache that cannot use its file says so once, and works.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};
use std::time::Duration;

use guard::{CacheOptions, DiskState};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::{Place, check, key, put};

/// The warnings of all threads and tests; each names the file it is about.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Before the first warning of the process: whether anybody listens is decided
/// where a warning is, once.
pub(crate) fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        tracing::subscriber::set_global_default(Listener).expect("nobody else listens");
    });
}

/// Warnings with all of these words.
pub(crate) fn count(words: &[&str]) -> usize {
    let all = WARNINGS.lock().expect("no panic");
    let with_all = |line: &&String| words.iter().all(|word| line.contains(word));
    all.iter().filter(with_all).count()
}

fn warnings_about(path: &Path) -> Vec<String> {
    let path = path.display().to_string();
    let all = WARNINGS.lock().expect("no panic");
    all.iter()
        .filter(|line| line.contains(&path))
        .cloned()
        .collect()
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        WARNINGS.lock().expect("no panic").push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

/// Opens a cache at `path`, uses it, and gives the new warnings and its state.
fn use_cache_at(place: &Place, path: PathBuf) -> (Vec<String>, DiskState) {
    let before = warnings_about(&path).len();
    let options = CacheOptions {
        disk_path: Some(path.clone()),
        ..CacheOptions::default()
    };
    let cache = place.open_with(&options);
    for name in ["a", "b", "c"] {
        put(&cache, &key("search", 1, name), "value");
        cache.flush();
        check(&cache, &key("search", 1, name), Some("value"));
        check(&cache, &key("search", 2, name), None);
    }
    cache.invalidate("search", 1);
    check(&cache, &key("search", 1, "a"), None);
    put(&cache, &key("search", 1, "a"), "new");
    check(&cache, &key("search", 1, "a"), Some("new"));
    assert_eq!(cache.clear(None, None), 1);
    let state = cache.stats().disk_state;
    drop(cache);
    (warnings_about(&path).split_off(before), state)
}

#[track_caller]
fn check_one_warning(warnings: &[String], words: &str) {
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(words), "{warnings:?}");
}

#[test]
fn all_is_well_and_nothing_is_said() {
    let place = Place::new();
    assert_eq!(use_cache_at(&place, place.path()), (vec![], DiskState::On));
}

#[test]
fn a_folder_that_cannot_be() {
    let place = Place::new();
    let file = place.folder.path().join("file");
    std::fs::write(&file, "in the way").expect("a file");
    let (warnings, state) = use_cache_at(&place, file.join("cache.db"));
    assert_eq!(state, DiskState::Failed);
    check_one_warning(&warnings, "memory does alone");
}

#[test]
fn a_path_that_is_a_folder() {
    let place = Place::new();
    std::fs::create_dir(place.path()).expect("a folder");
    let (warnings, state) = use_cache_at(&place, place.path());
    assert_eq!(state, DiskState::Failed);
    check_one_warning(&warnings, "memory does alone");
}

#[test]
fn a_folder_that_allows_no_writing() {
    let place = Place::new();
    // Linux lets nobody write here, whoever asks.
    let (warnings, state) = use_cache_at(&place, PathBuf::from("/proc/cache.db"));
    assert_eq!(state, DiskState::Failed);
    check_one_warning(&warnings, "memory does alone");
}

#[test]
fn a_damaged_file_is_set_aside() {
    let place = Place::new();
    let garbage = "this is no database ".repeat(1000);
    std::fs::write(place.path(), &garbage).expect("a file");
    let (warnings, state) = use_cache_at(&place, place.path());
    assert_eq!(state, DiskState::On);
    check_one_warning(&warnings, "set aside");
    let aside = place.folder.path().join("cache.db.damaged");
    assert_eq!(std::fs::read_to_string(aside).expect("kept"), garbage);
}

#[test]
fn a_file_cut_short_is_set_aside() {
    let place = Place::new();
    let cache = place.open();
    for number in 0..100 {
        put(
            &cache,
            &key("a", 1, &number.to_string()),
            &"value".repeat(2000),
        );
    }
    drop(cache);
    let file = std::fs::read(place.path()).expect("the file");
    std::fs::write(place.path(), &file[..9000]).expect("the file");
    let (warnings, _) = use_cache_at(&place, place.path());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(use_cache_at(&place, place.path()), (vec![], DiskState::On));
}

#[test]
fn a_database_of_something_else_is_left_alone() {
    let place = Place::new();
    let other = place.sqlite();
    other
        .execute_batch("CREATE TABLE page (url TEXT); INSERT INTO page VALUES ('a')")
        .expect("a database");
    drop(other);
    let before = std::fs::read(place.path()).expect("the file");
    let (warnings, state) = use_cache_at(&place, place.path());
    assert_eq!(state, DiskState::Failed);
    check_one_warning(&warnings, "something else");
    assert_eq!(std::fs::read(place.path()).expect("the file"), before);
}

#[test]
fn what_goes_wrong_later_is_said_once_too() {
    let place = Place::new();
    let cache = place.open();
    put(&cache, &key("a", 1, "x"), "value");
    cache.flush();
    std::fs::remove_file(place.path()).expect("removed");
    place.clock.advance(Duration::from_secs(1));
    for name in ["x", "y", "z"] {
        put(&cache, &key("a", 1, name), "value");
        cache.flush();
        cache.invalidate("a", 1);
        check(&cache, &key("a", 1, name), None);
        place.clock.advance(Duration::from_secs(1));
    }
    drop(cache);
    check_one_warning(&warnings_about(&place.path()), "removed or replaced");
}
