//! Bounds endless spaces of URLs: calendars, facets, session ids, growing paths.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use types::CanonicalUrl;

use crate::trap_shape::{Extent, Shape, hash};

/// Years by which calendars in use lag behind the Gregorian one or lead it:
/// Jalali, Hijri (which gains a year in 33, hence both ends), Buddhist.
const CALENDAR_OFFSETS: [i32; 5] = [0, -621, -583, -578, 543];

/// Variants with two parameters are allowed this many times more often than
/// those with three: `?lang=en&word=…` is a dictionary, not a facet.
const TWO_PARAM_FACTOR: u32 = 10;

/// A token parameter is a session id when it sits on at least this many paths …
const SESSION_PATHS_MIN: usize = 20;
/// … with at least this many tokens per path; content has about one.
const SESSION_TOKENS_PER_PATH: usize = 4;
/// Paths remembered per token parameter.
const SESSION_PATHS_MAX: usize = 1000;
/// Token parameters remembered.
const TOKEN_PARAMS_MAX: usize = 1000;

/// Limits of a [`TrapGuard`], per crawl. All are generous: what a person would
/// call content of a site of 100,000 pages passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapLimits {
    pub path_segments_max: usize,
    /// How often one segment may occur in a path (`/a/b/a/b/a/b` has two thrice).
    pub repeated_segments_max: usize,
    pub query_params_max: usize,
    /// Query variants of one path with three parameters or more, not counting
    /// variants that differ only in numeric ids or random tokens. Ten times as
    /// many with two parameters; those with one are bounded as numeric variants.
    pub variants_per_path_max: u32,
    /// URLs that are equal once digits are folded, and variants of a path with
    /// one parameter.
    pub numeric_variants_max: u32,
    /// Months or days of one calendar.
    pub calendar_variants_max: u32,
    /// First and last year of calendars that are followed, in Gregorian years
    /// (Jalali, Hijri and Buddhist years are understood).
    pub calendar_years: (u16, u16),
    /// Links away from a seed at which URLs with digits or a query stop: ends
    /// "next page" chains that never end.
    pub chain_depth_max: u32,
    /// URLs remembered so that seeing one again does not count again. 9 to 18
    /// bytes each.
    pub urls_tracked_max: usize,
    /// Shapes counted. About 20 bytes each.
    pub shapes_tracked_max: usize,
}

impl Default for TrapLimits {
    fn default() -> TrapLimits {
        TrapLimits {
            // Heritrix' long-standing default is 20; documentation trees get close.
            path_segments_max: 24,
            repeated_segments_max: 3,
            query_params_max: 20,
            variants_per_path_max: 2_000,
            numeric_variants_max: 250_000,
            // 27 years of days.
            calendar_variants_max: 10_000,
            calendar_years: (1900, 2050),
            chain_depth_max: 10_000,
            urls_tracked_max: 1_000_000,
            shapes_tracked_max: 500_000,
        }
    }
}

/// Which endless space a URL belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrapReason {
    PathSegments,
    RepeatedSegments,
    QueryParams,
    QueryVariants,
    NumericVariants,
    Calendar,
    SessionIds,
    ChainDepth,
}

impl TrapReason {
    /// Stable code for reports.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            TrapReason::PathSegments => "path_segments",
            TrapReason::RepeatedSegments => "repeated_segments",
            TrapReason::QueryParams => "query_params",
            TrapReason::QueryVariants => "query_variants",
            TrapReason::NumericVariants => "numeric_variants",
            TrapReason::Calendar => "calendar",
            TrapReason::SessionIds => "session_ids",
            TrapReason::ChainDepth => "chain_depth",
        }
    }
}

impl fmt::Display for TrapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Tells traps from content by how many variants of a shape were seen.
///
/// Verdicts depend only on the limits and the URLs checked before. A URL that
/// was admitted stays admitted and counts once, however often and at whatever
/// depth it is checked. After a restart, checking the crawl's URLs again in the
/// same order rebuilds the same state; starting empty instead is safe, it only
/// begins counting anew.
///
/// Memory is bounded by `urls_tracked_max` and `shapes_tracked_max`: past them
/// the URLs longest ago are forgotten (they may count again), and the shapes
/// with the fewest URLs (they start at zero).
#[derive(Debug)]
pub struct TrapGuard {
    limits: TrapLimits,
    admitted: RecentSet,
    counts: HashMap<u64, u32, PassThrough>,
    token_params: HashMap<u64, TokenParam, PassThrough>,
    scratch: Vec<u8>,
}

/// A query parameter that carries random tokens.
#[derive(Debug, Default)]
struct TokenParam {
    urls: usize,
    paths: HashSet<u64, PassThrough>,
}

impl TokenParam {
    fn is_session(&self) -> bool {
        self.paths.len() >= SESSION_PATHS_MIN
            && self.urls >= self.paths.len() * SESSION_TOKENS_PER_PATH
    }
}

/// The counters a URL falls into, with their limits.
type Counted = [Option<(u64, u32, TrapReason)>; 3];

impl TrapGuard {
    #[must_use]
    pub fn new(limits: TrapLimits) -> TrapGuard {
        TrapGuard {
            admitted: RecentSet::new(limits.urls_tracked_max),
            limits,
            counts: HashMap::default(),
            token_params: HashMap::default(),
            scratch: Vec::new(),
        }
    }

    /// Is this URL, found `depth` links away from a seed, part of a trap?
    /// `None` admits and counts it.
    pub fn check(&mut self, url: &CanonicalUrl, depth: u32) -> Option<TrapReason> {
        let extent = Extent::of(url);
        if let Some(reason) = self.too_long(&extent) {
            return Some(reason);
        }
        if !extent.is_dynamic {
            // Made of words alone: generated spaces hardly ever are, and depth
            // and page limits of the crawl still hold.
            return None;
        }
        let url_hash = hash(&url.as_str());
        if self.admitted.contains(url_hash) {
            return None;
        }
        let shape = Shape::of(url, &mut self.scratch);
        if depth > self.limits.chain_depth_max {
            return Some(TrapReason::ChainDepth);
        }
        if shape.calendar_year.is_some_and(|year| !self.is_near(year)) {
            return Some(TrapReason::Calendar);
        }
        if self.is_session(&shape) {
            return Some(TrapReason::SessionIds);
        }
        let counted = self.counted(&shape, &extent);
        let full = counted
            .iter()
            .flatten()
            .find(|(key, limit, _)| self.counts.get(key).copied().unwrap_or(0) >= *limit);
        if let Some((_, _, reason)) = full {
            return Some(*reason);
        }
        self.admitted.insert(url_hash);
        self.count(&shape, &counted);
        None
    }

    fn too_long(&self, extent: &Extent) -> Option<TrapReason> {
        if extent.path_segments > self.limits.path_segments_max {
            Some(TrapReason::PathSegments)
        } else if extent.repeated_segments > self.limits.repeated_segments_max {
            Some(TrapReason::RepeatedSegments)
        } else if extent.query_params > self.limits.query_params_max {
            Some(TrapReason::QueryParams)
        } else {
            None
        }
    }

    fn is_near(&self, year: u16) -> bool {
        let (first, last) = self.limits.calendar_years;
        CALENDAR_OFFSETS.iter().any(|offset| {
            (i32::from(first) + offset..=i32::from(last) + offset).contains(&i32::from(year))
        })
    }

    fn is_session(&self, shape: &Shape) -> bool {
        let param = shape
            .token_param
            .and_then(|key| self.token_params.get(&key));
        param.is_some_and(TokenParam::is_session)
    }

    fn counted(&self, shape: &Shape, extent: &Extent) -> Counted {
        let limits = &self.limits;
        let numeric = shape.digits_folded.map(|key| match shape.calendar_year {
            Some(_) => (
                hash(&("calendar", key)),
                limits.calendar_variants_max,
                TrapReason::Calendar,
            ),
            None => (
                hash(&("numeric", key)),
                limits.numeric_variants_max,
                TrapReason::NumericVariants,
            ),
        });
        // Variants that fold to the same facets are one; it is counted when the
        // first of them comes.
        let new_facets = shape
            .facets
            .is_some_and(|facets| !self.counts.contains_key(&hash(&("facets", facets))));
        let variants = shape.path.filter(|_| new_facets).map(|path| {
            let limit = match extent.query_params {
                0 | 1 => limits.numeric_variants_max,
                2 => limits
                    .variants_per_path_max
                    .saturating_mul(TWO_PARAM_FACTOR),
                _ => limits.variants_per_path_max,
            };
            let class = extent.query_params.min(3);
            (
                hash(&("variants", class, path)),
                limit,
                TrapReason::QueryVariants,
            )
        });
        let facets = shape.facets.map(|facets| {
            (
                hash(&("facets", facets)),
                u32::MAX,
                TrapReason::QueryVariants,
            )
        });
        [variants, numeric, facets]
    }

    fn count(&mut self, shape: &Shape, counted: &Counted) {
        for (key, _, _) in counted.iter().flatten() {
            let count = self.counts.entry(*key).or_insert(0);
            *count = count.saturating_add(1);
        }
        if self.counts.len() > self.limits.shapes_tracked_max {
            self.forget_rare_shapes();
        }
        if let (Some(key), Some(path)) = (shape.token_param, shape.path) {
            let known = self.token_params.contains_key(&key);
            if known || self.token_params.len() < TOKEN_PARAMS_MAX {
                let param = self.token_params.entry(key).or_default();
                if param.paths.contains(&path) || param.paths.len() < SESSION_PATHS_MAX {
                    param.paths.insert(path);
                    param.urls += 1;
                }
            }
        }
    }

    /// Halves the counters, keeping the large ones: traps are large, and there
    /// are few of them.
    fn forget_rare_shapes(&mut self) {
        let keep_max = self.limits.shapes_tracked_max / 2;
        let mut rare = 1;
        while self.counts.len() > keep_max {
            self.counts.retain(|_, count| *count > rare);
            rare *= 2;
        }
    }
}

/// The last so many hashes, roughly: two generations, the older one dropped
/// when the younger is full.
#[derive(Debug)]
struct RecentSet {
    generation_max: usize,
    young: HashSet<u64, PassThrough>,
    old: HashSet<u64, PassThrough>,
}

impl RecentSet {
    fn new(entries_max: usize) -> RecentSet {
        RecentSet {
            generation_max: (entries_max / 2).max(1),
            young: HashSet::default(),
            old: HashSet::default(),
        }
    }

    /// Also keeps the hash from being forgotten: what is still linked to stays.
    fn contains(&mut self, hash: u64) -> bool {
        if self.young.contains(&hash) {
            return true;
        }
        let found = self.old.contains(&hash);
        if found {
            self.insert(hash);
        }
        found
    }

    fn insert(&mut self, hash: u64) {
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash);
    }
}

/// The keys are hashes already.
type PassThrough = BuildHasherDefault<HashOfHash>;

#[derive(Debug, Default)]
struct HashOfHash(u64);

impl Hasher for HashOfHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
