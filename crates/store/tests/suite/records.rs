//! Records: they go with their pages, and are listed and counted by their facts.

use store::{
    Facet, NotesPatch, PageUpsert, PageVisit, Quota, RecordCursor, RecordFilter, RecordSort, Store,
    StoreErrorKind, UpsertOutcome,
};
use types::{
    Availability, Change, FailReason, Record, RecordKind, Salary, SalaryPeriod, TenantId, Timestamp,
};

use crate::support::{Site, clock, failed, page, stored, url};

const TENANT: TenantId = TenantId::DEFAULT;

fn job(company: &str, posted: i64) -> Record {
    Record {
        name: Some(format!("Gardener at {company}")),
        company: Some(company.to_owned()),
        location: Some("Utrecht, NL".to_owned()),
        remote: Some(false),
        published_at: Some(Timestamp(posted)),
        skills: vec!["pruning".to_owned(), "Soil".to_owned()],
        ..Record::new(RecordKind::Job)
    }
}

fn paying(company: &str, min: f64, max: Option<f64>, period: Option<SalaryPeriod>) -> Record {
    Record {
        salary: Some(Salary {
            min: Some(min),
            max,
            currency: Some("EUR".to_owned()),
            period,
        }),
        ..job(company, 1)
    }
}

fn product(brand: &str, price: Option<f64>) -> Record {
    Record {
        brand: Some(brand.to_owned()),
        price,
        currency: Some("EUR".to_owned()),
        availability: Some(Availability::InStock),
        category: Some("Tools".to_owned()),
        sku: Some("A-1".to_owned()),
        expires_at: Some(Timestamp(9)),
        author: None,
        ..Record::new(RecordKind::Product)
    }
}

fn about(title: &str, record: Option<Record>) -> PageVisit {
    let mut visit = page(title, &[title]);
    visit.page.record = record.map(Box::new);
    visit
}

fn shop() -> Site {
    let site = Site::new();
    for (path, record) in [
        (
            "hour",
            paying("Acme", 20.0, Some(30.0), Some(SalaryPeriod::Hour)),
        ),
        ("year", paying("acme", 50_000.0, None, None)),
        ("unpaid", job("Umbrella", 5)),
        (
            "undated",
            Record {
                published_at: None,
                remote: Some(true),
                ..job("Initech", 0)
            },
        ),
        ("spade", product("Fiskars", Some(19.99))),
        ("rake", product("Fiskars", Some(9.5))),
        ("gift", product("Bahco", None)),
    ] {
        site.visit(vec![(path, stored(about(path, Some(record))))]);
    }
    site.visit(vec![("plain", stored(about("plain", None)))]);
    site
}

fn all() -> RecordFilter {
    RecordFilter::of_tenant(TENANT)
}

fn kind(kind: RecordKind) -> RecordFilter {
    RecordFilter {
        kind: Some(kind),
        ..all()
    }
}

fn paths(store: &Store, filter: &RecordFilter, sort: RecordSort) -> Vec<String> {
    let rows = store.records(filter, sort, None, 100).unwrap();
    rows.iter()
        .map(|row| row.page.url.rsplit('/').next().unwrap().to_owned())
        .collect()
}

fn check(filter: &RecordFilter, expected: &[&str]) {
    let mut found = paths(&shop().store, filter, RecordSort::Newest);
    found.sort();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected, "{filter:?}");
}

#[test]
fn a_record_comes_back_as_it_was() {
    let site = Site::new();
    let whole = Record {
        name: Some("باغبان".to_owned()),
        category: Some("Outdoors".to_owned()),
        author: Some("Ann".to_owned()),
        published_at: Some(Timestamp(-1)),
        expires_at: Some(Timestamp(7)),
        brand: Some("B".to_owned()),
        sku: Some("7".to_owned()),
        price: Some(0.1),
        currency: Some("IRR".to_owned()),
        availability: Some(Availability::Discontinued),
        company: Some("C".to_owned()),
        location: Some("L".to_owned()),
        remote: Some(true),
        employment_type: Some("full_time".to_owned()),
        salary: Some(Salary {
            min: None,
            max: Some(1e9),
            currency: None,
            period: Some(SalaryPeriod::Month),
        }),
        skills: vec!["a".to_owned(), "b\"c".to_owned()],
        ..Record::new(RecordKind::Job)
    };
    site.visit(vec![("a", stored(about("A", Some(whole.clone()))))]);
    let id = site.page("a").id;
    assert_eq!(site.store.record_of(id).unwrap(), Some(whole.clone()));
    let found = site.store.records_of(TENANT, &[id]).unwrap();
    assert_eq!(found, [(id, whole.clone())]);
    let docs = site.store.index_docs(&[id]).unwrap();
    assert_eq!(docs[0].record, Some(whole));
    assert_eq!(site.store.records_of(TenantId(2), &[id]).unwrap(), []);
}

#[test]
fn a_record_follows_its_page() {
    let site = Site::new();
    let visit = |record| site.visit(vec![("a", stored(about("A", record)))]);
    let seq = || site.page("a").change_seq;
    visit(Some(job("Acme", 1)));
    let id = site.page("a").id;
    let company = || {
        let record = site.store.record_of(id).unwrap();
        record.map(|record| record.company.unwrap())
    };
    let first = seq();
    visit(Some(job("Acme", 1)));
    assert_eq!(seq(), first, "nothing new to index");
    visit(Some(job("Umbrella", 1)));
    assert_eq!(company().as_deref(), Some("Umbrella"));
    assert!(seq() > first, "the index must hear of it");
    visit(None);
    assert_eq!(company(), None);
    visit(Some(job("Acme", 1)));
    site.visit(vec![("a", failed(FailReason::NotFound))]);
    assert_eq!(company(), None, "gone with its page");
    assert_eq!(paths(&site.store, &all(), RecordSort::Newest), [""; 0]);
    site.visit(vec![("a", stored(about("A2", Some(job("Back", 1)))))]);
    assert_eq!(company().as_deref(), Some("Back"));
    // Another kind takes the place of the first.
    site.visit(vec![("a", stored(about("A2", Some(product("B", None)))))]);
    assert_eq!(paths(&site.store, &all(), RecordSort::Newest), ["a"]);
    for crawl in site.store.crawls(site.source, 100).unwrap() {
        site.store.cancel_crawl(crawl.id).unwrap();
    }
    site.store.remove_source(site.source, false).unwrap();
    assert_eq!(site.store.record_of(id).unwrap(), None);
}

#[test]
fn filters() {
    let jobs = || kind(RecordKind::Job);
    check(
        &all(),
        &["hour", "year", "unpaid", "undated", "spade", "rake", "gift"],
    );
    check(&jobs(), &["hour", "year", "unpaid", "undated"]);
    check(&kind(RecordKind::News), &[]);
    check(
        &RecordFilter {
            salary_min: Some(45_000.0),
            ..jobs()
        },
        &["hour", "year"],
    );
    check(
        &RecordFilter {
            salary_min: Some(51_000.0),
            ..jobs()
        },
        &["hour"],
    );
    check(
        &RecordFilter {
            salary_max: Some(45_000.0),
            ..jobs()
        },
        &["hour"],
    );
    check(
        &RecordFilter {
            company: Some("ACME".to_owned()),
            ..all()
        },
        &["hour", "year"],
    );
    check(
        &RecordFilter {
            remote: Some(true),
            ..all()
        },
        &["undated"],
    );
    check(
        &RecordFilter {
            remote: Some(false),
            ..all()
        },
        &["hour", "year", "unpaid"],
    );
    check(
        &RecordFilter {
            skill: Some("soil".to_owned()),
            remote: Some(true),
            ..all()
        },
        &["undated"],
    );
    check(
        &RecordFilter {
            skill: Some("soi".to_owned()),
            ..all()
        },
        &[],
    );
    check(
        &RecordFilter {
            published_from: Some(Timestamp(2)),
            ..all()
        },
        &["unpaid"],
    );
    check(
        &RecordFilter {
            published_to: Some(Timestamp(2)),
            ..all()
        },
        &["hour", "year"],
    );
    check(
        &RecordFilter {
            price_min: Some(9.5),
            price_max: Some(10.0),
            ..all()
        },
        &["rake"],
    );
    check(
        &RecordFilter {
            currency: Some("eur".to_owned()),
            ..jobs()
        },
        &["hour", "year"],
    );
    check(
        &RecordFilter {
            brand: Some("fiskars".to_owned()),
            ..all()
        },
        &["spade", "rake"],
    );
    check(
        &RecordFilter {
            availability: Some(Availability::OutOfStock),
            ..all()
        },
        &[],
    );
    check(
        &RecordFilter {
            open_at: Some(Timestamp(9)),
            brand: Some("Bahco".to_owned()),
            ..all()
        },
        &["gift"],
    );
    check(
        &RecordFilter {
            open_at: Some(Timestamp(10)),
            ..all()
        },
        &["hour", "year", "unpaid", "undated"],
    );
    check(
        &RecordFilter {
            expired_at: Some(Timestamp(10)),
            brand: Some("Bahco".to_owned()),
            ..all()
        },
        &["gift"],
    );
    check(
        &RecordFilter {
            expired_at: Some(Timestamp(9)),
            ..all()
        },
        &[],
    );
    let location = |part: &str| RecordFilter {
        location: Some(part.to_owned()),
        remote: Some(true),
        ..all()
    };
    check(&location("utrecht"), &["undated"]);
    check(&location("_trecht"), &[]);
    check(&location("%"), &[]);
    check(&RecordFilter::of_tenant(TenantId(2)), &[]);
}

#[test]
fn notes_filter_records() {
    let site = shop();
    let note = |path: &str, patch| {
        let page = site.page(path).id;
        site.store.set_page_notes(TENANT, page, patch).unwrap();
    };
    let patch = NotesPatch {
        favorite: Some(true),
        status: Some("interview".to_owned()),
        tags: Some(vec!["soon".to_owned()]),
        ..NotesPatch::default()
    };
    note("hour", patch);
    let applied = NotesPatch {
        applied: Some(true),
        ..NotesPatch::default()
    };
    note("year", applied);
    let check = |filter: RecordFilter, expected: &[&str]| {
        assert_eq!(paths(&site.store, &filter, RecordSort::Newest), expected);
    };
    let jobs = || kind(RecordKind::Job);
    check(
        RecordFilter {
            favorite: Some(true),
            ..all()
        },
        &["hour"],
    );
    check(
        RecordFilter {
            favorite: Some(false),
            ..jobs()
        },
        &["unpaid", "year", "undated"],
    );
    check(
        RecordFilter {
            applied: Some(true),
            ..jobs()
        },
        &["year"],
    );
    check(
        RecordFilter {
            note_status: Some("interview".to_owned()),
            ..all()
        },
        &["hour"],
    );
    check(
        RecordFilter {
            tag: Some("soon".to_owned()),
            ..all()
        },
        &["hour"],
    );
    check(
        RecordFilter {
            tag: Some("late".to_owned()),
            ..all()
        },
        &[],
    );
}

#[test]
fn orders() {
    let site = shop();
    let order = |filter: &RecordFilter, sort| paths(&site.store, filter, sort);
    let newest = order(&kind(RecordKind::Job), RecordSort::Newest);
    assert_eq!(newest, ["unpaid", "year", "hour", "undated"]);
    let cheapest = order(&kind(RecordKind::Product), RecordSort::Cheapest);
    assert_eq!(cheapest, ["rake", "spade", "gift"]);
    let dearest = order(&kind(RecordKind::Product), RecordSort::Dearest);
    assert_eq!(dearest, ["spade", "rake", "gift"]);
    let paid = order(&kind(RecordKind::Job), RecordSort::BestPaid);
    assert_eq!(paid, ["hour", "year", "undated", "unpaid"]);
}

#[test]
fn pages_of_a_list_make_up_the_whole() {
    let site = shop();
    let store = &site.store;
    let with_source = RecordFilter {
        source: Some(site.source),
        ..all()
    };
    for filter in [
        all(),
        kind(RecordKind::Job),
        kind(RecordKind::Product),
        with_source,
    ] {
        for sort in RecordSort::ALL {
            let whole = store.records(&filter, *sort, None, 100).unwrap();
            assert!(whole.len() >= 3);
            let mut joined = Vec::new();
            let mut cursor: Option<RecordCursor> = None;
            loop {
                let part = store.records(&filter, *sort, cursor.as_ref(), 2).unwrap();
                let Some(last) = part.last() else { break };
                let text = RecordCursor::behind(last, *sort).encode();
                cursor = Some(RecordCursor::decode(&text).unwrap());
                joined.extend(part);
            }
            assert_eq!(joined, whole, "{filter:?} {sort:?}");
        }
    }
    let row = &store.records(&all(), RecordSort::Newest, None, 1).unwrap()[0];
    let cursor = RecordCursor::behind(row, RecordSort::Newest);
    let wrong = store.records(&all(), RecordSort::Cheapest, Some(&cursor), 1);
    assert_eq!(wrong.unwrap_err().kind(), StoreErrorKind::Conflict);
    let mut cut = cursor.encode();
    cut.pop();
    for wrong in ["", "A", &cut, &cursor.encode().replace(['A', 'B'], "C")] {
        assert!(RecordCursor::decode(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn facets_count_what_the_list_has() {
    let site = shop();
    let counts = |filter: &RecordFilter, facet, most| {
        let (total, mut facets) = site.store.record_facets(filter, &[facet], most).unwrap();
        let facet = facets.pop().unwrap();
        let values: Vec<String> = facet
            .values
            .iter()
            .map(|(v, n)| format!("{v} {n}"))
            .collect();
        (total, facet.distinct, values.join(", "))
    };
    let check = |filter, facet, expected: (u64, u64, &str)| {
        let (total, distinct, values) = counts(&filter, facet, 2);
        assert_eq!((total, distinct, values.as_str()), expected, "{facet:?}");
    };
    check(all(), Facet::Kind, (7, 2, "job 4, product 3"));
    check(all(), Facet::Company, (7, 4, "Acme 1, Initech 1"));
    check(all(), Facet::Skill, (7, 2, "Soil 4, pruning 4"));
    check(all(), Facet::Remote, (7, 2, "false 3, true 1"));
    check(all(), Facet::Currency, (7, 1, "EUR 5"));
    check(all(), Facet::Availability, (7, 1, "in_stock 3"));
    check(
        kind(RecordKind::Product),
        Facet::Brand,
        (3, 2, "Fiskars 2, Bahco 1"),
    );
    check(kind(RecordKind::News), Facet::Author, (0, 0, ""));
    let (total, none) = site.store.record_facets(&all(), &[], 5).unwrap();
    assert_eq!((total, none.len()), (7, 0));
    for facet in Facet::ALL {
        assert_eq!(Facet::from_name(facet.as_str()), Some(*facet));
        site.store.record_facets(&all(), &[*facet], 5).unwrap();
    }
}

fn upsert(path: &str, page: Option<PageVisit>) -> PageUpsert {
    PageUpsert {
        url: url(&format!("https://site.example/{path}")),
        page: page.map(Box::new),
    }
}

#[test]
fn pages_are_written_without_a_crawl() {
    use UpsertOutcome::{Absent, Removed, Stored};
    let site = Site::new();
    let write = |pages| {
        site.store
            .upsert_pages(TENANT, site.source, pages, Vec::new())
    };
    let both = || {
        vec![
            upsert("a", Some(about("A", Some(job("Acme", 1))))),
            upsert("b", Some(about("B", None))),
        ]
    };
    assert_eq!(write(both()).unwrap(), [Stored(Change::Added); 2]);
    assert_eq!(write(both()).unwrap(), [Stored(Change::Unchanged); 2]);
    let mixed = vec![
        upsert("a", Some(about("A2", None))),
        upsert("b", None),
        upsert("c", None),
    ];
    assert_eq!(
        write(mixed).unwrap(),
        [Stored(Change::Updated), Removed, Absent]
    );
    assert_eq!(site.page("a").version, 2);
    let stats = site.store.tenant_stats(TENANT).unwrap();
    assert_eq!((stats.pages, stats.pages_live), (2, 1));
    // T1
    let other = site.store.create_tenant("other").unwrap().id;
    let stranger = site
        .store
        .upsert_pages(other, site.source, both(), Vec::new());
    assert_eq!(stranger.unwrap_err().kind(), StoreErrorKind::NotFound);
}

#[test]
fn a_quota_holds_for_written_pages() {
    let clock = clock();
    let store = crate::engine::store(clock.clone());
    let quota = Quota {
        pages_max: Some(1),
        ..Quota::default()
    };
    let tenant = store.create_tenant("small").unwrap().id;
    store.set_quota(tenant, quota).unwrap();
    let site = Site::of_tenant(store, clock, tenant);
    let pages = ["a", "b"].map(|path| upsert(path, Some(page(path, &[path]))));
    let outcomes = site
        .store
        .upsert_pages(tenant, site.source, pages.into(), Vec::new());
    let expected = [
        UpsertOutcome::Stored(Change::Added),
        UpsertOutcome::QuotaExceeded,
    ];
    assert_eq!(outcomes.unwrap(), expected);
}
