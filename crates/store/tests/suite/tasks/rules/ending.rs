use store::{Cancelled, Finish, Finished, NewTask, Signal, StoreErrorKind, TaskEnd};
use types::{TaskState, TenantId};

use crate::suite::tasks::conformance::Rules;
use crate::suite::tasks::{Engine, keyed, task};

fn succeeded() -> TaskEnd {
    TaskEnd::Succeeded { result: None }
}

fn failed() -> TaskEnd {
    let error = "broken".to_owned();
    TaskEnd::Failed { error }
}

fn retry(engine: &Engine, seconds: u64) -> TaskEnd {
    TaskEnd::Retry {
        error: "timed out".to_owned(),
        at: engine.later(seconds),
    }
}

pub(super) fn rules(rules: &mut Rules<'_>) {
    rules.rule("an end is kept with its result or error", |engine| {
        engine.enqueue_many(2, &task("a"));
        let runs = engine.claim(2);
        engine.advance(3);
        let result = Some("{\"n\":1}".to_owned());
        engine.finish(runs[0].task_ref(), TaskEnd::Succeeded { result });
        engine.finish(runs[1].task_ref(), failed());
        let done = engine.task(runs[0].id);
        assert_eq!(
            (done.state, done.finished_at),
            (TaskState::Succeeded, Some(engine.now()))
        );
        assert_eq!(done.result.as_deref(), Some("{\"n\":1}"));
        assert_eq!(
            (done.worker.as_deref(), done.lease_until),
            (Some("w"), None)
        );
        let broken = engine.task(runs[1].id);
        assert_eq!(
            (broken.state, broken.error.as_deref()),
            (TaskState::Failed, Some("broken"))
        );
    });
    rules.rule(
        "a retry waits for its time and burns an attempt",
        |engine| {
            let id = engine.enqueue(task("a"));
            for attempt in 1..=2 {
                let run = engine.claim_one();
                assert_eq!(run.attempt, attempt);
                let state = engine.finish(run.task_ref(), retry(engine, 60));
                assert_eq!(state, Some(TaskState::Scheduled));
                let row = engine.task(id);
                assert_eq!(
                    (row.run_at, row.error.as_deref()),
                    (engine.later(60), Some("timed out"))
                );
                engine.advance(60);
            }
            let last = engine.claim_one();
            let state = engine.finish(last.task_ref(), retry(engine, 60));
            assert_eq!(state, Some(TaskState::Dead));
            assert_eq!(engine.task(id).error.as_deref(), Some("timed out"));
        },
    );
    rules.rule("a retry that is due already is queued", |engine| {
        engine.enqueue(task("a"));
        let run = engine.claim_one();
        engine.advance(9);
        let end = TaskEnd::Retry {
            error: String::new(),
            at: run.run_at,
        };
        assert_eq!(engine.finish(run.task_ref(), end), Some(TaskState::Queued));
        assert_eq!(engine.task(run.id).run_at, engine.now());
    });
    rules.rule("snooze and release burn no attempt", |engine| {
        let id = engine.enqueue(NewTask {
            attempts_max: 1,
            ..task("a")
        });
        let due = engine.now();
        for round in 1..=3 {
            let run = engine.claim_one();
            assert_eq!((run.attempt, run.epoch), (1, 2 * round - 1));
            let end = TaskEnd::Snooze {
                at: engine.later(5),
                why: "the host rests".to_owned(),
            };
            assert_eq!(
                engine.finish(run.task_ref(), end),
                Some(TaskState::Scheduled)
            );
            let row = engine.task(id);
            assert_eq!(
                (row.attempt, row.waiting_for.as_deref()),
                (0, Some("the host rests"))
            );
            engine.advance(5);
            let run = engine.claim_one();
            assert_eq!(engine.task(id).waiting_for, None);
            let state = engine.finish(run.task_ref(), TaskEnd::Released);
            assert_eq!(state, Some(TaskState::Queued));
            assert_eq!(engine.task(id).attempt, 0);
        }
        assert!(engine.task(id).run_at > due);
    });
    rules.rule("a released task keeps its place", |engine| {
        let ids = engine.enqueue_many(3, &task("a"));
        let first = engine.claim_one();
        engine.advance(1);
        engine.finish(first.task_ref(), TaskEnd::Released);
        assert_eq!(engine.claim_ids(3), ids);
    });
    rules.rule("a run that is lost changes nothing", |engine| {
        let lost = |run| {
            let finish = Finish {
                task: run,
                end: succeeded(),
                follow_ups: vec![task("b")],
            };
            let finished = engine.store.finish_tasks(vec![finish]).unwrap();
            assert_eq!(finished, [Finished::Lost]);
            for end in [
                failed(),
                retry(engine, 1),
                TaskEnd::Released,
                TaskEnd::Cancelled,
            ] {
                assert_eq!(engine.finish(run, end), None);
            }
            let signals = engine
                .store
                .update_progress(vec![(run, Default::default())]);
            assert_eq!(signals.unwrap(), [(run.id, Signal::Lost)]);
        };
        engine.enqueue(task("a"));
        let old = engine.claim_one();
        engine.store.release_tasks("w").unwrap();
        lost(old.task_ref());
        let new = engine.claim_one();
        lost(old.task_ref());
        assert_eq!(engine.state(new.id), TaskState::Running);
        engine.succeed(&new);
        lost(new.task_ref());
        assert_eq!(engine.count("b").ever.enqueued, 0);
        assert_eq!(engine.task(new.id).progress_seq, 0);
    });
    rules.rule("follow-ups are queued with the end", |engine| {
        engine.enqueue(task("a"));
        let run = engine.claim_one();
        let finish = Finish {
            task: run.task_ref(),
            end: succeeded(),
            follow_ups: vec![
                NewTask {
                    parent: Some(run.id),
                    ..keyed("b", "k")
                },
                keyed("b", "k"),
            ],
        };
        let finished = engine.store.finish_tasks(vec![finish]).unwrap().remove(0);
        let Finished::Now { state, follow_ups } = finished else {
            panic!("the run was current");
        };
        assert_eq!(state, TaskState::Succeeded);
        assert_eq!(follow_ups[0].id, follow_ups[1].id);
        assert_eq!(engine.task(follow_ups[0].id).parent, Some(run.id));
        assert_eq!(engine.claim_ids(9), [follow_ups[0].id]);
    });
    rules.rule(
        "an end that cannot be kept fails that task only",
        |engine| {
            engine.enqueue_many(3, &task("a"));
            let runs = engine.claim(3);
            let result = Some("1".repeat(262_145));
            let finishes = vec![
                finish(&runs[0], TaskEnd::Succeeded { result }, Vec::new()),
                finish(&runs[1], succeeded(), vec![task("b"), task("")]),
                finish(&runs[2], succeeded(), vec![task("b")]),
            ];
            engine.store.finish_tasks(finishes).unwrap();
            let too_big = engine.task(runs[0].id);
            assert_eq!((too_big.state, too_big.result), (TaskState::Failed, None));
            assert!(too_big.error.unwrap().contains("at most 262144"));
            let refused = engine.task(runs[1].id);
            assert_eq!(refused.state, TaskState::Failed);
            assert!(refused.error.unwrap().contains("needs a kind"));
            assert_eq!(engine.state(runs[2].id), TaskState::Succeeded);
            assert_eq!(engine.count("b").ever.enqueued, 1);
            engine.check_counts(&[TenantId::DEFAULT]);
        },
    );
    rules.rule("a pending task is cancelled at once", |engine| {
        let queued = engine.enqueue(task("a"));
        let waits = engine.enqueue(NewTask {
            run_at: Some(engine.later(5)),
            ..task("a")
        });
        for id in [queued, waits] {
            let cancelled = engine.store.cancel_task(TenantId::DEFAULT, id).unwrap();
            assert_eq!(cancelled, Cancelled::Now);
            assert_eq!(engine.task(id).finished_at, Some(engine.now()));
        }
        engine.advance(9);
        assert!(engine.claim(9).is_empty());
    });
    rules.rule("a running task is asked to stop", |engine| {
        let id = engine.enqueue(task("a"));
        engine.enqueue(task("a"));
        let run = engine.claim(2).remove(0);
        let cancelled = engine.store.cancel_task(TenantId::DEFAULT, id).unwrap();
        assert_eq!(cancelled, Cancelled::Requested);
        assert!(engine.task(id).cancel_requested);
        let told = vec![(id, Signal::Cancel)];
        let heard = engine.store.heartbeat("w", engine.later(60)).unwrap();
        assert_eq!(heard, told);
        assert_eq!(engine.store.heartbeat("x", engine.later(60)).unwrap(), []);
        let progress = vec![(run.task_ref(), Default::default())];
        assert_eq!(engine.store.update_progress(progress).unwrap(), told);
        let state = engine.finish(run.task_ref(), TaskEnd::Cancelled);
        assert_eq!(state, Some(TaskState::Cancelled));
    });
    rules.rule(
        "a cancel request leaves an end that was reached",
        |engine| {
            let ends = [
                (succeeded(), TaskState::Succeeded),
                (failed(), TaskState::Failed),
                (retry(engine, 5), TaskState::Cancelled),
                (TaskEnd::Released, TaskState::Cancelled),
            ];
            for (end, expected) in ends {
                let id = engine.enqueue(task("a"));
                let run = engine.claim_one();
                engine.store.cancel_task(TenantId::DEFAULT, id).unwrap();
                assert_eq!(engine.finish(run.task_ref(), end), Some(expected));
            }
        },
    );
    rules.rule("a finished task cannot be cancelled", |engine| {
        let id = engine.ended(succeeded());
        let error = engine.store.cancel_task(TenantId::DEFAULT, id).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Conflict);
        let expected = format!("task {id} is already succeeded");
        assert!(error.to_string().contains(&expected), "{error}");
    });
    rules.rule(
        "dead, failed and cancelled tasks can be retried",
        |engine| {
            for end in [retry(engine, 0), failed(), TaskEnd::Cancelled] {
                let id = engine.ended(end);
                engine.store.retry_task(TenantId::DEFAULT, id).unwrap();
                let row = engine.task(id);
                assert_eq!(
                    (row.state, row.attempt, row.epoch),
                    (TaskState::Queued, 0, 1)
                );
                assert_eq!((row.finished_at, row.cancel_requested), (None, false));
                let run = engine.claim_one();
                assert_eq!((run.id, run.attempt, run.epoch), (id, 1, 2));
                engine.succeed(&run);
            }
            assert_eq!(engine.count("a").ever.dead, 1);
        },
    );
    rules.rule("no other task can be retried", |engine| {
        let check = |id, state: &str| {
            let error = engine.store.retry_task(TenantId::DEFAULT, id).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Conflict);
            assert!(
                error.to_string().contains(&format!("is {state};")),
                "{error}"
            );
        };
        check(engine.ended(succeeded()), "succeeded");
        let id = engine.enqueue(task("a"));
        check(id, "queued");
        engine.claim_one();
        check(id, "running");
    });
    rules.rule("a retry by hand does not push in on a key", |engine| {
        let old = engine.enqueue(keyed("a", "k"));
        engine.store.cancel_task(TenantId::DEFAULT, old).unwrap();
        let new = engine.enqueue(keyed("a", "k"));
        let error = engine.store.retry_task(TenantId::DEFAULT, old).unwrap_err();
        assert!(
            error.to_string().contains(&format!("task {new} ")),
            "{error}"
        );
    });
    rules.rule("another tenant's task does not exist", |engine| {
        let other = engine.store.ensure_tenant("other").unwrap();
        let id = engine.enqueue(task("a"));
        let errors = [
            engine.store.task(other, id).map(|_| ()),
            engine.store.cancel_task(other, id).map(|_| ()),
            engine.store.retry_task(other, id),
        ];
        for error in errors {
            assert_eq!(error.unwrap_err().kind(), StoreErrorKind::NotFound);
        }
        assert_eq!(engine.all(other), []);
        assert_eq!(engine.store.queue_status(Some(other)).unwrap(), []);
        assert_eq!(engine.state(id), TaskState::Queued);
    });
}

fn finish(run: &store::ClaimedTask, end: TaskEnd, follow_ups: Vec<NewTask>) -> Finish {
    Finish {
        task: run.task_ref(),
        end,
        follow_ups,
    }
}
