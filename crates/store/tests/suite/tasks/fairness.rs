//! Tenants share the workers by weight, whatever the others queue.

use store::NewTask;
use types::TenantId;

use super::{Engine, task};

fn of(tenant: TenantId) -> NewTask {
    NewTask {
        tenant,
        ..task("a")
    }
}

fn tenants<const N: usize>(engine: &Engine) -> [TenantId; N] {
    std::array::from_fn(|n| engine.store.ensure_tenant(&format!("t{n}")).unwrap())
}

#[test]
fn ten_thousand_tasks_of_one_tenant_do_not_delay_another() {
    let engine = Engine::new();
    let [big, small] = tenants(&engine);
    for _ in 0..10 {
        engine.enqueue_many(1000, &of(big));
    }
    engine.claim(100);
    let id = engine.enqueue(of(small));
    assert_eq!(engine.claim_ids(1), [id]);
}

/// Tasks each tenant got of the next `count`, claimed `at_once` at a time.
fn shares<const N: usize>(
    engine: &Engine,
    tenants: [TenantId; N],
    count: usize,
    at_once: usize,
) -> [usize; N] {
    let mut got = [0; N];
    for _ in 0..count / at_once {
        for run in engine.claim(at_once) {
            let tenant = tenants.iter().position(|t| *t == run.tenant).unwrap();
            got[tenant] += 1;
            engine.succeed(&run);
        }
    }
    got
}

#[test]
fn weights_one_to_three_give_one_to_three() {
    for at_once in [1, 8, 40] {
        let engine = Engine::new();
        let [one, three] = tenants(&engine);
        engine.store.set_tenant_share(three, 3, 0).unwrap();
        for tenant in [one, three] {
            engine.enqueue_many(400, &of(tenant));
        }
        let got = shares(&engine, [one, three], 400, at_once);
        assert!((98..=102).contains(&got[0]), "{at_once} at once: {got:?}");
        assert_eq!(got[0] + got[1], 400);
    }
}

#[test]
fn an_idle_tenant_saves_up_nothing() {
    let engine = Engine::new();
    let [busy, idle] = tenants(&engine);
    engine.enqueue_many(400, &of(busy));
    engine.enqueue(of(idle));
    assert_eq!(shares(&engine, [busy, idle], 200, 10), [199, 1]);
    engine.enqueue_many(400, &of(idle));
    let [_, got] = shares(&engine, [busy, idle], 40, 10);
    assert!((19..=21).contains(&got), "{got} of 40");
}

#[test]
fn a_tenant_that_was_held_at_its_cap_saves_up_nothing() {
    let engine = Engine::new();
    let [busy, capped] = tenants(&engine);
    for tenant in [busy, capped] {
        engine.enqueue_many(400, &of(tenant));
    }
    engine.store.set_tenant_share(capped, 1, 1).unwrap();
    let held = engine.claim(2);
    assert!(held.iter().any(|run| run.tenant == capped));
    assert_eq!(shares(&engine, [busy, capped], 100, 10), [100, 0]);
    engine.store.set_tenant_share(capped, 1, 0).unwrap();
    let [_, got] = shares(&engine, [busy, capped], 40, 10);
    assert!((19..=21).contains(&got), "{got} of 40");
}

#[test]
fn hundreds_of_tenants_take_turns() {
    for at_once in [30, 150] {
        let engine = Engine::new();
        let tenants: [TenantId; 150] = tenants(&engine);
        for tenant in tenants {
            engine.enqueue_many(4, &of(tenant));
        }
        for round in 1..=3 {
            let got = shares(&engine, tenants, 150, at_once);
            assert_eq!(got, [1; 150], "round {round}, {at_once} at once");
        }
    }
}
