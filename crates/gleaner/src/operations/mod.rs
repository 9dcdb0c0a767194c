//! What a person can ask for, by whatever way: the command line and the HTTP
//! API call the same functions, so that both check and mean the same.

pub mod crawls;
pub mod export;
pub mod import;
pub mod records;
pub mod sources;
pub mod tasks;
pub mod tenants;
pub mod webhooks;
