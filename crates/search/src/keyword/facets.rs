//! How often each value of a fact occurs among the pages that match.

use std::collections::HashMap;
use std::ops::Bound;

use tantivy::columnar::StrColumn;
use tantivy::{BitSet, DocId};

use super::schema::FACET_COLUMN;
use crate::engine::facets::{FacetCounts, SEPARATOR};
use crate::error::SearchError;

const BEHIND_SEPARATOR: char = ' ';

/// Pages, as one bit set per segment.
#[derive(Debug)]
pub(crate) struct Matched {
    segments: Vec<BitSet>,
}

impl Matched {
    pub(crate) fn none(searcher: &tantivy::Searcher) -> Matched {
        let readers = searcher.segment_readers().iter();
        Matched {
            segments: readers
                .map(|reader| BitSet::with_max_value(reader.max_doc()))
                .collect(),
        }
    }

    pub(super) fn insert(&mut self, segment: usize, doc: DocId) {
        self.segments[segment].insert(doc);
    }

    /// The most frequent `values_max` values of each of `facets`.
    pub(crate) fn count(
        &self,
        searcher: &tantivy::Searcher,
        facets: &[&'static str],
        values_max: usize,
    ) -> Result<Vec<FacetCounts>, SearchError> {
        let mut counts: HashMap<&str, HashMap<String, u64>> = facets
            .iter()
            .map(|facet| (*facet, HashMap::new()))
            .collect();
        for (reader, docs) in searcher.segment_readers().iter().zip(&self.segments) {
            let Some(column) = reader.fast_fields().str(FACET_COLUMN)? else {
                continue;
            };
            let mut by_entry = vec![0u64; column.num_terms()];
            for doc in reader.doc_ids_alive().filter(|doc| docs.contains(*doc)) {
                for entry in column.term_ords(doc) {
                    by_entry[entry as usize] += 1;
                }
            }
            for (name, values) in &mut counts {
                let entries = entries_of(&column, name)?;
                let found: Vec<u64> = entries
                    .filter(|entry| by_entry[*entry as usize] > 0)
                    .collect();
                let mut at = found.iter();
                // In one walk: to look each entry up would be a hundred times slower.
                column.dictionary().sorted_ords_to_term_cb(&found, |text| {
                    let value = text.get(name.len() + 1..).unwrap_or_default();
                    let value = String::from_utf8_lossy(value).into_owned();
                    let count = at.next().map_or(0, |entry| by_entry[*entry as usize]);
                    *values.entry(value).or_default() += count;
                })?;
            }
        }
        let sorted = facets.iter().map(|facet| {
            let values = counts.remove(*facet).unwrap_or_default();
            let distinct = values.len() as u64;
            let mut values: Vec<(String, u64)> = values.into_iter().collect();
            values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            values.truncate(values_max);
            FacetCounts {
                facet,
                values,
                distinct,
            }
        });
        Ok(sorted.collect())
    }
}

/// The entries of one fact, which lie side by side.
fn entries_of(column: &StrColumn, name: &str) -> Result<std::ops::Range<u64>, SearchError> {
    let from = format!("{name}{SEPARATOR}");
    let to = format!("{name}{BEHIND_SEPARATOR}");
    let bounds = column
        .dictionary()
        .term_bounds_to_ord(Bound::Included(from), Bound::Excluded(to))?;
    let entries = column.num_terms() as u64;
    let first = |bound| match bound {
        Bound::Included(entry) => entry,
        Bound::Excluded(entry) => entry + 1,
        Bound::Unbounded => 0,
    };
    let end = |bound| match bound {
        Bound::Included(entry) => entry + 1,
        Bound::Excluded(entry) => entry,
        Bound::Unbounded => entries,
    };
    let from = first(bounds.0).min(entries);
    Ok(from..end(bounds.1).clamp(from, entries))
}
