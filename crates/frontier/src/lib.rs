//! Which URL next, and when.
//!
//! Decides how a URL is spelled ([`UrlPolicy`]), whether it belongs to a crawl
//! ([`Scope`], [`Robots`], [`TrapGuard`]), and at what moment it may be
//! requested ([`Dispatcher`] with [`RetryPolicy`] and [`Breaker`]); and when a
//! source is crawled again ([`RecrawlPolicy`], [`Cron`]).
//!
//! Pure on purpose: no IO, no async, no clock and no dice. Time and randomness
//! are arguments, so a whole crawl can be simulated with a seed. It keeps
//! nothing durable: the store owns the queue, the dispatcher holds a window of it.
//! Start at [`Dispatcher::next`] and [`Scope::verdict`].

mod breaker;
mod canonical;
mod cron;
mod dispatcher;
mod host;
mod pace;
mod percent;
mod recrawl;
mod retry;
mod robots;
mod robots_rule;
mod scope;
mod trap;
mod trap_shape;

pub use breaker::{Breaker, BreakerPolicy, BreakerState};
pub use canonical::{CanonicalError, UrlPolicy};
pub use cron::{Cron, CronError};
pub use dispatcher::{Dispatcher, HostActivity, HostSnapshot};
pub use pace::{FetchSignal, Next, PacePolicy, QueuedUrl, UrlKind};
pub use recrawl::{ChangeRate, FAILURES_FLAGGED, RecrawlPolicy, failure_delay, is_flagged};
pub use retry::RetryPolicy;
pub use robots::{Robots, RobotsFetch, RobotsVerdict, robots_from_fetch};
pub use scope::{
    Scope, ScopeError, ScopeErrorKind, ScopeKind, ScopeRules, ScopeVerdict, canonical_link_verdict,
};
pub use trap::{TrapGuard, TrapLimits, TrapReason};
