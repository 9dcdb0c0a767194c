//! The crate's public behaviour, by subject.

mod canonical;
mod dispatcher;
mod recrawl;
mod robots;
mod scope;
mod simulation;
mod simulation_world;
mod trap;

use types::CanonicalUrl;

fn url(text: &str) -> CanonicalUrl {
    CanonicalUrl::parse(text).expect("a valid test URL")
}
