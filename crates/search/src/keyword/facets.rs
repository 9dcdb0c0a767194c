//! How often each value of a fact occurs among the pages that match.

use std::collections::HashMap;
use std::ops::Bound;

use tantivy::columnar::StrColumn;
use tantivy::{BitSet, DocId};
use types::Record;

use super::schema::FACET_COLUMN;
use crate::error::SearchError;

/// Between the name of a facet and its value.
const SEPARATOR: char = '\u{1f}';
const BEHIND_SEPARATOR: char = ' ';
/// Bytes of a value; a longer one is prose, nothing to choose from a list.
const VALUE_BYTES_MAX: usize = 256;

/// What can be counted, each under the name of the filter that asks for it.
pub const FACETS: &[&str] = &[
    "kind",
    "source",
    "host",
    "lang",
    "author",
    "category",
    "brand",
    "company",
    "location",
    "employment_type",
    "remote",
    "availability",
    "currency",
    "skill",
];

/// How many pages have each value of a fact, the most frequent first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetCounts {
    /// One of [`FACETS`].
    pub facet: &'static str,
    pub values: Vec<(String, u64)>,
    /// Different values, the listed ones among them.
    pub distinct: u64,
}

/// The facts of a record by name and value.
pub(super) fn of_record(record: &Record) -> impl Iterator<Item = (&'static str, &str)> {
    let currency = record.currency.as_deref();
    let pay = record.salary.as_ref().and_then(|s| s.currency.as_deref());
    let flag = record.remote.map(|r| if r { "true" } else { "false" });
    let facts = [
        ("kind", Some(record.kind.as_str())),
        ("author", record.author.as_deref()),
        ("category", record.category.as_deref()),
        ("brand", record.brand.as_deref()),
        ("company", record.company.as_deref()),
        ("location", record.location.as_deref()),
        ("employment_type", record.employment_type.as_deref()),
        ("remote", flag),
        (
            "availability",
            record.availability.map(types::Availability::as_str),
        ),
        ("currency", currency.or(pay)),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let skills = record.skills.iter().map(|skill| ("skill", skill.as_str()));
    facts.chain(skills)
}

/// As the index has it in its column; `None` for what nobody would choose from a list.
pub(super) fn entry(name: &str, value: &str) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= VALUE_BYTES_MAX;
    fits.then(|| format!("{name}{SEPARATOR}{value}"))
}

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
