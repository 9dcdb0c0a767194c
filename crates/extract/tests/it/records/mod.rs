//! What pages are about: facts from structured data, meta tags and rules.

mod bounds;
mod rules;

use extract::{ExtractInput, ExtractLimits, Extracted, RecordRules, extract_with_rules};
use serde_json::{Value, json};
use types::Record;
use url::Url;

const JOB: &str = include_str!("../../data/records/job.html");
const JOB_UNMARKED: &str = include_str!("../../data/records/job-unmarked.html");
const LISTING: &str = include_str!("../../data/records/listing.html");
const NEWS_FA: &str = include_str!("../../data/records/news-fa.html");
const PRODUCT_FA: &str = include_str!("../../data/records/product-fa.html");
const PRODUCT_GRAPH: &str = include_str!("../../data/records/product-graph.html");

fn record_of(html: &str, url: &str, rules: Option<&RecordRules>) -> Option<Record> {
    let url = Url::parse(url).expect("valid test URL");
    let input = ExtractInput {
        bytes: html.as_bytes(),
        content_type: Some("text/html; charset=utf-8"),
        url: &url,
        x_robots_tag: &[],
        link_canonical: None,
    };
    let extracted = extract_with_rules(&input, &ExtractLimits::default(), rules);
    match extracted.expect("a page") {
        Extracted::Page(page) => page.record.map(|record| *record),
        other => panic!("expected a page, got {other:?}"),
    }
}

/// The stated facts, a line each.
fn facts(record: Option<&Record>) -> String {
    let Some(record) = record else {
        return "no record".to_owned();
    };
    let text = |name: &str, value: &Option<String>| value.as_ref().map(|v| format!("{name}: {v}"));
    let time = |name: &str, value: Option<types::Timestamp>| {
        value.map(|at| format!("{name}: {}", at.0 / 1000))
    };
    let salary = record.salary.as_ref().map(|salary| {
        let bound = |bound: Option<f64>| bound.map_or("?".to_owned(), |bound| bound.to_string());
        format!(
            "salary: {}..{} {} {}",
            bound(salary.min),
            bound(salary.max),
            salary.currency.as_deref().unwrap_or("?"),
            salary.period.map_or("?", types::SalaryPeriod::as_str)
        )
    });
    let lines = [
        Some(record.kind.to_string()),
        text("name", &record.name),
        text("category", &record.category),
        text("author", &record.author),
        time("published", record.published_at),
        time("expires", record.expires_at),
        text("brand", &record.brand),
        text("sku", &record.sku),
        record.price.map(|price| format!("price: {price}")),
        text("currency", &record.currency),
        record.availability.map(|a| a.as_str().to_owned()),
        text("company", &record.company),
        text("location", &record.location),
        record.remote.map(|remote| format!("remote: {remote}")),
        text("type", &record.employment_type),
        salary,
        (!record.skills.is_empty()).then(|| format!("skills: {}", record.skills.join(" / "))),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn check_page(html: &str, url: &str, expected: &[&str]) {
    let record = record_of(html, url, None);
    assert_eq!(facts(record.as_ref()), expected.join("\n"));
}

/// One JSON-LD value on a page at `https://example.org/p/1`.
fn check(json_ld: &Value, expected: &[&str]) {
    let html = page(&format!(
        "<script type='application/ld+json'>{json_ld}</script>"
    ));
    let record = record_of(&html, "https://example.org/p/1", None);
    assert_eq!(facts(record.as_ref()), expected.join("\n"), "{json_ld}");
}

fn page(head: &str) -> String {
    format!("<!doctype html><title>T</title>{head}<body><p>Some text of the page.</p>")
}

#[test]
fn whole_pages() {
    check_page(
        JOB,
        "https://polder.example/jobs/4711",
        &[
            "job",
            "name: Senior Rust Engineer",
            "category: 15-1252.00 Software Developers",
            "published: 1772409600",
            "expires: 1777586400",
            "company: Polder & Sons",
            "location: Utrecht, NL; Ghent, Belgium",
            "remote: true",
            "type: full_time",
            "salary: 70000..90000 EUR year",
            "skills: Rust / SQL / HTML & CSS",
        ],
    );
    // What can be had is dearer than what is sold out. Brand and number that
    // JSON-LD does not state are OpenGraph's.
    check_page(
        PRODUCT_GRAPH,
        "https://shop.example/products/oak-desk/",
        &[
            "product",
            "name: Oak Desk 140",
            "category: Desks",
            "expires: 1798675200",
            "brand: Timber House",
            "sku: OD-140",
            "price: 1299",
            "currency: EUR",
            "in_stock",
        ],
    );
    check_page(
        PRODUCT_FA,
        "https://aftab.example/p/200",
        &[
            "product",
            "name: قهوه\u{200C}ساز مدل ۲۰۰",
            "category: لوازم آشپزخانه",
            "brand: آفتاب",
            "sku: AF-200",
            "price: 12500000",
            "currency: IRR",
            "in_stock",
        ],
    );
    check_page(
        NEWS_FA,
        "https://news.example/fa/1",
        &[
            "news",
            "name: باران در شمال کشور ادامه دارد",
            "category: جامعه",
            "author: سارا محمدی, علی رضایی",
            "published: 1775192400",
        ],
    );
    check_page(LISTING, "https://shop.example/desks/", &["no record"]);
    check_page(
        JOB_UNMARKED,
        "https://leinen.example/jobs/weber",
        &["no record"],
    );
}

#[test]
fn salaries_in_all_shapes() {
    let check_salary = |fields: Value, expected: &str| {
        let mut job = json!({"@type": "JobPosting", "title": "J"});
        for (key, value) in fields.as_object().expect("fields") {
            job[key] = value.clone();
        }
        let expected: Vec<&str> = ["job", "name: J", expected]
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect();
        check(&job, &expected);
    };
    check_salary(
        json!({"baseSalary": 50000, "salaryCurrency": "usd"}),
        "salary: 50000..50000 USD ?",
    );
    check_salary(
        json!({"baseSalary": "€ 3.000 - 3.500 per month"}),
        "salary: 3000..3500 EUR month",
    );
    check_salary(
        json!({"baseSalary": {"currency": "GBP", "value": 18.5, "unitText": "HOUR"}}),
        "salary: 18.5..18.5 GBP hour",
    );
    check_salary(
        json!({"baseSalary": {"currency": "CHF", "value": {"value": "95'000", "unitText": "YEAR"}}}),
        "salary: 95000..95000 CHF year",
    );
    check_salary(
        json!({"baseSalary": {"@type": "QuantitativeValue", "minValue": "80k", "unitText": "P1Y"}}),
        "salary: 80000..? ? year",
    );
    check_salary(
        json!({"baseSalary": {"currency": "EUR", "value": "40000 - 50000"}}),
        "salary: 40000..50000 EUR ?",
    );
    check_salary(
        json!({"baseSalary": {"currency": "EUR", "minValue": 60000, "maxValue": 50000}}),
        "salary: 50000..60000 EUR ?",
    );
    check_salary(
        json!({"estimatedSalary": [{"@type": "MonetaryAmountDistribution", "currency": "USD",
            "percentile10": 90000, "percentile90": 120000, "duration": "P1Y"}]}),
        "salary: 90000..120000 USD year",
    );
    check_salary(
        json!({"baseSalary": {"currency": "IRT", "value": {"minValue": 30_000_000, "unitText": "MONTH"}}}),
        "salary: 300000000..? IRR month",
    );
    check_salary(
        json!({"baseSalary": {"currency": "EUR", "value": {"minValue": 0, "maxValue": 0}}}),
        "",
    );
    check_salary(json!({"baseSalary": "competitive"}), "");
}

#[test]
fn jobs_in_all_shapes() {
    let job = |fields: Value| {
        let mut job = json!({"@context": "https://schema.org", "@type": "http://schema.org/JobPosting", "title": "J"});
        for (key, value) in fields.as_object().expect("fields") {
            job[key] = value.clone();
        }
        job
    };
    check(
        &job(
            json!({"hiringOrganization": "Acme", "jobLocation": "Lyon", "employmentType": "Full-time, Part-time",
            "skills": [{"@type": "DefinedTerm", "name": "Go"}, "C", "c"]}),
        ),
        &[
            "job",
            "name: J",
            "company: Acme",
            "location: Lyon",
            "type: full_time",
            "skills: Go / C",
        ],
    );
    check(
        &job(json!({"jobLocation": {"address": "Remote"}, "employmentType": "INTERN"})),
        &[
            "job",
            "name: J",
            "location: Remote",
            "remote: true",
            "type: intern",
        ],
    );
    check(
        &job(
            json!({"applicantLocationRequirements": [{"name": "DE"}, {"name": "FR"}, {"name": "DE"}],
            "jobLocationType": "https://schema.org/TELECOMMUTE"}),
        ),
        &["job", "name: J", "location: DE; FR", "remote: true"],
    );
    check(
        &job(
            json!({"jobLocationType": "ONSITE", "industry": {"name": "Retail"},
            "skills": "<ul><li>Weaving</li><li>Dyeing</li></ul>"}),
        ),
        &[
            "job",
            "name: J",
            "category: Retail",
            "remote: false",
            "skills: Weaving / Dyeing",
        ],
    );
}

#[test]
fn offers_in_all_shapes() {
    let check_offer = |offers: Value, expected: &[&str]| {
        let mut lines = vec!["product", "name: P"];
        lines.extend(expected);
        check(
            &json!({"@type": "Product", "name": "P", "offers": offers}),
            &lines,
        );
    };
    check_offer(
        json!({"price": 12.5, "priceCurrency": "USD"}),
        &["price: 12.5", "currency: USD"],
    );
    check_offer(
        json!({"price": "1.299,00 €"}),
        &["price: 1299", "currency: EUR"],
    );
    check_offer(json!({"price": "$1,299.00"}), &["price: 1299"]);
    check_offer(
        json!({"price": "$9", "priceCurrency": "AUD"}),
        &["price: 9", "currency: AUD"],
    );
    check_offer(
        json!([{"price": 30, "priceCurrency": "EUR"}, {"price": "20", "priceCurrency": "EUR"},
            {"price": 5, "priceCurrency": "USD"}]),
        &["price: 20", "currency: EUR"],
    );
    check_offer(
        json!({"priceCurrency": "EUR", "availability": "OutOfStock", "priceSpecification": [
            {"price": 50, "priceType": "https://schema.org/ListPrice"}, {"price": 40}]}),
        &["price: 40", "currency: EUR", "out_of_stock"],
    );
    check_offer(
        json!({"@type": "AggregateOffer", "lowPrice": "7", "highPrice": "9", "priceCurrency": "XYZ"}),
        &["price: 7"],
    );
    check_offer(
        json!({"price": -1, "availability": "https://schema.org/PreOrder"}),
        &["pre_order"],
    );
    check_offer(json!({"price": "call us"}), &[]);
    check_offer(
        json!({"price": "125000", "priceCurrency": "تومان"}),
        &["price: 1250000", "currency: IRR"],
    );
    check(
        &json!({"@graph": [
            {"@type": "ProductGroup", "name": "Shirt", "brand": ["Loom", "Other"], "productGroupID": 12, "hasVariant": [
                {"@type": "Product", "name": "Shirt S", "offers": {"price": 20, "priceCurrency": "EUR"}},
                {"@type": "Product", "name": "Shirt M", "offers": {"price": 18, "priceCurrency": "EUR"}}]},
            {"@type": "Product", "name": "Shirt L", "isVariantOf": {"@id": "#g"}}]}),
        &[
            "product",
            "name: Shirt",
            "brand: Loom",
            "sku: 12",
            "price: 18",
            "currency: EUR",
        ],
    );
}

#[test]
fn articles_that_are_news_and_texts_that_are_not() {
    for kind in [
        "NewsArticle",
        "Article",
        "BlogPosting",
        "ReportageNewsArticle",
    ] {
        let article = json!({"@type": kind, "headline": "H", "articleSection": ["World", "Asia"]});
        check(&article, &["news", "name: H", "category: World"]);
    }
    for kind in [
        "TechArticle",
        "APIReference",
        "ScholarlyArticle",
        "WebPage",
        "DiscussionForumPosting",
    ] {
        check(&json!({"@type": kind, "headline": "H"}), &["no record"]);
    }
    check(
        &json!({"@type": ["Article", "TechArticle"], "headline": "H"}),
        &["no record"],
    );

    check(
        &json!({"@type": "Article", "headline": "H", "author": [{"name": "By Ann"}, "Bo", "Bo", "https://b.org/"]}),
        &["news", "name: H", "author: Ann, Bo"],
    );

    let open_graph =
        "<meta property='og:type' content='article'><meta property='og:title' content='H'>";
    let dated = format!(
        "{open_graph}<meta property='article:published_time' content='2024-01-02T03:04:05Z'>\
         <meta property='article:author' content='https://example.org/ann'>\
         <meta property='article:section' content='World'>"
    );
    let check_head = |head: &str, expected: &[&str]| {
        check_page(&page(head), "https://example.org/p/1", expected);
    };
    check_head(
        &dated,
        &[
            "news",
            "name: H",
            "category: World",
            "published: 1704164645",
        ],
    );
    // Content systems call every page an article; without a date it may be an imprint.
    check_head(open_graph, &["no record"]);
    check_head(
        &format!("{dated}<meta name=generator content='Docusaurus 3'>"),
        &["no record"],
    );
    let technical = "<script type='application/ld+json'>{\"@type\":\"TechArticle\"}</script>";
    check_head(&format!("{technical}{dated}"), &["no record"]);
}

#[test]
fn open_graph_products() {
    check_page(
        &page(
            "<meta property='og:type' content='product'><meta property='og:title' content='Mug'>\
             <meta property='product:price:amount' content='1.250,50'>\
             <meta property='product:price:currency' content='eur'>\
             <meta property='product:availability' content='available for order'>\
             <meta property='product:brand' content='Clay'><meta property='product:category' content='187'>",
        ),
        "https://example.org/p/1",
        &[
            "product",
            "name: Mug",
            "brand: Clay",
            "price: 1250.5",
            "currency: EUR",
            "back_order",
        ],
    );
    check_page(
        &page(
            "<meta property='og:type' content='website'><meta property='product:price:amount' content='1'>",
        ),
        "https://example.org/p/1",
        &["no record"],
    );
}

#[test]
fn the_subject_among_many() {
    let product = |name: &str, url: &str| json!({"@type": "Product", "name": name, "url": url});
    let here = "https://example.org/p/1";
    // Several products are a listing, unless one is at the page's address.
    check(
        &json!([product("A", "/p/2"), product("B", "/p/3")]),
        &["no record"],
    );
    check(
        &json!([product("A", "/p/2"), product("B", "/p/1/")]),
        &["product", "name: B"],
    );
    check(
        &json!([product("A", here), product("B", here)]),
        &["no record"],
    );
    check(
        &json!([{"@type": "Product", "name": "A"}, {"@type": "Product", "name": "A", "sku": "1"}]),
        &["product", "name: A", "sku: 1"],
    );
    // A name within the page is no address of it.
    check(
        &json!([{"@type": "Product", "name": "A", "@id": "#a"}, {"@type": "Product", "name": "B", "@id": "#b"}]),
        &["no record"],
    );
    // The main entity, by reference too; what else is stated does not matter.
    check(
        &json!({"@graph": [{"@type": "WebPage", "mainEntity": {"@id": "#b"}}, {"@type": "Product", "@id": "#a", "name": "A"},
            {"@type": "Product", "@id": "#b", "name": "B"}]}),
        &["product", "name: B"],
    );
    check(
        &json!({"@graph": [{"@type": "WebPage", "mainEntity": {"@type": "Article", "headline": "Best mugs"}},
            {"@type": "Product", "name": "A"}]}),
        &["news", "name: Best mugs"],
    );
    // Jobs before products before news.
    check(
        &json!([{"@type": "Article", "headline": "N"}, product("P", ""), {"@type": "JobPosting", "title": "J"}]),
        &["job", "name: J"],
    );
    check(
        &json!([{"@type": "Article", "headline": "N"}, product("P", "")]),
        &["product", "name: P"],
    );
    // A review of many products is an article.
    check(
        &json!([{"@type": "Article", "headline": "N"}, product("P", ""), product("Q", "")]),
        &["news", "name: N"],
    );
    check(
        &json!([{"@type": "SearchResultsPage"}, {"@type": "JobPosting", "title": "J"}]),
        &["no record"],
    );
    check(
        &json!([{"@type": "SearchResultsPage"}, {"@type": "JobPosting", "title": "J", "url": here}]),
        &["job", "name: J"],
    );
    // The more trusted statement decides the kind.
    let html = page(
        "<script type='application/ld+json'>{\"@type\":\"Article\",\"headline\":\"N\"}</script>",
    ) + "<div itemscope itemtype='https://schema.org/Product'><b itemprop=name>P</b></div>";
    check_page(&html, here, &["news", "name: N"]);
    // Rating widgets call what they stand under a product.
    check(
        &json!({"@type": "Product", "name": "P", "aggregateRating": {"ratingValue": 4}}),
        &["no record"],
    );
    check(
        &json!({"@type": "Product", "name": "P", "sku": 1, "aggregateRating": {"ratingValue": 4}}),
        &["product", "name: P", "sku: 1"],
    );
    // The title when nothing closer is a name.
    check(&json!({"@type": "JobPosting"}), &["job", "name: T"]);
}
