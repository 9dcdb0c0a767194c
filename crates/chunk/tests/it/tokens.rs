//! Estimates against exact counts of the multilingual-e5-small tokenizer
//! (SentencePiece unigram, full vocabulary), without prefix and end marks.

/// Language, exact tokens, text.
const EXACT: &[(&str, u32, &str)] = &[
    (
        "de",
        56,
        "Die Sternwarte öffnet an jedem klaren Freitagabend ihre Türen für Besucherinnen und Besucher. Wer möchte, kann durch das große Teleskop die Ringe des Saturn betrachten und sich von den Mitgliedern des Vereins erklären lassen, warum die Nacht dort oben so dunkel bleibt.",
    ),
    (
        "fr",
        54,
        "L'observatoire ouvre ses portes chaque vendredi soir lorsque le ciel est dégagé. Les visiteurs peuvent regarder les anneaux de Saturne dans le grand télescope et demander aux membres du club pourquoi la nuit reste si sombre dans cette vallée.",
    ),
    (
        "es",
        54,
        "El observatorio abre sus puertas todos los viernes por la noche cuando el cielo está despejado. Los visitantes pueden mirar los anillos de Saturno con el telescopio grande y preguntar a los socios por qué la noche sigue siendo tan oscura en este valle.",
    ),
    (
        "tr",
        53,
        "Gözlemevi, gökyüzünün açık olduğu her cuma akşamı kapılarını ziyaretçilere açıyor. İsteyenler büyük teleskopla Satürn'ün halkalarına bakabilir ve dernek üyelerine vadide gecenin neden bu kadar karanlık kaldığını sorabilir.",
    ),
    (
        "fi",
        52,
        "Tähtitorni avaa ovensa kävijöille jokaisena selkeänä perjantai-iltana. Suurella kaukoputkella voi katsella Saturnuksen renkaita ja kysyä yhdistyksen jäseniltä, miksi yö pysyy laaksossa niin pimeänä.",
    ),
    (
        "pl",
        48,
        "Obserwatorium otwiera swoje drzwi w każdy pogodny piątkowy wieczór. Zwiedzający mogą obejrzeć pierścienie Saturna przez duży teleskop i zapytać członków klubu, dlaczego noc w tej dolinie pozostaje tak ciemna.",
    ),
    (
        "vi",
        58,
        "Đài thiên văn mở cửa đón khách vào mỗi tối thứ Sáu khi trời quang. Du khách có thể ngắm vành đai của Sao Thổ qua kính thiên văn lớn và hỏi các thành viên câu lạc bộ vì sao đêm trong thung lũng lại tối như vậy.",
    ),
    (
        "ru",
        50,
        "Обсерватория открывает свои двери для посетителей каждый ясный вечер пятницы. Желающие могут посмотреть на кольца Сатурна в большой телескоп и спросить членов клуба, почему ночь в этой долине остаётся такой тёмной.",
    ),
    (
        "uk",
        63,
        "Обсерваторія відчиняє свої двері для відвідувачів кожного ясного вечора п’ятниці. Охочі можуть подивитися на кільця Сатурна у великий телескоп і запитати членів клубу, чому ніч у цій долині залишається такою темною.",
    ),
    (
        "el",
        59,
        "Το αστεροσκοπείο ανοίγει τις πόρτες του κάθε Παρασκευή βράδυ όταν ο ουρανός είναι καθαρός. Οι επισκέπτες μπορούν να δουν τους δακτυλίους του Κρόνου με το μεγάλο τηλεσκόπιο και να ρωτήσουν τα μέλη του συλλόγου.",
    ),
    (
        "he",
        49,
        "המצפה פותח את שעריו למבקרים בכל ערב שישי בהיר. המבקרים יכולים להביט בטבעות של שבתאי דרך הטלסקופ הגדול ולשאול את חברי המועדון מדוע הלילה בעמק נשאר חשוך כל כך.",
    ),
    (
        "ar",
        53,
        "يفتح المرصد أبوابه للزوار مساء كل يوم جمعة عندما تكون السماء صافية. يمكن للزوار مشاهدة حلقات زحل من خلال التلسكوب الكبير وسؤال أعضاء النادي عن سبب بقاء الليل مظلما في هذا الوادي.",
    ),
    (
        "hi",
        64,
        "वेधशाला हर साफ़ शुक्रवार की शाम आगंतुकों के लिए अपने दरवाज़े खोलती है। आगंतुक बड़ी दूरबीन से शनि के वलय देख सकते हैं और क्लब के सदस्यों से पूछ सकते हैं कि इस घाटी में रात इतनी अँधेरी क्यों रहती है।",
    ),
    (
        "zh",
        47,
        "每逢晴朗的星期五晚上，天文台都会向游客开放。游客可以用大望远镜观看土星的光环，也可以向俱乐部的成员请教，为什么这个山谷里的夜晚如此黑暗。",
    ),
    (
        "ja",
        52,
        "天文台は、晴れた金曜日の夜ごとに一般公開されます。来場者は大きな望遠鏡で土星の輪を見たり、なぜこの谷の夜がこれほど暗いのかをクラブの会員に尋ねたりすることができます。",
    ),
    (
        "ko",
        56,
        "천문대는 맑은 금요일 저녁마다 방문객에게 문을 엽니다. 방문객은 큰 망원경으로 토성의 고리를 보고 이 골짜기의 밤이 왜 그렇게 어두운지 동호회 회원들에게 물어볼 수 있습니다.",
    ),
    (
        "th",
        50,
        "หอดูดาวเปิดให้ผู้เยี่ยมชมทุกเย็นวันศุกร์ที่ท้องฟ้าแจ่มใส ผู้เยี่ยมชมสามารถดูวงแหวนของดาวเสาร์ผ่านกล้องโทรทรรศน์ขนาดใหญ่ และถามสมาชิกชมรมว่าทำไมกลางคืนในหุบเขานี้จึงมืดมาก",
    ),
    (
        "fa",
        58,
        "رصدخانه هر جمعه‌شب که آسمان صاف باشد درهای خود را به روی بازدیدکنندگان باز می‌کند. بازدیدکنندگان می‌توانند حلقه‌های زحل را با تلسکوپ بزرگ ببینند و از اعضای باشگاه بپرسند که چرا شب در این دره این‌قدر تاریک می‌ماند.",
    ),
    (
        "en",
        50,
        "The observatory opens its doors to visitors on every clear Friday evening. Visitors can look at the rings of Saturn through the large telescope and ask the members of the club why the night in this valley stays so dark.",
    ),
    (
        "code",
        60,
        "for (int i = 0; i < n_rows; i++) { total += matrix[i][j] * weights.get(key_name, 0.5); printf(\"%d: %s\\n\", i, row->label); }",
    ),
    (
        "sql",
        68,
        "SELECT u.id, u.name, count(*) AS n FROM users u LEFT JOIN visits v ON v.user_id = u.id WHERE v.at >= now() - interval '7 days' GROUP BY 1, 2 ORDER BY n DESC LIMIT 20;",
    ),
    (
        "table",
        63,
        "Object | Type | Magnitude | Best month M31 | Galaxy | 3.4 | October M42 | Nebula | 4.0 | January NGC 869 | Cluster | 5.3 | November M13 | Cluster | 5.8 | June",
    ),
    (
        "url",
        50,
        "https://www.example.org/members/2026/09/observing-report?session=18&sort=desc#saturn and http://example.ir/fa/گزارش/مهر",
    ),
    (
        "emoji",
        32,
        "Great night 🌌🔭! We saw Jupiter 🪐 and four moons 🌙✨ — thanks to everyone who came 👏🏽👨‍👩‍👧",
    ),
];

#[test]
fn estimates_are_near_the_tokenizer() {
    for (name, exact, text) in EXACT {
        let ratio = f64::from(chunk::estimate_tokens(text)) / f64::from(*exact);
        assert!(
            (0.75..=1.25).contains(&ratio),
            "{name}: {ratio:.2} of {exact}"
        );
    }
}

#[test]
fn estimates_add_up_over_words() {
    for (_, _, text) in EXACT {
        let mut start = 0;
        let whole = chunk::estimate_tokens(text);
        let mut parts = 0;
        for word in text.split_inclusive(' ') {
            parts += chunk::estimate_tokens(&text[start..start + word.len()]);
            start += word.len();
        }
        // Each part is rounded up by less than one token.
        let words = text.split(' ').count() as u32;
        assert!(whole <= parts && parts <= whole + words, "{text}");
    }
}

#[test]
fn marks_and_nothing() {
    let check = |text: &str, expected: std::ops::RangeInclusive<u32>| {
        let got = chunk::estimate_tokens(text);
        assert!(expected.contains(&got), "{text:?}: {got}");
    };
    check("", 0..=0);
    check(" \n\t", 0..=0);
    check("a", 1..=1);
    check(&"-".repeat(80), 1..=8);
    check("می\u{200c}شود", 1..=3);
    check(&"x".repeat(10_000), 1_500..=5_000);
}
