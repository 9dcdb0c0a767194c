//! Sending what webhooks wait for, of all tenants.
//!
//! One run at a time, over all processes, sends to many endpoints at once and
//! one message at a time to each. So a slow endpoint holds up only itself, and
//! messages of one source stay in order. What is to be sent, and what has been
//! tried, is in the store: a run that dies is followed by another one, which
//! sends the same messages under the same ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use store::{
    DeliveryAttempt, DeliveryState, DeliveryVerdict, OutgoingDelivery, SEND_EVENTS, Store,
    WebhookAtWork, send_task,
};
use tokio::task::JoinSet;
use types::{TenantId, WebhookId};

use super::kind::{Outcome, TaskContext, TaskFailure, TaskKind};
use crate::services::Services;
use crate::webhooks::{Message, Sender, Sent};

/// Then the next run goes on, so that none runs for ever.
const SLICE: Duration = Duration::from_secs(60);
/// How often it is looked whether more is to be sent while something is.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Messages under way at a time, and of those of one tenant.
const IN_FLIGHT_MAX: usize = 64;
const IN_FLIGHT_OF_TENANT_MAX: usize = 8;

#[derive(Debug)]
pub struct SendEvents;

impl TaskKind for SendEvents {
    fn name(&self) -> &'static str {
        SEND_EVENTS
    }

    /// Two would send to one endpoint at a time.
    fn running_max(&self) -> u32 {
        1
    }

    fn is_light(&self) -> bool {
        true
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure> {
        let services = &context.services;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the network runtime")?;
        let sent = Arc::new(AtomicU64::new(0));
        let shown = sent.clone();
        context.show(move || types::Progress {
            completed: shown.load(Ordering::Relaxed),
            ..types::Progress::default()
        });
        let mut run = Run {
            services,
            store: context.store()?,
            sender: Arc::new(Sender::new(&services.app)?),
            under_way: HashMap::new(),
            attempts: JoinSet::new(),
            last: WebhookId(0),
            sent,
        };
        runtime.block_on(run.until_done(context))?;
        if context.stop_reason().is_some() {
            return Ok(Outcome::Stopped);
        }
        let store = &context.store()?;
        let next = store.next_delivery_at()?;
        Ok(Outcome::Done {
            // Of all tenants: the metrics say how it went.
            result: None,
            follow_ups: next.map(send_task).into_iter().collect(),
        })
    }
}

struct Run<'r> {
    services: &'r Arc<Services>,
    store: Store,
    sender: Arc<Sender>,
    /// One message each.
    under_way: HashMap<WebhookId, TenantId>,
    attempts: JoinSet<(OutgoingDelivery, anyhow::Result<Sent>)>,
    /// Served last: the next ones come first.
    last: WebhookId,
    sent: Arc<AtomicU64>,
}

impl Run<'_> {
    /// Until nothing is due, or somebody wants it to stop; what is under way
    /// then comes to its end, within the timeout of a message.
    async fn until_done(&mut self, context: &TaskContext) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            if context.stop_reason().is_none() && begun.elapsed() < SLICE {
                self.start()?;
            }
            if self.attempts.is_empty() {
                return Ok(());
            }
            let ended = tokio::time::timeout(LOOK_EVERY, self.attempts.join_next()).await;
            if let Ok(Some(ended)) = ended {
                let (delivery, sent) = ended.context("bug: sending a message panicked")?;
                self.under_way.remove(&delivery.endpoint.webhook);
                self.record(&delivery, sent)?;
            }
        }
    }

    /// Begins to send what is due and has room.
    fn start(&mut self) -> anyhow::Result<()> {
        let mut waiting = self.store.webhooks_at_work()?;
        let turn = waiting.partition_point(|at_work| at_work.webhook <= self.last);
        waiting.rotate_left(turn);
        for at_work in waiting {
            if self.under_way.len() >= IN_FLIGHT_MAX {
                break;
            }
            if !self.has_room(at_work) {
                continue;
            }
            let Some(delivery) = self.store.next_delivery(at_work.webhook)? else {
                continue;
            };
            self.last = at_work.webhook;
            self.under_way.insert(at_work.webhook, at_work.tenant);
            let (sender, clock) = (self.sender.clone(), self.services.app.clock.clone());
            self.attempts.spawn(async move {
                let sent = match Message::of(&delivery) {
                    Ok(message) => sender.send(&delivery.endpoint, &message, &*clock).await,
                    Err(error) => Err(error),
                };
                (delivery, sent)
            });
        }
        Ok(())
    }

    fn has_room(&self, at_work: WebhookAtWork) -> bool {
        let of_tenant = self.under_way.values();
        let of_tenant = of_tenant.filter(|tenant| **tenant == at_work.tenant);
        !self.under_way.contains_key(&at_work.webhook)
            && of_tenant.count() < IN_FLIGHT_OF_TENANT_MAX
    }

    fn record(
        &mut self,
        delivery: &OutgoingDelivery,
        sent: anyhow::Result<Sent>,
    ) -> anyhow::Result<()> {
        let attempt = match sent {
            Ok(sent) => self.attempt(delivery, &sent),
            // Its own fault; it must not hold up all others.
            Err(error) => DeliveryAttempt {
                delivery: delivery.id,
                number: delivery.attempt,
                status: None,
                duration: Duration::ZERO,
                error: Some(format!("could not be sent: {error:#}")),
                response: None,
                verdict: DeliveryVerdict::Dead,
            },
        };
        let outcome = match &attempt.verdict {
            DeliveryVerdict::Delivered => "delivered",
            DeliveryVerdict::Retry { .. } => "retried",
            DeliveryVerdict::Dead => "dead",
            DeliveryVerdict::Disable { .. } => "disabled",
        };
        let (took, error) = (attempt.duration, attempt.error.clone());
        let state = self.store.record_delivery(attempt)?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.services.metrics.webhooks.attempted(outcome, took);
        let (webhook, id) = (delivery.endpoint.webhook, delivery.id);
        let attempt = delivery.attempt;
        match error {
            Some(error) if state == Some(DeliveryState::Dead) => {
                tracing::warn!(%webhook, delivery = %id, attempt, %error, "gave a message to a webhook up");
            }
            Some(error) => {
                tracing::info!(%webhook, delivery = %id, attempt, %error, "a message to a webhook failed");
            }
            None => {
                tracing::debug!(%webhook, delivery = %id, attempt, "delivered a message to a webhook");
            }
        }
        Ok(())
    }

    fn attempt(&self, delivery: &OutgoingDelivery, sent: &Sent) -> DeliveryAttempt {
        let now = self.services.app.clock.now();
        // Spreads what failed together; needs no better randomness.
        let random = delivery
            .id
            .0
            .unsigned_abs()
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ now.0.unsigned_abs();
        DeliveryAttempt {
            delivery: delivery.id,
            number: delivery.attempt,
            status: sent.status(),
            duration: sent.took,
            error: sent.error(),
            response: sent.response(),
            verdict: self
                .sender
                .verdict(sent, delivery.attempt, now, random >> 8),
        }
    }
}
