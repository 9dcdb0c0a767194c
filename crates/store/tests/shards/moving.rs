//! Sources that move from one database to the other.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use store::{
    ChunkVectors, CrawlStatus, NewSource, NewTask, NotesPatch, PageFilter, PageStatus, SaveOutcome,
    SearchPage, SearchTables, SourceEdit, SourceMove, SourceMoveProgress, SourceMoveStage, Store,
    StoreErrorKind, StoredVector, SummaryState,
};
use types::{
    FailReason, ManualClock, Priority, Record, RecordKind, SourceId, TenantId, UrlOutcome,
};

use crate::engine::Database;
use crate::picture::{all_pages, check_counted, numbers, rows_of, seen};
use crate::suite::summaries::save_of;
use crate::support::{ADDED, Site, UNCHANGED, clock, failed, page, stored};

const TENANT: TenantId = TenantId::DEFAULT;

fn source_named(host: &str) -> NewSource {
    NewSource {
        tenant: TENANT,
        name: host.to_owned(),
        seeds: vec![format!("https://{host}/")],
        policy: "{}".to_owned(),
    }
}

/// A new source in the database with this place that belongs to another one,
/// or, if `at_home`, to it.
pub(crate) fn site_in(
    store: &Store,
    clock: &Arc<ManualClock>,
    place: usize,
    name: &str,
    at_home: bool,
) -> Site {
    let shard = &store.shards()[place];
    let hosts = (0..200).map(|n| format!("{name}-{n}.example"));
    let mut sources = hosts.map(|host| source_named(&host));
    let belongs = |source: &NewSource| {
        let belongs = store.shard_for(TENANT, &source.seeds).unwrap();
        (belongs.shard_number() == shard.shard_number()) == at_home
    };
    let source = sources.find(belongs).expect("one of two hundred");
    let id = shard.ensure_source(source).unwrap();
    Site {
        store: store.clone(),
        source: id,
        clock: clock.clone(),
    }
}

/// A crawl of its own that ends.
fn crawled(site: &Site, visits: Vec<(&str, store::VisitResult)>) -> Vec<UrlOutcome> {
    let outcomes = site.visit(visits);
    let crawl = site.store.crawls(site.source, 1).unwrap()[0].id;
    site.store
        .finish_crawl(crawl, CrawlStatus::Completed, None)
        .unwrap();
    site.clock.advance(Duration::from_secs(1));
    outcomes
}

fn long(salt: usize) -> String {
    let words: Vec<String> = (0..120).map(|n| format!("word{}", n * 7 % 113)).collect();
    format!("{} {salt}", words.join(" "))
}

fn with_record(title: &str, name: &str) -> store::VisitResult {
    let mut visit = page(title, &[name]);
    visit.page.record = Some(Box::new(Record {
        brand: Some(name.to_owned()),
        ..Record::new(RecordKind::Product)
    }));
    stored(visit)
}

/// Pages of all sorts. `name` keeps URLs and contents apart from other sites'.
fn fill(site: &Site, name: &str) {
    let path = |n: &str| format!("{name}/{n}");
    let title = |n: &str| format!("{n} of {name}");
    let [a, b, c, d, e, f] = ["a", "b", "c", "d", "e", "f"].map(path);
    crawled(
        site,
        vec![
            (&a, stored(page(&title("a"), &["one", "two"]))),
            (&b, stored(page(&title("same"), &["three"]))),
            (&c, stored(page(&title("same"), &["three"]))),
            (&d, with_record(&title("d"), name)),
            (&e, stored(page(&title("near"), &[&long(1), name]))),
            (&f, stored(page(&title("near"), &[&long(2), name]))),
        ],
    );
    summarize(site, name);
    let (gone, g) = (path("gone"), path("g"));
    crawled(
        site,
        vec![
            (&a, stored(page(&title("a"), &["one", "newer"]))),
            (&gone, stored(page(&title("gone"), &["four"]))),
            (&g, stored(page(&title("g"), &["five"]))),
        ],
    );
    crawled(site, vec![(&gone, failed(FailReason::NotFound))]);
    let patch = NotesPatch {
        favorite: Some(true),
        tags: Some(vec!["red".to_owned(), "blue".to_owned()]),
        notes: Some("look again".to_owned()),
        ..NotesPatch::default()
    };
    let noted = site.page(&a).id;
    site.store.set_page_notes(TENANT, noted, patch).unwrap();
}

/// A page that will have another text, and one whose text another page has.
fn summarize(site: &Site, name: &str) {
    let of = |path: &str| site.page(&format!("{name}/{path}"));
    let work = [of("a"), of("b")].map(|page| (page.id, page.content_hash));
    let saved = save_of(&site.store, TENANT, &work, SummaryState::Done);
    assert_eq!(saved, [SaveOutcome::Saved; 2]);
}

/// Vectors for all chunks but one, which fails, and one that waits.
fn embed(store: &Store) {
    store.set_embedding_model("m", 2).unwrap();
    let pending = store.pending_chunks(1_000).unwrap();
    let [failing, _waiting, rest @ ..] = pending.as_slice() else {
        panic!("chunks wait");
    };
    let vector = |code: i64| StoredVector {
        scale: 0.5,
        codes: vec![(code % 100) as i8, 1],
    };
    let vectors = rest
        .iter()
        .map(|chunk| ChunkVectors {
            chunk: chunk.chunk,
            hash: chunk.hash,
            full: vector(chunk.chunk.0),
            tldr: Some(vector(chunk.chunk.0 + 1)),
            tldr_hash: None,
        })
        .collect();
    store.save_vectors("m", vectors).unwrap();
    store
        .fail_chunks(vec![(failing.chunk, "why".to_owned())])
        .unwrap();
}

fn move_all(store: &Store) -> Vec<SourceMove> {
    let misplaced = store.misplaced().unwrap();
    let moves = misplaced.iter().map(|one| {
        store
            .move_source(one.source, one.to, &mut |_| ControlFlow::Continue(()))
            .unwrap()
    });
    moves.collect()
}

fn until(stage: SourceMoveStage) -> impl FnMut(&SourceMoveProgress) -> ControlFlow<()> {
    move |progress| match progress.stage == stage {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

#[test]
fn a_source_moves_with_all_that_belongs_to_it() {
    for from in [0, 1] {
        let (database, clock) = (Database::new(), clock());
        let store = database.open(clock.clone());
        let site = site_in(&store, &clock, from, "moves", false);
        let stays = site_in(&store, &clock, from, "stays", true);
        fill(&stays, "stays");
        fill(&site, "moves");
        let edit = SourceEdit {
            settings: Some("{\"render\":\"off\"}".to_owned()),
            ..SourceEdit::default()
        };
        let source = store.edit_source(site.source, edit).unwrap();
        let due = store::SourceOutcome::Crawled {
            at: clock_now(&clock),
            interval: None,
        };
        store
            .record_source_outcome(source.id, due, Some(types::Timestamp(77)))
            .unwrap();
        embed(&store);
        check_counted(&database);
        let source = store.source(site.source).unwrap();
        let (before, counted) = (seen(&store), numbers(&store));
        let rows = rows_of(&database, from, site.source);
        assert!(rows.iter().all(|(_, rows)| *rows > 0), "{rows:?}");
        let newest = store.shards()[1 - from].change_seq().unwrap();

        let misplaced = store.misplaced().unwrap();
        assert_eq!(misplaced.len(), 1, "{misplaced:?}");
        assert_eq!(misplaced[0].source, site.source);
        assert_eq!(
            move_all(&store),
            [SourceMove::Moved {
                pages: 8,
                crawls: 3
            }]
        );
        assert_eq!(store.misplaced().unwrap(), []);

        assert_eq!(store.source(site.source).unwrap(), source);
        assert_eq!(seen(&store), before);
        assert_eq!(numbers(&store), counted);
        check_counted(&database);
        let left = rows_of(&database, from, site.source);
        assert!(left.iter().all(|(_, rows)| *rows == 0), "{left:?}");
        assert_eq!(rows_of(&database, 1 - from, site.source), rows);
        assert_eq!(
            database.number("SELECT count(*) FROM meta WHERE key = 'leaving'"),
            0
        );
        // Indexes read all of it where it is now.
        let there = &store.shards()[1 - from];
        let changed = there.pages_changed_since(None, newest, 100).unwrap();
        assert_eq!(changed.len(), 8);
        let vectors = there.vectors_since("m", newest, 100).unwrap();
        assert!(!vectors.is_empty());

        // It goes on where it is: all is known, and what is new gets ids of there.
        let [a, b, e, new] = ["a", "b", "e", "new"].map(|n| format!("moves/{n}"));
        let outcomes = crawled(
            &site,
            vec![
                (&a, stored(page("a of moves", &["one", "newer"]))),
                (&b, stored(page("same of moves", &["three"]))),
                (&e, stored(page("near of moves", &[&long(1), "moves"]))),
                (&new, stored(page("new", &["six"]))),
            ],
        );
        assert_eq!(outcomes, [UNCHANGED, UNCHANGED, UNCHANGED, ADDED]);
        let range = site.page(&new).id.0 >> 40;
        assert_eq!(range, 1 - from as i64);
        check_counted(&database);
    }
}

fn clock_now(clock: &Arc<ManualClock>) -> types::Timestamp {
    types::Clock::now(clock.as_ref())
}

#[test]
fn an_interrupted_move_goes_on_and_meanwhile_everything_is_there_once() {
    use SourceMoveStage::{
        Announced, CrawlsArrived, CrawlsLeft, Held, PagesArrived, PagesLeft, Settled,
    };
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock.clone());
    let site = site_in(&store, &clock, 1, "moves", false);
    fill(&site, "moves");
    let paths: Vec<String> = (0..220).map(|n| format!("moves/many/{n}")).collect();
    let visits = paths.iter().enumerate();
    let visits = visits.map(|(n, path)| (path.as_str(), stored(page(&format!("{n}"), &["many"]))));
    crawled(&site, visits.collect());
    embed(&store);
    let other = site_in(&store, &clock, 1, "stays", true);
    let (before, counted) = (seen(&store), numbers(&store));
    let (source, to) = (site.source, store.shards()[0].shard_number());
    drop(site);
    drop(other);
    let mut store = store;
    let stages = [
        Held,
        Announced,
        PagesArrived,
        PagesLeft,
        PagesArrived,
        CrawlsArrived,
        CrawlsLeft,
        Settled,
    ];
    for stage in stages {
        let ended = store.move_source(source, to, &mut until(stage)).unwrap();
        assert_eq!(ended, SourceMove::Interrupted, "{stage:?}");
        // Another process, which knows nothing of the first.
        drop(store);
        store = database.open(clock.clone());
        assert_eq!(seen(&store), before, "{stage:?}");
        let misplaced = store.misplaced().unwrap();
        assert_eq!(misplaced.len(), 1, "{stage:?}");
        assert!(misplaced[0].is_leaving);
        let held = [
            store.start_crawl(source, "{}", Vec::new()).map(drop),
            store.remove_source(source, false).map(drop),
            store.edit_source(source, SourceEdit::default()).map(drop),
            store.set_next_due(source, None),
        ];
        for refused in held {
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), StoreErrorKind::Conflict);
            assert!(refused.to_string().contains("try again"), "{refused}");
        }
    }
    let end = store.move_source(source, to, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(end.unwrap(), SourceMove::Moved { .. }));
    assert_eq!(seen(&store), before);
    assert_eq!(numbers(&store), counted);
    check_counted(&database);
    let left = rows_of(&database, 1, source);
    assert!(left.iter().all(|(_, rows)| *rows == 0), "{left:?}");
    // Again: nothing to do.
    assert_eq!(move_all(&store), []);
}

#[test]
fn a_source_at_work_is_left_alone() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock.clone());
    let site = site_in(&store, &clock, 0, "moves", false);
    let crawl = site.crawl(&["a"]);
    let busy = |why: &str| match move_all(&store).as_slice() {
        [SourceMove::Busy(said)] => assert!(said.contains(why), "{said}"),
        other => panic!("{other:?}"),
    };
    busy("crawl");
    store.cancel_crawl(crawl).unwrap();
    let task = |kind: &str, source: SourceId| NewTask {
        tenant: TENANT,
        kind: kind.to_owned(),
        payload: format!("{{\"source\":{source},\"urls\":[]}}"),
        priority: Priority::DEFAULT,
        run_at: None,
        attempts_max: 1,
        timeout: Duration::from_secs(1),
        dedupe: None,
        parent: None,
    };
    let shard = store.shard_of_source(site.source).unwrap();
    let queued = shard
        .enqueue_tasks(vec![task("crawl", site.source)])
        .unwrap();
    busy("task");
    store.cancel_task(TENANT, queued[0].id).unwrap();
    // A task of another source is nobody's business.
    let other = SourceId(site.source.0 * 10 + 1);
    shard.enqueue_tasks(vec![task("crawl", other)]).unwrap();
    // None can be queued while it moves.
    let to = store.shards()[1].shard_number();
    let mut stop = until(SourceMoveStage::Held);
    store.move_source(site.source, to, &mut stop).unwrap();
    let refused = shard.enqueue_tasks(vec![task("crawl", site.source)]);
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Conflict);
    shard
        .enqueue_tasks(vec![task("notes", site.source)])
        .unwrap();
    assert!(matches!(move_all(&store)[0], SourceMove::Moved { .. }));
    check_counted(&database);
}

/// Texts of all live pages that say so themselves or through the page that they
/// are a duplicate of, in the same database.
fn check_all_found(store: &Store) {
    for shard in store.shards() {
        let live = PageFilter {
            status: Some(PageStatus::Live),
            ..all_pages()
        };
        for page in shard.pages(&live).unwrap() {
            let holder = page.duplicate_of.unwrap_or(page.id);
            let content = shard.page_content(holder).unwrap().unwrap();
            let chunks = shard.chunks(holder).unwrap();
            assert!(!chunks.is_empty(), "{} is found nowhere", page.url);
            for chunk in chunks {
                assert!(
                    content.text.get(chunk.chunk.range).is_some(),
                    "{}",
                    page.url
                );
            }
        }
    }
}

#[test]
fn contents_that_sources_share_are_found_on_both_sides() {
    // Who is first has the chunks: the source that moves, or the one that stays.
    for moves_first in [true, false] {
        let (database, clock) = (Database::new(), clock());
        let store = database.open(clock.clone());
        let moves = site_in(&store, &clock, 0, "moves", false);
        let stays = site_in(&store, &clock, 0, "stays", true);
        let there = site_in(&store, &clock, 1, "there", true);
        let mut order = [(&moves, "moves"), (&stays, "stays")];
        if !moves_first {
            order.reverse();
        }
        let shared = || stored(page("shared", &["by two", "in one place"]));
        let everywhere = || stored(page("everywhere", &["  by all", &long(3)]));
        for (site, name) in order {
            let [a, b, c] = ["a", "b", "c"].map(|n| format!("{name}/{n}"));
            crawled(
                site,
                vec![(&a, shared()), (&b, everywhere()), (&c, shared())],
            );
        }
        crawled(
            &there,
            vec![("there/a", stored(page("everywhere", &["by all", &long(3)])))],
        );
        embed(&store);
        check_counted(&database);
        for stage in [SourceMoveStage::PagesArrived, SourceMoveStage::PagesLeft] {
            let to = store.shards()[1].shard_number();
            store
                .move_source(moves.source, to, &mut until(stage))
                .unwrap();
            check_all_found(&store);
        }
        assert!(matches!(move_all(&store)[0], SourceMove::Moved { .. }));
        check_all_found(&store);
        check_counted(&database);
        // An id of a chunk is in one database only.
        let chunks = store.live_chunk_ids().unwrap().len() as u64;
        assert_eq!(store.stats().unwrap().chunks, chunks);
        let shared_there = store.shards()[1].chunks(moves.page("moves/a").id).unwrap();
        assert_eq!(shared_there.len(), 2);
        // Pages that change and go leave the others' contents whole.
        crawled(&moves, vec![("moves/a", stored(page("other", &["text"])))]);
        crawled(&there, vec![("there/a", failed(FailReason::NotFound))]);
        crawled(&stays, vec![("stays/a", failed(FailReason::NotFound))]);
        check_all_found(&store);
        check_counted(&database);
    }
}

#[test]
fn a_url_that_is_taken_at_the_destination_keeps_a_source_where_it_is() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock.clone());
    let moves = site_in(&store, &clock, 0, "moves", false);
    let there = site_in(&store, &clock, 1, "there", true);
    crawled(&moves, vec![("both", stored(page("here", &["one"])))]);
    crawled(&there, vec![("both", stored(page("there", &["two"])))]);
    match move_all(&store).as_slice() {
        [SourceMove::Refused(why)] => assert!(why.contains("same URL"), "{why}"),
        other => panic!("{other:?}"),
    }
    crawled(&moves, vec![("both", stored(page("here", &["one"])))]);
    // A page that was deleted is in nobody's way.
    store.remove_source(there.source, false).unwrap();
    assert!(matches!(move_all(&store)[0], SourceMove::Moved { .. }));
    assert_eq!(moves.page("both").title, "here");
    check_counted(&database);
}

#[test]
fn other_sources_leave_pages_alone_that_are_on_their_way() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock.clone());
    let moves = site_in(&store, &clock, 0, "moves", false);
    let here = site_in(&store, &clock, 0, "here", true);
    let there = site_in(&store, &clock, 1, "there", true);
    crawled(&moves, vec![("a", stored(page("a", &["one"])))]);
    let to = store.shards()[1].shard_number();
    let mut stop = until(SourceMoveStage::PagesArrived);
    store.move_source(moves.source, to, &mut stop).unwrap();
    for site in [&here, &there] {
        let outcomes = crawled(site, vec![("a", stored(page("b", &["two"])))]);
        assert_eq!(outcomes, [UNCHANGED]);
        crawled(site, vec![("a", failed(FailReason::NotFound))]);
    }
    let patch = NotesPatch {
        favorite: Some(true),
        ..NotesPatch::default()
    };
    let noted = store.set_page_notes(TENANT, moves.page("a").id, patch);
    assert_eq!(noted.unwrap_err().kind(), StoreErrorKind::Conflict);
    assert!(matches!(move_all(&store)[0], SourceMove::Moved { .. }));
    assert_eq!(moves.page("a").title, "a");
    assert_eq!(store.pages(&all_pages()).unwrap().len(), 1);
    check_counted(&database);
}

/// What is lost on the way is noticed before anything is removed.
#[test]
fn what_does_not_arrive_is_not_removed() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock.clone());
    let site = site_in(&store, &clock, 0, "moves", false);
    fill(&site, "moves");
    let to = store.shards()[1].shard_number();
    let mut stop = until(SourceMoveStage::PagesArrived);
    store.move_source(site.source, to, &mut stop).unwrap();
    let noted = site.page("moves/a").id;
    database.shards[1].sql(&format!(
        "DELETE FROM page_versions WHERE page_id = {noted} AND version = 1"
    ));
    let failed = store.move_source(site.source, to, &mut |_| ControlFlow::Continue(()));
    let failed = failed.unwrap_err();
    assert!(
        failed.to_string().contains("2 versions here and 1 there"),
        "{failed}"
    );
    assert_eq!(store.shards()[0].page_versions(noted).unwrap().len(), 2);
}

#[test]
fn search_tables_forget_what_moved_and_a_follower_that_had_read_it_before() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock.clone());
    let site = site_in(&store, &clock, 0, "moves", false);
    crawled(&site, vec![("a", stored(page("A", &["kites"])))]);
    let id = site.page("a").id;
    let shard = &store.shards()[0];
    let writer = shard.search_writer(SearchTables::Pages, "test", 0).unwrap();
    assert!(writer.hold(SearchTables::Pages).unwrap());
    let row = SearchPage {
        page: id,
        tenant: TENANT,
        source: site.source,
        host: "moves.example".to_owned(),
        path: "/a".to_owned(),
        language: None,
        published_at: None,
        price: None,
        salary_most: None,
        salary_least: None,
        tokens: [1, 0, 1, 0],
        body_at: 1,
        chunks: Vec::new(),
        chunk_count: 1,
        structured: Vec::new(),
        facets: Vec::new(),
        words: "'1~kites':1A,2".to_owned(),
    };
    let apply = |from, seq| writer.apply_pages(from, seq, &[id], std::slice::from_ref(&row));
    apply(0, 5).unwrap();
    let counted =
        "SELECT (SELECT count(*) FROM search_pages), (SELECT sum(title) FROM search_words),
                     (SELECT sum(pages) FROM search_corpora)";
    assert_eq!(database.shards[0].sql(counted).trim(), "1|1|1");

    move_all(&store);
    assert_eq!(database.shards[0].sql(counted).trim(), "0|0|0");
    // What it read before the page went must not come back.
    let late = apply(5, 6).unwrap_err();
    assert_eq!(late.kind(), StoreErrorKind::Conflict);
    assert_eq!(database.shards[0].sql(counted).trim(), "0|0|0");
    assert!(writer.hold(SearchTables::Pages).unwrap());
    writer.apply_pages(5, 6, &[id], &[]).unwrap();
}
