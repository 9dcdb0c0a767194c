//! The JSON that a webhook gets. One shape for every event: a list, even when
//! it has one entry, so that a receiver needs one loop and no special case.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use store::{Endpoint, EventType, OutgoingDelivery, OutgoingEvent};
use types::Timestamp;

use crate::view::rfc3339;

/// Of whole messages, here and in a stream. Fields are only ever added to it.
pub const SCHEMA: u32 = 1;

/// What is sent: the same bytes under the same id however often.
#[derive(Clone, Debug)]
pub struct Message {
    /// `Webhook-Id`: stays the same over all attempts.
    pub id: String,
    pub body: Vec<u8>,
}

#[derive(Serialize)]
struct Body<'m> {
    schema: u32,
    webhook_id: i64,
    message_id: &'m str,
    events: Vec<Event>,
}

/// One event, as webhooks and readers of a stream get it.
#[derive(Debug, Serialize)]
pub struct Event {
    /// `None` of what is not kept, such as a test.
    pub id: Option<i64>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub timestamp: String,
    pub source_id: Option<i64>,
    pub data: Value,
}

impl Message {
    pub fn of(delivery: &OutgoingDelivery) -> Result<Message> {
        let id = message_id(delivery.id, delivery.created_at);
        let events = delivery
            .events
            .iter()
            .map(Event::of)
            .collect::<Result<Vec<_>>>()?;
        Message::new(&delivery.endpoint, id, events)
    }

    /// One that only says that it arrived.
    pub fn test(endpoint: &Endpoint, now: Timestamp) -> Result<Message> {
        let event = Event {
            id: None,
            kind: EventType::Test.code(),
            timestamp: rfc3339(now),
            source_id: None,
            data: serde_json::json!({"message": "This webhook works."}),
        };
        let id = format!("msg_test_{}_{}", endpoint.webhook, now.0);
        Message::new(endpoint, id, vec![event])
    }

    fn new(endpoint: &Endpoint, id: String, events: Vec<Event>) -> Result<Message> {
        let body = serde_json::to_vec(&Body {
            schema: SCHEMA,
            webhook_id: endpoint.webhook.0,
            message_id: &id,
            events,
        })
        .context("bug: a message did not serialise")?;
        Ok(Message { id, body })
    }
}

/// Also says when it was made, so that a database that is restored from a
/// backup does not use an id for two messages.
pub fn message_id(delivery: types::DeliveryId, created_at: Timestamp) -> String {
    format!("msg_{delivery}_{}", created_at.0)
}

impl Event {
    pub fn of(event: &OutgoingEvent) -> Result<Event> {
        Ok(Event {
            id: Some(event.id),
            kind: event.kind.code(),
            timestamp: rfc3339(event.created_at),
            source_id: event.source.map(|source| source.0),
            data: serde_json::from_str(&event.payload).context("read a stored event")?,
        })
    }
}
