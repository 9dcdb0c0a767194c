//! Summaries: which pages wait, what is saved, and who shares it.

mod sharing;
mod wanted;

use std::time::Duration;

use store::{
    Entity, NewSummary, SaveOutcome, Store, StoreErrorKind, SummaryCursor, SummaryFilter,
    SummaryRow, SummaryState, SummaryStats, SummaryWanted, SummaryWork,
};
use types::{ContentHash, FailReason, PageId, SourceId, TenantId};

use crate::support::{Site, failed, page, stored};

use SaveOutcome::{Known, Saved, Stale};
use SummaryState::{Done, Failed, Fallback};

const TENANT: TenantId = TenantId::DEFAULT;

/// What waits of a tenant or one source, from the start.
pub(crate) fn wanted(
    store: &Store,
    tenant: TenantId,
    source: Option<SourceId>,
    limit: usize,
) -> Vec<SummaryWork> {
    let wanted = SummaryWanted {
        source,
        ..SummaryWanted::of_tenant(tenant)
    };
    store.pages_to_summarize(&wanted, None, limit).unwrap()
}

pub(crate) fn summary(page: PageId, text: ContentHash, state: SummaryState) -> NewSummary {
    NewSummary {
        page,
        content_hash: text,
        state,
        model: "model".to_owned(),
        prompt_version: 1,
        language: Some("fa".to_owned()),
        title: format!("title of {page}"),
        summary: "خلاصه".to_owned(),
        key_points: vec!["one".to_owned(), "two".to_owned()],
        entities: vec![Entity {
            name: "Ada".to_owned(),
            kind: "person".to_owned(),
        }],
        category: Some("news".to_owned()),
        tokens_in: 100,
        tokens_out: 10,
        took_ms: 7,
        calls: 1,
        error: (state == Failed).then(|| "e".repeat(600)),
    }
}

pub(crate) fn save_of(
    store: &Store,
    tenant: TenantId,
    pages: &[(PageId, ContentHash)],
    state: SummaryState,
) -> Vec<SaveOutcome> {
    let summaries = pages
        .iter()
        .map(|(page, text)| summary(*page, *text, state));
    store.save_summaries(tenant, summaries.collect()).unwrap()
}

pub(crate) fn save(
    store: &Store,
    tenant: TenantId,
    work: &[SummaryWork],
    state: SummaryState,
) -> Vec<SaveOutcome> {
    let pages: Vec<_> = work.iter().map(|w| (w.page, w.content_hash)).collect();
    save_of(store, tenant, &pages, state)
}

fn ids(work: &[SummaryWork]) -> Vec<PageId> {
    work.iter().map(|work| work.page).collect()
}

/// A site with pages of texts of their own, and their ids.
fn site_of(paths: &[&str]) -> (Site, Vec<PageId>) {
    let site = Site::new();
    visit(&site, paths);
    let pages = paths.iter().map(|path| site.page(path).id).collect();
    (site, pages)
}

fn visit(site: &Site, paths: &[&str]) {
    let visits = paths
        .iter()
        .map(|path| (*path, stored(page(path, &[path]))));
    site.visit(visits.collect());
}

fn stats(store: &Store) -> [u64; 4] {
    let SummaryStats {
        done,
        failed,
        fallback,
        waiting,
    } = store.summary_stats(TENANT).unwrap();
    [done, failed, fallback, waiting]
}

fn backlog(store: &Store, wanted: &SummaryWanted) -> (u64, u64) {
    let backlog = store.count_to_summarize(wanted).unwrap();
    (backlog.pages, backlog.text_bytes)
}

fn state_of(site: &Site, path: &str) -> Option<SummaryState> {
    let row = site.store.summary(TENANT, site.page(path).id).unwrap();
    row.filter(|row| row.is_current).map(|row| row.state)
}

#[test]
fn a_summary_is_what_was_saved() {
    let (site, pages) = site_of(&["a"]);
    let new = summary(pages[0], site.page("a").content_hash, Failed);
    let saved = site
        .store
        .save_summaries(TENANT, vec![new.clone()])
        .unwrap();
    assert_eq!(saved, [Saved]);
    let row = site.store.summary(TENANT, pages[0]).unwrap().unwrap();
    let NewSummary {
        page,
        content_hash,
        state,
        model,
        prompt_version,
        language,
        title,
        summary,
        key_points,
        entities,
        category,
        tokens_in,
        tokens_out,
        took_ms,
        calls,
        error: _,
    } = new;
    let expected = SummaryRow {
        tenant: TENANT,
        url: site.page("a").url,
        is_current: true,
        created_at: site.clock_now(),
        page,
        content_hash,
        state,
        model,
        prompt_version,
        language,
        title,
        summary,
        key_points,
        entities,
        category,
        tokens_in,
        tokens_out,
        took_ms,
        calls,
        error: Some("e".repeat(500)),
    };
    assert_eq!(row, expected);
    let asked = [PageId(pages[0].0 + 99), pages[0]];
    let found = site.store.page_summaries(TENANT, &asked).unwrap();
    assert_eq!(found, [expected]);
}

#[test]
fn what_is_of_another_text_is_stale_and_what_is_done_is_known() {
    let (site, pages) = site_of(&["a", "b"]);
    let store = &site.store;
    let found = wanted(store, TENANT, None, 9);
    site.visit(vec![("a", stored(page("a", &["another"])))]);
    let nowhere = SummaryWork {
        page: PageId(pages[1].0 + 99),
        ..found[1].clone()
    };
    let both = [found[0].clone(), nowhere, found[1].clone()];
    let version = store.tenant_version(TENANT).unwrap();
    assert_eq!(save(store, TENANT, &both, Done), [Stale, Stale, Saved]);
    assert_ne!(store.tenant_version(TENANT).unwrap(), version);
    assert_eq!(state_of(&site, "a"), None);
    // Two had the same page at hand.
    let version = store.tenant_version(TENANT).unwrap();
    for state in [Done, Failed, Fallback] {
        assert_eq!(save(store, TENANT, &found[1..], state), [Known]);
    }
    assert_eq!(store.tenant_version(TENANT).unwrap(), version);
    // What failed or fell back gives way, also twice within one call.
    let a = &wanted(store, TENANT, None, 9)[0];
    for state in [Failed, Fallback, Failed] {
        assert_eq!(save(store, TENANT, std::slice::from_ref(a), state), [Saved]);
        assert_eq!(state_of(&site, "a"), Some(state));
    }
    let twice = [a.clone(), a.clone()];
    assert_eq!(save(store, TENANT, &twice, Done), [Saved, Known]);
    site.visit(vec![("b", failed(FailReason::NotFound))]);
    assert_eq!(save(store, TENANT, &found[1..], Done), [Stale], "gone");
}

#[test]
fn tenants_do_not_see_each_others_summaries() {
    let (site, pages) = site_of(&["a"]);
    let store = &site.store;
    let other = store.create_tenant("other").unwrap().id;
    let theirs = Site::of_tenant(store.clone(), site.clock.clone(), other);
    visit(&theirs, &["a"]);
    let work = wanted(store, other, None, 9);
    assert_eq!(work.len(), 1);
    assert_ne!(work[0].page, pages[0]);
    // T1: the page of another is no page.
    assert_eq!(
        save_of(store, other, &[(pages[0], work[0].content_hash)], Done),
        [Stale]
    );
    assert_eq!(save(store, other, &work, Done), [Saved]);
    assert_eq!(stats(store), [0, 0, 0, 1], "the same text, and not theirs");
    assert_eq!(store.summary(TENANT, work[0].page).unwrap(), None);
    assert_eq!(store.page_summaries(TENANT, &[work[0].page]).unwrap(), []);
    let list = |tenant, source| {
        let filter = SummaryFilter {
            source,
            state: None,
        };
        store.summaries(tenant, &filter, None, 9).unwrap().len()
    };
    assert_eq!(list(TENANT, None), 0);
    assert_eq!(list(TENANT, Some(theirs.source)), 0);
    assert_eq!(list(other, None), 1);
    assert_eq!(wanted(store, TENANT, Some(theirs.source), 9), []);
}

#[test]
fn lists_begin_with_the_newest_and_go_on_behind_the_last() {
    let (site, pages) = site_of(&["a", "b", "c", "d", "e"]);
    let store = &site.store;
    let found = wanted(store, TENANT, None, 9);
    // Two at a time, the later pages first.
    for (at, state) in [(3, Done), (4, Failed), (1, Done), (2, Fallback), (0, Done)] {
        save(store, TENANT, &found[at..=at], state);
        if at % 2 == 0 {
            site.clock.advance(Duration::from_secs(1));
        }
    }
    let newest = [0, 2, 1, 4, 3].map(|at: usize| pages[at]);
    let list = |filter: SummaryFilter| {
        let mut listed: Vec<SummaryRow> = Vec::new();
        loop {
            let cursor = listed.last().map(|row| {
                let text = SummaryCursor::behind(row).encode();
                SummaryCursor::decode(&text).unwrap()
            });
            let more = store.summaries(TENANT, &filter, cursor, 2).unwrap();
            if more.is_empty() {
                return listed.iter().map(|row| row.page).collect::<Vec<_>>();
            }
            listed.extend(more);
        }
    };
    assert_eq!(list(SummaryFilter::default()), newest);
    let of = |source, state| list(SummaryFilter { source, state });
    assert_eq!(of(Some(site.source), None), newest);
    assert_eq!(of(None, Some(Done)), [pages[0], pages[1], pages[3]]);
    assert_eq!(of(Some(site.source), Some(Failed)), [pages[4]]);
    assert_eq!(of(Some(SourceId(site.source.0 + 1)), None), []);
    for text in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAA"] {
        let refused = SummaryCursor::decode(text).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    }
}

#[test]
fn what_is_too_long_is_refused_and_nothing_of_the_batch_is_saved() {
    let (site, pages) = site_of(&["a", "b"]);
    let text = |path: &str| site.page(path).content_hash;
    let good = summary(pages[0], text("a"), Done);
    let bad = |change: fn(&mut NewSummary)| {
        let mut bad = summary(pages[1], text("b"), Done);
        change(&mut bad);
        bad
    };
    for bad in [
        bad(|new| new.summary = "s".repeat(65_536)),
        bad(|new| new.key_points = vec!["k".repeat(1_000); 70]),
        bad(|new| new.model = String::new()),
        bad(|new| new.model = "m".repeat(201)),
    ] {
        let refused = site.store.save_summaries(TENANT, vec![good.clone(), bad]);
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict);
        assert!(refused.to_string().contains(&format!("page {}", pages[1])));
        assert_eq!(stats(&site.store), [0, 0, 0, 2]);
    }
    assert_eq!(site.store.save_summaries(TENANT, Vec::new()).unwrap(), []);
}

#[test]
fn what_was_not_committed_is_done_again_and_nothing_else() {
    let database = crate::engine::Database::new();
    let clock = crate::support::clock();
    let site = Site::on(database.open(clock.clone()), clock.clone());
    visit(&site, &["a", "b", "c"]);
    let found = wanted(&site.store, TENANT, None, 9);
    assert_eq!(save(&site.store, TENANT, &found[..1], Done), [Saved]);
    // The process ends with the answer for the second in its hands.
    drop(site);
    let store = database.open(clock);
    let left = wanted(&store, TENANT, None, 9);
    assert_eq!(left, found[1..]);
    assert_eq!(save(&store, TENANT, &left, Done), [Saved; 2]);
    assert_eq!(wanted(&store, TENANT, None, 9), []);
    assert_eq!(stats(&store), [3, 0, 0, 0]);
}

#[test]
fn a_deleted_page_takes_its_summary_with_it() {
    let (site, pages) = site_of(&["a", "b"]);
    let store = &site.store;
    let found = wanted(store, TENANT, None, 9);
    save(store, TENANT, &found, Done);
    let crawl = store.crawls(site.source, 1).unwrap()[0].id;
    let finished = store.finish_crawl(crawl, store::CrawlStatus::Completed, None);
    finished.unwrap();
    store.remove_source(site.source, false).unwrap();
    assert_eq!(store.summary(TENANT, pages[0]).unwrap(), None);
    let filter = SummaryFilter::default();
    assert_eq!(store.summaries(TENANT, &filter, None, 9).unwrap(), []);
    assert_eq!(stats(store), [0; 4]);
    assert_eq!(save(store, TENANT, &found, Done), [Stale; 2]);
    // Found again, it is a new page.
    let site = Site::on(store.clone(), site.clock.clone());
    visit(&site, &["a"]);
    assert_eq!(wanted(store, TENANT, None, 9).len(), 1);
    assert_eq!(stats(store), [0, 0, 0, 1]);
}
