//! The embedding backlog and its results.

use types::{ChunkId, PageId, TenantId, TextHash};

/// A vector as int8 codes: component = code × scale.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVector {
    pub scale: f32,
    pub codes: Vec<i8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingModel {
    pub id: String,
    pub dims: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelChange {
    Same,
    /// Every chunk waits for a vector again; their number.
    Changed {
        repending: u64,
    },
}

impl ModelChange {
    pub(crate) fn and(self, other: ModelChange) -> ModelChange {
        match (self, other) {
            (ModelChange::Same, change) | (change, ModelChange::Same) => change,
            (ModelChange::Changed { repending: a }, ModelChange::Changed { repending: b }) => {
                ModelChange::Changed { repending: a + b }
            }
        }
    }
}

/// A chunk that waits for its vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingChunk {
    pub chunk: ChunkId,
    pub page: PageId,
    pub title: String,
    pub section: String,
    pub text: String,
    pub tldr: Option<String>,
    pub hash: TextHash,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddingProgress {
    pub done: u64,
    pub pending: u64,
    pub failed: u64,
}

impl EmbeddingProgress {
    pub(crate) fn and(self, other: EmbeddingProgress) -> EmbeddingProgress {
        EmbeddingProgress {
            done: self.done + other.done,
            pending: self.pending + other.pending,
            failed: self.failed + other.failed,
        }
    }
}

/// The vectors of one chunk, with the hashes they are cached under.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkVectors {
    pub chunk: ChunkId,
    /// [`PendingChunk::hash`]; the vectors are ignored if the chunk has another by now.
    pub hash: TextHash,
    pub full: StoredVector,
    pub tldr: Option<StoredVector>,
    /// Cache key of `tldr`; without it the TL;DR's vector is stored but not cached.
    pub tldr_hash: Option<TextHash>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VectorKind {
    Full,
    Tldr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorRow {
    pub tenant: TenantId,
    pub chunk: ChunkId,
    pub page: PageId,
    pub kind: VectorKind,
    pub seq: i64,
    pub scale: f32,
    pub codes: Vec<i8>,
}
