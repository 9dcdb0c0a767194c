//! New chunks for pages whose content stays: once, and never over a newer page.

use std::time::Duration;

use store::{NewTask, RechunkReport, Rechunked, TaskFilter};
use types::{Chunk, Priority, TenantId};

use crate::support::{Site, page, stored};

fn follow_up() -> NewTask {
    NewTask {
        tenant: TenantId::DEFAULT,
        kind: "embed".to_owned(),
        payload: "{}".to_owned(),
        priority: Priority::LOW,
        run_at: None,
        attempts_max: 1,
        timeout: Duration::from_secs(60),
        dedupe: None,
        parent: None,
    }
}

/// The page's text as one chunk per `words` bytes, told apart by `words`.
fn cut(text: &str, words: usize) -> Vec<Chunk> {
    (0..text.len())
        .step_by(words)
        .enumerate()
        .map(|(position, start)| {
            let range = start..text.len().min(start + words);
            let mut chunk = page("t", &["a"]).chunks.remove(0);
            chunk.position = position as u32;
            chunk.hash = crate::support::text_hash(&format!("{words}|{start}"));
            chunk.range = range;
            chunk
        })
        .collect()
}

#[test]
fn q1_sixteen_threads_with_new_chunks_leave_one_set_and_one_follow_up() {
    let site = Site::new();
    let text = "one two three four five six";
    site.visit(vec![("a", stored(page("A", &[text])))]);
    let row = site.page("a");
    let reports: Vec<RechunkReport> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|n| {
                let (store, row) = (site.store.clone(), &row);
                scope.spawn(move || {
                    let new = Rechunked {
                        page: row.id,
                        change_seq: row.change_seq,
                        chunks: cut(text, 3 + n % 5),
                    };
                    store
                        .rechunk_pages(TenantId::DEFAULT, vec![new], vec![follow_up()])
                        .unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(reports.iter().map(|r| r.changed).sum::<u64>(), 1);
    assert_eq!(reports.iter().map(|r| r.passed_over).sum::<u64>(), 15);
    let texts = site.chunk_texts("a");
    assert_eq!(texts.concat(), text, "S2: one whole set of chunks");
    assert_eq!(site.page("a").chunk_count as usize, texts.len());
    let tasks = site
        .store
        .tasks(TenantId::DEFAULT, &TaskFilter::default())
        .unwrap();
    assert_eq!(tasks.len(), 1);
}

#[test]
fn chunks_that_stay_keep_their_ids_and_a_newer_page_wins() {
    let site = Site::new();
    let visit = page("A", &["first part", "second part"]);
    let chunks = visit.chunks.clone();
    site.visit(vec![("a", stored(visit))]);
    let (row, ids) = (site.page("a"), site.chunk_ids("a"));
    let new = |chunks: Vec<Chunk>| {
        vec![Rechunked {
            page: row.id,
            change_seq: row.change_seq,
            chunks,
        }]
    };
    let same = site
        .store
        .rechunk_pages(TenantId::DEFAULT, new(chunks.clone()), vec![follow_up()])
        .unwrap();
    assert_eq!((same.same, same.changed), (1, 0));
    assert_eq!(site.chunk_ids("a"), ids);

    site.visit(vec![("a", stored(page("A", &["another text"])))]);
    let stale = site
        .store
        .rechunk_pages(TenantId::DEFAULT, new(chunks), vec![follow_up()])
        .unwrap();
    assert_eq!(stale.passed_over, 1);
    assert_eq!(site.chunk_texts("a"), ["another text"]);
}
