//! Records: which ones are listed, in which order, and what is counted.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use store::{
    Facet, FacetCounts, PageNotes, RecordCursor, RecordFilter, RecordRow, RecordSort, Store,
};
use types::{Availability, PageId, RecordKind, SourceId, TenantId, Timestamp};
use utoipa::{IntoParams, ToSchema};

use super::moment;
use crate::app::UsageError;
use crate::view::{FacetView, Fields, RecordField, RecordListView, RecordRowView};

/// Values listed of each fact that is counted.
const FACET_VALUES: usize = 20;
const FACET_VALUES_MAX: usize = 500;
/// Of a text that is looked for.
const TEXT_CHARS_MAX: usize = 500;
/// Records of one answer.
pub const LIST_DEFAULT: usize = 50;
pub const LIST_MAX: usize = 500;

/// Which records, all conditions together. The same names on the command line
/// (with dashes) and in a query string.
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RecordQuery {
    #[arg(long, value_enum)]
    pub kind: Option<KindInput>,
    /// Number of the source
    #[arg(long)]
    pub source: Option<i64>,
    /// Published or posted at or after this moment (RFC 3339)
    #[arg(long, value_name = "TIME")]
    #[param(format = DateTime)]
    pub published_from: Option<String>,
    /// Published or posted before this moment
    #[arg(long, value_name = "TIME")]
    #[param(format = DateTime)]
    pub published_to: Option<String>,
    /// Only what has not expired, or only what has
    #[arg(long, value_name = "true|false")]
    pub open: Option<bool>,
    #[arg(long, value_name = "AMOUNT")]
    pub price_min: Option<f64>,
    #[arg(long, value_name = "AMOUNT")]
    pub price_max: Option<f64>,
    /// A year's pay reaches this; pay by the hour, day, week or month is taken for full-time work
    #[arg(long, value_name = "AMOUNT")]
    pub salary_min: Option<f64>,
    /// A year's pay begins at this or less
    #[arg(long, value_name = "AMOUNT")]
    pub salary_max: Option<f64>,
    #[arg(long, value_name = "true|false")]
    pub remote: Option<bool>,
    #[arg(long, value_enum)]
    pub availability: Option<AvailabilityInput>,
    #[arg(long)]
    #[param(max_length = 500)]
    pub category: Option<String>,
    #[arg(long)]
    #[param(max_length = 500)]
    pub brand: Option<String>,
    #[arg(long)]
    #[param(max_length = 500)]
    pub company: Option<String>,
    /// A part of the location: `Berlin` finds `Berlin, DE`
    #[arg(long)]
    #[param(max_length = 500)]
    pub location: Option<String>,
    /// Such as full_time
    #[arg(long, value_name = "TYPE")]
    #[param(max_length = 500)]
    pub employment_type: Option<String>,
    /// ISO 4217 code of the price or the salary
    #[arg(long, value_name = "CODE")]
    #[param(max_length = 3)]
    pub currency: Option<String>,
    #[arg(long)]
    #[param(max_length = 500)]
    pub author: Option<String>,
    #[arg(long)]
    #[param(max_length = 500)]
    pub skill: Option<String>,
    /// Noted as favorite, or not
    #[arg(long, value_name = "true|false")]
    pub favorite: Option<bool>,
    /// Noted as applied for, or not
    #[arg(long, value_name = "true|false")]
    pub applied: Option<bool>,
    /// Noted status
    #[arg(long, value_name = "STATUS")]
    #[param(max_length = 64)]
    pub note_status: Option<String>,
    /// Noted tag
    #[arg(long)]
    #[param(max_length = 64)]
    pub tag: Option<String>,
    /// Newest first unless given
    #[arg(long, value_enum)]
    pub sort: Option<RecordSortInput>,
    /// Go on behind the answer before: its `next`
    #[arg(long)]
    #[param(max_length = 64)]
    pub cursor: Option<String>,
    /// 1 to 500; 50 unless given
    #[arg(long, value_name = "N")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// Facts whose values to count among all that fit, separated by commas: kind, source, category,
    /// brand, company, location, employment_type, remote, availability, currency, author, skill
    #[arg(long, value_name = "NAMES")]
    #[param(max_length = 500)]
    pub facets: Option<String>,
    /// Values listed of each fact counted: 1 to 500; 20 unless given
    #[arg(long, value_name = "N")]
    #[param(minimum = 1, maximum = 500)]
    pub facet_values: Option<usize>,
    /// Only these fields of each row, separated by commas; all unless given
    #[arg(long, value_name = "NAMES")]
    #[param(inline, style = Form, explode = false, value_type = Option<Vec<RecordField>>, max_items = 64)]
    pub fields: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum KindInput {
    News,
    Product,
    Job,
}

impl KindInput {
    pub fn kind(self) -> RecordKind {
        match self {
            KindInput::News => RecordKind::News,
            KindInput::Product => RecordKind::Product,
            KindInput::Job => RecordKind::Job,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum AvailabilityInput {
    InStock,
    /// Few are left.
    Limited,
    PreOrder,
    BackOrder,
    OutOfStock,
    Discontinued,
}

impl AvailabilityInput {
    pub fn availability(self) -> Availability {
        match self {
            AvailabilityInput::InStock => Availability::InStock,
            AvailabilityInput::Limited => Availability::Limited,
            AvailabilityInput::PreOrder => Availability::PreOrder,
            AvailabilityInput::BackOrder => Availability::BackOrder,
            AvailabilityInput::OutOfStock => Availability::OutOfStock,
            AvailabilityInput::Discontinued => Availability::Discontinued,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum RecordSortInput {
    /// Undated ones last.
    Newest,
    Cheapest,
    Dearest,
    /// By a year's pay.
    BestPaid,
}

/// What was asked for, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ListRecords {
    pub filter: RecordFilter,
    pub sort: RecordSort,
    pub cursor: Option<RecordCursor>,
    pub limit: usize,
    pub facets: Vec<Facet>,
    pub facet_values: usize,
    pub fields: Fields<RecordRowView>,
}

/// A part of the list.
pub struct FoundRecords {
    pub rows: Vec<RecordRow>,
    /// For the next call, when there may be more.
    pub next: Option<RecordCursor>,
    /// Counted only when facets were asked for.
    pub total: Option<u64>,
    pub facets: Vec<FacetCounts>,
}

impl RecordQuery {
    /// Checks the query of `tenant`; `now` decides what has expired.
    pub fn read(&self, tenant: TenantId, now: Timestamp) -> Result<ListRecords> {
        let limit = self.limit.unwrap_or(LIST_DEFAULT);
        check_range("limit", limit, LIST_MAX)?;
        let facet_values = self.facet_values.unwrap_or(FACET_VALUES);
        check_range("facet_values", facet_values, FACET_VALUES_MAX)?;
        let mut facets = Vec::new();
        let names = self.facets.as_deref().unwrap_or_default().split(',');
        for name in names.map(str::trim).filter(|name| !name.is_empty()) {
            let facet = Facet::from_name(name).ok_or_else(|| {
                let known: Vec<&str> = Facet::ALL.iter().map(|facet| facet.as_str()).collect();
                UsageError(format!("facets: `{name}` is none of {}", known.join(", ")))
            })?;
            if !facets.contains(&facet) {
                facets.push(facet);
            }
        }
        let cursor = self.cursor.as_deref().map(|text| {
            RecordCursor::decode(text).map_err(|_| {
                UsageError("cursor: take it from `next` of the answer before".to_owned())
            })
        });
        Ok(ListRecords {
            filter: self.filter(tenant, now)?,
            sort: match self.sort {
                None | Some(RecordSortInput::Newest) => RecordSort::Newest,
                Some(RecordSortInput::Cheapest) => RecordSort::Cheapest,
                Some(RecordSortInput::Dearest) => RecordSort::Dearest,
                Some(RecordSortInput::BestPaid) => RecordSort::BestPaid,
            },
            cursor: cursor.transpose()?,
            limit,
            facets,
            facet_values,
            fields: Fields::read(self.fields.as_deref())?,
        })
    }

    fn filter(&self, tenant: TenantId, now: Timestamp) -> Result<RecordFilter> {
        for (name, amount) in [
            ("price_min", self.price_min),
            ("price_max", self.price_max),
            ("salary_min", self.salary_min),
            ("salary_max", self.salary_max),
        ] {
            if amount.is_some_and(|amount| !amount.is_finite()) {
                return Err(UsageError(format!("{name}: this is no amount")).into());
            }
        }
        for (name, text, most) in [
            ("category", &self.category, TEXT_CHARS_MAX),
            ("brand", &self.brand, TEXT_CHARS_MAX),
            ("company", &self.company, TEXT_CHARS_MAX),
            ("location", &self.location, TEXT_CHARS_MAX),
            ("employment_type", &self.employment_type, TEXT_CHARS_MAX),
            ("author", &self.author, TEXT_CHARS_MAX),
            ("skill", &self.skill, TEXT_CHARS_MAX),
            ("currency", &self.currency, 3),
            ("note_status", &self.note_status, 64),
            ("tag", &self.tag, 64),
        ] {
            let chars = text.as_ref().map_or(0, |text| text.chars().count());
            if chars > most {
                let problem = format!("{name} has at most {most} characters, not {chars}");
                return Err(UsageError(problem).into());
            }
        }
        // To the minute, so that a kept answer serves for as long.
        let minute = Timestamp(now.0 - now.0.rem_euclid(60_000));
        Ok(RecordFilter {
            kind: self.kind.map(KindInput::kind),
            source: self.source.map(SourceId),
            published_from: moment("published_from", self.published_from.as_deref())?,
            published_to: moment("published_to", self.published_to.as_deref())?,
            open_at: self.open.filter(|open| *open).map(|_| minute),
            expired_at: self.open.filter(|open| !*open).map(|_| minute),
            price_min: self.price_min,
            price_max: self.price_max,
            salary_min: self.salary_min,
            salary_max: self.salary_max,
            remote: self.remote,
            availability: self.availability.map(AvailabilityInput::availability),
            category: self.category.clone(),
            brand: self.brand.clone(),
            company: self.company.clone(),
            location: self.location.clone(),
            employment_type: self.employment_type.clone(),
            currency: self.currency.clone(),
            author: self.author.clone(),
            skill: self.skill.clone(),
            favorite: self.favorite,
            applied: self.applied,
            note_status: self.note_status.clone(),
            tag: self.tag.clone(),
            ..RecordFilter::of_tenant(tenant)
        })
    }
}

impl FoundRecords {
    /// `notes` are those on the pages of the list that have any.
    pub fn view(&self, notes: &[PageNotes], fields: &Fields<RecordRowView>) -> RecordListView {
        let rows = self.rows.iter().map(|row| {
            let notes = notes.iter().find(|notes| notes.page == row.page.id);
            fields.of(RecordRowView::new(row, notes))
        });
        RecordListView {
            records: rows.collect(),
            next: self.next.map(|cursor| cursor.encode()),
            total: self.total,
            facets: self.facets.iter().map(FacetView::from).collect(),
        }
    }
}

pub fn list(store: &Store, list: &ListRecords) -> Result<FoundRecords> {
    let rows = store.records(&list.filter, list.sort, list.cursor.as_ref(), list.limit)?;
    let last = rows.last().filter(|_| rows.len() == list.limit);
    let next = last.map(|row| RecordCursor::behind(row, list.sort));
    let (mut total, mut facets) = (None, Vec::new());
    if !list.facets.is_empty() {
        let counted = store.record_facets(&list.filter, &list.facets, list.facet_values)?;
        (total, facets) = (Some(counted.0), counted.1);
    }
    Ok(FoundRecords {
        rows,
        next,
        total,
        facets,
    })
}

/// Ids of the rows, for what else is known of their pages.
pub fn page_ids(rows: &[RecordRow]) -> Vec<PageId> {
    rows.iter().map(|row| row.page.id).collect()
}

fn check_range(name: &str, number: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&number) {
        return Ok(());
    }
    Err(UsageError(format!("{name} is 1 to {most}, not {number}")).into())
}
