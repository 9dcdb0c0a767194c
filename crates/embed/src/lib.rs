//! Texts to vectors: multilingual-e5-small in this crate's own int8 kernels,
//! or any OpenAI-compatible endpoint.
//!
//! It deliberately keeps no vectors, caches none and knows nothing of pages:
//! callers decide what to embed and store what comes back. It reads no
//! environment, and the local model touches no network.
//!
//! Start at [`Embedder`], the handle everyone uses; [`LocalModel`] is the model
//! itself; `kernels` holds the inner loops and all of the SIMD `unsafe`.

mod bench;
mod bundled;
mod config;
mod embedder;
mod encoder;
mod error;
mod hash;
mod http;
mod kernels;
mod local;
mod model;
mod priority;
mod quantize;
mod reference;
mod tokenizer;

pub use bench::{EmbedBench, KernelBench, bench};
pub use bundled::bundled_model;
pub use config::{EmbedConfig, HttpConfig, ProviderConfig};
pub use embedder::{EmbedStats, Embedder};
pub use error::{EmbedError, EmbedErrorKind, ModelError, ModelErrorKind};
pub use kernels::Kernel;
pub use local::{EmbedBuffers, LocalModel, Precision, TOKENS_MAX, TextKind};
pub use model::{
    ModelInfo, PruneReport, Script, ScriptSet, inspect, inspect_bundled, install, prune,
};
pub use quantize::{dequantize, quantize};
pub use tokenizer::Piece;
pub use types::Secret;
