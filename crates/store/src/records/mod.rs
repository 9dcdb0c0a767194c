//! Records: stored with their pages, listed and counted by their facts.
//!
//! The usual list, one kind with the newest first, walks the index of that
//! order. Any other filter or order reads the tenant's rows of the kind, which
//! lie together: 100,000 of them in some tens of milliseconds.

mod facets;

use types::{
    Availability, PageId, Record, RecordKind, Salary, SalaryPeriod, SourceId, TenantId, Timestamp,
};

use crate::codec;
use crate::error::Failure;
use crate::model::{NO_AMOUNT, NO_DATE, NO_PRICE};
use crate::pages::page_by_id;
use crate::rows::{as_i64, time};
use crate::sql::{Connection, Row, Value, collect, execute, first, params, send};
use crate::{RecordCursor, RecordFilter, RecordRow, RecordSort, Store, StoreError};

impl Store {
    /// Records in the given order, behind `cursor` if there is one. Fails with
    /// a conflict on a cursor of another order.
    pub fn records(
        &self,
        filter: &RecordFilter,
        sort: RecordSort,
        cursor: Option<&RecordCursor>,
        limit: usize,
    ) -> Result<Vec<RecordRow>, StoreError> {
        let mut lists = self.gather(|shard| {
            shard.read("list records", |connection| {
                if cursor.is_some_and(|cursor| cursor.sort != sort) {
                    return Err(Failure::conflict(
                        "the cursor is of a list in another order; start at its beginning",
                    ));
                }
                let (sql, parameters) = list(filter, sort, cursor, limit);
                let found = collect(connection, &sql, &parameters, |row| {
                    Ok((PageId(row.get(0)?), record(row, 1)?))
                })?;
                let mut rows = Vec::with_capacity(found.len());
                for (page, record) in found {
                    let page = page_by_id(connection, page)?;
                    rows.extend(page.map(|page| RecordRow { page, record }));
                }
                Ok(rows)
            })
        })?;
        if lists.len() == 1 {
            return Ok(lists.remove(0));
        }
        Ok(together(lists, sort, limit))
    }

    /// The record of a live page, if it has one.
    pub fn record_of(&self, page: PageId) -> Result<Option<Record>, StoreError> {
        self.find(page, |shard| {
            shard.read("read the page's record", |connection| {
                record_of(connection, page)
            })
        })
    }

    /// Records of those of the tenant's `pages` that have one, in the order asked.
    pub fn records_of(
        &self,
        tenant: TenantId,
        pages: &[PageId],
    ) -> Result<Vec<(PageId, Record)>, StoreError> {
        self.by_ids(
            pages,
            |(page, _)| *page,
            |shard, pages| {
                shard.read("read records of pages", |connection| {
            let sql = concat!(
                "SELECT page_id, ",
                columns!(),
                " FROM records INDEXED BY records_page WHERE page_id = ?1 AND tenant_id = ?2"
            );
            let found = pages.iter().map(|page| {
                first(connection, sql, [page.0, tenant.0], |row| {
                    Ok((*page, record(row, 1)?))
                })
            });
            found.filter_map(Result::transpose).collect()
        })
            },
        )
    }
}

/// The lists of several databases as one, in the order of [`list`].
fn together(lists: Vec<Vec<RecordRow>>, sort: RecordSort, limit: usize) -> Vec<RecordRow> {
    let mut rows = lists.concat();
    let place = |row: &RecordRow| {
        let cursor = RecordCursor::behind(row, sort);
        (cursor.value, cursor.page)
    };
    rows.sort_by(|a, b| {
        let ((a, a_page), (b, b_page)) = (place(a), place(b));
        let ascending = a.total_cmp(&b).then(a_page.cmp(&b_page));
        if sort == RecordSort::Cheapest {
            ascending
        } else {
            ascending.reverse()
        }
    });
    // What is being moved is in both.
    rows.dedup_by_key(|row| row.page.id);
    rows.truncate(limit);
    rows
}

/// What [`record`] reads.
macro_rules! columns {
    () => {
        "kind, published_at, expires_at, price, remote, availability, category, brand, company, \
         location, employment_type, currency, salary_currency, author, name, sku, salary_min, \
         salary_max, salary_period, skills"
    };
}
use columns;

pub(crate) fn record_of(connection: &Connection, page: PageId) -> Result<Option<Record>, Failure> {
    let sql = concat!(
        "SELECT page_id, ",
        columns!(),
        " FROM records INDEXED BY records_page WHERE page_id = ?1"
    );
    first(connection, sql, [page.0], |row| record(row, 1))
}

/// The page has this record from now on, or none.
pub(crate) fn save_record(
    connection: &Connection,
    tenant: TenantId,
    source: SourceId,
    page: i64,
    record: Option<&Record>,
) -> Result<(), Failure> {
    delete_record(connection, page)?;
    match record {
        Some(record) => insert_record(connection, tenant, source, page, record),
        None => Ok(()),
    }
}

pub(crate) fn delete_record(connection: &Connection, page: i64) -> Result<(), Failure> {
    let sql = "DELETE FROM records WHERE page_id = ?1";
    execute(connection, sql, [page])?;
    Ok(())
}

pub(crate) fn insert_record(
    connection: &Connection,
    tenant: TenantId,
    source: SourceId,
    page: i64,
    record: &Record,
) -> Result<(), Failure> {
    let salary = record.salary.as_ref();
    let (year_min, year_max) = salary.map_or((None, None), Salary::per_year);
    send(
        connection,
        "INSERT INTO records
           (tenant_id, kind, page_id, source_id, published_at, expires_at, price,
            salary_year_min, salary_year_max, remote, availability, category, brand, company,
            location, employment_type, currency, salary_currency, author, name, sku, salary_min,
            salary_max, salary_period, skills)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                 ?19, ?20, ?21, ?22, ?23, ?24, ?25)",
        params![
            tenant.0,
            kind_code(record.kind),
            page,
            source.0,
            record.published_at.map(|t| t.0),
            record.expires_at.map(|t| t.0),
            record.price,
            year_min,
            year_max,
            record.remote,
            record.availability.map(availability_code),
            record.category,
            record.brand,
            record.company,
            record.location,
            record.employment_type,
            record.currency,
            salary.and_then(|s| s.currency.as_deref()),
            record.author,
            record.name,
            record.sku,
            salary.and_then(|s| s.min),
            salary.and_then(|s| s.max),
            salary.and_then(|s| s.period).map(period_code),
            codec::encode_strings(&record.skills)?,
        ],
    )?;
    Ok(())
}

/// Reads [`columns!`] from column `at` on.
fn record(row: &Row<'_>, at: usize) -> Result<Record, Failure> {
    let skills: String = row.get(at + 19)?;
    let (min, max) = (row.get(at + 16)?, row.get(at + 17)?);
    let period: Option<i64> = row.get(at + 18)?;
    let availability: Option<i64> = row.get(at + 5)?;
    let salary = Salary {
        min,
        max,
        currency: row.get(at + 12)?,
        period: period
            .map(|code| from_code(&SalaryPeriod::ALL, code, "salary period"))
            .transpose()?,
    };
    Ok(Record {
        kind: from_code(&RecordKind::ALL, row.get(at)?, "record kind")?,
        published_at: time(row, at + 1)?,
        expires_at: time(row, at + 2)?,
        price: row.get(at + 3)?,
        remote: row.get(at + 4)?,
        availability: availability
            .map(|code| from_code(&Availability::ALL, code, "availability"))
            .transpose()?,
        category: row.get(at + 6)?,
        brand: row.get(at + 7)?,
        company: row.get(at + 8)?,
        location: row.get(at + 9)?,
        employment_type: row.get(at + 10)?,
        currency: row.get(at + 11)?,
        author: row.get(at + 13)?,
        name: row.get(at + 14)?,
        sku: row.get(at + 15)?,
        salary: (salary.min.is_some() || salary.max.is_some()).then_some(salary),
        skills: codec::decode_strings(&skills)?,
    })
}

fn kind_code(kind: RecordKind) -> i64 {
    code_in(&RecordKind::ALL, kind)
}

fn availability_code(availability: Availability) -> i64 {
    code_in(&Availability::ALL, availability)
}

fn period_code(period: SalaryPeriod) -> i64 {
    code_in(&SalaryPeriod::ALL, period)
}

/// The place in its list, which only grows at its end.
fn code_in<T: PartialEq>(all: &[T], one: T) -> i64 {
    as_i64(all.iter().position(|other| *other == one).unwrap_or(0))
}

fn from_code<T: Copy>(all: &[T], code: i64, what: &str) -> Result<T, Failure> {
    let place = usize::try_from(code).ok();
    place
        .and_then(|place| all.get(place).copied())
        .ok_or_else(|| Failure::corrupt(format!("unknown {what} {code}")))
}

/// A statement in the making; `?1` is always the tenant.
struct Conditions {
    sql: String,
    parameters: Vec<Value>,
}

impl Conditions {
    fn of(filter: &RecordFilter) -> Conditions {
        let mut conditions = Conditions {
            sql: " WHERE tenant_id = ?1".to_owned(),
            parameters: vec![Value::from(filter.tenant.0)],
        };
        conditions.add("kind = ", filter.kind.map(kind_code));
        conditions.add("source_id = ", filter.source.map(|source| source.0));
        conditions.add("published_at >= ", filter.published_from.map(|t| t.0));
        conditions.add("published_at < ", filter.published_to.map(|t| t.0));
        conditions.add(
            "ifnull(expires_at, 9223372036854775807) >= ",
            filter.open_at.map(|t: Timestamp| t.0),
        );
        conditions.add("expires_at < ", filter.expired_at.map(|t| t.0));
        conditions.add("price >= ", filter.price_min);
        conditions.add("price <= ", filter.price_max);
        conditions.add(
            "ifnull(salary_year_max, salary_year_min) >= ",
            filter.salary_min,
        );
        conditions.add(
            "ifnull(salary_year_min, salary_year_max) <= ",
            filter.salary_max,
        );
        conditions.add("remote = ", filter.remote);
        conditions.add(
            "availability = ",
            filter.availability.map(availability_code),
        );
        for (column, wanted) in [
            ("category", &filter.category),
            ("brand", &filter.brand),
            ("company", &filter.company),
            ("employment_type", &filter.employment_type),
            ("author", &filter.author),
        ] {
            let wanted = wanted.clone().map(|wanted| (wanted, ")"));
            conditions.add(&format!("lower({column}) = lower("), wanted);
        }
        conditions.add(
            "lower(ifnull(currency, salary_currency)) = lower(",
            filter.currency.clone().map(|currency| (currency, ")")),
        );
        let part = filter.location.as_ref().map(|part| like_part(part));
        conditions.add("location LIKE ", part.map(|part| (part, " ESCAPE '\\'")));
        let skill = filter.skill.clone().map(|skill| (skill, "))"));
        conditions.add(
            "EXISTS (SELECT 1 FROM json_each(skills) s WHERE lower(s.value) = lower(",
            skill,
        );
        for (noted, wanted) in [("favorite", filter.favorite), ("applied", filter.applied)] {
            if let Some(wanted) = wanted {
                let is_in = if wanted { "IN" } else { "NOT IN" };
                conditions.sql.push_str(&format!(
                    " AND page_id {is_in} (SELECT page_id FROM page_notes
                       WHERE tenant_id = ?1 AND {noted} = 1)"
                ));
            }
        }
        conditions.add(
            "page_id IN (SELECT page_id FROM page_notes
               WHERE tenant_id = ?1 AND status <> '' AND status = ",
            filter.note_status.clone().map(|status| (status, ")")),
        );
        conditions.add(
            "page_id IN (SELECT page_id FROM page_tags WHERE tenant_id = ?1 AND tag = ",
            filter.tag.clone().map(|tag| (tag, ")")),
        );
        conditions
    }

    /// Appends a condition if there is a value for it.
    fn add<V: Bound>(&mut self, text: &str, value: Option<V>) {
        if let Some(value) = value {
            let (value, ending) = value.split();
            self.parameters.push(value);
            let number = self.parameters.len();
            self.sql.push_str(&format!(" AND {text}?{number}{ending}"));
        }
    }

    fn next(&mut self, value: impl Into<Value>) -> usize {
        self.parameters.push(value.into());
        self.parameters.len()
    }
}

/// A value, and what stands behind its place in the statement.
trait Bound {
    fn split(self) -> (Value, &'static str);
}

macro_rules! bound {
    ($($kind:ty),*) => { $(
        impl Bound for $kind {
            fn split(self) -> (Value, &'static str) {
                (self.into(), "")
            }
        }
    )* };
}
bound!(i64, f64, bool, String);

impl Bound for (String, &'static str) {
    fn split(self) -> (Value, &'static str) {
        (self.0.into(), self.1)
    }
}

/// A `LIKE` pattern for text that has `part` in it.
fn like_part(part: &str) -> String {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for character in part.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// True when the index of the newest serves the filter: a kind and nothing
/// else that a row would have to be looked up for.
fn is_plain(filter: &RecordFilter) -> bool {
    let plain = RecordFilter {
        kind: filter.kind,
        ..RecordFilter::of_tenant(filter.tenant)
    };
    filter.kind.is_some() && *filter == plain
}

pub(crate) fn list(
    filter: &RecordFilter,
    sort: RecordSort,
    cursor: Option<&RecordCursor>,
    limit: usize,
) -> (String, Vec<Value>) {
    let mut conditions = Conditions::of(filter);
    let (key, descending) = match sort {
        RecordSort::Newest => (format!("ifnull(published_at, {NO_DATE})"), true),
        RecordSort::Cheapest => (format!("ifnull(price, {NO_PRICE:e})"), false),
        RecordSort::Dearest => (format!("ifnull(price, {NO_AMOUNT:?})"), true),
        RecordSort::BestPaid => {
            let pay = format!("coalesce(salary_year_max, salary_year_min, {NO_AMOUNT:?})");
            (pay, true)
        }
    };
    let walks = sort == RecordSort::Newest && is_plain(filter);
    // Only the walk may take the index: for all else it would be a detour.
    let (table, plus) = if walks {
        ("records INDEXED BY records_newest", "")
    } else {
        ("records", "+")
    };
    let (behind, direction) = if descending {
        ("<", " DESC")
    } else {
        (">", "")
    };
    if let Some(cursor) = cursor {
        let value = match sort {
            RecordSort::Newest => conditions.next(cursor.value as i64),
            _ => conditions.next(cursor.value),
        };
        let page = conditions.next(cursor.page.0);
        let place = format!(
            " AND {plus}{key} {equal} ?{value} AND ({plus}{key} {behind} ?{value} OR page_id {behind} ?{page})",
            equal = if descending { "<=" } else { ">=" },
        );
        conditions.sql.push_str(&place);
    }
    let limit = conditions.next(as_i64(limit));
    let sql = format!(
        "SELECT page_id, {} FROM {table}{} ORDER BY {plus}{key}{direction}, page_id{direction} LIMIT ?{limit}",
        columns!(),
        conditions.sql,
    );
    (sql, conditions.parameters)
}
