//! Which discovered links become frontier rows.
//!
//! A link is made canonical, held against the scope, looked up in the set of
//! URLs this run has already passed on, and checked for crawler traps. The set
//! only saves the database work: its unique index decides.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError, RwLock};

use frontier::{Scope, ScopeVerdict, TrapGuard, TrapLimits, UrlPolicy};
use store::{FrontierKind, NewUrl};
use types::CanonicalUrl;

/// URLs remembered per run, 8 bytes each; past this the database alone dedupes.
const SEEN_MAX: usize = 2_000_000;

/// Redirects remembered per run; a run with more forgets the oldest chains.
const REDIRECTS_MAX: usize = 100_000;

/// What following a redirect would lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectVerdict {
    Follow,
    /// The target leads back here.
    Circle,
    /// The chain is longer than allowed.
    TooLong,
}

/// Links that were left out, by reason. They are not part of a crawl's
/// `found`, which counts URLs in scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub malformed: u64,
    pub out_of_scope: u64,
    pub too_deep: u64,
    pub traps: u64,
}

#[derive(Debug)]
pub struct Links {
    policy: UrlPolicy,
    scope: RwLock<Scope>,
    state: Mutex<State>,
    hasher: RandomState,
    redirects_max: u8,
}

#[derive(Debug)]
struct State {
    /// From URL hash to target hash.
    redirects: HashMap<u64, u64>,
    /// Redirects that led to a URL, by its hash.
    hops: HashMap<u64, u8>,
    seen: HashSet<u64>,
    traps: TrapGuard,
    left_out: LeftOut,
}

impl Links {
    pub fn new(policy: UrlPolicy, scope: Scope, redirects_max: u8) -> Links {
        let state = State {
            redirects: HashMap::new(),
            hops: HashMap::new(),
            seen: HashSet::new(),
            traps: TrapGuard::new(TrapLimits::default()),
            left_out: LeftOut::default(),
        };
        Links {
            policy,
            scope: RwLock::new(scope),
            state: Mutex::new(state),
            hasher: RandomState::new(),
            redirects_max,
        }
    }

    pub fn canonical(&self, input: &str) -> Option<CanonicalUrl> {
        self.policy.canonical(input).ok()
    }

    /// The links to queue, each at most once per run.
    pub fn admit<'a>(
        &self,
        links: impl Iterator<Item = &'a str>,
        kind: FrontierKind,
        depth: u32,
    ) -> Vec<NewUrl> {
        let mut left_out = LeftOut::default();
        let mut in_scope: Vec<(u64, CanonicalUrl)> = Vec::new();
        {
            let scope = self.scope.read().unwrap_or_else(PoisonError::into_inner);
            for link in links {
                let Ok(url) = self.policy.canonical(link) else {
                    left_out.malformed += 1;
                    continue;
                };
                match scope.verdict(&url, depth) {
                    ScopeVerdict::In => {
                        in_scope.push((self.hasher.hash_one(url.as_str()), url));
                    }
                    ScopeVerdict::TooDeep => left_out.too_deep += 1,
                    _ => left_out.out_of_scope += 1,
                }
            }
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut admitted = Vec::new();
        for (hash, url) in in_scope {
            if state.seen.contains(&hash) {
                continue;
            }
            if state.traps.check(&url, depth).is_some() {
                left_out.traps += 1;
                continue;
            }
            if state.seen.len() < SEEN_MAX {
                state.seen.insert(hash);
            }
            admitted.push(NewUrl { url, kind, depth });
        }
        state.left_out.malformed += left_out.malformed;
        state.left_out.out_of_scope += left_out.out_of_scope;
        state.left_out.too_deep += left_out.too_deep;
        state.left_out.traps += left_out.traps;
        admitted
    }

    /// A seed redirected here: its target is a seed too.
    pub fn add_seed(&self, seed: &CanonicalUrl) {
        self.scope
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .add_seed(seed);
    }

    /// Records that `from` redirects to `to` and says whether to follow.
    pub fn redirect(&self, from: &CanonicalUrl, to: &CanonicalUrl) -> RedirectVerdict {
        let (from, to) = (
            self.hasher.hash_one(from.as_str()),
            self.hasher.hash_one(to.as_str()),
        );
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.redirects.len() >= REDIRECTS_MAX {
            state.redirects.clear();
            state.hops.clear();
        }
        let mut next = to;
        for _ in 0..self.redirects_max {
            if next == from {
                return RedirectVerdict::Circle;
            }
            match state.redirects.get(&next) {
                Some(target) => next = *target,
                None => break,
            }
        }
        let hops = state
            .hops
            .get(&from)
            .map_or(1, |hops| hops.saturating_add(1));
        state.redirects.insert(from, to);
        state.hops.insert(to, hops);
        if hops > self.redirects_max {
            RedirectVerdict::TooLong
        } else {
            RedirectVerdict::Follow
        }
    }

    pub fn left_out(&self) -> LeftOut {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .left_out
    }
}
