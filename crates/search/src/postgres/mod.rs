//! Search on the servers of the store, for indexes that no longer fit each
//! machine: words by lexemes with positions in a GIN index, vectors by pgvector.
//!
//! The server gives candidates; scores are computed here, from the same words,
//! by the same rules and with the same statistics of the tenant's pages as on
//! a machine's own index. Where the local index reads every page that has a
//! word, the server is asked for the best by the rarity of the words they have
//! and by whether these are in their titles; see [`keywords`].

mod following;
mod keywords;
mod lexemes;
mod vectors;
mod writer;

pub use following::VectorFollower;
pub use keywords::PostgresKeywords;
pub use vectors::PostgresVectors;
