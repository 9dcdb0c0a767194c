//! The crate through its public surface.

mod embedder;
mod endpoint;
mod model_files;
mod server;
mod tokenizer;
mod vectors;
