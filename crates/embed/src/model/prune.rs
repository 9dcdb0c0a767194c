//! Makes a smaller model file: fewer pieces, the same encoder, bit for bit.

use std::path::Path;

use super::manage::write_whole;
use super::native::{self, Content};
use super::vocabulary::Vocabulary;
use super::{Parsed, q4};
use crate::error::{ModelError, ModelErrorKind};

/// Scripts whose pieces can be kept or dropped as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    Latin,
    Arabic,
    Cyrillic,
    Greek,
    Hebrew,
    Devanagari,
    /// Han, Kana, Hangul and Bopomofo.
    Cjk,
    /// Every other script with letters of its own.
    Other,
}

/// What `prune` keeps. Single characters, digits, punctuation and symbols
/// always stay, so that no text turns into unknown tokens that was not before.
#[derive(Clone, Debug)]
pub struct ScriptSet {
    pub scripts: Vec<Script>,
    /// Scripts whose pieces go last when the file is still too large.
    pub favoured: Vec<Script>,
    /// Size of the new file at most; 0 means any. Over it, the pieces of two
    /// and more characters with the lowest scores go.
    pub bytes_max: u64,
}

impl ScriptSet {
    /// The scripts of the bundled file, at most 50 MB. Arabic script is favoured:
    /// scores follow the size of a language's text on the web, which cuts a
    /// fifth of its pieces though they are only 6 % of the vocabulary.
    #[must_use]
    pub fn bundled() -> ScriptSet {
        ScriptSet {
            scripts: vec![
                Script::Latin,
                Script::Arabic,
                Script::Cyrillic,
                Script::Greek,
                Script::Hebrew,
                Script::Devanagari,
                Script::Cjk,
            ],
            favoured: vec![Script::Arabic],
            bytes_max: 50_000_000,
        }
    }

    /// Keeps everything: only rewrites the container.
    #[must_use]
    pub fn all() -> ScriptSet {
        let mut set = ScriptSet::bundled();
        set.scripts.push(Script::Other);
        set.bytes_max = 0;
        set
    }

    /// Pieces that go last: single characters and those of favoured scripts.
    fn favours(&self, piece: &str) -> bool {
        piece.chars().count() == 1
            || piece
                .chars()
                .any(|c| script_of(c).is_some_and(|s| self.favoured.contains(&s)))
    }

    fn keeps(&self, piece: &str) -> bool {
        piece.chars().count() == 1
            || piece
                .chars()
                .all(|c| script_of(c).is_none_or(|s| self.scripts.contains(&s)))
    }
}

/// What pruning did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneReport {
    pub pieces_before: usize,
    pub pieces_after: usize,
    pub dropped_by_script: usize,
    pub dropped_by_score: usize,
    pub bytes: u64,
    pub sha256: String,
}

/// Writes the model at `input` to `output` with only the pieces in `keep`.
/// The same input gives the same bytes.
pub fn prune(input: &Path, output: &Path, keep: &ScriptSet) -> Result<PruneReport, ModelError> {
    let (bytes, parsed, _) = super::open(input)?;
    let vocabulary = &parsed.vocabulary;
    let by_script: Vec<usize> = (0..vocabulary.len())
        .filter(|i| std::str::from_utf8(vocabulary.piece(*i)).is_ok_and(|p| keep.keeps(p)))
        .collect();
    let kept = fit(&parsed, &by_script, keep)?;

    let mut by_row = kept.clone();
    by_row.sort_unstable_by_key(|i| vocabulary.row(*i));
    // Frequent pieces have low rows in the original; keeping that order keeps
    // the hot rows on few pages.
    let mut new_row = vec![0u32; vocabulary.len()];
    let specials = parsed.specials;
    let mut rows = vec![
        specials.begin,
        specials.end,
        specials.padding,
        specials.unknown,
    ];
    for index in by_row {
        new_row[index] = rows.len() as u32;
        rows.push(vocabulary.row(index));
    }
    let pieces: Vec<(usize, u32)> = kept.iter().map(|i| (*i, new_row[*i])).collect();
    let file = native::encode(&Content {
        source: &parsed,
        source_bytes: bytes.as_slice(),
        rows: &rows,
        pieces: &pieces,
        pruned: parsed.pruned || kept.len() < vocabulary.len(),
    });
    write_whole(output, &file)?;
    Ok(PruneReport {
        pieces_before: vocabulary.len(),
        pieces_after: kept.len(),
        dropped_by_script: vocabulary.len() - by_script.len(),
        dropped_by_score: by_script.len() - kept.len(),
        bytes: file.len() as u64,
        sha256: super::manage::sha256_hex(&file),
    })
}

/// The most pieces of `candidates` (in byte order) that fit into `bytes_max`.
fn fit(parsed: &Parsed, candidates: &[usize], keep: &ScriptSet) -> Result<Vec<usize>, ModelError> {
    let bytes_max = keep.bytes_max;
    if bytes_max == 0 {
        return Ok(candidates.to_vec());
    }
    let vocabulary = &parsed.vocabulary;
    let row_bytes = q4::row_bytes(parsed.shape.dims);
    let mut map = Vec::new();
    super::vocabulary::write_character_map(&parsed.character_map, &mut map);
    let tensors: usize = parsed.tensors.bytes_without_words();
    let fixed = native::HEADER_BYTES + map.len() + tensors + 4 * row_bytes;

    let favoured: Vec<bool> = (0..vocabulary.len())
        .map(|i| std::str::from_utf8(vocabulary.piece(i)).is_ok_and(|p| keep.favours(p)))
        .collect();
    // Favoured first, then by falling score; ties by byte order, which
    // `candidates` already has.
    let mut by_worth = candidates.to_vec();
    by_worth.sort_by(|a, b| {
        let worth = |i: usize| (favoured[i], vocabulary.score(i));
        let (a, b) = (worth(*a), worth(*b));
        b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    let size_of = |count: usize| -> (u64, Vec<usize>) {
        let mut kept = by_worth[..count].to_vec();
        kept.sort_unstable();
        let pieces = piece_section_bytes(vocabulary, &kept);
        ((fixed + pieces + count * row_bytes) as u64, kept)
    };
    let (mut low, mut high) = (0, by_worth.len());
    while low < high {
        let middle = (low + high).div_ceil(2);
        if size_of(middle).0 <= bytes_max {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    let (bytes, kept) = size_of(low);
    if bytes > bytes_max {
        return Err(ModelError::new(
            ModelErrorKind::TooLarge,
            format!("the encoder alone needs {bytes} bytes, more than {bytes_max}"),
        ));
    }
    Ok(kept)
}

fn piece_section_bytes(vocabulary: &Vocabulary, kept: &[usize]) -> usize {
    let mut previous: &[u8] = b"";
    kept.iter()
        .map(|i| {
            let piece = vocabulary.piece(*i);
            let shared = previous
                .iter()
                .zip(piece)
                .take_while(|(a, b)| a == b)
                .count();
            previous = piece;
            native::PIECE_RECORD_BYTES + piece.len() - shared
        })
        .sum()
}

/// Script of a letter or mark by Unicode block; `None` for what every script
/// shares (digits, punctuation, symbols, the space marker, combining marks).
fn script_of(c: char) -> Option<Script> {
    let script = match u32::from(c) {
        0x0041..=0x005a | 0x0061..=0x007a | 0x00aa | 0x00ba => Script::Latin,
        0x00d7 | 0x00f7 => return None,
        0x00c0..=0x02af | 0x1d00..=0x1dbf | 0x1e00..=0x1eff => Script::Latin,
        0x2c60..=0x2c7f | 0xa720..=0xa7ff | 0xab30..=0xab6f | 0xfb00..=0xfb06 => Script::Latin,
        0x0370..=0x03ff | 0x1f00..=0x1fff => Script::Greek,
        0x0400..=0x052f | 0x1c80..=0x1c8f | 0x2de0..=0x2dff | 0xa640..=0xa69f => Script::Cyrillic,
        0x0590..=0x05ff | 0xfb1d..=0xfb4f => Script::Hebrew,
        0x0600..=0x06ff | 0x0750..=0x077f | 0x0870..=0x08ff => Script::Arabic,
        0xfb50..=0xfdff | 0xfe70..=0xfefe => Script::Arabic,
        0x0900..=0x097f | 0xa8e0..=0xa8ff => match u32::from(c) {
            // Danda and double danda end sentences in several scripts.
            0x0964 | 0x0965 => return None,
            _ => Script::Devanagari,
        },
        0x1100..=0x11ff | 0x3130..=0x318f | 0xa960..=0xa97f | 0xac00..=0xd7ff => Script::Cjk,
        0x2e80..=0x2fdf | 0x3005..=0x3007 | 0x3021..=0x3029 | 0x3038..=0x303b => Script::Cjk,
        0x3040..=0x312f | 0x31a0..=0x31bf | 0x31f0..=0x31ff => Script::Cjk,
        0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff => Script::Cjk,
        0x1b000..=0x1b16f | 0x20000..=0x3ffff => Script::Cjk,
        _ if c.is_alphabetic() => Script::Other,
        // Vowel signs and digits of the scripts between Syriac and Mongolian are
        // not all "alphabetic", yet belong to them.
        0x0700..=0x109f | 0x1200..=0x18af => Script::Other,
        _ => return None,
    };
    Some(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_by_script() {
        let set = ScriptSet::bundled();
        let check = |piece: &str, kept: bool| assert_eq!(set.keeps(piece), kept, "{piece}");
        check("▁hello", true);
        check("▁سلام", true);
        check("каша", true);
        check("άνθρωπος", true);
        check("▁שלום", true);
        check("नमस्ते", true);
        check("東京", true);
        check("안녕", true);
        check("カタカナ", true);
        check("...", true);
        check("▁2024", true);
        check("ไทย", false);
        check("ไ", true);
        check("▁გა", false);
        check("বাং", false);
        check("😀😀", true);
        assert!(ScriptSet::all().keeps("ไทย"));
    }
}
