//! Webhooks and what was sent to them.

use serde::Serialize;
use store::{DeliveryRow, WebhookRow};
use utoipa::ToSchema;

use super::rfc3339;
use crate::webhooks::{Sent, message_id};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookView {
    pub id: i64,
    pub url: String,
    pub description: String,
    /// Types of the events it is told of, such as `crawl.finished`.
    pub events: Vec<&'static str>,
    /// False: nothing is sent to it.
    pub active: bool,
    /// Why it was switched off, if nobody asked for it: `410 Gone`.
    pub disabled_reason: Option<String>,
    #[schema(format = DateTime)]
    pub disabled_at: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Until when the secret before the last rotation signs as well.
    #[schema(format = DateTime)]
    pub old_secret_until: Option<String>,
    /// Attempts since the last success.
    pub failures_in_a_row: u32,
    /// Why it is flagged: for days nothing could be delivered.
    pub trouble: Option<String>,
    #[schema(format = DateTime)]
    pub last_delivered_at: Option<String>,
    #[schema(format = DateTime)]
    pub last_failed_at: Option<String>,
    /// Its deliveries that are kept, by state.
    pub deliveries: DeliveryCountsView,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryCountsView {
    /// Wait to be sent, or to be sent again.
    pub pending: u64,
    pub delivered: u64,
    /// Given up.
    pub dead: u64,
}

impl WebhookView {
    pub fn new(webhook: &WebhookRow) -> WebhookView {
        WebhookView {
            id: webhook.id.0,
            url: webhook.url.clone(),
            description: webhook.description.clone(),
            events: webhook.events.iter().map(store::EventType::code).collect(),
            active: webhook.active,
            disabled_reason: webhook.disabled_reason.clone(),
            disabled_at: webhook.disabled_at.map(rfc3339),
            created_at: rfc3339(webhook.created_at),
            updated_at: rfc3339(webhook.updated_at),
            old_secret_until: webhook.old_secret_until.map(rfc3339),
            failures_in_a_row: webhook.failures_in_a_row,
            trouble: webhook.trouble.clone(),
            last_delivered_at: webhook.last_delivered_at.map(rfc3339),
            last_failed_at: webhook.last_failed_at.map(rfc3339),
            deliveries: DeliveryCountsView {
                pending: webhook.pending,
                delivered: webhook.delivered,
                dead: webhook.dead,
            },
        }
    }
}

/// A webhook with its new secret. This is the only time that it is shown.
#[derive(Clone, Serialize, ToSchema)]
pub struct WebhookSecretView {
    /// Checks the signatures of its messages.
    #[schema(example = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")]
    pub secret: String,
    pub webhook: WebhookView,
}

impl std::fmt::Debug for WebhookSecretView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSecretView")
            .field("webhook", &self.webhook)
            .finish_non_exhaustive()
    }
}

/// One message to a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryView {
    pub id: i64,
    pub webhook_id: i64,
    /// Sent as `Webhook-Id`, the same with each attempt.
    pub message_id: String,
    /// `pending`, `delivered` or `dead` (given up).
    pub state: &'static str,
    /// Types of its events.
    pub events: Vec<&'static str>,
    pub event_count: u32,
    /// Its events are of one source, or of none.
    pub source_id: Option<i64>,
    pub attempts: u32,
    /// When it is sent next; null while an older one of its source is to go first.
    #[schema(format = DateTime)]
    pub next_at: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub last_attempt_at: Option<String>,
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    /// HTTP status of the last attempt; null when there was no answer.
    pub status: Option<u16>,
    pub duration_ms: Option<u64>,
    pub error: Option<String>,
    /// What the last answer began with, at most 1 KiB.
    pub response: Option<String>,
}

impl DeliveryView {
    pub fn new(row: &DeliveryRow) -> DeliveryView {
        DeliveryView {
            id: row.id.0,
            webhook_id: row.webhook.0,
            message_id: message_id(row.id, row.created_at),
            state: row.state.code(),
            events: row.types.iter().map(store::EventType::code).collect(),
            event_count: row.event_count,
            source_id: row.source.map(|source| source.0),
            attempts: row.attempts,
            next_at: row.next_at.map(rfc3339),
            created_at: rfc3339(row.created_at),
            last_attempt_at: row.last_attempt_at.map(rfc3339),
            finished_at: row.finished_at.map(rfc3339),
            status: row.status,
            duration_ms: row.duration.map(milliseconds),
            error: row.error.clone(),
            response: row.response.clone(),
        }
    }
}

/// How a test went. It is sent once and kept nowhere.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebhookTestView {
    pub webhook_id: i64,
    /// The endpoint answered with a status of 2xx.
    pub delivered: bool,
    /// Null when there was no answer.
    pub status: Option<u16>,
    pub duration_ms: u64,
    pub error: Option<String>,
    /// What the answer began with, at most 1 KiB.
    pub response: Option<String>,
}

impl WebhookTestView {
    pub fn new(webhook: types::WebhookId, sent: &Sent) -> WebhookTestView {
        WebhookTestView {
            webhook_id: webhook.0,
            delivered: sent.delivered(),
            status: sent.status(),
            duration_ms: milliseconds(sent.took),
            error: sent.error(),
            response: sent.response(),
        }
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
