//! A second crawl costs little and sees exactly what changed.

use testkit::{FakeWeb, Reply};

use crate::support::{check_q2, counts, crawl, gleaner, page, paragraphs};

fn site(web: &FakeWeb, changed: bool) {
    let links: String = (0..20)
        .map(|n| format!("<a href=/p{n}>p{n}</a> "))
        .collect();
    web.route(
        "/",
        page("Start", &format!("{}{links}", paragraphs("beginnings"))),
    );
    for n in 0..20 {
        let edit = if changed && n % 10 == 3 {
            "an edit that is new here"
        } else {
            "nothing new"
        };
        let body = format!(
            "{}<h2>More</h2><p>{edit} on page {n}, as its readers will see.</p>",
            paragraphs(&format!("topic {n}"))
        );
        let reply = page(&format!("Page {n}"), &body);
        // Half of the pages answer conditional requests.
        let reply = if n % 2 == 0 {
            reply.etag(&format!("\"{n}\""))
        } else {
            reply
        };
        web.route(&format!("/p{n}"), reply);
    }
}

#[test]
fn unchanged_pages_stay_and_edited_pages_are_updated() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    site(&web, false);
    let first = crawl(dir.path(), &web.url("/"), &[]).ok().json();
    assert_eq!(counts(&first)[2], 21, "{first}");

    web.clear_log();
    let second = crawl(dir.path(), &web.url("/"), &[]).ok().json();
    check_q2(&second);
    let [found, _, added, updated, unchanged, ..] = counts(&second);
    assert_eq!(
        [found, added, updated, unchanged],
        [21, 0, 0, 21],
        "{second}"
    );
    assert_ne!(first["crawl_id"], second["crawl_id"]);
    assert_eq!(first["chunks"], second["chunks"]);

    site(&web, true);
    let third = crawl(dir.path(), &web.url("/"), &[]).ok().json();
    let [_, _, added, updated, unchanged, ..] = counts(&third);
    assert_eq!([added, updated, unchanged], [0, 2, 19], "{third}");

    let versions = gleaner(dir.path(), &["page", "versions", &web.url("/p3"), "--json"]).ok();
    assert_eq!(versions.lines().len(), 2);
    let diff = gleaner(dir.path(), &["page", "diff", &web.url("/p3"), "--json"])
        .ok()
        .json();
    let ops: Vec<(&str, &str)> = diff["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| {
            (
                line["op"].as_str().expect("op"),
                line["text"].as_str().expect("text"),
            )
        })
        .filter(|(op, _)| *op != " ")
        .collect();
    assert_eq!(ops.len(), 2, "{ops:?}");
    assert!(
        ops[0].1.contains("nothing new") && ops[1].1.contains("an edit"),
        "{ops:?}"
    );
}

#[test]
fn a_page_that_is_gone_leaves_the_index_but_keeps_its_versions() {
    let web = FakeWeb::start_blocking();
    let dir = tempfile::tempdir().expect("temp dir");
    web.route(
        "/",
        page(
            "Start",
            &format!("{}<a href=/gone>g</a>", paragraphs("departures")),
        ),
    );
    web.route("/gone", page("Zeppelin", &paragraphs("zeppelins")));
    crawl(dir.path(), &web.url("/"), &[]).ok();
    let search = |query: &str| {
        gleaner(dir.path(), &["search", query, "--json"])
            .ok()
            .json()
    };
    assert_eq!(search("zeppelins")["total"], 1);

    web.route("/gone", Reply::status(410));
    let json = crawl(dir.path(), &web.url("/"), &[]).ok().json();
    check_q2(&json);
    assert_eq!(counts(&json)[5], 1, "{json}");
    assert_eq!(search("zeppelins")["total"], 0);
    let versions = gleaner(
        dir.path(),
        &["page", "versions", &web.url("/gone"), "--json"],
    )
    .ok();
    assert_eq!(versions.lines().len(), 1);
}
