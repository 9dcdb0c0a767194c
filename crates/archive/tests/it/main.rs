//! Raw copies at the crate's edge: records, and objects in folders and buckets.

mod objects;
mod records;
