//! What calls cost whom: set aside before, settled after.

use std::time::Duration;

use store::{Store, StoreError};
use types::TenantId;

use super::{CallError, Purpose};

pub(super) struct Accounts {
    store: Store,
    model: String,
}

/// Tokens that were set aside.
pub(super) struct Reservation(());

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
    ) -> Result<Reservation, CallError> {
        // The store's reservations come with its migration 11.
        let _ = (&self.store, &self.model, tenant, tokens, live_for);
        Ok(Reservation(()))
    }

    /// Puts what was used in place of what was set aside. Holds the thread.
    pub(super) fn settle(
        &self,
        reservation: Reservation,
        purpose: Purpose,
        spent: &Spent,
    ) -> Result<(), StoreError> {
        let _ = (reservation.0, purpose, spent);
        Ok(())
    }
}
