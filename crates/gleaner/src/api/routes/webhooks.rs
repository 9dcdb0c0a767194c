//! Webhooks: who is told of what happens, and what was sent.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{DeliveryFilter, DeliveryState, Scopes};
use types::{DeliveryId, WebhookId};
use utoipa::{IntoParams, ToSchema};

use super::tasks::limit;
use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::{Body, Path, Query};
use crate::api::state::Api;
use crate::operations::webhooks::{self as operations, AddWebhook, EditWebhook};
use crate::view::{DeliveryView, WebhookSecretView, WebhookTestView, WebhookView};

const LIST_DEFAULT: usize = 50;
const LIST_MAX: usize = 500;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebhookList {
    pub webhooks: Vec<WebhookView>,
}

/// List webhooks
#[utoipa::path(get, path = "/api/v2/webhooks", tag = "webhooks",
    responses((status = 200, body = WebhookList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<WebhookList>, ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    api.run(move |api| {
        let webhooks = api.services.store.webhooks(caller.tenant)?;
        let webhooks = webhooks.iter().map(WebhookView::new).collect();
        Ok(Json(WebhookList { webhooks }))
    })
    .await
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookInput {
    /// Gets a POST for each message. Private addresses are refused unless allow-listed.
    #[schema(example = "https://example.org/hooks/gleaner", max_length = 2048)]
    pub url: String,
    /// Types of events, `page.*` for all of a kind, or `*` for all.
    #[schema(example = json!(["crawl.finished", "page.*"]), min_items = 1, max_items = 50)]
    pub events: Vec<String>,
    #[serde(default)]
    #[schema(max_length = 200)]
    pub description: String,
}

/// Add a webhook
///
/// The answer is the only time that its secret is shown. A tenant has at most 20.
#[utoipa::path(post, path = "/api/v2/webhooks", tag = "webhooks", request_body = WebhookInput,
    responses((status = 201, body = WebhookSecretView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn add(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<WebhookInput>,
) -> Result<(StatusCode, Json<WebhookSecretView>), ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    let add = AddWebhook {
        url: input.url,
        events: input.events,
        description: input.description,
    };
    api.run(move |api| {
        let services = &api.services;
        let added = operations::add(&services.app, &services.store, caller.tenant, add)?;
        Ok((StatusCode::CREATED, Json(added)))
    })
    .await
}

/// Show a webhook
#[utoipa::path(get, path = "/api/v2/webhooks/{id}", tag = "webhooks", params(("id" = i64, Path)),
    responses((status = 200, body = WebhookView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<WebhookView>, ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    api.run(move |api| {
        let row = api.services.store.webhook(caller.tenant, WebhookId(id))?;
        Ok(Json(WebhookView::new(&row)))
    })
    .await
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookPatch {
    #[schema(max_length = 2048)]
    pub url: Option<String>,
    /// Replaces all of them.
    #[schema(min_items = 1, max_items = 50)]
    pub events: Option<Vec<String>>,
    #[schema(max_length = 200)]
    pub description: Option<String>,
    /// False: nothing is sent, and what happens meanwhile is not for it. True again: what waited
    /// before is sent.
    pub active: Option<bool>,
}

/// Change a webhook
#[utoipa::path(patch, path = "/api/v2/webhooks/{id}", tag = "webhooks", params(("id" = i64, Path)), request_body = WebhookPatch,
    responses((status = 200, body = WebhookView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn edit(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Body(patch): Body<WebhookPatch>,
) -> Result<Json<WebhookView>, ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    let edit = EditWebhook {
        url: patch.url,
        events: patch.events,
        description: patch.description,
        active: patch.active,
    };
    api.run(move |api| {
        let services = &api.services;
        let (app, store) = (&services.app, &services.store);
        let row = operations::edit(app, store, caller.tenant, WebhookId(id), edit)?;
        Ok(Json(row))
    })
    .await
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebhookRemoved {
    pub id: i64,
    /// Always `removed`.
    pub status: &'static str,
}

/// Remove a webhook, with what waits for it
#[utoipa::path(delete, path = "/api/v2/webhooks/{id}", tag = "webhooks", params(("id" = i64, Path)),
    responses((status = 200, body = WebhookRemoved), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<WebhookRemoved>, ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    api.run(move |api| {
        let store = &api.services.store;
        store.remove_webhook(caller.tenant, WebhookId(id))?;
        Ok(Json(WebhookRemoved {
            id,
            status: "removed",
        }))
    })
    .await
}

/// Send a test
///
/// Sends one `webhook.test` event now and waits for the endpoint, at most
/// `webhooks.timeout_ms`. When it arrives, what waits for the webhook is sent now as well.
#[utoipa::path(post, path = "/api/v2/webhooks/{id}/test", tag = "webhooks", params(("id" = i64, Path)),
    responses((status = 200, body = WebhookTestView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn test(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<WebhookTestView>, ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    let services = &api.services;
    let (app, store) = (&services.app, &services.store);
    let tested = operations::test(app, store, caller.tenant, WebhookId(id)).await?;
    Ok(Json(tested))
}

/// Give a webhook another secret
///
/// The answer is the only time that it is shown. Messages are signed with the old one as well for
/// 24 hours.
#[utoipa::path(post, path = "/api/v2/webhooks/{id}/rotate", tag = "webhooks", params(("id" = i64, Path)),
    responses((status = 201, body = WebhookSecretView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<(StatusCode, Json<WebhookSecretView>), ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    api.run(move |api| {
        let services = &api.services;
        let (app, store) = (&services.app, &services.store);
        let rotated = operations::rotate(app, store, caller.tenant, WebhookId(id))?;
        Ok((StatusCode::CREATED, Json(rotated)))
    })
    .await
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStateInput {
    Pending,
    Delivered,
    Dead,
}

impl From<DeliveryStateInput> for DeliveryState {
    fn from(state: DeliveryStateInput) -> DeliveryState {
        match state {
            DeliveryStateInput::Pending => DeliveryState::Pending,
            DeliveryStateInput::Delivered => DeliveryState::Delivered,
            DeliveryStateInput::Dead => DeliveryState::Dead,
        }
    }
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeliveryListParams {
    pub state: Option<DeliveryStateInput>,
    /// Go on behind the answer before: its `next`.
    pub cursor: Option<i64>,
    /// 1 to 500; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeliveryList {
    pub deliveries: Vec<DeliveryView>,
    /// For `cursor`, when there may be more.
    pub next: Option<i64>,
}

/// List what was sent to a webhook and what is to be, newest first
#[utoipa::path(get, path = "/api/v2/webhooks/{id}/deliveries", tag = "webhooks", params(("id" = i64, Path), DeliveryListParams),
    responses((status = 200, body = DeliveryList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn deliveries(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(params): Query<DeliveryListParams>,
) -> Result<Json<DeliveryList>, ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    let limit = limit(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let filter = DeliveryFilter {
        state: params.state.map(DeliveryState::from),
        before: params.cursor.map(DeliveryId),
        limit,
    };
    api.run(move |api| {
        let store = &api.services.store;
        let rows = store.deliveries(caller.tenant, WebhookId(id), filter)?;
        let last = rows.last().map(|row| row.id.0);
        Ok(Json(DeliveryList {
            next: last.filter(|_| rows.len() == limit),
            deliveries: rows.iter().map(DeliveryView::new).collect(),
        }))
    })
    .await
}

/// Send a dead letter again, or what waits for its next attempt now
#[utoipa::path(post, path = "/api/v2/webhooks/{id}/deliveries/{delivery_id}/retry", tag = "webhooks",
    params(("id" = i64, Path), ("delivery_id" = i64, Path)),
    responses((status = 200, body = DeliveryView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Path((id, delivery_id)): Path<(i64, i64)>,
) -> Result<Json<DeliveryView>, ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    api.run(move |api| {
        let store = &api.services.store;
        let row = store.retry_delivery(caller.tenant, WebhookId(id), DeliveryId(delivery_id))?;
        Ok(Json(DeliveryView::new(&row)))
    })
    .await
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeliveriesRetried {
    pub retried: u64,
}

/// Send all dead letters of a webhook again
///
/// At most a thousand at a time, oldest first. Those whose events are no longer kept stay.
#[utoipa::path(post, path = "/api/v2/webhooks/{id}/deliveries/retry", tag = "webhooks", params(("id" = i64, Path)),
    responses((status = 200, body = DeliveriesRetried), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn retry_dead(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<DeliveriesRetried>, ApiError> {
    let caller = caller.must(Scopes::ADMIN)?;
    api.run(move |api| {
        let store = &api.services.store;
        let retried = store.retry_dead_deliveries(caller.tenant, WebhookId(id))?;
        Ok(Json(DeliveriesRetried { retried }))
    })
    .await
}
