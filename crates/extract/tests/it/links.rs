use proptest::prelude::*;

use crate::{links_of, page_of};

fn check(html: &str, expected: &[(&str, &str, bool)]) {
    let found = links_of(html);
    let links: Vec<_> = found
        .links
        .iter()
        .map(|link| (link.url.as_str(), link.text.as_str(), link.nofollow))
        .collect();
    assert_eq!(links, expected, "{html}");
    let page = page_of(html.as_bytes(), Some("text/html"));
    assert_eq!(page.links, found.links, "both passes of {html}");
    assert_eq!(page.canonical, found.canonical);
    assert_eq!(page.refresh, found.refresh);
    assert_eq!(page.directives, found.directives);
}

#[test]
fn every_kind_of_link() {
    check(
        "<nav><a href='/a'>A <b>one</b></a></nav><p><a href=b.html?x=1&amp;y=2#f rel='external nofollow'>B</a>\
         <a href='mailto:x@y.z'>mail</a><a name=x>no link</a><a href=' '>blank</a>\
         <map><area href=//other.org/c alt='C c'></map><iframe src='/frame'>x</iframe>",
        &[
            ("https://example.org/a", "A one", false),
            ("https://example.org/docs/b.html?x=1&y=2#f", "B", true),
            ("https://other.org/c", "C c", false),
            ("https://example.org/frame", "", false),
        ],
    );
    check(
        "<frameset><frame src=menu.html><frame src=text.html></frameset>",
        &[
            ("https://example.org/docs/menu.html", "", false),
            ("https://example.org/docs/text.html", "", false),
        ],
    );
}

#[test]
fn base_and_anchor_texts() {
    check(
        "<base href='/other/'><a href=x><img alt='A picture' src=y></a><a href=z>un<a href=w>closed",
        &[
            ("https://example.org/other/x", "A picture", false),
            ("https://example.org/other/z", "un", false),
            ("https://example.org/other/w", "closed", false),
        ],
    );
}

#[test]
fn what_looks_like_a_link_but_is_none() {
    check(
        "<title><a href=/title>t</a></title><script>'<a href=/script>'</script>\
         <!-- <a href=/comment>c</a> --><template><a href=/template>t</a></template>\
         <textarea><a href=/area>x</a></textarea><svg><title/></svg><a href=/real>real</a>",
        &[("https://example.org/real", "real", false)],
    );
}

#[test]
fn head_facts() {
    let found = links_of(
        "<meta name=robots content='noindex, follow'><link rel=canonical href=/canonical>\
         <meta http-equiv=Refresh content='0; url=/next'>",
    );
    assert!(found.directives.noindex && !found.directives.nofollow);
    assert_eq!(
        found.canonical.as_deref(),
        Some("https://example.org/canonical")
    );
    assert_eq!(found.refresh.as_deref(), Some("https://example.org/next"));
}

/// Pieces that markup is made of, in any order. Not among them: `<svg>`, `<math>`,
/// `<select>` and `<frameset>`, where the tree builder reads raw text by rules
/// of its own that the links-only pass does not know.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "<a href=/x>",
        "<a href='y' rel=nofollow>",
        "</a>",
        "<div>",
        "</div>",
        "<p>",
        "text ",
        "<table>",
        "<tr>",
        "<td>",
        "</table>",
        "<b>",
        "</b>",
        "<ul><li>",
        "</ul>",
        "<template>",
        "</template>",
        "<script>",
        "</script>",
        "<title>",
        "</title>",
        "<style>",
        "</style>",
        "<iframe src=f>",
        "</iframe>",
        "<area href=z>",
        "<!--",
        "-->",
        "<base href=/b/>",
        "<a href='?a&amp;b&copy=1'>",
        "<a href='?a=1&b=2&amp;amp;c=&copy&lt;&#65;'>",
        "<a href=?x&y&amp=1&notit=2&reg>",
        "<a title='<a href=/q>' HREF=u/>",
        "<a href = \"x y\"rel=ugc>",
        "<!-->",
        "<!---",
        "--!>",
        "<!doctype x>",
        "<?pi",
        ">",
        "</>",
        "</ x>",
        "<",
        "< b",
        "&lt;&bogus;",
        "\0",
        "\r\n",
        "<ScRiPt>",
        "<script><!--",
        "<plaintext",
        "<xmp>",
        "</xmp >",
        "<![CDATA[",
        "]]>",
        "é",
        "<noembed>",
        "<meta name=robots content=none>",
        "<body>",
        "</body>",
        "<br>",
        "<img alt=i>",
        "<pre>",
        "</pre>",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_passes_find_the_same(html in soup()) {
        let page = page_of(html.as_bytes(), Some("text/html"));
        prop_assert_eq!(page.links, links_of(&html).links);
    }
}
