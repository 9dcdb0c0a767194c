//! Giving tasks to workers.

use types::{TaskState, TenantId, Timestamp};

use super::check_owner;
use super::fair::{OpenKinds, Turns, WEIGHT_MAX, is_at_its_cap};
use super::step::{read_held, run, set_lease};
use super::tally::Tally;
use crate::error::Failure;
use crate::shard::Shard;
use crate::sql::{Connection, collect, execute, first, params};
use crate::tenants::check_tenant;
use crate::watch::note_for_workers;
use crate::{Claim, ClaimedTask, KindLimit, Store, StoreError};

/// Tasks given out at once at most: about 20 ms of the writer's time.
const CLAIMED_MAX: usize = 1_000;

/// At most a thousand at a time; the next claim goes on.
pub(crate) const PROMOTE: &str = "
    UPDATE tasks SET state = 1
    WHERE id IN (SELECT id FROM tasks WHERE state = 0 AND run_at <= ?1
                 ORDER BY run_at LIMIT 1000)
    RETURNING tenant_id, kind";

const DUE: &str = "SELECT 1 FROM tasks WHERE state = 0 AND run_at <= ?1 LIMIT 1";

impl Store {
    /// Gives `claim.owner` the tasks that are next, first come first, and
    /// renews its lease. Scheduled tasks whose time has come count as queued.
    ///
    /// A kind that is paused or at its limit, and a tenant at its cap, are
    /// passed over. Takes the same time however long the queue is.
    pub fn claim_tasks(&self, claim: &Claim) -> Result<Vec<ClaimedTask>, StoreError> {
        let now = self.now();
        check_owner(&claim.owner)
            .map_err(|refused| refused.into_store_error("claim tasks", "every database"))?;
        // Who wants none leaves everything as it is, however many databases there are.
        if claim.limit == 0 {
            return Ok(Vec::new());
        }
        if let Some(only) = claim.only {
            return claim_from(self.holder(only)?, claim.clone(), now);
        }
        let shards: Vec<&Shard> = self.all().collect();
        if let [only] = shards[..] {
            return claim_from(only, claim.clone(), now);
        }
        // Each time another is asked first, so that none is left over.
        let first = self.next_turn();
        let mut claimed: Vec<ClaimedTask> = Vec::new();
        for turn in 0..shards.len() {
            let shard = shards[(first + turn) % shards.len()];
            let limit = claim.limit - claimed.len();
            if limit > 0 && self.answers(shard, |s| has_some(s, &claim.kinds, now))? == Some(true) {
                let claim = Claim {
                    limit,
                    ..claim.clone()
                };
                claimed.extend(claim_from(shard, claim, now)?);
            }
        }
        Ok(claimed)
    }

    /// False when a claim of these kinds would come back empty. A read, so that
    /// a worker may ask after every commit without making another.
    pub fn may_claim(&self, kinds: &[KindLimit]) -> Result<bool, StoreError> {
        let now = self.now();
        let found = self.gather(|shard| has_some(shard, kinds, now))?;
        Ok(found.contains(&true))
    }

    /// Sets a tenant's part of the workers: `weight` (1 to 1,000; 1 unless set)
    /// against the other tenants' weights, and how many of its tasks may run at
    /// a time, 0 for no limit.
    pub fn set_tenant_share(
        &self,
        tenant: TenantId,
        weight: u32,
        running_max: u32,
    ) -> Result<(), StoreError> {
        self.write_every("set the tenant's share", move |connection| {
            if !(1..=WEIGHT_MAX).contains(&weight) {
                return Err(Failure::conflict(format!(
                    "a tenant's weight is 1 to {WEIGHT_MAX}, not {weight}"
                )));
            }
            check_tenant(connection, tenant)?;
            note_for_workers();
            execute(
                connection,
                "INSERT INTO tenant_shares (tenant_id, weight, running_max, pass, queued, running)
                 VALUES (?1, ?2, ?3, 0, 0, 0)
                 ON CONFLICT (tenant_id) DO UPDATE
                 SET weight = excluded.weight, running_max = excluded.running_max",
                params![tenant.0, weight, running_max],
            )?;
            Ok(())
        })?;
        Ok(())
    }
}

fn claim_from(shard: &Shard, claim: Claim, now: Timestamp) -> Result<Vec<ClaimedTask>, StoreError> {
    shard.write("claim tasks", move |connection| {
        check_owner(&claim.owner)?;
        promote(connection, now)?;
        let mut tally = Tally::default();
        let claimed = match claim.only {
            Some(_) => claim_only(connection, &mut tally, &claim, now)?,
            None => claim_next(connection, &mut tally, &claim, now)?,
        };
        if !claimed.is_empty() {
            set_lease(connection, &claim.owner, claim.lease_until)?;
        }
        tally.save(connection)?;
        Ok(claimed)
    })
}

fn has_some(shard: &Shard, kinds: &[KindLimit], now: Timestamp) -> Result<bool, StoreError> {
    shard.read("look for queued tasks", |connection| {
        let due = first(connection, DUE, [now.0], |_| Ok(()))?;
        if due.is_some() {
            return Ok(true);
        }
        let open = OpenKinds::read(connection, kinds)?;
        Ok(Turns::begin(connection, open)?.next()?.is_some())
    })
}

fn promote(connection: &Connection, now: Timestamp) -> Result<(), Failure> {
    let promoted: Vec<(TenantId, String)> = collect(connection, PROMOTE, [now.0], |row| {
        Ok((TenantId(row.get(0)?), row.get(1)?))
    })?;
    let mut tally = Tally::default();
    for (tenant, kind) in &promoted {
        tally.moved(*tenant, kind, TaskState::Scheduled, TaskState::Queued);
    }
    tally.save(connection)
}

fn claim_next(
    connection: &Connection,
    tally: &mut Tally,
    claim: &Claim,
    now: Timestamp,
) -> Result<Vec<ClaimedTask>, Failure> {
    let open = OpenKinds::read(connection, &claim.kinds)?;
    let mut turns = Turns::begin(connection, open)?;
    let mut claimed = Vec::new();
    while claimed.len() < claim.limit.min(CLAIMED_MAX) {
        let Some(id) = turns.next()? else {
            break;
        };
        let task = run(connection, tally, id, TaskState::Queued, &claim.owner, now)?;
        claimed.push(task);
    }
    turns.save()?;
    Ok(claimed)
}

fn claim_only(
    connection: &Connection,
    tally: &mut Tally,
    claim: &Claim,
    now: Timestamp,
) -> Result<Vec<ClaimedTask>, Failure> {
    let Some(id) = claim.only.filter(|_| claim.limit > 0) else {
        return Ok(Vec::new());
    };
    let Some(task) = read_held(connection, id)? else {
        return Ok(Vec::new());
    };
    let open = OpenKinds::read(connection, &claim.kinds)?;
    let may_run = task.state == TaskState::Queued
        && open.contains(&task.kind)
        && !is_at_its_cap(connection, task.tenant)?;
    if !may_run {
        return Ok(Vec::new());
    }
    let claimed = run(connection, tally, id, task.state, &claim.owner, now)?;
    Ok(vec![claimed])
}
