//! Whatever a page states, its record stays within bounds.

use extract::RecordRules;
use proptest::prelude::*;
use serde_json::{Value, json};
use types::{AMOUNT_MAX, FACT_BYTES_MAX, Record, SKILLS_MAX};

use super::rules::rules;
use super::{page, record_of};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "Product",
            "JobPosting",
            "NewsArticle",
            "ProductGroup",
            "ItemList",
            "TELECOMMUTE",
            "1.299,00 €",
            "80-100k",
            "IRT",
            "EUR",
            "YEAR",
            "2024-01-02",
            "https://example.org/p/1",
            "https://schema.org/InStock",
            "&amp;&#0;<b>",
        ])
        .prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[0-9۰-۹.,' ٬٫k€$-]{0,30}".prop_map(Value::from),
        "(a, ){0,400}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 80, 8, |inner| {
        let key = prop::sample::select(vec![
            "@type", "@graph", "@id", "@value", "mainEntity", "mainEntityOfPage", "name", "title", "headline", "url",
            "offers", "price", "lowPrice", "priceCurrency", "priceSpecification", "availability", "hasVariant", "brand",
            "category", "sku", "baseSalary", "estimatedSalary", "value", "minValue", "maxValue", "unitText", "currency",
            "salaryCurrency", "jobLocation", "address", "addressLocality", "addressCountry", "employmentType", "skills",
            "hiringOrganization", "datePosted", "validThrough", "jobLocationType", "author", "articleSection",
        ]);
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            3 => prop::collection::vec((key, inner), 0..8)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>()),
        ]
    })
}

fn assert_in_bounds(record: &Record) {
    let texts = [
        &record.name,
        &record.category,
        &record.author,
        &record.brand,
        &record.sku,
        &record.company,
        &record.location,
        &record.employment_type,
    ];
    for text in texts.into_iter().flatten().chain(&record.skills) {
        assert!(!text.is_empty() && text.len() <= FACT_BYTES_MAX);
        assert_eq!(text.trim(), text);
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    assert!(record.skills.len() <= SKILLS_MAX);
    let salary = record.salary.iter();
    let amounts = salary.clone().flat_map(|salary| [salary.min, salary.max]);
    for amount in amounts.chain([record.price]).flatten() {
        assert!((0.0..=AMOUNT_MAX).contains(&amount));
    }
    let currencies = salary.clone().map(|salary| &salary.currency);
    for code in currencies.chain([&record.currency]).flatten() {
        assert!(code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()));
    }
    for salary in salary {
        assert!(salary.min.is_some() || salary.max.is_some());
        assert!(salary.min.is_none() || salary.max.is_none() || salary.min <= salary.max);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_structured_data_makes_a_record_within_bounds(
        kind in prop::sample::select(vec!["Product", "JobPosting", "NewsArticle", "WebPage", "ProductGroup"]),
        value in any_json(),
    ) {
        let mut value = value;
        if let Some(object) = value.as_object_mut() {
            object.entry("@type").or_insert_with(|| kind.into());
        }
        let script = value.to_string().replace("</", "<\\/");
        let html = page(&format!("<script type='application/ld+json'>{script}</script>"));
        if let Some(record) = record_of(&html, "https://example.org/p/1", None) {
            assert_in_bounds(&record);
        }
    }

    #[test]
    fn any_text_that_rules_find_makes_a_record_within_bounds(text in "[ -~€۰-۹٬\u{200C}ا-ی]{0,80}") {
        let fields = ["name", "price", "currency", "remote", "salary", "salary_min", "salary_max", "skills",
            "published_at", "employment_type", "availability", "salary_period", "salary_currency", "location"];
        let fields: Value = fields.iter().map(|field| ((*field).to_owned(), json!("p"))).collect();
        let rules = rules(json!({"kind": "job", "fields": fields}));
        let text = text.replace(['<', '&'], " ");
        let html = page("").replace("Some text of the page.", &text);
        if let Some(record) = record_of(&html, "https://example.org/p/1", Some(&rules)) {
            assert_in_bounds(&record);
        }
    }

    #[test]
    fn any_rules_are_read_or_refused(json in any_json(), selector in "[a-z.#>+~ :()\\[\\]=\"'*,\\\\0-9n-]{0,30}") {
        let _ = RecordRules::from_json(&json);
        let _ = RecordRules::from_json(&json!({"kind": "news", "fields": {"name": selector}}));
    }
}
