//! Random operations on the store and on the oracle: after each one both hold
//! the same tasks and give the same numbers.

use proptest::prelude::*;
use proptest::sample::Index;
use store::{Claim, EnqueueRunning, KindLimit, NewTask, Retention, TaskEnd, TaskRef};
use types::{Clock, Priority, Progress, TaskId, TaskState, TenantId};

use super::oracle::{Oracle, Share};
use super::{Engine, task};

const KINDS: [&str; 3] = ["a", "b", "c"];
const TENANTS: i64 = 3;

#[derive(Clone, Debug)]
struct Spec {
    tenant: i64,
    kind: usize,
    rank: u8,
    delay_s: Option<i64>,
    attempts_max: u32,
    key: Option<u8>,
}

#[derive(Clone, Debug)]
enum End {
    Succeeded,
    Failed,
    Cancelled,
    Released,
    Retry(i64),
    Snooze(i64),
}

#[derive(Clone, Debug)]
enum Step {
    Enqueue(Vec<Spec>),
    EnqueueRunning(Spec, u8),
    Claim {
        owner: u8,
        limit: usize,
        kinds: Vec<(usize, u32)>,
    },
    Finish(Vec<(Index, End)>),
    Progress(Index, u64),
    Cancel(Index),
    Retry(Index),
    Rescue(Vec<u8>, bool),
    Release(u8),
    Heartbeat(u8),
    Pause(Option<usize>),
    Resume(Option<usize>),
    Share(i64, u32, u32),
    Advance(i64),
    Housekeep(usize),
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let key = prop::option::of(0..3u8);
    let delay_s = prop::option::weighted(0.4, -5..60i64);
    (1..=TENANTS, 0..KINDS.len(), 0..30u8, delay_s, 1..4u32, key).prop_map(
        |(tenant, kind, rank, delay_s, attempts_max, key)| Spec {
            tenant,
            kind,
            rank,
            delay_s,
            attempts_max,
            key,
        },
    )
}

fn any_end() -> impl Strategy<Value = End> {
    prop_oneof![
        3 => Just(End::Succeeded),
        1 => Just(End::Failed),
        1 => Just(End::Cancelled),
        2 => Just(End::Released),
        3 => (-5..60i64).prop_map(End::Retry),
        2 => (-5..60i64).prop_map(End::Snooze),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let kinds = prop::collection::vec((0..KINDS.len(), 0..4u32), 1..4);
    let ends = prop::collection::vec((any::<Index>(), any_end()), 1..5);
    let kind = || prop::option::of(0..KINDS.len());
    prop_oneof![
        6 => prop::collection::vec(any_spec(), 1..6).prop_map(Step::Enqueue),
        1 => (any_spec(), 0..3u8).prop_map(|(spec, owner)| Step::EnqueueRunning(spec, owner)),
        8 => (0..3u8, 0..6usize, kinds)
            .prop_map(|(owner, limit, kinds)| Step::Claim { owner, limit, kinds }),
        8 => ends.prop_map(Step::Finish),
        2 => (any::<Index>(), 0..5u64).prop_map(|(run, to)| Step::Progress(run, to)),
        2 => any::<Index>().prop_map(Step::Cancel),
        2 => any::<Index>().prop_map(Step::Retry),
        3 => (prop::collection::vec(0..3u8, 0..3), any::<bool>())
            .prop_map(|(lost, expired)| Step::Rescue(lost, expired)),
        1 => (0..3u8).prop_map(Step::Release),
        1 => (0..3u8).prop_map(Step::Heartbeat),
        1 => kind().prop_map(Step::Pause),
        2 => kind().prop_map(Step::Resume),
        3 => (1..=TENANTS, 1..5u32, 0..3u32).prop_map(|(t, w, m)| Step::Share(t, w, m)),
        4 => prop_oneof![4 => 0..40i64, 1 => 3_000..90_000i64, 1 => -30..0i64]
            .prop_map(Step::Advance),
        1 => (0..20usize).prop_map(Step::Housekeep),
    ]
}

struct Pair {
    engine: Engine,
    oracle: Oracle,
    /// Every run there was, lost ones too.
    runs: Vec<TaskRef>,
}

impl Pair {
    fn new() -> Pair {
        let engine = Engine::new();
        for name in ["two", "three"] {
            engine.store.ensure_tenant(name).unwrap();
        }
        let oracle = Oracle {
            now: engine.now().0,
            ..Oracle::default()
        };
        Pair {
            engine,
            oracle,
            runs: Vec::new(),
        }
    }

    fn new_task(&self, spec: &Spec) -> NewTask {
        NewTask {
            tenant: TenantId(spec.tenant),
            priority: Priority::from_rank(spec.rank).unwrap(),
            run_at: spec
                .delay_s
                .map(|s| types::Timestamp(self.oracle.now + s * 1000)),
            attempts_max: spec.attempts_max,
            dedupe: spec.key.map(|key| format!("key {key}")),
            ..task(KINDS[spec.kind])
        }
    }

    fn end(&self, end: &End) -> TaskEnd {
        let at = |seconds: i64| types::Timestamp(self.oracle.now + seconds * 1000);
        match end {
            End::Succeeded => TaskEnd::Succeeded { result: None },
            End::Failed => TaskEnd::Failed {
                error: "e".to_owned(),
            },
            End::Cancelled => TaskEnd::Cancelled,
            End::Released => TaskEnd::Released,
            End::Retry(seconds) => TaskEnd::Retry {
                error: "e".to_owned(),
                at: at(*seconds),
            },
            End::Snooze(seconds) => TaskEnd::Snooze {
                at: at(*seconds),
                why: "w".to_owned(),
            },
        }
    }

    fn any_task(&self, index: &Index) -> Option<(TenantId, TaskId)> {
        let ids: Vec<i64> = self.oracle.tasks.keys().copied().collect();
        let id = (!ids.is_empty()).then(|| *index.get(&ids))?;
        Some((self.oracle.tasks[&id].new.tenant, TaskId(id)))
    }

    fn take(&mut self, step: &Step) {
        let Pair { engine, oracle, .. } = self;
        let store = &engine.store;
        match step {
            Step::Enqueue(specs) => self.enqueue(specs),
            Step::EnqueueRunning(spec, owner) => self.enqueue_running(spec, *owner),
            Step::Claim {
                owner,
                limit,
                kinds,
            } => self.claim(*owner, *limit, kinds),
            Step::Finish(ends) => self.finish(ends),
            Step::Progress(run, to) => self.progress(run, *to),
            Step::Cancel(index) => {
                if let Some((tenant, id)) = self.any_task(index) {
                    let cancelled = self.engine.store.cancel_task(tenant, id).is_ok();
                    assert_eq!(cancelled, self.oracle.cancel(id.0));
                }
            }
            Step::Retry(index) => {
                if let Some((tenant, id)) = self.any_task(index) {
                    let retried = self.engine.store.retry_task(tenant, id).is_ok();
                    assert_eq!(retried, self.oracle.retry(id.0));
                }
            }
            Step::Rescue(lost, expired) => {
                let lost: Vec<String> = lost.iter().map(|o| owner_name(*o)).collect();
                let report = store.rescue_tasks(&lost, *expired).unwrap();
                let ids = |tasks: Vec<TaskId>| tasks.iter().map(|t| t.0).collect::<Vec<_>>();
                let report = [ids(report.queued), ids(report.cancelled), ids(report.dead)];
                assert_eq!(report, oracle.rescue(&lost, *expired));
            }
            Step::Release(owner) => {
                let owner = owner_name(*owner);
                let released = store.release_tasks(&owner).unwrap();
                assert_eq!(released, oracle.release(&owner) as u64);
            }
            Step::Heartbeat(owner) => {
                let owner = owner_name(*owner);
                let until = engine.later(30);
                let told = store.heartbeat(&owner, until).unwrap();
                let told: Vec<i64> = told.iter().map(|(id, _)| id.0).collect();
                let mut expected = oracle.run_by(&owner);
                expected.retain(|id| oracle.tasks[id].cancel_requested);
                assert_eq!(told, expected);
                if let Some(lease) = oracle.leases.get_mut(&owner) {
                    *lease = until.0;
                }
            }
            Step::Pause(kind) => {
                let kind = kind.map(|kind| KINDS[kind]);
                let paused = store.pause_queue(kind).unwrap();
                let name = kind.unwrap_or_default().to_owned();
                assert_eq!(paused, oracle.paused.insert(name));
            }
            Step::Resume(kind) => {
                let kind = kind.map(|kind| KINDS[kind]);
                let resumed = store.resume_queue(kind).unwrap();
                assert_eq!(resumed, oracle.paused.remove(kind.unwrap_or_default()));
            }
            Step::Share(tenant, weight, most) => {
                store
                    .set_tenant_share(TenantId(*tenant), *weight, *most)
                    .unwrap();
                let share = oracle.shares.entry(*tenant).or_insert(Share {
                    weight: 1,
                    running_max: 0,
                    pass: 0,
                });
                share.weight = i64::from(*weight);
                share.running_max = *most as usize;
            }
            Step::Advance(seconds) => {
                oracle.now += seconds * 1000;
                engine.clock.set(types::Timestamp(oracle.now));
                assert_eq!(engine.clock.now().0, oracle.now);
            }
            Step::Housekeep(limit) => {
                store
                    .housekeep_tasks(&Retention::default(), *limit)
                    .unwrap();
                oracle.housekeep(*limit);
            }
        }
    }

    fn enqueue(&mut self, specs: &[Spec]) {
        let tasks: Vec<NewTask> = specs.iter().map(|spec| self.new_task(spec)).collect();
        let enqueued = self.engine.store.enqueue_tasks(tasks.clone()).unwrap();
        let enqueued: Vec<_> = enqueued.iter().map(|e| (e.id.0, e.created)).collect();
        let expected: Vec<_> = tasks.iter().map(|t| self.oracle.enqueue(t)).collect();
        assert_eq!(enqueued, expected);
    }

    fn enqueue_running(&mut self, spec: &Spec, owner: u8) {
        let (new, owner) = (self.new_task(spec), owner_name(owner));
        let until = self.engine.later(30);
        let started = self
            .engine
            .store
            .enqueue_running(new.clone(), &owner, until)
            .unwrap();
        match (started, self.oracle.running_with_key(&new)) {
            (EnqueueRunning::AlreadyRunning { id, owner }, Some(expected)) => {
                // Several may run with one key; any of them is an answer.
                assert_eq!(self.oracle.tasks[&id.0].key, new.dedupe);
                assert_eq!(self.oracle.tasks[&id.0].owner, owner);
                assert!(
                    self.oracle
                        .is_run(expected, self.oracle.tasks[&expected].epoch)
                );
            }
            (EnqueueRunning::Claimed(run), None) => {
                let (id, _) = self.oracle.enqueue(&new);
                assert_eq!(run.id.0, id);
                self.oracle.run(id, &owner, until);
                self.runs.push(run.task_ref());
            }
            (started, expected) => panic!("{started:?}, expected {expected:?}"),
        }
    }

    fn claim(&mut self, owner: u8, limit: usize, kinds: &[(usize, u32)]) {
        let mut limits: Vec<KindLimit> = Vec::new();
        for (kind, running_max) in kinds {
            let kind = KINDS[*kind].to_owned();
            if limits.iter().all(|limit| limit.kind != kind) {
                let running_max = *running_max;
                limits.push(KindLimit { kind, running_max });
            }
        }
        let claim = Claim {
            owner: owner_name(owner),
            lease_until: self.engine.later(30),
            limit,
            kinds: limits.clone(),
            only: None,
        };
        let store = &self.engine.store;
        let promised = store.may_claim(&limits).unwrap();
        let claimed = store.claim_tasks(&claim).unwrap();
        assert!(promised || claimed.is_empty());
        if claimed.len() < limit {
            assert!(!store.may_claim(&limits).unwrap(), "it came back short");
        }
        if limit > 0 {
            self.oracle.promote();
        }
        let open: Vec<_> = limits
            .into_iter()
            .map(|limit| (limit.kind, limit.running_max as usize))
            .collect();
        let mut expected = Vec::new();
        while expected.len() < limit
            && let Some(id) = self.oracle.next(&open)
        {
            self.oracle.run(id, &claim.owner, claim.lease_until);
            expected.push((id, self.oracle.tasks[&id].epoch));
        }
        let ids: Vec<_> = claimed.iter().map(|t| (t.id.0, t.epoch)).collect();
        assert_eq!(ids, expected);
        for run in claimed {
            assert_eq!(
                run.progress.completed,
                self.oracle.tasks[&run.id.0].completed
            );
            self.runs.push(run.task_ref());
        }
    }

    fn finish(&mut self, ends: &[(Index, End)]) {
        if self.runs.is_empty() {
            return;
        }
        let finishes: Vec<_> = ends
            .iter()
            .map(|(run, end)| store::Finish {
                // Mostly of late, so that most of them still run.
                task: self.runs[self.runs.len() - 1 - run.index(self.runs.len().min(8))],
                end: self.end(end),
                follow_ups: Vec::new(),
            })
            .collect();
        let finished = self.engine.store.finish_tasks(finishes.clone()).unwrap();
        for (finish, finished) in finishes.iter().zip(finished) {
            let state = match finished {
                store::Finished::Now { state, .. } => Some(state),
                store::Finished::Lost => None,
            };
            let TaskRef { id, epoch } = finish.task;
            assert_eq!(state, self.oracle.finish(id.0, epoch, &finish.end));
        }
    }

    fn progress(&mut self, run: &Index, completed: u64) {
        if self.runs.is_empty() {
            return;
        }
        let run = *run.get(&self.runs);
        let progress = Progress {
            completed,
            ..Progress::default()
        };
        let signals = self
            .engine
            .store
            .update_progress(vec![(run, progress)])
            .unwrap();
        let expected = if self.oracle.is_run(run.id.0, run.epoch) {
            let task = self.oracle.tasks.get_mut(&run.id.0).unwrap();
            task.completed = completed;
            task.cancel_requested.then_some(store::Signal::Cancel)
        } else {
            Some(store::Signal::Lost)
        };
        assert_eq!(signals.first().map(|(_, signal)| *signal), expected);
    }

    fn compare(&self) {
        let mut rows = Vec::new();
        for tenant in 1..=TENANTS {
            rows.extend(self.engine.all(TenantId(tenant)));
        }
        rows.sort_by_key(|row| row.id);
        assert_eq!(rows.len(), self.oracle.tasks.len());
        for (row, (id, task)) in rows.iter().zip(&self.oracle.tasks) {
            let found = (row.id.0, row.state, row.priority.rank(), row.run_at.0);
            assert_eq!(found, (*id, task.state, task.rank, task.run_at));
            let found = (row.epoch, row.attempt, row.rescues, &row.dedupe);
            assert_eq!(found, (task.epoch, task.attempt, task.rescues, &task.key));
            assert!(row.attempt <= row.attempts_max);
            let leased = (row.state == TaskState::Running).then(|| self.oracle.leases[&task.owner]);
            assert_eq!(row.lease_until.map(|t| t.0), leased);
        }
        assert_eq!(
            self.engine.store.queue_status(None).unwrap(),
            self.oracle.counts()
        );
        let tenants: Vec<TenantId> = (1..=TENANTS).map(TenantId).collect();
        self.engine.check_counts(&tenants);
    }
}

fn owner_name(owner: u8) -> String {
    format!("owner {owner}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::engine::cases(48), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_and_the_oracle_agree(
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.take(step);
            pair.compare();
        }
    }
}
