//! Searching what was crawled.

use testkit::FakeWeb;

use crate::support::{crawl, gleaner, page, paragraphs};

#[test]
fn finds_filters_highlights_and_pages_through() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    let links: String = (0..15)
        .map(|n| format!("<a href=/docs/p{n}>p{n}</a> "))
        .collect();
    web.route(
        "/",
        page(
            "Start",
            &format!("<p>The first page has links.</p>{links}<a href=/fa>fa</a>"),
        ),
    );
    for n in 0..15 {
        web.route(
            &format!("/docs/p{n}"),
            page(
                &format!("Lighthouse {n}"),
                &paragraphs(&format!("lighthouse number{n}")),
            ),
        );
    }
    web.route(
        "/fa",
        testkit::Reply::html(
            "<!doctype html><html lang=fa dir=rtl><head><meta charset=utf-8><title>کتاب‌های ایرانی</title></head><body><main>\
             <h1>کتاب‌های ایرانی</h1><p>این صفحه دربارهٔ کتاب‌های قدیمی و نسخه‌های خطی سال ۱۴۰۲ است و خواننده می‌تواند آن را بخواند.</p>\
             <p>کتابخانه‌های بزرگ این نسخه‌ها را نگه می‌دارند.</p></main></body></html>",
        ),
    );
    crawl(dir.path(), &web.url("/"), &[]).ok();
    let search = |args: &[&str]| {
        let mut all = vec!["search", "--json"];
        all.extend(args);
        gleaner(dir.path(), &all).ok().json()
    };

    let one = search(&["number7"]);
    assert_eq!(one["total"], 1);
    let hit = &one["hits"][0];
    assert_eq!(hit["title"], "Lighthouse 7");
    let snippet = hit["snippet"].as_str().expect("snippet");
    let range = &hit["highlights"][0];
    let (start, end) = (
        range[0].as_u64().expect("start"),
        range[1].as_u64().expect("end"),
    );
    assert_eq!(
        &snippet[start as usize..end as usize].to_lowercase(),
        "number7"
    );
    for field in [
        "url",
        "score",
        "scores",
        "page_id",
        "chunk_id",
        "heading",
        "published_at",
        "source",
    ] {
        assert!(hit.get(field).is_some(), "{field}");
    }

    let first = search(&["lighthouse", "--limit", "10"]);
    let rest = search(&["lighthouse", "--limit", "10", "--offset", "10"]);
    assert_eq!(first["total"], 15);
    assert_eq!(rest["hits"].as_array().expect("hits").len(), 5);

    assert_eq!(search(&["lighthouse", "--filter", "path=/fa"])["total"], 0);
    assert_eq!(
        search(&["lighthouse", "--filter", "path=/docs/"])["total"],
        15
    );
    assert_eq!(search(&["\"lighthouse number3\""])["total"], 1);

    // Arabic letters, no ZWNJ, other digits: the same page.
    for query in ["کتاب‌های", "كتاب هاي", "۱۴۰۲", "1402", "١٤٠٢"] {
        let found = search(&[query, "--filter", "lang=fa"]);
        assert_eq!(found["total"], 1, "{query}: {found}");
    }

    let bad = gleaner(dir.path(), &["search", "x", "--filter", "nonsense"]);
    assert_eq!(bad.code, 1);
    assert!(bad.stderr.contains("nonsense"), "{}", bad.stderr);
}
