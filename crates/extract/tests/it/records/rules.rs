//! A source's own rules.

use extract::RecordRules;
use serde_json::{Value, json};

use super::{JOB_UNMARKED, facts, page, record_of};

pub(super) fn rules(json: Value) -> RecordRules {
    RecordRules::from_json(&json).expect("valid rules")
}

#[test]
fn rules_find_facts_where_nothing_is_marked() {
    let rules = rules(json!({"kind": "job", "path": "/jobs/*", "fields": {
        "company": "h2.company",
        "salary_min": {"select": ".pay", "attribute": "data-min"},
        "salary_max": {"select": ".pay", "attribute": "DATA-MAX"},
        "salary_currency": {"value": "EUR"},
        "salary_period": {"select": ".pay", "match": "pro (\\p{L}+)"},
        "remote": {"select": ".badge", "match": "(?i)remote"},
        "employment_type": ".facts > .badge:first-child, .facts > h2 + .badge",
        "published_at": {"select": "time.posted", "attribute": "datetime"},
        "location": {"select": "p.place", "match": "^Einsatzort: (.*)$"},
        "skills": {"select": "ul.skills li"},
        "brand": ".nowhere"
    }}));
    let expected = [
        "job",
        "name: Weber (m/w/d)",
        "published: 1769904000",
        "company: Leinen & Söhne AG",
        "location: Krefeld, Deutschland",
        "remote: true",
        "type: full_time",
        "salary: 42000..48500 EUR year",
        "skills: Webstuhl / Leinen / Baumwolle",
    ];
    let found = record_of(
        JOB_UNMARKED,
        "https://leinen.example/jobs/weber",
        Some(&rules),
    );
    assert_eq!(facts(found.as_ref()), expected.join("\n"));
    // Elsewhere they do not apply.
    let found = record_of(JOB_UNMARKED, "https://leinen.example/about", Some(&rules));
    assert_eq!(found, None);
    // Where they find nothing, constants are no statement of the page.
    let found = record_of(&page(""), "https://leinen.example/jobs/", Some(&rules));
    assert_eq!(found, None);
}

#[test]
fn rules_come_before_what_is_marked() {
    let shop = rules(json!({"kind": "product", "fields": {
        "name": "h1", "price": "p", "currency": {"value": "تومان"}, "salary": ".none"}}));
    let html = page(
        "<script type='application/ld+json'>{\"@type\":\"Product\",\"name\":\"Marked\",\"sku\":\"7\",\
         \"offers\":{\"price\":1,\"priceCurrency\":\"USD\"}}</script>",
    )
    .replace("Some text of the page.", "۱۲٬۵۰۰")
        + "<h1>Seen</h1>";
    let found = record_of(&html, "https://example.org/p/1", Some(&shop));
    let expected = [
        "product",
        "name: Seen",
        "sku: 7",
        "price: 125000",
        "currency: IRR",
    ];
    assert_eq!(facts(found.as_ref()), expected.join("\n"));
    // Of another kind nothing is filled in.
    let news = rules(json!({"kind": "news", "fields": {"category": "h1"}}));
    let found = record_of(&html, "https://example.org/p/1", Some(&news));
    assert_eq!(facts(found.as_ref()), "news\nname: T\ncategory: Seen");
}

#[test]
fn paths_of_rules() {
    let check = |pattern: &str, path: &str, applies: bool| {
        let rules = rules(json!({"kind": "news", "path": pattern, "fields": {"name": "p"}}));
        let found = record_of(
            &page(""),
            &format!("https://example.org{path}"),
            Some(&rules),
        );
        assert_eq!(found.is_some(), applies, "{pattern} {path}");
    };
    check("/jobs/", "/jobs/1", true);
    check("/jobs/", "/jobs", false);
    check("/jobs/*", "/jobs/1/2?page=3", true);
    check("/*/jobs/*", "/de/jobs/1", true);
    check("/*/jobs/*", "/jobs/1", false);
    check("/*-job", "/a-job-job", true);
    check("/*-job", "/a-job-ad", false);
    check("/a*a", "/a", false);
    check("/خبر/*", "/خبر/۱", true);
    check("/", "/", true);
}

#[test]
fn wrong_rules_are_refused_by_name() {
    let check = |json: Value, problem: &str| {
        let text = json.to_string();
        let error = RecordRules::from_json(&json).expect_err(&text).to_string();
        assert!(error.contains(problem), "{text}: {error}");
    };
    let job = |fields: Value| json!({"kind": "job", "fields": fields});
    check(json!([]), "record: is no JSON object");
    check(json!({}), "kind: is missing");
    check(json!({"kind": "article"}), "kind: `article` is none");
    check(json!({"kind": "job"}), "fields: is missing");
    check(
        json!({"kind": "job", "fields": {}}),
        "fields: no field selects",
    );
    check(
        json!({"kind": "job", "feilds": {}}),
        "record: `feilds` is no key",
    );
    check(
        json!({"kind": "job", "path": "jobs", "fields": {}}),
        "path: `jobs` does not begin",
    );
    check(
        json!({"kind": "job", "path": "/a?b", "fields": {}}),
        "path: ",
    );
    check(
        job(json!({"pay": "p"})),
        "fields.pay: is no field; there are name, category",
    );
    check(job(json!({"company": 1})), "fields.company: is neither");
    check(
        job(json!({"company": ""})),
        "fields.company.select: is empty",
    );
    check(
        job(json!({"company": "h2:hover"})),
        "fields.company: selector `h2:hover`: `:hover` is not",
    );
    check(
        job(json!({"company": {"selekt": "p"}})),
        "fields.company: `selekt` is no key",
    );
    check(
        job(json!({"company": {"attribute": "a"}})),
        "fields.company: has neither",
    );
    check(
        job(json!({"company": {"select": "p", "value": "A"}})),
        "fields.company: `value` is a constant",
    );
    check(
        job(json!({"company": {"select": "p", "match": "("}})),
        "fields.company.match: unclosed group",
    );
    check(
        job(json!({"company": {"select": "p", "match": "\\p{L}{1000}{1000}"}})),
        "fields.company.match: ",
    );
    check(
        job(json!({"company": {"select": "p", "attribute": 1}})),
        "fields.company.attribute: is no text",
    );
    check(
        job(json!({"company": "p".repeat(1001)})),
        "fields.company.select: is longer",
    );
    check(
        job(json!({"salary_currency": {"value": "$"}, "name": "p"})),
        "fields.salary_currency.value: `$`",
    );
    check(
        job(json!({"company": {"value": "A"}})),
        "fields: no field selects",
    );
}
