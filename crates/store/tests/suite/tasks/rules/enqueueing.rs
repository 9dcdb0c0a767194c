use std::time::Duration;

use store::{EnqueueRunning, NewTask, StoreErrorKind, TaskEnd};
use types::{Priority, TaskId, TaskState, TenantId, Timestamp};

use crate::suite::tasks::conformance::Rules;
use crate::suite::tasks::{keyed, task};

pub(super) fn rules(rules: &mut Rules<'_>) {
    rules.rule("a task is stored as it came", |engine| {
        let parent = engine.enqueue(task("b"));
        let new = NewTask {
            payload: "{\"url\":\"سلام\"}".to_owned(),
            priority: "low:3".parse().unwrap(),
            run_at: Some(engine.later(60)),
            attempts_max: 7,
            timeout: Duration::from_millis(1500),
            parent: Some(parent),
            ..keyed("a", "k")
        };
        let row = engine.task(engine.enqueue(new.clone()));
        assert_eq!((row.state, row.kind), (TaskState::Scheduled, new.kind));
        assert_eq!((row.payload, row.priority), (new.payload, new.priority));
        assert_eq!((Some(row.run_at), row.attempts_max), (new.run_at, 7));
        assert_eq!((row.timeout, row.dedupe), (new.timeout, new.dedupe));
        assert_eq!((row.parent, row.attempt), (Some(parent), 0));
        assert_eq!((row.enqueued_at, row.epoch), (engine.now(), 0));
        assert_eq!((row.worker, row.lease_until, row.error), (None, None, None));
    });
    rules.rule("a time that has passed means now", |engine| {
        let id = engine.enqueue(NewTask {
            run_at: Some(Timestamp(5)),
            ..task("a")
        });
        assert_eq!(engine.state(id), TaskState::Queued);
        assert_eq!(engine.task(id).run_at, engine.now());
    });
    rules.rule(
        "what cannot be queued is refused with the reason",
        |engine| {
            let big = |bytes| NewTask {
                payload: "1".repeat(bytes),
                ..task("a")
            };
            assert!(engine.refusal(task("")).contains("needs a kind"));
            assert!(engine.refusal(task(&"k".repeat(65))).contains("at most 64"));
            assert!(engine.refusal(big(262_145)).contains("at most 262144"));
            let long_key = engine.refusal(keyed("a", &"k".repeat(201)));
            assert!(
                long_key.contains("at most 200 bytes, not 201"),
                "{long_key}"
            );
            let attempts = engine.refusal(NewTask {
                attempts_max: 0,
                ..task("a")
            });
            assert!(attempts.contains("at least one attempt"), "{attempts}");
            let timeout = engine.refusal(NewTask {
                timeout: Duration::ZERO,
                ..task("a")
            });
            assert!(timeout.contains("at least 1 ms"), "{timeout}");
            let tenant = engine.refusal(NewTask {
                tenant: TenantId(77),
                ..task("a")
            });
            assert!(tenant.contains("no tenant 77"), "{tenant}");
            engine.enqueue(big(262_144));
            engine.enqueue(keyed(&"k".repeat(64), &"k".repeat(200)));
        },
    );
    rules.rule("a batch is queued whole or not at all", |engine| {
        let tasks = vec![task("a"), task("")];
        let error = engine.store.enqueue_tasks(tasks).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Conflict);
        assert_eq!(engine.count("a").ever.enqueued, 0);
    });
    rules.rule("a pending task stands for others with its key", |engine| {
        let first = engine.store.enqueue_tasks(vec![
            keyed("a", "k"),
            keyed("a", "k"),
            keyed("a", "l"),
            task("a"),
        ]);
        let created: Vec<bool> = first.unwrap().iter().map(|task| task.created).collect();
        assert_eq!(created, [true, false, true, true]);
        let other = engine.store.ensure_tenant("other").unwrap();
        let theirs = NewTask {
            tenant: other,
            ..keyed("a", "k")
        };
        assert!(engine.store.enqueue_tasks(vec![theirs]).unwrap()[0].created);
        assert_eq!(engine.count("a").queued, 4);
    });
    rules.rule("the better priority and the earlier time win", |engine| {
        let id = engine.enqueue(NewTask {
            priority: Priority::LOW,
            run_at: Some(engine.later(60)),
            ..keyed("a", "k")
        });
        let again = |priority, run_at| {
            let same = engine.enqueue(NewTask {
                priority,
                run_at: Some(run_at),
                ..keyed("a", "k")
            });
            assert_eq!(same, id);
            let row = engine.task(id);
            (row.priority, row.run_at, row.state)
        };
        let (soon, late) = (engine.later(30), engine.later(90));
        let (low, high, waits) = (Priority::LOW, Priority::HIGH, TaskState::Scheduled);
        assert_eq!(again(low, late), (low, engine.later(60), waits));
        assert_eq!(again(high, late), (high, engine.later(60), waits));
        assert_eq!(again(low, soon), (high, soon, waits));
        let now = engine.now();
        assert_eq!(again(low, now), (high, now, TaskState::Queued));
        assert_eq!(engine.count("a").ever.enqueued, 1);
    });
    rules.rule("a running task does not hold its key", |engine| {
        let first = engine.enqueue(keyed("a", "k"));
        engine.claim_one();
        let second = engine.enqueue(keyed("a", "k"));
        assert_ne!(first, second);
        assert_eq!(engine.enqueue(keyed("a", "k")), second);
    });
    rules.rule(
        "who comes back to a key that is taken goes without",
        |engine| {
            let ends = [
                TaskEnd::Released,
                TaskEnd::Retry {
                    error: "e".to_owned(),
                    at: engine.later(5),
                },
                TaskEnd::Snooze {
                    at: engine.later(5),
                    why: "w".to_owned(),
                },
            ];
            for (n, end) in ends.into_iter().enumerate() {
                let key = format!("k{n}");
                let first = engine.enqueue(NewTask {
                    priority: Priority::HIGH,
                    ..keyed("a", &key)
                });
                let run = engine.claim_one();
                assert_eq!(run.id, first);
                let second = engine.enqueue(keyed("b", &key));
                let state = engine.finish(run.task_ref(), end).unwrap();
                assert!(state.is_pending());
                assert_eq!(engine.task(first).dedupe, None);
                assert_eq!(engine.task(second).dedupe, Some(key.clone()));
                assert_eq!(engine.enqueue(keyed("b", &key)), second);
                engine.store.cancel_task(TenantId::DEFAULT, first).unwrap();
            }
        },
    );
    rules.rule("who comes back to a free key keeps it", |engine| {
        let id = engine.enqueue(keyed("a", "k"));
        let run = engine.claim_one().task_ref();
        engine.finish(run, TaskEnd::Released);
        assert_eq!(engine.enqueue(keyed("a", "k")), id);
    });
    rules.rule("a foreground command has its task at once", |engine| {
        let start = |new: NewTask| {
            let until = engine.later(30);
            engine.store.enqueue_running(new, "me", until).unwrap()
        };
        engine.store.pause_queue(None).unwrap();
        let EnqueueRunning::Claimed(run) = start(NewTask {
            run_at: Some(engine.later(60)),
            ..keyed("a", "k")
        }) else {
            panic!("nothing runs yet");
        };
        assert_eq!((run.attempt, run.epoch), (1, 1));
        let row = engine.task(run.id);
        assert_eq!(
            (row.state, row.worker),
            (TaskState::Running, Some("me".to_owned()))
        );
        assert_eq!(row.lease_until, Some(engine.later(30)));
        let again = start(keyed("a", "k"));
        let (id, owner) = (run.id, "me".to_owned());
        assert_eq!(again, EnqueueRunning::AlreadyRunning { id, owner });
        assert_eq!(engine.count("a").ever.enqueued, 1);
        engine.succeed(&run);
    });
    rules.rule("a foreground command takes the pending task", |engine| {
        let id = engine.enqueue(NewTask {
            run_at: Some(engine.later(60)),
            payload: "1".to_owned(),
            ..keyed("a", "k")
        });
        let until = engine.later(30);
        let started = engine.store.enqueue_running(keyed("a", "k"), "me", until);
        let EnqueueRunning::Claimed(run) = started.unwrap() else {
            panic!("nothing runs yet");
        };
        assert_eq!((run.id, run.payload.as_str()), (id, "1"));
        engine.check_counts(&[TenantId::DEFAULT]);
    });
    rules.rule("ids are not used again", |engine| {
        let id = engine.ended(TaskEnd::Cancelled);
        engine.advance(3_000_000);
        let all = store::Retention::default();
        assert_eq!(engine.store.housekeep_tasks(&all, 10).unwrap().cancelled, 1);
        assert_eq!(engine.enqueue(task("a")), TaskId(id.0 + 1));
    });
}
