//! So many at a time, in one process and in several.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use guard::{Redis, SharedSlots};
use testkit::services::{self, ServiceSet};

use crate::redis::{connect, options};
use crate::warnings;

const PATIENCE: Duration = Duration::from_secs(30);

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// Many workers on slots of one or several processes; the most at work at once.
/// The first stay until there are `expected`.
fn most_at_work(processes: &[SharedSlots], workers: usize, expected: usize) -> usize {
    let (at_work, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let deadline = Instant::now() + PATIENCE;
    let work = || async {
        let now = at_work.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        while most.load(Ordering::SeqCst) < expected && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        at_work.fetch_sub(1, Ordering::SeqCst);
    };
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let slots = &processes[worker % processes.len()];
            scope.spawn(move || {
                for _ in 0..5 {
                    wait(async { slots.take().await.hold(work()).await });
                }
            });
        }
    });
    most.into_inner()
}

/// What Redis has of one name.
struct There {
    connection: redis::Connection,
    pattern: String,
}

impl There {
    fn of(server: &services::Redis) -> There {
        let client = redis::Client::open(server.url.as_str()).expect("an address");
        There {
            connection: client.get_connection().expect("a connection"),
            pattern: format!("{}:slots:*", server.prefix),
        }
    }

    fn key(&mut self) -> Option<String> {
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(&self.pattern)
            .query(&mut self.connection)
            .expect("keys");
        keys.into_iter().next()
    }

    /// How many hold (`h`), or wait (`w`).
    fn count(&mut self, sort: char) -> usize {
        let Some(key) = self.key() else { return 0 };
        let fields: Vec<String> = redis::cmd("HKEYS")
            .arg(key)
            .query(&mut self.connection)
            .expect("fields");
        fields
            .iter()
            .filter(|field| field.starts_with(sort))
            .count()
    }

    #[track_caller]
    fn wait_for(&mut self, sort: char, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(sort) != count {
            assert!(Instant::now() < deadline, "{sort}: {}", self.count(sort));
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Says of somebody that they hold a slot, until so long from now.
    fn put_holder(&mut self, key: &str, ms: i64) {
        let (seconds, micros): (i64, i64) = redis::cmd("TIME")
            .query(&mut self.connection)
            .expect("the time");
        let until = seconds * 1000 + micros / 1000 + ms;
        redis::cmd("HSET")
            .arg(key)
            .arg(format!("h {ms}"))
            .arg(until)
            .exec(&mut self.connection)
            .expect("set");
    }
}

fn two_processes(server: &services::Redis, slots: u32) -> [SharedSlots; 2] {
    [(); 2].map(|()| SharedSlots::new("work", slots, Some(connect(options(server)))))
}

#[test]
fn so_many_work_at_a_time_and_none_are_left_over() {
    assert_eq!(most_at_work(&[SharedSlots::new("work", 3, None)], 8, 3), 3);
    assert_eq!(most_at_work(&[SharedSlots::new("work", 0, None)], 2, 1), 1);
}

#[test]
fn slots_are_those_of_all_processes_together() {
    let server = services::Redis::shared();
    let processes = two_processes(&server, 3);
    assert_eq!(most_at_work(&processes, 8, 3), 3);
    // All are given back.
    There::of(&server).wait_for('h', 0);
    // Others have their own.
    let other = SharedSlots::new("other work", 1, Some(connect(options(&server))));
    let _slot = wait(processes[0].take());
    wait(other.take());
}

#[test]
fn whoever_asked_first_is_next_whichever_process_it_is() {
    let server = services::Redis::shared();
    let [busy, modest] = two_processes(&server, 1);
    let mut there = There::of(&server);
    let order = std::sync::Mutex::new(Vec::new());
    let told = |who: &'static str| order.lock().expect("unpoisoned").push(who);
    std::thread::scope(|scope| {
        let first = wait(busy.take());
        there.wait_for('h', 1);
        let modest = scope.spawn(|| {
            let slot = wait(modest.take());
            told("modest");
            drop(slot);
        });
        there.wait_for('w', 1);
        // The busy one asks again before it gives anything back.
        let again = SharedSlots::new("work", 1, Some(connect(options(&server))));
        let again = scope.spawn(move || {
            let slot = wait(again.take());
            told("busy");
            drop(slot);
        });
        there.wait_for('w', 2);
        drop(first);
        modest.join().expect("served");
        again.join().expect("served");
    });
    assert_eq!(*order.lock().expect("unpoisoned"), ["modest", "busy"]);
}

#[test]
fn a_dead_holder_s_slot_is_another_s_and_who_left_the_queue_holds_up_nobody() {
    let server = services::Redis::shared();
    let [slots, others] = two_processes(&server, 1);
    let mut there = There::of(&server);
    drop(wait(slots.take()));
    there.wait_for('h', 0);
    let key = there.key().expect("a key");
    // Nothing has been heard of the first for too long; the second says a time
    // that nobody is given.
    there.put_holder(&key, 200);
    there.put_holder(&key, 3_600_000);
    let slot = wait(slots.take());
    // Whoever gives up waiting is gone from the queue.
    let gave_up = wait(async {
        let limit = Duration::from_millis(20);
        tokio::time::timeout(limit, others.take()).await.is_err()
    });
    assert!(gave_up);
    there.wait_for('w', 0);
    drop(slot);
    wait(others.take());
}

#[test]
fn without_redis_each_process_has_its_slots_and_what_runs_is_known_again_afterwards() {
    let set = ServiceSet::start(&["redis-alone"]);
    let server = set.redis();
    let redis = connect(options(&server));
    let slots = SharedSlots::new("work", 2, Some(redis.clone()));
    set.signal("redis-a", "KILL");
    assert_eq!(most_at_work(std::slice::from_ref(&slots), 6, 2), 2);
    assert_eq!(warnings::count(&["Redis is away", &server.url[8..]]), 1);
    let is_back = |redis: &Redis| redis.wait_for(PATIENCE, |status| status.is_up);
    std::thread::scope(|scope| {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let slot = wait(slots.take());
        let holder = scope.spawn(move || {
            wait(slot.hold(async { ended.await.expect("told") }));
        });
        set.start_again("redis-a");
        assert!(is_back(&redis), "{:?}", redis.status());
        There::of(&server).wait_for('h', 1);
        end.send(()).expect("somebody listens");
        holder.join().expect("ended");
        There::of(&server).wait_for('h', 0);
    });
}
