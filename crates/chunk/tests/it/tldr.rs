use chunk::{summarize, words};

pub(crate) const ENGLISH: &str = "Telescopes gather light with a lens or a mirror. The mirror of a reflecting \
telescope gathers more light because a mirror can be made larger than a lens. Bring a warm coat. \
A larger mirror of a telescope also shows finer detail, as long as the air is calm. A larger \
mirror of a telescope also shows finer detail, as long as the air is calm. My cousin once lost a \
glove. Most observers therefore choose a telescope by the diameter of its mirror and not by its \
magnification. Tea is served at ten.";

pub(crate) const PERSIAN: &str = "تلسکوپ نور را با عدسی یا آینه جمع می‌کند. آینه‌ی تلسکوپ بازتابی نور بیشتری جمع \
می‌کند، زیرا آینه را می‌توان از عدسی بزرگ‌تر ساخت. لباس گرم بیاورید. آینه‌ی بزرگ‌تر جزئیات ظریف‌تری هم \
نشان می‌دهد، اگر هوا آرام باشد. پسرخاله‌ام یک بار دستکش خود را گم کرد. به همین دلیل بیشتر رصدگران تلسکوپ \
را بر پایه‌ی قطر آینه برمی‌گزینند و نه بزرگ‌نمایی. چای ساعت ده آماده است.";

fn check(text: &str, language: &str, words_max: usize, expected: &str) {
    assert_eq!(summarize(text, Some(language), words_max), expected);
}

#[test]
fn picks_what_the_text_is_about() {
    check(
        ENGLISH,
        "en",
        40,
        "The mirror of a reflecting telescope gathers more light because a mirror can be made \
         larger than a lens. A larger mirror of a telescope also shows finer detail, as long as \
         the air is calm.",
    );
    let persian = summarize(PERSIAN, Some("fa"), 40);
    assert!(persian.contains("تلسکوپ بازتابی"), "{persian}");
    assert!(
        !persian.contains("دستکش") && !persian.contains("چای"),
        "{persian}"
    );
}

#[test]
fn fragments_are_set_apart() {
    let list = "a film canister with a hole\na screwdriver or a hex key\na bright star";
    check(
        list,
        "en",
        12,
        "a film canister with a hole; a screwdriver or a hex key",
    );
    let persian = "قوطی فیلم با سوراخ\nپیچ‌گوشتی یا آچار آلن\nستاره‌ای پرنور برای آزمون";
    check(persian, "fa", 8, "قوطی فیلم با سوراخ؛ پیچ‌گوشتی یا آچار آلن");
}

#[test]
fn repeats_nothing() {
    let summary = summarize(ENGLISH, Some("en"), 60);
    assert_eq!(summary.matches("finer detail").count(), 1, "{summary}");
}

#[test]
fn short_text_is_its_own_summary() {
    check("Two  words.\nMore here.", "en", 10, "Two words. More here.");
    check("", "en", 10, "");
}

#[test]
fn a_long_first_sentence_is_cut_between_words() {
    check(
        "one two three, four five six seven",
        "en",
        3,
        "one two three…",
    );
    check("یک دو سه چهار پنج می‌شود شش", "fa", 2, "یک دو…");
    check("one — two — three four five", "en", 3, "one — two…");
}

#[test]
fn never_longer_than_asked() {
    for text in [
        ENGLISH,
        PERSIAN,
        &"- x ".repeat(300),
        &"word ".repeat(300),
        &"好".repeat(300),
    ] {
        for words_max in [1, 2, 5, 17, 40, 100] {
            let summary = summarize(text, None, words_max);
            assert!(
                words(&summary).count() <= words_max,
                "{words_max}: {summary}"
            );
            assert!(
                summary.split_whitespace().count() <= words_max,
                "{words_max}: {summary}"
            );
            assert!(!summary.is_empty());
        }
    }
}
