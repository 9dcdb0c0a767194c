//! Pages that are to be summarised, in the order of their ids.
//!
//! Those that never were with the text they have are one walk along an index
//! that has no others, of the tenant's pages or of the source's. Pages of a
//! source are asked for by the source alone, once it is known to be the
//! tenant's: a planner takes conditions for independent, expects fewer rows of
//! both than there are, and then reads all pages of the source to sort them
//! (PostgreSQL 18, 200,000 pages, 1,000 of them the source's: 150 ms instead of
//! 10 for the first hundred). Those that are to be tried again are another walk,
//! along the failed and fallback summaries. A source that is being moved to
//! another database is left out: nothing could be saved of it.

use std::collections::HashSet;

use types::PageId;

use crate::error::Failure;
use crate::model::{SummaryBacklog, SummaryState, SummaryWanted, SummaryWork};
use crate::rebalance::leaving;
use crate::rows::{as_i64, content_hash, count};
use crate::sql::{Connection, Row, Value, collect, first};
use crate::{Store, StoreError};

/// Pages that one call can name.
const PAGES_MAX: usize = 10_000;
/// Rows that are read at a time where many pages have the same text.
const ROWS_MIN: usize = 100;
/// Times that more rows are read for one list.
const ROUNDS_MAX: usize = 100;

impl Store {
    /// Pages to be summarised behind `after`, in the order of their ids. Of
    /// those in one database that have the same text there is one: the others
    /// get its summary with it, or come with a later walk. So a walk may leave
    /// some, and the next one finds them.
    ///
    /// Fails with a conflict on more than 10,000 pages, and where pages that
    /// are done are asked for.
    pub fn pages_to_summarize(
        &self,
        wanted: &SummaryWanted,
        after: Option<PageId>,
        limit: usize,
    ) -> Result<Vec<SummaryWork>, StoreError> {
        self.merged(
            limit,
            |work: &SummaryWork| work.page,
            |shard| {
                shard.read("list pages to summarise", |connection| {
                    work(connection, wanted, after, limit)
                })
            },
        )
    }

    /// How many pages [`Store::pages_to_summarize`] would find, each of those
    /// with the same text counted.
    pub fn count_to_summarize(&self, wanted: &SummaryWanted) -> Result<SummaryBacklog, StoreError> {
        let parts = self.gather(|shard| {
            shard.read("count pages to summarise", |connection| {
                check(wanted)?;
                let mut backlog = SummaryBacklog::default();
                let Some(held) = held(connection, wanted)? else {
                    return Ok(backlog);
                };
                for (sql, parameters) in queries(wanted, held, COUNTED, "") {
                    let counted = first(connection, &sql, &parameters, |row| {
                        Ok(SummaryBacklog {
                            pages: count(row, 0)?,
                            text_bytes: count(row, 1)?,
                        })
                    })?;
                    backlog = backlog.and(counted.unwrap_or_default());
                }
                Ok(backlog)
            })
        })?;
        let none = SummaryBacklog::default();
        Ok(parts.into_iter().fold(none, SummaryBacklog::and))
    }
}

/// A row with the content that it is of, to tell same texts by.
type Found = (SummaryWork, i64);

fn work(
    connection: &Connection,
    wanted: &SummaryWanted,
    after: Option<PageId>,
    limit: usize,
) -> Result<Vec<SummaryWork>, Failure> {
    check(wanted)?;
    let Some(held) = held(connection, wanted)? else {
        return Ok(Vec::new());
    };
    let rows = limit.max(ROWS_MIN);
    let mut after = after.map_or(0, |page| page.0);
    let mut seen = HashSet::new();
    let mut work = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let found = read(connection, wanted, held, after, rows)?;
        let is_last = found.len() < rows;
        after = found.last().map_or(after, |(work, _)| work.page.0);
        let unlike = found
            .into_iter()
            .filter(|(_, content)| seen.insert(*content));
        work.extend(unlike.map(|(work, _)| work));
        if is_last || work.len() >= limit {
            break;
        }
    }
    work.truncate(limit);
    Ok(work)
}

fn read(
    connection: &Connection,
    wanted: &SummaryWanted,
    held: i64,
    after: i64,
    limit: usize,
) -> Result<Vec<Found>, Failure> {
    let mut found: Vec<Found> = Vec::new();
    for (sql, mut parameters) in queries(wanted, held, LISTED, ORDERED) {
        parameters[AFTER] = Value::from(after);
        parameters.push(Value::from(as_i64(limit)));
        let sql = format!("{sql} LIMIT ?{}", parameters.len());
        found.extend(collect(connection, &sql, &parameters, found_row)?);
    }
    // No page is in both walks.
    found.sort_by_key(|(work, _)| work.page);
    found.truncate(limit);
    Ok(found)
}

fn found_row(row: &Row<'_>) -> Result<Found, Failure> {
    let work = SummaryWork {
        page: PageId(row.get(0)?),
        url: row.get(1)?,
        title: row.get(2)?,
        language: row.get(3)?,
        content_hash: content_hash(row, 4)?,
        text_bytes: count(row, 5)?,
    };
    Ok((work, row.get(6)?))
}

fn check(wanted: &SummaryWanted) -> Result<(), Failure> {
    if wanted.again.contains(&SummaryState::Done) {
        return Err(Failure::conflict(
            "a summary that is done stays for as long as its page has the same text",
        ));
    }
    let named = wanted.pages.as_ref().map_or(0, Vec::len);
    if named > PAGES_MAX {
        return Err(Failure::conflict(format!(
            "{named} pages are named, and {PAGES_MAX} can be at once"
        )));
    }
    Ok(())
}

/// The source that leaves this database, 0 if none does; `None` where the
/// source that is asked for is not the tenant's (T1), leaves, or has not settled here.
fn held(connection: &Connection, wanted: &SummaryWanted) -> Result<Option<i64>, Failure> {
    let held = leaving(connection)?.map_or(0, |leaving| leaving.source);
    let Some(source) = wanted.source else {
        return Ok(Some(held));
    };
    let sql = "SELECT 1 FROM sources WHERE id = ?1 AND tenant_id = ?2 AND purging < 2";
    let found = first(connection, sql, [source.0, wanted.tenant.0], |_| Ok(()))?;
    Ok((found.is_some() && source.0 != held).then_some(held))
}

const LISTED: &str = "
    SELECT p.id, p.url, p.title, p.language, p.content_hash, c.text_bytes, p.content_id";
const COUNTED: &str = "
    SELECT count(*), CAST(coalesce(sum(c.text_bytes), 0) AS BIGINT)";
const ORDERED: &str = " ORDER BY p.id";

/// Which of the parameters of a query says where it begins.
const AFTER: usize = 1;

/// A walk for each kind of page that is wanted.
fn queries(
    wanted: &SummaryWanted,
    held: i64,
    columns: &str,
    order: &str,
) -> Vec<(String, Vec<Value>)> {
    let mut queries = vec![never(wanted, held, columns, order)];
    if !wanted.again.is_empty() {
        queries.push(again(wanted, held, columns, order));
    }
    queries
}

/// Pages that were never summarised with the text they have: the condition is
/// that of the indexes, word for word.
pub(crate) fn never(
    wanted: &SummaryWanted,
    held: i64,
    columns: &str,
    order: &str,
) -> (String, Vec<Value>) {
    let mut query = match (&wanted.pages, wanted.source) {
        (None, None) => {
            let from = "pages p INDEXED BY pages_to_summarize";
            Query::begin(
                columns,
                from,
                "p.tenant_id = ?1 AND p.id > ?2",
                wanted.tenant.0,
            )
        }
        (None, Some(source)) => {
            let from = "pages p INDEXED BY pages_to_summarize_source";
            Query::begin(columns, from, "p.source_id = ?1 AND p.id > ?2", source.0)
        }
        // Few, and looked up: a plus keeps a condition from being where the
        // planner begins.
        (Some(_), _) => {
            let condition = "+p.tenant_id = ?1 AND +p.id > ?2";
            Query::begin(columns, "pages p", condition, wanted.tenant.0)
        }
    };
    query.push(
        " AND p.status = 1 AND p.version > 0
           AND p.summarized_hash IS DISTINCT FROM p.content_hash",
    );
    match wanted.source {
        None => query.leave_out(held),
        Some(source) if wanted.pages.is_some() => query.bind(" AND +p.source_id =", source.0),
        Some(_) => {}
    }
    query.name(wanted);
    query.push(order);
    (query.sql, query.parameters)
}

/// Pages whose summary is to be tried again.
pub(crate) fn again(
    wanted: &SummaryWanted,
    held: i64,
    columns: &str,
    order: &str,
) -> (String, Vec<Value>) {
    let from = "summaries s INDEXED BY summaries_again CROSS JOIN pages p ON p.id = s.page_id";
    let condition = "s.tenant_id = ?1 AND s.page_id > ?2 AND s.state <> 0";
    let mut query = Query::begin(columns, from, condition, wanted.tenant.0);
    query.push(
        " AND p.tenant_id = s.tenant_id AND p.status = 1 AND p.version > 0
           AND s.content_hash = p.content_hash AND p.summarized_hash = p.content_hash",
    );
    match wanted.source {
        None => query.leave_out(held),
        Some(source) => query.bind(" AND p.source_id =", source.0),
    }
    query.name(wanted);
    let mut before = " AND s.state IN (";
    for state in &wanted.again {
        query.bind(before, state.number());
        before = ",";
    }
    query.push(")");
    if let Some(before) = wanted.again_before {
        query.bind(" AND s.created_at <", before.0);
    }
    query.push(&order.replace("p.id", "s.page_id"));
    (query.sql, query.parameters)
}

/// A walk in the making.
struct Query {
    sql: String,
    parameters: Vec<Value>,
}

impl Query {
    /// `?1` is whose pages they are, `?2` where the walk begins.
    fn begin(columns: &str, from: &str, condition: &str, whose: i64) -> Query {
        Query {
            sql: format!(
                "{columns} FROM {from} CROSS JOIN contents c ON c.id = p.content_id
                 WHERE {condition}"
            ),
            parameters: vec![Value::from(whose), Value::from(0)],
        }
    }

    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Appends text and a parameter behind it.
    fn bind(&mut self, sql: &str, value: impl Into<Value>) {
        self.parameters.push(value.into());
        self.push(&format!("{sql} ?{}", self.parameters.len()));
    }

    /// Of sources that leave, or are still arriving here.
    fn leave_out(&mut self, held: i64) {
        self.bind(" AND p.source_id <>", held);
        self.push(" AND (SELECT o.purging FROM sources o WHERE o.id = p.source_id) < 2");
    }

    /// None but those that are named, if any are.
    fn name(&mut self, wanted: &SummaryWanted) {
        let Some(pages) = &wanted.pages else { return };
        let ids: Vec<String> = pages.iter().map(|page| page.0.to_string()).collect();
        let ids = format!("[{}]", ids.join(","));
        self.bind(
            " AND p.id IN (SELECT CAST(value AS BIGINT) FROM json_each(",
            ids,
        );
        self.push("))");
    }
}
