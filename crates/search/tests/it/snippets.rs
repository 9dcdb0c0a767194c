use proptest::prelude::*;
use search::{Analyzer, Snippet};

use crate::support::{World, page};

fn snippet(text: &str, query: &str) -> Snippet {
    World::with(&[page("/", "title", text)])
        .search(query)
        .hits
        .remove(0)
        .snippet
}

fn marked(snippet: &Snippet) -> String {
    let mut text = snippet.text.clone();
    for range in snippet.highlights.iter().rev() {
        text.insert(range.end, ']');
        text.insert(range.start, '[');
    }
    text
}

#[track_caller]
fn check(text: &str, query: &str, expected: &str) {
    assert_eq!(marked(&snippet(text, query)), expected, "{query:?}");
}

#[test]
fn matching_words_are_marked_in_every_inflection() {
    check("Cats run. A cat ran.", "cat", "[Cats] run. A [cat] ran.");
    check(
        "The view pg_stat_activity.",
        "pg_stat_activity",
        "The view [pg_stat_activity].",
    );
    check(
        "The view pg_stat_activity.",
        "activity",
        "The view pg_stat_[activity].",
    );
    check("او می\u{200c}رود.", "مي رود", "او [می\u{200c}رود].");
    check("او می\u{200c}رود.", "ميرود", "او [می\u{200c}رود].");
    check("علم\u{200c}ورزی", "علم", "[علم]\u{200c}ورزی");
    check("Numbers ۱۲۳ here", "123", "Numbers [۱۲۳] here");
}

#[test]
fn blanks_are_folded_and_nothing_is_markup() {
    check(
        "one\ttwo\n three   <b>four</b>",
        "four",
        "one two three <b>[four]</b>",
    );
}

#[test]
fn the_densest_part_of_a_long_text_is_shown() {
    let filler = "Nothing to see in this sentence at all. ".repeat(20);
    let text = format!("A lone alpha. {filler}Here alpha meets beta at last. {filler}");
    let snippet = snippet(&text, "alpha beta");
    assert!(
        marked(&snippet).contains("Here [alpha] meets [beta] at last."),
        "{}",
        marked(&snippet)
    );
    assert!(snippet.text.starts_with('…') && snippet.text.ends_with('…'));
    assert!(snippet.text.chars().count() <= 242);
}

#[test]
fn without_a_match_in_the_text_its_beginning_is_shown() {
    let snippet = snippet("Nothing of it here.", "title");
    assert_eq!(snippet.text, "Nothing of it here.");
    assert!(snippet.highlights.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn highlights_are_words_of_the_query(
        words in prop::collection::vec("(alpha|beta|gammas|کتاب‌ها|می‌رود|foo_bar|[a-z]{1,8}|\\PC{1,3}|\n)", 1..120),
        query in prop::collection::vec("(alpha|beta|gamma|كتاب|مي رود|foo_bar)", 1..4),
    ) {
        // Something matches for certain, and no `#` begins a heading.
        let text = format!("Well: {} alpha", words.join(" "));
        let query = format!("alpha {}", query.join(" "));
        let snippet = snippet(&text, &query);
        let mut analyzer = Analyzer::new();
        let wanted: Vec<String> =
            analyzer.analyze(&query.replace('\u{200c}', " "), None).into_iter().map(|t| t.text).collect();
        let mut end = 0;
        for range in &snippet.highlights {
            prop_assert!(range.start >= end && range.start < range.end);
            end = range.end;
            let part = snippet.text.get(range.clone());
            prop_assert!(part.is_some());
            let tokens = analyzer.analyze(part.unwrap_or_default(), None);
            let joined_or_part = |text: &String| wanted.contains(text) || text == "میرود" || text == "کتابها";
            prop_assert!(tokens.iter().any(|t| joined_or_part(&t.text)), "{part:?}");
        }
        prop_assert!(snippet.text.chars().count() <= 242 + 16, "{}", snippet.text);
        prop_assert!(!snippet.text.chars().any(char::is_control));
    }
}
