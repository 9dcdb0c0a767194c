//! The XLM-R tokenizer: SentencePiece unigram, as the model was trained with.

mod normalize;
mod trie;

use normalize::{Normalizer, SPACE_MARKER};
use trie::Trie;

use crate::model::{CharacterMap, Specials, Vocabulary};

/// Normal form of a text that can still matter for 512 tokens: a piece has at
/// most 48 bytes, so words past this many bytes are cut off before the search.
const NORMAL_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Tokenizer {
    normalizer: Normalizer,
    trie: Trie,
    specials: Specials,
    unknown_score: f32,
}

/// One token of a text, for tests and tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Normal form of the text it covers.
    pub text: String,
    /// Not in the vocabulary.
    pub unknown: bool,
}

/// Best way to reach a byte of the normal form.
#[derive(Clone, Copy)]
struct Step {
    score: f32,
    start: u32,
    row: u32,
}

const UNREACHED: u32 = u32::MAX;

/// A token and where its text ends in the normal form.
#[derive(Clone, Copy)]
struct Token {
    row: u32,
    end: usize,
}

impl Tokenizer {
    pub(crate) fn new(
        vocabulary: &Vocabulary,
        map: &CharacterMap,
        specials: Specials,
        unknown_score: f32,
    ) -> Tokenizer {
        Tokenizer {
            normalizer: Normalizer::new(map),
            trie: Trie::build(vocabulary),
            specials,
            unknown_score,
        }
    }

    /// `<s>`, the tokens of `prefix` + `text`, `</s>`; at most `tokens_max` in
    /// all, cut off at the end of the text.
    pub(crate) fn encode(&self, prefix: &str, text: &str, tokens_max: usize) -> Vec<u32> {
        let mut normal = String::new();
        self.normalize(prefix, text, NORMAL_BYTES_MAX, &mut normal);
        let mut ids = vec![self.specials.begin];
        let room = tokens_max.saturating_sub(2);
        ids.extend(self.tokens(&normal, room).iter().take(room).map(|t| t.row));
        ids.push(self.specials.end);
        ids
    }

    /// Tokens of a text without prefix, special tokens and limit.
    pub(crate) fn count(&self, text: &str) -> usize {
        let mut normal = String::new();
        self.normalizer.normalize(text, usize::MAX, &mut normal);
        self.tokens(&normal, usize::MAX).len()
    }

    pub(crate) fn pieces(&self, text: &str) -> Vec<Piece> {
        let mut normal = String::new();
        self.normalizer.normalize(text, usize::MAX, &mut normal);
        let mut start = 0;
        self.tokens(&normal, usize::MAX)
            .into_iter()
            .map(|token| {
                let text = normal[start..token.end].to_owned();
                start = token.end;
                Piece {
                    text,
                    unknown: token.row == self.specials.unknown,
                }
            })
            .collect()
    }

    pub(crate) fn knows_piece(&self, piece: &str) -> bool {
        let mut known = false;
        self.trie.prefixes(piece.as_bytes(), |length, _, _| {
            known |= length == piece.len();
        });
        known
    }

    fn normalize(&self, prefix: &str, text: &str, bytes_max: usize, out: &mut String) {
        if prefix.is_empty() {
            self.normalizer.normalize(text, bytes_max, out);
        } else if prefix.ends_with(' ') {
            // Words are normalised apart from each other, so the two halves
            // can be too; this saves joining them.
            self.normalizer.normalize(prefix, bytes_max, out);
            self.normalizer.normalize(text, bytes_max, out);
        } else {
            self.normalizer
                .normalize(&format!("{prefix}{text}"), bytes_max, out);
        }
    }

    /// The most probable segmentation. No piece holds a space marker past its
    /// first character, so every word can be searched alone; sums run on from
    /// word to word all the same, because rounding decides ties as in the original.
    fn tokens(&self, normal: &str, enough: usize) -> Vec<Token> {
        let mut tokens: Vec<Token> = Vec::with_capacity(normal.len() / 3);
        let mut steps: Vec<Step> = Vec::new();
        let mut score = 0f32;
        let mut start = 0;
        while start < normal.len() && tokens.len() < enough.saturating_add(1) {
            let word = word_at(&normal[start..]);
            score = self.best_path(word, score, &mut steps);
            self.append_path(&steps, start, &mut tokens);
            start += word.len();
        }
        tokens
    }

    /// Fills `steps`, one per byte position of `word` and one for its end.
    fn best_path(&self, word: &str, score: f32, steps: &mut Vec<Step>) -> f32 {
        let unreached = Step {
            score: 0.0,
            start: UNREACHED,
            row: 0,
        };
        steps.clear();
        steps.resize(word.len() + 1, unreached);
        steps[0].score = score;
        for (at, c) in word.char_indices() {
            let so_far = steps[at].score;
            let character_end = at + c.len_utf8();
            let mut character_known = false;
            self.trie
                .prefixes(&word.as_bytes()[at..], |length, row, piece_score| {
                    character_known |= at + length == character_end;
                    offer(&mut steps[at + length], so_far + piece_score, at, row);
                });
            if !character_known {
                let candidate = so_far + self.unknown_score;
                offer(
                    &mut steps[character_end],
                    candidate,
                    at,
                    self.specials.unknown,
                );
            }
        }
        steps[word.len()].score
    }

    fn append_path(&self, steps: &[Step], start: usize, tokens: &mut Vec<Token>) {
        let first = tokens.len();
        let mut end = steps.len() - 1;
        while end > 0 {
            let step = steps[end];
            tokens.push(Token {
                row: step.row,
                end: start + end,
            });
            end = step.start as usize;
        }
        tokens[first..].reverse();
        // A run of unknown characters is one unknown token, also across words.
        let unknown = self.specials.unknown;
        let mut kept = first;
        for index in first..tokens.len() {
            let token = tokens[index];
            if kept > 0 && token.row == unknown && tokens[kept - 1].row == unknown {
                tokens[kept - 1].end = token.end;
            } else {
                tokens[kept] = token;
                kept += 1;
            }
        }
        tokens.truncate(kept);
    }
}

fn offer(step: &mut Step, score: f32, start: usize, row: u32) {
    if step.start == UNREACHED || score > step.score {
        *step = Step {
            score,
            start: start as u32,
            row,
        };
    }
}

/// The first word: up to the next space marker that is not its first character.
fn word_at(normal: &str) -> &str {
    let end = normal
        .char_indices()
        .skip(1)
        .find(|(_, c)| *c == SPACE_MARKER)
        .map_or(normal.len(), |(at, _)| at);
    &normal[..end]
}
