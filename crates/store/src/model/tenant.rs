//! Tenants: who they are, what they may have, what they have and use.

use types::{TenantId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRow {
    pub id: TenantId,
    /// Unique.
    pub name: String,
    /// False: its keys open nothing.
    pub active: bool,
    pub created_at: Timestamp,
}

/// What a tenant may have; `None` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Live pages. A crawl skips new ones beyond it.
    pub pages_max: Option<u64>,
    /// Sources that were not removed.
    pub sources_max: Option<u64>,
    /// Not enforced here.
    pub requests_per_minute: Option<u32>,
    /// Of language models, in and out together, in a day in UTC.
    /// [`crate::Store::reserve_llm`] holds to it.
    pub tokens_per_day: Option<u64>,
    /// Tasks that run at a time, at least 1: the `running_max` of
    /// [`crate::Store::set_tenant_share`].
    pub tasks_running_max: Option<u32>,
}

/// What a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantStats {
    /// Pages ever stored and not deleted, those that are gone included.
    pub pages: u64,
    pub pages_live: u64,
    pub chunks: u64,
    /// Without removed ones.
    pub sources: u64,
    pub tasks_queued: u64,
    pub tasks_running: u64,
}

impl TenantStats {
    pub(crate) fn and(self, other: TenantStats) -> TenantStats {
        TenantStats {
            pages: self.pages + other.pages,
            pages_live: self.pages_live + other.pages_live,
            chunks: self.chunks + other.chunks,
            sources: self.sources + other.sources,
            tasks_queued: self.tasks_queued + other.tasks_queued,
            tasks_running: self.tasks_running + other.tasks_running,
        }
    }
}

/// A day in UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    const MS: i64 = 24 * 60 * 60 * 1000;

    #[must_use]
    pub fn of(time: Timestamp) -> Day {
        Day(time.0.div_euclid(Day::MS))
    }

    /// Its first moment.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(Day::MS))
    }
}

/// What is counted of a tenant's use, day by day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageMetric {
    Requests,
    TokensIn,
    TokensOut,
    /// Stored, new or changed.
    Pages,
    /// Received from sites.
    Bytes,
}

impl UsageMetric {
    pub const ALL: &'static [UsageMetric] = &[
        UsageMetric::Requests,
        UsageMetric::TokensIn,
        UsageMetric::TokensOut,
        UsageMetric::Pages,
        UsageMetric::Bytes,
    ];

    /// Stable code, as stored and as shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            UsageMetric::Requests => "requests",
            UsageMetric::TokensIn => "tokens_in",
            UsageMetric::TokensOut => "tokens_out",
            UsageMetric::Pages => "pages",
            UsageMetric::Bytes => "bytes",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<UsageMetric> {
        UsageMetric::ALL.iter().copied().find(|m| m.code() == code)
    }
}

/// Use to be added to what was counted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageDelta {
    pub tenant: TenantId,
    pub day: Day,
    pub metric: UsageMetric,
    pub amount: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRow {
    pub day: Day,
    pub metric: UsageMetric,
    pub amount: u64,
}
