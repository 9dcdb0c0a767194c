//! One line per case: `|` stands where a sentence ends.

fn check(marked: &str) {
    let parts: Vec<&str> = marked.split('|').map(str::trim).collect();
    let text = marked.replace('|', "");
    let got: Vec<&str> = chunk::sentences(&text)
        .into_iter()
        .map(|r| &text[r])
        .collect();
    assert_eq!(got, parts, "{marked}");
}

#[test]
fn english() {
    check("One. | Two! | Three? | Four");
    check("The mirror is 3.5 m wide. | It weighs 12.25 t.");
    check("Dr. Amini met Prof. Lee and Mrs. Kaya at 5 p.m. on Monday. | They left early.");
    check("See Fig. 3 and Sec. 4.2 for details. | The rest is in vol. 2, pp. 10-12.");
    check("Use a filter, e.g. a UHC one, i.e. a narrow band. | It helps.");
    check("J. R. R. Tolkien wrote it. | So did C. S. Lewis.");
    check("The U.S. Navy keeps time. | It is 9 a.m. now.");
    check("He works at Foo Inc. | The company is old.");
    check("He works at Foo Inc. and likes it.");
    check("Release v1.2 is out. | Read example.org/a.html?b=1.2 first. | Thanks!");
    check("Go to https://example.org/path?q=x!y. | Then log in.");
    check("\"Are you sure?\" she asked. | \"Yes.\" | He nodded.");
    check("It works (really!) on all machines. | Try it.");
    check("(This is a note.) | The text goes on.");
    check("Wait... what happened? | Nothing...");
    check("Wait… | What?! | No way!!");
    check("Version 16. | The next one is 17.");
    check("1. Open the dome. | 2. Switch on the mount.");
    check("Call psql. | pg_dump does the rest. | libpq is linked.");
    check("The server starts. | psql connects to it.");
    check("Add approx. five drops. | Stir.");
    check("Etc. and so on, Smith et al. wrote. | Done.");
    check("It cites [3]. | Others agree.[12] | Some don't.");
    check("He has a Ph.D. in physics. | She has an M.D. too.");
    check("Between Jan. 3 and Feb. 5 it rains. | No. | I will stay at No. 5.");
    check("We are you and I. | They are not.");
    check("first line of a list | \nsecond line | \nthird line");
    check(
        "A line that was wrapped by hand after some sixty characters or\nso goes on here. | End.",
    );
    check("A heading without a mark | \n\nA paragraph below it.");
    check("Is it 5 o'clock? | yes it is.");
    check("a.b.c() is a call. | foo!(x) is another.");
    check("*Really.* | _Yes._ | Ok");
    check("They live in the U.S. | The rent is high.");
    check("Ask Mr. T. He left early.");
}

#[test]
fn other_latin_languages() {
    check("Das kostet ca. 5 Euro, z.B. für Dr. Maier. | Das ist alles.");
    check("Voir la page 3. | C'est tout.");
    check("¿Qué hora es? | Son las 3.15 h. | ¡Vamos!");
    check("これは本です。|それはペンですか？|はい！|「そうです。」|終わり");
    check("यह एक वाक्य है। | यह दूसरा है।");
}

#[test]
fn persian() {
    check("این یک جمله است. | این هم جمله‌ی دوم است!");
    check("آیا می‌آیی؟ | بله، می‌آیم.");
    check("قطر آینه ۳.۵ متر است. | وزن آن ۱۲.۲۵ تن است.");
    check("م. امید شاعر بود. | نام او مهدی اخوان ثالث بود.");
    check("در سال ۱۳۵۷ ه.ش. رخ داد. | بعد از آن تغییر کرد.");
    check("بنگرید به ص. ۱۲ و ج. ۲ کتاب. | تمام شد.");
    check("او پرسید: «چرا؟» و رفت. | دیگر بازنگشت.");
    check("گفت: «بیا.» | سپس خاموش شد.");
    check("کتاب‌ها را می‌خوانیم… | شاید فردا.");
    check("نشانی example.ir را ببینید. | سپس ثبت‌نام کنید.");
    check("جمله اول است.|جمله دوم است.");
    check("رصد ساعت ۲۰:۳۰ آغاز می‌شود (حتی در باران!) و تا نیمه‌شب ادامه دارد. | بیایید.");
    check("خط نخست | \nخط دوم | \nخط سوم");
    check("۱. تلسکوپ را تراز کنید. | ۲. یابنده را تنظیم کنید.");
    check("یہ جملہ ہے۔ | یہ دوسرا ہے۔");
}

#[test]
fn arabic() {
    check("هذه جملة. | وهذه جملة ثانية!");
    check("هل تسمعني؟ | نعم، أسمعك.");
    check("قال: «اذهب!» | ثم سكت.");
    check("بلغت النسبة ٣.٥ في المئة. | وهذا كثير.");
    check("السعر ١٢٫٥ دينار؛ وهو مناسب. | اشتريته.");
}

#[test]
fn nothing_in_nothing_out() {
    for empty in ["", " ", "\n\n\t ", "\u{a0}"] {
        assert!(chunk::sentences(empty).is_empty(), "{empty:?}");
    }
    assert_eq!(chunk::sentences("..."), vec![0..3]);
    assert_eq!(chunk::sentences(" x "), vec![1..2]);
}

#[test]
fn hostile_text_stays_linear() {
    // Each of these was quadratic in some rule's look-back while it was written.
    for piece in ["a.) ", "((((", "\n", ". ", "x.x.", "[1]", "… (", "\"?\" a "] {
        let text = piece.repeat(100_000 / piece.len());
        let covered: usize = chunk::sentences(&text)
            .iter()
            .map(std::ops::Range::len)
            .sum();
        assert!(covered <= text.len());
    }
}
