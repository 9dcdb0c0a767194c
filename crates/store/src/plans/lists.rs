//! Lists of pages walk an index that has their order, from where they were.

use types::{PageId, RecordKind, SourceId, TenantId, Timestamp};

use super::{check, plan};
use crate::listing::{Narrow, Way, sections, statements, walk};
use crate::{
    PageCursor, PageFilter, PageSort, PageStatus, RecordCursor, RecordFilter, RecordSort, Store,
    records,
};

fn of(sort: PageSort) -> PageFilter {
    PageFilter {
        sort,
        status: Some(PageStatus::Live),
        ..PageFilter::default()
    }
}

/// Each statement of a walk, in their order, against its plan's first step.
fn check_walk(filter: &PageFilter, expected: &[&str]) {
    let way = walk(filter);
    let mut found = Vec::new();
    for section in sections(filter, way) {
        for (sql, _) in statements(filter, way, &section, 50) {
            found.push(sql);
        }
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (sql, step) in found.iter().zip(expected) {
        check(sql, &[&format!("SEARCH p USING INDEX {step}\n")]);
    }
}

fn behind_a_page(filter: PageFilter) -> PageFilter {
    let value = match filter.sort {
        PageSort::Title => crate::model::SortValue::Text("t".to_owned()),
        _ => crate::model::SortValue::Time(1),
    };
    PageFilter {
        cursor: Some(PageCursor {
            sort: filter.sort,
            descending: filter.descending,
            key: crate::model::SortKey {
                value,
                source: 1,
                id: 1,
            },
        }),
        ..filter
    }
}

#[test]
fn lists_by_id_walk_what_the_filter_names() {
    let all = || of(PageSort::Id);
    let tenant = "pages_tenant (tenant_id=? AND status=?";
    check_walk(&all(), &[&format!("{tenant})")]);
    let cursor = Some(PageCursor::behind_id(PageId(1)));
    check_walk(
        &PageFilter {
            cursor: cursor.clone(),
            ..all()
        },
        &[&format!("{tenant} AND rowid>?)")],
    );
    let status = None;
    let both = format!("{tenant} AND rowid>?)");
    check_walk(
        &PageFilter {
            status,
            cursor: cursor.clone(),
            ..all()
        },
        &[&both, &both],
    );
    let source = Some(SourceId(1));
    check_walk(
        &PageFilter {
            source,
            cursor: cursor.clone(),
            ..all()
        },
        &["pages_source (source_id=? AND rowid>?)"],
    );
    let host = Some("h".to_owned());
    check_walk(
        &PageFilter {
            host,
            cursor,
            language: Some("fa".to_owned()),
            ..all()
        },
        &["pages_host (tenant_id=? AND host=? AND rowid>?)"],
    );
}

/// From the start, then behind a page: the rest of its value and source, the
/// rest of its value, the other values.
fn check_order(sort: PageSort, index: &str, column: &str) {
    let prefix = format!("{index} (tenant_id=? AND status=?");
    for descending in [false, true] {
        let behind = if descending { '<' } else { '>' };
        let filter = PageFilter {
            descending,
            ..of(sort)
        };
        let start = format!("{prefix})");
        let places = [
            format!("{prefix} AND {column}=? AND source_id=? AND rowid{behind}?)"),
            format!("{prefix} AND {column}=? AND source_id{behind}?)"),
            format!("{prefix} AND {column}{behind}?)"),
        ];
        check_walk(&filter, &[&start]);
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        check_walk(&behind_a_page(filter.clone()), &places);
        let source = Some(SourceId(1));
        let of_source = PageFilter { source, ..filter };
        check_walk(&of_source, &[&start]);
        check_walk(&behind_a_page(of_source), &[places[0], places[2]]);
    }
}

#[test]
fn lists_in_other_orders_walk_theirs() {
    check_order(PageSort::FetchedAt, "pages_fetched", "fetched_at");
    check_order(PageSort::ChangedAt, "pages_changed", "changed_at");
    check_order(PageSort::Title, "pages_title", "<expr>");
}

#[test]
fn lists_by_date_walk_the_dated_pages_then_the_others() {
    let range = "pages_published (tenant_id=? AND status=? AND ";
    let at = |bounds: &str| format!("{range}{bounds})");
    let filter = |descending| PageFilter {
        descending,
        ..of(PageSort::PublishedAt)
    };
    let undated = at("published_at=?");
    for descending in [false, true] {
        check_walk(&filter(descending), &[&at("published_at>?"), &undated]);
    }
    let tie = at("published_at=? AND source_id=? AND rowid>?");
    let same = at("published_at=? AND source_id>?");
    check_walk(
        &behind_a_page(filter(false)),
        &[&tie, &same, &at("published_at>?"), &undated],
    );
    let tie = at("published_at=? AND source_id=? AND rowid<?");
    let same = at("published_at=? AND source_id<?");
    let both = at("published_at>? AND published_at<?");
    check_walk(
        &behind_a_page(filter(true)),
        &[&tie, &same, &both, &undated],
    );
    let dates = |filter| PageFilter {
        published_from: Some(Timestamp(1)),
        published_to: Some(Timestamp(2)),
        ..filter
    };
    check_walk(&dates(filter(false)), &[&both]);
    check_walk(&behind_a_page(dates(filter(true))), &[&tie, &same, &both]);
}

#[test]
fn the_newest_records_of_a_kind_are_walked() {
    let filter = RecordFilter {
        kind: Some(RecordKind::Job),
        ..RecordFilter::of_tenant(TenantId::DEFAULT)
    };
    let cursor = RecordCursor {
        sort: RecordSort::Newest,
        value: 0.0,
        page: PageId(1),
    };
    let index = "USING INDEX records_newest (tenant_id=? AND kind=?";
    let (sql, _) = records::list(&filter, RecordSort::Newest, None, 50);
    check(&sql, &[&format!("{index})")]);
    let (sql, _) = records::list(&filter, RecordSort::Newest, Some(&cursor), 50);
    check(&sql, &[&format!("{index} AND <expr><?)")]);
    // Everything else reads the rows of the kind as they lie.
    let narrowed = RecordFilter {
        company: Some("c".to_owned()),
        ..filter
    };
    let store = Store::open_memory(std::sync::Arc::new(types::ManualClock::default())).unwrap();
    let (sql, _) = records::list(&narrowed, RecordSort::Newest, None, 50);
    let found = store.home().read("explain", |c| Ok(plan(c, &sql))).unwrap();
    assert!(
        found.contains("USING PRIMARY KEY (tenant_id=? AND kind=?)"),
        "{found}"
    );
}

#[test]
fn few_pages_are_found_by_the_filter_that_leaves_them() {
    let store = Store::open_memory(std::sync::Arc::new(types::ManualClock::default())).unwrap();
    let filter = PageFilter {
        source: Some(SourceId(1)),
        host: Some("h".to_owned()),
        url_prefix: Some("https://h/".to_owned()),
        published_from: Some(Timestamp(1)),
        published_to: Some(Timestamp(2)),
        changed_since: Some(Timestamp(1)),
        favorite: Some(true),
        applied: Some(true),
        note_status: Some("s".to_owned()),
        tag: Some("t".to_owned()),
        ..of(PageSort::FetchedAt)
    };
    for (narrow, step) in [
        (
            Narrow::Tag,
            "SEARCH n USING PRIMARY KEY (tenant_id=? AND tag=?)",
        ),
        (
            Narrow::NoteStatus,
            "INDEX page_notes_status (tenant_id=? AND status=?)",
        ),
        (Narrow::Favorite, "INDEX page_notes_favorite (tenant_id=?)"),
        (Narrow::Applied, "INDEX page_notes_applied (tenant_id=?)"),
        (
            Narrow::Url,
            "INDEX sqlite_autoindex_pages_1 (tenant_id=? AND url>? AND url<?)",
        ),
        (Narrow::Source, "INDEX pages_source (source_id=?)"),
        (Narrow::Host, "INDEX pages_host (tenant_id=? AND host=?)"),
        (
            Narrow::Published,
            "INDEX pages_published (tenant_id=? AND status=? AND published_at>? AND published_at<?)",
        ),
        (
            Narrow::Changed,
            "INDEX pages_changed (tenant_id=? AND status=? AND changed_at>?)",
        ),
        (
            Narrow::Gone,
            "INDEX pages_tenant (tenant_id=? AND status=?)",
        ),
    ] {
        let way = Way::Sort(narrow);
        for section in sections(&filter, way) {
            let statements = statements(&filter, way, &section, 50);
            assert_eq!(statements.len(), 1);
            let sql = &statements[0].0;
            let found = store.home().read("explain", |c| Ok(plan(c, sql))).unwrap();
            assert!(found.contains(step), "{sql}\nwants {step}\n{found}");
            assert!(!found.contains("SCAN"), "{sql}\n{found}");
        }
    }
}
