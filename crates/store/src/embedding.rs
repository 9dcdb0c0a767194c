use crate::{
    ChunkVectors, EmbeddingModel, EmbeddingProgress, ModelChange, PendingChunk, Store, StoreError,
    StoredVector, VectorRow,
};
use types::{ChunkId, TextHash, Timestamp};

impl Store {
    pub fn embedding_model(&self) -> Result<Option<EmbeddingModel>, StoreError> {
        todo!("body follows")
    }

    pub fn set_embedding_model(
        &self,
        _model: &str,
        _dims: usize,
    ) -> Result<ModelChange, StoreError> {
        todo!("body follows")
    }

    pub fn embedding_progress(&self) -> Result<EmbeddingProgress, StoreError> {
        todo!("body follows")
    }

    pub fn pending_chunks(&self, _limit: usize) -> Result<Vec<PendingChunk>, StoreError> {
        todo!("body follows")
    }

    pub fn pending_chunks_after(
        &self,
        _after: Option<ChunkId>,
        _limit: usize,
    ) -> Result<Vec<PendingChunk>, StoreError> {
        todo!("body follows")
    }

    pub fn cached_vectors(
        &self,
        _model: &str,
        _hashes: &[TextHash],
    ) -> Result<Vec<(TextHash, StoredVector)>, StoreError> {
        todo!("body follows")
    }

    pub fn save_vectors(
        &self,
        _model: &str,
        _vectors: Vec<ChunkVectors>,
    ) -> Result<u64, StoreError> {
        todo!("body follows")
    }

    pub fn fail_chunks(&self, _failures: Vec<(ChunkId, String)>) -> Result<u64, StoreError> {
        todo!("body follows")
    }

    /// Failed chunks wait again.
    pub fn retry_failed_chunks(&self) -> Result<u64, StoreError> {
        todo!("body follows")
    }

    pub fn purge_vector_cache(&self, _older_than: Timestamp) -> Result<u64, StoreError> {
        todo!("body follows")
    }

    /// Vectors with a change number above `seq`, in its order. Empty when the
    /// stored vectors come from another model.
    pub fn vectors_since(
        &self,
        _model: &str,
        _seq: i64,
        _limit: usize,
    ) -> Result<Vec<VectorRow>, StoreError> {
        todo!("body follows")
    }
}
