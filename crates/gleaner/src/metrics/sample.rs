//! Gauges that are read when somebody asks: the queue, the backlog, the store
//! and the process.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use guard::{BreakerSnapshot, BreakerState, RedisStatus};
use prometheus::{Counter, GaugeVec, IntCounter, IntCounterVec, IntGauge};
use store::{Store, WriteStats};
use types::{Clock, SystemClock};

use super::Maker;
use super::events::SampledEvents;
use crate::process;
use crate::relay::RelayStats;
use crate::tasks::Scale;

#[derive(Debug)]
pub struct Sampled {
    queue_size: GaugeVec,
    queue_oldest: GaugeVec,
    queue_due: GaugeVec,
    queue_slots: GaugeVec,
    workers: IntGauge,
    vectors: GaugeVec,
    webhook_pending: IntGauge,
    webhook_dead: IntGauge,
    events: SampledEvents,
    breaker_state: GaugeVec,
    redis_up: GaugeVec,
    redis_connections: IntCounterVec,
    bus_messages: IntCounterVec,
    commits: IntCounter,
    operations: IntCounter,
    write: Counter,
    lock_wait: Counter,
    write_queue: IntGauge,
    memory: IntGauge,
    cpu: Counter,
    files: IntGauge,
    /// Counters are raised to a total: by one thread at a time.
    turn: Mutex<()>,
}

impl Sampled {
    pub(super) fn new(made: &Maker<'_>) -> prometheus::Result<Sampled> {
        let started = made.gauge_f64(
            "process_start_time_seconds",
            "When the process started, in Unix time.",
        )?;
        started.set(SystemClock.now().0 as f64 / 1000.0);
        Ok(Sampled {
            queue_size: made.gauges(
                "queue_size",
                "Tasks in the store, by kind and state, of all tenants.",
                &["queue_name", "state"],
            )?,
            queue_oldest: made.gauges(
                "queue_oldest_seconds",
                "For how long the oldest queued task of a kind has been due.",
                &["queue_name"],
            )?,
            queue_due: made.gauges(
                "queue_due",
                "Tasks that could begin now, by kind, of all tenants.",
                &["queue_name"],
            )?,
            queue_slots: made.gauges(
                "queue_suggested_slots",
                "Slots that let the tasks of a kind that are ready end in time.",
                &["queue_name"],
            )?,
            workers: made.gauge(
                "suggested_workers",
                "Workers that let all tasks that are ready end in time.",
            )?,
            vectors: made.gauges(
                "embedding_chunks",
                "Chunks by the state of their vectors: done, pending, failed.",
                &["state"],
            )?,
            webhook_pending: made.gauge(
                "webhook_pending",
                "Messages to webhooks that wait to be delivered, of all tenants.",
            )?,
            webhook_dead: made.gauge(
                "webhook_dead_letters",
                "Messages to webhooks that were given up and are kept, of all tenants.",
            )?,
            events: SampledEvents::new(made)?,
            breaker_state: made.gauges(
                "breaker_state",
                "Breakers of services that this process asks: 0 closed, 1 half open, 2 open.",
                &["name"],
            )?,
            redis_up: made.gauges(
                "redis_up",
                "Whether Redis answers this process; absent when none is configured.",
                &[],
            )?,
            redis_connections: made.counters(
                "redis_connections_total",
                "Connections that this process made to Redis: the first, and one after each outage.",
                &[],
            )?,
            bus_messages: made.counters(
                "bus_messages_total",
                "Messages about commits by way of Redis: told, heard, and times that some may have been missed.",
                &["direction"],
            )?,
            commits: made.counter(
                "store_commits_total",
                "Transactions that this process committed.",
            )?,
            operations: made.counter(
                "store_writes_total",
                "Write operations of this process; several share a transaction.",
            )?,
            write: made.seconds(
                "store_write_seconds_total",
                "Time that this process's writer was at work.",
            )?,
            lock_wait: made.seconds(
                "store_lock_wait_seconds_total",
                "Time that this process's writer waited for other processes.",
            )?,
            write_queue: made.gauge(
                "store_write_queue_size",
                "Write operations that wait for this process's writer.",
            )?,
            memory: made.gauge("process_resident_memory_bytes", "Resident memory.")?,
            cpu: made.seconds("process_cpu_seconds_total", "CPU time, of user and system.")?,
            files: made.gauge("process_open_fds", "Open file descriptors.")?,
            turn: Mutex::new(()),
        })
    }

    /// Reads everything anew.
    pub fn refresh(&self, store: &Store, clock: &dyn Clock) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now();
        self.queue_size.reset();
        self.queue_oldest.reset();
        for kind in store.queue_status(None)? {
            let states = [
                ("scheduled", kind.scheduled),
                ("queued", kind.queued),
                ("running", kind.running),
                ("succeeded", kind.succeeded),
                ("failed", kind.failed),
                ("cancelled", kind.cancelled),
                ("dead", kind.dead),
            ];
            for (state, count) in states {
                let size = self.queue_size.with_label_values(&[&kind.kind, state]);
                size.set(count as f64);
            }
            let waited = kind
                .oldest_queued
                .map_or(0.0, |due| now.since(due).as_secs_f64());
            let oldest = self.queue_oldest.with_label_values(&[&kind.kind]);
            oldest.set(waited);
        }
        let progress = store.embedding_progress()?;
        let states = [
            ("done", progress.done),
            ("pending", progress.pending),
            ("failed", progress.failed),
        ];
        for (state, count) in states {
            self.vectors.with_label_values(&[state]).set(count as f64);
        }
        let deliveries = store.delivery_counts()?;
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.webhook_pending.set(gauge(deliveries.pending));
        self.webhook_dead.set(gauge(deliveries.dead));
        self.events.refresh(&store.publishing_counts()?, now);
        self.write_stats(&store.write_stats());
        self.process();
        Ok(())
    }

    /// What the queue asks for.
    pub fn scale(&self, scale: &Scale) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue_due.reset();
        self.queue_slots.reset();
        for kind in &scale.kinds {
            let labels = [kind.kind.as_str()];
            let due = self.queue_due.with_label_values(&labels);
            due.set(kind.ready as f64);
            let slots = self.queue_slots.with_label_values(&labels);
            slots.set(kind.slots as f64);
        }
        let workers = i64::try_from(scale.workers).unwrap_or(i64::MAX);
        self.workers.set(workers);
    }

    pub fn breakers(&self, breakers: &[BreakerSnapshot]) {
        for breaker in breakers {
            let state = match breaker.state {
                BreakerState::Closed => 0.0,
                BreakerState::HalfOpen => 1.0,
                BreakerState::Open => 2.0,
            };
            let name: &str = &breaker.name;
            self.breaker_state.with_label_values(&[name]).set(state);
        }
    }

    pub fn redis(&self, status: &RedisStatus) {
        let none: &[&str] = &[];
        let up = self.redis_up.with_label_values(none);
        up.set(f64::from(u8::from(status.is_up)));
        let connections = self.redis_connections.with_label_values(none);
        raise(&connections, status.connections);
    }

    pub fn relay(&self, stats: RelayStats) {
        let directions = [
            ("told", stats.told),
            ("heard", stats.heard),
            ("missed", stats.missed),
        ];
        for (direction, total) in directions {
            raise(&self.bus_messages.with_label_values(&[direction]), total);
        }
    }

    fn write_stats(&self, stats: &WriteStats) {
        raise(&self.commits, stats.commits);
        raise(&self.operations, stats.operations);
        raise_to(&self.write, stats.busy.as_secs_f64());
        raise_to(&self.lock_wait, stats.lock_wait.as_secs_f64());
        self.write_queue
            .set(i64::try_from(stats.waiting).unwrap_or(i64::MAX));
    }

    fn process(&self) {
        if let Some(bytes) = process::resident_bytes() {
            self.memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        if let Some(files) = process::open_files() {
            self.files.set(i64::try_from(files).unwrap_or(i64::MAX));
        }
        raise_to(&self.cpu, process::cpu_seconds());
    }
}

/// Brings a counter up to a total that somebody else keeps.
pub(super) fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

pub(super) fn raise_to(counter: &Counter, total: f64) {
    counter.inc_by((total - counter.get()).max(0.0));
}
