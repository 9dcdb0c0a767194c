//! The store seen from outside.

mod crawling;
mod duplicates;
mod durability;
mod embedding;
mod frontier;
mod pages;
mod support;
