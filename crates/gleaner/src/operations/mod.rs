//! What a person can ask for, by whatever way: the command line and the HTTP
//! API call the same functions, so that both check and mean the same.

pub mod ask;
pub mod crawls;
pub mod export;
pub mod import;
pub mod records;
pub mod sources;
pub mod summaries;
pub mod tasks;
pub mod tenants;
pub mod warc;
pub mod webhooks;

use anyhow::Result;
use types::Timestamp;

use crate::app::UsageError;

/// A moment as RFC 3339 writes it.
pub fn moment(name: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let Some(text) = text else {
        return Ok(None);
    };
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        UsageError(format!(
            "{name}: `{text}` is no time such as 2024-05-31T12:00:00Z"
        ))
    })?;
    Ok(Some(Timestamp(time.as_millisecond())))
}
