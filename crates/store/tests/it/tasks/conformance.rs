//! Every engine keeps the same rules.

use std::panic::{AssertUnwindSafe, catch_unwind};

use store::{Access, Store, StoreOptions, Synchronous};

use super::{Engine, rules};

/// Runs rules, each on an engine of its own.
pub(crate) struct Rules<'m> {
    make: &'m dyn Fn() -> Engine,
    broken: Vec<&'static str>,
    kept: usize,
}

impl Rules<'_> {
    pub(crate) fn rule(&mut self, name: &'static str, check: impl FnOnce(&Engine)) {
        let engine = (self.make)();
        match catch_unwind(AssertUnwindSafe(|| check(&engine))) {
            Ok(()) => self.kept += 1,
            Err(_) => self.broken.push(name),
        }
    }
}

/// The one entry: a new engine is one more call, a new rule one more line in `rules`.
fn exercise(make: &dyn Fn() -> Engine) {
    let mut all = Rules {
        make,
        broken: Vec::new(),
        kept: 0,
    };
    rules::all(&mut all);
    assert!(all.broken.is_empty(), "broken: {:#?}", all.broken);
    assert!(all.kept > 0);
}

#[test]
fn sqlite_in_memory_keeps_the_rules() {
    exercise(&Engine::memory);
}

#[test]
fn sqlite_on_disk_keeps_the_rules() {
    exercise(&|| {
        let dir = tempfile::tempdir().unwrap();
        let clock = crate::support::clock();
        let options = StoreOptions {
            synchronous: Synchronous::Normal,
            ..StoreOptions::default()
        };
        let store = Store::open(dir.path(), Access::Write, &options, clock.clone());
        Engine {
            store: store.unwrap(),
            clock,
            _dir: Some(dir),
        }
    });
}
