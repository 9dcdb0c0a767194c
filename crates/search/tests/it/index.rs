//! The index and the store stay the same pages and chunks.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use search::engine::Follower;
use search::{IndexMode, KeywordIndex, SearchErrorKind, VectorIndex};
use types::ChunkId;

use crate::support::{MODEL, TestPage, World, page};

fn numbered(n: usize, version: usize) -> TestPage {
    let paragraphs: Vec<String> = (0..1 + (n + version) % 3)
        .map(|p| format!("page {n} version {version} paragraph {p}"))
        .collect();
    page(
        &format!("/{n}"),
        &format!("Page {n}"),
        &paragraphs.join("\n\n"),
    )
}

/// Invariant S1: the index holds exactly the chunks of the newest version of each page.
#[track_caller]
fn check_s1(world: &World, index: &KeywordIndex) {
    assert_eq!(
        index.chunk_ids().unwrap(),
        world.store.live_chunk_ids().unwrap()
    );
    let missed = world
        .store
        .pages_changed_since(None, index.committed().of(store::ShardNumber::HOME), 1)
        .unwrap();
    assert!(missed.is_empty(), "{missed:?}");
}

fn index_folder(world: &World) -> PathBuf {
    let mut entries = fs::read_dir(world.dir.path()).unwrap();
    let folder = entries.find(|entry| entry.as_ref().unwrap().path().is_dir());
    folder.unwrap().unwrap().path()
}

fn catch_up(index: &mut KeywordIndex, world: &World, pages_max: usize) {
    for _ in 0..1000 {
        if !index.sync(&world.store, pages_max).unwrap().more {
            return;
        }
    }
    panic!("the index never catches up");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn s1_holds_after_random_changes(
        steps in prop::collection::vec((prop::collection::vec((0usize..12, 0usize..4), 1..8), any::<bool>(), 1usize..9), 1..6)
    ) {
        let world = World::new();
        let mut index = world.index();
        let mut vectors = VectorIndex::load(&world.store, MODEL).unwrap();
        for (changes, delete, pages_max) in steps {
            let mut changes = changes;
            changes.sort_unstable();
            changes.dedup_by_key(|(n, _)| *n);
            let pages: Vec<TestPage> = changes.iter().map(|(n, version)| numbered(*n, *version)).collect();
            if delete {
                let urls: Vec<&str> = pages.iter().map(|p| p.url.as_str()).collect();
                world.delete(&urls);
            } else {
                world.save(&pages);
                world.embed(8, |text| Some((0..8).map(|n| (text.len() + n) as f32).collect()));
            }
            catch_up(&mut index, &world, pages_max);
            check_s1(&world, &index);
            vectors.refresh(&world.store).unwrap();
            prop_assert_eq!(vectors.chunk_ids(), world.store.live_chunk_ids().unwrap());
        }
        let rebuilt = index.rebuild(&world.store).unwrap();
        check_s1(&world, &index);
        prop_assert_eq!(rebuilt.chunks, world.store.live_chunk_ids().unwrap().len());
    }
}

#[test]
fn what_was_not_committed_is_replayed_after_a_crash() {
    let world = World::new();
    let pages: Vec<TestPage> = (0..20).map(|n| numbered(n, 0)).collect();
    world.save(&pages);
    let mut index = Follower::new(Box::new(world.index()));
    index.sync(&world.store, 5).unwrap();
    index.commit().unwrap();
    let committed = index.committed();
    let uncommitted = index.sync(&world.store, 5).unwrap();
    assert_eq!((uncommitted.pages, uncommitted.more), (5, true));
    assert_eq!(index.committed(), committed);
    drop(index);
    let mut index = world.index();
    assert_eq!(index.num_docs(), 5);
    catch_up(&mut index, &world, 7);
    check_s1(&world, &index);
    assert_eq!(index.num_docs(), 20);
}

#[test]
fn syncing_with_nothing_new_does_nothing() {
    let world = World::with(&[numbered(1, 0)]);
    let mut index = world.index();
    let report = index.sync(&world.store, 10).unwrap();
    assert_eq!((report.pages, report.chunks, report.more), (0, 0, false));
    assert_eq!(
        report.seqs.of(store::ShardNumber::HOME),
        world.store.change_seq().unwrap()
    );
}

#[test]
fn an_index_ahead_of_its_store_is_rebuilt() {
    let world = World::new();
    world.save(&(0..5).map(|n| numbered(n, 0)).collect::<Vec<_>>());
    world.sync();
    // Another, younger store takes the directory over.
    let younger = World {
        store: World::new().store,
        dir: world.dir,
    };
    younger.save(&[numbered(9, 0)]);
    let mut index = younger.index();
    catch_up(&mut index, &younger, 100);
    check_s1(&younger, &index);
    assert_eq!(younger.paths("page"), ["/9"]);
}

#[test]
fn a_damaged_index_is_rebuilt_from_the_store() {
    for victim in ["meta.json", "segments"] {
        let world = World::with(&(0..5).map(|n| numbered(n, 0)).collect::<Vec<_>>());
        let versioned = index_folder(&world);
        for entry in fs::read_dir(&versioned).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_segment =
                name.ends_with(".term") || name.ends_with(".fast") || name.ends_with(".idx");
            if name == victim || (victim == "segments" && is_segment) {
                fs::write(entry.path(), b"garbage").unwrap();
            }
        }
        let mut index = world.index();
        catch_up(&mut index, &world, 100);
        check_s1(&world, &index);
        assert_eq!(index.num_docs(), 5, "{victim}");
    }
}

#[test]
fn an_index_of_another_version_is_replaced() {
    let world = World::with(&[numbered(1, 0)]);
    let versioned = index_folder(&world);
    fs::rename(&versioned, world.dir.path().join("keyword-v0")).unwrap();
    let mut index = world.index();
    assert_eq!(index.num_docs(), 0);
    catch_up(&mut index, &world, 100);
    check_s1(&world, &index);
    assert!(!world.dir.path().join("keyword-v0").exists());
}

#[test]
fn two_writers_are_refused_and_a_missing_index_is_named() {
    let world = World::new();
    let missing = KeywordIndex::open(world.dir.path(), IndexMode::Read).unwrap_err();
    assert_eq!(missing.kind(), SearchErrorKind::NotFound);
    let first = world.index();
    let second = KeywordIndex::open(world.dir.path(), IndexMode::Write).unwrap_err();
    assert_eq!(second.kind(), SearchErrorKind::Busy);
    drop(first);
    world.index();
}

#[test]
fn a_refused_writer_leaves_even_a_broken_index_to_the_one_that_has_it() {
    let world = World::with(&[numbered(1, 0)]);
    let mut first = world.index();
    catch_up(&mut first, &world, 100);
    // What a second process may see of files that are just being replaced.
    let versioned = index_folder(&world);
    let meta = fs::read(versioned.join("meta.json")).unwrap();
    fs::write(versioned.join("meta.json"), &meta[..meta.len() / 2]).unwrap();
    let second = KeywordIndex::open(world.dir.path(), IndexMode::Write).unwrap_err();
    assert_eq!(second.kind(), SearchErrorKind::Busy, "{second}");
    fs::write(versioned.join("meta.json"), &meta).unwrap();
    world.save(&[numbered(2, 0)]);
    catch_up(&mut first, &world, 100);
    check_s1(&world, &first);
}

#[test]
fn a_searcher_sees_commits_after_refresh() {
    let world = World::with(&[numbered(1, 0)]);
    let searcher = world.searcher();
    world.save(&[numbered(2, 0)]);
    world.delete(&["https://site.example/1"]);
    world.sync();
    searcher.refresh().unwrap();
    let request = search::SearchRequest {
        query: "paragraph".into(),
        ..search::SearchRequest::default()
    };
    let found = searcher.search(&request, None).unwrap();
    assert_eq!(crate::support::paths(&found), ["/2"]);
}

#[test]
fn duplicates_hand_their_chunks_over() {
    let world = World::new();
    let text = "exactly the same words on two pages";
    world.save(&[page("/a", "Same", text), page("/b", "Same", text)]);
    world.embed(8, |_| Some(vec![1.0; 8]));
    world.sync();
    let mut vectors = VectorIndex::load(&world.store, MODEL).unwrap();
    let found = world.paths("exactly");
    assert_eq!(found.len(), 1);
    world.delete(&[&format!("https://site.example{}", found[0])]);
    world.sync();
    vectors.refresh(&world.store).unwrap();
    let other = world.paths("exactly");
    assert_eq!(other.len(), 1);
    assert_ne!(found, other);
    let live: Vec<ChunkId> = world.store.live_chunk_ids().unwrap();
    assert_eq!(vectors.chunk_ids(), live);
}
