//! Records: filtered by and counted while searching.

use search::{FACETS, Filters, Mode, SearchErrorKind, SearchRequest};
use types::{Availability, Record, RecordKind, Salary, SalaryPeriod};

use crate::support::{TestPage, World, page, paths};

fn job(path: &str, company: &str, hourly: Option<(f64, f64)>) -> TestPage {
    let salary = hourly.map(|(min, max)| Salary {
        min: Some(min),
        max: Some(max),
        currency: Some("EUR".to_owned()),
        period: Some(SalaryPeriod::Hour),
    });
    let record = Record {
        company: Some(company.to_owned()),
        location: Some("Utrecht, NL".to_owned()),
        remote: Some(hourly.is_none()),
        salary,
        skills: vec!["Soil".to_owned(), "pruning".to_owned()],
        ..Record::new(RecordKind::Job)
    };
    TestPage {
        record: Some(record),
        language: Some("en"),
        ..page(path, "Gardener", &format!("shared garden word {path}"))
    }
}

fn world() -> World {
    let spade = Record {
        brand: Some("Fiskars".to_owned()),
        price: Some(19.99),
        currency: Some("EUR".to_owned()),
        availability: Some(Availability::InStock),
        ..Record::new(RecordKind::Product)
    };
    World::with(&[
        job("/low", "Acme", Some((10.0, 20.0))),
        job("/high", "ACME", Some((30.0, 40.0))),
        job("/unpaid", "Umbrella", None),
        TestPage {
            record: Some(spade),
            author: Some("Ann Lee"),
            ..page("/spade", "Spade", "shared tool word")
        },
        page("/plain", "Plain", "shared text"),
        page("/other", "Other", "nothing of the kind"),
    ])
}

fn request(filters: &[&str]) -> SearchRequest {
    SearchRequest {
        query: "shared".into(),
        mode: Mode::Keyword,
        filters: Filters::parse(filters).unwrap(),
        ..SearchRequest::default()
    }
}

#[track_caller]
fn check(filters: &[&str], expected: &[&str]) {
    let mut found = paths(&world().ask(request(filters)));
    found.sort();
    assert_eq!(found, expected, "{filters:?}");
}

#[test]
fn records_are_filtered_by_their_facts() {
    check(&["kind=job"], &["/high", "/low", "/unpaid"]);
    check(&["kind=news"], &[]);
    check(&["company=acme"], &["/high", "/low"]);
    check(&["company=acm"], &[]);
    check(&["remote=true"], &["/unpaid"]);
    check(&["skill=soil", "remote=true"], &["/unpaid"]);
    check(&["location=utrecht", "remote=true"], &["/unpaid"]);
    check(&["location=Utrecht, NL", "remote=true"], &["/unpaid"]);
    check(&["currency=EUR"], &["/high", "/low", "/spade"]);
    check(&["availability=in_stock"], &["/spade"]);
    check(&["author=ann lee"], &["/spade"]);
    check(&["price_min=19.99", "price_max=20"], &["/spade"]);
    check(&["price_min=20"], &[]);
    // 40 € an hour are 83,200 € a year, 20 € are 41,600 €.
    check(&["salary_min=41600"], &["/high", "/low"]);
    check(&["salary_min=41601"], &["/high"]);
    check(&["salary_max=30000"], &["/low"]);
    check(
        &["kind=job", "salary_min=50000", "salary_max=90000"],
        &["/high"],
    );
}

#[track_caller]
fn check_refused(filters: &[&str], expected: &str) {
    let error = Filters::parse(filters).unwrap_err();
    assert_eq!(error.kind(), SearchErrorKind::Request);
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn wrong_facts_are_refused() {
    check_refused(&["kind=jobs"], "one of news, product, job");
    check_refused(&["remote=yes"], "one of true, false");
    check_refused(&["availability=instock"], "in_stock");
    check_refused(&["salary_min=much"], "no number");
    check_refused(&["price_max=NaN"], "no number");
    check_refused(&["price_max=1", "price_max=2"], "given twice");
}

fn count(world: &World, request: SearchRequest, facet: &'static str) -> (usize, String) {
    let answer = world.ask(SearchRequest {
        facets: vec![facet],
        ..request
    });
    assert_eq!(answer.facets.len(), 1);
    let counts = &answer.facets[0];
    assert_eq!(counts.facet, facet);
    assert_eq!(counts.distinct, counts.values.len() as u64);
    let values: Vec<String> = counts
        .values
        .iter()
        .map(|(v, n)| format!("{v} {n}"))
        .collect();
    (answer.total, values.join(", "))
}

#[test]
fn facets_count_all_that_is_found() {
    let world = world();
    let all = || SearchRequest {
        limit: 1,
        ..request(&[])
    };
    let facet = |name| count(&world, all(), name);
    assert_eq!(facet("kind"), (5, "job 3, product 1".to_owned()));
    assert_eq!(
        facet("company"),
        (5, "ACME 1, Acme 1, Umbrella 1".to_owned())
    );
    assert_eq!(facet("skill"), (5, "Soil 3, pruning 3".to_owned()));
    assert_eq!(facet("remote"), (5, "false 2, true 1".to_owned()));
    assert_eq!(facet("currency"), (5, "EUR 3".to_owned()));
    assert_eq!(facet("host"), (5, "site.example 5".to_owned()));
    assert_eq!(facet("source"), (5, "1 5".to_owned()));
    assert_eq!(facet("lang"), (5, "en 3".to_owned()));
    assert_eq!(facet("author"), (5, "Ann Lee 1".to_owned()));
    let paid = request(&["salary_min=1"]);
    assert_eq!(
        count(&world, paid, "company"),
        (2, "ACME 1, Acme 1".to_owned())
    );
    let nothing = SearchRequest {
        query: "unheard".into(),
        ..request(&[])
    };
    assert_eq!(count(&world, nothing, "kind"), (0, String::new()));
    // A page that is gone is not counted.
    world.delete(&["https://site.example/spade"]);
    world.sync();
    assert_eq!(count(&world, all(), "kind"), (4, "job 3".to_owned()));
    for facet in FACETS {
        count(&world, all(), facet);
    }
}

#[test]
fn pages_found_by_meaning_are_counted_too() {
    let world = world();
    world.embed(2, |text| {
        let is_near = text.contains("nothing") || text.contains("tool");
        Some(if is_near {
            vec![1.0, 0.0]
        } else {
            vec![0.0, 1.0]
        })
    });
    let request = SearchRequest {
        query: "unheard".into(),
        facets: vec!["kind"],
        ..SearchRequest::default()
    };
    let answer = world
        .searcher()
        .search(&request, Some(&[1.0, 0.0]))
        .unwrap();
    let values = &answer.facets[0].values;
    assert_eq!(answer.total, 6);
    assert_eq!(values, &[("job".to_owned(), 3), ("product".to_owned(), 1)]);
}
