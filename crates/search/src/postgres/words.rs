//! What the words of a query are worth in the tenant's pages.

use std::collections::HashMap;

use store::{SearchCorpus, SearchWord, Store};
use types::TenantId;

use super::lexemes::{Sign, lexeme};
use crate::engine::{Query, Scope, Term};
use crate::error::SearchError;
use crate::keyword::Ranking;

/// Words that a prefix stands for, the most frequent first, of so many.
const PREFIX_WORDS_MAX: usize = 64;
const PREFIX_SCAN_MAX: usize = 4096;
/// Languages whose stems a query word is looked up under.
const LANGUAGES_MAX: usize = 8;

/// Statistics of the tenant's pages in all databases.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Corpus {
    pub(super) pages: u64,
    pub(super) chunks: u64,
    /// Of title, headings, body and words of the URL.
    pub(super) tokens: [u64; 4],
    pub(super) languages: Vec<String>,
}

impl Corpus {
    pub(super) fn of(parts: Vec<SearchCorpus>) -> Corpus {
        let mut corpus = Corpus::default();
        let mut languages: HashMap<String, u64> = HashMap::new();
        for part in parts {
            corpus.pages += part.pages;
            corpus.chunks += part.chunks;
            for (sum, tokens) in corpus.tokens.iter_mut().zip(part.tokens) {
                *sum += tokens;
            }
            if crate::text::changes_stems(&part.language) {
                *languages.entry(part.language).or_default() += part.pages;
            }
        }
        let mut languages: Vec<(String, u64)> = languages.into_iter().collect();
        languages.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        languages.truncate(LANGUAGES_MAX);
        corpus.languages = languages
            .into_iter()
            .map(|(language, _)| language)
            .collect();
        corpus
    }

    /// Tokens of a page's field on average, at least 1.
    pub(super) fn average_tokens(&self, field: usize) -> f32 {
        (self.tokens[field] as f32 / self.pages.max(1) as f32).max(1.0)
    }

    /// Body tokens of a chunk on average, at least 1.
    pub(super) fn average_chunk_tokens(&self) -> f32 {
        (self.tokens[BODY] as f32 / self.chunks.max(1) as f32).max(1.0)
    }
}

pub(super) const HEADINGS: usize = 1;
pub(super) const BODY: usize = 2;

/// Whether words are looked for in a field: title, headings, body, URL.
pub(super) fn serves(scope: Scope, field: usize) -> bool {
    match scope {
        Scope::Anywhere => true,
        Scope::Title => field == 0,
        Scope::Headings => field == 1,
        Scope::Body => field == BODY,
        Scope::Url => field == 3,
    }
}

/// A term with its words and weight.
#[derive(Clone, Debug)]
pub(super) struct Weighed {
    pub(super) words: Vec<String>,
    pub(super) scope: Scope,
    pub(super) optional: bool,
    /// Inverse document frequency, times the term's count in the query.
    pub(super) weight: f32,
    /// Pages that have a word of it, by field.
    pub(super) pages: [u64; 4],
    /// At least so many in all.
    pub(super) frequency: u64,
}

/// The scored terms of a query, and how many of them a page should have.
pub(super) fn weigh(
    store: &Store,
    tenant: TenantId,
    corpus: &Corpus,
    ranking: &Ranking,
    query: &Query,
) -> Result<(Vec<Weighed>, usize), SearchError> {
    let only_stop_words = query.terms.iter().all(|term| term.stop);
    let scored = |term: &&Term| only_stop_words || !term.stop || ranking.weight_stop > 0.0;
    let terms: Vec<&Term> = query.terms.iter().filter(scored).collect();
    let required = terms.iter().filter(|term| !term.optional).count();
    let plain = terms.iter().filter(|term| !term.prefix);
    let spellings = plain.flat_map(|term| &term.spellings);
    let lexemes: Vec<String> = spellings
        .map(|word| lexeme(tenant, Sign::Page, word))
        .collect();
    let mut known: HashMap<String, [u64; 4]> = HashMap::new();
    if !lexemes.is_empty() {
        add(&mut known, store.search_words(&lexemes)?);
    }
    let mut weighed = Vec::new();
    for term in terms {
        let words = if term.prefix {
            expand(store, tenant, term, &mut known)?
        } else {
            term.spellings.clone()
        };
        let mut pages = [0; 4];
        let mut frequency = 0;
        for word in &words {
            let of_word = known.get(&lexeme(tenant, Sign::Page, word));
            let of_word = of_word.copied().unwrap_or_default();
            let mut largest = 0;
            for field in (0..4).filter(|field| serves(term.scope, *field)) {
                pages[field] += of_word[field];
                // A page can have the word in several fields: the largest count
                // is the closest that needs no sets of pages.
                largest = largest.max(of_word[field]);
            }
            frequency += largest;
        }
        if frequency == 0 {
            continue;
        }
        let all = corpus.pages;
        let some = frequency.min(all) as f32;
        let idf = (1.0 + (all as f32 - some + 0.5) / (some + 0.5)).ln();
        let mut weight = idf * term.count as f32;
        if term.optional {
            weight *= ranking.weight_optional;
        }
        if term.stop && !only_stop_words {
            weight *= ranking.weight_stop;
        }
        // A weight of 0 would leave no mark on a page it is found in.
        if weight > 0.0 {
            weighed.push(Weighed {
                words,
                scope: term.scope,
                optional: term.optional,
                weight,
                pages,
                frequency,
            });
        }
    }
    Ok((weighed, required))
}

/// The tenant's words that begin with a prefix.
fn expand(
    store: &Store,
    tenant: TenantId,
    term: &Term,
    known: &mut HashMap<String, [u64; 4]>,
) -> Result<Vec<String>, SearchError> {
    let mut found: HashMap<String, [u64; 4]> = HashMap::new();
    for spelling in &term.spellings {
        let prefix = lexeme(tenant, Sign::Page, spelling);
        let mut of_spelling = HashMap::new();
        add(
            &mut of_spelling,
            store.search_words_with(&prefix, PREFIX_SCAN_MAX)?,
        );
        found.extend(of_spelling);
    }
    let of = |pages: &[u64; 4]| -> u64 {
        let fields = (0..4).filter(|field| serves(term.scope, *field));
        fields.map(|field| pages[field]).sum()
    };
    let mut words: Vec<(String, [u64; 4])> = found.into_iter().collect();
    words.retain(|(_, pages)| of(pages) > 0);
    words.sort_by(|a, b| of(&b.1).cmp(&of(&a.1)).then_with(|| a.0.cmp(&b.0)));
    words.truncate(PREFIX_WORDS_MAX);
    let start = lexeme(tenant, Sign::Page, "").len();
    let words = words.into_iter().map(|(lexeme, pages)| {
        let word = lexeme[start..].to_owned();
        known.insert(lexeme, pages);
        word
    });
    Ok(words.collect())
}

fn add(known: &mut HashMap<String, [u64; 4]>, words: Vec<SearchWord>) {
    for word in words {
        let sums = known.entry(word.word).or_default();
        for (sum, pages) in sums.iter_mut().zip(word.pages) {
            *sum += pages;
        }
    }
}
