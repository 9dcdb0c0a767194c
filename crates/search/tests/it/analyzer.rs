use proptest::prelude::*;
use search::Analyzer;

/// Tokens joined by blanks; `+` marks the whole of a compound.
fn tokens(text: &str, language: Option<&str>) -> String {
    let tokens = Analyzer::new().analyze(text, language);
    let words: Vec<String> = tokens
        .into_iter()
        .map(|token| {
            if token.whole {
                format!("+{}", token.text)
            } else {
                token.text
            }
        })
        .collect();
    words.join(" ")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(tokens(text, None), expected, "{text:?}");
}

#[track_caller]
fn check_in(language: &str, text: &str, expected: &str) {
    assert_eq!(
        tokens(text, Some(language)),
        expected,
        "{text:?} in {language}"
    );
}

/// All spellings analyse to the same tokens.
#[track_caller]
fn check_same(spellings: &[&str]) {
    for spelling in &spellings[1..] {
        assert_eq!(
            tokens(spellings[0], None),
            tokens(spelling, None),
            "{spelling:?}"
        );
    }
}

#[test]
fn english_words_are_folded_and_stemmed() {
    check("Hello, World!", "hello world");
    check("running runs ran", "run run ran");
    check("The cats' whiskers", "the cat whisker");
    check("the dog's bowl", "the dog bowl");
    check("the dog’s bowl", "the dog bowl");
    check("don't", "don t");
    check("state-of-the-art", "state of the art");
    check("HTTP", "http");
    check("caresses", "caress");
    check("", "");
    check("  \n\t ", "");
    check("!?.,;", "");
}

#[test]
fn names_yield_the_whole_and_their_parts() {
    check("pg_stat_activity", "+pg_stat_activity pg stat activ");
    check("foo.bar", "+foo.bar foo bar");
    check("end. Next", "end next");
    check("CamelCase", "+camelcas camel case");
    check("HTTPServer", "+httpserver http server");
    check("parseHTML5", "+parsehtml5 pars html5");
    check("PostgreSQL", "+postgresql postgr sql");
    check("IDs", "id");
    check("__init__", "init");
    check("1.2.3", "+1.2.3 1 2 3");
    check("std::vec::Vec", "std vec vec");
    check("user@example.com", "user +example.com exampl com");
    check("utf8", "utf8");
    check("C++", "c");
    check("x_", "x");
    check("_", "_");
}

#[test]
fn compatibility_forms_case_and_diacritics_do_not_matter() {
    check("Ｆｕｌｌｗｉｄｔｈ", "fullwidth");
    check("ﬁle", "file");
    check("café", "cafe");
    check("cafe\u{301}", "cafe");
    check("Straße", "strass");
    check("STRASSE", "strass");
    check("naïve", "naiv");
    check("ÅNGSTRÖM", "angstrom");
    check("Ελλάδα", "ελλαδ");
    check("so\u{ad}ft", "soft");
}

#[test]
fn arabic_and_persian_letters_fold_together() {
    check_same(&["کتاب", "كتاب"]);
    check_same(&["ایرانی", "ايراني", "ایرانى"]);
    check_same(&["مسئول", "مسيول", "مسیول"]);
    check_same(&["آب", "اب", "أب", "إب", "ٱب"]);
    check_same(&["مؤسسه", "موسسه", "مؤسسة"]);
    check_same(&["خانهٔ", "خانه", "خانة", "خانۀ"]);
    check_same(&["مُحَمَّد", "محمد", "محـــمد"]);
    check_same(&["۱۴۰۲", "١٤٠٢", "1402"]);
    check_same(&["इ२", "इ2"]);
    check_same(&["جزء", "جز"]);
    check("سلام، دنیا؟", "سلام دنیا");
    check("«نقل»", "نقل");
}

#[test]
fn zwnj_words_yield_their_joined_spelling_and_their_parts() {
    check("می\u{200c}رود", "+میرود می رود");
    check("می رود", "می رود");
    check("میرود", "میرود");
    check("کتاب\u{200c}ها", "+کتابها کتاب ها");
    check("نمی\u{200c}توان\u{200c}گفت", "+نمیتوانگفت نمی توان گفت");
    // At the edge of a word it joins nothing.
    check("کتاب\u{200c} ها", "کتاب ها");
    check("\u{200c}کتاب", "کتاب");
}

#[test]
fn mixed_scripts_are_stemmed_word_by_word() {
    check("نصب Linux روی servers", "نصب linux روی server");
    check_in("fa", "کتابخانه running", "کتابخانه run");
    check("Книги книга", "книг книг");
    check_in("de", "Häuser Bücher", "haus buch");
    check_in("fr", "nationales", "national");
    check_in("ar", "المكتبة", "مکتب");
    // A language says nothing about words in another script.
    check_in("ar", "running", "run");
    check_in("xx", "running", "run");
}

#[test]
fn scripts_without_blanks_are_indexed_by_pairs() {
    check("東京都", "東京 京都");
    check("東", "東");
    check("東京tower", "東京 tower");
    check("서울시", "서울 울시");
}

#[test]
fn long_runs_are_cut_alike_everywhere() {
    let long = "x".repeat(5000);
    let tokens = Analyzer::new().analyze(&long, None);
    assert!(tokens.iter().all(|token| token.text.len() <= 96));
    assert!(!tokens.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn tokens_lie_in_order_on_character_boundaries(
        text in "([a-zA-Z_.'é0-9 ]|[آ-ی]|\u{200c}|\u{301}|[あ-ん]|\\PC){0,60}"
    ) {
        let reserved = [' ', '\u{1}'];
        let tokens = Analyzer::new().analyze(&text, None);
        let mut position = 0;
        for token in tokens {
            prop_assert!(text.get(token.range.clone()).is_some_and(|part| !part.is_empty()));
            prop_assert!(!token.text.is_empty() && !token.text.contains(reserved));
            prop_assert!(token.position == position || token.position == position + 1 || position == 0);
            position = token.position;
        }
    }
}
