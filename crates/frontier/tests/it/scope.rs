use frontier::{
    Scope, ScopeErrorKind, ScopeKind, ScopeRules, ScopeVerdict, canonical_link_verdict,
};

use crate::url;

fn scope(kind: ScopeKind, seeds: &[&str]) -> Scope {
    let seeds: Vec<_> = seeds.iter().map(|seed| url(seed)).collect();
    let rules = ScopeRules {
        kind,
        ..ScopeRules::default()
    };
    Scope::new(&seeds, &rules).expect("no patterns")
}

fn check(kind: ScopeKind, seed: &str, candidate: &str, expected: ScopeVerdict) {
    let got = scope(kind, &[seed]).verdict(&url(candidate), 1);
    assert_eq!(got, expected, "{kind} of {seed}: {candidate}");
}

use ScopeKind::{Domain, Host, Subpath};
use ScopeVerdict::{Excluded, In, NotIncluded, OtherHost, TooDeep};

#[test]
fn host_scope() {
    check(Host, "http://a.org/x/", "http://a.org/y", In);
    check(Host, "http://a.org/", "https://a.org/y", In);
    check(Host, "https://a.org/", "http://a.org/y", In);
    check(Host, "http://a.org/", "http://a.org:8080/", OtherHost);
    check(Host, "http://a.org:8080/", "http://a.org/", OtherHost);
    check(Host, "http://a.org:8080/", "http://a.org:8080/x", In);
    check(Host, "http://a.org/", "http://www.a.org/", OtherHost);
    check(Host, "http://a.org/", "http://a.org./", In);
    check(
        Host,
        "http://127.0.0.1:9000/",
        "http://127.0.0.1:9001/",
        OtherHost,
    );
}

#[test]
fn domain_scope() {
    check(
        Domain,
        "https://www.a.co.uk/",
        "http://blog.a.co.uk:8080/",
        In,
    );
    check(
        Domain,
        "https://www.a.co.uk/",
        "https://b.co.uk/",
        OtherHost,
    );
    check(
        Domain,
        "https://me.github.io/",
        "https://you.github.io/",
        OtherHost,
    );
    check(Domain, "http://localhost:1/", "http://localhost:2/", In);
    check(Domain, "http://localhost:1/", "http://other/", OtherHost);
    check(Domain, "http://10.0.0.1/", "http://20.0.0.1/", OtherHost);
    check(Domain, "http://[::1]:80/", "http://[::1]:81/", In);
    check(Domain, "http://a.org./", "http://b.a.org/", In);
}

#[test]
fn subpath_scope() {
    check(
        Subpath,
        "https://a.org/docs/",
        "https://a.org/docs/x/y?z",
        In,
    );
    check(
        Subpath,
        "https://a.org/docs/index.html",
        "https://a.org/docs/x",
        In,
    );
    check(
        Subpath,
        "https://a.org/docs/",
        "https://a.org/docs",
        OtherHost,
    );
    check(Subpath, "https://a.org/docs", "https://a.org/other", In);
    check(
        Subpath,
        "https://a.org/docs/",
        "https://a.org/docs2/",
        OtherHost,
    );
    check(
        Subpath,
        "https://a.org/docs/",
        "http://a.org/docs/",
        OtherHost,
    );
}

/// Vectors of the Public Suffix List: `checkPublicSuffix('input', 'expected');`
/// says that `input` has the registrable domain `expected`, or `null`.
#[test]
fn registrable_domains_are_those_of_the_public_suffix_list() {
    let mut checked = 0;
    for line in include_str!("../data/psl.txt").lines() {
        let Some(arguments) = line.strip_prefix("checkPublicSuffix('") else {
            continue;
        };
        let (input, expected) = arguments.split_once("', ").expect("two arguments");
        if input.starts_with('.') {
            continue;
        }
        checked += 1;
        let below = format!("http://zz.{input}/");
        let input = format!("http://{input}/");
        match expected.trim_end_matches(");") {
            // A public suffix: names below it belong to others.
            "null" => check(Domain, &input, &below, OtherHost),
            expected => {
                let domain = format!("http://{}/", expected.trim_matches('\''));
                check(Domain, &domain, &input, In);
                check(Domain, &input, &below, In);
                check(
                    Domain,
                    &domain,
                    &domain.replace("http://", "http://zz"),
                    OtherHost,
                );
            }
        }
    }
    assert!(checked > 60, "checked {checked}");
}

fn check_rules(include: &[&str], exclude: &[&str], candidate: &str, expected: ScopeVerdict) {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let rules = ScopeRules {
        kind: Host,
        include: owned(include),
        exclude: owned(exclude),
        depth_max: Some(3),
    };
    let scope = Scope::new(&[url("http://a.org/start")], &rules).expect("valid patterns");
    assert_eq!(scope.verdict(&url(candidate), 1), expected, "{candidate}");
}

#[test]
fn globs_are_for_paths() {
    check_rules(&["/docs/*"], &[], "http://a.org/docs/a/b", In);
    check_rules(&["/docs/**"], &[], "http://a.org/docs/a/b", In);
    check_rules(&["docs/*"], &[], "http://a.org/docs/a", In);
    check_rules(&["/docs/*"], &[], "http://a.org/blog/docs/", NotIncluded);
    check_rules(&[], &["*.pdf"], "http://a.org/x/y.pdf", Excluded);
    check_rules(&[], &["*.pdf"], "http://a.org/x/y.pdf?download=1", Excluded);
    check_rules(&[], &["*.{png,jpg}"], "http://a.org/y.jpg", Excluded);
    check_rules(
        &["/docs/*"],
        &["*/old/*"],
        "http://a.org/docs/old/x",
        Excluded,
    );
    check_rules(&["/news/202?/*"], &[], "http://a.org/news/2024/x", In);
    check_rules(
        &["/اخبار/*"],
        &[],
        "http://a.org/%D8%A7%D8%AE%D8%A8%D8%A7%D8%B1/1",
        In,
    );
    check_rules(&["/%D8%A7*"], &[], "http://a.org/اخبار", In);
}

#[test]
fn full_urls_by_glob_and_regex() {
    check_rules(
        &[],
        &["*://*/*?*sort=*"],
        "http://a.org/list?sort=up",
        Excluded,
    );
    check_rules(&[], &["http://a.org/x*"], "http://a.org/xy", Excluded);
    check_rules(&[], &["http://a.org/x*"], "https://a.org/xy", In);
    check_rules(&["regex:/[0-9]{4}/"], &[], "http://a.org/x/2024/y", In);
    check_rules(
        &["regex:/[0-9]{4}/"],
        &[],
        "http://a.org/x/24/y",
        NotIncluded,
    );
    check_rules(&["regex:^https:"], &[], "http://a.org/x", NotIncluded);
}

#[test]
fn seeds_need_no_include_but_obey_the_rest() {
    check_rules(&["/docs/*"], &[], "http://a.org/start", In);
    check_rules(&["/docs/*"], &["/start"], "http://a.org/start", Excluded);
    check_rules(&["/docs/*"], &[], "http://b.org/docs/", OtherHost);
}

#[test]
fn depth_is_counted_from_the_seeds() {
    let rules = ScopeRules {
        depth_max: Some(2),
        ..ScopeRules::default()
    };
    let scope = Scope::new(&[url("http://a.org/")], &rules).expect("no patterns");
    assert_eq!(scope.verdict(&url("http://a.org/x"), 2), In);
    assert_eq!(scope.verdict(&url("http://a.org/x"), 3), TooDeep);
}

#[test]
fn a_redirected_seed_widens_the_scope() {
    let mut scope = scope(Host, &["http://a.org/"]);
    assert_eq!(scope.verdict(&url("https://www.a.org/x"), 1), OtherHost);
    scope.add_seed(&url("https://www.a.org/home"));
    assert_eq!(scope.verdict(&url("https://www.a.org/x"), 1), In);
    assert_eq!(scope.verdict(&url("http://a.org/x"), 1), In);
}

#[test]
fn wrong_rules_are_named() {
    let refused = |pattern: &str| {
        let rules = ScopeRules {
            exclude: vec![pattern.to_owned()],
            ..ScopeRules::default()
        };
        Scope::new(&[url("http://a.org/")], &rules).expect_err(pattern)
    };
    assert_eq!(refused("regex:(").kind(), ScopeErrorKind::Regex);
    assert_eq!(refused("/a[").kind(), ScopeErrorKind::Glob);
    assert_eq!(refused("").kind(), ScopeErrorKind::Glob);
    assert_eq!(refused("/a[").pattern(), "/a[");
    assert!(
        refused("/a{b")
            .to_string()
            .starts_with("invalid glob '/a{b': ")
    );
    let kind = "page".parse::<ScopeKind>().expect_err("no such kind");
    assert_eq!(
        kind.to_string(),
        "invalid scope 'page': not one of host, domain, subpath"
    );
    for kind in [Host, Domain, Subpath] {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
}

#[test]
fn which_canonical_links_are_followed() {
    let check = |page: &str, canonical: &str, expected: bool| {
        assert_eq!(
            canonical_link_verdict(&url(page), &url(canonical)),
            expected,
            "{page} -> {canonical}"
        );
    };
    check("http://a.org/x?y", "http://a.org/x", true);
    check("http://a.org/x", "http://a.org/x", false);
    check("http://a.org/x", "https://a.org/x", true);
    check("https://a.org/x", "http://a.org/x", false);
    check("http://a.org:8080/x", "https://a.org/x", false);
    check("http://a.org/x", "http://b.org/x", false);
    check("http://a.org/x", "http://a.org/", false);
    check("http://a.org/index.html", "http://a.org/", true);
    check("http://a.org/?lang=en", "http://a.org/", true);
    check("http://a.org/blog/index.html", "http://a.org/", false);
    check("http://a.org/", "https://a.org/", true);
}
