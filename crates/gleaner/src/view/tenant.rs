//! Tenants, their keys and what they may have.

use serde::{Deserialize, Serialize};
use store::{ApiKeyRow, Quota, TenantRow, TenantStats, UsageRow};
use utoipa::ToSchema;

use super::rfc3339;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TenantView {
    pub id: i64,
    pub name: String,
    /// False: its keys open nothing.
    pub active: bool,
    #[schema(format = DateTime)]
    pub created_at: String,
    pub quota: QuotaView,
    pub has: TenantHas,
}

/// What a tenant may have; null means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaView {
    /// Live pages; crawls skip new ones beyond it.
    #[schema(maximum = 1_000_000_000_000_u64)]
    pub pages_max: Option<u64>,
    #[schema(maximum = 1_000_000_000_000_u64)]
    pub sources_max: Option<u64>,
    /// Of each key.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub requests_per_minute: Option<u32>,
    #[schema(maximum = 1_000_000_000_000_u64)]
    pub tokens_per_day: Option<u64>,
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub tasks_running_max: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TenantHas {
    pub sources: u64,
    pub pages_live: u64,
    pub pages: u64,
    pub chunks: u64,
    pub tasks_queued: u64,
    pub tasks_running: u64,
}

impl TenantView {
    pub fn new(tenant: &TenantRow, quota: Quota, stats: TenantStats) -> TenantView {
        TenantView {
            id: tenant.id.0,
            name: tenant.name.clone(),
            active: tenant.active,
            created_at: rfc3339(tenant.created_at),
            quota: QuotaView {
                pages_max: quota.pages_max,
                sources_max: quota.sources_max,
                requests_per_minute: quota.requests_per_minute,
                tokens_per_day: quota.tokens_per_day,
                tasks_running_max: quota.tasks_running_max,
            },
            has: TenantHas {
                sources: stats.sources,
                pages_live: stats.pages_live,
                pages: stats.pages,
                chunks: stats.chunks,
                tasks_queued: stats.tasks_queued,
                tasks_running: stats.tasks_running,
            },
        }
    }
}

impl From<QuotaView> for Quota {
    fn from(view: QuotaView) -> Quota {
        Quota {
            pages_max: view.pages_max,
            sources_max: view.sources_max,
            requests_per_minute: view.requests_per_minute,
            tokens_per_day: view.tokens_per_day,
            tasks_running_max: view.tasks_running_max,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeyView {
    pub id: i64,
    pub name: String,
    /// What it begins with; the rest is known to its owner alone.
    pub prefix: String,
    /// `read`, `write` or `admin`; each includes the ones before.
    pub scope: &'static str,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    #[schema(format = DateTime)]
    pub revoked_at: Option<String>,
    /// Within about ten seconds.
    #[schema(format = DateTime)]
    pub last_used_at: Option<String>,
}

impl KeyView {
    pub fn new(key: &ApiKeyRow) -> KeyView {
        KeyView {
            id: key.id.0,
            name: key.name.clone(),
            prefix: key.prefix.clone(),
            scope: key.scopes.code(),
            created_at: rfc3339(key.created_at),
            expires_at: key.expires_at.map(rfc3339),
            revoked_at: key.revoked_at.map(rfc3339),
            last_used_at: key.last_used_at.map(rfc3339),
        }
    }
}

/// A new key. This is the only time that it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyCreated {
    /// Send it as `Authorization: Bearer …`.
    pub api_key: String,
    pub key: KeyView,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageView {
    /// In UTC.
    #[schema(format = Date)]
    pub day: String,
    /// `requests`, `tokens_in`, `tokens_out`, `pages` or `bytes`.
    pub metric: &'static str,
    pub amount: u64,
}

impl UsageView {
    pub fn new(usage: &UsageRow) -> UsageView {
        let day = rfc3339(usage.day.start());
        UsageView {
            day: day.get(..10).unwrap_or(&day).to_owned(),
            metric: usage.metric.code(),
            amount: usage.amount,
        }
    }
}
