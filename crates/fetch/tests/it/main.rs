//! Fetching from a scripted server on loopback; nothing here leaves the machine.

mod answers;
mod encodings;
mod errors;
mod guard;
mod limits;
mod posts;
mod redirects;
mod support;
mod tls;
