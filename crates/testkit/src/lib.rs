//! Support for tests that need a web to crawl, or services to talk to; a
//! dev-dependency, never shipped.
//!
//! [`FakeWeb`] is an HTTP/1.1 server on a loopback port whose answers are
//! scripted byte by byte, so that a test can also make it misbehave: stall, cut
//! a body short, lie about lengths, send garbage. It logs every request with
//! its order and time. [`WebSpec`] generates a site from a seed, with links,
//! tables, code and duplicates, always the same for the same seed. [`services`]
//! are real PostgreSQL, Redis and NATS servers. [`LlmMock`] speaks as language
//! models do, and fails as they do.
//!
//! It deliberately uses no HTTP library: a well-behaved one would refuse to
//! send most of what the tests are about. It speaks no TLS and no HTTP/2, and
//! it trusts its client (a test), so it is no model for a real server.
//! Start at [`FakeWeb::start`] and [`Reply`].

mod connection;
mod fake_web;
mod llm_mock;
mod reply;
mod site;

pub mod services;

pub use fake_web::{FakeWeb, RequestInfo};
pub use llm_mock::LlmMock;
pub use reply::{Gate, Reply, gzip};
pub use site::{GeneratedSite, WebSpec, generated_site};
