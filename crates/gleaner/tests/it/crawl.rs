//! One crawl: what is found, fetched, left out, and counted.

use std::time::Duration;

use testkit::{FakeWeb, Reply};

use crate::support::{check_q2, counts, crawl, gleaner, page, paragraphs, paths};

#[test]
fn follows_links_sitemaps_feeds_redirects_and_canonicals() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    web.route(
        "/robots.txt",
        Reply::text("User-agent: *\nDisallow: /private/\n"),
    );
    web.route(
        "/sitemap.xml",
        Reply::xml(format!(
            "<?xml version='1.0'?><urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>\
             <url><loc>{}</loc></url></urlset>",
            web.url("/only-in-sitemap")
        )),
    );
    web.route(
        "/",
        Reply::html(
            "<!doctype html><html lang=en><head><title>Start</title>\
             <link rel=alternate type='application/rss+xml' href=/feed.xml></head><body><main>\
             <h1>Start</h1><p>A start page with a few words of its own, and links.</p>\
             <a href=/a?utm_source=x#top>A</a> <a href='/b'>B</a> <a href=/private/x>P</a>\
             <a href=/old>Old</a> <a href=/print>Print</a> <a href=/hidden>Hidden</a>\
             <a href=/missing>Missing</a> <a href=/file.bin>File</a>\
             <a rel=nofollow href=/nofollow>N</a> <a href='http://other.invalid/'>Other</a>\
             <a href='mailto:a@b.c'>Mail</a></main></body></html>",
        ),
    );
    web.route(
        "/feed.xml",
        Reply::xml(
            "<rss version='2.0'><channel><title>F</title><item><link>/only-in-feed</link></item>\
             </channel></rss>",
        ),
    );
    for name in [
        "a",
        "b",
        "new",
        "only-in-sitemap",
        "only-in-feed",
        "article",
    ] {
        web.route(
            &format!("/{name}"),
            page(name, &paragraphs(&format!("{name} and kites"))),
        );
    }
    web.route("/old", Reply::redirect("/new"));
    web.route(
        "/print",
        Reply::html(format!(
            "<html><head><link rel=canonical href='{}'><title>P</title></head><body><p>Print \
             version of the article.</p></body></html>",
            web.url("/article")
        )),
    );
    web.route(
        "/hidden",
        Reply::html(
            "<html><head><meta name=robots content=noindex><title>H</title></head><body><p>Not \
             for the index.</p></body></html>",
        ),
    );
    web.route(
        "/file.bin",
        Reply::body("application/octet-stream", vec![0u8; 64]),
    );

    let ran = crawl(dir.path(), &web.url("/"), &[]).ok();
    let json = ran.json();
    check_q2(&json);
    let [found, _, added, _, _, failed, skipped] = counts(&json);
    assert_eq!(
        added, 7,
        "start, a, b, new, article, sitemap and feed pages: {json}"
    );
    assert_eq!(failed, 1, "missing: {json}");
    assert_eq!(skipped, 5, "private, old, print, hidden, file: {json}");
    assert_eq!(found, 13);
    assert_eq!(json["status"], "completed");

    let mut seen = paths(&web);
    seen.sort();
    let mut unique = seen.clone();
    unique.dedup();
    assert_eq!(seen, unique, "no URL was requested twice");
    for never in ["/private/x", "/nofollow"] {
        assert_eq!(web.hits(never), 0, "{never} must not be requested");
    }

    let pages = gleaner(dir.path(), &["page", "list", "--json"])
        .ok()
        .lines();
    assert_eq!(pages.len(), 7);
    for field in [
        "url",
        "status",
        "title",
        "content_hash",
        "fetched_at",
        "chunks",
    ] {
        assert!(pages.iter().all(|page| !page[field].is_null()), "{field}");
    }
}

/// P1 and P2 in the server's own log.
#[test]
fn a_start_page_may_be_a_listing_by_its_content() {
    let sitemap = |listed: &str| {
        format!(
            "<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>\
             <url><loc>{listed}</loc></url></urlset>"
        )
    };
    let feed = |listed: &str| {
        format!(
            "<rss version='2.0'><channel><title>F</title><item><link>{listed}</link></item>\
             </channel></rss>"
        )
    };
    let web = FakeWeb::start_blocking();
    web.route("/everything", Reply::xml(sitemap(&web.url("/listed"))));
    web.route("/news", Reply::xml(feed(&web.url("/listed"))));
    web.route("/listed", page("Listed", &paragraphs("lists and kites")));
    for start in ["/everything", "/news"] {
        let dir = tempfile::tempdir().expect("temp dir");
        let json = crawl(dir.path(), &web.url(start), &[]).ok().json();
        check_q2(&json);
        let [_, _, added, .., skipped] = counts(&json);
        assert_eq!((added, skipped), (1, 1), "{start}: {json}");
        assert!(json.get("errors").is_none(), "{start}: {json}");
    }
}

#[test]
fn p1_p2_delay_concurrency_and_robots_hold_in_the_servers_log() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    web.route(
        "/robots.txt",
        Reply::text("User-agent: gleaner\nDisallow: /no\nAllow: /no/but\n"),
    );
    let links: String = (0..6).map(|n| format!("<a href=/p{n}>p</a> ")).collect();
    let forbidden = "<a href=/no/1>n</a><a href=/nothing>n</a><a href=/no/but>y</a>";
    web.route(
        "/",
        page(
            "Start",
            &format!("{}{links}{forbidden}", paragraphs("starting")),
        ),
    );
    for n in 0..6 {
        web.route(
            &format!("/p{n}"),
            page("P", &paragraphs(&format!("number {n}"))),
        );
    }
    web.route("/no/but", page("But", &paragraphs("exceptions")));
    let delay = Duration::from_millis(60);
    crawl(
        dir.path(),
        &web.url("/"),
        &["--delay-ms", "60", "--concurrency", "2"],
    )
    .ok();

    let log = web.log();
    assert!(
        log.len() >= 9,
        "robots, sitemap, start, six pages and the exception"
    );
    for pair in log.windows(2) {
        let gap = pair[1].received_at - pair[0].received_at;
        // The server sees arrivals; scheduling may shift each by a little.
        assert!(
            gap >= delay - Duration::from_millis(20),
            "{gap:?} between {pair:?}"
        );
    }
    assert!(web.in_flight_max() <= 2);
    assert!(
        log.iter()
            .all(|request| !matches!(request.path.as_str(), "/no/1" | "/nothing"))
    );
    assert_eq!(web.hits("/no/but"), 1);
}

#[test]
fn page_limit_depth_and_patterns_bound_a_crawl() {
    let web = FakeWeb::start_blocking();
    web.site(&testkit::generated_site(7, 60));
    let start = web.url("/");

    let dir = tempfile::tempdir().expect("temp dir");
    let json = crawl(dir.path(), &start, &["--max-pages", "10"])
        .ok()
        .json();
    check_q2(&json);
    let [_, _, added, ..] = counts(&json);
    assert_eq!(added, 10, "{json}");

    let dir = tempfile::tempdir().expect("temp dir");
    let json = crawl(dir.path(), &start, &["--max-depth", "1"]).ok().json();
    check_q2(&json);
    let one_deep = counts(&json)[0];
    let dir = tempfile::tempdir().expect("temp dir");
    let json = crawl(dir.path(), &start, &[]).ok().json();
    check_q2(&json);
    assert!(
        one_deep < counts(&json)[0],
        "depth 1 found fewer than no limit"
    );

    let dir = tempfile::tempdir().expect("temp dir");
    let json = crawl(dir.path(), &start, &["--exclude", "/**"]).json();
    assert_eq!(
        counts(&json)[0],
        1,
        "only the start page is in scope: {json}"
    );
}

#[test]
fn transient_failures_are_retried_and_retry_after_is_kept() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    let attempts = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = attempts.clone();
    web.handler(move |request| match request.path.as_str() {
        "/" => page(
            "Start",
            &format!("{}<a href=/flaky>f</a>", paragraphs("starting over")),
        ),
        "/flaky" => match counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Reply::status(500),
            1 => Reply::status(503).header("Retry-After", "0"),
            _ => page("Flaky", &paragraphs("patience")),
        },
        _ => Reply::status(404),
    });
    let json = crawl(dir.path(), &web.url("/"), &[]).ok().json();
    check_q2(&json);
    assert_eq!(counts(&json)[2], 2, "{json}");
    assert_eq!(web.hits("/flaky"), 3);
}

#[test]
fn exact_duplicates_are_stored_once_and_near_duplicates_linked() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    let long: String = (0..12)
        .map(|n| paragraphs(&format!("subject {n}")))
        .collect();
    web.route("/", page("Start", "<p>Four links and a few words.</p><a href=/one>1</a> <a href=/same>2</a> <a href=/near>3</a>"));
    web.route("/one", page("Long", &long));
    web.route("/same", page("Long", &long));
    web.route(
        "/near",
        page("Long", &long.replacen("subject 7", "subject seven", 1)),
    );
    crawl(dir.path(), &web.url("/"), &["--concurrency", "1"]).ok();
    let pages = gleaner(dir.path(), &["page", "list", "--json"])
        .ok()
        .lines();
    let find = |path: &str| {
        pages
            .iter()
            .find(|page| page["url"].as_str().is_some_and(|url| url.ends_with(path)))
            .unwrap_or_else(|| panic!("{path} is listed"))
    };
    // Which of the two is stored first is a race between extraction threads.
    let (original, copy) = if find("/one")["duplicate_of"].is_null() {
        (find("/one"), find("/same"))
    } else {
        (find("/same"), find("/one"))
    };
    assert_eq!(copy["duplicate_of"], original["page_id"]);
    assert_eq!(copy["chunks"], 0, "stored once");
    assert!(original["chunks"].as_u64() > Some(0));
    let linked = [original, find("/near")];
    assert!(
        linked
            .iter()
            .any(|page| page["near_duplicate_of"] == original["page_id"])
            || original["near_duplicate_of"] == find("/near")["page_id"],
        "{linked:?}"
    );
}
