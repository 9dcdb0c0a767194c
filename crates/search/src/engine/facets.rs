//! What can be counted among the pages that match.

use types::Record;

/// Between the name of a facet and its value.
pub(crate) const SEPARATOR: char = '\u{1f}';
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
pub(crate) fn of_record(record: &Record) -> impl Iterator<Item = (&'static str, &str)> {
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
pub(crate) fn entry(name: &str, value: &str) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= VALUE_BYTES_MAX;
    fits.then(|| format!("{name}{SEPARATOR}{value}"))
}
