//! The pieces of the vocabulary and the character map, as read from a file.

use super::bytes::Cursor;
use crate::error::ModelError;

/// Longest piece of the original vocabulary is 48 bytes; a file may use twice that.
pub(crate) const PIECE_BYTES_MAX: usize = 96;

/// Ordinary pieces, sorted by their bytes. Special tokens are not among them:
/// a page that spells out `</s>` must not end its own sequence.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    rows: Vec<u32>,
    scores: Vec<f32>,
}

impl Vocabulary {
    pub(crate) fn with_capacity(pieces: usize) -> Vocabulary {
        Vocabulary {
            bytes: Vec::with_capacity(pieces * 10),
            ends: Vec::with_capacity(pieces),
            rows: Vec::with_capacity(pieces),
            scores: Vec::with_capacity(pieces),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn piece(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |i| self.ends[i] as usize);
        &self.bytes[start..self.ends[index] as usize]
    }

    /// Row of the embedding table.
    pub(crate) fn row(&self, index: usize) -> u32 {
        self.rows[index]
    }

    /// Log probability.
    pub(crate) fn score(&self, index: usize) -> f32 {
        self.scores[index]
    }

    /// Adds the next piece in byte order.
    pub(crate) fn push(&mut self, piece: &[u8], row: u32, score: f32) -> Result<(), ModelError> {
        if piece.is_empty() || piece.len() > PIECE_BYTES_MAX || piece.contains(&0) {
            return Err(ModelError::corrupt(format!(
                "vocabulary piece {} has {} bytes or holds a zero byte",
                self.len(),
                piece.len()
            )));
        }
        if self.len() > 0 && self.piece(self.len() - 1) >= piece {
            return Err(ModelError::corrupt("vocabulary pieces are not in order"));
        }
        if !score.is_finite() {
            return Err(ModelError::corrupt("vocabulary score is not a number"));
        }
        if std::str::from_utf8(piece).is_err() {
            return Err(ModelError::corrupt("vocabulary piece is not UTF-8"));
        }
        self.bytes.extend_from_slice(piece);
        self.ends.push(
            u32::try_from(self.bytes.len())
                .map_err(|_| ModelError::corrupt("vocabulary is over 4 GiB"))?,
        );
        self.rows.push(row);
        self.scores.push(score);
        Ok(())
    }
}

/// One code point to the characters that replace it.
pub(crate) type CharacterMap = Vec<(u32, Vec<char>)>;

/// Reads `count` entries: code point, number of replacements, replacements.
pub(crate) fn read_character_map(
    cursor: &mut Cursor<'_>,
    count: usize,
) -> Result<CharacterMap, ModelError> {
    let mut map = CharacterMap::new();
    for _ in 0..count {
        let from = cursor.u32()?;
        let replacements = cursor.u8()?;
        let to = (0..replacements)
            .map(|_| {
                let code = cursor.u32()?;
                char::from_u32(code)
                    .ok_or_else(|| ModelError::corrupt("character map names no character"))
            })
            .collect::<Result<Vec<char>, ModelError>>()?;
        if from > 0x10_ffff || map.last().is_some_and(|(last, _)| *last >= from) {
            return Err(ModelError::corrupt("character map is not in order"));
        }
        map.push((from, to));
    }
    Ok(map)
}

pub(crate) fn write_character_map(map: &CharacterMap, out: &mut Vec<u8>) {
    for (from, to) in map {
        out.extend(from.to_le_bytes());
        out.push(u8::try_from(to.len()).expect("bug: read from one byte"));
        for c in to {
            out.extend(u32::from(*c).to_le_bytes());
        }
    }
}
