//! Candidates of a search, and what their scores are computed from.

use std::collections::HashMap;

use types::{PageId, SourceId, TenantId};

use super::{ids, list, settings, tables};
use crate::error::Failure;
use crate::rows::as_i64;
use crate::sql::{Connection, Value, collect};
use crate::{Store, StoreError};

/// Pages that are taken for one word; of a word that is in more, some.
const TERM_PAGES_MAX: usize = 50_000;
/// Words of candidates that are read for one search, as they are stored: they
/// are compressed to a third or so.
const WORDS_BYTES_MAX: u64 = 32 << 20;
/// Values of facets looked at, the most frequent first.
const FACET_VALUES_MAX: usize = 10_000;

/// What a page must have to be found: the tenant, and whatever else is set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchFilter {
    pub tenant: i64,
    pub source: Option<SourceId>,
    pub host: Option<String>,
    pub path_prefix: Option<String>,
    pub language: Option<String>,
    /// First and last moment, milliseconds since 1970.
    pub published: (Option<i64>, Option<i64>),
    pub price: (Option<f64>, Option<f64>),
    pub salary_min: Option<f64>,
    pub salary_max: Option<f64>,
    /// All of them, as [`super::SearchPage`] has them.
    pub structured: Vec<String>,
    /// Each a `tsquery` as text: those that must match and those that must not.
    pub required: Vec<String>,
    pub excluded: Vec<String>,
}

impl SearchFilter {
    /// True when all pages of the tenant may be found.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self
            == SearchFilter {
                tenant: self.tenant,
                ..SearchFilter::default()
            }
    }

    /// The conditions on `p`, with their values behind those in `values`.
    /// `by_words`: a lexeme is looked for as well.
    fn conditions(&self, by_words: bool, values: &mut Vec<Value>) -> String {
        // Lexemes, terms and sources are of one tenant: what has them is found by
        // them, and a sum keeps the planner from reading all of the tenant's instead.
        let is_found = by_words
            || self.source.is_some()
            || !self.structured.is_empty()
            || !self.required.is_empty();
        let of_tenant = if is_found {
            "0 + p.tenant_id = @"
        } else {
            "p.tenant_id = @"
        };
        let mut sql = String::new();
        let mut add = |condition: &str, value: Value| {
            values.push(value);
            let number = format!("?{}", values.len());
            if !sql.is_empty() {
                sql.push_str(" AND ");
            }
            sql.push_str(&condition.replace('@', &number));
        };
        add(of_tenant, self.tenant.into());
        if let Some(source) = self.source {
            add("p.source_id = @", source.0.into());
        }
        if let Some(host) = &self.host {
            add("p.host = @", host.as_str().into());
        }
        if let Some(prefix) = &self.path_prefix {
            add("p.path >= @", prefix.as_str().into());
            // No path holds U+10FFFF, so it bounds everything that begins with the prefix.
            add("p.path < @", format!("{prefix}\u{10ffff}").into());
        }
        if let Some(language) = &self.language {
            add("p.language = @", language.as_str().into());
        }
        let (from, to) = self.published;
        if let Some(from) = from {
            add("p.published_at >= @", from.into());
        }
        if let Some(to) = to {
            add("p.published_at <= @", to.into());
        }
        let amounts = [
            ("p.price >= @", self.price.0),
            ("p.price <= @", self.price.1),
            ("p.salary_most >= @", self.salary_min),
            ("p.salary_least <= @", self.salary_max),
        ];
        for (condition, amount) in amounts {
            if let Some(amount) = amount {
                add(condition, amount.into());
            }
        }
        if !self.structured.is_empty() {
            let terms = list(&self.structured);
            add(
                "p.structured <~ string_to_array(CAST(@ AS TEXT), chr(30)) COLLATE \"C\"",
                terms.into(),
            );
        }
        for phrase in &self.required {
            add(
                "p.words ~~ CAST(CAST(@ AS TEXT) AS tsquery)",
                phrase.as_str().into(),
            );
        }
        for phrase in &self.excluded {
            add(
                "NOT p.words ~~ CAST(CAST(@ AS TEXT) AS tsquery)",
                phrase.as_str().into(),
            );
        }
        // The sign for a place is also part of two operators.
        sql.replace("<~", "@>").replace("~~", "@@")
    }
}

/// One word of the query, or several that count as one.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchTerm {
    /// A `tsquery` as text.
    pub query: String,
    /// What having it is worth.
    pub weight: f64,
}

/// Statistics of a tenant's pages in one language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchCorpus {
    /// Empty where none is known.
    pub language: String,
    pub pages: u64,
    pub chunks: u64,
    /// Of title, headings, body and words of the URL.
    pub tokens: [u64; 4],
}

/// In how many pages a lexeme is: title, headings, body, words of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchWord {
    pub word: String,
    pub pages: [u64; 4],
}

/// Pages that have a word, and what is counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchCandidates {
    /// The best by weights, and those asked for besides.
    pub pages: Vec<SearchedPage>,
    /// Pages that have a word.
    pub total: u64,
    /// Values of facets, each with the pages that have it, the most frequent first.
    pub facets: Vec<(String, u64)>,
}

/// What of a page its score is computed from; see [`super::SearchPage`].
#[derive(Clone, Debug, PartialEq)]
pub struct SearchedPage {
    pub page: PageId,
    pub tokens: [u64; 4],
    pub body_at: u32,
    pub chunks: Vec<u8>,
    pub words: String,
}

impl Store {
    /// Statistics of the tenant's pages, by language, of each database that answers.
    pub fn search_corpora(&self, tenant: TenantId) -> Result<Vec<SearchCorpus>, StoreError> {
        let corpora = self.gather(|shard| {
            shard.read("read search statistics", |connection| {
                if !tables::exists(connection, "search_corpora")? {
                    return Ok(Vec::new());
                }
                collect(connection, CORPORA, [tenant.0], |row| {
                    Ok(SearchCorpus {
                        language: row.get(0)?,
                        pages: row.get(1)?,
                        chunks: row.get(2)?,
                        tokens: [row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?],
                    })
                })
            })
        })?;
        Ok(corpora.concat())
    }

    /// Pages in all search tables.
    pub fn search_page_count(&self) -> Result<u64, StoreError> {
        let counts = self.gather(|shard| {
            shard.read("count pages to search", |connection| {
                if !tables::exists(connection, "search_corpora")? {
                    return Ok(0);
                }
                let sql = "SELECT coalesce(sum(pages), 0) FROM search_corpora";
                let counts = collect(connection, sql, [], |row| row.get::<u64>(0))?;
                Ok(counts.into_iter().sum())
            })
        })?;
        Ok(counts.into_iter().sum())
    }

    /// What is known of `words` in each database that answers.
    pub fn search_words(&self, words: &[String]) -> Result<Vec<SearchWord>, StoreError> {
        let words = list(words);
        self.words("look search words up", WORDS, &[Value::Text(words)])
    }

    /// The first `limit` words in each database that begin with `prefix`.
    pub fn search_words_with(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<SearchWord>, StoreError> {
        let values = [
            Value::Text(prefix.to_owned()),
            Value::Text(format!("{prefix}\u{10ffff}")),
            Value::Integer(as_i64(limit)),
        ];
        self.words("look search words up", WORDS_WITH, &values)
    }

    fn words(
        &self,
        name: &'static str,
        sql: &str,
        values: &[Value],
    ) -> Result<Vec<SearchWord>, StoreError> {
        let words = self.gather(|shard| {
            shard.read(name, |connection| {
                collect(connection, sql, &values.to_vec(), |row| {
                    Ok(SearchWord {
                        word: row.get(0)?,
                        pages: [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?],
                    })
                })
            })
        })?;
        Ok(words.concat())
    }

    /// Pages that `filter` lets through, up to `limit` of each database.
    pub fn search_allowed(
        &self,
        filter: &SearchFilter,
        limit: usize,
    ) -> Result<Vec<PageId>, StoreError> {
        let mut values = Vec::new();
        let sql = allowed(filter, &mut values, limit);
        self.page_ids(&sql, &values)
    }

    /// Those of `pages` that `filter` lets through.
    pub fn search_among(
        &self,
        filter: &SearchFilter,
        pages: &[PageId],
    ) -> Result<Vec<PageId>, StoreError> {
        let mut values = Vec::new();
        let conditions = filter.conditions(false, &mut values);
        values.push(ids(pages.iter().map(|page| page.0)).into());
        let sql = format!(
            "SELECT p.page_id FROM search_pages p WHERE {conditions}
               AND p.page_id = ANY(CAST(string_to_array(?{}, ',') AS BIGINT[]))",
            values.len()
        );
        self.page_ids(&sql, &values)
    }

    fn page_ids(&self, sql: &str, values: &Vec<Value>) -> Result<Vec<PageId>, StoreError> {
        let pages = self.gather(|shard| {
            shard.read("filter pages to search", |connection| {
                settings(connection, SETTINGS)?;
                collect(connection, sql, values, |row| Ok(PageId(row.get(0)?)))
            })
        })?;
        Ok(pages.concat())
    }

    /// The best `limit` pages of each database by the weights of the `terms`
    /// that they have, those of `near` that `filter` lets through, and what of
    /// `facets` (names) all that have a term, and `near`, are counted as.
    pub fn search_candidates(
        &self,
        filter: &SearchFilter,
        terms: &[SearchTerm],
        limit: usize,
        near: &[PageId],
        facets: &[&str],
    ) -> Result<SearchCandidates, StoreError> {
        let near = ids(near.iter().map(|page| page.0));
        let parts = self.gather(|shard| {
            shard.read("search by words", |connection| {
                candidates(connection, filter, terms, limit, &near, facets)
            })
        })?;
        let mut all = SearchCandidates::default();
        for part in parts {
            all.pages.extend(part.pages);
            all.total += part.total;
            all.facets.extend(part.facets);
        }
        Ok(all)
    }
}

pub(crate) const CORPORA: &str = "
    SELECT language, pages, chunks, title_tokens, heading_tokens, body_tokens, url_tokens
    FROM search_corpora WHERE tenant_id = ?1 AND pages > 0";

pub(crate) const WORDS: &str = "
    SELECT word, title, headings, body, url FROM search_words
    WHERE word = ANY(string_to_array(?1, chr(30)))";

pub(crate) const WORDS_WITH: &str = "
    SELECT word, title, headings, body, url FROM search_words
    WHERE word >= ?1 AND word < ?2 AND title + headings + body + url > 0
    ORDER BY word LIMIT ?3";

const SIZES: &str = "
    SELECT page_id, pg_column_size(words) FROM search_pages
    WHERE page_id = ANY(CAST(string_to_array(?1, ',') AS BIGINT[]))";

pub(crate) const PAGES: &str = "
    SELECT page_id, title_tokens, heading_tokens, body_tokens, url_tokens, body_at, chunks,
           CAST(words AS TEXT)
    FROM search_pages WHERE page_id = ANY(CAST(string_to_array(?1, ',') AS BIGINT[]))";

/// Statements of searches are short: compiling them costs more than it saves.
/// Without statistics of a list of words the planner would read whole tables.
const SETTINGS: &[(&str, &str)] = &[("jit", "off"), ("enable_seqscan", "off")];

/// Pages that the filter lets through.
pub(crate) fn allowed(filter: &SearchFilter, values: &mut Vec<Value>, limit: usize) -> String {
    let conditions = filter.conditions(false, values);
    values.push(as_i64(limit).into());
    format!(
        "SELECT p.page_id FROM search_pages p WHERE {conditions} LIMIT ?{}",
        values.len()
    )
}

/// Pages that have a term, each with its weight; terms, weights and then the
/// filter's values are the parameters.
pub(crate) fn matches(filter: &SearchFilter, values: &mut Vec<Value>) -> String {
    let conditions = filter.conditions(true, values);
    format!(
        "SELECT m.page_id, sum(t.weight) AS weight
         FROM unnest(string_to_array(?1, chr(30)),
                     CAST(string_to_array(?2, ',') AS DOUBLE PRECISION[])) AS t(query, weight)
         JOIN LATERAL (SELECT p.page_id FROM search_pages p
                             WHERE p.words @@ CAST(t.query AS tsquery) AND {conditions}
                             LIMIT {TERM_PAGES_MAX}) m ON TRUE
         GROUP BY m.page_id"
    )
}

/// Those of `pages` whose words take no more than [`WORDS_BYTES_MAX`], the first
/// ones; each once.
fn within(connection: &Connection, pages: Vec<i64>) -> Result<Vec<i64>, Failure> {
    let all = [ids(pages.iter().copied())];
    let sizes = collect(connection, SIZES, all, |row| {
        Ok((row.get::<i64>(0)?, row.get::<u64>(1)?))
    })?;
    let mut sizes: HashMap<i64, u64> = sizes.into_iter().collect();
    let mut bytes = 0;
    let mut kept = Vec::with_capacity(sizes.len());
    for page in pages {
        // Taken out: one that comes a second time is passed over.
        let Some(size) = sizes.remove(&page) else {
            continue;
        };
        bytes += size;
        if bytes > WORDS_BYTES_MAX {
            break;
        }
        kept.push(page);
    }
    Ok(kept)
}

fn candidates(
    connection: &Connection,
    filter: &SearchFilter,
    terms: &[SearchTerm],
    limit: usize,
    near: &str,
    facets: &[&str],
) -> Result<SearchCandidates, Failure> {
    settings(connection, SETTINGS)?;
    let mut found = SearchCandidates::default();
    let queries: Vec<&str> = terms.iter().map(|term| term.query.as_str()).collect();
    let weights: Vec<String> = terms.iter().map(|term| term.weight.to_string()).collect();
    let mut values: Vec<Value> = vec![list(&queries).into(), weights.join(",").into()];
    let matches = matches(filter, &mut values);
    let mut pages: Vec<i64> = Vec::new();
    if !terms.is_empty() {
        let mut values = values.clone();
        values.push(as_i64(limit).into());
        let sql = format!(
            "SELECT page_id, count(*) OVER () FROM ({matches}) matched
             ORDER BY weight DESC, page_id LIMIT ?{}",
            values.len()
        );
        collect(connection, &sql, &values, |row| {
            pages.push(row.get(0)?);
            found.total = row.get(1)?;
            Ok(())
        })?;
    }
    if !near.is_empty() {
        let mut values = Vec::new();
        let conditions = filter.conditions(false, &mut values);
        values.push(near.into());
        let sql = format!(
            "SELECT p.page_id FROM search_pages p WHERE {conditions}
               AND p.page_id = ANY(CAST(string_to_array(?{}, ',') AS BIGINT[]))",
            values.len()
        );
        pages.extend(collect(connection, &sql, &values, |row| row.get::<i64>(0))?);
    }
    if !facets.is_empty() {
        let mut values = values;
        let matched = if terms.is_empty() {
            values.clear();
            String::new()
        } else {
            format!("SELECT page_id FROM ({matches}) matched UNION ")
        };
        values.push(near.into());
        values.push(list(facets).into());
        values.push(as_i64(FACET_VALUES_MAX).into());
        let last = values.len();
        let sql = format!(
            "SELECT f.entry, count(*) FROM (
               {matched}
               SELECT CAST(id AS BIGINT) FROM unnest(string_to_array(?{}, ',')) AS n(id)
               WHERE id <> '') counted
             JOIN search_pages p ON p.page_id = counted.page_id
             JOIN LATERAL unnest(p.facets) AS f(entry) ON TRUE
             WHERE split_part(f.entry, chr(31), 1) = ANY(string_to_array(?{}, chr(30)))
               AND p.tenant_id = {}
             GROUP BY f.entry ORDER BY 2 DESC, 1 LIMIT ?{last}",
            last - 2,
            last - 1,
            filter.tenant
        );
        let sql = if terms.is_empty() {
            sql.replace(
                "SELECT CAST(id AS BIGINT)",
                "SELECT CAST(id AS BIGINT) AS page_id",
            )
        } else {
            sql
        };
        found.facets = collect(connection, &sql, &values, |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    }
    let pages = within(connection, pages)?;
    found.pages = collect(connection, PAGES, [ids(pages.into_iter())], |row| {
        Ok(SearchedPage {
            page: PageId(row.get(0)?),
            tokens: [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?],
            body_at: row.get(5)?,
            chunks: row.blob(6)?.to_vec(),
            words: row.get(7)?,
        })
    })?;
    Ok(found)
}
