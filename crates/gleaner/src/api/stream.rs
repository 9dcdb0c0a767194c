//! Server-sent events (the HTML standard's `text/event-stream`) of one watched
//! thing: an event for each new state, the last one called `end`.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::watch;

use super::events::Watched;

/// A comment this often tells proxies and clients that the stream lives.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// Streams states until the last. A client that has heard the last one already
/// gets 204, which tells `EventSource` not to ask again.
pub fn events<V: Watched + Serialize>(states: watch::Receiver<V>, headers: &HeaderMap) -> Response {
    let heard = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    {
        let now = states.borrow();
        if now.is_over() && heard == Some(now.event_id()) {
            return StatusCode::NO_CONTENT.into_response();
        }
    }
    let start = States {
        states,
        heard,
        fresh: true,
        over: false,
    };
    let stream = stream::unfold(start, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    respond(stream)
}

/// The answer that carries a stream of events.
pub fn respond(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let keep_alive = KeepAlive::new().interval(HEARTBEAT_EVERY).text("alive");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // Proxies that buffer would hold every event back.
    let header = axum::http::HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", header);
    response
}

struct States<V> {
    states: watch::Receiver<V>,
    heard: Option<String>,
    /// The state it began with has not been looked at.
    fresh: bool,
    over: bool,
}

impl<V: Watched + Serialize> States<V> {
    async fn next(&mut self) -> Option<Event> {
        while !self.over {
            if !std::mem::take(&mut self.fresh) && self.states.changed().await.is_err() {
                // It is no more.
                return None;
            }
            let state = self.states.borrow_and_update().clone();
            let id = state.event_id();
            self.over = state.is_over();
            if self.heard.as_ref() == Some(&id) && !self.over {
                continue;
            }
            let name = if self.over { "end" } else { "progress" };
            let event = Event::default().event(name).id(&id).json_data(&state);
            self.heard = Some(id);
            match event {
                Ok(event) => return Some(event),
                Err(error) => tracing::error!(%error, "could not write an event"),
            }
        }
        None
    }
}
