//! A page's record: what it is about, as typed facts. Shown by the API and
//! `--json`, and read back from bulk imports.

use serde::{Deserialize, Serialize};
use store::{PageNotes, RecordRow};
use types::{
    AMOUNT_MAX, Availability, FACT_BYTES_MAX, Record, RecordKind, SKILLS_MAX, Salary, SalaryPeriod,
    Timestamp,
};
use utoipa::ToSchema;

use super::{FacetView, FieldName, NotesView, Selected, rfc3339};

/// What a page is about. A fact that the page does not state is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordView {
    /// `news`, `product` or `job`.
    pub kind: String,
    /// Headline, product name or job title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Section of a newspaper, class of a product, occupation of a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When an article was published or a job was posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub published_at: Option<String>,
    /// When a job closes or a price ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// The seller's number of the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// Units of `currency`; the lowest of several offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub price: Option<f64>,
    /// ISO 4217, upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// `in_stock`, `limited`, `pre_order`, `back_order`, `out_of_stock` or `discontinued`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<String>,
    /// Who hires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// As a person would write it: `Utrecht, NL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// May be done from anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<bool>,
    /// `full_time`, `part_time`, `contractor`, `temporary`, `intern`, … lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub employment_type: Option<String>,
    /// Units of `salary_currency` per `salary_period`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub salary_min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub salary_max: Option<f64>,
    /// ISO 4217, upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salary_currency: Option<String>,
    /// `hour`, `day`, `week`, `month` or `year`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salary_period: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 50)]
    pub skills: Vec<String>,
}

/// A record with its page and what people noted about it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RecordRowView {
    pub page_id: i64,
    pub url: String,
    pub title: String,
    pub source: i64,
    #[schema(format = DateTime)]
    pub first_seen_at: String,
    #[schema(format = DateTime)]
    pub changed_at: String,
    pub record: RecordView,
    pub notes: Option<NotesView>,
}

// Named, since utoipa composes the schemas of generic types itself.
type SelectedRecord = Selected<RecordRowView>;
pub type RecordField = FieldName<RecordRowView>;

/// A part of a list of records.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RecordListView {
    pub records: Vec<SelectedRecord>,
    /// For `cursor`, when there may be more.
    pub next: Option<String>,
    /// All that fit; counted when facets are asked for.
    pub total: Option<u64>,
    /// As asked for.
    pub facets: Vec<FacetView>,
}

impl RecordRowView {
    pub fn new(row: &RecordRow, notes: Option<&PageNotes>) -> RecordRowView {
        let page = &row.page;
        RecordRowView {
            page_id: page.id.0,
            url: page.url.clone(),
            title: page.title.clone(),
            source: page.source.0,
            first_seen_at: rfc3339(page.first_seen_at),
            changed_at: rfc3339(page.changed_at),
            record: RecordView::from(&row.record),
            notes: notes.map(NotesView::new),
        }
    }
}

impl From<&Record> for RecordView {
    fn from(record: &Record) -> RecordView {
        let salary = record.salary.as_ref();
        RecordView {
            kind: record.kind.as_str().to_owned(),
            name: record.name.clone(),
            category: record.category.clone(),
            author: record.author.clone(),
            published_at: record.published_at.map(rfc3339),
            expires_at: record.expires_at.map(rfc3339),
            brand: record.brand.clone(),
            sku: record.sku.clone(),
            price: record.price,
            currency: record.currency.clone(),
            availability: record.availability.map(|a| a.as_str().to_owned()),
            company: record.company.clone(),
            location: record.location.clone(),
            remote: record.remote,
            employment_type: record.employment_type.clone(),
            salary_min: salary.and_then(|salary| salary.min),
            salary_max: salary.and_then(|salary| salary.max),
            salary_currency: salary.and_then(|salary| salary.currency.clone()),
            salary_period: salary
                .and_then(|salary| salary.period)
                .map(|period| period.as_str().to_owned()),
            skills: record.skills.clone(),
        }
    }
}

/// Reads what somebody handed in. White space is folded and repeated skills
/// are dropped; anything else that a record cannot hold is an error that names
/// the field.
impl TryFrom<&RecordView> for Record {
    type Error = String;

    fn try_from(view: &RecordView) -> Result<Record, String> {
        let kind = one_of(
            "kind",
            &view.kind,
            RecordKind::from_name,
            RecordKind::ALL.map(RecordKind::as_str),
        )?;
        Ok(Record {
            kind,
            name: text("name", view.name.as_deref())?,
            category: text("category", view.category.as_deref())?,
            author: text("author", view.author.as_deref())?,
            published_at: time("published_at", view.published_at.as_deref())?,
            expires_at: time("expires_at", view.expires_at.as_deref())?,
            brand: text("brand", view.brand.as_deref())?,
            sku: text("sku", view.sku.as_deref())?,
            price: amount("price", view.price)?,
            currency: currency("currency", view.currency.as_deref())?,
            availability: optional_one_of(
                "availability",
                view.availability.as_deref(),
                Availability::from_name,
                Availability::ALL.map(Availability::as_str),
            )?,
            company: text("company", view.company.as_deref())?,
            location: text("location", view.location.as_deref())?,
            remote: view.remote,
            employment_type: employment_type(view.employment_type.as_deref())?,
            salary: salary(view)?,
            skills: skills(&view.skills)?,
        })
    }
}

fn folded(field: &str, text: &str) -> Result<String, String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.len() > FACT_BYTES_MAX {
        return Err(format!(
            "{field}: {} bytes are too many; {FACT_BYTES_MAX} at most",
            text.len()
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{field}: holds a control character"));
    }
    Ok(text)
}

/// An empty text states nothing.
fn text(field: &str, value: Option<&str>) -> Result<Option<String>, String> {
    let text = value.map(|value| folded(field, value)).transpose()?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn time(field: &str, value: Option<&str>) -> Result<Option<Timestamp>, String> {
    value
        .map(|value| {
            let at: jiff::Timestamp = value.parse().map_err(|_| {
                format!(
                    "{field}: `{}` is no time; write RFC 3339: 2026-01-31T12:00:00Z",
                    shortened(value)
                )
            })?;
            Ok(Timestamp(at.as_millisecond()))
        })
        .transpose()
}

fn amount(field: &str, value: Option<f64>) -> Result<Option<f64>, String> {
    match value {
        Some(value) if !(0.0..=AMOUNT_MAX).contains(&value) => {
            Err(format!("{field}: an amount is 0 to 1e15, not {value}"))
        }
        _ => Ok(value),
    }
}

fn currency(field: &str, value: Option<&str>) -> Result<Option<String>, String> {
    match value {
        Some(code) if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase()) => {
            Err(format!(
                "{field}: `{}` is no currency; write three upper-case letters (ISO 4217): EUR",
                shortened(code)
            ))
        }
        _ => Ok(value.map(str::to_owned)),
    }
}

fn employment_type(value: Option<&str>) -> Result<Option<String>, String> {
    let value = text("employment_type", value)?;
    match value {
        Some(value)
            if !value
                .chars()
                .all(|c| c == '_' || (c.is_alphanumeric() && !c.is_uppercase())) =>
        {
            Err(format!(
                "employment_type: `{}` holds more than lower-case letters, digits and `_`; \
                 write for example full_time",
                shortened(&value)
            ))
        }
        _ => Ok(value),
    }
}

fn salary(view: &RecordView) -> Result<Option<Salary>, String> {
    let min = amount("salary_min", view.salary_min)?;
    let max = amount("salary_max", view.salary_max)?;
    let currency = currency("salary_currency", view.salary_currency.as_deref())?;
    let period = optional_one_of(
        "salary_period",
        view.salary_period.as_deref(),
        SalaryPeriod::from_name,
        SalaryPeriod::ALL.map(SalaryPeriod::as_str),
    )?;
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        return Err(format!("salary_min: {min} is more than salary_max, {max}"));
    }
    if min.is_some() || max.is_some() {
        return Ok(Some(Salary {
            min,
            max,
            currency,
            period,
        }));
    }
    let without_amount = match (currency, period) {
        (Some(_), _) => "salary_currency",
        (None, Some(_)) => "salary_period",
        (None, None) => return Ok(None),
    };
    Err(format!(
        "{without_amount}: says nothing without salary_min or salary_max"
    ))
}

fn skills(values: &[String]) -> Result<Vec<String>, String> {
    if values.len() > SKILLS_MAX {
        return Err(format!(
            "skills: {} are too many; {SKILLS_MAX} at most",
            values.len()
        ));
    }
    let mut skills: Vec<String> = Vec::with_capacity(values.len());
    for value in values {
        let skill = folded("skills", value)?;
        if !skill.is_empty() && !skills.contains(&skill) {
            skills.push(skill);
        }
    }
    Ok(skills)
}

fn optional_one_of<T, const N: usize>(
    field: &str,
    value: Option<&str>,
    read: fn(&str) -> Option<T>,
    names: [&str; N],
) -> Result<Option<T>, String> {
    value
        .map(|value| one_of(field, value, read, names))
        .transpose()
}

fn one_of<T, const N: usize>(
    field: &str,
    value: &str,
    read: fn(&str) -> Option<T>,
    names: [&str; N],
) -> Result<T, String> {
    read(value).ok_or_else(|| {
        let names = names.join(", ");
        format!("{field}: `{}` is none of {names}", shortened(value))
    })
}

/// Errors quote only the beginning of what is wrong.
fn shortened(value: &str) -> &str {
    &value[..value.floor_char_boundary(60)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Record {
        Record {
            name: Some("Weaver".to_owned()),
            published_at: Some(Timestamp(1_704_164_645_000)),
            remote: Some(false),
            employment_type: Some("full_time".to_owned()),
            salary: Some(Salary {
                min: Some(20.5),
                max: None,
                currency: Some("EUR".to_owned()),
                period: Some(SalaryPeriod::Hour),
            }),
            skills: vec!["loom".to_owned(), "dyeing".to_owned()],
            ..Record::new(RecordKind::Job)
        }
    }

    #[test]
    fn a_record_is_flat_and_is_read_back() {
        let view = RecordView::from(&job());
        let json = serde_json::to_value(&view).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "kind": "job", "name": "Weaver", "published_at": "2024-01-02T03:04:05Z",
                "remote": false, "employment_type": "full_time", "salary_min": 20.5,
                "salary_currency": "EUR", "salary_period": "hour", "skills": ["loom", "dyeing"],
            })
        );
        let read: RecordView = serde_json::from_value(json).expect("the same JSON");
        assert_eq!(Record::try_from(&read), Ok(job()));

        let product = Record {
            price: Some(12.5),
            currency: Some("USD".to_owned()),
            availability: Some(Availability::PreOrder),
            ..Record::new(RecordKind::Product)
        };
        assert_eq!(Record::try_from(&RecordView::from(&product)), Ok(product));
    }

    /// Reads one JSON object; the error as a caller would see it.
    fn check(json: serde_json::Value, problem: Option<&str>) {
        let text = json.to_string();
        let read = serde_json::from_value::<RecordView>(json)
            .map_err(|error| error.to_string())
            .and_then(|view| Record::try_from(&view));
        match problem {
            None => assert!(read.is_ok(), "{text}: {read:?}"),
            Some(problem) => {
                let error = read.expect_err(&text);
                assert!(error.contains(problem), "{text}: {error}");
            }
        }
    }

    #[test]
    fn what_no_record_can_hold_is_refused_by_name() {
        use serde_json::json;
        check(json!({"kind": "news"}), None);
        check(json!({"kind": "news", "name": null, "skills": []}), None);
        check(json!({"kind": "article"}), Some("kind: `article` is none"));
        check(json!({"name": "x"}), Some("missing field `kind`"));
        check(json!({"kind": "job", "pay": 1}), Some("`pay`"));
        check(json!({"kind": "job", "remote": "yes"}), Some("boolean"));
        let with = |field: &str, value: serde_json::Value| {
            let mut json = json!({"kind": "job", "salary_max": 10});
            json[field] = value;
            json
        };
        check(
            with("published_at", json!("yesterday")),
            Some("published_at: "),
        );
        check(
            with("published_at", json!("2024-01-02T03:04:05+03:30")),
            None,
        );
        check(with("price", json!(-1)), Some("price: "));
        check(with("price", json!(1e16)), Some("price: "));
        check(with("currency", json!("eur")), Some("currency: "));
        check(
            with("salary_currency", json!("€")),
            Some("salary_currency: "),
        );
        check(
            with("salary_min", json!(11)),
            Some("salary_min: 11 is more"),
        );
        check(
            with("salary_period", json!("fortnight")),
            Some("salary_period: "),
        );
        check(
            with("employment_type", json!("FULL_TIME")),
            Some("employment_type: "),
        );
        check(with("employment_type", json!("تمام_وقت")), None);
        check(
            with("availability", json!("InStock")),
            Some("availability: "),
        );
        check(
            with("name", json!("x".repeat(501))),
            Some("name: 501 bytes"),
        );
        check(
            with("name", json!("a\u{0}b")),
            Some("name: holds a control"),
        );
        check(
            with("skills", json!(vec!["x"; 51])),
            Some("skills: 51 are too many"),
        );
        check(
            json!({"kind": "job", "salary_period": "year"}),
            Some("salary_period: says nothing without"),
        );
    }

    #[test]
    fn white_space_is_folded_and_skills_are_not_repeated() {
        let view = RecordView {
            kind: "job".to_owned(),
            name: Some("  Head \n weaver ".to_owned()),
            company: Some(" ".to_owned()),
            skills: ["loom", " loom ", ""].map(str::to_owned).to_vec(),
            ..RecordView::default()
        };
        let record = Record::try_from(&view).expect("a record");
        assert_eq!(record.name.as_deref(), Some("Head weaver"));
        assert_eq!(record.company, None);
        assert_eq!(record.skills, ["loom"]);
    }
}
