//! Tenants and their keys.

use std::time::Duration;

use anyhow::Result;
use store::{ApiKeyRow, Quota, Scopes, Store, TenantRow};
use types::{ApiKeyId, TenantId, Timestamp};

use super::sources::NotFound;
use crate::app::UsageError;
use crate::keys::{self, ApiKey};
use crate::view::{QuotaView, TenantView};

pub fn find(store: &Store, id: TenantId) -> Result<TenantRow> {
    let tenant = store.tenant(id)?;
    tenant.ok_or_else(|| NotFound(format!("there is no tenant {id}")).into())
}

/// By name, or by number.
pub fn named(store: &Store, name: &str) -> Result<TenantRow> {
    if let Some(tenant) = store.tenant_by_name(name)? {
        return Ok(tenant);
    }
    let by_id = name.parse().ok().map(|id| store.tenant(TenantId(id)));
    let tenant = by_id.transpose()?.flatten();
    tenant.ok_or_else(|| {
        NotFound(format!(
            "there is no tenant `{name}`; see `gleaner tenant list`"
        ))
        .into()
    })
}

pub fn view(store: &Store, tenant: &TenantRow) -> Result<TenantView> {
    let (quota, stats) = (store.quota(tenant.id)?, store.tenant_stats(tenant.id)?);
    Ok(TenantView::new(tenant, quota, stats))
}

/// Largest quota of things, and of requests and tasks.
const THINGS_MAX: u64 = 1_000_000_000_000;
const RATE_MAX: u32 = 1_000_000;

/// Sets what the tenant may have from now on.
pub fn set_quota(store: &Store, tenant: TenantId, quota: QuotaView) -> Result<()> {
    store.set_quota(tenant, check_quota(quota)?)?;
    Ok(())
}

/// Creates a tenant that may have `quota`.
pub fn create(store: &Store, name: &str, quota: QuotaView) -> Result<TenantRow> {
    let quota = check_quota(quota)?;
    let tenant = store.create_tenant(name)?;
    store.set_quota(tenant.id, quota)?;
    Ok(tenant)
}

fn check_quota(quota: QuotaView) -> Result<Quota> {
    for (name, number) in [
        ("pages_max", quota.pages_max),
        ("sources_max", quota.sources_max),
        ("tokens_per_day", quota.tokens_per_day),
    ] {
        if number.is_some_and(|number| number > THINGS_MAX) {
            return Err(UsageError(format!("{name} is at most {THINGS_MAX}")).into());
        }
    }
    for (name, number) in [
        ("requests_per_minute", quota.requests_per_minute),
        ("tasks_running_max", quota.tasks_running_max),
    ] {
        if number.is_some_and(|number| !(1..=RATE_MAX).contains(&number)) {
            return Err(UsageError(format!("{name} is 1 to {RATE_MAX}")).into());
        }
    }
    Ok(quota.into())
}

pub fn scope(text: &str) -> Result<Scopes> {
    Scopes::from_code(text)
        .ok_or_else(|| UsageError(format!("a scope is read, write or admin, not `{text}`")).into())
}

pub fn create_key(
    store: &Store,
    tenant: TenantId,
    name: &str,
    scopes: Scopes,
    valid_for: Option<Duration>,
    now: Timestamp,
) -> Result<(ApiKey, ApiKeyRow)> {
    let expires_at = valid_for.map(|time| now.plus(time));
    keys::create(store, tenant, name, scopes, expires_at)
}

pub fn rotate_key(
    store: &Store,
    tenant: TenantId,
    id: ApiKeyId,
    old_valid_for: Duration,
    now: Timestamp,
) -> Result<(ApiKey, ApiKeyRow)> {
    keys::rotate(store, tenant, id, now.plus(old_valid_for))
}
