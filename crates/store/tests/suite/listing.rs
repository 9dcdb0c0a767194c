//! Lists of pages: orders, cursors, filters.

use std::time::Duration;

use proptest::prelude::*;
use store::{NewSource, NotesPatch, PageCursor, PageFilter, PageRow, PageSort, PageStatus};
use types::{FailReason, PageId, SourceId, TenantId, Timestamp};

use crate::support::{Site, failed, page, stored};

/// A page to be listed. Small numbers, so that many are alike.
#[derive(Clone, Debug)]
struct Given {
    in_other: bool,
    title: u8,
    published: Option<i64>,
    /// Later than the one before.
    ms: u64,
    gone: bool,
}

/// Two sources of one site and the pages of both.
struct Shelf {
    site: Site,
    other: SourceId,
}

fn title(number: u8) -> String {
    match number {
        // Alike in all that an order sees.
        0 | 1 => format!("{}{number}", "t".repeat(48)),
        2 => "\u{10ffff}".repeat(60),
        3 => "سلام".to_owned(),
        4 => String::new(),
        _ => "A".to_owned(),
    }
}

fn shelf(given: &[Given]) -> Shelf {
    let site = Site::new();
    let source = NewSource {
        tenant: TenantId::DEFAULT,
        name: "other".to_owned(),
        seeds: vec!["other".to_owned()],
        policy: "{}".to_owned(),
    };
    let other = site.store.add_source(source.into()).unwrap();
    let mut shelf = Shelf { site, other };
    for (number, given) in given.iter().enumerate() {
        shelf.site.clock.advance(Duration::from_millis(given.ms));
        let path = format!("{}/{number}", number % 3);
        let first = shelf.site.source;
        if given.in_other {
            shelf.site.source = other;
        }
        let mut page = page(&title(given.title), &[&path]);
        page.page.published_at = given.published.map(Timestamp);
        shelf.site.visit(vec![(path.as_str(), stored(page))]);
        if given.gone {
            let end = failed(FailReason::NotFound);
            shelf.site.visit(vec![(path.as_str(), end)]);
        }
        shelf.site.source = first;
    }
    shelf
}

/// The whole list, `limit` pages at a time, through encoded cursors.
fn walk(site: &Site, filter: &PageFilter) -> Vec<PageId> {
    let mut filter = filter.clone();
    let mut ids = Vec::new();
    loop {
        let rows = site.store.pages(&filter).unwrap();
        assert!(rows.len() <= filter.limit);
        let Some(last) = rows.last() else { return ids };
        ids.extend(rows.iter().map(|row| row.id));
        let text = PageCursor::behind(last, filter.sort, filter.descending).encode();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(text.len() <= 300 && text.chars().all(is_plain), "{text}");
        filter.cursor = Some(PageCursor::decode(&text).unwrap());
    }
}

/// The same list by sorting what a list by id gives.
fn sorted(site: &Site, filter: &PageFilter, is_wanted: impl Fn(&PageRow) -> bool) -> Vec<PageId> {
    let all = PageFilter {
        limit: 100_000,
        ..PageFilter::default()
    };
    let mut rows = site.store.pages(&all).unwrap();
    rows.retain(is_wanted);
    let cut = |row: &PageRow| -> String { row.title.chars().take(48).collect() };
    let time = |row: &PageRow| match filter.sort {
        PageSort::FetchedAt => Some(row.fetched_at),
        PageSort::ChangedAt => Some(row.changed_at),
        PageSort::PublishedAt => row.published_at,
        PageSort::Id | PageSort::Title => None,
    };
    match filter.sort {
        PageSort::Id => rows.sort_by_key(|row| row.id),
        PageSort::Title => rows.sort_by_key(|row| (cut(row), row.source, row.id)),
        _ => rows.sort_by_key(|row| (time(row), row.source, row.id)),
    }
    if filter.descending {
        rows.reverse();
    }
    if filter.sort == PageSort::PublishedAt {
        rows.sort_by_key(|row| row.published_at.is_none());
    }
    rows.iter().map(|row| row.id).collect()
}

fn check(site: &Site, filter: &PageFilter, is_wanted: impl Fn(&PageRow) -> bool) {
    for sort in PageSort::ALL {
        for descending in [false, true] {
            let filter = PageFilter {
                sort: *sort,
                descending,
                ..filter.clone()
            };
            let expected = sorted(site, &filter, &is_wanted);
            assert_eq!(walk(site, &filter), expected, "{filter:?}");
        }
    }
}

fn any_given() -> impl Strategy<Value = Given> {
    (
        any::<bool>(),
        0..6u8,
        proptest::option::of(0..3i64),
        0..2u64,
        prop::bool::weighted(0.3),
    )
        .prop_map(|(in_other, title, published, ms, gone)| Given {
            in_other,
            title,
            published,
            ms,
            gone,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::engine::cases(24), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order, the direction and the length of its pieces, a list
    /// has every page once, also where pages are alike.
    #[test]
    fn a_list_in_pieces_has_every_page_once(
        given in prop::collection::vec(any_given(), 0..24),
        limit in 1..9usize,
    ) {
        let Shelf { site, other } = shelf(&given);
        let all = || PageFilter { limit, ..PageFilter::default() };
        check(&site, &all(), |_| true);
        let status = Some(PageStatus::Live);
        check(&site, &PageFilter { status, ..all() }, |row| row.status == PageStatus::Live);
        let status = Some(PageStatus::Gone);
        let source = Some(other);
        check(&site, &PageFilter { source, status, ..all() }, |row| {
            row.source == other && row.status == PageStatus::Gone
        });
        let (from, to) = (Timestamp(1), Timestamp(2));
        let dates = PageFilter { published_from: Some(from), published_to: Some(to), ..all() };
        check(&site, &dates, |row| row.published_at == Some(from));
        let changed_since = Some(Timestamp(1_000_005));
        check(&site, &PageFilter { changed_since, ..all() }, |row| row.changed_at >= Timestamp(1_000_005));
        let url_prefix = Some("https://site.example/1/".to_owned());
        check(&site, &PageFilter { url_prefix, ..all() }, |row| row.url.contains("/1/"));
    }
}

#[test]
fn filters_by_notes_find_noted_pages() {
    let given: Vec<Given> = (0..6)
        .map(|number| Given {
            in_other: false,
            title: number,
            published: None,
            ms: 1,
            gone: number == 5,
        })
        .collect();
    let site = shelf(&given).site;
    let rows = site.store.pages(&PageFilter::default()).unwrap();
    let note = |number: usize, patch: NotesPatch| {
        let page = rows[number].id;
        site.store
            .set_page_notes(TenantId::DEFAULT, page, patch)
            .unwrap();
    };
    let tags = |tags: &[&str]| Some(tags.iter().map(|tag| (*tag).to_owned()).collect());
    let patch = NotesPatch::default;
    for number in [0, 5] {
        note(
            number,
            NotesPatch {
                favorite: Some(true),
                tags: tags(&["x", "y"]),
                ..patch()
            },
        );
    }
    note(
        1,
        NotesPatch {
            applied: Some(true),
            status: Some("sent".to_owned()),
            ..patch()
        },
    );
    note(
        2,
        NotesPatch {
            tags: tags(&["y"]),
            ..patch()
        },
    );
    note(
        2,
        NotesPatch {
            tags: tags(&["z"]),
            ..patch()
        },
    );
    let expect = |filter: PageFilter, numbers: &[usize]| {
        let ids: Vec<PageId> = numbers.iter().map(|number| rows[*number].id).collect();
        check(&site, &PageFilter { limit: 2, ..filter }, |row| {
            ids.contains(&row.id)
        });
    };
    let all = PageFilter::default;
    let some = |text: &str| Some(text.to_owned());
    expect(
        PageFilter {
            favorite: Some(true),
            ..all()
        },
        &[0, 5],
    );
    expect(
        PageFilter {
            favorite: Some(false),
            ..all()
        },
        &[1, 2, 3, 4],
    );
    expect(
        PageFilter {
            applied: Some(true),
            ..all()
        },
        &[1],
    );
    expect(
        PageFilter {
            applied: Some(false),
            ..all()
        },
        &[0, 2, 3, 4, 5],
    );
    expect(
        PageFilter {
            note_status: some("sent"),
            ..all()
        },
        &[1],
    );
    expect(
        PageFilter {
            note_status: some("other"),
            ..all()
        },
        &[],
    );
    expect(
        PageFilter {
            note_status: some(""),
            ..all()
        },
        &[0, 2, 3, 4, 5],
    );
    expect(
        PageFilter {
            tag: some("y"),
            ..all()
        },
        &[0, 5],
    );
    expect(
        PageFilter {
            tag: some("z"),
            ..all()
        },
        &[2],
    );
    let status = Some(PageStatus::Live);
    expect(
        PageFilter {
            tag: some("x"),
            status,
            ..all()
        },
        &[0],
    );
    let favorite = Some(true);
    expect(
        PageFilter {
            tag: some("z"),
            favorite,
            ..all()
        },
        &[],
    );
}

/// More pages than are sorted: the lists walk, past what the filter leaves out.
#[test]
fn wide_filters_leave_the_same_pages_as_narrow_ones() {
    let Shelf { mut site, other } = shelf(&[]);
    let first = site.source;
    for (source, name) in [(first, "x"), (other, "y")] {
        site.source = source;
        for part in 0..3 {
            site.clock.advance(Duration::from_millis(1));
            let paths: Vec<String> = (0..700).map(|n| format!("{name}/{part}/{n}")).collect();
            let visits = paths.iter().enumerate().map(|(number, path)| {
                let mut page = page(&title((number % 6) as u8), &[path]);
                page.page.published_at = (number % 3 > 0).then_some(Timestamp(number as i64 % 7));
                (path.as_str(), stored(page))
            });
            site.visit(visits.collect());
        }
    }
    let every = PageFilter {
        limit: 9_999,
        ..PageFilter::default()
    };
    let rows = site.store.pages(&every).unwrap();
    assert_eq!(rows.len(), 4_200);
    for row in rows.iter().filter(|row| row.url.contains("/x/")) {
        let patch = NotesPatch {
            favorite: Some(true),
            applied: Some(true),
            status: Some("s".to_owned()),
            tags: Some(vec!["t".to_owned()]),
            ..NotesPatch::default()
        };
        site.store
            .set_page_notes(TenantId::DEFAULT, row.id, patch)
            .unwrap();
    }
    let all = || PageFilter {
        limit: 1_000,
        ..PageFilter::default()
    };
    let some = |text: &str| Some(text.to_owned());
    let in_x = |row: &PageRow| row.url.contains("/x/");
    check(
        &site,
        &PageFilter {
            source: Some(first),
            ..all()
        },
        in_x,
    );
    check(
        &site,
        &PageFilter {
            url_prefix: some("https://site.example/x/"),
            ..all()
        },
        in_x,
    );
    check(
        &site,
        &PageFilter {
            host: some("site.example"),
            favorite: Some(true),
            ..all()
        },
        in_x,
    );
    let noted = PageFilter {
        applied: Some(true),
        note_status: some("s"),
        tag: some("t"),
        ..all()
    };
    check(&site, &noted, in_x);
    let dates = PageFilter {
        published_from: Some(Timestamp(1)),
        published_to: Some(Timestamp(7)),
        changed_since: Some(Timestamp(1_000_002)),
        ..all()
    };
    check(&site, &dates, |row| {
        row.published_at.is_some_and(|at| at.0 >= 1) && row.changed_at.0 >= 1_000_002
    });
}

fn list(site: &Site, filter: &PageFilter) -> Vec<String> {
    let rows = site.store.pages(filter).unwrap();
    rows.into_iter().map(|row| row.url).collect()
}

#[test]
fn a_prefix_is_taken_as_it_is_spelled() {
    let site = Site::new();
    for path in ["a", "a/b", "ab", "b", "%25", "_"] {
        site.visit(vec![(path, stored(page(path, &[path])))]);
    }
    let below = |prefix: &str| {
        let url_prefix = Some(format!("https://site.example/{prefix}"));
        let filter = PageFilter {
            url_prefix,
            ..PageFilter::default()
        };
        list(&site, &filter).len()
    };
    assert_eq!(
        (below(""), below("a"), below("a/"), below("c")),
        (6, 3, 1, 0)
    );
    assert_eq!((below("%"), below("_"), below("A")), (1, 1, 0));
}

#[test]
fn a_page_of_a_removed_source_is_listed_as_long_as_it_is_there() {
    let Shelf { site, other } = shelf(&[
        Given {
            in_other: true,
            title: 3,
            published: Some(1),
            ms: 0,
            gone: false,
        },
        Given {
            in_other: false,
            title: 3,
            published: Some(1),
            ms: 0,
            gone: false,
        },
    ]);
    for crawl in site
        .store
        .tenant_crawls(TenantId::DEFAULT, None, None, 9)
        .unwrap()
    {
        site.store.cancel_crawl(crawl.id).unwrap();
    }
    site.store.remove_source(other, true).unwrap();
    check(&site, &PageFilter::default(), |_| true);
    assert_eq!(list(&site, &PageFilter::default()).len(), 2);
    site.store.remove_source(other, false).unwrap();
    check(&site, &PageFilter::default(), |_| true);
    assert_eq!(list(&site, &PageFilter::default()).len(), 1);
}
