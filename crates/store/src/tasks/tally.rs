//! What one write did to the maintained numbers of the queue.

use std::collections::BTreeMap;

use types::{TaskState, TenantId};

use crate::error::Failure;
use crate::sql::{Connection, params, send};
use crate::watch::note_for_workers;

const STATES: usize = TaskState::ALL.len();
/// `task_counts` keeps the total of all tenants under this id.
pub(super) const ALL_TENANTS: i64 = 0;

/// Differences by tenant and kind. [`Tally::save`] writes them; without it
/// nothing was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    tenants: BTreeMap<i64, BTreeMap<String, Differences>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Differences {
    current: [i64; STATES],
    enqueued: i64,
    /// By state; only ends are stored.
    entered: [i64; STATES],
}

impl Tally {
    pub(super) fn enqueued(&mut self, tenant: TenantId, kind: &str, state: TaskState) {
        note_for_workers();
        let differences = self.differences(tenant, kind);
        differences.enqueued += 1;
        differences.current[state as usize] += 1;
        differences.entered[state as usize] += 1;
    }

    pub(super) fn moved(&mut self, tenant: TenantId, kind: &str, from: TaskState, to: TaskState) {
        // One that ends may make room for another, wherever that runs.
        if to != TaskState::Running {
            note_for_workers();
        }
        let differences = self.differences(tenant, kind);
        differences.current[from as usize] -= 1;
        differences.current[to as usize] += 1;
        differences.entered[to as usize] += 1;
    }

    pub(super) fn deleted(&mut self, tenant: TenantId, kind: &str, state: TaskState) {
        self.differences(tenant, kind).current[state as usize] -= 1;
    }

    fn differences(&mut self, tenant: TenantId, kind: &str) -> &mut Differences {
        let kinds = self.tenants.entry(tenant.0).or_default();
        // Not `entry`: it wants the kind as an owned string each time.
        if !kinds.contains_key(kind) {
            kinds.insert(kind.to_owned(), Differences::default());
        }
        kinds
            .get_mut(kind)
            .expect("bug: the kind was inserted a line above")
    }

    pub(super) fn save(self, connection: &Connection) -> Result<(), Failure> {
        let mut totals: BTreeMap<&str, Differences> = BTreeMap::new();
        for (tenant, kinds) in &self.tenants {
            let mut share = Differences::default();
            for (kind, differences) in kinds {
                save_counts(connection, *tenant, kind, differences)?;
                totals.entry(kind).or_default().add(differences);
                share.add(differences);
            }
            let queued = share.current[TaskState::Queued as usize];
            let running = share.current[TaskState::Running as usize];
            send(
                connection,
                "INSERT INTO tenant_shares (tenant_id, weight, running_max, pass, queued, running)
                 VALUES (?1, 1, 0, 0, ?2, ?3)
                 ON CONFLICT (tenant_id) DO UPDATE
                 SET queued = tenant_shares.queued + excluded.queued,
                   running = tenant_shares.running + excluded.running",
                params![tenant, queued, running],
            )?;
        }
        for (kind, differences) in &totals {
            save_counts(connection, ALL_TENANTS, kind, differences)?;
        }
        Ok(())
    }
}

impl Differences {
    fn add(&mut self, other: &Differences) {
        self.enqueued += other.enqueued;
        for state in 0..STATES {
            self.current[state] += other.current[state];
            self.entered[state] += other.entered[state];
        }
    }
}

fn save_counts(
    connection: &Connection,
    tenant: i64,
    kind: &str,
    differences: &Differences,
) -> Result<(), Failure> {
    let [
        scheduled,
        queued,
        running,
        succeeded,
        failed,
        cancelled,
        dead,
    ] = differences.current;
    let [
        _,
        _,
        _,
        succeeded_ever,
        failed_ever,
        cancelled_ever,
        dead_ever,
    ] = differences.entered;
    send(
        connection,
        "INSERT INTO task_counts (tenant_id, kind, scheduled, queued, running, succeeded, failed,
           cancelled, dead, enqueued_ever, succeeded_ever, failed_ever, cancelled_ever, dead_ever)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (tenant_id, kind) DO UPDATE SET
           scheduled = task_counts.scheduled + excluded.scheduled, queued = task_counts.queued + excluded.queued,
           running = task_counts.running + excluded.running, succeeded = task_counts.succeeded + excluded.succeeded,
           failed = task_counts.failed + excluded.failed, cancelled = task_counts.cancelled + excluded.cancelled,
           dead = task_counts.dead + excluded.dead, enqueued_ever = task_counts.enqueued_ever + excluded.enqueued_ever,
           succeeded_ever = task_counts.succeeded_ever + excluded.succeeded_ever,
           failed_ever = task_counts.failed_ever + excluded.failed_ever,
           cancelled_ever = task_counts.cancelled_ever + excluded.cancelled_ever,
           dead_ever = task_counts.dead_ever + excluded.dead_ever",
        params![
            tenant,
            kind,
            scheduled,
            queued,
            running,
            succeeded,
            failed,
            cancelled,
            dead,
            differences.enqueued,
            succeeded_ever,
            failed_ever,
            cancelled_ever,
            dead_ever
        ],
    )?;
    Ok(())
}
