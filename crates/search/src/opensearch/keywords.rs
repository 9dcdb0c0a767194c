//! Asking the cluster for pages by words.
//!
//! A search counts the query's words in the tenant's pages first, as far as that
//! is not known from a search before. Then it asks for the pages whose words
//! weigh most, and what their scores are computed from. What is counted
//! (matches, facets) is of all pages that match.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use reqwest::Method;
use serde_json::{Map, Value, json};
use store::ChangeSeqs;
use types::{Clock, PageId, TenantId};

use super::client::{Ask, Client, OpensearchConfig, Patience};
use super::document::{candidate, key, wanted_fields};
use super::progress::Place;
use super::query::{self, Conditions};
use super::schema::Names;
use super::words::{Known, Words, search};
use super::writer::Writer;
use crate::engine::{
    Allowed, FacetCounts, Find, KeywordAsk, KeywordEngine, KeywordFound, KeywordReader,
    KeywordSearch, KeywordWriter,
};
use crate::error::{SearchError, SearchErrorKind};
use crate::judging::{Candidate, Corpora, Corpus, Judge, Wanted, weigh};

/// Pages whose scores are computed.
const CANDIDATES_MIN: usize = 300;
/// The same for each page wanted; RESULTS_MAX of them stay below 10,000, the
/// most that a cluster gives at once.
const CANDIDATES_PER_PAGE: usize = 3;
/// Pages that a filter may let through to be listed for the vectors.
const LISTED_MAX: usize = 20_000;
/// Pages asked about, or listed, at once.
const PAGES_PER_REQUEST: usize = 5_000;
/// Up to here different values are counted one by one; beyond, within some percent.
const DISTINCT_EXACT: usize = 40_000;

/// An index that a cluster holds.
#[derive(Clone)]
pub struct OpensearchKeywords {
    config: OpensearchConfig,
    clock: Arc<dyn Clock>,
    place: Arc<OnceLock<Place>>,
}

impl std::fmt::Debug for OpensearchKeywords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OpensearchKeywords")
            .field(&self.config)
            .finish()
    }
}

/// What a cluster says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    /// Such as `opensearch 3.8.0`.
    pub version: String,
    /// `green`, `yellow` or `red`.
    pub health: String,
    pub nodes: u64,
    /// How it is named in messages, without what is secret.
    pub server: String,
}

impl OpensearchKeywords {
    /// Nothing is asked of the cluster yet.
    #[must_use]
    pub fn new(config: OpensearchConfig, clock: Arc<dyn Clock>) -> OpensearchKeywords {
        OpensearchKeywords {
            config,
            clock,
            place: Arc::default(),
        }
    }

    /// Asks the cluster how it is.
    pub fn state(&self) -> Result<ClusterState, SearchError> {
        let client = self.place()?.client;
        let about = client.ask(Ask::get("/"), Patience::None)?;
        let health = client.ask(Ask::get("/_cluster/health"), Patience::None)?;
        let version = &about["version"];
        let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
        let kind = version["distribution"].as_str().unwrap_or("elasticsearch");
        Ok(ClusterState {
            version: format!("{kind} {}", text(&version["number"])),
            health: text(&health["status"]),
            nodes: health["number_of_nodes"].as_u64().unwrap_or(0),
            server: client.name().to_owned(),
        })
    }

    /// Deletes the index and all that belongs to it, as if it had never been.
    pub fn delete(&self) -> Result<(), SearchError> {
        let Place { client, names } = self.place()?;
        let template = format!("_index_template/{}", names.template);
        for path in [&names.pages, &names.progress, &template] {
            let ask = Ask::of(Method::DELETE, format!("/{path}"), "");
            let answer = client.answer(ask, Patience::None)?;
            if !answer.is_success() && answer.status != 404 {
                return Err(client.failed(&answer));
            }
        }
        Ok(())
    }

    fn place(&self) -> Result<Place, SearchError> {
        if let Some(place) = self.place.get() {
            return Ok(place.clone());
        }
        let prefix = &self.config.prefix;
        if let Some(problem) = Names::problem(prefix) {
            let message = format!("search.opensearch.prefix = {prefix:?} {problem}");
            return Err(SearchError::of_server(SearchErrorKind::Refused, message));
        }
        let place = Place {
            client: Arc::new(Client::new(&self.config)?),
            names: Names::of(prefix),
        };
        Ok(self.place.get_or_init(|| place).clone())
    }
}

impl KeywordEngine for OpensearchKeywords {
    fn open(&self) -> Result<Box<dyn KeywordReader>, SearchError> {
        let place = self.place()?;
        let reader = Reader {
            owner: self.config.owner.clone(),
            place,
            committed: RwLock::default(),
            corpora: Corpora::default(),
            known: Known::default(),
        };
        reader.refresh()?;
        let progress = reader.place.read(Patience::None)?;
        let uuid = reader.place.pages_uuid(Patience::None)?;
        if uuid.is_none() || uuid != progress.map(|(progress, _)| progress.index_uuid) {
            return Err(reader.missing());
        }
        Ok(Box::new(reader))
    }

    fn open_writer(&self) -> Result<Box<dyn KeywordWriter>, SearchError> {
        let writer = Writer::open(self.place()?, &self.config, Arc::clone(&self.clock))?;
        Ok(Box::new(writer))
    }
}

#[derive(Debug)]
struct Reader {
    place: Place,
    owner: String,
    committed: RwLock<ChangeSeqs>,
    corpora: Corpora,
    known: Known,
}

impl Reader {
    fn missing(&self) -> SearchError {
        SearchError::no_index(&self.place.names.pages, self.place.client.name())
    }

    fn words(&self, tenant: TenantId) -> Words<'_> {
        Words {
            client: &self.place.client,
            names: &self.place.names,
            tenant,
            known: &self.known,
            committed: self.committed(),
        }
    }

    fn search(&self, body: &Value) -> Result<Value, SearchError> {
        search(&self.place.client, &self.place.names, body)
    }

    fn corpus(&self, tenant: TenantId) -> Result<Arc<Corpus>, SearchError> {
        let read = || self.words(tenant).corpus();
        self.corpora.of(tenant, self.committed(), read)
    }
}

impl KeywordReader for Reader {
    fn refresh(&self) -> Result<(), SearchError> {
        let read = self.place.read(Patience::None)?;
        let (progress, _) = read.ok_or_else(|| self.missing())?;
        self.place.check_owner(&progress, &self.owner)?;
        let mut committed = self
            .committed
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *committed = progress.seqs;
        Ok(())
    }

    fn committed(&self) -> ChangeSeqs {
        let committed = self.committed.read();
        committed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn page_count(&self) -> Result<u64, SearchError> {
        let path = format!("/{}/_count", self.place.names.pages);
        let answer = self.place.client.ask(Ask::get(path), Patience::None)?;
        Ok(answer["count"].as_u64().unwrap_or(0))
    }

    fn languages(&self, tenant: TenantId) -> Result<Vec<String>, SearchError> {
        Ok(self.corpus(tenant)?.languages.clone())
    }

    fn begin<'a>(
        &'a self,
        ask: KeywordAsk<'a>,
    ) -> Result<Box<dyn KeywordSearch + 'a>, SearchError> {
        Ok(Box::new(Search {
            reader: self,
            corpus: self.corpus(ask.tenant)?,
            conditions: Conditions::of(&ask),
            ask,
        }))
    }
}

struct Search<'a> {
    reader: &'a Reader,
    ask: KeywordAsk<'a>,
    corpus: Arc<Corpus>,
    conditions: Conditions,
}

impl KeywordSearch for Search<'_> {
    fn allowed(&self) -> Result<Allowed, SearchError> {
        if self.conditions.is_open() {
            return Ok(Allowed::Every);
        }
        let mut pages = HashSet::new();
        let mut after: Option<Value> = None;
        loop {
            let mut body = json!({
                "size": PAGES_PER_REQUEST,
                "track_total_hits": LISTED_MAX + 1,
                "_source": false,
                "sort": ["page"],
                "query": self.conditions.and(None),
            });
            if let Some(after) = after {
                body["search_after"] = after;
            }
            let answer = self.reader.search(&body)?;
            if answer["hits"]["total"]["value"].as_u64() > Some(LISTED_MAX as u64) {
                return Ok(Allowed::Many);
            }
            let hits = hits_of(&answer);
            pages.extend(hits.iter().filter_map(page_of));
            after = hits.last().map(|hit| hit["sort"].clone());
            if hits.len() < PAGES_PER_REQUEST || pages.len() > LISTED_MAX {
                return Ok(Allowed::Only(pages));
            }
        }
    }

    fn among(&self, pages: &[PageId]) -> Result<HashSet<PageId>, SearchError> {
        let mut among = HashSet::new();
        for pages in pages.chunks(PAGES_PER_REQUEST) {
            let body = json!({
                "size": PAGES_PER_REQUEST,
                "track_total_hits": false,
                "_source": false,
                "sort": ["_doc"],
                "query": self.conditions.and(Some(query::pages(pages))),
            });
            let answer = self.reader.search(&body)?;
            among.extend(hits_of(&answer).iter().filter_map(page_of));
        }
        Ok(among)
    }

    fn find(&self, find: &Find<'_>) -> Result<KeywordFound, SearchError> {
        let KeywordAsk {
            tenant,
            query,
            ranking,
            ..
        } = self.ask;
        let words = self.reader.words(tenant);
        let (terms, required) = match find.by_words {
            true => weigh(&words, &self.corpus, ranking, query)?,
            false => (Vec::new(), 0),
        };
        let wanted = Wanted::of(&terms);
        let by_key = wanted.words.iter();
        let by_key: HashMap<String, usize> = by_key.map(|(word, n)| (key(word), *n)).collect();
        let fields = wanted_fields(wanted.words.keys());
        let scored: Vec<Value> = terms.iter().map(query::scored).collect();
        let mut found = KeywordFound::default();
        let mut pages: Vec<Candidate> = Vec::new();
        let mut facets = None;
        if !scored.is_empty() {
            let count = find.limit.max(ranking.rescored) * CANDIDATES_PER_PAGE;
            let mut body = json!({
                "size": count.max(CANDIDATES_MIN),
                "track_total_hits": true,
                "_source": fields,
                "sort": [{"_score": "desc"}, {"page": "asc"}],
                "query": self.conditions.with(&scored),
            });
            if find.near.is_empty() && !find.facets.is_empty() {
                body["aggs"] = asked_facets(find);
            }
            let answer = self.reader.search(&body)?;
            let total = answer["hits"]["total"]["value"].as_u64().unwrap_or(0);
            found.total = usize::try_from(total).unwrap_or(usize::MAX);
            pages = candidates(&answer, &by_key);
            facets = answer.get("aggregations").cloned();
        }
        // What was found by other means is scored by the same words.
        if !find.near.is_empty() && !scored.is_empty() {
            let known: HashSet<PageId> = pages.iter().map(|page| page.page).collect();
            let near = find.near.iter().filter(|page| !known.contains(page));
            let near: Vec<PageId> = near.copied().collect();
            for near in near.chunks(PAGES_PER_REQUEST) {
                let body = json!({
                    "size": near.len(),
                    "track_total_hits": false,
                    "_source": fields,
                    "sort": ["_doc"],
                    "query": self.conditions.and(Some(query::pages(near))),
                });
                pages.extend(candidates(&self.reader.search(&body)?, &by_key));
            }
        }
        if !find.facets.is_empty() && facets.is_none() {
            facets = Some(self.count(find, scored)?);
        }
        if let Some(facets) = facets {
            found.facets = facets_of(&facets, find);
        }
        let judge = Judge {
            ranking,
            corpus: &self.corpus,
            terms: &terms,
            wanted: &wanted,
            required,
        };
        found.pages = judge.rank(pages, find.limit, find.near);
        Ok(found)
    }
}

impl Search<'_> {
    /// Facets of the pages that have a word and those that are near.
    fn count(&self, find: &Find<'_>, scored: Vec<Value>) -> Result<Value, SearchError> {
        let near = query::pages(find.near);
        let tenant = Conditions::of_tenant(self.ask.tenant);
        let mut counted = vec![tenant.and(Some(near))];
        if !scored.is_empty() {
            counted.push(self.conditions.with(&scored));
        }
        let body = json!({
            "size": 0,
            "track_total_hits": false,
            "query": query::any(counted),
            "aggs": asked_facets(find),
        });
        Ok(self.reader.search(&body)?["aggregations"].clone())
    }
}

fn asked_facets(find: &Find<'_>) -> Value {
    let mut asked = Map::new();
    for name in find.facets {
        let field = format!("facets.{name}");
        // More of each part of the index than are shown, so that their sums are right.
        let values = json!({"terms": {
            "field": field,
            "size": find.facet_values_max,
            "shard_size": find.facet_values_max * 10 + 1_000,
        }});
        let distinct = json!({"cardinality": {
            "field": field,
            "precision_threshold": DISTINCT_EXACT,
        }});
        asked.insert((*name).to_owned(), values);
        asked.insert(format!("{name} distinct"), distinct);
    }
    asked.into()
}

fn facets_of(counted: &Value, find: &Find<'_>) -> Vec<FacetCounts> {
    let facets = find.facets.iter().map(|facet| {
        let buckets = counted[*facet]["buckets"].as_array();
        let values = buckets.into_iter().flatten().filter_map(|bucket| {
            let value = bucket["key"].as_str()?.to_owned();
            Some((value, bucket["doc_count"].as_u64()?))
        });
        let mut values: Vec<(String, u64)> = values.collect();
        values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let distinct = counted[format!("{facet} distinct")]["value"].as_u64();
        FacetCounts {
            facet,
            distinct: distinct.unwrap_or(0).max(values.len() as u64),
            values,
        }
    });
    facets.collect()
}

fn hits_of(answer: &Value) -> &[Value] {
    answer["hits"]["hits"].as_array().map_or(&[], Vec::as_slice)
}

fn page_of(hit: &Value) -> Option<PageId> {
    hit["_id"].as_str()?.parse().ok().map(PageId)
}

fn candidates(answer: &Value, wanted: &HashMap<String, usize>) -> Vec<Candidate> {
    let hits = hits_of(answer).iter();
    let pages = hits.filter_map(|hit| Some(candidate(page_of(hit)?, &hit["_source"], wanted)));
    pages.collect()
}
