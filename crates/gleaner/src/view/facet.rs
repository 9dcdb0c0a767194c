//! Counts of values, to choose filters from.

use serde::Serialize;
use utoipa::ToSchema;

/// How many of what was found have each value of a fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FacetView {
    /// The name of the fact, and of the filter for it.
    pub name: String,
    /// The most frequent first.
    pub values: Vec<FacetValue>,
    /// Different values, the listed ones among them.
    pub distinct: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FacetValue {
    pub value: String,
    pub count: u64,
}

impl FacetView {
    fn new(name: &str, values: &[(String, u64)], distinct: u64) -> FacetView {
        let values = values.iter().map(|(value, count)| FacetValue {
            value: value.clone(),
            count: *count,
        });
        FacetView {
            name: name.to_owned(),
            values: values.collect(),
            distinct,
        }
    }
}

impl From<&store::FacetCounts> for FacetView {
    fn from(counts: &store::FacetCounts) -> FacetView {
        FacetView::new(counts.facet.as_str(), &counts.values, counts.distinct)
    }
}

impl From<&search::FacetCounts> for FacetView {
    fn from(counts: &search::FacetCounts) -> FacetView {
        FacetView::new(counts.facet, &counts.values, counts.distinct)
    }
}
