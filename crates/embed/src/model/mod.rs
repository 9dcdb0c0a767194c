//! Model files: reading, checking, describing, installing and pruning them.

mod bytes;
mod e5s1;
mod layout;
mod manage;
mod native;
mod prune;
mod q4;
#[cfg(test)]
mod tests;
mod vocabulary;

pub(crate) use bytes::ModelBytes;
pub(crate) use layout::{Dense, LayerTensors, Norm, Shape, Tensors, floats};
pub(crate) use q4::dequantize_row;
pub(crate) use vocabulary::{CharacterMap, Vocabulary};

pub(crate) use manage::{MODEL_NAME, hex};
pub use manage::{ModelInfo, inspect, inspect_bundled, install};
pub use prune::{PruneReport, Script, ScriptSet, prune};

use crate::error::{ModelError, ModelErrorKind};

/// Rows of the tokens that are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Specials {
    pub(crate) begin: u32,
    pub(crate) end: u32,
    pub(crate) padding: u32,
    pub(crate) unknown: u32,
}

impl Specials {
    fn rows(&self) -> [u32; 4] {
        [self.begin, self.end, self.padding, self.unknown]
    }

    fn contains(&self, row: usize) -> bool {
        self.rows().iter().any(|r| *r as usize == row)
    }

    fn validate(&self, rows: usize) -> Result<(), ModelError> {
        if self.rows().iter().all(|r| (*r as usize) < rows) {
            return Ok(());
        }
        Err(ModelError::corrupt("special tokens lie outside the table"))
    }
}

/// A model file, understood. Tensors stay in the file's bytes.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) shape: Shape,
    pub(crate) specials: Specials,
    pub(crate) unknown_score: f32,
    pub(crate) pruned: bool,
    /// As written in the file; not yet compared.
    pub(crate) checksum: Option<[u8; 32]>,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) character_map: CharacterMap,
    pub(crate) tensors: Tensors,
}

impl Parsed {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, ModelError> {
        if bytes.starts_with(native::MAGIC) {
            native::parse(bytes)
        } else if bytes.starts_with(e5s1::MAGIC) {
            e5s1::parse(bytes)
        } else {
            Err(ModelError::new(
                ModelErrorKind::NotAModel,
                "not a model file: it starts with neither GLEANERM nor E5S1",
            ))
        }
    }
}

/// Hash of everything in a file of ours, for tests and for the bundled model.
#[cfg(test)]
pub(crate) fn checksum_of(bytes: &[u8]) -> [u8; 32] {
    let mut checksum = native::Checksum::new();
    checksum.update(bytes);
    checksum.finish()
}

/// Maps a file, checks its checksum and understands it. The second value
/// identifies the content, whatever the container.
pub(crate) fn open(path: &std::path::Path) -> Result<(ModelBytes, Parsed, [u8; 32]), ModelError> {
    let bytes = ModelBytes::map(path)?;
    let parsed = Parsed::parse(bytes.as_slice())?;
    let mut checksum = native::Checksum::new();
    let mut plain = blake3::Hasher::new();
    bytes::read_in_pieces(path, |piece| {
        if parsed.checksum.is_some() {
            checksum.update(piece);
        } else {
            plain.update(piece);
        }
    })?;
    let identity = match parsed.checksum {
        None => *plain.finalize().as_bytes(),
        Some(expected) if expected == checksum.finish() => expected,
        Some(_) => {
            return Err(ModelError::corrupt(format!(
                "model file {} does not match its checksum",
                path.display()
            )));
        }
    };
    Ok((bytes, parsed, identity))
}
