//! Whose turn it is: stride scheduling between tenants (Waldspurger and Weihl,
//! 1995), priorities within one.
//!
//! Each tenant has a pass that grows by `STRIDE / weight` with each task it is
//! given; the smallest pass goes first. The pass of the last turn is the floor:
//! whoever was idle or held back behind it goes on from there, so that nobody
//! saves up turns.

use std::collections::{BTreeMap, VecDeque};

use types::{TaskId, TenantId};

use crate::KindLimit;
use crate::error::Failure;
use crate::rows::{as_i64, count, small};
use crate::sql::{Connection, collect, execute, first, params};

use super::tally::ALL_TENANTS;

/// Fine enough for weights up to a thousand.
const STRIDE: i64 = 1_000_000;
pub(super) const WEIGHT_MAX: u32 = 1_000;
/// Tenants read at a time.
const TENANTS_READ: usize = 64;
/// Head entries of a queue read at a time.
const HEADS_READ: usize = 32;

pub(crate) const TURNS: &str = "
    SELECT pass, tenant_id, weight, running, running_max FROM tenant_shares
    WHERE queued > 0 AND (pass, tenant_id) > (?1, ?2)
    ORDER BY pass, tenant_id LIMIT ?3";

pub(crate) const HEADS: &str = "
    SELECT rank, run_at, id FROM tasks
    WHERE state = 1 AND tenant_id = ?1 AND kind = ?2
    ORDER BY rank, run_at, id LIMIT ?3";

/// Kinds that may still be given out, with how many of each.
#[derive(Debug)]
pub(super) struct OpenKinds(Vec<(String, Option<u64>)>);

impl OpenKinds {
    /// Of `limits` those that are neither paused nor at their limit.
    pub(super) fn read(connection: &Connection, limits: &[KindLimit]) -> Result<Self, Failure> {
        let sql = "SELECT kind FROM paused_queues";
        let paused: Vec<String> = collect(connection, sql, [], |row| row.get(0))?;
        if paused.iter().any(String::is_empty) {
            return Ok(OpenKinds(Vec::new()));
        }
        let mut open = Vec::new();
        for limit in limits.iter().filter(|limit| !paused.contains(&limit.kind)) {
            let left = match limit.running_max {
                0 => None,
                most => Some(u64::from(most).saturating_sub(running(connection, &limit.kind)?)),
            };
            if left != Some(0) {
                open.push((limit.kind.clone(), left));
            }
        }
        Ok(OpenKinds(open))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, kind: &str) -> bool {
        self.0.iter().any(|(open, _)| open == kind)
    }

    fn take_one(&mut self, kind: &str) {
        self.0.retain_mut(|(open, left)| {
            if open == kind
                && let Some(left) = left
            {
                *left -= 1;
                return *left > 0;
            }
            true
        });
    }
}

/// Running tasks of a kind in all processes together.
fn running(connection: &Connection, kind: &str) -> Result<u64, Failure> {
    let sql = "SELECT running FROM task_counts WHERE tenant_id = ?1 AND kind = ?2";
    let running = first(connection, sql, params![ALL_TENANTS, kind], |row| {
        count(row, 0)
    })?;
    Ok(running.unwrap_or(0))
}

/// True when the tenant runs as many tasks as it may.
pub(super) fn is_at_its_cap(connection: &Connection, tenant: TenantId) -> Result<bool, Failure> {
    let sql = "SELECT running_max > 0 AND running >= running_max FROM tenant_shares
               WHERE tenant_id = ?1";
    let capped = first(connection, sql, [tenant.0], |row| row.get(0))?;
    Ok(capped.unwrap_or(false))
}

/// Gives out queued tasks in fair order. Each task that [`Turns::next`] names
/// must be taken out of the queue before the next call.
#[derive(Debug)]
pub(super) struct Turns<'c> {
    connection: &'c Connection,
    open: OpenKinds,
    /// Tenants that may have something to run, by pass and id.
    waiting: BTreeMap<(i64, i64), Share>,
    /// Last tenant read; the ones behind it are not in `waiting` yet.
    last_read: Option<(i64, i64)>,
    floor: i64,
    /// New passes of the tenants that had a turn.
    passes: BTreeMap<i64, i64>,
}

#[derive(Debug)]
struct Share {
    weight: i64,
    running: u64,
    running_max: u64,
    /// By kind; read at the tenant's first turn.
    queues: Option<Vec<Queue>>,
}

/// The front of one tenant's queue of one kind.
#[derive(Debug)]
struct Queue {
    kind: String,
    heads: VecDeque<(u8, i64, i64)>,
    /// All that is queued is in `heads`.
    is_all: bool,
}

impl<'c> Turns<'c> {
    pub(super) fn begin(connection: &'c Connection, open: OpenKinds) -> Result<Self, Failure> {
        Ok(Turns {
            connection,
            open,
            waiting: BTreeMap::new(),
            last_read: Some((i64::MIN, i64::MIN)),
            floor: crate::counters::value(connection, "task_pass")?,
            passes: BTreeMap::new(),
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<TaskId>, Failure> {
        while !self.open.is_empty() {
            self.read_tenants()?;
            let Some(((pass, tenant), mut share)) = self.waiting.pop_first() else {
                break;
            };
            // A tenant that has nothing it may run is out until the next claim.
            let Some((kind, task)) = share.pick(self.connection, tenant, &self.open)? else {
                continue;
            };
            self.open.take_one(&kind);
            share.running += 1;
            self.floor = self.floor.max(pass);
            let pass = self.floor.saturating_add(STRIDE / share.weight);
            self.passes.insert(tenant, pass);
            self.waiting.insert((pass, tenant), share);
            return Ok(Some(task));
        }
        Ok(None)
    }

    pub(super) fn save(self) -> Result<(), Failure> {
        if self.passes.is_empty() {
            return Ok(());
        }
        for (tenant, pass) in &self.passes {
            execute(
                self.connection,
                "UPDATE tenant_shares SET pass = ?2 WHERE tenant_id = ?1",
                [tenant, pass],
            )?;
        }
        execute(
            self.connection,
            "UPDATE counters SET value = ?1 WHERE name = 'task_pass'",
            [self.floor],
        )?;
        Ok(())
    }

    /// Reads on until the first of `waiting` is the first of all.
    fn read_tenants(&mut self) -> Result<(), Failure> {
        while let Some(last) = self.last_read {
            if let Some((first, _)) = self.waiting.first_key_value()
                && *first <= last
            {
                break;
            }
            let parameters = params![last.0, last.1, as_i64(TENANTS_READ)];
            let read = collect(self.connection, TURNS, parameters, |row| {
                let share = Share {
                    weight: row.get::<i64>(2)?.max(1),
                    running: count(row, 3)?,
                    running_max: u64::from(small(row, 4)?),
                    queues: None,
                };
                Ok(((row.get(0)?, row.get(1)?), share))
            })?;
            self.last_read = read.last().map(|(key, _)| *key);
            if read.len() < TENANTS_READ {
                self.last_read = None;
            }
            self.waiting.extend(read);
        }
        Ok(())
    }
}

impl Share {
    /// Takes the tenant's first task of an open kind.
    fn pick(
        &mut self,
        connection: &Connection,
        tenant: i64,
        open: &OpenKinds,
    ) -> Result<Option<(String, TaskId)>, Failure> {
        if self.running_max > 0 && self.running >= self.running_max {
            return Ok(None);
        }
        let queues = match &mut self.queues {
            Some(queues) => queues,
            None => self.queues.insert(queues_of(connection, tenant)?),
        };
        queues.retain(|queue| open.contains(&queue.kind));
        let mut best: Option<(&mut Queue, (u8, i64, i64))> = None;
        for queue in queues {
            let Some(head) = queue.head(connection, tenant)? else {
                continue;
            };
            if best.as_ref().is_none_or(|(_, other)| head < *other) {
                best = Some((queue, head));
            }
        }
        Ok(best.map(|(queue, head)| {
            queue.heads.pop_front();
            (queue.kind.clone(), TaskId(head.2))
        }))
    }
}

fn queues_of(connection: &Connection, tenant: i64) -> Result<Vec<Queue>, Failure> {
    let sql = "SELECT kind FROM task_counts WHERE tenant_id = ?1 AND queued > 0";
    collect(connection, sql, [tenant], |row| {
        Ok(Queue {
            kind: row.get(0)?,
            heads: VecDeque::new(),
            is_all: false,
        })
    })
}

impl Queue {
    fn head(
        &mut self,
        connection: &Connection,
        tenant: i64,
    ) -> Result<Option<(u8, i64, i64)>, Failure> {
        if self.heads.is_empty() && !self.is_all {
            let parameters = params![tenant, self.kind, as_i64(HEADS_READ)];
            let read = collect(connection, HEADS, parameters, |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            self.is_all = read.len() < HEADS_READ;
            self.heads.extend(read);
        }
        Ok(self.heads.front().copied())
    }
}
