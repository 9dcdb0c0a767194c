//! What a page is about, as typed facts: an article, a product or a job.

use std::fmt;

use crate::Timestamp;

/// Kinds of things that pages describe and people filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// An article of a newspaper, magazine or blog.
    News,
    /// Something for sale.
    Product,
    /// A job posting.
    Job,
}

impl RecordKind {
    pub const ALL: [RecordKind; 3] = [RecordKind::News, RecordKind::Product, RecordKind::Job];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RecordKind::News => "news",
            RecordKind::Product => "product",
            RecordKind::Job => "job",
        }
    }

    /// The kind of this name, as [`RecordKind::as_str`] spells it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<RecordKind> {
        RecordKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The facts of one page. A fact that the page does not state is `None`;
/// which facts a kind may have is up to the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub kind: RecordKind,
    /// Headline, product name or job title.
    pub name: Option<String>,
    /// Section of a newspaper, class of a product, occupation of a job.
    pub category: Option<String>,
    pub author: Option<String>,
    /// When an article was published or a job was posted.
    pub published_at: Option<Timestamp>,
    /// When a job closes or a price ends.
    pub expires_at: Option<Timestamp>,
    pub brand: Option<String>,
    /// The seller's number of the product.
    pub sku: Option<String>,
    /// Units of `currency`; the lowest of several offers.
    pub price: Option<f64>,
    /// ISO 4217, upper case.
    pub currency: Option<String>,
    pub availability: Option<Availability>,
    /// Who hires.
    pub company: Option<String>,
    /// As a person would write it: `Utrecht, NL`.
    pub location: Option<String>,
    /// May be done from anywhere.
    pub remote: Option<bool>,
    /// `full_time`, `part_time`, `contractor`, `temporary`, `intern`, … lower case.
    pub employment_type: Option<String>,
    pub salary: Option<Salary>,
    /// At most [`SKILLS_MAX`], in the page's order, without repeats.
    pub skills: Vec<String>,
}

/// Skills kept of one posting.
pub const SKILLS_MAX: usize = 50;

/// Bytes kept of one fact that is text, and of one skill.
pub const FACT_BYTES_MAX: usize = 500;

/// Prices and salaries above this are a mistake of the page. A million billion
/// is more than one thing costs in any currency, and still exact in an `f64`.
pub const AMOUNT_MAX: f64 = 1e15;

impl Record {
    #[must_use]
    pub fn new(kind: RecordKind) -> Record {
        Record {
            kind,
            name: None,
            category: None,
            author: None,
            published_at: None,
            expires_at: None,
            brand: None,
            sku: None,
            price: None,
            currency: None,
            availability: None,
            company: None,
            location: None,
            remote: None,
            employment_type: None,
            salary: None,
            skills: Vec::new(),
        }
    }
}

/// Whether a product can be had: schema.org's `ItemAvailability`, grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Availability {
    InStock,
    /// Few are left.
    Limited,
    PreOrder,
    BackOrder,
    OutOfStock,
    Discontinued,
}

impl Availability {
    pub const ALL: [Availability; 6] = [
        Availability::InStock,
        Availability::Limited,
        Availability::PreOrder,
        Availability::BackOrder,
        Availability::OutOfStock,
        Availability::Discontinued,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Availability::InStock => "in_stock",
            Availability::Limited => "limited",
            Availability::PreOrder => "pre_order",
            Availability::BackOrder => "back_order",
            Availability::OutOfStock => "out_of_stock",
            Availability::Discontinued => "discontinued",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Availability> {
        Availability::ALL.into_iter().find(|a| a.as_str() == name)
    }
}

/// What a job pays, as the posting states it. At least one bound is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Salary {
    /// Units of `currency` per `period`.
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// ISO 4217, upper case.
    pub currency: Option<String>,
    pub period: Option<SalaryPeriod>,
}

impl Salary {
    /// The bounds for a year of full-time work, which makes postings
    /// comparable; a posting that states no period is taken to mean the year.
    #[must_use]
    pub fn per_year(&self) -> (Option<f64>, Option<f64>) {
        let times = self.period.map_or(1.0, SalaryPeriod::per_year);
        (self.min.map(|m| m * times), self.max.map(|m| m * times))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SalaryPeriod {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl SalaryPeriod {
    pub const ALL: [SalaryPeriod; 5] = [
        SalaryPeriod::Hour,
        SalaryPeriod::Day,
        SalaryPeriod::Week,
        SalaryPeriod::Month,
        SalaryPeriod::Year,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SalaryPeriod::Hour => "hour",
            SalaryPeriod::Day => "day",
            SalaryPeriod::Week => "week",
            SalaryPeriod::Month => "month",
            SalaryPeriod::Year => "year",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<SalaryPeriod> {
        SalaryPeriod::ALL.into_iter().find(|p| p.as_str() == name)
    }

    /// How many of them a year of full-time work has: 52 weeks of 5 days of 8 hours.
    fn per_year(self) -> f64 {
        match self {
            SalaryPeriod::Hour => 2_080.0,
            SalaryPeriod::Day => 260.0,
            SalaryPeriod::Week => 52.0,
            SalaryPeriod::Month => 12.0,
            SalaryPeriod::Year => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in RecordKind::ALL {
            assert_eq!(RecordKind::from_name(kind.as_str()), Some(kind));
        }
        for availability in Availability::ALL {
            assert_eq!(
                Availability::from_name(availability.as_str()),
                Some(availability)
            );
        }
        for period in SalaryPeriod::ALL {
            assert_eq!(SalaryPeriod::from_name(period.as_str()), Some(period));
        }
        assert_eq!(RecordKind::from_name("News"), None);
    }

    #[test]
    fn salaries_are_compared_by_the_year() {
        let mut salary = Salary {
            min: Some(20.0),
            max: None,
            currency: None,
            period: Some(SalaryPeriod::Hour),
        };
        assert_eq!(salary.per_year(), (Some(41_600.0), None));
        salary.period = None;
        assert_eq!(salary.per_year(), (Some(20.0), None));
    }
}
