//! Messages to webhooks: what they say ([`message`]), how they are signed
//! ([`sign`]), how they are sent and what the answer means ([`sender`]).
//!
//! When they are sent is the work of `tasks/webhooks.rs`; what happened is
//! written down by the store, with the change itself.

mod message;
mod sender;
mod sign;

pub use message::{Event, Message, SCHEMA, message_id};
pub use sender::{Sender, Sent};
pub use sign::{new_secret, shown_secret};
