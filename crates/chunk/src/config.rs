//! What a chunk may weigh.

/// Limits of chunking. [`crate::chunk`] expects values that pass
/// [`ChunkConfig::validate`]; with others it still ends and loses no text, but
/// may exceed the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkConfig {
    /// Most estimated tokens of one chunk, overlap included. The default model
    /// reads 512; half of that keeps a passage about one thing and leaves room
    /// for the estimate's error.
    pub tokens_max: u32,
    /// Most estimated tokens repeated from the chunk before. 0 turns overlap off.
    pub tokens_overlap: u32,
    /// Sections below this are merged with a neighbour where that fits.
    /// 0 keeps every section apart.
    pub tokens_min: u32,
    /// Most words of a TL;DR.
    pub tldr_words_max: usize,
    /// Most keywords of a chunk. 0 turns keywords off.
    pub keywords_max: usize,
}

impl Default for ChunkConfig {
    fn default() -> ChunkConfig {
        ChunkConfig {
            tokens_max: 256,
            tokens_overlap: 32,
            tokens_min: 48,
            tldr_words_max: 100,
            keywords_max: 8,
        }
    }
}

impl ChunkConfig {
    /// Says which value is out of its range, and what the range is.
    pub fn validate(&self) -> Result<(), String> {
        if !(16..=100_000).contains(&self.tokens_max) {
            return Err(format!(
                "tokens_max must be 16 to 100000, not {}",
                self.tokens_max
            ));
        }
        if self.tokens_overlap > self.tokens_max / 2 {
            return Err(format!(
                "tokens_overlap must be at most half of tokens_max ({}), not {}",
                self.tokens_max / 2,
                self.tokens_overlap
            ));
        }
        if self.tokens_min > self.tokens_max {
            return Err(format!(
                "tokens_min must be at most tokens_max ({}), not {}",
                self.tokens_max, self.tokens_min
            ));
        }
        if !(1..=100).contains(&self.tldr_words_max) {
            return Err(format!(
                "tldr_words_max must be 1 to 100, not {}",
                self.tldr_words_max
            ));
        }
        if self.keywords_max > 100 {
            return Err(format!(
                "keywords_max must be at most 100, not {}",
                self.keywords_max
            ));
        }
        Ok(())
    }
}
