//! What Redis does in one step for us, in its own language.

/// A script that each new connection makes known to its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    Rate,
    Breaker,
    Cache,
    Slots,
}

impl Script {
    pub(crate) const ALL: [Script; 4] =
        [Script::Rate, Script::Breaker, Script::Cache, Script::Slots];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Script::Rate => include_str!("rate.lua"),
            Script::Breaker => include_str!("breaker.lua"),
            Script::Cache => include_str!("cache.lua"),
            Script::Slots => include_str!("slots.lua"),
        }
    }
}
