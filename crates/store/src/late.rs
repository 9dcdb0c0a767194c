//! A database that did not answer when the others were opened.
//!
//! The home knows its number and its id, so ids are looked up as ever and what
//! concerns it alone fails as if it had gone away later. Whoever asks it for
//! something opens it as soon as it answers: it is brought up to date and gets
//! what it misses of the catalogue before anybody uses it.

use std::sync::{Arc, Mutex, TryLockError};

use types::Clock;

use crate::catalogue;
use crate::error::{StoreError, StoreErrorKind};
use crate::options::StoreOptions;
use crate::postgres::Server;
use crate::shard::{OpenShard, Shard};

pub(crate) struct Late {
    pub(crate) server: Server,
    pub(crate) options: StoreOptions,
    pub(crate) clock: Arc<dyn Clock>,
    home: Arc<Shard>,
    /// Held by the one who opens it.
    turn: Mutex<()>,
}

impl Late {
    pub(crate) fn new(
        server: Server,
        options: StoreOptions,
        clock: Arc<dyn Clock>,
        home: Arc<Shard>,
    ) -> Late {
        Late {
            server,
            options,
            clock,
            home,
            turn: Mutex::new(()),
        }
    }

    /// Opens `shard` if its server answers.
    pub(crate) fn open<'s>(&self, shard: &'s Shard) -> Result<&'s OpenShard, StoreError> {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let message = format!("{} is just being opened", shard.describe());
                return Err(StoreError::new(StoreErrorKind::Unavailable, message));
            }
        };
        if shard.is_open() {
            return shard.open();
        }
        shard.open_now(self, |open| match shard.writes() {
            true => catalogue::spread(&self.home, open, None),
            false => Ok(()),
        })
    }
}
