use embed::{EmbedBuffers, Kernel, LocalModel, Precision, TextKind, dequantize, quantize};

const TEXTS: [&str; 42] = [
    "water",
    "The cat sat on the mat.",
    "A crawler keeps its pace per host.",
    "How do I resume a crawl after a power cut?",
    "Shock waves form when a body moves faster than sound.",
    "Boil the rice for ten minutes, then drain it.",
    "The library is closed on Sundays and public holidays.",
    "Error 404: the page you asked for does not exist.",
    "let total: u64 = items.iter().map(|i| i.price).sum();",
    "SELECT count(*) FROM page WHERE status = 'stored';",
    "Prices rose by 3.5 % in 2023, to 1,204 euros a ton.",
    "She sells sea shells by the sea shore.",
    "| name | size |\n| a | 1 |\n| b | 2 |",
    "!!! ??? ...",
    "x",
    "",
    "The mitochondrion is the powerhouse of the cell.",
    "Terms of service, privacy, cookies, imprint",
    "An index maps each word to the pages that hold it.",
    "Paris is the capital of France; Tehran that of Iran.",
    "0 1 2 3 4 5 6 7 8 9",
    "سلام",
    "کتابخانه هر روز باز است.",
    "می‌خواهم کتاب‌های تازه را بخوانم.",
    "آب در کوه در دمای پایین‌تری می‌جوشد.",
    "موتور جست‌وجو واژه‌ها را به صفحه‌ها پیوند می‌دهد.",
    "قیمت‌ها در سال ۱۴۰۲ بیست درصد بالا رفت.",
    "برنج را ده دقیقه بجوشانید و سپس آبکش کنید.",
    "صفحه‌ای که خواسته‌اید پیدا نشد.",
    "تهران پایتخت ایران است.",
    "چگونه خزش را پس از قطع برق از سر بگیریم؟",
    "فردوسی شاهنامه را در سی سال سرود.",
    "هوا امروز آفتابی و کمی سرد است.",
    "این متن English هم دارد.",
    "كيف أستأنف الزحف بعد انقطاع الكهرباء؟",
    "Die Katze sitzt auf der Matte.",
    "Où se trouve la gare ?",
    "Кошка сидит на коврике.",
    "図書館は日曜日に休みです。",
    "图书馆星期天不开放。",
    "पुस्तकालय रविवार को बंद रहता है।",
    "הספרייה סגורה ביום ראשון.",
];

fn model(precision: Precision) -> LocalModel {
    LocalModel::bundled(precision).expect("bundled model")
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn sequences(model: &LocalModel) -> Vec<Vec<u32>> {
    TEXTS
        .iter()
        .map(|t| model.tokenize(t, TextKind::Passage))
        .collect()
}

#[test]
fn int8_is_near_f32_in_every_build() {
    let exact = model(Precision::F32);
    let sequences = sequences(&exact);
    let expected = exact.embed(&sequences, &mut EmbedBuffers::default());
    for kernel in Kernel::ALL.into_iter().filter(|k| k.is_supported()) {
        let model = model(Precision::Int8(kernel));
        // Portable code is slow, and its products equal the others' bit for bit.
        let step = if kernel == Kernel::Portable { 7 } else { 1 };
        let some: Vec<Vec<u32>> = sequences.iter().step_by(step).cloned().collect();
        let got = model.embed(&some, &mut EmbedBuffers::default());
        let expected = expected.iter().step_by(step);
        for ((text, got), expected) in TEXTS.iter().step_by(step).zip(&got).zip(expected) {
            assert!(
                (cosine(got, got) - 1.0).abs() < 1e-4,
                "{kernel:?}: not of length 1"
            );
            let near = cosine(got, expected);
            assert!(near >= 0.995, "{kernel:?}: {near} for {text:?}");
        }
    }
}

#[test]
fn a_batch_gives_what_each_text_gives_alone() {
    let model = model(Precision::Int8(Kernel::detect()));
    let mut sequences = sequences(&model);
    // Longer than a block of tokens, so that texts straddle blocks.
    sequences.push(model.tokenize(&TEXTS.join(" "), TextKind::Passage));
    let mut buffers = EmbedBuffers::default();
    let together = model.embed(&sequences, &mut buffers);
    for (sequence, together) in sequences.iter().zip(&together).rev() {
        let alone = model.embed(std::slice::from_ref(sequence), &mut buffers);
        assert_eq!(&alone[0], together);
    }
    assert!(model.embed(&[], &mut buffers).is_empty());
}

#[test]
fn meaning_decides_across_languages() {
    let model = model(Precision::Int8(Kernel::detect()));
    let check = |query: &str, right: &str, wrong: &str| {
        let query_vector = &model.embed_texts(&[query], TextKind::Query)[0];
        let both = model.embed_texts(&[right, wrong], TextKind::Passage);
        let (near, far) = (
            cosine(query_vector, &both[0]),
            cosine(query_vector, &both[1]),
        );
        assert!(near > far + 0.02, "{query}: {near} {far}");
    };
    check("when is the library open", TEXTS[22], TEXTS[27]);
    check(
        "چطور برنج بپزیم",
        "Boil the rice for ten minutes.",
        TEXTS[4],
    );
    check("capital of Iran", TEXTS[29], TEXTS[32]);
    check("wie kocht man Reis", TEXTS[27], TEXTS[30]);
}

#[test]
fn quantised_vectors_are_near() {
    let check = |vector: &[f32]| {
        let (values, scale) = quantize(vector);
        let back = dequantize(&values, scale);
        for (x, y) in vector.iter().zip(&back) {
            assert!((x - y).abs() <= scale * 0.5001, "{vector:?}");
        }
    };
    check(&[]);
    check(&[0.0, 0.0]);
    check(&[1.0, -1.0, 0.5, 0.003]);
    check(&[1e-20, -3e-20]);
    check(&[3e37, -1e30]);
    assert_eq!(quantize(&[0.0, 0.0]), (vec![0, 0], 0.0));
    assert_eq!(quantize(&[2.0, -1.0]).0, [127, -64]);
    assert_eq!(quantize(&[f32::NAN, f32::INFINITY]), (vec![0, 0], 0.0));
}
