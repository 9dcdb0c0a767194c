use types::BlockKind;

use crate::html_page;

/// A sentence long enough to be content beyond doubt.
const SENTENCE: &str = "This is a long sentence, with commas, words, and more words, so that nobody \
doubts that the page has content, which it plainly has.";

fn check(body: &str, text: &str, markdown: &str) {
    let page = html_page(&format!("<p>{SENTENCE}</p>{body}"));
    let strip = |whole: &str| {
        whole
            .strip_prefix(SENTENCE)
            .unwrap_or_else(|| panic!("lost the sentence: {whole}"))
            .trim_start_matches('\n')
            .to_owned()
    };
    assert_eq!(strip(&page.text), text, "text of {body}");
    assert_eq!(strip(&page.markdown), markdown, "Markdown of {body}");
}

#[test]
fn inline_markup() {
    check(
        "<p>A <b>bold</b> and <em>slanted</em> <code>let x = `1`;</code> <del>gone</del>.</p>",
        "A bold and slanted let x = `1`; gone.",
        "A **bold** and *slanted* ``let x = `1`;`` ~~gone~~.",
    );
    check(
        "<p><b> padded </b>text <i></i>end</p>",
        "padded text end",
        "**padded** text end",
    );
    check(
        "<p>See <a href='../a%20b.html#x'>the <b>page</b></a> or <a href='javascript:x()'>run</a>.</p>",
        "See the page or run.",
        "See [the **page**](https://example.org/a%20b.html#x) or run.",
    );
    check(
        "<p>one<br>two<br><br>three</p>",
        "one\ntwo\n\nthree",
        "one\\\ntwo\n\nthree",
    );
}

#[test]
fn markdown_is_escaped() {
    check(
        "<p>2 * 3 * 4 [x] &lt;b&gt; a_b _c_</p>",
        "2 * 3 * 4 [x] <b> a_b _c_",
        "2 \\* 3 \\* 4 \\[x\\] \\<b> a_b \\_c\\_",
    );
    check("<p># no heading</p>", "# no heading", "\\# no heading");
    check("<p>1. no item</p>", "1. no item", "1\\. no item");
    check("<p>- no item</p>", "- no item", "\\- no item");
    check("<p>&amp;amp; stays</p>", "&amp; stays", "\\&amp; stays");
}

#[test]
fn headings_have_levels_and_no_permalinks() {
    let page = html_page(&format!(
        "<h1>Top<a class='headerlink' href='#top'>¶</a></h1><p>{SENTENCE}</p><h3>Deep <code>x</code></h3><p>{SENTENCE}</p>"
    ));
    let headings: Vec<_> = page.headings().map(|h| (h.level, h.text)).collect();
    assert_eq!(headings, [(1, "Top"), (3, "Deep x")]);
    assert!(page.markdown.contains("# Top\n"), "{}", page.markdown);
    assert!(
        page.markdown.contains("### Deep `x`\n"),
        "{}",
        page.markdown
    );
}

#[test]
fn lists() {
    check(
        "<ul><li>one<li>two<ol start=3><li>three<li>four</ol><li>five</ul>",
        "one\ntwo\nthree\nfour\nfive",
        "- one\n- two\n  3. three\n  4. four\n- five",
    );
    check(
        "<ul><li><p>one</p><p>more</p></li><li>two</li></ul>",
        "one\nmore\ntwo",
        "- one\n\n  more\n- two",
    );
    check(
        "<dl><dt>term</dt><dd>meaning</dd></dl>",
        "term\n\nmeaning",
        "term\n\n: meaning",
    );
    check("<ul><li>a</ul><ul><li>b</ul>", "a\n\nb", "- a\n\n- b");
}

#[test]
fn quotes() {
    check(
        "<blockquote><p>said</p><ul><li>x</li></ul></blockquote>",
        "said\n\nx",
        "> said\n>\n> - x",
    );
}

#[test]
fn code_is_kept_byte_for_byte() {
    let code = "fn main() {\n\tlet a = \"<b>\";\n\n    // ``` تست\u{200C}ها\n}";
    let escaped = code.replace('<', "&lt;");
    let page = html_page(&format!(
        "<p>{SENTENCE}</p><div class='highlight-rust notranslate'><div class='highlight'>\
         <pre><span></span>{}</pre></div></div><p>{SENTENCE}</p>",
        escaped.replace("let", "<span class=k>let</span>")
    ));
    let block = page
        .blocks
        .iter()
        .find(|b| b.kind == BlockKind::Code)
        .expect("code block");
    assert_eq!(&page.text[block.range.clone()], code);
    assert!(
        page.markdown.contains(&format!("````rust\n{code}\n````")),
        "{}",
        page.markdown
    );
}

#[test]
fn line_numbers_are_no_code() {
    let page = html_page(&format!(
        "<p>{SENTENCE}</p><table class=highlighttable><tr><td class=linenos><pre>1\n2</pre></td>\
         <td class=code><pre>a = 1\nb = 2</pre></td></tr></table>"
    ));
    assert!(page.text.ends_with("\n\na = 1\nb = 2"), "{}", page.text);
}

#[test]
fn tables() {
    check(
        "<table><thead><tr><th>Name</th><th>Type</th></tr></thead>\
         <tr><td>a|b</td><td><p>int</p></td></tr><tr><td colspan=2>wide</td></tr></table>",
        "Name | Type\na|b | int\nwide",
        "| Name | Type |\n| --- | --- |\n| a\\|b | int |\n| wide | |",
    );
    check(
        "<table><tr><th>k</th><th>v</th></tr><tr><td rowspan=2>x</td><td>1</td></tr><tr><td>2</td></tr></table>",
        "k | v\nx | 1\n2",
        "| k | v |\n| --- | --- |\n| x | 1 |\n| | 2 |",
    );
}

#[test]
fn layout_tables_are_paragraphs() {
    let page = html_page(&format!(
        "<table role=presentation><tr><td><p>{SENTENCE}</p></td><td><p>{SENTENCE}</p></td></tr></table>"
    ));
    assert!(
        page.blocks
            .iter()
            .all(|block| block.kind == BlockKind::Paragraph)
    );
    assert_eq!(page.blocks.len(), 2);
}

#[test]
fn images() {
    let page = html_page(&format!(
        "<p>{SENTENCE}</p><p><img src='/a (1).png' alt='An  image'><img src='data:x' data-src='b.png'>{SENTENCE}</p>"
    ));
    let images: Vec<_> = page
        .images
        .iter()
        .map(|i| (i.url.as_str(), i.alt.as_str()))
        .collect();
    assert_eq!(
        images,
        [
            ("https://example.org/a%20(1).png", "An image"),
            ("https://example.org/docs/b.png", ""),
        ]
    );
    assert!(
        page.markdown
            .contains("![An image](<https://example.org/a%20(1).png>)")
    );
}

#[test]
fn persian_text_is_untouched() {
    let text = "می‌خواهم کتاب‌هایم را بخوانم، اما «وقت» نمی‌شود؛ شاید ۱۲ فروردین ۱۴۰۲ بهتر باشد.";
    let page = html_page(&format!("<p dir=rtl>{text}</p><p>{text} {text}</p>"));
    assert!(page.text.starts_with(text), "{}", page.text);
    assert_eq!(page.language.as_deref(), Some("fa"));
}
