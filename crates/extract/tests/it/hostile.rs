use std::time::{Duration, Instant};

use extract::ExtractLimits;
use proptest::prelude::*;

use crate::{html_page, page_of, page_with};

/// Far above what these inputs take in an unoptimised build on a busy machine;
/// quadratic behaviour would take minutes.
const PATIENCE: Duration = Duration::from_secs(20);

fn check(html: &str, expected: &str) {
    let started = Instant::now();
    let page = page_of(html.as_bytes(), Some("text/html"));
    assert!(page.text.contains(expected), "lost {expected:?}");
    assert!(started.elapsed() < PATIENCE, "took {:?}", started.elapsed());
}

#[test]
fn deep_nesting() {
    for tag in [
        "div",
        "b",
        "table><tr><td",
        "ul><li",
        "blockquote",
        "svg",
        "font size=1",
    ] {
        let count = if tag == "div" { 100_000 } else { 10_000 };
        let html = format!("<body>{}needle in it", format!("<{tag}>").repeat(count));
        let expected = if tag == "svg" { "" } else { "needle" };
        check(&html, expected);
    }
    // End tags that close nothing must not hide the depth.
    check(
        &format!("{}needle", "<div></x></x>".repeat(10_000)),
        "needle",
    );
}

#[test]
fn formatting_without_end() {
    let html: String = (0..2_000)
        .map(|n| format!("<p><font size={n}>word "))
        .collect();
    check(&html, "word");
}

#[test]
fn huge_attributes() {
    check(
        &format!("<p title='{}'>needle", "x".repeat(1_000_000)),
        "needle",
    );
    let many: String = (0..50_000).map(|n| format!(" a{n}=1")).collect();
    check(&format!("<p{many}>needle</p>"), "needle");
    let quoted: String = (0..50_000).map(|n| format!("a{n}='>'")).collect();
    check(&format!("<p {quoted}>needle</p>"), "needle");
}

#[test]
fn wide_pages() {
    check(
        &format!("<div>{}</div>needle", "<p>a, b".repeat(10_000)),
        "needle",
    );
    check(
        &format!("<div>{}needle</div>", "x<br>".repeat(10_000)),
        "needle",
    );
    check(
        &format!("<table>{}</table>needle", "x<tr>y<td>z".repeat(5_000)),
        "needle",
    );
    check(
        &format!("{}needle", "<table><td>x</table>".repeat(10_000)),
        "needle",
    );
}

#[test]
fn odd_bytes() {
    check("", "");
    check("\0<p>nee\0dle</p>", "needle");
    check("<p>needle<!-- open", "needle");
    check("<![CDATA[x]]><p>needle", "needle");
    let page = page_of(b"\xFF\xFE", Some("text/html; charset=utf-8"));
    assert_eq!(page.text, "");
    let page = page_of(&[0x80; 1000], Some("text/html; charset=x-nonsense"));
    assert!(page.text.len() < 10_000);
}

#[test]
fn limits_hold() {
    let limits = ExtractLimits {
        text_bytes_max: 100,
        markdown_bytes_max: 200,
        links_max: 2,
        images_max: 1,
        ..ExtractLimits::default()
    };
    let html = "<p>پاراگراف با <a href=/a>پیوند</a> و <img src=/i.png> تصویر</p>".repeat(50);
    let page = page_with(html.as_bytes(), Some("text/html"), &limits);
    assert!(page.text.len() <= 100 && !page.text.is_empty());
    assert!(page.markdown.len() <= 200);
    assert_eq!(page.links.len(), 2);
    assert_eq!(page.images.len(), 1);
}

fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "<div class=content>", "<div class='sidebar ad'>", "</div>", "<p>", "</p>", "<h2>", "</h2>", "<ul>", "<li>",
            "</ul>", "<ol start=9>", "</ol>", "<blockquote>", "</blockquote>", "<pre>", "</pre>", "<code>", "</code>",
            "<table>", "<tr>", "<td colspan=3>", "<th>", "<td rowspan=2>", "</table>", "<caption>", "<a href=x>",
            "<a href='#y'>", "</a>", "<b>", "</b>", "<i>", "</i>", "<br>", "<br><br>", "<hr>", "<img src=a.png alt=b>",
            "<dl>", "<dt>", "<dd>", "</dl>", "<q>", "</q>", "<form><input>", "</form>", "<article>", "</article>",
            "<div hidden>", "<x-y>", "</x-y>", "<svg><p>", "<math>", "<template>", "¶", "\u{200C}", " ", "\n",
        ]).prop_map(str::to_owned),
        1 => "[a-zا-ی,. |*_`#>-]{0,40}",
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// `page_of` checks blocks and links of every page.
    #[test]
    fn any_markup_makes_a_valid_page(html in soup()) {
        html_page(&html);
    }

    #[test]
    fn any_bytes_make_a_valid_page(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        kind in prop::sample::select(vec!["text/html", "text/markdown", "text/html; charset=shift_jis"]),
    ) {
        // Bytes that announce a PDF or feed are recognised as such: not pages.
        prop_assume!(!bytes.starts_with(b"%PDF") && !bytes.starts_with(b"<"));
        page_of(&bytes, Some(kind));
    }

    #[test]
    fn any_bytes_are_read_as_sitemap(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = extract::parse_sitemap(&bytes, &crate::url(), &ExtractLimits::default());
    }

    #[test]
    fn any_markdown_makes_a_valid_page(source in "[a-z#>|`*_\\[\\]()!<\\-=. \n\u{200C}]{0,200}") {
        page_of(source.as_bytes(), Some("text/markdown"));
    }
}
