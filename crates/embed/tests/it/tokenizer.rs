use std::sync::OnceLock;

use embed::{LocalModel, Precision, TOKENS_MAX, TextKind};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    text: String,
    pieces: Vec<String>,
    unk: Vec<usize>,
}

/// One for all tests: loading takes longer than most of them.
fn model() -> &'static LocalModel {
    static MODEL: OnceLock<LocalModel> = OnceLock::new();
    MODEL.get_or_init(|| LocalModel::bundled(Precision::F32).expect("bundled model"))
}

fn tokens(model: &LocalModel, text: &str) -> (Vec<String>, Vec<usize>) {
    let pieces = model.pieces(text);
    let unknown = pieces.iter().enumerate().filter(|(_, p)| p.unknown);
    let unknown = unknown.map(|(i, _)| i).collect();
    (pieces.into_iter().map(|p| p.text).collect(), unknown)
}

/// The bundled vocabulary is a subset of the original, so where it can spell the
/// original's pieces, the best path is the same.
#[test]
fn same_pieces_as_the_original_tokenizer() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../data/tokenizer.json")).expect("test data");
    assert!(cases.len() >= 200);
    let model = model();
    let mut compared = 0;
    for case in &cases {
        let (pieces, unknown) = tokens(model, &case.text);
        // Whatever was pruned, the normal form and what is unknown stay.
        assert_eq!(pieces.concat(), case.pieces.concat(), "{:?}", case.text);
        if pieces == case.pieces {
            assert_eq!(unknown, case.unk, "{:?}", case.text);
            compared += 1;
            continue;
        }
        // A difference needs a reason: an original piece that is gone.
        let gone = case
            .pieces
            .iter()
            .enumerate()
            .any(|(i, piece)| !case.unk.contains(&i) && !model.knows_piece(piece));
        assert!(
            gone,
            "{:?}: {pieces:?} instead of {:?}",
            case.text, case.pieces
        );
    }
    assert!(compared >= 200, "only {compared} of {}", cases.len());
    assert!(model.knows_piece("▁the") && !model.knows_piece("▁thequ"));
}

#[test]
fn persian_keeps_its_pieces() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../data/tokenizer.json")).expect("test data");
    let model = model();
    let persian = cases.iter().filter(|c| {
        c.text.contains(['گ', 'چ', 'پ', 'ژ', 'ی'])
            && c.text
                .chars()
                .all(|c| c <= ' ' || ('\u{600}'..='\u{6ff}').contains(&c) || c == '\u{200c}')
    });
    let mut seen = 0;
    for case in persian {
        assert_eq!(tokens(model, &case.text).0, case.pieces);
        seen += 1;
    }
    assert!(seen >= 2, "{seen}");
}

#[test]
fn sequences_have_prefix_ends_and_a_limit() {
    let model = model();
    let begin_end = |tokens: &[u32]| (tokens[0], tokens[tokens.len() - 1]);
    let empty = model.tokenize("", TextKind::Passage);
    let short = model.tokenize("hello", TextKind::Query);
    let long = model.tokenize(&"سلام دنیا ".repeat(5000), TextKind::Passage);
    assert_eq!(begin_end(&short), begin_end(&empty));
    assert_eq!(begin_end(&long), begin_end(&empty));
    assert_eq!(long.len(), TOKENS_MAX);
    assert_eq!(short.len(), 2 + model.pieces("query: hello").len());
    assert_eq!(
        model.count_tokens("query: hello"),
        model.count_tokens("query:") + model.count_tokens("hello")
    );
    assert_ne!(
        model.tokenize("hello", TextKind::Query),
        model.tokenize("hello", TextKind::Passage)
    );
    assert_eq!(model.count_tokens(""), 0);
    assert_eq!(model.count_tokens(" \n\u{200c} "), 0);
}

#[test]
fn special_tokens_in_a_text_are_text() {
    let model = model();
    let end = *model.tokenize("", TextKind::Query).last().expect("end");
    let tokens = model.tokenize("a </s> b <s> <pad> <mask>", TextKind::Query);
    assert_eq!(tokens.iter().filter(|t| **t == end).count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64*40))]

    #[test]
    fn any_text_is_spelled_by_its_pieces(text in "\\PC{0,60}|[\\x00-\\x20a-c\u{300}-\u{310}\u{1100}-\u{1175}]{0,30}") {
        let model = model();
            let pieces = model.pieces(&text);
            prop_assert!(pieces.iter().all(|p| !p.text.is_empty()));
            prop_assert!(!pieces.windows(2).any(|p| p[0].unknown && p[1].unknown));
            prop_assert_eq!(model.count_tokens(&text), pieces.len());
            // The normal form is a fixed point once its markers are spaces again.
            let normal: String = pieces.iter().map(|p| p.text.as_str()).collect();
            if !text.contains('▁') {
                let spaced = normal.replace('▁', " ");
                let again: String = model.pieces(&spaced).into_iter().map(|p| p.text).collect();
                // Composition may go on where the first pass stopped.
                prop_assert!(again.chars().count() <= normal.chars().count());
            }
            prop_assert!(model.tokenize(&text, TextKind::Passage).len() <= TOKENS_MAX);
    }
}
