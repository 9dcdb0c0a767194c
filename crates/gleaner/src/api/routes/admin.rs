//! Tenants, their keys, quotas and usage.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{Day, Scopes};
use types::{ApiKeyId, TenantId};
use utoipa::{IntoParams, ToSchema};

use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::{Body, Path, Query, object};
use crate::api::state::Api;
use crate::operations::tenants as operations;
use crate::view::{KeyCreated, KeyView, QuotaView, TenantView, UsageView};

const VALID_S_MAX: u64 = 316_224_000;
const DAYS_MAX: u32 = 366;

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopeInput {
    Read,
    Write,
    Admin,
}

impl ScopeInput {
    fn code(self) -> &'static str {
        match self {
            ScopeInput::Read => "read",
            ScopeInput::Write => "write",
            ScopeInput::Admin => "admin",
        }
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    pub scope: ScopeInput,
    /// It expires so long from now; never unless given.
    #[schema(minimum = 1, maximum = 316_224_000)]
    pub valid_s: Option<u64>,
    /// Of another tenant: for an admin of the default one.
    pub tenant: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TenantParam {
    /// Of another tenant: for an admin of the default one.
    pub tenant: Option<i64>,
}

/// The tenant that is meant, if the caller may speak for it.
fn tenant_of(caller: Caller, other: Option<i64>) -> Result<TenantId, ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    match other.map(TenantId) {
        Some(other) if other != caller.tenant => {
            caller.must_run_the_service()?;
            Ok(other)
        }
        _ => Ok(caller.tenant),
    }
}

fn valid_for(seconds: Option<u64>) -> Result<Option<Duration>, ApiError> {
    match seconds {
        Some(seconds) if !(1..=VALID_S_MAX).contains(&seconds) => Err(ApiError::invalid(format!(
            "a key is valid for 1 s to {VALID_S_MAX} s, not {seconds}"
        ))),
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyList {
    pub keys: Vec<KeyView>,
}

/// List API keys
#[utoipa::path(get, path = "/api/v2/admin/keys", tag = "admin", params(TenantParam),
    responses((status = 200, body = KeyList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn keys(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<TenantParam>,
) -> Result<Json<KeyList>, ApiError> {
    let tenant = tenant_of(caller, params.tenant)?;
    api.run(move |api| {
        let keys = api.services.store.api_keys(tenant)?;
        let keys = keys.iter().map(KeyView::new).collect();
        Ok(Json(KeyList { keys }))
    })
    .await
}

/// Create an API key
///
/// The answer is the only time that the key is shown.
#[utoipa::path(post, path = "/api/v2/admin/keys", tag = "admin", request_body = KeyInput,
    responses((status = 201, body = KeyCreated), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn create_key(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<KeyInput>,
) -> Result<(StatusCode, Json<KeyCreated>), ApiError> {
    let tenant = tenant_of(caller, input.tenant)?;
    let valid_for = valid_for(input.valid_s)?;
    api.run(move |api| {
        let (store, now) = (&api.services.store, api.services.app.clock.now());
        let scopes = operations::scope(input.scope.code())?;
        let (key, row) =
            operations::create_key(store, tenant, &input.name, scopes, valid_for, now)?;
        let created = KeyCreated {
            api_key: key.reveal().to_owned(),
            key: KeyView::new(&row),
        };
        api.keys.forget();
        Ok((StatusCode::CREATED, Json(created)))
    })
    .await
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyRevoked {
    pub id: i64,
    /// False: it was revoked before.
    pub revoked: bool,
}

/// Revoke an API key
///
/// Other processes hear of it within five seconds.
#[utoipa::path(delete, path = "/api/v2/admin/keys/{id}", tag = "admin", params(("id" = i64, Path), TenantParam),
    responses((status = 200, body = KeyRevoked), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn revoke_key(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(params): Query<TenantParam>,
) -> Result<Json<KeyRevoked>, ApiError> {
    let tenant = tenant_of(caller, params.tenant)?;
    api.run(move |api| {
        let revoked = api.services.store.revoke_api_key(tenant, ApiKeyId(id))?;
        api.keys.forget();
        Ok(Json(KeyRevoked { id, revoked }))
    })
    .await
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RotateInput {
    /// The old key works so long from now, for whoever still has it.
    #[schema(maximum = 316_224_000)]
    pub old_valid_s: u64,
}

/// Replace an API key by a new one of the same name and scope
#[utoipa::path(post, path = "/api/v2/admin/keys/{id}/rotate", tag = "admin", params(("id" = i64, Path), TenantParam), request_body = RotateInput,
    responses((status = 201, body = KeyCreated), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn rotate_key(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(params): Query<TenantParam>,
    Body(input): Body<RotateInput>,
) -> Result<(StatusCode, Json<KeyCreated>), ApiError> {
    let tenant = tenant_of(caller, params.tenant)?;
    if input.old_valid_s > VALID_S_MAX {
        let message = format!("old_valid_s is at most {VALID_S_MAX}");
        return Err(ApiError::invalid(message));
    }
    api.run(move |api| {
        let (store, now) = (&api.services.store, api.services.app.clock.now());
        let old = Duration::from_secs(input.old_valid_s);
        let (key, row) = operations::rotate_key(store, tenant, ApiKeyId(id), old, now)?;
        api.keys.forget();
        let created = KeyCreated {
            api_key: key.reveal().to_owned(),
            key: KeyView::new(&row),
        };
        Ok((StatusCode::CREATED, Json(created)))
    })
    .await
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TenantList {
    pub tenants: Vec<TenantView>,
}

/// List tenants
#[utoipa::path(get, path = "/api/v2/admin/tenants", tag = "admin",
    responses((status = 200, body = TenantList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn tenants(State(api): State<Api>, caller: Caller) -> Result<Json<TenantList>, ApiError> {
    caller.must_run_the_service()?;
    api.run(|api| {
        let store = &api.services.store;
        let tenants = store.tenants()?;
        let tenants = tenants
            .iter()
            .map(|tenant| operations::view(store, tenant))
            .collect::<anyhow::Result<_>>()?;
        Ok(Json(TenantList { tenants }))
    })
    .await
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantInput {
    /// Small letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9-]{1,64}$")]
    pub name: String,
    #[serde(default)]
    #[serde(deserialize_with = "object")]
    pub quota: QuotaView,
}

/// Create a tenant
#[utoipa::path(post, path = "/api/v2/admin/tenants", tag = "admin", request_body = TenantInput,
    responses((status = 201, body = TenantView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn create_tenant(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<TenantInput>,
) -> Result<(StatusCode, Json<TenantView>), ApiError> {
    caller.must_run_the_service()?;
    api.run(move |api| {
        let store = &api.services.store;
        let tenant = operations::create(store, &input.name, input.quota)?;
        Ok((StatusCode::CREATED, Json(operations::view(store, &tenant)?)))
    })
    .await
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    /// False: its keys open nothing.
    pub active: Option<bool>,
    /// Replaces all of its limits.
    #[serde(default, deserialize_with = "object")]
    pub quota: Option<QuotaView>,
}

/// Change a tenant
#[utoipa::path(patch, path = "/api/v2/admin/tenants/{id}", tag = "admin", params(("id" = i64, Path)), request_body = TenantPatch,
    responses((status = 200, body = TenantView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn edit_tenant(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Body(patch): Body<TenantPatch>,
) -> Result<Json<TenantView>, ApiError> {
    caller.must_run_the_service()?;
    api.run(move |api| {
        let store = &api.services.store;
        let tenant = operations::find(store, TenantId(id))?;
        if let Some(active) = patch.active {
            store.set_tenant_active(tenant.id, active)?;
        }
        if let Some(quota) = patch.quota {
            operations::set_quota(store, tenant.id, quota)?;
        }
        api.keys.forget();
        let tenant = operations::find(store, tenant.id)?;
        Ok(Json(operations::view(store, &tenant)?))
    })
    .await
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UsageParams {
    /// Of another tenant: for an admin of the default one.
    pub tenant: Option<i64>,
    /// Of the last so many days, today included; 30 unless given.
    #[param(minimum = 1, maximum = 366)]
    pub days: Option<u32>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UsageList {
    /// Whose use this is, with what it has and what it may have.
    pub tenant: TenantView,
    /// Days without any use are left out.
    pub usage: Vec<UsageView>,
}

/// Show what a tenant has used, day by day
#[utoipa::path(get, path = "/api/v2/admin/usage", tag = "admin", params(UsageParams),
    responses((status = 200, body = UsageList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn usage(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<UsageParams>,
) -> Result<Json<UsageList>, ApiError> {
    let tenant = tenant_of(caller, params.tenant)?;
    let days = params.days.unwrap_or(30);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(ApiError::invalid(format!(
            "days is 1 to {DAYS_MAX}, not {days}"
        )));
    }
    api.run(move |api| {
        let (store, now) = (&api.services.store, api.services.app.clock.now());
        api.keys.write(store, now)?;
        let today = Day::of(now);
        let first = Day(today.0 - i64::from(days) + 1);
        let usage = store.usage(tenant, first, today)?;
        let row = operations::find(store, tenant)?;
        Ok(Json(UsageList {
            tenant: operations::view(store, &row)?,
            usage: usage.iter().map(UsageView::new).collect(),
        }))
    })
    .await
}
