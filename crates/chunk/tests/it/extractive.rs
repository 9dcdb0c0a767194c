//! Summaries by sentences of the text itself.

use std::ops::Range;

use chunk::{SummaryOptions, extract_for_query, extract_summary, rank_sentences, sentences, words};
use proptest::prelude::*;

use crate::tldr::{ENGLISH, PERSIAN};

/// A report as newspapers write it: the news first, then what led to it.
const NEWS: &str = "The city council voted on Tuesday to close the old iron bridge to cars from next \
spring. Engineers had found cracks in eleven of its forty beams during an inspection in March.

\"We could not wait for the bridge to decide for us,\" said the mayor. Buses will cross the river by the \
northern bridge, which adds six minutes to the journey. Shopkeepers on Mill Street fear for their trade \
and ask for lower rents while the work lasts.

The bridge was built in 1898 and carries nine thousand cars a day. Repairs will take two years and cost \
fourteen million, of which the state pays half. Cyclists and people on foot may keep using the bridge \
throughout.

Read more\nBridges of the region";

const PERSIAN_NEWS: &str = "شورای شهر روز سه‌شنبه رأی داد که پل آهنی قدیمی از بهار آینده به روی خودروها بسته \
شود. مهندسان در بازرسی اسفندماه در یازده تیر از چهل تیر پل ترک پیدا کرده بودند.

«نمی‌توانستیم صبر کنیم تا پل برای ما تصمیم بگیرد»؛ این را شهردار گفت. اتوبوس‌ها از پل شمالی می‌گذرند و سفر \
شش دقیقه طولانی‌تر می‌شود. کسبه‌ی خیابان آسیاب نگران بازار خود هستند و خواهان اجاره‌ی کمتر در زمان تعمیر پل‌اند.

این پل در سال ۱۲۷۷ ساخته شده و روزانه نه هزار خودرو از آن می‌گذرد. تعمیر پل دو سال طول می‌کشد و چهارده \
میلیون هزینه دارد که نیمی از آن را دولت می‌پردازد. دوچرخه‌سواران و پیادگان همچنان می‌توانند از پل بگذرند.";

fn options(language: &str, words_max: usize, sentences_max: usize) -> SummaryOptions<'_> {
    SummaryOptions {
        language: Some(language),
        title: "",
        words_max,
        sentences_max,
    }
}

fn all_ranges(text: &str) -> Vec<Range<usize>> {
    rank_sentences(text, None)
        .into_iter()
        .map(|r| r.range)
        .collect()
}

#[test]
fn every_sentence_is_ranked_in_text_order() {
    for text in [
        ENGLISH,
        PERSIAN,
        NEWS,
        PERSIAN_NEWS,
        "",
        " \n ",
        "no mark at all",
        "...",
        "🔭",
    ] {
        assert_eq!(all_ranges(text), sentences(text), "{text}");
    }
}

#[test]
fn asides_are_left_out() {
    for (text, language, asides) in [
        (ENGLISH, "en", ["glove", "coat", "Tea"]),
        (PERSIAN, "fa", ["دستکش", "لباس", "چای"]),
    ] {
        let summary = extract_summary(text, &options(language, 100, 3));
        assert_eq!(summary.sentences.len(), 3, "{summary:?}");
        for aside in asides {
            assert!(!summary.text.contains(aside), "{aside}: {}", summary.text);
        }
    }
}

/// As they came out when the weights were chosen: a change here is a change of
/// every summary, and wants `gleaner eval summaries` again.
#[test]
fn snapshots_of_three_sentences() {
    let check = |text, language, expected: [&str; 3]| {
        let summary = extract_summary(text, &options(language, 60, 3));
        let sentences: Vec<&str> = summary
            .sentences
            .iter()
            .map(|range| &text[range.clone()])
            .collect();
        assert_eq!(sentences, expected);
        assert_eq!(summary.text, expected.join(" "));
    };
    check(
        NEWS,
        "en",
        [
            "The city council voted on Tuesday to close the old iron bridge to cars from next spring.",
            "Engineers had found cracks in eleven of its forty beams during an inspection in March.",
            "Buses will cross the river by the northern bridge, which adds six minutes to the journey.",
        ],
    );
    check(
        PERSIAN_NEWS,
        "fa",
        [
            "شورای شهر روز سه\u{200c}شنبه رأی داد که پل آهنی قدیمی از بهار آینده به روی خودروها بسته شود.",
            "مهندسان در بازرسی اسفندماه در یازده تیر از چهل تیر پل ترک پیدا کرده بودند.",
            "اتوبوس\u{200c}ها از پل شمالی می\u{200c}گذرند و سفر شش دقیقه طولانی\u{200c}تر می\u{200c}شود.",
        ],
    );
}

#[test]
fn says_nothing_twice() {
    let summary = extract_summary(ENGLISH, &options("en", 1000, 6));
    assert_eq!(
        summary.text.matches("finer detail").count(),
        1,
        "{}",
        summary.text
    );
}

#[test]
fn a_title_draws_what_it_names() {
    let about = |title| {
        let options = SummaryOptions {
            title,
            ..options("en", 30, 1)
        };
        extract_summary(NEWS, &options).text
    };
    assert!(about("Shopkeepers of Mill Street fear for their trade").contains("Shopkeepers"));
    assert!(about("Council votes to close iron bridge").contains("voted"));
}

#[test]
fn a_text_that_fits_is_its_own_summary() {
    let summary = extract_summary("Two  words.\nMore here.", &options("en", 10, 3));
    assert_eq!(summary.text, "Two words. More here.");
    assert_eq!(summary.sentences, [0..11, 12..22]);
    for nothing in ["", " \n\t ", "\u{200c}"] {
        let summary = extract_summary(nothing, &options("fa", 10, 3));
        assert!(summary.text.trim().is_empty() || nothing.contains('\u{200c}'));
    }
    for options in [options("en", 0, 3), options("en", 10, 0)] {
        assert_eq!(extract_summary(ENGLISH, &options), Default::default());
    }
}

#[test]
fn a_sentence_too_long_is_cut_between_words() {
    let check = |text: &str, words_max, expected: &str| {
        let summary = extract_summary(text, &options("en", words_max, 3));
        assert_eq!(summary.text, expected);
        assert_eq!(summary.sentences.len(), 1);
    };
    check("one two three, four five six", 3, "one two three…");
    check("یک دو سه چهار پنج می‌شود شش", 2, "یک دو…");
    check("- - - - -", 2, "- -");
}

#[test]
fn texts_without_marks_and_of_one_sentence_are_bounded() {
    let endless = "word ".repeat(200_000);
    let summary = extract_summary(&endless, &options("en", 50, 3));
    assert_eq!(words(&summary.text).count(), 50);
    let same = "The very same sentence is here again. ".repeat(20_000);
    let summary = extract_summary(&same, &options("en", 10_000, 200));
    assert_eq!(summary.text, "The very same sentence is here again.");
}

#[test]
fn answers_hold_the_words_asked_for() {
    let best = |text, query, language| -> &str {
        let found = extract_for_query(text, query, Some(language), 3);
        found.first().map_or("", |best| &text[best.range.clone()])
    };
    assert!(best(NEWS, "When was the bridge built?", "en").contains("1898"));
    assert!(best(NEWS, "What do repairs cost?", "en").contains("fourteen million"));
    assert!(best(NEWS, "cracked beam", "en").contains("cracks"));
    assert!(best(PERSIAN_NEWS, "تعمیر پل چقدر هزینه دارد؟", "fa").contains("چهارده"));
    // The other keyboard's letters, and no ZWNJ.
    assert!(best(PERSIAN_NEWS, "هزينه تعمير", "fa").contains("چهارده"));
    assert!(best(PERSIAN_NEWS, "چه کسی نگران اجاره است؟", "fa").contains("کسبه"));
    assert_eq!(best(NEWS, "Who won the football match?", "en"), "");
    assert_eq!(best(NEWS, "", "en"), "");
    assert_eq!(best("", "bridge", "en"), "");
}

#[test]
fn a_question_is_not_its_own_answer() {
    let faq =
        "What does a mirror cost? It is sold for ninety. What does a lens cost? Ask at the desk.";
    let found = extract_for_query(faq, "What does a mirror cost?", Some("en"), 2);
    assert_eq!(&faq[found[0].range.clone()], "It is sold for ninety.");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn summaries_are_sentences_within_the_budget(
        text in "(([a-zA-Z]{1,6}|[آ-ی]{1,4}(\u{200c}[آ-ی]{1,3})?|[۰-۹0-9]{1,3}|[—«»()\"-]|🔭)[ ,،]?( |[.!?؟۔…] |\n|\n\n)?){0,80}",
        title in "([a-z]{1,4} ){0,4}",
        words_max in 1usize..40,
        sentences_max in 1usize..6,
    ) {
        let options = SummaryOptions { language: None, title: &title, words_max, sentences_max };
        let summary = extract_summary(&text, &options);
        let known = sentences(&text);
        prop_assert!(summary.sentences.len() <= sentences_max);
        prop_assert_eq!(summary.sentences.is_empty(), known.is_empty());
        prop_assert!(words(&summary.text).count() <= words_max, "{:?}", summary);
        prop_assert!(summary.sentences.windows(2).all(|two| two[0].end <= two[1].start));
        let is_cut = summary.text.ends_with('…');
        for range in &summary.sentences {
            let whole = known.iter().find(|s| s.start == range.start);
            let whole = whole.expect("a sentence of the text");
            prop_assert!(range.end <= whole.end);
            prop_assert!(is_cut || range == whole || summary.sentences.len() == 1);
            for word in text[range.clone()].split_whitespace() {
                prop_assert!(summary.text.contains(word));
            }
        }
        prop_assert_eq!(&summary, &extract_summary(&text, &options));
    }

    #[test]
    fn answers_are_sentences_best_first(
        text in "(([a-c]{1,2}|[آ-ث]{1,2}|[0-9])( |[.?؟] |\n)){0,60}",
        query in "([a-c]{1,2} |[آ-ث]{1,2} |[0-9] ){0,6}",
        sentences_max in 0usize..5,
    ) {
        let found = extract_for_query(&text, &query, None, sentences_max);
        let known = sentences(&text);
        prop_assert!(found.len() <= sentences_max);
        prop_assert!(found.windows(2).all(|two| two[0].score >= two[1].score));
        for (i, one) in found.iter().enumerate() {
            prop_assert!(known.contains(&one.range) && one.score > 0.0);
            prop_assert!(found[..i].iter().all(|other| other.range != one.range));
        }
    }
}
