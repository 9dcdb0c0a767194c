//! What the words of a query are worth in the tenant's pages.

use std::collections::HashMap;

use crate::engine::{Query, Scope, Term};
use crate::error::SearchError;
use crate::keyword::Ranking;

/// Words that a prefix stands for, the most frequent first.
const PREFIX_WORDS_MAX: usize = 64;
/// Languages whose stems a query word is looked up under.
const LANGUAGES_MAX: usize = 8;

/// In how many pages a word is: title, headings, body, words of the URL.
pub(crate) type WordPages = [u64; 4];

/// What an engine knows of the words of one tenant's pages.
pub(crate) trait Vocabulary {
    /// In how many pages each of `words` is; those in none may be left out.
    fn pages_with(&self, words: &[String]) -> Result<HashMap<String, WordPages>, SearchError>;

    /// Words that begin with `prefix`, where `scope` says, with the same: the
    /// most frequent of them among others, or as many as are looked at.
    fn beginning_with(
        &self,
        prefix: &str,
        scope: Scope,
    ) -> Result<HashMap<String, WordPages>, SearchError>;
}

/// Statistics of some of the tenant's pages, all in one language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CorpusPart {
    /// Empty where none is known.
    pub(crate) language: String,
    pub(crate) pages: u64,
    pub(crate) chunks: u64,
    /// Of title, headings, body and words of the URL.
    pub(crate) tokens: [u64; 4],
}

/// Statistics of the tenant's pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Corpus {
    pub(crate) pages: u64,
    pub(crate) chunks: u64,
    /// Of title, headings, body and words of the URL.
    pub(crate) tokens: [u64; 4],
    pub(crate) languages: Vec<String>,
}

impl Corpus {
    pub(crate) fn of(parts: Vec<CorpusPart>) -> Corpus {
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
    pub(crate) fn average_tokens(&self, field: usize) -> f32 {
        (self.tokens[field] as f32 / self.pages.max(1) as f32).max(1.0)
    }

    /// Body tokens of a chunk on average, at least 1.
    pub(crate) fn average_chunk_tokens(&self) -> f32 {
        (self.tokens[BODY] as f32 / self.chunks.max(1) as f32).max(1.0)
    }
}

pub(crate) const HEADINGS: usize = 1;
pub(crate) const BODY: usize = 2;

/// Whether words are looked for in a field: title, headings, body, URL.
pub(crate) fn serves(scope: Scope, field: usize) -> bool {
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
pub(crate) struct Weighed {
    pub(crate) words: Vec<String>,
    pub(crate) scope: Scope,
    pub(crate) optional: bool,
    /// Inverse document frequency, times the term's count in the query.
    pub(crate) weight: f32,
    /// Pages that have a word of it, by field.
    pub(crate) pages: [u64; 4],
    /// At least so many in all.
    pub(crate) frequency: u64,
}

/// The scored terms of a query, and how many of them a page should have.
pub(crate) fn weigh(
    vocabulary: &dyn Vocabulary,
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
    let mut spellings: Vec<String> = spellings.cloned().collect();
    spellings.sort_unstable();
    spellings.dedup();
    let mut known: HashMap<String, WordPages> = HashMap::new();
    if !spellings.is_empty() {
        known = vocabulary.pages_with(&spellings)?;
    }
    let mut weighed = Vec::new();
    for term in terms {
        let words = if term.prefix {
            expand(vocabulary, term, &mut known)?
        } else {
            term.spellings.clone()
        };
        let mut pages = [0; 4];
        let mut frequency = 0;
        for word in &words {
            let of_word = known.get(word).copied().unwrap_or_default();
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
    vocabulary: &dyn Vocabulary,
    term: &Term,
    known: &mut HashMap<String, WordPages>,
) -> Result<Vec<String>, SearchError> {
    let mut found: HashMap<String, WordPages> = HashMap::new();
    for spelling in &term.spellings {
        found.extend(vocabulary.beginning_with(spelling, term.scope)?);
    }
    let of = |pages: &WordPages| -> u64 {
        let fields = (0..4).filter(|field| serves(term.scope, *field));
        fields.map(|field| pages[field]).sum()
    };
    let mut words: Vec<(String, WordPages)> = found.into_iter().collect();
    words.retain(|(_, pages)| of(pages) > 0);
    words.sort_by(|a, b| of(&b.1).cmp(&of(&a.1)).then_with(|| a.0.cmp(&b.0)));
    words.truncate(PREFIX_WORDS_MAX);
    let words = words.into_iter().map(|(word, pages)| {
        known.insert(word.clone(), pages);
        word
    });
    Ok(words.collect())
}
