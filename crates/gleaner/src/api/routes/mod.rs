//! The routes, a file for each thing they are about.

pub mod admin;
pub mod ask;
pub mod bulk;
pub mod cache;
pub mod compat;
pub mod crawls;
pub mod history;
pub mod llm;
pub mod monitoring;
pub mod pages;
pub mod raw;
pub mod records;
pub mod scaling;
pub mod search;
pub mod sources;
pub mod summaries;
pub mod tasks;
pub mod webhooks;
