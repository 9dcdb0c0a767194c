//! One event as it lies in the stream. `docs/reference/events.schema.json` has
//! its schema.

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Serialize;
use store::{Gap, OutgoingEvent, Unpublished};

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
    pub(super) fn message(self, tenant: &str, event: &OutgoingEvent) -> Result<Message> {
        let id = format!("{}-{}-{}", self.origin, event.id, event.created_at.0);
        self.build(tenant, id, Event::of(event)?)
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
        self.build(&read.tenant_name, id, event)
    }

    fn build(self, tenant: &str, id: String, event: Event) -> Result<Message> {
        let kind = event.kind;
        let body = Body {
            schema: SCHEMA,
            message_id: &id,
            tenant,
            event,
        };
        let body = serde_json::to_vec(&body).context("bug: an event did not serialise")?;
        Ok(Message {
            subject: format!("{}.v{SCHEMA}.{}.{kind}", self.subject, token(tenant)),
            id,
            kind,
            body: Bytes::from(body),
        })
    }
}

/// A name as one word of a subject. Names of tenants are plain, but for those
/// that older versions let through.
fn token(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '_'
        }
    };
    name.chars().map(plain).collect()
}
