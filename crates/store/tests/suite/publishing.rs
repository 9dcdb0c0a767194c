//! Events as they are published: what is written for it, and how far it is.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use store::{
    Claim, EventType, Gap, KindLimit, PUBLISH_EVENTS, Published, Publishing, PublishingCounts,
    SEND_EVENTS, Store, StoreErrorKind, TaskFilter, Unpublished,
};
use types::{FailReason, SourceId, TaskState, TenantId, Timestamp};

use crate::support::{Site, failed, page, stored};

const DAY: Duration = Duration::from_secs(24 * 3600);
const TENANT: TenantId = TenantId::DEFAULT;

fn start(store: &Store) -> Publishing {
    store.start_publishing("here", 7 * DAY).unwrap()
}

fn unpublished(store: &Store) -> Vec<Unpublished> {
    store.unpublished(TenantId(0)).unwrap()
}

/// All of it was published.
fn all_of(read: &Unpublished) -> Published {
    Published {
        tenant: read.tenant,
        after: read.after,
        up_to: read.events.last().map_or(read.after, |event| event.id),
        events: read.events.len() as u64,
        gap: read.gap.map_or(0, |gap| gap.events),
    }
}

fn publish(store: &Store) -> Vec<(EventType, Option<SourceId>)> {
    let mut told = Vec::new();
    loop {
        let read = unpublished(store);
        if read.is_empty() {
            return told;
        }
        for one in &read {
            told.extend(one.events.iter().map(|event| (event.kind, event.source)));
        }
        let moved = store.record_published(read.iter().map(all_of).collect());
        assert_eq!(moved.unwrap(), read.len());
    }
}

fn waiting(store: &Store) -> u64 {
    store.publishing_counts().unwrap().waiting
}

fn tasks(store: &Store, kind: &str, state: TaskState) -> usize {
    let filter = TaskFilter {
        kind: Some(kind.to_owned()),
        states: vec![state],
        ..TaskFilter::default()
    };
    store.tasks(TENANT, &filter).unwrap().len()
}

#[test]
fn everything_is_written_while_somebody_publishes() {
    let site = Site::in_one_database();
    site.visit(vec![("a", stored(page("A", &["one"])))]);
    assert_eq!(unpublished(&site.store), []);
    let on = start(&site.store);
    assert_eq!(
        (on.origin.as_str(), on.since, on.wanted_until),
        ("here", site.clock_now(), site.clock_now().plus(7 * DAY))
    );
    // It begins with what happens now.
    assert_eq!(unpublished(&site.store), []);
    site.visit(vec![("a", stored(page("A", &["two"])))]);
    site.visit(vec![("b", stored(page("B", &["one"])))]);
    site.visit(vec![("a", failed(FailReason::NotFound))]);
    use EventType::{CrawlStarted, PageAdded, PageRemoved, PageUpdated};
    let counts = site.store.publishing_counts().unwrap();
    assert_eq!((counts.waiting, counts.oldest), (6, Some(site.clock_now())));
    let kinds: Vec<EventType> = publish(&site.store).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            CrawlStarted,
            PageUpdated,
            CrawlStarted,
            PageAdded,
            CrawlStarted,
            PageRemoved
        ]
    );
    assert_eq!(
        site.store.publishing_counts().unwrap(),
        PublishingCounts::default()
    );
    // One task however many events, and none that would send to webhooks.
    assert_eq!(tasks(&site.store, PUBLISH_EVENTS, TaskState::Queued), 1);
    assert_eq!(tasks(&site.store, SEND_EVENTS, TaskState::Queued), 0);
    let empty = site.store.start_publishing("", DAY).unwrap_err();
    assert_eq!(empty.kind(), StoreErrorKind::Conflict);
}

#[test]
fn off_leaves_nothing_behind_and_on_again_begins_anew() {
    let site = Site::in_one_database();
    start(&site.store);
    site.crawl(&[]);
    assert!(site.store.stop_publishing().unwrap());
    assert!(!site.store.stop_publishing().unwrap());
    assert_eq!(site.store.publishing().unwrap(), None);
    assert_eq!(tasks(&site.store, PUBLISH_EVENTS, TaskState::Queued), 0);
    assert_eq!(tasks(&site.store, PUBLISH_EVENTS, TaskState::Cancelled), 1);
    // Nobody who only goes on switches it on again.
    assert_eq!(site.store.renew_publishing(DAY).unwrap(), None);
    site.crawl(&[]);
    assert_eq!(waiting(&site.store), 0);
    // The origin stays the database's.
    let on = site.store.start_publishing("elsewhere", DAY).unwrap();
    assert_eq!(on.origin, "here");
    site.crawl(&[]);
    let read = unpublished(&site.store);
    assert_eq!((read.len(), read[0].events.len()), (1, 1));
}

#[test]
fn it_ends_by_itself_when_nobody_has_wanted_it_for_long() {
    let site = Site::in_one_database();
    start(&site.store);
    site.clock.set(site.clock_now().plus(6 * DAY));
    site.store.housekeep_outbox(30 * DAY).unwrap();
    let renewed = site.store.renew_publishing(7 * DAY).unwrap().unwrap();
    assert_eq!(renewed.wanted_until, site.clock_now().plus(7 * DAY));
    // Somebody who wants it for less takes nothing away.
    let on = site.store.start_publishing("here", DAY).unwrap();
    assert_eq!(on.wanted_until, renewed.wanted_until);
    site.clock.set(site.clock_now().plus(6 * DAY));
    site.store.housekeep_outbox(30 * DAY).unwrap();
    assert!(site.store.publishing().unwrap().is_some());
    site.clock.set(site.clock_now().plus(DAY));
    site.store.housekeep_outbox(30 * DAY).unwrap();
    assert_eq!(site.store.publishing().unwrap(), None);
    site.crawl(&[]);
    assert_eq!(unpublished(&site.store), []);
}

#[test]
fn a_place_moves_only_from_where_it_was_found() {
    let site = Site::in_one_database();
    start(&site.store);
    for _ in 0..3 {
        site.crawl(&[]);
    }
    let read = unpublished(&site.store).remove(0);
    let first_only = Published {
        up_to: read.events[0].id,
        events: 1,
        ..all_of(&read)
    };
    assert_eq!(site.store.record_published(vec![first_only]).unwrap(), 1);
    // One that was slower, or hung meanwhile, changes nothing.
    assert_eq!(site.store.record_published(vec![all_of(&read)]).unwrap(), 0);
    let rest = unpublished(&site.store).remove(0);
    assert_eq!(rest.events, read.events[1..]);
    assert_eq!(waiting(&site.store), 2);
    // Nothing is lost when nobody notes it, and nothing changes its id.
    assert_eq!(unpublished(&site.store).remove(0), rest);
}

#[test]
fn t1_each_tenant_has_a_place_and_a_turn_of_its_own() {
    let site = Site::in_one_database();
    let others: Vec<TenantId> = (0..12)
        .map(|n| site.store.create_tenant(&format!("t{n}")).unwrap().id)
        .collect();
    start(&site.store);
    for tenant in &others {
        let source = store::NewSource {
            tenant: *tenant,
            name: "theirs".to_owned(),
            seeds: vec!["https://other.example/".to_owned()],
            policy: "{}".to_owned(),
        };
        let other = Site {
            store: site.store.clone(),
            source: site.store.ensure_source(source).unwrap(),
            clock: site.clock.clone(),
        };
        for n in 0..3 {
            let names: Vec<String> = (0..100).map(|m| format!("{n}-{m}")).collect();
            let pages = names.iter();
            let pages = pages.map(|name| (name.as_str(), stored(page(name, &[name]))));
            other.visit(pages.collect());
        }
    }
    // 303 events each: at most 256 of a tenant, and 2,048 in all.
    let read = unpublished(&site.store);
    let sizes: Vec<usize> = read.iter().map(|one| one.events.len()).collect();
    assert_eq!(sizes, [256; 8]);
    let names: Vec<&str> = read.iter().map(|one| one.tenant_name.as_str()).collect();
    assert_eq!(names, ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"]);
    let next = site.store.unpublished(read[7].tenant).unwrap();
    assert_eq!(next[0].tenant, others[8]);
    assert_eq!(next[4].tenant, others[0]);
    let of_one = all_of(&read[0]);
    site.store.record_published(vec![of_one]).unwrap();
    assert_eq!(unpublished(&site.store)[0].events.len(), 303 - 256);
    assert_eq!(publish(&site.store).len(), 12 * 303 - 256);
}

#[test]
fn what_waited_too_long_is_counted_and_told_as_a_gap() {
    let site = Site::in_one_database();
    start(&site.store);
    site.crawl(&[]);
    publish(&site.store);
    for _ in 0..3 {
        site.crawl(&[]);
    }
    let before = unpublished(&site.store).remove(0);
    site.clock.set(site.clock_now().plus(8 * DAY));
    start(&site.store);
    site.crawl(&[]);
    site.store.housekeep_outbox(7 * DAY).unwrap();
    let counts = site.store.publishing_counts().unwrap();
    assert_eq!((counts.waiting, counts.dropped), (1, 3));
    // Whoever was about to publish them finds that they are gone.
    assert_eq!(
        site.store.record_published(vec![all_of(&before)]).unwrap(),
        0
    );
    let read = unpublished(&site.store).remove(0);
    let gap = Gap {
        events: 3,
        at: site.clock_now(),
    };
    assert_eq!((read.gap, read.events.len()), (Some(gap), 1));
    // Told of, though nothing behind it was published.
    let told = Published {
        up_to: read.after,
        events: 0,
        ..all_of(&read)
    };
    assert_eq!(site.store.record_published(vec![told]).unwrap(), 1);
    let rest = unpublished(&site.store).remove(0);
    assert_eq!((rest.gap, rest.events.len()), (None, 1));
    publish(&site.store);
    let counts = site.store.publishing_counts().unwrap();
    assert_eq!((counts.waiting, counts.dropped), (0, 3));
}

/// Its failure would be told by the next one, and so on.
#[test]
fn a_task_that_publishes_and_fails_is_no_event() {
    let site = Site::in_one_database();
    start(&site.store);
    let claim = Claim {
        owner: "worker".to_owned(),
        lease_until: site.clock_now().plus(DAY),
        limit: 1,
        kinds: vec![KindLimit {
            kind: PUBLISH_EVENTS.to_owned(),
            running_max: 1,
        }],
        only: None,
    };
    let claimed = site.store.claim_tasks(&claim).unwrap().remove(0);
    let finish = store::Finish {
        task: claimed.task_ref(),
        end: store::TaskEnd::Failed {
            error: "refused".to_owned(),
        },
        follow_ups: Vec::new(),
    };
    site.store.finish_tasks(vec![finish]).unwrap();
    assert_eq!(waiting(&site.store), 0);
}

#[derive(Clone, Debug)]
enum Step {
    /// A crawl of one of two sources.
    Crawl(bool),
    /// Publishes so many of what it reads, and notes it or dies before.
    Publish { events: usize, noted: bool },
    /// Reads, lets another one publish all, then notes what it has read.
    Overtaken,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        any::<bool>().prop_map(Step::Crawl),
        (0..5usize, any::<bool>()).prop_map(|(events, noted)| Step::Publish { events, noted }),
        Just(Step::Overtaken),
    ];
    proptest::collection::vec(step, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: crate::engine::cases(48),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// At least once and, but for repeats, in the order of each source.
    #[test]
    fn whoever_dies_when_every_event_is_published(steps in steps()) {
        let one = Site::in_one_database();
        let source = store::NewSource {
            tenant: TENANT,
            name: "other".to_owned(),
            seeds: vec!["https://other.example/".to_owned()],
            policy: "{}".to_owned(),
        };
        let source = one.store.ensure_source(source).unwrap();
        let other = Site { store: one.store.clone(), source, clock: one.clock.clone() };
        start(&one.store);
        let mut crawls: BTreeMap<SourceId, usize> = BTreeMap::new();
        let mut stream: Vec<(i64, Option<SourceId>, Timestamp)> = Vec::new();
        let mut send = |read: &Unpublished, events: usize| {
            for event in &read.events[..events] {
                stream.push((event.id, event.source, event.created_at));
            }
        };
        for step in steps {
            let read = unpublished(&one.store).into_iter().next();
            match (step, read) {
                (Step::Crawl(first), _) => {
                    let site = if first { &one } else { &other };
                    site.crawl(&[]);
                    *crawls.entry(site.source).or_default() += 1;
                }
                (Step::Publish { events, noted }, Some(read)) => {
                    let events = events.min(read.events.len());
                    send(&read, events);
                    let up_to = events.checked_sub(1).map(|at| read.events[at].id);
                    let published = Published {
                        up_to: up_to.unwrap_or(read.after),
                        events: events as u64,
                        ..all_of(&read)
                    };
                    if noted {
                        one.store.record_published(vec![published]).unwrap();
                    }
                }
                (Step::Overtaken, Some(read)) => {
                    send(&read, read.events.len());
                    one.store.record_published(vec![all_of(&read)]).unwrap();
                    send(&read, read.events.len());
                    prop_assert_eq!(one.store.record_published(vec![all_of(&read)]).unwrap(), 0);
                }
                (_, None) => {}
            }
        }
        while let Some(read) = unpublished(&one.store).into_iter().next() {
            send(&read, read.events.len());
            one.store.record_published(vec![all_of(&read)]).unwrap();
        }
        let mut seen = std::collections::HashSet::new();
        stream.retain(|(id, _, _)| seen.insert(*id));
        let mut told: BTreeMap<SourceId, Vec<i64>> = BTreeMap::new();
        for (id, source, _) in &stream {
            told.entry(source.unwrap()).or_default().push(*id);
        }
        for (source, ids) in &told {
            prop_assert!(ids.is_sorted());
            prop_assert_eq!(ids.len(), crawls[source]);
        }
        prop_assert_eq!(told.len(), crawls.len());
        prop_assert_eq!(waiting(&one.store), 0);
    }
}
