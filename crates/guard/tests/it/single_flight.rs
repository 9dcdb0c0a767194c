use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use guard::{Cache, CacheOptions};

use crate::{HOUR, Place, bytes, check, key};

const THREADS: usize = 64;

/// Runs it on 64 threads that start together.
fn together<T: Send>(run: impl Fn() -> T + Sync) -> Vec<T> {
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    run()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    })
}

#[test]
fn sixty_four_callers_compute_once() {
    let place = Place::new();
    for cache in [place.in_memory(), place.open()] {
        for round in 0..20 {
            let computed = AtomicU32::new(0);
            let key = key("search", 1, &format!("round {round}"));
            let values = together(|| {
                cache.get_or_compute(&key, HOUR, || {
                    computed.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, ()>(bytes("value"))
                })
            });
            assert!(values.iter().all(|value| *value == Ok(bytes("value"))));
            assert_eq!(computed.into_inner(), 1);
        }
        let area = cache.stats().areas["search"];
        assert_eq!(area.computed, 20);
        assert_eq!(area.computed + area.shared + area.memory.hits, 20 * 64);
    }
}

#[test]
fn an_error_is_shared_and_not_kept() {
    let cache = Place::new().in_memory();
    let key = key("search", 1, "q");
    let computed = AtomicU32::new(0);
    let results = together(|| {
        cache.get_or_compute(&key, HOUR, || {
            computed.fetch_add(1, Ordering::SeqCst);
            Err::<Bytes, _>("no network")
        })
    });
    assert!(
        results
            .iter()
            .all(|result| *result == Err(Arc::new("no network")))
    );
    assert_eq!(
        u64::from(computed.into_inner()),
        cache.stats().total.computed
    );
    let value = cache.get_or_compute(&key, HOUR, || Ok::<_, ()>(bytes("value")));
    assert_eq!(value, Ok(bytes("value")));
}

#[test]
fn after_a_panic_another_one_computes() {
    let cache = Place::new().in_memory();
    let key = key("search", 1, "q");
    let first = AtomicBool::new(true);
    let computed = AtomicU32::new(0);
    let results = together(|| {
        let attempt = || {
            cache.get_or_compute(&key, HOUR, || {
                computed.fetch_add(1, Ordering::SeqCst);
                assert!(!first.swap(false, Ordering::SeqCst), "the first one panics");
                Ok::<_, ()>(bytes("value"))
            })
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)).ok()
    });
    let panicked = results.iter().filter(|result| result.is_none()).count();
    assert_eq!((panicked, computed.into_inner()), (1, 2));
    assert!(
        results
            .into_iter()
            .flatten()
            .all(|value| value == Ok(bytes("value")))
    );
}

/// Calls `meanwhile` while another thread is computing `value` of `key`.
fn while_computing(cache: &Cache, name: &str, value: &str, meanwhile: impl FnOnce()) {
    let (started, has_started) = sync_channel(1);
    let (go_on, may_go_on) = sync_channel(1);
    std::thread::scope(|scope| {
        let slow = scope.spawn(move || {
            cache.get_or_compute(&key("search", 1, name), HOUR, || {
                started.send(()).expect("someone listens");
                may_go_on.recv().expect("someone lets it go on");
                Ok::<_, u8>(bytes(value))
            })
        });
        has_started.recv().expect("it starts");
        meanwhile();
        go_on.send(()).expect("it waits");
        assert_eq!(slow.join().expect("no panic"), Ok(bytes(value)));
    });
}

#[test]
fn nobody_waits_for_longer_than_they_are_ready_to() {
    let options = CacheOptions {
        wait_max: Duration::from_millis(1),
        ..CacheOptions::default()
    };
    let cache = Place::new().open_with(&options);
    while_computing(&cache, "q", "slow", || {
        let key = key("search", 1, "q");
        let value = cache.get_or_compute(&key, HOUR, || Ok::<_, u8>(bytes("quick")));
        assert_eq!(value, Ok(bytes("quick")));
        check(&cache, &key, Some("quick"));
    });
}

#[test]
fn other_keys_do_not_wait() {
    let cache = Place::new().in_memory();
    while_computing(&cache, "q", "slow", || {
        for other in [
            key("search", 2, "q"),
            key("page", 1, "q"),
            key("search", 1, "p"),
        ] {
            let value = cache.get_or_compute(&other, HOUR, || Ok::<_, u8>(bytes("other")));
            assert_eq!(value, Ok(bytes("other")));
        }
    });
}

#[test]
fn a_computation_may_ask_for_its_own_value() {
    let cache = Place::new().in_memory();
    let key = key("search", 1, "q");
    let value = cache.get_or_compute(&key, HOUR, || {
        cache
            .get_or_compute(&key, HOUR, || Ok::<_, u8>(bytes("inner")))
            .map_err(|error| *error)
    });
    assert_eq!(value, Ok(bytes("inner")));
}

#[test]
fn a_caller_with_another_type_of_error_computes_on_its_own() {
    let cache = Place::new().in_memory();
    let key = key("search", 1, "q");
    let computed = AtomicU32::new(0);
    let which = AtomicU32::new(0);
    together(|| {
        let compute = || computed.fetch_add(1, Ordering::SeqCst);
        if which.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            let result = cache.get_or_compute(&key, HOUR, || {
                compute();
                Err::<Bytes, _>("text")
            });
            assert_eq!(result, Err(Arc::new("text")));
        } else {
            let result = cache.get_or_compute(&key, HOUR, || {
                compute();
                Err::<Bytes, _>(404)
            });
            assert_eq!(result, Err(Arc::new(404)));
        }
    });
    assert!((2..=64).contains(&computed.into_inner()));
}
