//! Events to a stream of NATS JetStream: what a message says ([`message`]),
//! where it goes and whether the stream there fits ([`stream`]), and in what
//! order ([`lanes`]).
//!
//! When they are published is the work of `tasks/events.rs`; how far it is
//! stands in the store.

mod lanes;
mod message;
mod stream;

use std::time::Duration;

use anyhow::Result;
use store::{Publishing, Store, StoreErrorKind};

pub use lanes::{Round, publish};
pub use stream::Target;

use crate::app::App;
use crate::config::EventsConfig;
use crate::webhooks::new_secret;

/// True when this process is to publish.
pub fn is_configured(config: &EventsConfig) -> bool {
    !config.nats_url.is_empty()
}

/// Says in the store that events are published, when that is configured, so
/// that every process writes them. Fails on settings that cannot work; the
/// servers need not be there.
pub fn start_if_configured(app: &App, store: &Store) -> Result<()> {
    if !is_configured(&app.config.events) {
        return Ok(());
    }
    Target::new(&app.config.events)?;
    let random = new_secret()?.0;
    let origin: String = random[..8].iter().map(|b| format!("{b:02x}")).collect();
    match store.start_publishing(&origin, keep(app)) {
        Ok(publishing) => {
            tracing::info!(origin = %publishing.origin, "publishing events");
            Ok(())
        }
        // Where it was on it stays so; the others have it on.
        Err(error) if store.shards().len() > 1 && error.kind() == StoreErrorKind::Unavailable => {
            tracing::warn!(
                %error,
                "publishing is switched on where a database does not answer when a process starts again"
            );
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Says that it still publishes; `None` when somebody has switched it off.
pub fn renew(app: &App, store: &Store) -> Result<Option<Publishing>> {
    Ok(store.renew_publishing(keep(app))?)
}

/// Whoever has not been seen for as long as events are kept has lost some anyway.
fn keep(app: &App) -> Duration {
    let days = app.config.webhooks.keep_days.max(1);
    Duration::from_secs(days.saturating_mul(24 * 3600))
}
