//! A passage of a page: the unit of embedding and of a search hit.

use std::ops::Range;

/// BLAKE3 of a text, first 16 bytes: names a vector in the vector cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextHash(pub [u8; 16]);

/// One passage of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// 0-based place within the page.
    pub position: u32,
    /// Byte range into the page's text: `page.text[range]` is the chunk's text,
    /// exactly. Neighbours may overlap; together they cover every block.
    pub range: Range<usize>,
    /// At most 100 words picked from the chunk. `None` when the chunk itself is no longer.
    pub tldr: Option<String>,
    /// Nearest heading above the chunk, or empty.
    pub section: String,
    /// Headings from the top down to `section`.
    pub heading_path: Vec<String>,
    pub keywords: Vec<String>,
    /// BCP 47 primary subtag; the page's language unless the chunk's script says otherwise.
    pub language: Option<String>,
    /// Estimated tokens of the default model's vocabulary.
    pub tokens: u32,
    /// Hash of the chunk's text together with `section`: what its vectors depend on.
    pub hash: TextHash,
}
