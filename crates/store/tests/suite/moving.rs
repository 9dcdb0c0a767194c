//! Moving a database: all of it arrives, breaking off costs nothing, and what
//! cannot be moved is refused.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use store::{
    ChunkVectors, Day, EnqueueRunning, EventType, HostBreaker, LlmReserve, Move, MoveDestination,
    MoveProgress, MoveStage, MovedTable, NewApiKey, NewSource, NewWebhook, NotesPatch, PageFilter,
    PageVisit, Place, Quota, Retention, SaveOutcome, Scopes, Selection, Store, StoreError,
    StoreErrorKind, StoreOptions, StoredVector, SummaryState, TaskEnd, UsageDelta, UsageMetric,
    WebhookSecret,
};
use types::{
    FailReason, ManualClock, Progress, Record, RecordKind, SkipReason, SourceId, TaskState,
    TenantId, Timestamp,
};

use crate::engine::{self, Database};
use crate::suite::llm_use::used;
use crate::suite::summaries::{save, wanted};
use crate::suite::tasks::{Engine, keyed, task};
use crate::support::{Site, clock, failed, page, page_url, skipped, stored, text_hash};

/// Pages, and URLs that wait.
type Size = (usize, usize);
/// More than a first batch has, so that some tables take several.
const SEVERAL_BATCHES: Size = (60, 450);
const SMALL: Size = (12, 9);

fn memory(clock: &Arc<ManualClock>) -> Store {
    Store::open_memory(clock.clone()).unwrap()
}

/// Something in every table, with tasks under way and a crawl half-done.
fn fill(store: &Store, clock: &Arc<ManualClock>, (pages, queued): Size) -> Site {
    let acme = store.create_tenant("acme").unwrap().id;
    let quota = Quota {
        pages_max: Some(1_000),
        ..Quota::default()
    };
    store.set_quota(acme, quota).unwrap();
    store
        .start_publishing("here", Duration::from_secs(999))
        .unwrap();
    let events = EventType::ALL.iter().copied().collect();
    let webhook = store.add_webhook(NewWebhook {
        tenant: TenantId::DEFAULT,
        url: "https://hooks.example/".to_owned(),
        description: "all".to_owned(),
        events,
        secret: WebhookSecret([7; 32]),
    });
    let webhook = webhook.unwrap().id;
    store.set_embedding_model("m", 3).unwrap();
    let site = Site::on(store.clone(), clock.clone());
    let paths: Vec<String> = (0..pages).map(|n| format!("p{n}")).collect();
    let pages = paths.iter().map(|path| {
        let mut found = long_page(path);
        if path == "p7" {
            let record = Record {
                price: Some(19.99),
                name: Some("Spade".to_owned()),
                ..Record::new(RecordKind::Product)
            };
            found.page.record = Some(Box::new(record));
        }
        (path.as_str(), stored(found))
    });
    site.visit(pages.collect());
    site.visit(vec![
        ("p1", stored(page("p1", &["changed"]))),
        ("copy", stored(page("p1", &["changed"]))),
        ("p2", failed(FailReason::NotFound)),
        ("robots", skipped(SkipReason::Robots)),
    ]);
    Site::of_tenant(store.clone(), clock.clone(), acme).crawl(&["x"]);
    let rest: Vec<String> = (0..queued).map(|n| format!("q{n}")).collect();
    site.crawl(&rest.iter().map(String::as_str).collect::<Vec<_>>());
    note(&site);
    summarize(store, acme);
    embed(store);
    queue(store, clock);
    // Puts events into deliveries.
    store.next_delivery(webhook).unwrap();
    store
        .add_api_key(NewApiKey {
            tenant: acme,
            name: "key".to_owned(),
            prefix: "gl_1".to_owned(),
            hash: [1; 32],
            scopes: Scopes::WRITE,
            expires_at: None,
        })
        .unwrap();
    store
        .add_usage(vec![UsageDelta {
            tenant: acme,
            day: Day(20_000),
            metric: UsageMetric::Requests,
            amount: 3,
        }])
        .unwrap();
    site
}

/// Long enough to be compared with others, and like none of them.
fn long_page(path: &str) -> PageVisit {
    let text = format!("all about {path} and nothing else. ").repeat(20);
    let mut found = page(path, &[&text, "سلام"]);
    let mut bits = [0; 8];
    bits.copy_from_slice(&text_hash(path).0[..8]);
    found.page.simhash = u64::from_le_bytes(bits);
    found
}

fn note(site: &Site) {
    let tags = ["later", "برای بعد", "a'b"].map(str::to_owned).to_vec();
    let patch = NotesPatch {
        favorite: Some(true),
        tags: Some(tags),
        ..NotesPatch::default()
    };
    let id = site.page("p3").id;
    site.store
        .set_page_notes(TenantId::DEFAULT, id, patch)
        .unwrap();
    let crawl = site.store.crawls(site.source, 1).unwrap()[0].id;
    let keys = vec!["1/1/2026/11/a.warc.gz".to_owned()];
    site.store.announce_raw(crawl, keys).unwrap();
}

fn summarize(store: &Store, tenant: TenantId) {
    let work = wanted(store, TenantId::DEFAULT, None, 2);
    let saved = save(store, TenantId::DEFAULT, &work, SummaryState::Fallback);
    assert_eq!(saved, [SaveOutcome::Saved; 2]);
    let hour = Duration::from_secs(3_600);
    let LlmReserve::Granted(first) = store.reserve_llm(tenant, 9, hour).unwrap() else {
        panic!("there is no limit");
    };
    store.settle_llm(first, used(2, [3, 4])).unwrap();
    store.reserve_llm(tenant, 5, hour).unwrap();
}

fn embed(store: &Store) {
    let chunk = store.pending_chunks(1).unwrap().remove(0);
    let full = StoredVector {
        scale: 0.1,
        codes: vec![1, -2, i8::MIN],
    };
    let vectors = ChunkVectors {
        chunk: chunk.chunk,
        hash: chunk.hash,
        full,
        tldr: None,
        tldr_hash: None,
    };
    store.save_vectors("m", vec![vectors]).unwrap();
}

/// One task that waits, one that somebody runs, one that is done, and one with
/// the highest id that is gone; a paused queue, a lease and a broken host.
fn queue(store: &Store, clock: &Arc<ManualClock>) {
    let tasks = Engine {
        store: store.clone(),
        clock: clock.clone(),
    };
    tasks.enqueue(keyed("a", "once"));
    let run = store.enqueue_running(task("b"), "somebody", tasks.later(30));
    assert!(matches!(run.unwrap(), EnqueueRunning::Claimed(_)));
    tasks.enqueue(task("c"));
    let done = tasks.claim_as("w", 1, &["c"]).remove(0);
    let progress = Progress {
        completed: 1,
        ..Progress::default()
    };
    store
        .update_progress(vec![(done.task_ref(), progress)])
        .unwrap();
    tasks.succeed(&done);
    let gone = tasks.enqueue(task("d"));
    let last = tasks.claim_as("w", 1, &["d"]).remove(0);
    assert_eq!(last.id, gone);
    tasks.finish(last.task_ref(), TaskEnd::Cancelled);
    let nothing = Duration::ZERO;
    let long = Duration::from_secs(9_999);
    let retention = Retention {
        results: long,
        failures: nothing,
        dead: long,
    };
    assert_eq!(store.housekeep_tasks(&retention, 9).unwrap().cancelled, 1);
    store.pause_queue(Some("c")).unwrap();
    let host = page_url("p1").url.host_key();
    store.save_robots(&host, 200, b"robots").unwrap();
    store
        .acquire_host_lease(&host, "somebody", tasks.later(30))
        .unwrap();
    let breaker = HostBreaker {
        host,
        broken_since: clock_now(clock),
        open_until: tasks.later(99),
    };
    store.save_breaker(TenantId::DEFAULT, &breaker).unwrap();
}

fn clock_now(clock: &Arc<ManualClock>) -> Timestamp {
    types::Clock::now(clock.as_ref())
}

fn go_on(_: &MoveProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn moved(from: &Store, to: &Store) -> Vec<MovedTable> {
    let mut moving = Move::begin(from.clone(), to.clone()).unwrap();
    assert_eq!(moving.rows_before(), 0);
    moving
        .run(&mut go_on)
        .unwrap()
        .expect("nobody breaks it off")
}

fn pages(store: &Store) -> Vec<store::PageRow> {
    store.pages(&PageFilter::default()).unwrap()
}

#[test]
fn everything_arrives_there_and_back() {
    let clock = clock();
    let (start, there, back) = (memory(&clock), engine::store(clock.clone()), memory(&clock));
    let site = fill(&start, &clock, SEVERAL_BATCHES);
    let sizes = start.table_sizes(Selection::Everything).unwrap();
    let empty: Vec<_> = sizes.iter().filter(|size| size.rows == 0).collect();
    assert!(empty.is_empty(), "nothing is tested of {empty:?}");

    let first = moved(&start, &there);
    let second = moved(&there, &back);
    assert_eq!(first, second);
    let arrived = back.table_sizes(Selection::Everything).unwrap();
    assert_eq!(start.table_sizes(Selection::Everything).unwrap(), arrived);
    for (size, table) in arrived.iter().zip(&second) {
        assert_eq!((size.table, size.rows), (table.table, table.rows));
    }
    for store in [&there, &back] {
        assert_eq!(pages(store), pages(&start));
        assert_eq!(store.tenants().unwrap(), start.tenants().unwrap());
        assert_eq!(
            store.vectors_since("m", 0, 9).unwrap(),
            start.vectors_since("m", 0, 9).unwrap()
        );
        let id = site.page("p1").id;
        let old = store.version_content(id, 1).unwrap().unwrap();
        assert_eq!(old, start.version_content(id, 1).unwrap().unwrap());
        let stats = |store: &Store| store.summary_stats(TenantId::DEFAULT).unwrap();
        assert_eq!(stats(store), stats(&start));
        check_work(store, &clock);
    }
    let moved = Site {
        store: there,
        source: site.source,
        clock,
    };
    let again = moved.visit(vec![("p5", stored(long_page("p5")))]);
    assert_eq!(again, [crate::support::UNCHANGED]);
    moved.visit(vec![("new", stored(page("new", &["new"])))]);
    let newest = pages(&start).iter().map(|page| page.id).max();
    assert!(Some(moved.page("new").id) > newest);
}

/// What somebody ran waits for the next; ids go on behind the highest ever given.
fn check_work(store: &Store, clock: &Arc<ManualClock>) {
    let tasks = Engine {
        store: store.clone(),
        clock: clock.clone(),
    };
    let all = tasks.all(TenantId::DEFAULT);
    let running = all.iter().filter(|task| task.state == TaskState::Running);
    assert_eq!(running.count(), 0);
    tasks.check_counts(&[TenantId::DEFAULT]);
    let again = tasks.claim_as("w2", 9, &["b"]);
    assert_eq!(again.len(), 1, "what somebody ran is there to be run");
    tasks.succeed(&again[0]);
    let highest = all.iter().map(|task| task.id).max().unwrap();
    let next = tasks.enqueue(task("a"));
    assert!(next.0 > highest.0 + 1, "{next} was given before");
    let host = page_url("p1").url.host_key();
    let lease = store.acquire_host_lease(&host, "other", tasks.later(30));
    assert_eq!(lease.unwrap(), store::Lease::Yours);
    assert_eq!(store.host(&host).unwrap().unwrap().robots_body, b"robots");
}

struct Ends {
    from: Database,
    to: Database,
    clock: Arc<ManualClock>,
}

impl Ends {
    fn filled() -> Ends {
        let clock = clock();
        let ends = Ends {
            from: Database::new(),
            to: Database::new(),
            clock: clock.clone(),
        };
        fill(&ends.from.open(clock.clone()), &clock, SMALL);
        ends
    }

    fn source(&self, place: &Place) -> Result<Store, StoreError> {
        place.open_source(&StoreOptions::default(), self.clock.clone())
    }

    fn begin(&self) -> Result<Move, StoreError> {
        self.begin_from(&self.from.place())
    }

    fn begin_from(&self, from: &Place) -> Result<Move, StoreError> {
        let to = self.to.place();
        let to = to.open_destination(&StoreOptions::default(), self.clock.clone())?;
        Move::begin(self.source(from)?, to)
    }

    /// Breaks off after so many batches.
    fn break_after(&self, batches: usize) {
        let mut passed = 0;
        self.break_when(|_| {
            passed += 1;
            passed == batches
        });
    }

    fn break_when(&self, mut is_time: impl FnMut(&MoveProgress) -> bool) {
        let ended = self.begin().unwrap().run(&mut |progress| {
            if is_time(progress) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(ended.unwrap(), None, "it was broken off");
    }

    fn look(&self) -> MoveDestination {
        let options = StoreOptions::default();
        self.to.place().look(&options, self.clock.clone()).unwrap()
    }
}

#[test]
fn a_move_that_breaks_off_goes_on_where_it_was() {
    let ends = Ends::filled();
    assert_eq!(ends.look(), MoveDestination::Empty);
    let mut before = 0;
    for batches in [1, 4, 9, 6] {
        ends.break_after(batches);
        let MoveDestination::Unfinished { from } = ends.look() else {
            panic!("it is unfinished");
        };
        let refused = ends.source(&ends.to.place()).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{refused}");
        assert!(refused.to_string().contains(&from), "{refused}");
        assert!(refused.to_string().contains("gleaner migrate"), "{refused}");
        let rows = ends.begin().unwrap().rows_before();
        assert!(rows > before, "{rows} {before}");
        before = rows;
    }
    let mut stages = Vec::new();
    let mut moving = ends.begin().unwrap();
    let total: u64 = moving.table_sizes().iter().map(|size| size.rows).sum();
    let tables = moving.run(&mut |progress| {
        if stages
            .last()
            .is_none_or(|(stage, _)| *stage != progress.stage)
        {
            stages.push((progress.stage, progress.rows));
        }
        assert!(progress.rows <= progress.rows_total);
        ControlFlow::Continue(())
    });
    let tables = tables.unwrap().unwrap();
    assert!(stages[0].1 > before, "nothing is copied twice: {stages:?}");
    assert_eq!(stages[0].0, MoveStage::Copying);
    assert_eq!(stages[1].0, MoveStage::Verifying);
    assert_eq!(tables.iter().map(|table| table.rows).sum::<u64>(), total);
    drop(moving);
    assert_eq!(ends.look(), MoveDestination::Occupied);
    let (from, to) = (
        ends.from.open(ends.clock.clone()),
        ends.to.open(ends.clock.clone()),
    );
    assert_eq!(pages(&from), pages(&to));
}

#[test]
fn breaking_off_while_both_sides_are_compared_leaves_it_unfinished() {
    let ends = Ends::filled();
    ends.break_when(|progress| progress.stage == MoveStage::Verifying);
    assert!(matches!(ends.look(), MoveDestination::Unfinished { .. }));
    assert!(ends.begin().unwrap().run(&mut go_on).unwrap().is_some());
}

fn new_source(store: &Store, name: &str) -> SourceId {
    let source = NewSource {
        tenant: TenantId::DEFAULT,
        name: name.to_owned(),
        seeds: vec![format!("https://{name}.example/")],
        policy: "{}".to_owned(),
    };
    store.ensure_source(source).unwrap()
}

/// Expects a refusal, whichever step makes it.
fn refused(ended: Result<Move, StoreError>, kind: StoreErrorKind, words: &str) {
    let error = match ended {
        Err(error) => error,
        Ok(mut moving) => moving.run(&mut go_on).unwrap_err(),
    };
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_destination_that_holds_anything_is_refused() {
    let ends = Ends::filled();
    new_source(&ends.to.open(ends.clock.clone()), "other");
    assert_eq!(ends.look(), MoveDestination::Occupied);
    refused(ends.begin(), StoreErrorKind::Conflict, "not empty");
    let there = ends.to.open(ends.clock.clone());
    assert_eq!(there.sources(TenantId::DEFAULT).unwrap().len(), 1);
}

#[test]
fn a_move_goes_on_from_its_own_source_only() {
    let ends = Ends::filled();
    ends.break_after(5);
    let other = Database::new();
    fill(&other.open(ends.clock.clone()), &ends.clock, SMALL);
    let begun = ends.begin_from(&other.place());
    refused(begun, StoreErrorKind::Conflict, "from another database");
    assert!(ends.begin().unwrap().run(&mut go_on).unwrap().is_some());
}

#[test]
fn a_source_that_changed_since_is_noticed() {
    let ends = Ends::filled();
    ends.break_when(|progress| progress.table == "pages");
    new_source(&ends.from.open(ends.clock.clone()), "late");
    refused(ends.begin(), StoreErrorKind::Conflict, "start over");
    assert!(matches!(ends.look(), MoveDestination::Unfinished { .. }));
}

#[test]
fn a_copy_that_was_tampered_with_is_noticed() {
    let ends = Ends::filled();
    ends.break_when(|progress| progress.stage == MoveStage::Verifying);
    ends.to.execute("UPDATE pages SET title = 'x' WHERE id = 1");
    refused(ends.begin(), StoreErrorKind::Conflict, "pages");
    assert!(matches!(ends.look(), MoveDestination::Unfinished { .. }));
}

#[test]
fn databases_that_others_have_open_are_left_alone() {
    let ends = Ends::filled();
    for database in [&ends.from, &ends.to] {
        let other = database.open(ends.clock.clone());
        let error = ends.begin().unwrap_err();
        assert!(
            matches!(error.kind(), StoreErrorKind::Locked { .. }),
            "{error}"
        );
        drop(other);
        assert_eq!(ends.look(), MoveDestination::Empty);
    }
}

#[test]
fn there_has_to_be_something_to_move() {
    let ends = Ends::filled();
    let error = ends.source(&Database::new().place()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound, "{error}");
}

#[test]
fn texts_that_a_server_cannot_hold_are_no_difference() {
    let clock = clock();
    let (start, there) = (memory(&clock), engine::store(clock.clone()));
    let site = Site::on(start, clock);
    site.visit(vec![("a", stored(page("a\0b", &["one"])))]);
    moved(&site.store, &there);
    let title = &pages(&there)[0].title;
    assert!(
        ["a\0b", "a\u{fffd}b"].contains(&title.as_str()),
        "{title:?}"
    );
}

/// Sources share hosts and contents; every other row has one source or none.
#[test]
fn rows_of_one_source_can_be_told_from_others() {
    let clock = clock();
    let store = engine::store(clock.clone());
    let site = fill(&store, &clock, SMALL);
    let other = Site {
        store: store.clone(),
        source: new_source(&store, "other"),
        clock,
    };
    other.visit(vec![(
        "else",
        stored(page("else", &["entirely different"])),
    )]);
    let sizes = |selection| store.table_sizes(selection).unwrap();
    let rows = |source| sizes(Selection::Source(source));
    let all = sizes(Selection::Everything);
    let (first, second) = (rows(site.source), rows(other.source));
    let of = |sizes: &[store::TableSize], table: &str| {
        sizes.iter().find(|size| size.table == table).unwrap().rows
    };
    for (table, expected) in [
        ("sources", [1, 1, 3]),
        ("pages", [13, 1, 14]),
        ("page_versions", [14, 1, 15]),
        ("page_details", [13, 1, 14]),
        ("records", [1, 0, 1]),
        ("page_tags", [3, 0, 3]),
        ("hosts", [1, 1, 1]),
        ("vectors", [1, 0, 1]),
        ("tenants", [0, 0, 2]),
    ] {
        let found = [of(&first, table), of(&second, table), of(&all, table)];
        assert_eq!(found, expected, "{table}");
    }
}
