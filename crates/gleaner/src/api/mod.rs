//! What Gleaner answers over HTTP.
//!
//! [`mod@router`] lists the routes, [`routes`] has a file for each thing they are
//! about. Around them, from the outside in: [`observe`] (ids, times), the
//! limits, [`access`] (who asks, what they may). Handlers take what is checked
//! ([`extract`]), call `operations` or the store on a thread ([`state`]) and
//! answer with a view or an [`error`]. [`events`] and [`stream`] are live
//! progress; [`dashboard`] holds the files of a client of all this. Nothing here
//! knows SQL, and nothing else knows HTTP.

mod access;
mod cached;
mod caller;
mod dashboard;
mod docs;
mod error;
mod etag;
mod events;
mod extract;
mod history;
mod known_keys;
mod known_quotas;
mod limits;
pub mod metrics;
mod observe;
mod recent;
mod request_log;
mod router;
mod routes;
mod server;
mod state;
mod stream;
mod turns;

pub use cached::AnswerStats;
pub use events::Events;
pub use router::{document_json, router};
pub use server::Bound;
pub use state::Api;
