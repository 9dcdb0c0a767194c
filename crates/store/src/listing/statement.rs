//! The statements of a list. Each names its index, so that no guess of the
//! planner stands between a filter and the time it takes.
//!
//! A `+` before a column keeps the planner from taking a condition for
//! anything but a check of rows found: from starting at the wrong one of
//! two lower bounds, or from sorting what the index has in order already.

use super::{Narrow, Place, Section, Way};
use crate::model::{SortKey, SortValue, TITLE_CHARS};
use crate::rows::{as_i64, page_columns};
use crate::sql::Value;
use crate::{PageFilter, PageSort, PageStatus};

/// A statement in the making.
struct Query {
    sql: String,
    parameters: Vec<Value>,
}

impl Query {
    /// `?1` is always the tenant.
    fn new(filter: &PageFilter, sql: &str) -> Query {
        Query {
            sql: sql.to_owned(),
            parameters: vec![Value::from(filter.tenant.0)],
        }
    }

    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Appends text and a parameter behind it.
    fn bind(&mut self, sql: &str, value: impl Into<Value>) {
        self.parameters.push(value.into());
        self.sql
            .push_str(&format!("{sql} ?{}", self.parameters.len()));
    }

    fn done(self) -> (String, Vec<Value>) {
        (self.sql, self.parameters)
    }
}

/// Counts the pages that one filter leaves, up to `limit`.
pub(super) fn probe(filter: &PageFilter, narrow: Narrow, limit: usize) -> (String, Vec<Value>) {
    let mut query = Query::new(filter, "SELECT count(*) FROM (SELECT 1 FROM ");
    query.push(table(narrow));
    query.push(" WHERE ");
    push_narrow(&mut query, filter, narrow);
    query.bind(" LIMIT", as_i64(limit));
    query.push(") AS found");
    query.done()
}

/// Whole rows of a walk, ids of what is sorted.
pub(super) fn page_list(
    filter: &PageFilter,
    way: Way,
    section: &Section<'_>,
    status: Option<PageStatus>,
    limit: usize,
) -> (String, Vec<Value>) {
    let mut query;
    match way {
        Way::Walk { index, .. } => {
            query = Query::new(filter, page_columns!());
            query.push(" FROM pages p INDEXED BY ");
            query.push(index);
            query.push(" CROSS JOIN contents c ON c.id = p.content_id WHERE ");
        }
        Way::Sort(narrow) => {
            query = Query::new(filter, "SELECT p.id FROM ");
            query.push(table(narrow));
            if is_of_notes(narrow) {
                query.push(" CROSS JOIN pages p ON p.id = n.page_id");
            }
            query.push(" WHERE ");
            push_narrow(&mut query, filter, narrow);
            query.push(" AND ");
        }
    }
    query.push("p.tenant_id = ?1 AND p.version > 0");
    if let Some(status) = status {
        query.push(if status == PageStatus::Live {
            " AND p.status = 1"
        } else {
            " AND p.status = 0"
        });
    }
    push_filters(&mut query, filter);
    push_ranges(&mut query, filter, way, section);
    push_place(&mut query, filter, section);
    push_order(&mut query, filter, section);
    query.bind(" LIMIT", as_i64(limit));
    query.done()
}

fn is_of_notes(narrow: Narrow) -> bool {
    matches!(
        narrow,
        Narrow::Tag | Narrow::NoteStatus | Narrow::Favorite | Narrow::Applied
    )
}

fn table(narrow: Narrow) -> &'static str {
    match narrow {
        Narrow::Tag => "page_tags n",
        Narrow::NoteStatus => "page_notes n INDEXED BY page_notes_status",
        Narrow::Favorite => "page_notes n INDEXED BY page_notes_favorite",
        Narrow::Applied => "page_notes n INDEXED BY page_notes_applied",
        // Of `UNIQUE (tenant_id, url)`.
        Narrow::Url => "pages p INDEXED BY sqlite_autoindex_pages_1",
        Narrow::Source => "pages p INDEXED BY pages_source",
        Narrow::Host => "pages p INDEXED BY pages_host",
        Narrow::Published => "pages p INDEXED BY pages_published",
        Narrow::Changed => "pages p INDEXED BY pages_changed",
        Narrow::Gone => "pages p INDEXED BY pages_tenant",
    }
}

/// The range of the filter's own index.
fn push_narrow(query: &mut Query, filter: &PageFilter, narrow: Narrow) {
    match narrow {
        Narrow::Tag => {
            query.bind("n.tenant_id = ?1 AND n.tag =", filter.tag.clone());
        }
        Narrow::NoteStatus => {
            let status = filter.note_status.clone();
            query.bind("n.tenant_id = ?1 AND n.status <> '' AND n.status =", status);
        }
        Narrow::Favorite => query.push("n.tenant_id = ?1 AND n.favorite = 1"),
        Narrow::Applied => query.push("n.tenant_id = ?1 AND n.applied = 1"),
        Narrow::Url => {
            query.push("p.tenant_id = ?1");
            push_url(query, filter, "");
        }
        Narrow::Source => {
            let source = filter.source.map(|source| source.0);
            query.bind("p.version > 0 AND p.source_id =", source);
        }
        Narrow::Host => query.bind(
            "p.tenant_id = ?1 AND p.version > 0 AND p.host =",
            filter.host.clone(),
        ),
        Narrow::Published => {
            query.push("p.tenant_id = ?1 AND p.version > 0 AND p.status IN (0, 1)");
            let from = filter.published_from.map_or(i64::MIN, |at| at.0);
            query.bind(" AND p.published_at >=", from);
            if let Some(to) = filter.published_to {
                query.bind(" AND p.published_at <", to.0);
            }
        }
        Narrow::Changed => {
            query.push("p.tenant_id = ?1 AND p.version > 0 AND p.status IN (0, 1)");
            let since = filter.changed_since.map(|at| at.0);
            query.bind(" AND p.changed_at >=", since);
        }
        Narrow::Gone => query.push("p.tenant_id = ?1 AND p.version > 0 AND p.status = 0"),
    }
}

/// The prefix and what begins with it: no character comes after the last one.
fn push_url(query: &mut Query, filter: &PageFilter, plus: &str) {
    let Some(prefix) = &filter.url_prefix else {
        return;
    };
    query.bind(&format!(" AND {plus}p.url >="), prefix.clone());
    query.bind(
        &format!(" AND {plus}p.url <"),
        format!("{prefix}{}", char::MAX),
    );
}

fn push_filters(query: &mut Query, filter: &PageFilter) {
    if let Some(source) = filter.source {
        // By id the index of the source is what is walked.
        let plus = if filter.sort == PageSort::Id { "" } else { "+" };
        query.bind(&format!(" AND {plus}p.source_id ="), source.0);
    }
    if let Some(host) = &filter.host {
        query.bind(" AND p.host =", host.clone());
    }
    if let Some(language) = &filter.language {
        query.bind(" AND p.language =", language.clone());
    }
    push_url(query, filter, "+");
    if let Some(is_noted) = filter.favorite {
        push_noted(query, is_noted, "favorite = 1", None);
    }
    if let Some(is_noted) = filter.applied {
        push_noted(query, is_noted, "applied = 1", None);
    }
    match filter.note_status.as_deref() {
        None => {}
        Some("") => push_noted(query, false, "status <> ''", None),
        Some(status) => push_noted(query, true, "status =", Some(status)),
    }
    if let Some(tag) = &filter.tag {
        query.push(" AND EXISTS (SELECT 1 FROM page_tags m WHERE m.tenant_id = ?1");
        query.bind(" AND m.page_id = p.id AND m.tag =", tag.clone());
        query.push(")");
    }
}

fn push_noted(query: &mut Query, is_noted: bool, condition: &str, value: Option<&str>) {
    query.push(if is_noted { " AND" } else { " AND NOT" });
    query.push(" EXISTS (SELECT 1 FROM page_notes m WHERE m.page_id = p.id AND m.");
    match value {
        Some(value) => query.bind(condition, value.to_owned()),
        None => query.push(condition),
    }
    query.push(")");
}

/// Ranges of dates. The one of the list's own order bounds the walk, unless
/// the section's place does already.
fn push_ranges(query: &mut Query, filter: &PageFilter, way: Way, section: &Section<'_>) {
    let walked = |sort| matches!(way, Way::Walk { .. }) && filter.sort == sort;
    let is_bound = |upper: bool| match section.place {
        Place::Anywhere => false,
        Place::OtherValue(_) => upper == filter.descending,
        _ => true,
    };
    let plus = |sort, upper| {
        if walked(sort) && !is_bound(upper) {
            ""
        } else {
            "+"
        }
    };
    let sort = PageSort::PublishedAt;
    if section.dated == Some(false) {
        query.push(" AND p.published_at IS NULL");
    }
    // Any bound at all leaves out the pages without a date.
    let lowest = (section.dated == Some(true)).then_some(i64::MIN);
    if let Some(from) = filter.published_from.map(|at| at.0).or(lowest) {
        query.bind(
            &format!(" AND {}p.published_at >=", plus(sort, false)),
            from,
        );
    }
    if let Some(to) = filter.published_to {
        query.bind(&format!(" AND {}p.published_at <", plus(sort, true)), to.0);
    }
    if let Some(since) = filter.changed_since {
        let plus = plus(PageSort::ChangedAt, false);
        query.bind(&format!(" AND {plus}p.changed_at >="), since.0);
    }
}

fn push_place(query: &mut Query, filter: &PageFilter, section: &Section<'_>) {
    let column = sort_column(filter.sort);
    let behind = if filter.descending { "<" } else { ">" };
    let is_dated = section.dated != Some(false);
    match section.place {
        Place::Anywhere => {}
        Place::BehindId(id) => query.bind(&format!(" AND p.id {behind}"), id),
        Place::Behind(key) if is_dated => {
            query.bind(
                &format!(" AND ({column}, p.source_id, p.id) {behind} ("),
                value(key),
            );
            query.bind(",", key.source);
            query.bind(",", key.id);
            query.push(")");
        }
        Place::Behind(key) => {
            query.bind(&format!(" AND (p.source_id, p.id) {behind} ("), key.source);
            query.bind(",", key.id);
            query.push(")");
        }
        Place::SameSource(key) => {
            if is_dated {
                query.bind(&format!(" AND {column} ="), value(key));
            }
            query.bind(" AND p.source_id =", key.source);
            query.bind(&format!(" AND p.id {behind}"), key.id);
        }
        Place::SameValue(key) => {
            if is_dated {
                query.bind(&format!(" AND {column} ="), value(key));
            }
            query.bind(&format!(" AND p.source_id {behind}"), key.source);
        }
        Place::OtherValue(key) => query.bind(&format!(" AND {column} {behind}"), value(key)),
    }
}

/// Only what still differs within the section.
fn push_order(query: &mut Query, filter: &PageFilter, section: &Section<'_>) {
    let column = sort_column(filter.sort);
    let has_one_value = section.dated == Some(false)
        || matches!(section.place, Place::SameSource(_) | Place::SameValue(_));
    let mut columns = match section.place {
        Place::SameSource(_) => vec!["p.id"],
        _ if filter.sort == PageSort::Id => vec!["p.id"],
        _ if has_one_value => vec!["p.source_id", "p.id"],
        _ => vec![column, "p.source_id", "p.id"],
    };
    // That they have no date does not tell PostgreSQL that all have the same.
    if section.dated == Some(false) {
        columns.insert(0, column);
    }
    let direction = if filter.descending { " DESC" } else { "" };
    for (number, column) in columns.iter().enumerate() {
        query.push(if number == 0 { " ORDER BY " } else { ", " });
        query.push(column);
        query.push(direction);
    }
}

fn sort_column(sort: PageSort) -> &'static str {
    match sort {
        PageSort::Id => "p.id",
        PageSort::FetchedAt => "p.fetched_at",
        PageSort::ChangedAt => "p.changed_at",
        PageSort::PublishedAt => "p.published_at",
        PageSort::Title => "substr(p.title, 1, 48)",
    }
}

const _: () = assert!(TITLE_CHARS == 48, "as in `sort_column` and the index");

fn value(key: &SortKey) -> Value {
    match &key.value {
        SortValue::None => Value::Null,
        SortValue::Time(ms) => Value::from(*ms),
        SortValue::Text(text) => Value::from(text.clone()),
    }
}
