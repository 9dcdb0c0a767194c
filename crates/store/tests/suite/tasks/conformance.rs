//! Every engine keeps the same rules.

use std::panic::{AssertUnwindSafe, catch_unwind};

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

/// The one entry: a new rule is one more line in `rules`.
pub(crate) fn exercise(make: &dyn Fn() -> Engine) {
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
fn the_engine_keeps_the_rules() {
    exercise(&Engine::new);
}
