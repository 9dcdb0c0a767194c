//! Counting what records say.

use std::collections::HashMap;

use types::{Availability, RecordKind};

use super::{Conditions, from_code};
use crate::codec;
use crate::error::Failure;
use crate::shard::Shard;
use crate::sql::{Connection, Row};
use crate::{Facet, FacetCounts, RecordFilter, Store, StoreError};

/// Different values of one fact that are counted; what comes after them is not
/// listed. Bounds memory, and nobody reads such a list.
const DISTINCT_MAX: usize = 50_000;

impl Store {
    /// How many records fit, and the most frequent `values_max` values of each
    /// of `facets` among them.
    pub fn record_facets(
        &self,
        filter: &RecordFilter,
        facets: &[Facet],
        values_max: usize,
    ) -> Result<(u64, Vec<FacetCounts>), StoreError> {
        let counted = |shard: &Shard, listed| {
            shard.read("count records", |connection| {
                count(connection, filter, facets, listed)
            })
        };
        if let [only] = self.shards_held() {
            return counted(only, values_max);
        }
        // The most frequent of one database are not those of all.
        let counted = self.gather(|shard| counted(shard, DISTINCT_MAX))?;
        Ok(added(counted, facets, values_max))
    }
}

/// The counts of several databases as one.
fn added(
    counted: Vec<(u64, Vec<FacetCounts>)>,
    facets: &[Facet],
    values_max: usize,
) -> (u64, Vec<FacetCounts>) {
    let mut total = 0;
    let mut values: Vec<HashMap<String, u64>> = facets.iter().map(|_| HashMap::new()).collect();
    for (records, counts) in counted {
        total += records;
        for (sums, counts) in values.iter_mut().zip(counts) {
            for (value, count) in counts.values {
                *sums.entry(value).or_default() += count;
            }
        }
    }
    let counts = facets.iter().zip(values);
    let counts = counts.map(|(facet, sums)| FacetCounts::of(*facet, sums, values_max));
    (total, counts.collect())
}

fn count(
    connection: &Connection,
    filter: &RecordFilter,
    facets: &[Facet],
    values_max: usize,
) -> Result<(u64, Vec<FacetCounts>), Failure> {
    let conditions = Conditions::of(filter);
    let columns: Vec<&str> = facets.iter().map(|facet| column(*facet)).collect();
    let columns = if columns.is_empty() {
        "1".to_owned()
    } else {
        columns.join(", ")
    };
    let sql = format!("SELECT {columns} FROM records{}", conditions.sql);
    let mut tallies: Vec<Tally> = facets.iter().map(|_| Tally::default()).collect();
    let mut total = 0;
    connection.for_each(&sql, &conditions.parameters, |row| {
        total += 1;
        for (place, (facet, tally)) in facets.iter().zip(&mut tallies).enumerate() {
            tally.add(*facet, row, place)?;
        }
        Ok(())
    })?;
    let counts = facets.iter().zip(tallies);
    let counts = counts.map(|(facet, tally)| tally.counts(*facet, values_max));
    Ok((total, counts.collect::<Result<_, _>>()?))
}

fn column(facet: Facet) -> &'static str {
    match facet {
        Facet::Kind => "kind",
        Facet::Source => "source_id",
        Facet::Category => "category",
        Facet::Brand => "brand",
        Facet::Company => "company",
        Facet::Location => "location",
        Facet::EmploymentType => "employment_type",
        Facet::Remote => "remote",
        Facet::Availability => "availability",
        Facet::Currency => "ifnull(currency, salary_currency)",
        Facet::Author => "author",
        Facet::Skill => "skills",
    }
}

/// Counts of one fact's values, numbers as they are stored.
#[derive(Default)]
struct Tally {
    texts: HashMap<String, u64>,
    numbers: HashMap<i64, u64>,
}

impl Tally {
    fn add(&mut self, facet: Facet, row: &Row<'_>, place: usize) -> Result<(), Failure> {
        use crate::sql::ValueRef;
        match row.value(place)? {
            ValueRef::Integer(number) => add_one(&mut self.numbers, &number),
            ValueRef::Text(text) => {
                if facet == Facet::Skill {
                    for skill in codec::decode_strings(text)? {
                        add_one(&mut self.texts, skill.as_str());
                    }
                } else {
                    add_one(&mut self.texts, text);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn counts(self, facet: Facet, values_max: usize) -> Result<FacetCounts, Failure> {
        let mut values = self.texts;
        for (number, count) in self.numbers {
            let name = match facet {
                Facet::Kind => from_code(&RecordKind::ALL, number, "record kind")?.as_str(),
                Facet::Availability => {
                    from_code(&Availability::ALL, number, "availability")?.as_str()
                }
                Facet::Remote if number == 0 => "false",
                Facet::Remote => "true",
                _ => {
                    values.insert(number.to_string(), count);
                    continue;
                }
            };
            values.insert(name.to_owned(), count);
        }
        Ok(FacetCounts::of(facet, values, values_max))
    }
}

impl FacetCounts {
    fn of(facet: Facet, values: HashMap<String, u64>, values_max: usize) -> FacetCounts {
        let distinct = values.len() as u64;
        let mut values: Vec<(String, u64)> = values.into_iter().collect();
        values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(values_max);
        FacetCounts {
            facet,
            values,
            distinct,
        }
    }
}

fn add_one<Q, K>(counts: &mut HashMap<K, u64>, value: &Q)
where
    K: std::borrow::Borrow<Q> + std::hash::Hash + Eq,
    Q: std::hash::Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    if let Some(count) = counts.get_mut(value) {
        *count += 1;
    } else if counts.len() < DISTINCT_MAX {
        counts.insert(value.to_owned(), 1);
    }
}
