//! Many workers on one store.

use std::collections::BTreeSet;
use std::sync::Barrier;

use store::{EnqueueRunning, Store};
use types::TenantId;

use super::{Engine, keyed, task};

const THREADS: usize = 16;

/// Runs `work` on all threads at once.
fn together<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let spawn = |n| {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(n)
            })
        };
        let threads: Vec<_> = (0..THREADS).map(spawn).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn sixteen_threads_claim_no_task_twice() {
    let engine = Engine::new();
    engine.enqueue_many(1000, &task("a"));
    let claimed = together(|n| {
        let mut ids = Vec::new();
        loop {
            let runs = engine.claim_as(&format!("w{n}"), 7, &["a"]);
            if runs.is_empty() {
                return ids;
            }
            for run in runs {
                ids.push(run.id);
                engine.succeed(&run);
            }
        }
    });
    let all: Vec<_> = claimed.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (1000, 1000));
    assert_eq!(engine.count("a").succeeded, 1000);
    engine.check_counts(&[TenantId::DEFAULT]);
}

#[test]
fn sixteen_threads_enqueue_one_task_per_key() {
    let engine = Engine::new();
    let ids = together(|_| engine.enqueue(keyed("a", "k")));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(engine.count("a").ever.enqueued, 1);
}

#[test]
fn sixteen_commands_start_one_task() {
    let engine = Engine::new();
    let start = |store: &Store, n: usize| {
        let owner = format!("w{n}");
        let until = engine.later(30);
        match store
            .enqueue_running(keyed("a", "k"), &owner, until)
            .unwrap()
        {
            EnqueueRunning::Claimed(run) => (run.id, owner, true),
            EnqueueRunning::AlreadyRunning { id, owner } => (id, owner, false),
        }
    };
    let started = together(|n| start(&engine.store, n));
    let ours: Vec<_> = started.iter().filter(|(_, _, ours)| *ours).collect();
    assert_eq!(ours.len(), 1);
    assert!(
        started
            .iter()
            .all(|(id, owner, _)| (id, owner) == (&ours[0].0, &ours[0].1))
    );
}
