//! What tenants use of language models, and what of it is set aside.

use std::fmt;

use types::TenantId;

use super::tenant::Day;

/// Names tokens that were set aside, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LlmReservationId(pub i64);

impl fmt::Display for LlmReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a call may use as many tokens as it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlmReserve {
    /// They are set aside until they are settled or the time has passed.
    Granted(LlmReservationId),
    /// The tenant has used `used` of the `max` tokens that it may use today,
    /// what calls under way have set aside included.
    Refused { used: u64, max: u64 },
}

/// What calls to a language model used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LlmUse {
    /// 1 to 200 bytes.
    pub model: String,
    /// What it was for, 1 to 32 bytes.
    pub purpose: String,
    /// Sent, repeats included.
    pub requests: u64,
    /// Calls, of one request or several.
    pub succeeded: u64,
    pub failed: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub took_ms: u64,
}

/// What a tenant used of one model for one purpose on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LlmUseRow {
    pub tenant: TenantId,
    pub day: Day,
    pub model: String,
    pub purpose: String,
    pub requests: u64,
    pub succeeded: u64,
    pub failed: u64,
    /// Answered without the model.
    pub fallback: u64,
    /// Requests beyond the first of each call.
    pub retries: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub took_ms: u64,
}

/// A tenant's tokens of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LlmBudget {
    /// In and out together.
    pub used: u64,
    /// Set aside by calls under way.
    pub reserved: u64,
    /// `None`: any number.
    pub max: Option<u64>,
}
