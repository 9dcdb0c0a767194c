//! Which pages may be found at all.

use std::ops::Bound;

use tantivy::Term;
use tantivy::query::{InvertedIndexRangeQuery, Query, RangeQuery, TermQuery};
use tantivy::schema::IndexRecordOption;
use types::{Availability, RecordKind, SourceId, TenantId, Timestamp};

use crate::engine::{record_term, structured_term};
use crate::error::SearchError;
use crate::keyword::corpus::Corpus;
use crate::keyword::schema::Fields;

/// Of one value: what is indexed of a page is shorter.
const VALUE_CHARS_MAX: usize = 2_048;
/// Structured fields asked for in one request.
const FIELDS_MAX: usize = 16;

/// Conditions that a page must meet, all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    pub source: Option<SourceId>,
    /// Exact host name, lower case.
    pub host: Option<String>,
    /// Beginning of the URL's path, e.g. `/docs/`.
    pub path_prefix: Option<String>,
    /// BCP 47 primary subtag.
    pub language: Option<String>,
    /// First and last moment of publication; pages without a date are left out.
    pub published_from: Option<Timestamp>,
    pub published_to: Option<Timestamp>,
    /// Fields of the page's JSON-LD, microdata or OpenGraph and the value each
    /// must have, case aside: `type` = `Article`, `author.name` = `Ada Lovelace`.
    pub fields: Vec<(String, String)>,
    /// Facts of the page's record and the value each must have, case aside; of
    /// a location also one of its parts between commas.
    pub record: Vec<(&'static str, String)>,
    pub price: Bounds,
    /// For a year, as [`types::Salary::per_year`] has it. A posting fits when
    /// what it pays at most reaches the lower bound and what it pays at least
    /// does not pass the upper one.
    pub salary: Bounds,
}

/// The least and the most, both included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// Facts of records that are filtered by under their own names.
const RECORD_FACTS: &[&str] = &[
    "kind",
    "category",
    "brand",
    "company",
    "location",
    "employment_type",
    "remote",
    "availability",
    "currency",
    "skill",
];

impl Filters {
    /// Reads filters spelled `name=value`. Names are `source` (its number),
    /// `host`, `path` (a prefix), `lang`, `from` and `to` (`2024`, `2024-05`,
    /// `2024-05-31` or with a time, UTC unless it says otherwise); of records
    /// `kind` (`news`, `product` or `job`), `category`, `brand`, `company`,
    /// `location`, `employment_type`, `remote`, `availability`, `currency`,
    /// `skill`, `price_min`, `price_max`, `salary_min` and `salary_max`; every
    /// other name is a structured field.
    pub fn parse<S: AsRef<str>>(pairs: &[S]) -> Result<Filters, SearchError> {
        let mut filters = Filters::default();
        for pair in pairs {
            filters.add(pair.as_ref())?;
        }
        if let (Some(from), Some(to)) = (filters.published_from, filters.published_to)
            && from > to
        {
            return Err(SearchError::request("filter from= is later than to="));
        }
        Ok(filters)
    }

    fn add(&mut self, pair: &str) -> Result<(), SearchError> {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(SearchError::request(format!(
                "filter {pair:?} is not of the form name=value"
            )));
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || value.is_empty() {
            return Err(SearchError::request(format!(
                "filter {pair:?} lacks a name or a value"
            )));
        }
        if value.chars().count() > VALUE_CHARS_MAX {
            return Err(SearchError::request(format!(
                "filter {name}= has a value of more than {VALUE_CHARS_MAX} characters"
            )));
        }
        let twice = || SearchError::request(format!("filter {name}= is given twice"));
        let set = |slot: &mut Option<String>, value: String| match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(twice()),
        };
        match name {
            "source" => {
                let id = value.parse().map_err(|_| {
                    SearchError::request(format!(
                        "filter source={value} is not the number of a source"
                    ))
                })?;
                if self.source.replace(SourceId(id)).is_some() {
                    return Err(twice());
                }
            }
            "host" => set(&mut self.host, value.to_lowercase())?,
            "path" => {
                let slash = if value.starts_with('/') { "" } else { "/" };
                set(&mut self.path_prefix, format!("{slash}{value}"))?;
            }
            "lang" => set(&mut self.language, primary_subtag(value))?,
            "from" => {
                let (first, _) = date_span(name, value)?;
                if self.published_from.replace(first).is_some() {
                    return Err(twice());
                }
            }
            "to" => {
                let (_, last) = date_span(name, value)?;
                if self.published_to.replace(last).is_some() {
                    return Err(twice());
                }
            }
            "price_min" => set_amount(&mut self.price.min, name, value)?,
            "price_max" => set_amount(&mut self.price.max, name, value)?,
            "salary_min" => set_amount(&mut self.salary.min, name, value)?,
            "salary_max" => set_amount(&mut self.salary.max, name, value)?,
            _ if self.fields.len() + self.record.len() >= FIELDS_MAX => {
                return Err(SearchError::request(format!(
                    "more than {FIELDS_MAX} structured filters"
                )));
            }
            _ => match RECORD_FACTS.iter().find(|fact| **fact == name) {
                Some(fact) => {
                    check_fact(fact, value)?;
                    self.record.push((fact, value.to_owned()));
                }
                None => self.fields.push((name.to_owned(), value.to_owned())),
            },
        }
        Ok(())
    }

    /// The same conditions for the keyword index, the tenant's among them.
    pub(crate) fn queries(
        &self,
        tenant: TenantId,
        corpus: &Corpus,
        fields: &Fields,
    ) -> Vec<Box<dyn Query>> {
        let mut queries: Vec<Box<dyn Query>> = Vec::new();
        let exact = |term: Term| -> Box<dyn Query> {
            Box::new(TermQuery::new(term, IndexRecordOption::Basic))
        };
        // With one tenant every page is theirs and the filter would only cost.
        if corpus.is_shared() {
            queries.push(exact(Term::from_field_i64(fields.tenant, tenant.0)));
        }
        if let Some(source) = self.source {
            queries.push(exact(Term::from_field_i64(fields.source, source.0)));
        }
        if let Some(host) = &self.host {
            queries.push(exact(Term::from_field_text(fields.host, host)));
        }
        if let Some(language) = &self.language {
            queries.push(exact(Term::from_field_text(fields.language, language)));
        }
        if let Some(prefix) = &self.path_prefix {
            // No path holds U+10FFFF, so it bounds everything that begins with the prefix.
            let last = format!("{prefix}\u{10ffff}");
            queries.push(Box::new(InvertedIndexRangeQuery::new(
                Bound::Included(Term::from_field_text(fields.path, prefix)),
                Bound::Excluded(Term::from_field_text(fields.path, &last)),
            )));
        }
        if self.published_from.is_some() || self.published_to.is_some() {
            let bound = |at: Option<Timestamp>, otherwise: i64| {
                Bound::Included(Term::from_field_i64(
                    fields.published,
                    at.map_or(otherwise, |at| at.0),
                ))
            };
            queries.push(Box::new(RangeQuery::new(
                bound(self.published_from, i64::MIN),
                bound(self.published_to, i64::MAX),
            )));
        }
        let amounts = [
            (fields.price, self.price.min, self.price.max),
            (fields.salary_most, self.salary.min, None),
            (fields.salary_least, None, self.salary.max),
        ];
        for (field, min, max) in amounts {
            if min.is_some() || max.is_some() {
                let bound = |amount: Option<f64>| {
                    amount.map_or(Bound::Unbounded, |amount| {
                        Bound::Included(Term::from_field_f64(field, amount))
                    })
                };
                queries.push(Box::new(RangeQuery::new(bound(min), bound(max))));
            }
        }
        for (name, value) in &self.record {
            let term = record_term(name, value);
            queries.push(exact(Term::from_field_text(fields.structured, &term)));
        }
        for (name, value) in &self.fields {
            let term = structured_term(name, value);
            queries.push(exact(Term::from_field_text(fields.structured, &term)));
        }
        queries
    }
}

fn set_amount(slot: &mut Option<f64>, name: &str, value: &str) -> Result<(), SearchError> {
    let amount: Option<f64> = value.parse().ok().filter(|amount: &f64| amount.is_finite());
    let amount = amount.ok_or_else(|| {
        SearchError::request(format!("filter {name}={value} is no number such as 45000"))
    })?;
    match slot.replace(amount) {
        None => Ok(()),
        Some(_) => Err(SearchError::request(format!(
            "filter {name}= is given twice"
        ))),
    }
}

/// Facts of few values are spelled right or refused, rather than finding nothing.
fn check_fact(name: &str, value: &str) -> Result<(), SearchError> {
    let known: Vec<&str> = match name {
        "kind" => RecordKind::ALL.iter().map(|kind| kind.as_str()).collect(),
        "availability" => Availability::ALL.iter().map(|a| a.as_str()).collect(),
        "remote" => vec!["true", "false"],
        _ => return Ok(()),
    };
    if known.contains(&value) {
        return Ok(());
    }
    Err(SearchError::request(format!(
        "filter {name}={value}: it is one of {}",
        known.join(", ")
    )))
}

/// `en-GB` -> `en`
fn primary_subtag(language: &str) -> String {
    language
        .split(['-', '_'])
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

const DAY_MS: i64 = 86_400_000;

/// First and last millisecond of a year, month, day or second.
fn date_span(name: &str, value: &str) -> Result<(Timestamp, Timestamp), SearchError> {
    let wrong = || {
        SearchError::request(format!(
            "filter {name}={value} is no date such as 2024, 2024-05, 2024-05-31 or 2024-05-31T12:00:00Z"
        ))
    };
    let (date, time) = match value.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (value, None),
    };
    let numbers: Option<Vec<i64>> = date.split('-').map(digits).collect();
    let numbers = numbers.ok_or_else(wrong)?;
    let day = |year, month, day| days_since_epoch(year, month, day).map(|days| days * DAY_MS);
    let (first, next) = match (numbers.as_slice(), time) {
        ([year], None) if date.len() == 4 => (day(*year, 1, 1), day(*year + 1, 1, 1)),
        ([year, 12], None) => (day(*year, 12, 1), day(*year + 1, 1, 1)),
        ([year, month], None) => (day(*year, *month, 1), day(*year, *month + 1, 1)),
        ([year, month, day_of_month], None) => {
            let first = day(*year, *month, *day_of_month);
            (first, first.map(|first| first + DAY_MS))
        }
        ([year, month, day_of_month], Some(time)) => {
            let first = day(*year, *month, *day_of_month)
                .zip(time_of_day_ms(time))
                .map(|(d, t)| d + t);
            (first, first.map(|first| first + 1000))
        }
        _ => (None, None),
    };
    let (first, next) = first.zip(next).ok_or_else(wrong)?;
    Ok((Timestamp(first), Timestamp(next - 1)))
}

/// `12:30`, `12:30:15`, each with `Z` or an offset such as `+03:30`.
fn time_of_day_ms(time: &str) -> Option<i64> {
    let (clock, offset_minutes) = if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        (clock, 0)
    } else if let Some(at) = time.rfind(['+', '-']) {
        let (hours, minutes) = time[at + 1..].split_once(':')?;
        let minutes =
            digits(hours).filter(|h| *h < 24)? * 60 + digits(minutes).filter(|m| *m < 60)?;
        (
            &time[..at],
            if time[at..].starts_with('-') {
                -minutes
            } else {
                minutes
            },
        )
    } else {
        (time, 0)
    };
    let mut parts = clock.split(':');
    let hours = parts.next().and_then(digits).filter(|h| *h < 24)?;
    let minutes = parts.next().and_then(digits).filter(|m| *m < 60)?;
    let seconds = match parts.next() {
        Some(text) => digits(text.split('.').next().unwrap_or_default()).filter(|s| *s < 60)?,
        None => 0,
    };
    parts
        .next()
        .is_none()
        .then_some(((hours * 60 + minutes - offset_minutes) * 60 + seconds) * 1000)
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; `None` for no date.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [
        31,
        if leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let month_index = usize::try_from(month - 1).ok()?;
    if !(1..=*lengths.get(month_index)?).contains(&day) {
        return None;
    }
    let before = year - 1;
    let days_before_year = before * 365 + before / 4 - before / 100 + before / 400;
    let days_before_month: i64 = lengths[..month_index].iter().sum();
    Some(days_before_year + days_before_month + day - 1 - 719_162)
}
