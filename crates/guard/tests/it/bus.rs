use std::time::Duration;

use guard::{Bus, Heard, Redis, RedisOptions, Subscription, TooLong};
use testkit::services::{self, ServiceSet};

use crate::redis::{connect, options, wait};

const PATIENCE: Duration = Duration::from_secs(20);

fn message(text: &'static str) -> Heard {
    Heard::Message(text.into())
}

fn publish(bus: &Bus, topic: &str, text: &str) {
    bus.publish(topic, text.as_bytes()).expect("short");
}

#[track_caller]
fn hears(subscription: &mut Subscription, text: &'static str) {
    assert_eq!(subscription.wait(PATIENCE), Some(message(text)));
}

#[track_caller]
fn hears_nothing_more(subscription: &mut Subscription) {
    assert_eq!(subscription.wait(Duration::ZERO), None);
}

#[test]
fn within_a_process_each_subscriber_hears_its_topic_once() {
    let bus = Bus::new(None);
    publish(&bus, "a", "to nobody");
    let (mut one, mut two, mut other) = (
        bus.subscribe("a"),
        bus.clone().subscribe("a"),
        bus.subscribe("b"),
    );
    publish(&bus, "a", "first");
    publish(&bus, "a", "second");
    for subscription in [&mut one, &mut two] {
        hears(subscription, "first");
        assert_eq!(wait(subscription.next()), message("second"));
        hears_nothing_more(subscription);
    }
    hears_nothing_more(&mut other);
    drop(one);
    publish(&bus, "a", "third");
    hears(&mut two, "third");
    assert_eq!(bus.publish("a", &[0; 64 * 1024]), Err(TooLong));
}

#[test]
fn who_reads_slowly_misses_the_oldest_and_is_told() {
    let bus = Bus::new(None);
    let mut slow = bus.subscribe("a");
    for number in 0..1000 {
        publish(&bus, "a", &number.to_string());
    }
    assert_eq!(slow.wait(PATIENCE), Some(Heard::Missed));
    let rest: Vec<Heard> = std::iter::from_fn(|| slow.wait(Duration::ZERO)).collect();
    assert_eq!(rest.len(), 63);
    assert_eq!(rest.last(), Some(&message("999")));
}

#[test]
fn other_processes_hear_it_once_and_other_deployments_do_not() {
    let shared = services::Redis::shared();
    let connected = |redis: &services::Redis| Bus::new(Some(connect(options(redis))));
    let (here, there) = (connected(&shared), connected(&shared));
    let elsewhere = connected(&services::Redis::shared());
    let mut subscriptions = [&here, &there, &elsewhere].map(|bus| bus.subscribe("topic"));
    publish(&here, "topic", "from here");
    hears(&mut subscriptions[0], "from here");
    hears(&mut subscriptions[1], "from here");
    let told = here.publish_to_others("topic", b"to others");
    told.expect("short");
    hears(&mut subscriptions[1], "to others");
    // Its own message has come back by the time that an answer to it comes.
    publish(&there, "topic", "from there");
    hears(&mut subscriptions[0], "from there");
    hears(&mut subscriptions[1], "from there");
    publish(&elsewhere, "topic", "from elsewhere");
    hears(&mut subscriptions[2], "from elsewhere");
    subscriptions.iter_mut().for_each(hears_nothing_more);
}

#[test]
fn after_an_outage_everybody_is_told_to_look_and_messages_come_again() {
    let set = ServiceSet::start(&["redis-alone"]);
    let services = set.redis();
    let handles: [Redis; 2] = [(); 2].map(|()| {
        connect(RedisOptions {
            ..options(&services)
        })
    });
    let buses = handles
        .each_ref()
        .map(|redis| Bus::new(Some(redis.clone())));
    let [mut here, mut there] = buses.each_ref().map(|bus| bus.subscribe("topic"));
    set.signal("redis-a", "KILL");
    assert!(
        handles
            .iter()
            .all(|redis| redis.wait_for(PATIENCE, |status| !status.is_up))
    );
    publish(&buses[0], "topic", "meanwhile");
    hears(&mut here, "meanwhile");
    set.start_again("redis-a");
    assert!(
        handles
            .iter()
            .all(|redis| redis.wait_for(PATIENCE, |status| status.is_up))
    );
    assert_eq!(here.wait(PATIENCE), Some(Heard::Missed));
    assert_eq!(there.wait(PATIENCE), Some(Heard::Missed));
    publish(&buses[0], "topic", "again");
    hears(&mut there, "again");
}
