//! Raw copies: what a server answered, as WARC records, each an object of its
//! own in a folder or a bucket.
//!
//! It writes and reads single WARC/1.1 records ([`record`], [`read_record`]) and
//! keeps them under keys ([`object_key`]) in an [`Archive`]. It deliberately
//! knows nothing of which pages there are and whose they are: the store says
//! which key belongs to which version of a page, and who may see it.
//!
//! Start at [`Archive`], then [`RawResponse`].

mod config;
mod error;
mod key;
mod objects;
mod tls;
mod warc;

pub use config::ArchiveConfig;
pub use error::{ArchiveError, ArchiveErrorKind};
pub use key::object_key;
pub use objects::Archive;
pub use warc::{RawResponse, Record, read_record, record, warcinfo};
