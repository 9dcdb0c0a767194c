use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use store::{Commit, NewTask, TaskEnd, TaskFilter};
use types::{Priority, Progress, TaskState, TenantId};

use crate::suite::tasks::conformance::Rules;
use crate::suite::tasks::task;

pub(super) fn rules(rules: &mut Rules<'_>) {
    rules.rule(
        "progress is kept, numbered and given to the next run",
        |engine| {
            let id = engine.enqueue(task("a"));
            let run = engine.claim_one().task_ref();
            let progress = |completed| Progress {
                completed,
                total: Some(9),
                current: Some("https://site.example/".to_owned()),
                errors: 2,
            };
            for seq in 1..=3 {
                let update = vec![(run, progress(seq))];
                assert_eq!(engine.store.update_progress(update).unwrap(), []);
                let row = engine.task(id);
                assert_eq!((row.progress_seq, row.progress), (seq, progress(seq)));
            }
            engine.finish(run, TaskEnd::Released);
            assert_eq!(engine.claim_one().progress, progress(3));
        },
    );
    rules.rule("looking for work in vain rings no bell", |engine| {
        let rung = Arc::new(AtomicU64::new(0));
        let counted = rung.clone();
        let _bell = engine.store.on_commit(Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        }));
        engine.enqueue_many(2, &task("a"));
        let mut one_at_a_time = engine.want("w", 9, &["a"]);
        one_at_a_time.kinds[0].running_max = 1;
        assert_eq!(engine.store.claim_tasks(&one_at_a_time).unwrap().len(), 1);
        let before = rung.load(Ordering::SeqCst);
        assert_eq!(before, 2);
        for _ in 0..3 {
            assert!(!engine.store.may_claim(&one_at_a_time.kinds).unwrap());
            assert_eq!(engine.store.claim_tasks(&one_at_a_time).unwrap(), []);
        }
        assert_eq!(rung.load(Ordering::SeqCst), before);
    });
    rules.rule(
        "a commit says whether workers have something of it, and whose it is",
        |engine| {
            let heard: Arc<Mutex<Vec<Commit>>> = Arc::default();
            let hears = heard.clone();
            let listener = move |commit| hears.lock().unwrap().push(commit);
            let _bell = engine.store.on_any_commit(Arc::new(listener));
            let store = &engine.store;
            let check = |expected: &[bool]| {
                let heard = std::mem::take(&mut *heard.lock().unwrap());
                let own = |is_for_workers: &bool| Commit {
                    is_own: true,
                    is_for_workers: *is_for_workers,
                };
                assert_eq!(heard, expected.iter().map(own).collect::<Vec<_>>());
            };
            let id = engine.enqueue(task("a"));
            check(&[true]);
            let run = engine.claim_one().task_ref();
            check(&[false]);
            let update = vec![(run, Progress::default())];
            store.update_progress(update).unwrap();
            check(&[false]);
            store.cancel_task(TenantId::DEFAULT, id).unwrap();
            check(&[true]);
            engine.finish(run, TaskEnd::Released);
            check(&[true]);
            // A pause is written to each database.
            let each = store.shards().len();
            store.pause_queue(Some("a")).unwrap();
            check(&vec![false; each]);
            store.resume_queue(Some("a")).unwrap();
            check(&vec![true; each]);
            // A group that fails leaves nothing behind for the next one.
            assert!(store.hurry_task(TenantId::DEFAULT, id).is_err());
            store.pause_queue(Some("a")).unwrap();
            check(&vec![false; each]);
            store.heard_of_commit(true);
            let other = Commit {
                is_own: false,
                is_for_workers: true,
            };
            assert_eq!(*heard.lock().unwrap(), [other]);
        },
    );
    rules.rule(
        "lists are newest first and go on where they ended",
        |engine| {
            let mut ids = Vec::new();
            for kind in ["a", "b", "c", "a", "b", "c", "a"] {
                ids.push(engine.enqueue(task(kind)));
            }
            ids.reverse();
            let mut listed = Vec::new();
            for page in [3, 3, 1, 0] {
                let filter = TaskFilter {
                    before: listed.last().copied(),
                    limit: 3,
                    ..TaskFilter::default()
                };
                let tasks = engine.store.tasks(TenantId::DEFAULT, &filter).unwrap();
                assert_eq!(tasks.len(), page);
                listed.extend(tasks.iter().map(|task| task.id));
            }
            assert_eq!(listed, ids);
        },
    );
    rules.rule("lists filter by state, kind and parent", |engine| {
        let parent = engine.enqueue(NewTask {
            priority: Priority::HIGH,
            ..task("a")
        });
        let child = |kind| NewTask {
            parent: Some(parent),
            ..task(kind)
        };
        let a = engine.enqueue(child("a"));
        let b = engine.enqueue(child("b"));
        engine.succeed(&engine.claim_one());
        engine.store.cancel_task(TenantId::DEFAULT, a).unwrap();
        let check = |states: &[TaskState], kind: Option<&str>, of, expected: &[types::TaskId]| {
            let filter = TaskFilter {
                states: states.to_vec(),
                kind: kind.map(str::to_owned),
                parent: of,
                ..TaskFilter::default()
            };
            let tasks = engine.store.tasks(TenantId::DEFAULT, &filter).unwrap();
            let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
            assert_eq!(ids, expected, "{filter:?}");
        };
        let (done, cancelled) = (TaskState::Succeeded, TaskState::Cancelled);
        check(&[], None, None, &[b, a, parent]);
        check(&[done], None, None, &[parent]);
        check(&[done, cancelled], Some("a"), None, &[a, parent]);
        check(&[cancelled], Some("b"), None, &[]);
        check(&[], None, Some(parent), &[b, a]);
        check(&[cancelled, done], None, Some(parent), &[a]);
        check(&[], Some("b"), Some(parent), &[b]);
        let other = engine.store.ensure_tenant("other").unwrap();
        let filter = TaskFilter {
            parent: Some(parent),
            ..TaskFilter::default()
        };
        assert_eq!(engine.store.tasks(other, &filter).unwrap(), []);
    });
    rules.rule("the status counts by kind and remembers", |engine| {
        engine.enqueue_many(3, &task("b"));
        engine.advance(5);
        let oldest = engine.now();
        engine.enqueue_many(2, &task("a"));
        engine.advance(5);
        engine.enqueue(NewTask {
            priority: Priority::HIGH,
            ..task("a")
        });
        let kinds = engine.store.queue_status(None).unwrap();
        let counts: Vec<_> = kinds.iter().map(|k| (k.kind.as_str(), k.queued)).collect();
        assert_eq!(counts, [("a", 3), ("b", 3)]);
        assert_eq!(kinds[0].oldest_queued, Some(oldest));
        for run in engine.claim_as("w", 9, &["a"]) {
            engine.succeed(&run);
        }
        let a = engine.count("a");
        assert_eq!((a.queued, a.succeeded, a.oldest_queued), (0, 3, None));
        engine.advance(3600);
        let all = store::Retention::default();
        engine.store.housekeep_tasks(&all, 100).unwrap();
        let a = engine.count("a");
        assert_eq!((a.succeeded, a.ever.succeeded, a.ever.enqueued), (0, 3, 3));
        engine.check_counts(&[TenantId::DEFAULT]);
    });
    rules.rule(
        "the load counts what could run now, and what caps allow",
        |engine| {
            // Ready, running, ended and whether it is paused; then what may run.
            let check = |kinds: &[&str], runnable: u64| {
                let load = engine.store.queue_load().unwrap();
                let found = load.kinds.iter().map(|k| {
                    let paused = if k.is_paused { " paused" } else { "" };
                    format!(
                        "{} {} {} {}{paused}",
                        k.kind, k.ready, k.running, k.ended_ever
                    )
                });
                assert_eq!(found.collect::<Vec<_>>(), kinds);
                assert_eq!(load.runnable, runnable);
            };
            check(&[], 0);
            engine.enqueue_many(3, &task("a"));
            engine.enqueue(NewTask {
                run_at: Some(engine.later(60)),
                ..task("b")
            });
            check(&["a 3 0 0", "b 0 0 0"], 3);
            // Nobody claims, so nobody moves it to the queue.
            engine.advance(60);
            check(&["a 3 0 0", "b 1 0 0"], 4);
            engine.succeed(&engine.claim_one());
            let run = engine.claim_one();
            check(&["a 1 1 1", "b 1 0 0"], 3);
            engine.store.pause_queue(Some("b")).unwrap();
            let tenant = TenantId::DEFAULT;
            engine.store.set_tenant_share(tenant, 1, 2).unwrap();
            check(&["a 1 1 1", "b 1 0 0 paused"], 2);
            engine.succeed(&run);
        },
    );
}
