//! The dashboard's Ask, as a person uses it.

use serde_json::{Value, json};

use crate::http::Running;
use crate::mock_model::{MockModel, Said};
use crate::webdriver::Browser;

const MARKUP: &str = "<img src=x onerror=window.ran=1>";

fn import(server: &Running) {
    let pages = [
        json!({"url": "https://lighthouse.example/history", "title": format!("Lighthouse {MARKUP}"), "language": "en",
            "markdown": format!("# Lighthouse\n\nThe lighthouse was built in 1912 by the harbour board. {MARKUP} Two ships were lost before.")}),
        json!({"url": "https://fanoos.example/", "title": "فانوس دریایی",
            "markdown": "# فانوس دریایی\n\nفانوس دریایی بندر در سال ۱۲۹۱ ساخته شد و هنوز هر شب روشن می‌شود. این فانوس را هیئت بندر پس از غرق شدن دو کشتی ساخت."}),
    ];
    let lines: String = pages.iter().map(|page| format!("{page}\n")).collect();
    let path = "/api/v2/pages/bulk";
    let stored = server.ask_with("POST", path, &[], "application/x-ndjson", lines.as_bytes());
    assert_eq!(stored.is(200).json()["added"], 2);
}

const ANSWERED: &str =
    "return !document.querySelector('.view.ask[aria-busy]') && find('.answer > *');";

fn ask(browser: &Browser, question: &str) {
    browser.run("field('Question').value = '';", &[]);
    browser.write("Question", question);
    browser.click("button", "Ask");
    browser.until("an answer", ANSWERED, &[]);
}

#[test]
fn a_question_is_answered_cited_followed_refused_and_quoted() {
    let model = MockModel::start(|prompt| {
        let source = |text: &str| prompt.source_that_says(text).unwrap_or(9);
        if prompt.user.contains("When was") {
            let text = format!(
                "Built in **1912** [{}], says [a page](http://evil.example). {MARKUP}\n\n- one\n- two [9]",
                source("1912")
            );
            Said::text(&text)
        } else if prompt.user.contains("چه سالی") {
            Said::text(&format!("در سال ۱۲۹۱ [{}].", source("۱۲۹۱")))
        } else {
            Said::text("NOT_FOUND_IN_SOURCES")
        }
    });
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve_with(dir.path(), &model.env());
    let browser = Browser::start();
    let open = |query: &str| browser.open(&format!("http://{}/#/ask{query}", server.address));

    open("");
    ask(&browser, "When was the lighthouse built?");
    browser.element(".empty h2", "Nothing to ask yet");
    import(&server);
    browser.reload();
    // The address keeps the question; asking again is up to the reader.
    browser.until(
        "the question",
        "return field('Question')?.value === 'When was the lighthouse built?';",
        &[],
    );
    assert_eq!(browser.run("return all('.answer > *').length", &[]), 0);
    browser.click("button", "Ask");
    browser.element(".answer .prose strong", "1912");
    browser.element(".answer .prose li", "two");
    browser.element(".answer .prose", MARKUP);
    browser.element("[role=status]", "Written by mock");
    browser.element(".answer .hint", "1 source that it was not given");
    let links =
        "return all('.answer a').length + all('main img, main script').length + (window.ran ?? 0);";
    assert_eq!(browser.run(links, &[]), 0);

    // From the citation to its source, and on to the page.
    browser.click("button.cite", "1");
    let is_there = "return document.activeElement?.id === 'source-1';";
    browser.until("the source", is_there, &[]);
    browser.click("#source-1 summary", "Show the passage");
    browser.element("#source-1 .passage", "built in 1912");
    browser.click("#source-1 h3 a", "Lighthouse");
    browser.element("article", "harbour board");

    // Right to left, as its letters are; asked by the keyboard.
    open("");
    browser.write("Question", "فانوس دریایی در چه سالی ساخته شد؟\n");
    browser.element(".answer .prose p", "در سال ۱۲۹۱");
    let directions = "return [field('Question'), find('.answer .prose p'), find('.source-list h3')]
        .map((node) => getComputedStyle(node).direction);";
    assert_eq!(browser.run(directions, &[]), json!(["rtl", "rtl", "rtl"]));

    ask(&browser, "Who painted the lighthouse of the harbour board?");
    browser.element(".empty h2", "Not found in your sources");
    browser.element(".empty a", "Search instead");

    browser.click("label", "Only quote");
    ask(&browser, "When was the lighthouse built?");
    browser.element(".answer .prose p", "built in 1912 by the harbour board");
    browser.element("[role=status]", "Quoted from the sources");
    let errors = browser.console_errors();
    assert!(errors.is_empty(), "{errors:#?}");

    // The connection is gone: told, and the question kept.
    server.stop();
    browser.click("button", "Ask");
    browser.element(".answer .problem", "cannot be reached");
    let kept = browser.run("return field('Question').value;", &[]);
    assert_eq!(kept, Value::from("When was the lighthouse built?"));
}
