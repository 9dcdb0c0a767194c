//! Analysed text on its way into an index.

use crate::text::Analyzer;

/// Between the tokens of an analysed text.
pub(crate) const SEPARATOR: char = ' ';
/// Before a token that shares its position with the next one.
pub(crate) const SAME_POSITION: char = '\u{1}';

/// The tokens of one text, in order, as one string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    text: String,
    count: u64,
}

impl Tokens {
    pub(crate) fn of(analyzer: &mut Analyzer, text: &str, language: Option<&str>) -> Tokens {
        let mut tokens = Tokens::default();
        analyzer.analyze_with(text, language, |token| tokens.push(token.text, token.whole));
        tokens
    }

    pub(crate) fn with_capacity(bytes: usize) -> Tokens {
        Tokens {
            text: String::with_capacity(bytes),
            count: 0,
        }
    }

    pub(crate) fn push(&mut self, text: &str, shares_position: bool) {
        if !self.text.is_empty() {
            self.text.push(SEPARATOR);
        }
        if shares_position {
            self.text.push(SAME_POSITION);
        }
        self.text.push_str(text);
        self.count += 1;
    }

    /// More than positions: a compound's whole shares its place with a part.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each token with its position, from 0.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        let mut next = 0;
        let tokens = self.text.split(SEPARATOR).filter(|token| !token.is_empty());
        tokens.map(move |token| match token.strip_prefix(SAME_POSITION) {
            Some(shared) => (next, shared),
            None => {
                next += 1;
                (next - 1, token)
            }
        })
    }

    /// Each token, and whether it shares its position with the next one.
    pub(crate) fn marked(&self) -> impl Iterator<Item = (&str, bool)> {
        let tokens = self.text.split(SEPARATOR).filter(|token| !token.is_empty());
        tokens.map(|token| match token.strip_prefix(SAME_POSITION) {
            Some(shared) => (shared, true),
            None => (token, false),
        })
    }

    /// As it is, for a tokenizer that splits it again.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}
