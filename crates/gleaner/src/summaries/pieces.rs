//! Cutting a text into pieces that fit into a model's context.

use std::ops::Range;

/// Pieces of at most `tokens_max` estimated tokens that follow each other and
/// together are the whole text. Cut between paragraphs where possible, else
/// between sentences, else anywhere between two characters.
pub fn cut(text: &str, tokens_max: usize) -> Vec<Range<usize>> {
    let tokens_max = tokens_max.max(1);
    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut piece = 0..0;
    let mut held = 0;
    let mut take = |range: Range<usize>, tokens: usize| {
        if held > 0 && held + tokens > tokens_max {
            pieces.push(std::mem::replace(&mut piece, range.clone()));
            held = 0;
        }
        piece.end = range.end;
        held += tokens;
    };
    for paragraph in split(text, 0..text.len(), "\n") {
        let tokens = tokens_of(text, &paragraph);
        if tokens <= tokens_max {
            take(paragraph, tokens);
            continue;
        }
        for sentence in sentences(text, paragraph) {
            let tokens = tokens_of(text, &sentence);
            if tokens <= tokens_max {
                take(sentence, tokens);
                continue;
            }
            for part in halves(text, sentence, tokens_max) {
                let tokens = tokens_of(text, &part);
                take(part, tokens);
            }
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

pub fn tokens_of(text: &str, range: &Range<usize>) -> usize {
    chunk::estimate_tokens(&text[range.clone()]) as usize
}

/// Ranges that end behind each `mark`.
fn split(text: &str, within: Range<usize>, mark: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = within.start;
    for (at, found) in text[within.clone()].match_indices(mark) {
        let end = within.start + at + found.len();
        parts.push(start..end);
        start = end;
    }
    if start < within.end {
        parts.push(start..within.end);
    }
    parts
}

/// Sentences with all that lies between them.
fn sentences(text: &str, within: Range<usize>) -> Vec<Range<usize>> {
    let found = chunk::sentences(&text[within.clone()]);
    let mut parts = Vec::with_capacity(found.len());
    let mut start = within.start;
    for sentence in found {
        let end = within.start + sentence.end;
        if end > start {
            parts.push(start..end);
            start = end;
        }
    }
    match parts.last_mut() {
        Some(last) => last.end = within.end,
        None => parts.push(within),
    }
    parts
}

/// Halves, and halves of those, until each fits.
fn halves(text: &str, range: Range<usize>, tokens_max: usize) -> Vec<Range<usize>> {
    let mut waiting = vec![range];
    let mut parts = Vec::new();
    while let Some(range) = waiting.pop() {
        let middle = text.floor_char_boundary(range.start + range.len() / 2);
        if middle <= range.start || tokens_of(text, &range) <= tokens_max {
            parts.push(range);
        } else {
            waiting.push(middle..range.end);
            waiting.push(range.start..middle);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, tokens_max: usize) -> Vec<&str> {
        let pieces = cut(text, tokens_max);
        let mut at = 0;
        for piece in &pieces {
            assert_eq!(piece.start, at, "pieces follow each other: {pieces:?}");
            assert!(!piece.is_empty());
            at = piece.end;
        }
        assert_eq!(at, text.len(), "nothing is lost");
        pieces.into_iter().map(|piece| &text[piece]).collect()
    }

    #[test]
    fn short_texts_are_one_piece() {
        assert_eq!(check("", 10), [""; 0]);
        assert_eq!(check("One paragraph.\n\nAnother one.", 100).len(), 1);
    }

    #[test]
    fn cuts_between_paragraphs_first() {
        let text = "The first paragraph speaks of rain.\nThe second one speaks of snow.\n";
        let pieces = check(text, 12);
        assert_eq!(
            pieces,
            [
                "The first paragraph speaks of rain.\n",
                "The second one speaks of snow.\n"
            ]
        );
    }

    #[test]
    fn then_between_sentences_then_anywhere() {
        let text = "It rained for days on end. Then it snowed for weeks on end.";
        assert_eq!(check(text, 10).len(), 2);
        let long = "x".repeat(10_000);
        let pieces = check(&long, 100);
        assert!(pieces.len() > 10);
        let most = pieces.iter().map(|p| chunk::estimate_tokens(p)).max();
        assert!(most <= Some(100), "{most:?}");
        let persian = "کتاب‌خانه ".repeat(500);
        for piece in check(&persian, 50) {
            assert!(chunk::estimate_tokens(piece) <= 50);
        }
    }
}
