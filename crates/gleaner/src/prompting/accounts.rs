//! What calls cost whom: set aside before, settled after.

use std::time::Duration;

use store::{LlmReservationId, LlmReserve, LlmUse, Store, StoreError};
use types::TenantId;

use super::{CallError, Purpose};

pub(super) struct Accounts {
    store: Store,
    model: String,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub(super) attempts: u32,
    pub(super) succeeded: bool,
    pub(super) failed: bool,
    pub(super) tokens_in: u64,
    pub(super) tokens_out: u64,
    pub(super) took: Duration,
}

impl Accounts {
    pub(super) fn new(store: Store, model: &str) -> Accounts {
        Accounts {
            store,
            model: model.to_owned(),
        }
    }

    /// Sets tokens aside, or refuses the call. Holds the thread.
    pub(super) fn reserve(
        &self,
        tenant: TenantId,
        tokens: u64,
        live_for: Duration,
    ) -> Result<LlmReservationId, CallError> {
        match self.store.reserve_llm(tenant, tokens, live_for) {
            Ok(LlmReserve::Granted(reservation)) => Ok(reservation),
            Ok(LlmReserve::Refused { used, max }) => Err(CallError::Budget { used, max }),
            Err(error) => Err(CallError::Store(error)),
        }
    }

    /// Puts what was used in place of what was set aside. Holds the thread.
    pub(super) fn settle(
        &self,
        reservation: LlmReservationId,
        purpose: Purpose,
        spent: &Spent,
    ) -> Result<(), StoreError> {
        let used = LlmUse {
            model: self.model.clone(),
            purpose: purpose.code().to_owned(),
            requests: u64::from(spent.attempts),
            succeeded: u64::from(spent.succeeded),
            failed: u64::from(spent.failed),
            tokens_in: spent.tokens_in,
            tokens_out: spent.tokens_out,
            took_ms: u64::try_from(spent.took.as_millis()).unwrap_or(u64::MAX),
        };
        self.store.settle_llm(reservation, used)
    }

    /// Holds the thread.
    pub(super) fn fell_back(
        &self,
        tenant: TenantId,
        purpose: Purpose,
        count: u64,
    ) -> Result<(), StoreError> {
        let store = &self.store;
        store.note_llm_fallback(tenant, &self.model, purpose.code(), count)
    }
}
