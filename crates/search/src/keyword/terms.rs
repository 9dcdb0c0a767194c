//! What the words of a query are worth: the fields they may stand in, the
//! words a prefix stands for, and how rare they are in the tenant's pages.

use std::collections::HashMap;

use tantivy::Term as IndexTerm;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::schema::Field;

use super::Ranking;
use super::corpus::Corpus;
use super::schema::Fields;
use crate::error::SearchError;
use crate::query::{Scope, Term};

/// Words that a prefix stands for, the most frequent first.
const PREFIX_WORDS_MAX: usize = 64;
/// The tenant's words looked at to find them, per segment and field.
const PREFIX_SCAN_MAX: usize = 4096;
/// What all prefixes of a search may cost where other tenants' words stand
/// between the tenant's, in postings read: 100 to 200 ms. Half a million words
/// begin with a prefix before it stands for fewer of the tenant's than it would alone.
const SHARED_SCAN_MAX: u64 = 1 << 25;
/// Opening a word's postings costs as much as reading so many.
const WORD_COST: u64 = 64;

pub(super) fn scope_fields(scope: Scope, fields: &Fields) -> Vec<(Field, Scope)> {
    let all = [
        (fields.title, Scope::Title),
        (fields.headings, Scope::Headings),
        (fields.body, Scope::Body),
        (fields.url_words, Scope::Url),
    ];
    all.into_iter()
        .filter(|(_, field_scope)| scope == Scope::Anywhere || scope == *field_scope)
        .collect()
}

/// A field's part in a term's frequency.
pub(super) struct FieldShare {
    scope: Scope,
    pub(super) field: Field,
    weight: f32,
    b: f32,
    average_tokens: f32,
}

impl FieldShare {
    pub(super) fn serves(&self, scope: Scope) -> bool {
        scope == Scope::Anywhere || scope == self.scope
    }

    /// What one occurrence counts, by tantivy's code of the field's length:
    /// one division per code instead of one per posting.
    pub(super) fn by_length(&self) -> Vec<f32> {
        let counts = (0..=u8::MAX).map(|code| {
            let tokens = FieldNormReader::id_to_fieldnorm(code) as f32;
            self.weight / (1.0 - self.b + self.b * tokens / self.average_tokens)
        });
        counts.collect()
    }
}

/// A term with its index words and weight, ready to be scored in any segment.
pub(super) struct Weighed<'q> {
    pub(super) term: &'q Term,
    pub(super) words: Vec<String>,
    /// Inverse document frequency, times the term's count in the query.
    pub(super) weight: f32,
}

pub(super) fn field_shares(corpus: &Corpus, fields: &Fields, ranking: &Ranking) -> Vec<FieldShare> {
    let shares = scope_fields(Scope::Anywhere, fields).into_iter();
    let shares = shares.map(|(field, scope)| {
        let (weight, b) = match scope {
            Scope::Title => (ranking.weight_title, ranking.b_short),
            Scope::Headings => (ranking.weight_headings, ranking.b_short),
            Scope::Url => (ranking.weight_url, ranking.b_short),
            Scope::Body | Scope::Anywhere => (1.0, ranking.b_body),
        };
        FieldShare {
            scope,
            field,
            weight,
            b,
            average_tokens: corpus.average_tokens(fields, field),
        }
    });
    shares.collect()
}

/// Looks the terms of one query up.
pub(super) struct Weigher<'a> {
    searcher: &'a tantivy::Searcher,
    fields: &'a Fields,
    ranking: &'a Ranking,
    corpus: &'a Corpus,
    /// What is left of [`SHARED_SCAN_MAX`].
    scan: u64,
}

impl<'a> Weigher<'a> {
    pub(super) fn new(
        searcher: &'a tantivy::Searcher,
        fields: &'a Fields,
        ranking: &'a Ranking,
        corpus: &'a Corpus,
    ) -> Weigher<'a> {
        Weigher {
            searcher,
            fields,
            ranking,
            corpus,
            scan: SHARED_SCAN_MAX,
        }
    }

    /// The term ready to be scored; `None` when no page of the tenant has it.
    pub(super) fn weigh<'q>(&mut self, term: &'q Term) -> Result<Option<Weighed<'q>>, SearchError> {
        let words = if term.prefix {
            self.expand_prefix(term)?
        } else {
            term.spellings.clone()
        };
        let mut frequency = 0;
        for word in &words {
            // A page can have the word in several fields: the largest count is
            // the closest that needs no sets of pages.
            let mut largest = 0;
            for (field, _) in scope_fields(term.scope, self.fields) {
                let index_term = IndexTerm::from_field_text(field, word);
                largest = largest.max(self.corpus.frequency(self.searcher, &index_term)?);
            }
            frequency += largest;
        }
        if frequency == 0 {
            return Ok(None);
        }
        let pages = self.corpus.pages;
        let frequency = frequency.min(pages) as f32;
        let idf = (1.0 + (pages as f32 - frequency + 0.5) / (frequency + 0.5)).ln();
        let kind = if term.optional {
            self.ranking.weight_optional
        } else {
            1.0
        };
        Ok(Some(Weighed {
            term,
            words,
            weight: idf * kind * term.count as f32,
        }))
    }

    fn expand_prefix(&mut self, term: &Term) -> Result<Vec<String>, SearchError> {
        let mut found: HashMap<String, u64> = HashMap::new();
        for spelling in &term.spellings {
            for segment in 0..self.searcher.segment_readers().len() {
                for (field, _) in scope_fields(term.scope, self.fields) {
                    self.scan_words(segment, field, spelling, &mut found)?;
                }
            }
        }
        let mut words: Vec<(String, u64)> = found.into_iter().collect();
        words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        words.truncate(PREFIX_WORDS_MAX);
        Ok(words.into_iter().map(|(word, _)| word).collect())
    }

    /// Adds the tenant's words of one segment and field that begin with
    /// `prefix` to `found`, with the number of its pages that have them.
    fn scan_words(
        &mut self,
        segment: usize,
        field: Field,
        prefix: &str,
        found: &mut HashMap<String, u64>,
    ) -> Result<(), SearchError> {
        let reader = self.searcher.segment_reader(segment as u32);
        let inverted = reader.inverted_index(field)?;
        let range = inverted.terms().range().ge(prefix.as_bytes());
        let mut stream = range.into_stream()?;
        let mut words = 0;
        while words < PREFIX_SCAN_MAX
            && stream.advance()
            && stream.key().starts_with(prefix.as_bytes())
        {
            let info = stream.value();
            if self.corpus.is_shared() {
                let cost = WORD_COST + u64::from(info.doc_freq);
                let Some(left) = self.scan.checked_sub(cost) else {
                    break;
                };
                self.scan = left;
            }
            let frequency = self.corpus.frequency_in(segment, &inverted, info)?;
            if frequency == 0 {
                continue;
            }
            words += 1;
            if let Ok(word) = std::str::from_utf8(stream.key()) {
                *found.entry(word.to_owned()).or_default() += frequency;
            }
        }
        Ok(())
    }
}
