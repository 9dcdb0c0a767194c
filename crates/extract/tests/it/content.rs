use crate::{html_page, page_of};

const PARAGRAPH: &str = "<p>The committee met on Tuesday, and after a long debate, in which many \
took part, it decided to keep the old bridge, to repair its piers, and to paint it green again.</p>";

fn article(around: impl Fn(&str) -> String) -> String {
    let content = PARAGRAPH.repeat(5);
    let html = format!(
        "<!doctype html><title>Bridge</title><body>{}</body>",
        around(&content)
    );
    page_of(html.as_bytes(), Some("text/html")).text
}

#[track_caller]
fn check(text: &str, present: &[&str], absent: &[&str]) {
    assert_eq!(text.matches("The committee met").count(), 5, "{text}");
    for part in present {
        assert!(text.contains(part), "lost {part:?}: {text}");
    }
    for part in absent {
        assert!(!text.contains(part), "kept {part:?}: {text}");
    }
}

#[test]
fn surroundings_go() {
    let text = article(|content| {
        format!(
            "<nav><ul><li><a href=/>Home</a><li><a href=/news>All news</a></ul></nav>\
             <div class=sidebar><h3>Most read</h3><a href=/1>Some other story</a></div>\
             <div class=article-body><h1>Old bridge stays</h1>{content}\
             <div class=share-bar><a href=/f>Share on Foo</a></div></div>\
             <footer>Copyright by nobody, all rights reserved</footer>"
        )
    });
    check(
        &text,
        &["Old bridge stays"],
        &["Home", "Most read", "Share on", "Copyright"],
    );
}

#[test]
fn hidden_parts_and_dialogs_go() {
    let text = article(|content| {
        format!(
            "<div>{content}<p hidden>secret one</p><p style='color:red; display : none'>secret two</p>\
             <div aria-modal=true role=dialog><p>We value your privacy, so accept our cookies.</p></div></div>"
        )
    });
    check(&text, &[], &["secret", "privacy"]);
}

#[test]
fn boxes_named_like_sidebars_stay_when_they_hold_the_text() {
    let text = article(|content| {
        format!("<div id=header-wrap class='sidebar widget'>{content}</div><div>Imprint</div>")
    });
    check(&text, &[], &[]);
}

#[test]
fn code_and_tables_in_the_content_stay() {
    let text = article(|content| {
        format!(
            "<div class=content>{content}<div class=highlight><pre>x = 1</pre></div>\
             <table><tr><th>Year</th><th>Paint</th></tr><tr><td>1901</td><td>red</td></tr></table></div>"
        )
    });
    check(&text, &["x = 1", "1901 | red"], &[]);
}

#[test]
fn short_pages_yield_their_text() {
    let page = html_page("<h1>Opening hours</h1><p>Open daily from 9 to 5.</p>");
    assert_eq!(page.text, "Opening hours\n\nOpen daily from 9 to 5.");
}

#[test]
fn tables_of_contents_yield_their_text() {
    let items: String = (1..40)
        .map(|n| format!("<li><a href='c{n}.html'>Chapter number {n}</a></li>"))
        .collect();
    let page = html_page(&format!("<h1>The manual</h1><ul>{items}</ul>"));
    assert!(page.text.contains("The manual"), "{}", page.text);
    assert!(page.text.contains("Chapter number 39"), "{}", page.text);
}

#[test]
fn a_page_of_loose_text_and_breaks() {
    let line = "It was the best of times, it was the worst of times, it was the age of wisdom.";
    let html = format!("<body><center>{}</center>", [line; 12].join("<br><br>"));
    let page = page_of(html.as_bytes(), Some("text/html"));
    assert_eq!(page.text.matches("best of times").count(), 12);
    assert_eq!(page.blocks.len(), 12);
}
