use std::fmt::Write;
use std::time::Duration;

use frontier::{Robots, RobotsFetch, RobotsVerdict, robots_from_fetch};
use proptest::prelude::*;

use crate::url;

const AGENT: &str = "Gleaner";

fn check(robots: &str, path: &str, expected: bool) {
    let got = Robots::parse(robots.as_bytes(), AGENT).allowed(path);
    assert_eq!(got, expected, "{path} by\n{robots}");
}

/// Where Google's tests and RFC 9309 differ we follow the RFC.
const DIFFERS: [(&str, &str); 3] = [
    // §2.2.2: escapes of unreserved characters are decoded before comparing,
    // its table has this very rule and path as a match.
    ("/foo/bar/%62%61%7A", "http://foo.bar/foo/bar/baz"),
    // §2.2.2: characters outside US-ASCII are escaped before comparing. Google
    // asks callers to escape; a canonical URL always is, so the raw path of
    // these two cannot even be said here.
    ("/foo/bar/ツ", "http://foo.bar/foo/bar/ツ"),
    ("/foo/bar/%E3%83%84", "http://foo.bar/foo/bar/ツ"),
];

#[test]
fn agrees_with_google_on_140_cases_but_three() {
    let mut checked = 0;
    let mut wrong = String::new();
    let mut differing = Vec::new();
    for line in include_str!("../data/robots-google.jsonl").lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        let text = |key: &str| case[key].as_str().expect(key).to_owned();
        let (robots, agent, url_text) = (text("robots"), text("agent"), text("url"));
        let expected = case["allowed"].as_bool().expect("allowed");
        let path = match url_text.as_str() {
            "" => "/".to_owned(),
            text => url(text).path_and_query().to_owned(),
        };
        let got = Robots::parse(robots.as_bytes(), &agent).allowed(&path);
        checked += 1;
        if got == expected {
            continue;
        }
        match DIFFERS
            .iter()
            .find(|(rule, url)| robots.contains(rule) && *url == url_text)
        {
            Some(known) => differing.push(*known),
            None => writeln!(wrong, "{case}").expect("writes to a String"),
        }
    }
    assert_eq!(wrong, "");
    assert_eq!(checked, 140);
    differing.sort_unstable();
    let mut known = DIFFERS;
    known.sort_unstable();
    assert_eq!(differing, known, "the list of differences is exact");
}

#[test]
fn paths_compare_as_in_the_table_of_the_rfc() {
    let check_rule = |rule: &str, path: &str| {
        check(&format!("user-agent: *\ndisallow: {rule}"), path, false);
    };
    // RFC 9309 §2.2.2.
    check_rule("/foo/bar?baz=quz", "/foo/bar?baz=quz");
    check_rule(
        "/foo/bar?baz=https://foo.bar",
        "/foo/bar?baz=https://foo.bar",
    );
    check_rule("/foo/bar/ツ", "/foo/bar/ツ");
    check_rule("/foo/bar/ツ", "/foo/bar/%E3%83%84");
    check_rule("/foo/bar/%E3%83%84", "/foo/bar/%e3%83%84");
    check_rule("/foo/bar/%62%61%7A", "/foo/bar/baz");
    check_rule("/a b", "/a%20b");
    check_rule("/a'b", "/a%27b");
    check("user-agent: *\ndisallow: /a%2Fb", "/a/b", true);
    check("user-agent: *\ndisallow: /a/b", "/a%2Fb", true);
}

#[test]
fn the_example_of_the_rfc() {
    // RFC 9309 §5.1, §5.2 in substance.
    let robots = "User-Agent: *\nDisallow: *.gif$\nDisallow: /example/\nAllow: /publications/\n\n\
                  User-Agent: gleaner\nDisallow:/\nAllow:/example/page.html\nAllow:/example/allowed.gif\n\n\
                  User-Agent: barbot\nUser-Agent: bazbot\nDisallow: /example/page.html\n\n\
                  User-Agent: quxbot\n";
    check(robots, "/example/page.html", true);
    check(robots, "/example/allowed.gif", true);
    check(robots, "/publications/", false);
    let other = |agent, path| Robots::parse(robots.as_bytes(), agent).allowed(path);
    assert!(!other("foobot", "/a.gif"));
    assert!(other("foobot", "/a.gif?x"));
    assert!(!other("bazbot", "/example/page.html"));
    assert!(other("bazbot", "/example/allowed.gif"));
    assert!(other("quxbot", "/example/page.html"));
    let tie = "User-agent: *\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif";
    check(tie, "/example/page/disallowed.gif", false);
}

#[test]
fn agents_match_by_product_token() {
    let all_else = "\nDisallow: /\n\nUser-agent: *\nAllow: /";
    check(&format!("User-agent: gleaner{all_else}"), "/x", false);
    check(
        &format!("User-agent: Gleaner/2.1 (+x){all_else}"),
        "/x",
        false,
    );
    check(&format!("User-agent: GleanerImages{all_else}"), "/x", true);
    check(&format!("User-agent: Gleaner-Images{all_else}"), "/x", true);
    check(&format!("User-agent: Glean{all_else}"), "/x", true);
    check(&format!("User-agent: {all_else}"), "/x", true);
}

#[test]
fn groups_of_one_agent_are_merged() {
    let robots = "User-agent: gleaner\nDisallow: /a\n\nUser-agent: x\nDisallow: /b\n\nUser-agent: GLEANER\nDisallow: /c";
    check(robots, "/a", false);
    check(robots, "/b", true);
    check(robots, "/c", false);
}

#[test]
fn line_ends_marks_and_comments() {
    for end in ["\n", "\r", "\r\n"] {
        let robots = ["\u{feff}User-agent: * # all", "Disallow : /a # b", ""].join(end);
        check(&robots, "/a", false);
        check(&robots, "/b", true);
    }
    check("Disallow: /", "/a", true);
    check("User-agent: *\nDisallow:\n", "/a", true);
    check("User-agent: *\nDisallow: /", "/robots.txt", true);
    check("User-agent: *\nDisallow: /", "/robots.txt?x", false);
}

#[test]
fn html_and_garbage_allow() {
    check("<html><body>Not found</body></html>", "/a", true);
    let garbage: Vec<u8> = (0..=255u8).cycle().take(10_000).collect();
    assert!(Robots::parse(&garbage, AGENT).allowed("/a"));
}

#[test]
fn nothing_beyond_500_kib_is_read_and_no_rule_is_cut() {
    let head = "User-agent: *\nDisallow: /start\n";
    let filler = "# padding\n".repeat(60_000);
    check(&format!("{head}{filler}Disallow: /late\n"), "/start", false);
    check(&format!("{head}{filler}Disallow: /late\n"), "/late", true);
    // `Disallow: /private` with its end beyond the limit must not become `/`.
    let padding = "#".repeat(500 * 1024 - head.len() - 1 - "Disallow: /".len());
    let body = format!("{head}{padding}\nDisallow: /private\n");
    check(&body, "/public", true);
}

#[test]
fn crawl_delay_and_sitemaps() {
    let read = |text: &str| Robots::parse(text.as_bytes(), AGENT);
    let delay = |text: &str| read(text).crawl_delay();
    assert_eq!(
        delay("User-agent: *\nCrawl-delay: 2.5"),
        Some(Duration::from_millis(2500))
    );
    assert_eq!(delay("User-agent: x\nCrawl-delay: 5"), None);
    assert_eq!(
        delay("User-agent: *\nCrawl-delay: 5\nDisallow: /x\nUser-agent: gleaner\nDisallow: /y"),
        None,
        "another group's delay"
    );
    for bad in ["-1", "NaN", "inf", "soon", ""] {
        assert_eq!(
            delay(&format!("User-agent: *\nCrawl-delay: {bad}")),
            None,
            "{bad}"
        );
    }
    assert_eq!(
        delay("User-agent: *\nCrawl-delay: 1e30"),
        Some(Duration::from_secs(86_400))
    );
    let robots = read(
        "Sitemap: http://a.org/1.xml\nUser-agent: x\nSITEMAP:http://a.org/2.xml # b\nSitemap:\n",
    );
    assert_eq!(
        robots.sitemaps(),
        ["http://a.org/1.xml", "http://a.org/2.xml"]
    );
    let many = read(&"Sitemap: http://a.org/s.xml\n".repeat(5000));
    assert_eq!(many.sitemaps().len(), 1000);
}

#[test]
fn allowing_an_index_file_allows_its_directory() {
    let robots = "User-agent: *\nDisallow: /\nAllow: /a/index.html";
    check(robots, "/a/", true);
    check(robots, "/a/b", false);
    check("User-agent: *\nDisallow: /a/index.html", "/a/", true);
}

#[test]
fn what_the_answer_to_the_request_means() {
    let verdict = |fetch: RobotsFetch| match robots_from_fetch(&fetch, AGENT) {
        RobotsVerdict::Rules(robots) => Some(robots.allowed("/x")),
        RobotsVerdict::Unreachable => None,
    };
    let body = |text: &str| RobotsFetch::Body(text.as_bytes().to_vec());
    assert_eq!(verdict(body("User-agent: *\nDisallow: /")), Some(false));
    assert_eq!(verdict(body("")), Some(true));
    for allowed in [204, 301, 308, 400, 401, 403, 404, 410, 451] {
        assert_eq!(
            verdict(RobotsFetch::Status(allowed)),
            Some(true),
            "{allowed}"
        );
    }
    for unreachable in [429, 500, 502, 503, 599] {
        assert_eq!(
            verdict(RobotsFetch::Status(unreachable)),
            None,
            "{unreachable}"
        );
    }
    assert_eq!(verdict(RobotsFetch::Unreachable), None);
    assert!(Robots::allow_all().allowed("/x"));
    assert!(!Robots::disallow_all().allowed("/x"));
    assert!(Robots::disallow_all().allowed("/robots.txt"));
}

/// The pattern language by backtracking over the raw text, as an oracle.
fn matches_slowly(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => true,
        b"$" => path.is_empty(),
        [b'*', rest @ ..] => (0..=path.len()).any(|skip| matches_slowly(rest, &path[skip..])),
        [first, rest @ ..] => path.first() == Some(first) && matches_slowly(rest, &path[1..]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn patterns_match_as_the_oracle_says(pattern in "/[ab/*]{0,8}\\$?", path in "/[ab/]{0,10}") {
        let robots = format!("User-agent: *\nDisallow: {pattern}");
        let disallowed = !Robots::parse(robots.as_bytes(), AGENT).allowed(&path);
        prop_assert_eq!(disallowed, matches_slowly(pattern.as_bytes(), path.as_bytes()));
    }

    #[test]
    fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..300), path in "\\PC{0,30}") {
        let robots = Robots::parse(&body, AGENT);
        prop_assert_eq!(robots.allowed(&path), robots.allowed(&path));
        prop_assert!(robots.allowed("/robots.txt"));
    }
}
