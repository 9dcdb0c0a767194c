//! `gleaner events status|off`: events that are published to a stream.

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;
use store::Access;

use super::output::{Exit, json_line, line, thousands};
use crate::app::App;
use crate::publishing::is_configured;
use crate::view::rfc3339;

#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Show whether events are published, and how far that is
    #[command(after_help = "Example: gleaner events status")]
    Status,
    /// Publish no more: what waits is not published, and nothing is written for it
    #[command(after_help = "Example: gleaner events off

Take events.nats_url out of the configuration first: a server or worker that has it switches
publishing on again when it starts. Without this command publishing ends by itself when no process
with events.nats_url has been seen for webhooks.keep_days.")]
    Off,
}

#[derive(Debug, Serialize)]
struct Status {
    on: bool,
    origin: Option<String>,
    since: Option<String>,
    wanted_until: Option<String>,
    waiting: u64,
    oldest_waiting_s: f64,
    dropped: u64,
}

pub fn run(app: &App, command: &EventsCommand) -> Result<Exit> {
    match command {
        EventsCommand::Status => status(app),
        EventsCommand::Off => off(app),
    }
}

fn status(app: &App) -> Result<Exit> {
    let store = app.open_store(Access::Read)?;
    let (publishing, counts) = (store.publishing()?, store.publishing_counts()?);
    let age = counts.oldest.map(|oldest| app.clock.now().since(oldest));
    let status = Status {
        on: publishing.is_some(),
        origin: publishing.as_ref().map(|p| p.origin.clone()),
        since: publishing.as_ref().map(|p| rfc3339(p.since)),
        wanted_until: publishing.as_ref().map(|p| rfc3339(p.wanted_until)),
        waiting: counts.waiting,
        oldest_waiting_s: age.map_or(0.0, |age| age.as_secs_f64()),
        dropped: counts.dropped,
    };
    if app.json {
        json_line(&status)?;
        return Ok(Exit::Ok);
    }
    let Some(publishing) = publishing else {
        line(
            "Events are not published. Set events.nats_url, and start `gleaner serve` or `gleaner worker`.",
        )?;
        return Ok(Exit::Ok);
    };
    line(format!(
        "Events are published since {}, origin {}.",
        rfc3339(publishing.since),
        publishing.origin
    ))?;
    line(format!(
        "  {} wait, the oldest for {} s; {} were dropped before they were published",
        thousands(counts.waiting),
        age.unwrap_or_default().as_secs(),
        thousands(counts.dropped)
    ))?;
    line(format!(
        "  off on {}, unless a process with events.nats_url is seen until then",
        rfc3339(publishing.wanted_until)
    ))?;
    Ok(Exit::Ok)
}

fn off(app: &App) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let waiting = store.publishing_counts()?.waiting;
    let was_on = store.stop_publishing()?;
    store.close()?;
    if app.json {
        json_line(&serde_json::json!({"was_on": was_on, "not_published": waiting}))?;
        return Ok(Exit::Ok);
    }
    line(if was_on {
        format!(
            "Events are published no more; {} that waited are not.",
            thousands(waiting)
        )
    } else {
        "Events were not published.".to_owned()
    })?;
    if is_configured(&app.config.events) {
        line(
            "  events.nats_url is set: a server or worker that starts with it switches it on again",
        )?;
    }
    Ok(Exit::Ok)
}
