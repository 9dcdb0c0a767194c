//! Events that are published, of all tenants.

use types::{TenantId, Timestamp};

use super::webhook::OutgoingEvent;

/// That events are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publishing {
    /// Part of the ids of what is published: no other database has it.
    pub origin: String,
    pub since: Timestamp,
    /// It ends by itself then, unless somebody wants it longer.
    pub wanted_until: Timestamp,
}

/// How far publishing is, over all tenants: maintained numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishingCounts {
    /// Events that are not published yet.
    pub waiting: u64,
    /// When the oldest of these happened.
    pub oldest: Option<Timestamp>,
    /// Events that were deleted before they were published, since it is on.
    pub dropped: u64,
}

impl PublishingCounts {
    pub(crate) fn and(self, other: PublishingCounts) -> PublishingCounts {
        PublishingCounts {
            waiting: self.waiting + other.waiting,
            oldest: self.oldest.into_iter().chain(other.oldest).min(),
            dropped: self.dropped + other.dropped,
        }
    }
}

/// What is to be published next of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpublished {
    pub tenant: TenantId,
    pub tenant_name: String,
    /// Everything up to this event is published, or dropped.
    pub after: i64,
    /// What was dropped and not told of yet: it lies before the events.
    pub gap: Option<Gap>,
    /// In order, with none left out.
    pub events: Vec<OutgoingEvent>,
}

/// Events that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub events: u64,
    /// When the last of them were dropped.
    pub at: Timestamp,
}

/// What was published of one [`Unpublished`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    pub tenant: TenantId,
    /// As in [`Unpublished::after`].
    pub after: i64,
    /// The last event before which none is missing; `after` when there is none.
    pub up_to: i64,
    /// How many these are.
    pub events: u64,
    /// The gap was told of, with so many events.
    pub gap: u64,
}
