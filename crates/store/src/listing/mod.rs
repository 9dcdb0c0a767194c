//! Lists of pages: some of a tenant's, in one of several orders.
//!
//! A list takes one of two ways. It walks an index that has its order and stops
//! when it has enough; what the index does not know, it looks up. Or, where a
//! filter leaves few pages, it reads all of those and sorts them. Whether
//! they are few is asked of the filter's own index, which is read only as far
//! as that takes. So either way the list touches a few thousand rows at
//! most, unless two wide filters have little in common.

mod statement;

use types::PageId;

use crate::error::Failure;
use crate::model::{SortKey, SortValue};
use crate::pages::page_by_id;
use crate::rows::page_row;
use crate::sql::{Connection, Value, collect, first};
use crate::{PageFilter, PageRow, PageSort, PageStatus, Store, StoreError};

/// Pages that are sorted rather than found in order. To find 50 among 100,000
/// of which 2,000 fit, a walk looks at 2,500 rows, so here both cost the same.
/// A row takes 4 to 9 µs in a database of 800 MB, three times its memory map
/// (`store_bench`, two busy cores).
const FEW: usize = 2_000;

impl Store {
    /// Pages in the order of the filter. Go on behind the last one with
    /// [`crate::PageCursor::behind`] or, in the order of ids, with
    /// [`crate::PageCursor::behind_id`].
    ///
    /// Fails with a conflict on a cursor of another order.
    pub fn pages(&self, filter: &PageFilter) -> Result<Vec<PageRow>, StoreError> {
        let lists =
            self.gather(|shard| shard.read("list pages", |connection| list(connection, filter)))?;
        Ok(together(lists, filter))
    }
}

fn list(connection: &Connection, filter: &PageFilter) -> Result<Vec<PageRow>, Failure> {
    check(filter)?;
    if !has_source(connection, filter)? {
        return Ok(Vec::new());
    }
    let way = choose(connection, filter)?;
    let mut pages: Vec<PageRow> = Vec::new();
    for section in sections(filter, way) {
        let left = filter.limit - pages.len();
        if left == 0 {
            break;
        }
        let statements = statements(filter, way, &section, left);
        let mut found: Vec<PageRow> = Vec::new();
        for (sql, parameters) in &statements {
            match way {
                Way::Walk { .. } => {
                    found.extend(collect(connection, sql, parameters, page_row)?);
                }
                Way::Sort(_) => {
                    let ids = collect(connection, sql, parameters, |row| Ok(PageId(row.get(0)?)))?;
                    for id in ids {
                        found.extend(page_by_id(connection, id)?);
                    }
                }
            }
        }
        if statements.len() > 1 {
            merge(&mut found, filter);
            found.truncate(left);
        }
        pages.append(&mut found);
    }
    Ok(pages)
}

fn check(filter: &PageFilter) -> Result<(), Failure> {
    if let Some(cursor) = &filter.cursor
        && (cursor.sort, cursor.descending) != (filter.sort, filter.descending)
    {
        return Err(Failure::conflict(
            "the cursor is of a list in another order; start at its beginning",
        ));
    }
    Ok(())
}

/// Another tenant's source has no pages here (T1), and none of its index
/// entries are read to find that out.
fn has_source(connection: &Connection, filter: &PageFilter) -> Result<bool, Failure> {
    let Some(source) = filter.source else {
        return Ok(true);
    };
    let sql = "SELECT 1 FROM sources WHERE id = ?1 AND tenant_id = ?2";
    let found = first(connection, sql, [source.0, filter.tenant.0], |_| Ok(()))?;
    Ok(found.is_some())
}

/// How the rows of a list are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Along this index. One that begins with the status is walked once for
    /// each status asked for.
    Walk {
        index: &'static str,
        by_status: bool,
    },
    /// All that one filter leaves, sorted: their ids, as whole rows are slow to sort.
    Sort(Narrow),
}

/// A filter with an index of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Narrow {
    Tag,
    NoteStatus,
    Favorite,
    Applied,
    Url,
    Source,
    Host,
    Published,
    Changed,
    Gone,
}

fn choose(connection: &Connection, filter: &PageFilter) -> Result<Way, Failure> {
    for narrow in candidates(filter) {
        let (sql, parameters) = statement::probe(filter, narrow, FEW + 1);
        let found: Option<i64> = first(connection, &sql, &parameters, |row| row.get(0))?;
        let is_few = found
            .and_then(|found| usize::try_from(found).ok())
            .is_some_and(|found| found <= FEW);
        if is_few {
            return Ok(Way::Sort(narrow));
        }
    }
    Ok(walk(filter))
}

pub(crate) fn walk(filter: &PageFilter) -> Way {
    let (index, by_status) = walk_index(filter);
    Way::Walk { index, by_status }
}

/// The index that has the filter's order, and whether it begins with the status.
fn walk_index(filter: &PageFilter) -> (&'static str, bool) {
    match filter.sort {
        PageSort::Id if filter.source.is_some() => ("pages_source", false),
        PageSort::Id if filter.host.is_some() => ("pages_host", false),
        PageSort::Id => ("pages_tenant", true),
        PageSort::FetchedAt => ("pages_fetched", true),
        PageSort::ChangedAt => ("pages_changed", true),
        PageSort::PublishedAt => ("pages_published", true),
        PageSort::Title => ("pages_title", true),
    }
}

/// Filters that may leave few pages and that the walk knows nothing of, those
/// likely to leave the fewest first.
fn candidates(filter: &PageFilter) -> impl Iterator<Item = Narrow> {
    let by_id = filter.sort == PageSort::Id;
    let has_note_status = filter.note_status.as_ref().is_some_and(|s| !s.is_empty());
    let has_dates = filter.published_from.is_some() || filter.published_to.is_some();
    let is_gone = filter.status == Some(PageStatus::Gone);
    let (_, by_status) = walk_index(filter);
    [
        (filter.tag.is_some(), Narrow::Tag),
        (has_note_status, Narrow::NoteStatus),
        (filter.favorite == Some(true), Narrow::Favorite),
        (filter.applied == Some(true), Narrow::Applied),
        (filter.url_prefix.is_some(), Narrow::Url),
        (filter.source.is_some() && !by_id, Narrow::Source),
        (
            filter.host.is_some() && !(by_id && filter.source.is_none()),
            Narrow::Host,
        ),
        (
            has_dates && filter.sort != PageSort::PublishedAt,
            Narrow::Published,
        ),
        (
            filter.changed_since.is_some() && filter.sort != PageSort::ChangedAt,
            Narrow::Changed,
        ),
        (is_gone && !by_status, Narrow::Gone),
    ]
    .into_iter()
    .filter_map(|(applies, narrow)| applies.then_some(narrow))
}

/// A part of a list that is read in one go. Sections follow one another in
/// the order of the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<'f> {
    /// Of a list by date: pages that have one, or those that have none.
    dated: Option<bool>,
    place: Place<'f>,
}

/// Where in its order a section lies, each an exact range of the index: pages
/// of equal value may be as many as there are.
#[derive(Clone, Copy, Debug)]
enum Place<'f> {
    Anywhere,
    BehindId(i64),
    Behind(&'f SortKey),
    /// The rest of those with its value and source.
    SameSource(&'f SortKey),
    /// Those with its value, of sources behind its own.
    SameValue(&'f SortKey),
    OtherValue(&'f SortKey),
}

pub(crate) fn sections(filter: &PageFilter, way: Way) -> Vec<Section<'_>> {
    let key = filter.cursor.as_ref().map(|cursor| &cursor.key);
    let section = |dated, place| Section { dated, place };
    if filter.sort == PageSort::Id {
        let place = key.map_or(Place::Anywhere, |key| Place::BehindId(key.id));
        return vec![section(None, place)];
    }
    let by_date = filter.sort == PageSort::PublishedAt;
    let dated = by_date.then(|| key.is_none_or(|key| key.value != SortValue::None));
    let mut sections = Vec::new();
    match (key, way) {
        (None, _) => sections.push(section(dated, Place::Anywhere)),
        (Some(key), Way::Sort(_)) => sections.push(section(dated, Place::Behind(key))),
        (Some(key), Way::Walk { .. }) => {
            sections.push(section(dated, Place::SameSource(key)));
            if filter.source.is_none() {
                sections.push(section(dated, Place::SameValue(key)));
            }
            if dated != Some(false) {
                sections.push(section(dated, Place::OtherValue(key)));
            }
        }
    }
    let asks_for_dates = filter.published_from.is_some() || filter.published_to.is_some();
    if dated == Some(true) && !asks_for_dates {
        sections.push(section(Some(false), Place::Anywhere));
    }
    sections
}

/// One statement for each status that has to be asked for by itself.
pub(crate) fn statements(
    filter: &PageFilter,
    way: Way,
    section: &Section<'_>,
    limit: usize,
) -> Vec<(String, Vec<Value>)> {
    let both = [Some(PageStatus::Live), Some(PageStatus::Gone)];
    let one = [filter.status];
    let statuses = match way {
        Way::Walk {
            by_status: true, ..
        } if filter.status.is_none() => &both[..],
        _ => &one[..],
    };
    statuses
        .iter()
        .map(|status| statement::page_list(filter, way, section, *status, limit))
        .collect()
}

/// The lists of several databases as one.
fn together(mut lists: Vec<Vec<PageRow>>, filter: &PageFilter) -> Vec<PageRow> {
    if lists.len() == 1 {
        return lists.remove(0);
    }
    let mut pages = lists.concat();
    merge(&mut pages, filter);
    // What is being moved is in both.
    pages.dedup_by_key(|page| page.id);
    if filter.sort == PageSort::PublishedAt {
        pages.sort_by_key(|page| page.published_at.is_none());
    }
    pages.truncate(filter.limit);
    pages
}

fn merge(pages: &mut [PageRow], filter: &PageFilter) {
    pages.sort_by_cached_key(|page| SortKey::of(page, filter.sort));
    if filter.descending {
        pages.reverse();
    }
}
