//! Our own container, written by `prune`. Little endian, no alignment:
//!
//! | bytes | what |
//! |---|---|
//! | 0-8 | magic `GLEANERM` |
//! | 8 | version, 1 |
//! | 12-36 | dims, layers, heads, feed-forward width, rows, positions (u32 each) |
//! | 36 | layer norm epsilon (f32) |
//! | 40-56 | rows of `<s>`, `</s>`, `<pad>`, `<unk>` |
//! | 56 | score of an unknown character (f32); of the full vocabulary, so that pruning moves nothing |
//! | 60 | 1 when pruned |
//! | 64 | number of pieces, then bytes of the piece section |
//! | 72 | entries of the character map, then bytes of its section |
//! | 80-96 | zero |
//! | 96-128 | BLAKE3 of bytes 0-96 and 128 to the end |
//! | 128 | pieces sorted by bytes: shared prefix (u8), rest (u8), row (u24), score (f32), rest of the bytes |
//! | | character map: code point (u32), count (u8), replacements (u32 each) |
//! | | tensors in the order of `Tensors::locate`, embedding rows last |

use super::bytes::Cursor;
use super::layout::{Sequential, Shape, Tensors};
use super::vocabulary::{PIECE_BYTES_MAX, Vocabulary, read_character_map, write_character_map};
use super::{Parsed, Specials};
use crate::error::{ModelError, ModelErrorKind};

pub(crate) const MAGIC: &[u8; 8] = b"GLEANERM";
pub(crate) const HEADER_BYTES: usize = 128;
const CHECKSUM_AT: usize = 96;
const VERSION: u32 = 1;
/// Bytes of a piece besides its own that are not shared with the piece before.
pub(crate) const PIECE_RECORD_BYTES: usize = 9;

/// Reads the structure; the checksum is compared by whoever read the whole file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, ModelError> {
    let mut cursor = Cursor::new(bytes, MAGIC.len());
    let version = cursor.u32()?;
    if version != VERSION {
        return Err(ModelError::new(
            ModelErrorKind::Unsupported,
            format!("model file version {version} is not known, only {VERSION}"),
        ));
    }
    let mut number = || cursor.u32().map(|n| n as usize);
    let (dims, layers, heads) = (number()?, number()?, number()?);
    let (feed_forward, vocabulary, positions) = (number()?, number()?, number()?);
    let epsilon = cursor.f32()?;
    let shape = Shape {
        dims,
        layers,
        heads,
        feed_forward,
        vocabulary,
        positions,
        epsilon,
    };
    shape.validate()?;
    let specials = Specials {
        begin: cursor.u32()?,
        end: cursor.u32()?,
        padding: cursor.u32()?,
        unknown: cursor.u32()?,
    };
    specials.validate(vocabulary)?;
    let unknown_score = cursor.f32()?;
    let pruned = cursor.u32()? != 0;
    let (pieces, piece_bytes) = (cursor.u32()? as usize, cursor.u32()? as usize);
    let (map_entries, map_bytes) = (cursor.u32()? as usize, cursor.u32()? as usize);
    cursor.take(CHECKSUM_AT - cursor.at())?;
    let checksum = cursor.take(32)?.try_into().expect("bug: took 32 bytes");
    if pieces > vocabulary || !unknown_score.is_finite() {
        return Err(ModelError::corrupt("model header contradicts itself"));
    }
    let vocabulary = read_pieces(cursor.take(piece_bytes)?, pieces, vocabulary)?;
    let map = read_character_map(&mut Cursor::new(cursor.take(map_bytes)?, 0), map_entries)?;
    let mut sequential = Sequential(cursor);
    let tensors = Tensors::locate(&shape, &mut sequential)?;
    if sequential.0.at() != bytes.len() {
        return Err(ModelError::corrupt("model file has bytes past its end"));
    }
    Ok(Parsed {
        shape,
        specials,
        unknown_score,
        pruned,
        checksum: Some(checksum),
        vocabulary,
        character_map: map,
        tensors,
    })
}

/// The checksum, fed with a file from its start in pieces of any size.
pub(crate) struct Checksum {
    hasher: blake3::Hasher,
    seen: usize,
}

impl Checksum {
    pub(crate) fn new() -> Checksum {
        Checksum {
            hasher: blake3::Hasher::new(),
            seen: 0,
        }
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        let before = CHECKSUM_AT.saturating_sub(self.seen).min(piece.len());
        let after = HEADER_BYTES.saturating_sub(self.seen).min(piece.len());
        self.hasher.update(&piece[..before]);
        self.hasher.update(&piece[after..]);
        self.seen += piece.len();
    }

    pub(crate) fn finish(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}

/// What goes into a new file besides the tensors of the source.
pub(crate) struct Content<'a> {
    pub(crate) source: &'a Parsed,
    pub(crate) source_bytes: &'a [u8],
    /// Row of the source for each row of the new file; the first four are the specials.
    pub(crate) rows: &'a [u32],
    /// Indices into the source's vocabulary with their new row, in byte order.
    pub(crate) pieces: &'a [(usize, u32)],
    pub(crate) pruned: bool,
}

pub(crate) fn encode(content: &Content<'_>) -> Vec<u8> {
    let Content { source, .. } = content;
    let mut pieces = Vec::new();
    write_pieces(&source.vocabulary, content.pieces, &mut pieces);
    let mut map = Vec::new();
    write_character_map(&source.character_map, &mut map);

    let count = |n: usize| u32::try_from(n).expect("bug: counts were read as 32 bits");
    let shape = &source.shape;
    let mut out = Vec::with_capacity(content.source_bytes.len());
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    for n in [
        shape.dims,
        shape.layers,
        shape.heads,
        shape.feed_forward,
        content.rows.len(),
        shape.positions,
    ] {
        out.extend(count(n).to_le_bytes());
    }
    out.extend(shape.epsilon.to_le_bytes());
    for row in [0u32, 1, 2, 3] {
        out.extend(row.to_le_bytes());
    }
    out.extend(source.unknown_score.to_le_bytes());
    out.extend(u32::from(content.pruned).to_le_bytes());
    for n in [
        content.pieces.len(),
        pieces.len(),
        source.character_map.len(),
        map.len(),
    ] {
        out.extend(count(n).to_le_bytes());
    }
    out.resize(HEADER_BYTES, 0);
    out.extend(pieces);
    out.extend(map);
    let tensors = &source.tensors;
    let mut copy = |range: &std::ops::Range<usize>| {
        out.extend(&content.source_bytes[range.clone()]);
    };
    copy(&tensors.positions);
    copy(&tensors.token_type);
    copy(&tensors.embedding_norm.weight);
    copy(&tensors.embedding_norm.bias);
    for layer in &tensors.layers {
        for dense in [
            &layer.query,
            &layer.key,
            &layer.value,
            &layer.attention_out,
            &layer.expand,
            &layer.contract,
        ] {
            copy(&dense.weights.range);
            copy(&dense.bias);
        }
        for norm in [&layer.attention_norm, &layer.output_norm] {
            copy(&norm.weight);
            copy(&norm.bias);
        }
    }
    for row in content.rows {
        out.extend(tensors.words.row(content.source_bytes, *row as usize));
    }
    let mut checksum = Checksum::new();
    checksum.update(&out);
    out[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&checksum.finish());
    out
}

fn write_pieces(vocabulary: &Vocabulary, pieces: &[(usize, u32)], out: &mut Vec<u8>) {
    let mut previous: &[u8] = b"";
    for (index, row) in pieces {
        let piece = vocabulary.piece(*index);
        let shared = previous
            .iter()
            .zip(piece)
            .take_while(|(a, b)| a == b)
            .count();
        out.push(u8::try_from(shared).expect("bug: pieces are short"));
        out.push(u8::try_from(piece.len() - shared).expect("bug: pieces are short"));
        out.extend(&row.to_le_bytes()[..3]);
        out.extend(vocabulary.score(*index).to_le_bytes());
        out.extend(&piece[shared..]);
        previous = piece;
    }
}

fn read_pieces(section: &[u8], pieces: usize, rows: usize) -> Result<Vocabulary, ModelError> {
    let mut cursor = Cursor::new(section, 0);
    let mut vocabulary = Vocabulary::with_capacity(pieces);
    let mut piece: Vec<u8> = Vec::with_capacity(PIECE_BYTES_MAX);
    for _ in 0..pieces {
        let (shared, rest) = (cursor.u8()? as usize, cursor.u8()? as usize);
        let row = cursor.take(3)?;
        let row = u32::from_le_bytes([row[0], row[1], row[2], 0]);
        let score = cursor.f32()?;
        if shared > piece.len() || row as usize >= rows {
            return Err(ModelError::corrupt("vocabulary section contradicts itself"));
        }
        piece.truncate(shared);
        piece.extend_from_slice(cursor.take(rest)?);
        vocabulary.push(&piece, row, score)?;
    }
    Ok(vocabulary)
}
