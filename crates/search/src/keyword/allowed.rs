//! Which pages a search may find: filters, required phrases, excluded words.

use std::collections::HashSet;

use tantivy::query::{
    AllQuery, BooleanQuery, EnableScoring, Occur, PhraseQuery, Query as _, TermQuery, Weight,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocId, SegmentReader, Term as IndexTerm};
use types::PageId;

use super::schema::{Fields, PAGE_COLUMN};
use super::terms::scope_fields;
use crate::error::SearchError;
use crate::query::{Phrase, Query};

/// Pages that may be found: one bit set per segment, or all live ones.
#[derive(Debug)]
pub(crate) struct Allowed {
    segments: Vec<Option<BitSet>>,
}

impl Allowed {
    pub(super) fn contains(&self, segment: usize, reader: &SegmentReader, doc: DocId) -> bool {
        !reader.is_deleted(doc)
            && self.segments[segment]
                .as_ref()
                .is_none_or(|set| set.contains(doc))
    }

    /// The ids of the pages; `None` when no filter limits them.
    pub(crate) fn pages(
        &self,
        searcher: &tantivy::Searcher,
    ) -> Result<Option<HashSet<PageId>>, SearchError> {
        if self.segments.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut pages: HashSet<PageId> = HashSet::new();
        for (segment, reader) in searcher.segment_readers().iter().enumerate() {
            let column = reader.fast_fields().i64(PAGE_COLUMN)?;
            for doc in reader.doc_ids_alive() {
                if self.contains(segment, reader, doc) {
                    pages.extend(column.first(doc).map(PageId));
                }
            }
        }
        Ok(Some(pages))
    }
}

/// Applies filters, required phrases and excluded words.
pub(crate) fn allowed(
    searcher: &tantivy::Searcher,
    fields: &Fields,
    filters: Vec<Box<dyn tantivy::query::Query>>,
    query: &Query,
) -> Result<Allowed, SearchError> {
    let mut required: Vec<(Occur, Box<dyn tantivy::query::Query>)> = filters
        .into_iter()
        .map(|filter| (Occur::Must, filter))
        .collect();
    for phrase in &query.required {
        required.push((Occur::Must, phrase_query(phrase, fields)));
    }
    if query.excluded.is_empty() && required.is_empty() {
        return Ok(Allowed {
            segments: vec![None; searcher.segment_readers().len()],
        });
    }
    if required.is_empty() {
        required.push((Occur::Must, Box::new(AllQuery)));
    }
    let scoring = EnableScoring::disabled_from_searcher(searcher);
    let required = BooleanQuery::new(required).weight(scoring)?;
    // Taken away by hand: tantivy 0.27 seeks backwards in an excluded phrase
    // that stands in a later page only.
    let mut excluded = Vec::new();
    for phrase in &query.excluded {
        excluded.push(phrase_query(phrase, fields).weight(scoring)?);
    }
    let mut segments = Vec::new();
    for reader in searcher.segment_readers() {
        let mut without = BitSet::with_max_value(reader.max_doc());
        for weight in &excluded {
            collect(weight.as_ref(), reader, |doc| {
                without.insert(doc);
            })?;
        }
        let mut set = BitSet::with_max_value(reader.max_doc());
        collect(required.as_ref(), reader, |doc| {
            if !without.contains(doc) {
                set.insert(doc);
            }
        })?;
        segments.push(Some(set));
    }
    Ok(Allowed { segments })
}

fn collect(
    weight: &dyn Weight,
    reader: &SegmentReader,
    mut found: impl FnMut(DocId),
) -> Result<(), SearchError> {
    weight.for_each_no_score(reader, &mut |docs| {
        for doc in docs {
            found(*doc);
        }
    })?;
    Ok(())
}

fn phrase_query(phrase: &Phrase, fields: &Fields) -> Box<dyn tantivy::query::Query> {
    let mut any: Vec<(Occur, Box<dyn tantivy::query::Query>)> = Vec::new();
    for (field, _) in scope_fields(phrase.scope, fields) {
        any.push((
            Occur::Should,
            phrase_in_field(phrase, field, field == fields.url_words),
        ));
    }
    Box::new(BooleanQuery::new(any))
}

/// Spelling variants of one phrase are tried one language at a time: the nth
/// spelling of every word, words with fewer spellings keeping their first.
fn phrase_in_field(
    phrase: &Phrase,
    field: Field,
    no_positions: bool,
) -> Box<dyn tantivy::query::Query> {
    let exact = |text: &str| -> Box<dyn tantivy::query::Query> {
        Box::new(TermQuery::new(
            IndexTerm::from_field_text(field, text),
            IndexRecordOption::Basic,
        ))
    };
    let variants = phrase
        .words
        .iter()
        .map(|(_, spellings)| spellings.len())
        .max()
        .unwrap_or(0);
    let mut any: Vec<(Occur, Box<dyn tantivy::query::Query>)> = Vec::new();
    for n in 0..variants {
        let words: Vec<(usize, &str)> = phrase
            .words
            .iter()
            .map(|(at, spellings)| {
                (
                    *at as usize,
                    spellings.get(n).unwrap_or(&spellings[0]).as_str(),
                )
            })
            .collect();
        let query: Box<dyn tantivy::query::Query> = if words.len() == 1 {
            exact(words[0].1)
        } else if no_positions {
            let all = words
                .iter()
                .map(|(_, word)| (Occur::Must, exact(word)))
                .collect();
            Box::new(BooleanQuery::new(all))
        } else {
            let terms = words
                .iter()
                .map(|(at, word)| (*at, IndexTerm::from_field_text(field, word)))
                .collect();
            Box::new(PhraseQuery::new_with_offset(terms))
        };
        any.push((Occur::Should, query));
    }
    Box::new(BooleanQuery::new(any))
}
