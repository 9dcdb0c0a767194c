//! Lists that begin with the newest.
//!
//! Their order is time, then id: ids of several databases say nothing of what
//! came first. A list goes on behind a row's id, and does so as well when that
//! row has been deleted meanwhile.

use types::{CrawlId, TaskId};

use crate::error::Failure;
use crate::placement::Placed;
use crate::sql::{Row, first};
use crate::{Store, StoreError};

/// Listed are rows whose time and id come before these.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Before {
    pub(crate) at: i64,
    pub(crate) id: i64,
}

impl Before {
    const ANY: Before = Before {
        at: i64::MAX,
        id: i64::MAX,
    };
}

/// What is listed by when it was made.
pub(crate) trait Dated: Placed {
    /// Time and id of the nearest row with an id of at most `?1`.
    const NEAREST_BELOW: &'static str;
    /// The same of those with an id of at least `?1`.
    const NEAREST_ABOVE: &'static str;
}

macro_rules! dated {
    ($($id:ty: $time:literal of $table:literal),+ $(,)?) => {
        $(impl Dated for $id {
            const NEAREST_BELOW: &'static str = concat!(
                "SELECT ", $time, ", id FROM ", $table, " WHERE id <= ?1 ORDER BY id DESC LIMIT 1"
            );
            const NEAREST_ABOVE: &'static str = concat!(
                "SELECT ", $time, ", id FROM ", $table, " WHERE id >= ?1 ORDER BY id LIMIT 1"
            );
        })+
    };
}

dated! {
    CrawlId: "started_at" of "crawls",
    TaskId: "enqueued_at" of "tasks",
}

impl Store {
    /// Where a list goes on behind `id`; without one it begins.
    pub(crate) fn newest_before<I: Dated>(&self, id: Option<I>) -> Result<Before, StoreError> {
        let Some(before) = id else {
            return Ok(Before::ANY);
        };
        let id = before.id();
        self.holder(before)?
            .read("look up where a list goes on", |connection| {
                let place = |row: &Row<'_>| -> Result<Before, Failure> {
                    Ok(Before {
                        at: row.get(0)?,
                        id: row.get(1)?,
                    })
                };
                if let Some(below) = first(connection, I::NEAREST_BELOW, [id], place)? {
                    // Another row than the one asked for has not been listed yet.
                    let unlisted = i64::from(below.id < id);
                    return Ok(Before {
                        id: below.id + unlisted,
                        ..below
                    });
                }
                let above = first(connection, I::NEAREST_ABOVE, [id], place)?;
                Ok(above.unwrap_or(Before::ANY))
            })
    }
}
