//! What a cached value is found by, and what is invalidated together.

use std::fmt;

/// Whose value it is and which one. Two keys that differ in any part never
/// share a value, in memory and on disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey {
    pub(crate) area: &'static str,
    pub(crate) scope: u64,
    pub(crate) name: [u8; 32],
}

impl CacheKey {
    /// `area`: what kind of value, a short constant. `scope`: whose, usually a
    /// tenant. `name`: everything the value depends on; only its hash is kept.
    #[must_use]
    pub fn new(area: &'static str, scope: u64, name: impl AsRef<[u8]>) -> CacheKey {
        CacheKey::from_hash(area, scope, blake3::hash(name.as_ref()).into())
    }

    /// As [`CacheKey::new`], for callers that hash several parts themselves.
    #[must_use]
    pub fn from_hash(area: &'static str, scope: u64, name: [u8; 32]) -> CacheKey {
        CacheKey { area, scope, name }
    }

    #[must_use]
    pub fn area(&self) -> &'static str {
        self.area
    }
}

/// Names neither scope nor value: logs are read by more people than data.
impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheKey")
            .field("area", &self.area)
            .finish_non_exhaustive()
    }
}

/// What an invalidation is about; `None` means every.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) area: Option<Box<str>>,
    pub(crate) scope: Option<u64>,
}

impl Target {
    pub(crate) fn new(area: Option<&str>, scope: Option<u64>) -> Target {
        Target {
            area: area.map(Box::from),
            scope,
        }
    }

    pub(crate) fn includes(&self, key: &CacheKey) -> bool {
        self.area.as_deref().is_none_or(|area| area == key.area)
            && self.scope.is_none_or(|scope| scope == key.scope)
    }
}
