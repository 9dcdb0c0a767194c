//! In how many of a tenant's pages words are, and which begin alike.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};
use store::ChangeSeqs;
use types::TenantId;

use super::client::{Ask, Client, Patience};
use super::document::{places_from, words_of};
use super::query::{Conditions, anywhere, beginning_with, in_field};
use super::schema::{CHUNK_COUNT, Names, TEXTS, TOKENS};
use crate::engine::Scope;
use crate::error::SearchError;
use crate::judging::{CorpusPart, Vocabulary, WordPages};

/// Words counted by one request: each is looked for in four fields.
const WORDS_PER_REQUEST: usize = 128;
/// Pages in which words that begin alike are looked for.
const PREFIX_PAGES: usize = 500;
/// Words that begin alike which are counted.
const PREFIX_WORDS: usize = 128;
/// Languages of a tenant's pages that are told apart.
const LANGUAGES_MAX: usize = 200;
/// Words whose counts are kept between searches.
const KEPT_MAX: usize = 20_000;

type Counts = HashMap<TenantId, HashMap<String, WordPages>>;

/// What is known of words, as of some changes.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<(ChangeSeqs, Counts)>);

/// The words of a tenant's pages.
pub(super) struct Words<'a> {
    pub(super) client: &'a Client,
    pub(super) names: &'a Names,
    pub(super) tenant: TenantId,
    pub(super) known: &'a Known,
    pub(super) committed: ChangeSeqs,
}

impl Vocabulary for Words<'_> {
    fn pages_with(&self, words: &[String]) -> Result<HashMap<String, WordPages>, SearchError> {
        let mut found = self.known.of(&self.committed, self.tenant, words);
        let unknown: Vec<&String> = words.iter().filter(|w| !found.contains_key(*w)).collect();
        for words in unknown.chunks(WORDS_PER_REQUEST) {
            let counts = self.count(words)?;
            self.known.keep(&self.committed, self.tenant, &counts);
            found.extend(counts);
        }
        Ok(found)
    }

    /// Words of so many of the pages that have one: all of them, where no more
    /// pages do; else the frequent ones are among them.
    fn beginning_with(
        &self,
        prefix: &str,
        scope: Scope,
    ) -> Result<HashMap<String, WordPages>, SearchError> {
        let conditions = Conditions::of_tenant(self.tenant);
        let body = json!({
            "size": PREFIX_PAGES,
            "track_total_hits": false,
            "sort": ["_doc"],
            "_source": [places_from(prefix)],
            "query": conditions.and(Some(beginning_with(prefix, scope))),
        });
        let answer = search(self.client, self.names, &body)?;
        let mut seen: HashMap<String, usize> = HashMap::new();
        let hits = answer["hits"]["hits"].as_array();
        for hit in hits.into_iter().flatten() {
            for word in words_of(&hit["_source"]) {
                *seen.entry(word).or_default() += 1;
            }
        }
        let mut seen: Vec<(String, usize)> = seen.into_iter().collect();
        seen.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        seen.truncate(PREFIX_WORDS);
        let words: BTreeSet<String> = seen.into_iter().map(|(word, _)| word).collect();
        self.pages_with(&words.into_iter().collect::<Vec<_>>())
    }
}

impl Words<'_> {
    fn count(&self, words: &[&String]) -> Result<HashMap<String, WordPages>, SearchError> {
        // Each page is looked at for each word, but only those that have a word
        // for where it stands.
        let mut counted = Map::new();
        for (n, word) in words.iter().enumerate() {
            let fields = TEXTS.iter().enumerate();
            let fields =
                fields.map(|(n, name)| ((*name).to_owned(), in_field(n, &[word.as_str()])));
            let count = json!({
                "filter": anywhere(&[word.as_str()]),
                "aggs": {"in": {"filters": {"filters": fields.collect::<Map<_, _>>()}}},
            });
            counted.insert(n.to_string(), count);
        }
        let all: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
        let body = json!({
            "size": 0,
            "track_total_hits": false,
            // So that other pages need not be looked at.
            "query": Conditions::of_tenant(self.tenant).and(Some(anywhere(&all))),
            "aggs": counted,
        });
        let answer = search(self.client, self.names, &body)?;
        let counts = words.iter().enumerate().map(|(n, word)| {
            let buckets = &answer["aggregations"][n.to_string()]["in"]["buckets"];
            let in_field = |name: &str| buckets[name]["doc_count"].as_u64();
            (
                (*word).clone(),
                TEXTS.map(|name| in_field(name).unwrap_or(0)),
            )
        });
        Ok(counts.collect())
    }

    /// Statistics of the tenant's pages: those of each language, and all else
    /// with the pages that have none.
    pub(super) fn corpus(&self) -> Result<Vec<CorpusPart>, SearchError> {
        let mut sums = Map::new();
        for name in TOKENS.iter().chain(&[CHUNK_COUNT]) {
            sums.insert((*name).to_owned(), json!({"sum": {"field": name}}));
        }
        sums.insert(
            "languages".to_owned(),
            json!({"terms": {"field": "language", "size": LANGUAGES_MAX}}),
        );
        let body = json!({
            "size": 0,
            "track_total_hits": true,
            "query": Conditions::of_tenant(self.tenant).and(None),
            "aggs": sums,
        });
        let answer = search(self.client, self.names, &body)?;
        let sums = &answer["aggregations"];
        let sum = |name: &str| sums[name]["value"].as_f64().unwrap_or(0.0) as u64;
        let mut all = CorpusPart {
            language: String::new(),
            pages: answer["hits"]["total"]["value"].as_u64().unwrap_or(0),
            chunks: sum(CHUNK_COUNT),
            tokens: TOKENS.map(sum),
        };
        let mut parts = Vec::new();
        let languages = sums["languages"]["buckets"].as_array();
        for bucket in languages.into_iter().flatten() {
            let pages = bucket["doc_count"].as_u64().unwrap_or(0);
            all.pages = all.pages.saturating_sub(pages);
            parts.push(CorpusPart {
                language: bucket["key"].as_str().unwrap_or_default().to_owned(),
                pages,
                ..CorpusPart::default()
            });
        }
        parts.push(all);
        Ok(parts)
    }
}

impl Known {
    fn of(
        &self,
        committed: &ChangeSeqs,
        tenant: TenantId,
        words: &[String],
    ) -> HashMap<String, WordPages> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = known.1.get(&tenant).filter(|_| known.0 == *committed);
        let found = words.iter().filter_map(|word| {
            let pages = of_tenant?.get(word)?;
            Some((word.clone(), *pages))
        });
        found.collect()
    }

    fn keep(&self, committed: &ChangeSeqs, tenant: TenantId, counts: &HashMap<String, WordPages>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = known.1.values().map(HashMap::len).sum();
        if known.0 != *committed || kept + counts.len() > KEPT_MAX {
            *known = (committed.clone(), HashMap::new());
        }
        let of_tenant = known.1.entry(tenant).or_default();
        of_tenant.extend(counts.iter().map(|(word, pages)| (word.clone(), *pages)));
    }
}

/// One search among the pages. A part of the index that fails would make
/// results a matter of luck: then all fails.
pub(super) fn search(client: &Client, names: &Names, body: &Value) -> Result<Value, SearchError> {
    let path = format!(
        "/{}/_search?allow_partial_search_results=false",
        names.pages
    );
    client.ask(Ask::post(path, body), Patience::None)
}
