//! One round of publishing: events of many sources at once, those of one
//! source one after the other.
//!
//! The next event of a source is sent when the one before was acknowledged. A
//! server that loses one of several that are under way, as while it chooses
//! another leader, would store those behind it first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use futures_util::StreamExt;
use futures_util::stream::iter;
use store::{Published, Unpublished};
use types::SourceId;

use super::message::{Message, Place};
use super::stream::{Reached, Target};
use crate::metrics::EventMetrics;

/// Messages under way at a time.
const LANES_MAX: usize = 64;

/// Publishes what was read, until it is done, fails or is told to stop.
#[derive(Debug)]
pub struct Round<'r> {
    target: &'r Target,
    reached: Reached,
    origin: String,
    metrics: &'r EventMetrics,
}

/// What stood in the way. The rest was published.
#[derive(Debug)]
pub struct Failed(pub anyhow::Error);

impl<'r> Round<'r> {
    /// Connects, and finds or makes the stream.
    pub async fn begin(
        target: &'r Target,
        origin: &str,
        metrics: &'r EventMetrics,
    ) -> Result<Round<'r>> {
        Ok(Round {
            target,
            reached: target.reach().await?,
            origin: origin.to_owned(),
            metrics,
        })
    }

    async fn send(&self, message: &Message) -> Result<(), (PublishErrorKind, anyhow::Error)> {
        let publish = PublishMessage::build()
            .payload(message.body.clone())
            .message_id(&message.id)
            .expected_stream(self.target.stream());
        let begun = Instant::now();
        let context = &self.reached.context;
        let sent = context.send_publish(message.subject.clone(), publish).await;
        let acknowledged = match sent {
            Ok(sent) => sent.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(ack) => {
                let took = begun.elapsed();
                self.metrics.published(message.kind, ack.duplicate, took);
                Ok(())
            }
            Err(error) => {
                let kind = error.kind();
                let why = match kind {
                    PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => anyhow!(
                        "NATS did not acknowledge an event: it is gone or slow, or this user may \
                         not publish to {}",
                        message.subject
                    ),
                    _ => anyhow!("publish to {}: {error}", message.subject),
                };
                Err((kind, why))
            }
        }
    }
}

/// The events of one source, by their places among what was read.
struct Lane {
    tenant: usize,
    messages: Vec<(usize, Message)>,
}

/// How a lane ended: the place that was not published, and why.
struct Stopped {
    tenant: usize,
    at: usize,
    why: Option<anyhow::Error>,
}

/// What was published of each tenant, and what stood in the way of the rest.
pub async fn publish(
    round: &Round<'_>,
    read: &[Unpublished],
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Result<(Vec<Published>, Option<Failed>)> {
    let place = Place {
        subject: &round.target.subject,
        origin: &round.origin,
    };
    let is_gone = AtomicBool::new(false);
    let (mut failed, mut told) = (None, vec![0; read.len()]);
    let mut lanes = Vec::new();
    for (tenant, one) in read.iter().enumerate() {
        if let Some(gap) = one.gap
            && failed.is_none()
        {
            match round.send(&place.gap(one, gap)?).await {
                Ok(()) => told[tenant] = gap.events,
                Err((_, why)) => failed = Some(why),
            }
        }
        // Never before the gap that they lie behind.
        if failed.is_some() {
            lanes.push(held_back(tenant));
            continue;
        }
        lanes.extend(lanes_of(place, tenant, one)?);
    }
    let (held, lanes): (Vec<Lane>, Vec<Lane>) =
        lanes.into_iter().partition(|lane| lane.messages.is_empty());
    let running = lanes
        .into_iter()
        .map(|lane| run(round, lane, &is_gone, is_stopped));
    let ends: Vec<Option<Stopped>> = iter(running).buffer_unordered(LANES_MAX).collect().await;
    // The first event of each tenant that was not published.
    let mut stopped_at: HashMap<usize, usize> = held.iter().map(|lane| (lane.tenant, 0)).collect();
    for end in ends.into_iter().flatten() {
        let at = stopped_at.entry(end.tenant).or_insert(end.at);
        *at = end.at.min(*at);
        failed = failed.or(end.why);
    }
    let published = read.iter().enumerate().map(|(tenant, one)| {
        let events = stopped_at.get(&tenant).copied().unwrap_or(one.events.len());
        let last = events.checked_sub(1).map(|at| one.events[at].id);
        Published {
            tenant: one.tenant,
            after: one.after,
            up_to: last.unwrap_or(one.after),
            events: events as u64,
            gap: told[tenant],
        }
    });
    let published = published.filter(|one| one.events > 0 || one.gap > 0);
    Ok((published.collect(), failed.map(Failed)))
}

fn held_back(tenant: usize) -> Lane {
    Lane {
        tenant,
        messages: Vec::new(),
    }
}

fn lanes_of(place: Place<'_>, tenant: usize, read: &Unpublished) -> Result<Vec<Lane>> {
    let mut of_source: HashMap<Option<SourceId>, usize> = HashMap::new();
    let mut lanes: Vec<Lane> = Vec::new();
    for (at, event) in read.events.iter().enumerate() {
        let message = place
            .message(read, event)
            .with_context(|| format!("make a message of event {}", event.id))?;
        let lane = *of_source.entry(event.source).or_insert_with(|| {
            lanes.push(held_back(tenant));
            lanes.len() - 1
        });
        lanes[lane].messages.push((at, message));
    }
    Ok(lanes)
}

async fn run(
    round: &Round<'_>,
    lane: Lane,
    is_gone: &AtomicBool,
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Option<Stopped> {
    let tenant = lane.tenant;
    for (at, message) in &lane.messages {
        let at = *at;
        // One time-out for all rather than one each.
        if is_gone.load(Ordering::Relaxed) || is_stopped() {
            let why = None;
            return Some(Stopped { tenant, at, why });
        }
        if let Err((kind, why)) = round.send(message).await {
            if matches!(
                kind,
                PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe
            ) {
                is_gone.store(true, Ordering::Relaxed);
            }
            let why = Some(why);
            return Some(Stopped { tenant, at, why });
        }
    }
    None
}
