//! What is asked of the cluster, in its query language.

use serde_json::{Value, json};
use types::{PageId, TenantId};

use super::schema::{LEVEL_SHARES, LEVELS, TEXTS, WHOLES};
use crate::engine::{KeywordAsk, Phrase, Scope, record_term, structured_term};
use crate::filters::Filters;
use crate::judging::{Weighed, serves};

const URL: usize = 3;

/// Conditions that a page must meet to be found.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    /// The tenant's first.
    filter: Vec<Value>,
    must_not: Vec<Value>,
}

impl Conditions {
    /// Only whose the page is.
    pub(super) fn of_tenant(tenant: TenantId) -> Conditions {
        Conditions {
            filter: vec![json!({"term": {"tenant": tenant.0}})],
            must_not: Vec::new(),
        }
    }

    pub(super) fn of(ask: &KeywordAsk<'_>) -> Conditions {
        let mut conditions = Conditions::of_tenant(ask.tenant);
        conditions.filter.extend(of_filters(ask.filters));
        let required = ask.query.required.iter().map(phrase);
        conditions.filter.extend(required);
        conditions
            .must_not
            .extend(ask.query.excluded.iter().map(phrase));
        conditions
    }

    /// True when all pages of the tenant may be found.
    pub(super) fn is_open(&self) -> bool {
        self.filter.len() == 1 && self.must_not.is_empty()
    }

    /// Pages that meet them and `further`, unscored.
    pub(super) fn and(&self, further: Option<Value>) -> Value {
        let mut filter = self.filter.clone();
        filter.extend(further);
        json!({"bool": {"filter": filter, "must_not": self.must_not}})
    }

    /// Pages that meet them and one of `scored` at least, scored by these.
    pub(super) fn with(&self, scored: &[Value]) -> Value {
        json!({"bool": {
            "filter": self.filter,
            "must_not": self.must_not,
            "should": scored,
            "minimum_should_match": 1,
        }})
    }
}

/// These pages.
pub(super) fn pages(pages: &[PageId]) -> Value {
    let ids: Vec<String> = pages.iter().map(PageId::to_string).collect();
    json!({"ids": {"values": ids}})
}

pub(super) fn any(queries: Vec<Value>) -> Value {
    json!({"bool": {"should": queries, "minimum_should_match": 1}})
}

/// Pages that have one of `words` in a field.
pub(super) fn in_field(field: usize, words: &[&str]) -> Value {
    any(vec![
        json!({"terms": {TEXTS[field]: words}}),
        json!({"terms": {WHOLES[field]: words}}),
    ])
}

/// Pages that have one of `words` at all.
pub(super) fn anywhere(words: &[&str]) -> Value {
    any(LEVELS
        .iter()
        .map(|level| json!({"terms": {*level: words}}))
        .collect())
}

/// Pages that have a word which begins with `prefix` where `scope` says.
pub(super) fn beginning_with(prefix: &str, scope: Scope) -> Value {
    let names: Vec<&str> = match scope {
        Scope::Anywhere => LEVELS.to_vec(),
        _ => {
            let field = (0..4).find(|field| serves(scope, *field)).unwrap_or(0);
            vec![TEXTS[field], WHOLES[field]]
        }
    };
    any(names
        .iter()
        .map(|name| json!({"prefix": {*name: {"value": prefix}}}))
        .collect())
}

/// What having a term is worth, for the choice of candidates: by its weight and
/// the level of the page's words. No statistics of the index go in: they are of
/// all tenants.
pub(super) fn scored(term: &Weighed) -> Value {
    let constant = |query: Value, share: f32| json!({"constant_score": {"filter": query, "boost": f64::from(term.weight * share)}});
    let words: Vec<&str> = term.words.iter().map(String::as_str).collect();
    if term.scope != Scope::Anywhere {
        let fields = (0..4).filter(|field| serves(term.scope, *field));
        let fields = fields.map(|field| in_field(field, &words));
        return constant(any(fields.collect()), 1.0);
    }
    let levels = LEVELS.iter().zip(LEVEL_SHARES);
    let levels = levels.map(|(level, share)| constant(json!({"terms": {*level: words}}), share));
    json!({"dis_max": {"queries": levels.collect::<Vec<_>>()}})
}

/// Its spellings are tried one language at a time: the nth of every word, words
/// with fewer keeping their first. Words of a URL need not follow each other.
fn phrase(phrase: &Phrase) -> Value {
    let spellings = phrase.words.iter().map(|(_, spellings)| spellings.len());
    let mut queries = Vec::new();
    for n in 0..spellings.max().unwrap_or(0) {
        let words: Vec<&str> = phrase
            .words
            .iter()
            .map(|(_, all)| all.get(n).unwrap_or(&all[0]).as_str())
            .collect();
        for field in (0..4).filter(|field| serves(phrase.scope, *field)) {
            queries.push(match words.as_slice() {
                [word] => in_field(field, &[word]),
                _ if field == URL => {
                    let all = words.iter().map(|word| in_field(field, &[word]));
                    json!({"bool": {"filter": all.collect::<Vec<_>>()}})
                }
                _ => json!({"match_phrase": {TEXTS[field]: {"query": words.join(" ")}}}),
            });
        }
    }
    any(queries)
}

fn of_filters(filters: &Filters) -> Vec<Value> {
    let mut all = Vec::new();
    if let Some(source) = filters.source {
        all.push(json!({"term": {"source": source.0}}));
    }
    let exact = [("host", &filters.host), ("language", &filters.language)];
    for (name, value) in exact {
        if let Some(value) = value {
            all.push(json!({"term": {name: value}}));
        }
    }
    if let Some(prefix) = &filters.path_prefix {
        all.push(json!({"prefix": {"path": {"value": prefix}}}));
    }
    let published = [
        filters.published_from.map(|at| at.0),
        filters.published_to.map(|at| at.0),
    ];
    all.extend(range("published", published));
    let amounts = [
        ("price", [filters.price.min, filters.price.max]),
        ("salary_most", [filters.salary.min, None]),
        ("salary_least", [None, filters.salary.max]),
    ];
    all.extend(
        amounts
            .into_iter()
            .filter_map(|(name, bounds)| range(name, bounds)),
    );
    let record = filters.record.iter();
    let record = record.map(|(name, value)| record_term(name, value));
    let fields = filters.fields.iter();
    let fields = fields.map(|(name, value)| structured_term(name, value));
    all.extend(
        record
            .chain(fields)
            .map(|term| json!({"term": {"structured": term}})),
    );
    all
}

fn range<T: Into<Value> + Copy>(name: &str, [least, most]: [Option<T>; 2]) -> Option<Value> {
    if least.is_none() && most.is_none() {
        return None;
    }
    let mut bounds = serde_json::Map::new();
    for (bound, value) in [("gte", least), ("lte", most)] {
        if let Some(value) = value {
            bounds.insert(bound.to_owned(), value.into());
        }
    }
    Some(json!({"range": {name: bounds}}))
}
