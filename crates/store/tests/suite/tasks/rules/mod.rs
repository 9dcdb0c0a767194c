//! What a queue does, one sentence each.

mod claiming;
mod ending;
mod enqueueing;
mod rescuing;
mod watching;

use super::conformance::Rules;

pub(crate) fn all(rules: &mut Rules<'_>) {
    enqueueing::rules(rules);
    claiming::rules(rules);
    ending::rules(rules);
    rescuing::rules(rules);
    watching::rules(rules);
}
