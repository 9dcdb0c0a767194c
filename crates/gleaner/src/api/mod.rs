//! What Gleaner answers over HTTP.

pub mod metrics;
mod server;

pub use server::Server;
