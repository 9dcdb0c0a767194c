//! One event as it lies in the stream. `docs/reference/events.schema.json` has
//! its schema.

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Serialize;
use store::{Gap, OutgoingEvent, Unpublished};
use types::TenantId;

use crate::webhooks::{Event, SCHEMA};

/// Told in place of events that are gone.
const DROPPED: &str = "events.dropped";

/// What is published: the same bytes under the same id however often.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) subject: String,
    /// `Nats-Msg-Id`.
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) body: Bytes,
}

#[derive(Serialize)]
struct Body<'m> {
    schema: u32,
    message_id: &'m str,
    tenant: &'m str,
    #[serde(flatten)]
    event: Event,
}

/// Where messages of one database go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    /// First words of the subjects.
    pub(super) subject: &'p str,
    pub(super) origin: &'p str,
}

impl Place<'_> {
    /// Its id also says when it happened, so that a database restored from a
    /// backup does not use an id for two events.
    pub(super) fn message(self, read: &Unpublished, event: &OutgoingEvent) -> Result<Message> {
        let id = format!("{}-{}-{}", self.origin, event.id, event.created_at.0);
        self.build(read, id, Event::of(event)?)
    }

    /// One that says how many events before it are missing.
    pub(super) fn gap(self, read: &Unpublished, gap: Gap) -> Result<Message> {
        let (origin, tenant) = (self.origin, read.tenant);
        let id = format!("{origin}-dropped-{tenant}-{}-{}", read.after, gap.at.0);
        let event = Event {
            id: None,
            kind: DROPPED,
            timestamp: crate::view::rfc3339(gap.at),
            source_id: None,
            data: serde_json::json!({"events": gap.events}),
        };
        self.build(read, id, event)
    }

    fn build(self, read: &Unpublished, id: String, event: Event) -> Result<Message> {
        let kind = event.kind;
        let tenant = word(read.tenant, &read.tenant_name);
        let body = Body {
            schema: SCHEMA,
            message_id: &id,
            tenant: &read.tenant_name,
            event,
        };
        let body = serde_json::to_vec(&body).context("bug: an event did not serialise")?;
        Ok(Message {
            subject: format!("{}.v{SCHEMA}.{tenant}.{kind}", self.subject),
            id,
            kind,
            body: Bytes::from(body),
        })
    }
}

/// A tenant as one word of a subject, which no other tenant has (T1). Names are
/// plain, but for those that were made without a check.
fn word(tenant: TenantId, name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("_{tenant}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_says_how_many_are_missing() {
        let gap = Gap {
            events: 3,
            at: types::Timestamp(1_000),
        };
        let read = Unpublished {
            tenant: TenantId(7),
            tenant_name: "acme".to_owned(),
            after: 41,
            gap: Some(gap),
            events: Vec::new(),
        };
        let place = Place {
            subject: "gleaner",
            origin: "here",
        };
        let message = place.gap(&read, gap).expect("serialises");
        assert_eq!(message.subject, "gleaner.v1.acme.events.dropped");
        assert_eq!(message.id, "here-dropped-7-41-1000");
        let body: serde_json::Value = serde_json::from_slice(&message.body).expect("JSON");
        let expected = serde_json::json!({
            "schema": 1, "message_id": message.id, "tenant": "acme", "id": null,
            "type": DROPPED, "timestamp": "1970-01-01T00:00:01Z", "source_id": null,
            "data": {"events": 3},
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn t1_no_two_tenants_share_a_word() {
        for (name, expected) in [
            ("acme", "acme"),
            ("acme-2", "acme-2"),
            ("7", "7"),
            ("_7", "_7"),
            ("acme.page", "_7"),
            ("*", "_7"),
            (">", "_7"),
            ("Acme", "_7"),
            ("two words", "_7"),
            ("", "_7"),
        ] {
            assert_eq!(word(TenantId(7), name), expected, "{name}");
        }
        assert_eq!(word(TenantId(8), "_7"), "_8");
    }
}
