//! Tenants and their keys.

use std::time::Duration;

use anyhow::Result;
use store::{ApiKeyRow, Scopes, Store, TenantRow};
use types::{ApiKeyId, TenantId, Timestamp};

use super::sources::NotFound;
use crate::app::UsageError;
use crate::keys::{self, ApiKey};
use crate::view::TenantView;

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
