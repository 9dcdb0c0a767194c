use store::{Claim, KindLimit, NewTask, StoreErrorKind};
use types::{Priority, TaskState, TenantId};

use crate::suite::tasks::conformance::Rules;
use crate::suite::tasks::{Engine, task};

fn urgent(priority: &str) -> NewTask {
    NewTask {
        priority: priority.parse().unwrap(),
        ..task("a")
    }
}

pub(super) fn rules(rules: &mut Rules<'_>) {
    rules.rule("a claim gives all that a worker needs", |engine| {
        let id = engine.enqueue(NewTask {
            payload: "[1]".to_owned(),
            priority: Priority::HIGH,
            ..task("a")
        });
        let due = engine.now();
        engine.advance(5);
        let run = engine.claim_one();
        assert_eq!((run.id, run.epoch, run.attempt), (id, 1, 1));
        assert_eq!((run.kind.as_str(), run.payload.as_str()), ("a", "[1]"));
        assert_eq!((run.enqueued_at, run.run_at), (due, due));
        assert_eq!((run.priority, run.attempts_max), (Priority::HIGH, 3));
        let row = engine.task(id);
        assert_eq!(row.state, TaskState::Running);
        assert_eq!(row.started_at, Some(engine.now()));
        assert_eq!(row.worker.as_deref(), Some("w"));
        assert_eq!(row.lease_until, Some(engine.later(30)));
    });
    rules.rule("priority comes before age, age before arrival", |engine| {
        let levels = [
            "low",
            "default:6",
            "9",
            "default",
            "high:9",
            "high",
            "default",
        ];
        let ids: Vec<_> = levels.iter().map(|l| engine.enqueue(urgent(l))).collect();
        let expected = [5, 4, 3, 6, 1, 2, 0].map(|n: usize| ids[n]);
        assert_eq!(engine.claim_ids(99), expected);
        let late = engine.enqueue(NewTask {
            run_at: Some(engine.later(9)),
            ..task("a")
        });
        let soon = engine.enqueue(NewTask {
            run_at: Some(engine.later(8)),
            ..task("b")
        });
        engine.advance(9);
        let fresh = engine.enqueue(task("a"));
        assert_eq!(engine.claim_ids(99), [soon, late, fresh]);
    });
    rules.rule("one claim takes as many as it wants", |engine| {
        let ids = engine.enqueue_many(150, &task("a"));
        assert_eq!(engine.claim_ids(100), ids[..100]);
        assert_eq!(engine.claim_ids(100), ids[100..]);
        let many = engine.enqueue_many(1_100, &task("a"));
        assert_eq!(engine.claim_ids(usize::MAX), many[..1_000]);
    });
    rules.rule("a high task overtakes ten thousand low ones", |engine| {
        for _ in 0..20 {
            engine.enqueue_many(500, &urgent("low"));
        }
        let high = engine.enqueue(urgent("high"));
        assert_eq!(engine.claim_ids(1), [high]);
    });
    rules.rule("a task waits for its time", |engine| {
        let id = engine.enqueue(NewTask {
            run_at: Some(engine.later(10)),
            ..task("a")
        });
        assert_eq!(engine.store.next_run_at().unwrap(), Some(engine.later(10)));
        engine.advance(9);
        assert!(engine.claim(9).is_empty());
        engine.advance(1);
        assert_eq!(engine.claim_ids(9), [id]);
        assert_eq!(engine.store.next_run_at().unwrap(), None);
    });
    rules.rule(
        "a thousand due tasks are promoted by each claim",
        |engine| {
            let later = NewTask {
                run_at: Some(engine.later(1)),
                ..task("a")
            };
            engine.enqueue_many(1_500, &later);
            engine.advance(1);
            engine.claim(1);
            let count = engine.count("a");
            assert_eq!(
                (count.scheduled, count.queued, count.running),
                (500, 999, 1)
            );
            engine.claim(1);
            assert_eq!(engine.count("a").scheduled, 0);
            engine.check_counts(&[TenantId::DEFAULT]);
        },
    );
    rules.rule("only listed kinds are claimed", |engine| {
        let a = engine.enqueue(task("a"));
        engine.enqueue(task("x"));
        assert_eq!(engine.claim_ids(9), [a]);
        assert!(engine.claim_as("w", 9, &[]).is_empty());
        assert!(engine.claim_as("w", 0, &["x"]).is_empty());
        assert_eq!(engine.count("x").queued, 1);
    });
    rules.rule("a kind at its limit is passed over", |engine| {
        for kind in ["a", "b"] {
            engine.enqueue_many(5, &task(kind));
        }
        let limited = |most| Claim {
            kinds: vec![limit("a", most), limit("b", 0)],
            ..engine.want("w", 4, &[])
        };
        let kinds = |claim: &Claim| -> String {
            let claimed = engine.store.claim_tasks(claim).unwrap();
            claimed.iter().map(|task| task.kind.as_str()).collect()
        };
        assert_eq!(kinds(&limited(2)), "aabb");
        // Another process counts what this one runs.
        let other = Claim {
            owner: "other".to_owned(),
            ..limited(3)
        };
        assert_eq!(kinds(&other), "abbb");
        assert_eq!(kinds(&limited(3)), "");
        assert_eq!(engine.count("a").running, 3);
    });
    rules.rule(
        "a paused kind is passed over until it is resumed",
        |engine| {
            let (a, b) = (engine.enqueue(task("a")), engine.enqueue(task("b")));
            assert!(engine.store.pause_queue(Some("a")).unwrap());
            assert!(!engine.store.pause_queue(Some("a")).unwrap());
            assert_eq!(engine.claim_ids(9), [b]);
            assert!(engine.store.pause_queue(None).unwrap());
            let paused = engine.store.paused_queues().unwrap();
            let kinds: Vec<_> = paused.into_iter().map(|queue| queue.kind).collect();
            assert_eq!(kinds, [None, Some("a".to_owned())]);
            let c = engine.enqueue(task("c"));
            assert!(engine.claim(9).is_empty());
            assert!(engine.store.resume_queue(None).unwrap());
            assert!(!engine.store.resume_queue(None).unwrap());
            assert_eq!(engine.claim_ids(9), [c]);
            engine.store.resume_queue(Some("a")).unwrap();
            assert_eq!(engine.claim_ids(9), [a]);
            let empty = engine.store.pause_queue(Some("")).unwrap_err();
            assert_eq!(empty.kind(), StoreErrorKind::Conflict);
        },
    );
    rules.rule(
        "a claim of one task takes it out of turn or nothing",
        |engine| {
            engine.enqueue(urgent("high"));
            let wanted = engine.enqueue(urgent("low"));
            let waits = engine.enqueue(NewTask {
                run_at: Some(engine.later(1)),
                ..task("a")
            });
            let only = |id| Claim {
                only: Some(id),
                ..engine.want("w", 1, &["a"])
            };
            let claim = |claim: &Claim| {
                let claimed = engine.store.claim_tasks(claim).unwrap();
                claimed.first().map(|task| task.id)
            };
            assert_eq!(claim(&only(waits)), None);
            let full = Claim {
                kinds: vec![limit("b", 0)],
                ..only(wanted)
            };
            assert_eq!(claim(&full), None);
            assert_eq!(claim(&only(wanted)), Some(wanted));
            assert_eq!(claim(&only(wanted)), None);
            engine.advance(1);
            let one = Claim {
                kinds: vec![limit("a", 1)],
                ..only(waits)
            };
            assert_eq!(claim(&one), None);
            assert_eq!(claim(&only(waits)), Some(waits));
            assert_eq!(claim(&only(types::TaskId(77))), None);
        },
    );
    rules.rule("a tenant at its cap is passed over", |engine| {
        let other = engine.store.ensure_tenant("other").unwrap();
        engine.enqueue_many(9, &task("a"));
        let theirs = NewTask {
            tenant: other,
            ..task("a")
        };
        engine.enqueue_many(9, &theirs);
        engine.store.set_tenant_share(other, 100, 2).unwrap();
        assert_eq!(of(engine, other, 8), 2);
        assert_eq!(of(engine, other, 1), 0);
        engine.store.set_tenant_share(other, 100, 0).unwrap();
        assert_eq!(of(engine, other, 1), 1);
    });
    rules.rule("a share that makes no sense is refused", |engine| {
        let set = |tenant, weight| engine.store.set_tenant_share(tenant, weight, 0);
        let zero = set(TenantId::DEFAULT, 0).unwrap_err();
        assert!(zero.to_string().contains("1 to 1000, not 0"), "{zero}");
        let unknown = set(TenantId(77), 1).unwrap_err();
        assert_eq!(unknown.kind(), StoreErrorKind::NotFound);
        let nobody = engine.store.claim_tasks(&engine.want("", 1, &["a"]));
        assert_eq!(nobody.unwrap_err().kind(), StoreErrorKind::Conflict);
    });
}

fn limit(kind: &str, running_max: u32) -> KindLimit {
    KindLimit {
        kind: kind.to_owned(),
        running_max,
    }
}

/// Tasks of the tenant among the next `limit`.
fn of(engine: &Engine, tenant: TenantId, limit: usize) -> usize {
    let claimed = engine.claim(limit);
    assert_eq!(claimed.len(), limit);
    claimed.iter().filter(|t| t.tenant == tenant).count()
}
