//! Records of pages: which ones to list, and what they add up to.

use types::{Availability, PageId, Record, RecordKind, SourceId, TenantId, Timestamp};

use super::page::PageRow;
use crate::codec;
use crate::error::{StoreError, StoreErrorKind};

/// A live page that is about an article, a product or a job.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordRow {
    pub page: PageRow,
    pub record: Record,
}

/// Conditions that a record must meet, all of them. Texts are compared without
/// regard to the case of ASCII letters.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordFilter {
    pub tenant: TenantId,
    pub kind: Option<RecordKind>,
    pub source: Option<SourceId>,
    /// Published or posted then or later.
    pub published_from: Option<Timestamp>,
    /// Published or posted before.
    pub published_to: Option<Timestamp>,
    /// Not expired then; a record that states no end never is.
    pub open_at: Option<Timestamp>,
    /// Expired before.
    pub expired_at: Option<Timestamp>,
    pub price_min: Option<f64>,
    pub price_max: Option<f64>,
    /// A year's pay is at least this: the upper bound where one is stated.
    pub salary_min: Option<f64>,
    /// A year's pay may begin at this or less: the lower bound where one is stated.
    pub salary_max: Option<f64>,
    pub remote: Option<bool>,
    pub availability: Option<Availability>,
    pub category: Option<String>,
    pub brand: Option<String>,
    pub company: Option<String>,
    /// A part of the location: `Berlin` finds `Berlin, DE`.
    pub location: Option<String>,
    pub employment_type: Option<String>,
    /// Of the price or of the salary.
    pub currency: Option<String>,
    pub author: Option<String>,
    pub skill: Option<String>,
    /// Noted so, or with `Some(false)` not: as most pages, without any notes.
    pub favorite: Option<bool>,
    /// Like `favorite`.
    pub applied: Option<bool>,
    /// The status in the page's notes.
    pub note_status: Option<String>,
    pub tag: Option<String>,
}

impl RecordFilter {
    /// All records of the tenant.
    #[must_use]
    pub fn of_tenant(tenant: TenantId) -> RecordFilter {
        RecordFilter {
            tenant,
            kind: None,
            source: None,
            published_from: None,
            published_to: None,
            open_at: None,
            expired_at: None,
            price_min: None,
            price_max: None,
            salary_min: None,
            salary_max: None,
            remote: None,
            availability: None,
            category: None,
            brand: None,
            company: None,
            location: None,
            employment_type: None,
            currency: None,
            author: None,
            skill: None,
            favorite: None,
            applied: None,
            note_status: None,
            tag: None,
        }
    }
}

/// What records are listed by; those of equal value, or without one, by page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecordSort {
    #[default]
    Newest,
    Cheapest,
    Dearest,
    /// By a year's pay, the upper bound where one is stated.
    BestPaid,
}

impl RecordSort {
    pub const ALL: &'static [RecordSort] = &[
        RecordSort::Newest,
        RecordSort::Cheapest,
        RecordSort::Dearest,
        RecordSort::BestPaid,
    ];
}

/// The place behind a record in a list of a certain order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordCursor {
    pub(crate) sort: RecordSort,
    pub(crate) value: f64,
    pub(crate) page: PageId,
}

const CURSOR_BYTES: usize = 19;

impl RecordCursor {
    /// Behind `row`, the last one of a list in this order.
    #[must_use]
    pub fn behind(row: &RecordRow, sort: RecordSort) -> RecordCursor {
        RecordCursor {
            sort,
            value: sort.value(&row.record),
            page: row.page.id,
        }
    }

    /// A short string of letters, digits, `-` and `_`.
    #[must_use]
    pub fn encode(&self) -> String {
        let place = RecordSort::ALL.iter().position(|s| *s == self.sort);
        let mut bytes = vec![place.map_or(0, |place| place as u8)];
        bytes.extend_from_slice(&self.value.to_be_bytes());
        bytes.extend_from_slice(&self.page.0.to_be_bytes());
        bytes.extend_from_slice(&codec::hash_16(&bytes)[..2]);
        codec::to_base64(&bytes)
    }

    /// Takes back what [`RecordCursor::encode`] gave. Fails with a conflict on
    /// anything else.
    pub fn decode(text: &str) -> Result<RecordCursor, StoreError> {
        decode(text).ok_or_else(|| {
            StoreError::new(
                StoreErrorKind::Conflict,
                "this is no cursor of a list of records; start at its beginning",
            )
        })
    }
}

fn decode(text: &str) -> Option<RecordCursor> {
    if text.len() > CURSOR_BYTES.div_ceil(3) * 4 {
        return None;
    }
    let bytes = codec::from_base64(text)?;
    let bytes: [u8; CURSOR_BYTES] = bytes.try_into().ok()?;
    let (content, check) = bytes.split_at(CURSOR_BYTES - 2);
    if codec::hash_16(content)[..2] != *check {
        return None;
    }
    let (sort, rest) = content.split_first()?;
    let (value, page) = rest.split_first_chunk()?;
    Some(RecordCursor {
        sort: *RecordSort::ALL.get(usize::from(*sort))?,
        value: f64::from_be_bytes(*value),
        page: PageId(i64::from_be_bytes(page.try_into().ok()?)),
    })
}

/// What stands for no value at the end of an order.
pub(crate) const NO_DATE: i64 = -8_640_000_000_000_000;
pub(crate) const NO_AMOUNT: f64 = -1.0;
pub(crate) const NO_PRICE: f64 = 1e300;

impl RecordSort {
    /// What the list of this order has in the place of the record.
    fn value(self, record: &Record) -> f64 {
        match self {
            // Milliseconds of any date fit a float exactly.
            RecordSort::Newest => record.published_at.map_or(NO_DATE, |at| at.0) as f64,
            RecordSort::Cheapest => record.price.unwrap_or(NO_PRICE),
            RecordSort::Dearest => record.price.unwrap_or(NO_AMOUNT),
            RecordSort::BestPaid => {
                let salary = record.salary.as_ref();
                let (min, max) = salary.map_or((None, None), types::Salary::per_year);
                max.or(min).unwrap_or(NO_AMOUNT)
            }
        }
    }
}

/// Facts whose values can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Facet {
    Kind,
    Source,
    Category,
    Brand,
    Company,
    Location,
    EmploymentType,
    Remote,
    Availability,
    Currency,
    Author,
    Skill,
}

impl Facet {
    pub const ALL: &'static [Facet] = &[
        Facet::Kind,
        Facet::Source,
        Facet::Category,
        Facet::Brand,
        Facet::Company,
        Facet::Location,
        Facet::EmploymentType,
        Facet::Remote,
        Facet::Availability,
        Facet::Currency,
        Facet::Author,
        Facet::Skill,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Facet::Kind => "kind",
            Facet::Source => "source",
            Facet::Category => "category",
            Facet::Brand => "brand",
            Facet::Company => "company",
            Facet::Location => "location",
            Facet::EmploymentType => "employment_type",
            Facet::Remote => "remote",
            Facet::Availability => "availability",
            Facet::Currency => "currency",
            Facet::Author => "author",
            Facet::Skill => "skill",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Facet> {
        Facet::ALL.iter().copied().find(|f| f.as_str() == name)
    }
}

/// How many records have each value of a fact, the most frequent first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetCounts {
    pub facet: Facet,
    pub values: Vec<(String, u64)>,
    /// Different values, the listed ones among them.
    pub distinct: u64,
}
