//! Events, and the webhooks that are told of them.

use std::fmt;
use std::time::Duration;

use types::{DeliveryId, SourceId, TenantId, Timestamp, WebhookId};

/// What can happen. The bit is stored, so it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EventType {
    CrawlStarted = 0,
    CrawlFinished = 1,
    PageAdded = 2,
    PageUpdated = 3,
    PageRemoved = 4,
    /// A task failed for good or used up its attempts.
    TaskFailed = 5,
    /// A source was flagged.
    SourceTroubled = 6,
    /// Sent on request, and never stored.
    Test = 7,
    /// A tenant has used most of the tokens that it may use in a day.
    BudgetWarning = 8,
    /// A call was refused, since a tenant has used its tokens of the day.
    BudgetExhausted = 9,
}

impl EventType {
    /// Those that a webhook may want.
    pub const ALL: &'static [EventType] = &[
        EventType::CrawlStarted,
        EventType::CrawlFinished,
        EventType::PageAdded,
        EventType::PageUpdated,
        EventType::PageRemoved,
        EventType::TaskFailed,
        EventType::SourceTroubled,
        EventType::BudgetWarning,
        EventType::BudgetExhausted,
    ];

    /// Stable code, as sent and as typed.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            EventType::CrawlStarted => "crawl.started",
            EventType::CrawlFinished => "crawl.finished",
            EventType::PageAdded => "page.added",
            EventType::PageUpdated => "page.updated",
            EventType::PageRemoved => "page.removed",
            EventType::TaskFailed => "task.failed",
            EventType::SourceTroubled => "source.troubled",
            EventType::Test => "webhook.test",
            EventType::BudgetWarning => "budget.warning",
            EventType::BudgetExhausted => "budget.exhausted",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<EventType> {
        EventType::ALL.iter().copied().find(|t| t.code() == code)
    }

    /// Comes in numbers, one per page.
    pub(crate) fn is_of_a_page(self) -> bool {
        matches!(
            self,
            EventType::PageAdded | EventType::PageUpdated | EventType::PageRemoved
        )
    }

    pub(crate) fn bit(self) -> i64 {
        1 << (self as u8)
    }
}

/// A set of [`EventType`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventTypes(i64);

impl EventTypes {
    #[must_use]
    pub fn contains(self, one: EventType) -> bool {
        self.0 & one.bit() != 0
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order of [`EventType::ALL`].
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        let all = EventType::ALL.iter().copied();
        all.filter(move |one| self.contains(*one))
    }

    pub(crate) fn bits(self) -> i64 {
        self.0
    }

    pub(crate) fn from_bits(bits: i64) -> EventTypes {
        EventTypes(bits)
    }

    pub(crate) fn and(self, bits: i64) -> EventTypes {
        EventTypes(self.0 | bits)
    }
}

impl FromIterator<EventType> for EventTypes {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> EventTypes {
        types
            .into_iter()
            .fold(EventTypes(0), |all, one| all.and(one.bit()))
    }
}

/// Key that messages to one webhook are signed with. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(pub [u8; 32]);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[derive(Clone, Debug)]
pub struct NewWebhook {
    pub tenant: TenantId,
    /// At most 2,048 bytes.
    pub url: String,
    /// At most 200 characters.
    pub description: String,
    /// At least one.
    pub events: EventTypes,
    pub secret: WebhookSecret,
}

/// What of a webhook is to be another; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct WebhookEdit {
    pub url: Option<String>,
    pub description: Option<String>,
    pub events: Option<EventTypes>,
    /// False: it is told of nothing, and what waits for it waits on. True also
    /// takes back that it was disabled.
    pub active: Option<bool>,
}

/// Everything about a webhook but its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRow {
    pub id: WebhookId,
    pub tenant: TenantId,
    pub url: String,
    pub description: String,
    pub events: EventTypes,
    pub active: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Until when the secret before the last rotation signs as well.
    pub old_secret_until: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
    pub disabled_reason: Option<String>,
    /// Attempts since the last success.
    pub failures_in_a_row: u32,
    /// Why it is flagged.
    pub trouble: Option<String>,
    pub last_delivered_at: Option<Timestamp>,
    pub last_failed_at: Option<Timestamp>,
    /// Deliveries kept, by state.
    pub pending: u64,
    pub delivered: u64,
    pub dead: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    Pending,
    Delivered,
    /// Given up, to be looked at and retried by hand.
    Dead,
}

impl DeliveryState {
    pub const ALL: &'static [DeliveryState] = &[
        DeliveryState::Pending,
        DeliveryState::Delivered,
        DeliveryState::Dead,
    ];

    /// Stable code, as shown and as typed.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead => "dead",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<DeliveryState> {
        let mut all = DeliveryState::ALL.iter().copied();
        all.find(|state| state.code() == code)
    }
}

/// One message to a webhook and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    pub id: DeliveryId,
    pub webhook: WebhookId,
    /// Its events are of one source, or of none.
    pub source: Option<SourceId>,
    pub state: DeliveryState,
    pub types: EventTypes,
    pub event_count: u32,
    pub attempts: u32,
    /// Of a pending one: when it is sent next; `None` while another one of its
    /// source is to go first.
    pub next_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub last_attempt_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// HTTP status of the last attempt that had an answer.
    pub status: Option<u16>,
    pub duration: Option<Duration>,
    pub error: Option<String>,
    /// What the last answer began with.
    pub response: Option<String>,
}

/// Which deliveries to list, newest first.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryFilter {
    /// `None` means any.
    pub state: Option<DeliveryState>,
    /// Continues a list: deliveries older than this one.
    pub before: Option<DeliveryId>,
    /// No more than 500 in any case.
    pub limit: usize,
}

/// One event as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingEvent {
    pub id: i64,
    pub kind: EventType,
    pub source: Option<SourceId>,
    pub created_at: Timestamp,
    /// JSON object of schema 1.
    pub payload: String,
}

/// Where messages to a webhook go, and what they are signed with.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub webhook: WebhookId,
    pub url: String,
    /// The newest first; more than one for a day after a rotation.
    pub secrets: Vec<WebhookSecret>,
}

/// A message that is to be sent now.
#[derive(Clone, Debug)]
pub struct OutgoingDelivery {
    pub id: DeliveryId,
    pub endpoint: Endpoint,
    /// Which attempt this is, the first is 1.
    pub attempt: u32,
    pub created_at: Timestamp,
    /// 1 to 100, of one source, in order.
    pub events: Vec<OutgoingEvent>,
}

/// How one attempt went.
#[derive(Clone, Debug)]
pub struct DeliveryAttempt {
    pub delivery: DeliveryId,
    /// As in [`OutgoingDelivery::attempt`].
    pub number: u32,
    pub status: Option<u16>,
    pub duration: Duration,
    pub error: Option<String>,
    /// What the answer began with.
    pub response: Option<String>,
    pub verdict: DeliveryVerdict,
}

/// What an attempt means for its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryVerdict {
    Delivered,
    /// Again at this time. The endpoint may have asked to be left alone until
    /// another, which holds for all that waits for it.
    Retry {
        at: Timestamp,
        hold_until: Option<Timestamp>,
    },
    Dead,
    /// The endpoint wants nothing any more; the delivery waits on.
    Disable {
        reason: String,
    },
}

/// A webhook that has something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookAtWork {
    pub webhook: WebhookId,
    pub tenant: TenantId,
}

/// Deliveries of all webhooks, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    pub pending: u64,
    pub dead: u64,
}

/// What a look at old events cleared away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxReport {
    pub events: u64,
    pub deliveries: u64,
    /// The limit was reached: there may be more to clear away.
    pub more: bool,
}

impl DeliveryCounts {
    pub(crate) fn and(self, other: DeliveryCounts) -> DeliveryCounts {
        DeliveryCounts {
            pending: self.pending + other.pending,
            dead: self.dead + other.dead,
        }
    }
}

impl OutboxReport {
    pub(crate) fn and(self, other: OutboxReport) -> OutboxReport {
        OutboxReport {
            events: self.events + other.events,
            deliveries: self.deliveries + other.deliveries,
            more: self.more || other.more,
        }
    }
}

impl WebhookRow {
    /// Adds what another database has to tell of the same webhook.
    pub(crate) fn add(&mut self, other: WebhookRow) {
        self.active &= other.active;
        self.disabled_at = self.disabled_at.into_iter().chain(other.disabled_at).min();
        self.disabled_reason = self.disabled_reason.take().or(other.disabled_reason);
        self.failures_in_a_row = self.failures_in_a_row.max(other.failures_in_a_row);
        self.trouble = self.trouble.take().or(other.trouble);
        self.last_delivered_at = self.last_delivered_at.max(other.last_delivered_at);
        self.last_failed_at = self.last_failed_at.max(other.last_failed_at);
        self.pending += other.pending;
        self.delivered += other.delivered;
        self.dead += other.dead;
    }
}
