use super::{Selectors, parse_selector};
use crate::html::{ParseLimits, parse};

/// The `id`s of what a selector finds, joined.
fn found(html: &str, selector: &str) -> String {
    let limits = ParseLimits {
        links_max: 10,
        depth_max: 256,
        nodes_max: 10_000,
    };
    let (dom, _) = parse(html, limits);
    let mut selectors = Selectors::default();
    selectors
        .add(&parse_selector(selector).expect(selector))
        .expect("few compounds");
    selectors.find(&dom, 100)[0]
        .iter()
        .map(|node| {
            dom.attributes(*node)
                .find(|(name, _)| *name == "id")
                .map_or("-", |(_, value)| value)
        })
        .collect::<Vec<_>>()
        .join(" ")
}

const PAGE: &str = "<!doctype html><title>T</title><body id=b>\
    <div id=d1 class='box wide'><p id=p1 lang=en-GB>x</p><script>1</script><p id=p2 class=x data-v='A B'>y</p>\
    <ul id=u><li id=l1>1<li id=l2 class='x md:flex'>2<li id=l3>3<ul id=u2><li id=l4>4</ul><li id=l5>5</ul></div>\
    <div id=d2><section id=s><p id=p3 title=''>z</p><x-y id=c>c</x-y><data id=v value=1>v</data></section>\
    text<style></style></div><script></script></body>";

#[test]
fn selectors() {
    let check = |selector: &str, expected: &str| {
        assert_eq!(found(PAGE, selector), expected, "{selector}");
    };
    check("p", "p1 p2 p3");
    check("body", "b");
    check("*", "b d1 p1 p2 u l1 l2 l3 u2 l4 l5 d2 s p3 c v");
    check("#p2", "p2");
    check(".x", "p2 l2");
    check("P.x", "p2");
    check(".wide.box", "d1");
    check("x-y", "c");
    check("data", "v");
    check(".md\\:flex", "l2");
    check("div p", "p1 p2 p3");
    check("div > p", "p1 p2");
    check("body>div>ul>li", "l1 l2 l3 l5");
    check("ul ul li", "l4");
    check("div section p, #u2 li , body > p", "l4 p3");
    // A script stands between them.
    check("p + p", "");
    check("p ~ p", "p2");
    check("p ~ ul li", "l1 l2 l3 l4 l5");
    check("li + li", "l2 l3 l5");
    check("[lang]", "p1");
    check("[lang|=en]", "p1");
    check("[data-v~=B]", "p2");
    check("[data-v='a b' i]", "p2");
    check("[data-v='a b']", "");
    check("[data-v^=A][data-v$=\"B\"][data-v*=' ']", "p2");
    check("[title]", "p3");
    check("[title*='']", "");
    check("li:first-child", "l1 l4");
    check("li:last-child", "l4 l5");
    check("li:only-child", "l4");
    check("p:nth-child(3)", "p2");
    check("li:nth-child(odd)", "l1 l3 l4");
    check("li:nth-child(-n+2)", "l1 l2 l4");
    check("li:nth-child( 2n + 4 )", "l5");
    check("section:last-child", "");
    check("data:last-child", "v");
    check("p:not(.x)", "p1 p3");
    check("li:not(:first-child, .x)", "l3 l5");
    check("ul > li:not(:last-child) > ul", "u2");
    check("body > div:last-child", "");
}

#[test]
fn what_cannot_be_selected_is_refused() {
    let check = |selector: &str, problem: &str| {
        let error = parse_selector(selector).expect_err(selector);
        assert!(error.contains(problem), "{selector}: {error}");
    };
    check("", "ends too early");
    check("a,", "ends too early");
    check("a >", "ends too early");
    check("> a", "unexpected");
    check("a..b", "a name is missing");
    check("a[", "a name is missing");
    check("a[b", "`=` or `]` is missing");
    check("a[b='c]", "not closed");
    check("a[b=]", "a name is missing");
    check("a:hover", "`:hover` is not supported");
    check("a::before", "pseudo-elements");
    check(":nth-child(x)", "no position");
    check(":nth-child(2", "`)` is missing");
    check(":nth-child(99999999999)", "no position");
    check(":not(a b)", "no combinators");
    check(":not(a:not(b))", "within :not()");
    check("html body", "`html` is not part");
    check("head meta", "`head` is not part");
    check("a{b}", "unexpected");
    check("1a", "unexpected");
    check("a\\", "ends in");
    check(&"a ".repeat(30), "more than 24 compounds");
    check(&".a".repeat(30), "more than 16 conditions");
}

#[test]
fn deep_pages_cost_no_more() {
    // Backtracking would try each of 200 ancestors for each of the ten.
    let html = format!("{}<b id=x>", "<div>".repeat(200));
    assert_eq!(
        found(&html, "div div div div div div div div div div b"),
        "x"
    );
    assert_eq!(found(&html, "p div div div div div div div div div b"), "");
}
