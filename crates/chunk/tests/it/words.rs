use unicode_segmentation::UnicodeSegmentation;

fn check(text: &str, expected: &[&str]) {
    let got: Vec<&str> = chunk::words(text).collect();
    assert_eq!(got, expected, "{text}");
}

#[test]
fn words_stay_whole() {
    check("Don't stop, snake_case!", &["Don't", "stop", "snake_case"]);
    check(
        "می‌شود کتاب‌ها را خواند.",
        &["می‌شود", "کتاب‌ها", "را", "خواند"],
    );
    check(
        "۱۲۳ ٤٥٦ 7.8 1,000 ۳٫۱۴",
        &["۱۲۳", "٤٥٦", "7.8", "1,000", "۳٫۱۴"],
    );
    check("مُحَمَّد «سلام»", &["مُحَمَّد", "سلام"]);
    check("é\u{301}té l’été", &["é\u{301}té", "l’été"]);
    check(
        "你好 カタカナ ひら 한국어",
        &["你", "好", "カタカナ", "ひ", "ら", "한국어"],
    );
    check("🔭 — … !", &[]);
    check("example.org a/b _ __", &["example.org", "a", "b"]);
}

/// The crate's own scanner is a faster spelling of Annex 29; this is the oracle.
fn same_as_the_standard(text: &str) {
    let got: Vec<&str> = chunk::words(text).collect();
    // A lone mark is Alphabetic and thus a word to the oracle; not to a reader.
    let is_letter = |c: char| c.is_alphanumeric() && !('\u{64b}'..='\u{65f}').contains(&c);
    let expected: Vec<&str> = text
        .unicode_words()
        .filter(|word| word.contains(is_letter))
        .collect();
    assert_eq!(got, expected, "{text:?}");
}

#[test]
fn same_words_as_annex_29_on_prose() {
    for text in [
        "It's 3.5 m wide; Mr. O'Neill's v1.2_beta (a.k.a. \"X-9\") costs $1,299.00 -- ok?",
        "این رصدخانه در سال ۱۳۹۸ ساخته شد؛ بازدید رایگان است و می‌توانید بیایید!",
        "هٰذا مَرصَدٌ، في الساعة ٨:٣٠؛ والسعر ١٬٠٠٠٫٥ دينار.",
        "Прогноз: ясно, 12:30. Ελληνικά, ώρα 9.5· naïve façade Übergröße",
        "日本語のテキストと、カタカナとABC123を混ぜる。한국어 문장.",
    ] {
        same_as_the_standard(text);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]
    #[test]
    fn same_words_as_annex_29(
        text in "[a-cA-C0-3 _.,:;'’‘\"()\\-پگیكي\u{200c}۱۲٣َّ،؛؟é\u{301}жΩ你かカ…🔭\n]{0,40}"
    ) {
        same_as_the_standard(&text);
    }
}
