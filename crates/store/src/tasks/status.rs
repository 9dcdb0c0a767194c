//! The queue in numbers.

use std::collections::BTreeMap;

use types::{TenantId, Timestamp};

use super::tally::ALL_TENANTS;
use crate::error::Failure;
use crate::rows::count;
use crate::sql::{Connection, collect, first, params};
use crate::{EverCount, QueueCount, Store, StoreError};

impl Store {
    /// One row for each kind there ever was, by name: of one tenant, or of all.
    /// Reads maintained numbers; takes the same time however long the queue is.
    pub fn queue_status(&self, tenant: Option<TenantId>) -> Result<Vec<QueueCount>, StoreError> {
        self.gather(|shard| {
            shard.read("read the queue's numbers", |connection| {
                let counted = tenant.map_or(ALL_TENANTS, |tenant| tenant.0);
                let mut kinds = collect(connection, COUNTS, [counted], |row| {
                    Ok(QueueCount {
                        kind: row.get(0)?,
                        scheduled: count(row, 1)?,
                        queued: count(row, 2)?,
                        running: count(row, 3)?,
                        succeeded: count(row, 4)?,
                        failed: count(row, 5)?,
                        cancelled: count(row, 6)?,
                        dead: count(row, 7)?,
                        ever: EverCount {
                            enqueued: count(row, 8)?,
                            succeeded: count(row, 9)?,
                            failed: count(row, 10)?,
                            cancelled: count(row, 11)?,
                            dead: count(row, 12)?,
                        },
                        oldest_queued: None,
                    })
                })?;
                let tenants = match tenant {
                    Some(tenant) => vec![tenant.0],
                    None => {
                        let sql = "SELECT tenant_id FROM tenant_shares WHERE queued > 0";
                        collect(connection, sql, [], |row| row.get(0))?
                    }
                };
                for kind in kinds.iter_mut().filter(|kind| kind.queued > 0) {
                    kind.oldest_queued = oldest(connection, &tenants, &kind.kind)?;
                }
                Ok(kinds)
            })
        })
        .map(added)
    }

    /// When the next scheduled task is due; a time that has passed when a claim
    /// is due now. `None` when nothing is scheduled.
    pub fn next_run_at(&self) -> Result<Option<Timestamp>, StoreError> {
        self.gather(|shard| {
            shard.read("look for the next scheduled task", |connection| {
                first(connection, NEXT_RUN, [], |row| Ok(Timestamp(row.get(0)?)))
            })
        })
        .map(|parts| parts.into_iter().flatten().min())
    }
}

/// The numbers of several databases in one list.
fn added(lists: Vec<Vec<QueueCount>>) -> Vec<QueueCount> {
    let mut kinds: BTreeMap<String, QueueCount> = BTreeMap::new();
    for count in lists.into_iter().flatten() {
        let sum = kinds.entry(count.kind.clone()).or_default();
        *sum = std::mem::take(sum).and(count);
    }
    kinds.into_values().collect()
}

const COUNTS: &str = "
    SELECT kind, scheduled, queued, running, succeeded, failed, cancelled, dead, enqueued_ever,
      succeeded_ever, failed_ever, cancelled_ever, dead_ever
    FROM task_counts WHERE tenant_id = ?1 ORDER BY kind";

pub(crate) const NEXT_RUN: &str =
    "SELECT run_at FROM tasks WHERE state = 0 ORDER BY run_at LIMIT 1";

/// First entry of the next rank behind ?3: entries are ordered by rank and time.
pub(crate) const OLDEST: &str = "
    SELECT rank, run_at FROM tasks
    WHERE state = 1 AND tenant_id = ?1 AND kind = ?2 AND rank > ?3
    ORDER BY rank, run_at LIMIT 1";

fn oldest(
    connection: &Connection,
    tenants: &[i64],
    kind: &str,
) -> Result<Option<Timestamp>, Failure> {
    let mut oldest: Option<Timestamp> = None;
    for tenant in tenants {
        let mut behind = -1i64;
        // At most one step for each of the 30 ranks.
        while let Some((rank, run_at)) =
            first(connection, OLDEST, params![tenant, kind, behind], |row| {
                Ok((row.get(0)?, Timestamp(row.get(1)?)))
            })?
        {
            behind = rank;
            oldest = Some(oldest.map_or(run_at, |other| other.min(run_at)));
        }
    }
    Ok(oldest)
}
