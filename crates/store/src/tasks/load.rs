//! What there is to do, for whoever decides how many workers there should be.

use std::collections::HashMap;

use types::Timestamp;

use super::tally::ALL_TENANTS;
use crate::rows::count;
use crate::shard::Shard;
use crate::sql::{collect, first};
use crate::{KindLoad, QueueLoad, Store, StoreError};

/// Scheduled tasks are moved to the queue by whoever claims. Without a worker
/// nobody does, so those whose time has come are looked up: at most a thousand,
/// which says as well as more would that a worker is wanted.
pub(crate) const OVERDUE: &str =
    "SELECT kind FROM tasks WHERE state = 0 AND run_at <= ?1 ORDER BY run_at LIMIT 1000";

const COUNTS: &str = "
    SELECT kind, queued, running, succeeded_ever + failed_ever + cancelled_ever + dead_ever
    FROM task_counts WHERE tenant_id = ?1 ORDER BY kind";

/// One row for each tenant that ever had a task.
const RUNNABLE: &str = "
    SELECT CAST(COALESCE(SUM(CASE
      WHEN running_max = 0 OR queued + running <= running_max THEN queued + running
      WHEN running > running_max THEN running
      ELSE running_max END), 0) AS BIGINT)
    FROM tenant_shares";

impl Store {
    /// What is ready, runs and has ended, by kind, of all tenants. Reads
    /// maintained numbers; takes the same time however long the queue is.
    pub fn queue_load(&self) -> Result<QueueLoad, StoreError> {
        let now = self.now();
        let loads = self.gather(|shard| load_of(shard, now))?;
        Ok(loads.into_iter().fold(QueueLoad::default(), QueueLoad::and))
    }
}

fn load_of(shard: &Shard, now: Timestamp) -> Result<QueueLoad, StoreError> {
    shard.read("read how much there is to do", |connection| {
        let sql = "SELECT kind FROM paused_queues";
        let paused: Vec<String> = collect(connection, sql, [], |row| row.get(0))?;
        let all_paused = paused.iter().any(String::is_empty);
        let mut kinds = collect(connection, COUNTS, [ALL_TENANTS], |row| {
            let kind: String = row.get(0)?;
            Ok(KindLoad {
                is_paused: all_paused || paused.contains(&kind),
                kind,
                ready: count(row, 1)?,
                running: count(row, 2)?,
                ended_ever: count(row, 3)?,
            })
        })?;
        let mut overdue: HashMap<String, u64> = HashMap::new();
        for kind in collect(connection, OVERDUE, [now.0], |row| row.get(0))? {
            *overdue.entry(kind).or_default() += 1;
        }
        for kind in &mut kinds {
            kind.ready += overdue.get(&kind.kind).copied().unwrap_or(0);
        }
        let runnable = first(connection, RUNNABLE, [], |row| count(row, 0))?;
        Ok(QueueLoad {
            kinds,
            runnable: runnable.unwrap_or(0) + overdue.values().sum::<u64>(),
        })
    })
}
