use store::{Retention, TaskEnd, TaskRef};
use types::{Progress, TaskState, TenantId};

use crate::suite::tasks::conformance::Rules;
use crate::suite::tasks::{Engine, task};

fn w() -> Vec<String> {
    vec!["w".to_owned()]
}

fn get_to(engine: &Engine, run: TaskRef, completed: u64) {
    let progress = Progress {
        completed,
        ..Progress::default()
    };
    let signals = engine.store.update_progress(vec![(run, progress)]);
    assert_eq!(signals.unwrap(), []);
}

pub(super) fn rules(rules: &mut Rules<'_>) {
    rules.rule("tasks of a lost owner are queued again", |engine| {
        let ids = engine.enqueue_many(3, &task("a"));
        engine.claim(2);
        engine.claim_as("x", 1, &["a"]);
        assert_eq!(engine.store.running_owners().unwrap(), ["w", "x"]);
        let report = engine.store.rescue_tasks(&w(), false).unwrap();
        assert_eq!(report.queued, ids[..2]);
        assert_eq!(engine.store.running_owners().unwrap(), ["x"]);
        let row = engine.task(ids[0]);
        assert_eq!(
            (row.state, row.attempt, row.rescues),
            (TaskState::Queued, 0, 1)
        );
        assert_eq!((row.lease_until, row.worker.as_deref()), (None, Some("w")));
        assert_eq!(engine.state(ids[2]), TaskState::Running);
        let again = engine.store.rescue_tasks(&w(), false).unwrap();
        assert_eq!(again.queued, []);
    });
    rules.rule("a lease that ran out gives its tasks back", |engine| {
        let id = engine.enqueue(task("a"));
        let old = engine.claim_one();
        engine.advance(20);
        engine.store.heartbeat("w", engine.later(30)).unwrap();
        assert_eq!(engine.task(id).lease_until, Some(engine.later(30)));
        engine.advance(29);
        assert_eq!(engine.store.rescue_tasks(&[], true).unwrap().queued, []);
        engine.advance(1);
        assert_eq!(engine.store.rescue_tasks(&[], false).unwrap().queued, []);
        assert_eq!(engine.store.rescue_tasks(&[], true).unwrap().queued, [id]);
        // The worker was only slow: its end comes too late, and its heartbeat
        // brings nothing back.
        engine.store.heartbeat("w", engine.later(30)).unwrap();
        assert_eq!(engine.finish(old.task_ref(), TaskEnd::Cancelled), None);
        let new = engine.claim_as("x", 1, &["a"]).remove(0);
        assert_eq!((new.id, new.epoch, new.attempt), (id, 2, 1));
        engine.succeed(&new);
    });
    rules.rule(
        "the fifth worker lost without progress is the last",
        |engine| {
            let id = engine.enqueue(task("a"));
            for round in 1..=5 {
                let run = engine.claim_one();
                assert_eq!(run.attempt, 1);
                get_to(engine, run.task_ref(), 0);
                let report = engine.store.rescue_tasks(&w(), false).unwrap();
                assert_eq!(report.dead.len(), usize::from(round == 5));
            }
            let row = engine.task(id);
            assert_eq!((row.state, row.rescues), (TaskState::Dead, 5));
            assert!(row.error.unwrap().contains("died five times"));
            engine.store.retry_task(TenantId::DEFAULT, id).unwrap();
            engine.claim_one();
            engine.store.rescue_tasks(&w(), false).unwrap();
            assert_eq!(engine.task(id).rescues, 1);
        },
    );
    rules.rule("progress counts from the last rescue on", |engine| {
        let id = engine.enqueue(task("a"));
        for round in 1..=5 {
            let run = engine.claim_one();
            get_to(engine, run.task_ref(), 7);
            engine.store.rescue_tasks(&w(), false).unwrap();
            assert_eq!(engine.task(id).rescues, round);
        }
        assert_eq!(engine.state(id), TaskState::Dead);
    });
    rules.rule("who gets further may lose more workers", |engine| {
        let id = engine.enqueue(task("a"));
        for round in 1..=12 {
            let run = engine.claim_one();
            assert_eq!(run.progress.completed, (round - 1) / 3);
            get_to(engine, run.task_ref(), round / 3);
            engine.store.rescue_tasks(&w(), false).unwrap();
        }
        let row = engine.task(id);
        assert_eq!((row.state, row.rescues), (TaskState::Queued, 1));
    });
    rules.rule("a rescue ends what was to be cancelled", |engine| {
        let id = engine.enqueue(task("a"));
        engine.claim_one();
        engine.store.cancel_task(TenantId::DEFAULT, id).unwrap();
        let report = engine.store.rescue_tasks(&w(), false).unwrap();
        assert_eq!((report.cancelled, report.queued), (vec![id], vec![]));
        assert_eq!(engine.state(id), TaskState::Cancelled);
    });
    rules.rule("a worker that stops gives everything back", |engine| {
        let ids = engine.enqueue_many(3, &task("a"));
        let runs = engine.claim(3);
        engine.store.cancel_task(TenantId::DEFAULT, ids[2]).unwrap();
        assert_eq!(engine.store.release_tasks("w").unwrap(), 3);
        assert_eq!(engine.store.release_tasks("w").unwrap(), 0);
        assert_eq!(engine.state(ids[2]), TaskState::Cancelled);
        assert_eq!(engine.task(ids[0]).attempt, 0);
        assert_eq!(engine.finish(runs[0].task_ref(), TaskEnd::Released), None);
        assert_eq!(engine.claim_ids(9), ids[..2]);
    });
    rules.rule("finished tasks go when their time has come", |engine| {
        let error = || "e".to_owned();
        let done = engine.ended(TaskEnd::Succeeded { result: None });
        let failed = engine.ended(TaskEnd::Failed { error: error() });
        let cancelled = engine.ended(TaskEnd::Cancelled);
        let at = engine.now();
        let dead = engine.ended(TaskEnd::Retry { error: error(), at });
        engine.enqueue_many(2, &task("a"));
        engine.claim_one();
        let left = || -> Vec<_> { engine.all(TenantId::DEFAULT).iter().map(|t| t.id).collect() };
        let sweep = || {
            let report = engine.store.housekeep_tasks(&Retention::default(), 10);
            let report = report.unwrap();
            assert!(!report.more);
            left().len()
        };
        engine.advance(3599);
        assert_eq!(sweep(), 6);
        engine.advance(1);
        assert_eq!(sweep(), 5);
        assert!(!left().contains(&done));
        engine.advance(23 * 3600);
        assert_eq!(sweep(), 3);
        assert!(!left().contains(&failed) && !left().contains(&cancelled));
        engine.advance(6 * 24 * 3600);
        assert_eq!(sweep(), 2);
        assert!(!left().contains(&dead));
        engine.advance(100 * 24 * 3600);
        assert_eq!(sweep(), 2);
        engine.check_counts(&[TenantId::DEFAULT]);
        assert_eq!(engine.count("a").ever.succeeded, 1);
    });
    rules.rule("housekeeping stays within its limit", |engine| {
        engine.enqueue_many(5, &task("a"));
        for run in engine.claim(5) {
            get_to(engine, run.task_ref(), 1);
            engine.succeed(&run);
        }
        engine.advance(3600);
        let sweep = |limit| {
            let report = engine.store.housekeep_tasks(&Retention::default(), limit);
            let report = report.unwrap();
            (report.succeeded, report.more)
        };
        assert_eq!(sweep(3), (3, true));
        assert_eq!(sweep(3), (2, false));
        assert_eq!(sweep(3), (0, false));
    });
}
