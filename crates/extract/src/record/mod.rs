//! What a page is about, as typed facts: [`types::Record`].
//!
//! In order of trust: the source's own selector rules (`rules.rs`), JSON-LD,
//! microdata, OpenGraph's properties (`meta_tags.rs`). The most trusted one
//! that states a kind decides it; the others fill the facts it does not state,
//! as far as they state the same kind. `subject.rs` says which of many objects
//! the page is about. Nothing here walks the page but the rules.

mod currency;
mod job;
mod meta_tags;
mod money;
mod news;
mod product;
mod rules;
mod salary;
mod subject;
mod value;

use serde_json::Value;
use types::{Record, RecordKind, Timestamp};
use url::Url;

use crate::html::{Dom, PageScan};
use subject::Statements;

pub use rules::{RecordRules, RecordRulesError};

/// What a page states, as far as it was read already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stated<'a> {
    pub(crate) url: &'a Url,
    pub(crate) canonical: Option<&'a str>,
    pub(crate) json_ld: &'a [Value],
    pub(crate) microdata: &'a [Value],
    pub(crate) scan: &'a PageScan,
    pub(crate) is_documentation: bool,
    /// The page's own, for facts that nothing closer states.
    pub(crate) title: &'a str,
    pub(crate) author: Option<&'a str>,
    pub(crate) published_at: Option<Timestamp>,
}

/// The page's record, when it states one.
pub(crate) fn find(
    page: &Stated<'_>,
    dom: &Dom,
    rules: Option<&RecordRules>,
) -> Option<Box<Record>> {
    let mut record = rules.and_then(|rules| rules.facts(dom, page.url));
    let mut is_other_text = false;
    let mut addresses: Vec<Url> = Vec::new();
    if !page.json_ld.is_empty() || !page.microdata.is_empty() {
        addresses.push(page.url.clone());
        addresses.extend(page.canonical.and_then(|href| page.url.join(href).ok()));
    }
    for values in [page.json_ld, page.microdata] {
        let statements = Statements::read(values);
        let found = statements
            .subject(&addresses)
            .filter(|subject| subject.kind != RecordKind::News || !is_other_text);
        is_other_text |= statements.is_other_text;
        for object in found.iter().flat_map(|subject| &subject.objects) {
            let facts = match found.as_ref().map(|subject| subject.kind) {
                Some(RecordKind::Job) => job::facts(object),
                Some(RecordKind::Product) => product::facts(object),
                Some(RecordKind::News) => news::facts(object),
                None => continue,
            };
            add(&mut record, facts);
        }
    }
    if let Some(facts) = meta_tags::facts(page.scan, page.is_documentation)
        && (facts.kind != RecordKind::News || !is_other_text)
    {
        add(&mut record, facts);
    }
    let mut record = record?;
    if record.kind == RecordKind::News {
        let author = page.author.and_then(value::fold);
        record.author = record.author.or(author);
        record.published_at = record.published_at.or(page.published_at);
    }
    record.name = record.name.or_else(|| value::fold(page.title));
    record.salary = record
        .salary
        .filter(|salary| salary.min.is_some() || salary.max.is_some());
    Some(Box::new(record))
}

/// Fills what is not stated yet from a less trusted statement of the same kind.
fn add(record: &mut Option<Record>, facts: Record) {
    let Some(record) = record else {
        *record = Some(facts);
        return;
    };
    if record.kind != facts.kind {
        return;
    }
    fn fill<T>(to: &mut Option<T>, from: Option<T>) {
        if to.is_none() {
            *to = from;
        }
    }
    fill(&mut record.name, facts.name);
    fill(&mut record.category, facts.category);
    fill(&mut record.author, facts.author);
    fill(&mut record.published_at, facts.published_at);
    fill(&mut record.expires_at, facts.expires_at);
    fill(&mut record.brand, facts.brand);
    fill(&mut record.sku, facts.sku);
    fill(&mut record.price, facts.price);
    fill(&mut record.currency, facts.currency);
    fill(&mut record.availability, facts.availability);
    fill(&mut record.company, facts.company);
    fill(&mut record.location, facts.location);
    fill(&mut record.remote, facts.remote);
    fill(&mut record.employment_type, facts.employment_type);
    match (&mut record.salary, facts.salary) {
        (Some(salary), Some(facts)) => {
            // The bounds belong together.
            if salary.min.is_none() && salary.max.is_none() {
                (salary.min, salary.max) = (facts.min, facts.max);
            }
            fill(&mut salary.currency, facts.currency);
            fill(&mut salary.period, facts.period);
        }
        (salary, facts) => fill(salary, facts),
    }
    if record.skills.is_empty() {
        record.skills = facts.skills;
    }
}
