//! The backlog, the vectors and the cache.

use store::{
    ChunkVectors, EmbedState, EmbeddingProgress, ModelChange, PendingChunk, StoreErrorKind,
    StoredVector, VectorKind,
};
use types::{ChunkId, FailReason, Timestamp};

use crate::support::{Site, failed, page, stored, text_hash};

fn vector(code: i8) -> StoredVector {
    StoredVector {
        scale: 0.25,
        codes: vec![code, -code, i8::MIN, i8::MAX],
    }
}

fn embedded(chunk: &PendingChunk, code: i8) -> ChunkVectors {
    ChunkVectors {
        chunk: chunk.chunk,
        hash: chunk.hash,
        full: vector(code),
        tldr: Some(vector(code + 1)),
        tldr_hash: Some(text_hash("tldr")),
    }
}

fn site_with_pages() -> Site {
    let site = Site::new();
    site.store.set_embedding_model("m", 4).unwrap();
    site.visit(vec![("a", stored(page("T", &["one", "two"])))]);
    site.visit(vec![("b", stored(page("U", &["three"])))]);
    site
}

fn progress(site: &Site) -> (u64, u64, u64) {
    let EmbeddingProgress {
        done,
        pending,
        failed,
    } = site.store.embedding_progress().unwrap();
    (done, pending, failed)
}

#[test]
fn pending_chunks_carry_their_text() {
    let site = site_with_pages();
    let pending = site.store.pending_chunks(10).unwrap();
    let texts: Vec<_> = pending
        .iter()
        .map(|p| (p.title.as_str(), p.text.as_str()))
        .collect();
    assert_eq!(texts, [("T", "one"), ("T", "two"), ("U", "three")]);
    assert_eq!(site.store.pending_chunks(2).unwrap(), pending[..2]);
    let rest = site
        .store
        .pending_chunks_after(Some(pending[0].chunk), 10)
        .unwrap();
    assert_eq!(rest, pending[1..]);
}

#[test]
fn saved_vectors_leave_the_backlog_and_are_replayed_in_order() {
    let site = site_with_pages();
    let pending = site.store.pending_chunks(10).unwrap();
    let vectors = vec![embedded(&pending[0], 1), embedded(&pending[1], 3)];
    assert_eq!(site.store.save_vectors("m", vectors.clone()).unwrap(), 2);
    assert_eq!(progress(&site), (2, 1, 0));
    let rows = site.shard().vectors_since("m", 0, 3).unwrap();
    let more = site.shard().vectors_since("m", rows[2].seq, 3).unwrap();
    assert_eq!((rows.len(), more.len()), (3, 1));
    assert_eq!(rows[0].chunk, pending[0].chunk);
    assert_eq!(rows[0].page, site.page("a").id);
    assert_eq!(
        (rows[0].kind, rows[1].kind),
        (VectorKind::Full, VectorKind::Tldr)
    );
    assert_eq!((rows[0].scale, &rows[0].codes), (0.25, &vector(1).codes));
    assert_eq!(site.shard().vectors_since("other", 0, 3).unwrap(), []);
    // Saving again replaces.
    assert_eq!(site.store.save_vectors("m", vectors).unwrap(), 2);
    assert_eq!(progress(&site), (2, 1, 0));
    assert_eq!(site.store.stats().unwrap().vectors, 4);
}

#[test]
fn vectors_of_vanished_or_changed_chunks_are_only_cached() {
    let site = site_with_pages();
    let pending = site.store.pending_chunks(10).unwrap();
    site.visit(vec![("a", stored(page("T", &["one", "other"])))]);
    let mut stale = embedded(&pending[0], 1);
    stale.hash = text_hash("something else");
    let vectors = vec![stale, embedded(&pending[1], 5)];
    assert_eq!(site.store.save_vectors("m", vectors).unwrap(), 0);
    assert_eq!(site.store.stats().unwrap().vectors, 0);
    assert_eq!(progress(&site), (0, 3, 0));
    let asked = [pending[1].hash, text_hash("tldr"), text_hash("unknown")];
    let cached = site.store.cached_vectors("m", &asked).unwrap();
    let expected = [(asked[0], vector(5)), (asked[1], vector(2))];
    assert_eq!(cached, expected);
    assert_eq!(site.store.cached_vectors("other", &asked).unwrap(), []);
}

#[test]
fn unchanged_chunks_keep_their_vectors_and_vanished_ones_lose_them() {
    let site = site_with_pages();
    let pending = site.store.pending_chunks(10).unwrap();
    let vectors = pending.iter().map(|p| embedded(p, 7)).collect();
    site.store.save_vectors("m", vectors).unwrap();
    site.visit(vec![("a", stored(page("T", &["new", "two"])))]);
    assert_eq!(progress(&site), (2, 1, 0));
    assert_eq!(site.store.stats().unwrap().vectors, 4);
    let kept = &site.store.chunks(site.page("a").id).unwrap()[1];
    assert_eq!(
        (kept.id, &kept.embed_state),
        (pending[1].chunk, &EmbedState::Done)
    );
    site.visit(vec![("a", failed(FailReason::NotFound))]);
    assert_eq!(progress(&site), (1, 0, 0));
    let live: Vec<_> = site.shard().vectors_since("m", 0, 9).unwrap();
    assert!(live.iter().all(|v| v.chunk == pending[2].chunk));
}

#[test]
fn another_tldr_of_the_same_text_is_embedded_again() {
    let site = site_with_pages();
    let pending = site.store.pending_chunks(10).unwrap();
    let vectors = pending.iter().map(|p| embedded(p, 7)).collect();
    site.store.save_vectors("m", vectors).unwrap();
    let mut other = page("T", &["one", "two"]);
    other.chunks[0].tldr = Some("o".to_owned());
    site.visit(vec![("a", stored(other))]);
    assert_eq!(progress(&site), (2, 1, 0));
    let waiting = site.store.pending_chunks(10).unwrap();
    assert_eq!(waiting[0].chunk, pending[0].chunk);
    assert_eq!(site.store.stats().unwrap().vectors, 4);
}

#[test]
fn vectors_move_with_their_chunks_to_a_duplicate() {
    let site = site_with_pages();
    let pending = site.store.pending_chunks(10).unwrap();
    let vectors = pending.iter().map(|p| embedded(p, 7)).collect();
    site.store.save_vectors("m", vectors).unwrap();
    let seq = site.shard().change_seq().unwrap();
    site.visit(vec![("copy", stored(page("T", &["one", "two"])))]);
    site.visit(vec![("a", failed(FailReason::NotFound))]);
    assert_eq!(progress(&site), (3, 0, 0));
    let moved = site.shard().vectors_since("m", seq, 9).unwrap();
    let copy = site.page("copy").id;
    assert_eq!(moved.len(), 4);
    assert!(moved.iter().all(|v| v.page == copy));
    let pages = site.shard().pages_changed_since(None, seq, 9).unwrap();
    let ids: Vec<_> = pages.iter().map(|p| p.page).collect();
    let chunks = site.store.page_chunk_ids(&ids).unwrap();
    let expected = vec![pending[0].chunk, pending[1].chunk];
    assert!(chunks.contains(&(copy, expected.clone())));
    assert!(chunks.contains(&(site.page("a").id, vec![])));
    let owners = site
        .store
        .chunk_pages(&[expected[0], ChunkId(999)])
        .unwrap();
    assert_eq!(owners, [(expected[0], copy)]);
}

#[test]
fn another_model_puts_everything_back() {
    let site = site_with_pages();
    assert_eq!(
        site.store.set_embedding_model("m", 4).unwrap(),
        ModelChange::Same
    );
    let pending = site.store.pending_chunks(10).unwrap();
    site.store
        .save_vectors("m", vec![embedded(&pending[0], 1)])
        .unwrap();
    site.store
        .fail_chunks(vec![(pending[1].chunk, "bad".to_owned())])
        .unwrap();
    let change = site.store.set_embedding_model("n", 4).unwrap();
    assert_eq!(change, ModelChange::Changed { repending: 2 });
    assert_eq!(progress(&site), (0, 3, 0));
    assert_eq!(site.store.stats().unwrap().vectors, 0);
    assert_eq!(site.store.embedding_model().unwrap().unwrap().id, "n");
    let late = site
        .store
        .save_vectors("m", vec![embedded(&pending[0], 1)])
        .unwrap_err();
    assert_eq!(late.kind(), StoreErrorKind::Conflict);
}

#[test]
fn vectors_of_another_length_are_refused() {
    let site = site_with_pages();
    let pending = site.store.pending_chunks(1).unwrap();
    let mut short = embedded(&pending[0], 1);
    short.full.codes.pop();
    let error = site.store.save_vectors("m", vec![short]).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(progress(&site), (0, 3, 0));
}

#[test]
fn failed_chunks_wait_aside_until_retried() {
    let site = site_with_pages();
    let pending = site.store.pending_chunks(10).unwrap();
    let failures = vec![
        (pending[0].chunk, "too long".to_owned()),
        (pending[0].chunk, "twice".to_owned()),
        (ChunkId(999), "unknown".to_owned()),
    ];
    assert_eq!(site.store.fail_chunks(failures).unwrap(), 1);
    assert_eq!(progress(&site), (0, 2, 1));
    let chunks = site.store.chunks_by_ids(&[pending[0].chunk]).unwrap();
    assert_eq!(
        chunks[0].embed_state,
        EmbedState::Failed("too long".to_owned())
    );
    assert_eq!(site.store.retry_failed_chunks().unwrap(), 1);
    assert_eq!(progress(&site), (0, 3, 0));
    assert_eq!(site.store.pending_chunks(10).unwrap(), pending);
}

#[test]
fn the_cache_forgets_old_vectors() {
    let site = site_with_pages();
    let pending = site.store.pending_chunks(10).unwrap();
    site.store
        .save_vectors("m", vec![embedded(&pending[0], 1)])
        .unwrap();
    site.clock.set(Timestamp(2_000_000));
    site.store
        .save_vectors("m", vec![embedded(&pending[1], 1)])
        .unwrap();
    assert_eq!(
        site.store.purge_vector_cache(Timestamp(2_000_000)).unwrap(),
        2
    );
    let asked = [pending[0].hash, pending[1].hash];
    let cached = site.store.cached_vectors("m", &asked).unwrap();
    assert_eq!(cached.iter().map(|c| c.0).collect::<Vec<_>>(), [asked[1]]);
}
