//! What lies where when there is more than one database.
//!
//! The first database, the home, has the catalogue: tenants, API keys, their
//! use, and what is known of hosts. All else belongs to a source and lies with
//! it, whole: its pages, versions, chunks, vectors and records, its crawls and
//! their frontier, their tasks and events. So every operation is one
//! transaction in one database, and no rule of the store is held by two.
//!
//! A new source goes to the database that scores highest for its tenant and
//! the host of its first start URL (rendezvous hashing, Thaler & Ravishankar
//! 1998): another database takes its share of all of them and moves no other.
//!
//! Ids are given out from a range of each database's own, so they are unlike
//! everywhere. An id is looked up where its range begins, then elsewhere: what
//! was moved keeps its ids.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use types::{ChunkId, CrawlId, DeliveryId, PageId, SourceId, TaskId, TenantId};

use crate::Store;
use crate::codec;
use crate::error::{StoreError, StoreErrorKind};
use crate::shard::Shard;
use crate::sql::first;

/// One of the databases, for as long as there is its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardNumber(pub(crate) u16);

impl ShardNumber {
    pub const HOME: ShardNumber = ShardNumber(0);
    /// Ids up to the largest whole number of JavaScript.
    pub(crate) const LAST: ShardNumber = ShardNumber(8_000);
    const IDS: i64 = 1 << 40;

    #[must_use]
    pub const fn new(number: u16) -> ShardNumber {
        ShardNumber(number)
    }

    /// Ids of this database are above it.
    pub(crate) fn ids_above(self) -> i64 {
        i64::from(self.0) * ShardNumber::IDS
    }

    /// Where an id was given out.
    pub(crate) fn of(id: i64) -> ShardNumber {
        let number = id.max(1).saturating_sub(1) / ShardNumber::IDS;
        ShardNumber(u16::try_from(number).unwrap_or(u16::MAX))
    }
}

impl fmt::Display for ShardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An id of what lies with a source.
pub(crate) trait Placed: Copy {
    /// Finds the row.
    const FIND: &'static str;
    fn id(self) -> i64;
}

macro_rules! placed {
    ($($id:ty: $find:literal),+ $(,)?) => {
        $(impl Placed for $id {
            const FIND: &'static str = $find;
            fn id(self) -> i64 {
                self.0
            }
        })+
    };
}

placed! {
    // Not where its rows are still coming in.
    SourceId: "SELECT 1 FROM sources WHERE id = ?1 AND purging < 2",
    CrawlId: "SELECT 1 FROM crawls WHERE id = ?1",
    PageId: "SELECT 1 FROM pages WHERE id = ?1 AND version > 0",
    ChunkId: "SELECT 1 FROM chunks WHERE id = ?1",
    TaskId: "SELECT 1 FROM tasks WHERE id = ?1",
    DeliveryId: "SELECT 1 FROM webhook_deliveries WHERE id = ?1",
}

impl Store {
    /// This store once for each of its databases: what works through all that
    /// is stored, or repeats what concerns one database, does so with each.
    #[must_use]
    pub fn shards(&self) -> Vec<Store> {
        let held = self.shards_held().iter();
        held.map(|shard| self.narrowed(shard)).collect()
    }

    /// The number of the only database of a handle from [`Store::shards`], the
    /// home's otherwise.
    #[must_use]
    pub fn shard_number(&self) -> ShardNumber {
        self.first().number()
    }

    /// This store with only the database that has the task: its work lies there.
    pub fn shard_of_task(&self, task: TaskId) -> Result<Store, StoreError> {
        Ok(self.narrowed(self.holding(task)?))
    }

    /// This store with only the database that has the source.
    pub fn shard_of_source(&self, source: SourceId) -> Result<Store, StoreError> {
        Ok(self.narrowed(self.holding(source)?))
    }

    /// The database of a narrowed handle, the home of another.
    pub(crate) fn first(&self) -> &Shard {
        &self.shards_held()[0]
    }

    /// The only database. What is asked of it concerns one database at a time,
    /// so a handle with several has to be narrowed down first.
    pub(crate) fn own(&self) -> Result<&Shard, StoreError> {
        match self.shards_held() {
            [only] => Ok(only),
            _ => Err(StoreError::new(
                StoreErrorKind::Bug,
                "this is asked of one database at a time, and here are several",
            )),
        }
    }

    /// The database that has `id`; if none has, the one that will say so.
    pub(crate) fn holder(&self, id: impl Placed) -> Result<&Shard, StoreError> {
        self.holding(id).map(AsRef::as_ref)
    }

    pub(crate) fn holding<I: Placed>(&self, id: I) -> Result<&Arc<Shard>, StoreError> {
        let shards = self.shards_held();
        let [home, others @ ..] = shards else {
            unreachable!("bug: a store has at least one database")
        };
        if others.is_empty() {
            return Ok(home);
        }
        let birthplace = self.birthplace(id);
        let mut silent = None;
        for shard in self.asked_in_turn(birthplace) {
            let found = shard.read("look an id up", |connection| {
                first(connection, I::FIND, [id.id()], |_| Ok(()))
            });
            match found {
                Ok(Some(())) => return Ok(shard),
                Ok(None) => {}
                Err(error) => silent = Some(error),
            }
        }
        match silent {
            Some(error) => Err(error),
            None => Ok(birthplace.unwrap_or(home)),
        }
    }

    fn birthplace(&self, id: impl Placed) -> Option<&Arc<Shard>> {
        let number = ShardNumber::of(id.id());
        let mut shards = self.shards_held().iter();
        shards.find(|shard| shard.number() == number)
    }

    fn asked_in_turn<'a>(
        &'a self,
        birthplace: Option<&'a Arc<Shard>>,
    ) -> impl Iterator<Item = &'a Arc<Shard>> {
        let is_other =
            move |shard: &&Arc<Shard>| birthplace.is_none_or(|b| b.number() != shard.number());
        birthplace
            .into_iter()
            .chain(self.shards_held().iter().filter(is_other))
    }

    /// Asks for what one database has, beginning where its id was given out.
    pub(crate) fn find<T>(
        &self,
        id: impl Placed,
        read: impl Fn(&Shard) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.find_among(self.asked_in_turn(self.birthplace(id)), read)
    }

    /// Asks all databases for what one of them has.
    pub(crate) fn find_anywhere<T>(
        &self,
        read: impl Fn(&Shard) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.find_among(self.shards_held().iter(), read)
    }

    fn find_among<'a, T>(
        &self,
        shards: impl Iterator<Item = &'a Arc<Shard>>,
        read: impl Fn(&Shard) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut silent = None;
        for shard in shards {
            match read(shard) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => silent = Some(error),
            }
        }
        // It may be where nobody answers.
        silent.map_or(Ok(None), Err)
    }

    /// Where what belongs to the tenant and a host goes, without those databases
    /// that are `closed`; an empty host stands for what has none.
    pub(crate) fn placed(
        &self,
        tenant: TenantId,
        host: &str,
        closed: &BTreeSet<ShardNumber>,
    ) -> &Shard {
        let highest = self
            .all()
            .filter(|shard| !closed.contains(&shard.number()))
            .max_by_key(|shard| score(tenant, host, shard.number()));
        highest.unwrap_or_else(|| self.home())
    }
}

/// The host of the first in their order, as the source is stored.
pub(crate) fn first_host(seeds: &[String]) -> &str {
    let first = seeds.iter().min().map_or("", String::as_str);
    let behind_scheme = first.split_once("://").map_or(first, |(_, rest)| rest);
    let authority = behind_scheme.split(['/', '?', '#']).next().unwrap_or("");
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

fn score(tenant: TenantId, host: &str, shard: ShardNumber) -> [u8; 16] {
    let mut key = Vec::with_capacity(host.len() + 10);
    key.extend_from_slice(&shard.0.to_be_bytes());
    key.extend_from_slice(&tenant.0.to_be_bytes());
    key.extend_from_slice(host.as_bytes());
    codec::hash_16(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_source_is_that_of_its_first_start_url() {
        let seeds = |seeds: &[&str]| -> Vec<String> {
            seeds.iter().map(|seed| (*seed).to_owned()).collect()
        };
        for (given, host) in [
            (
                &["https://b.example/x", "https://a.example:8443/"][..],
                "a.example:8443",
            ),
            (&["http://user@a.example?q"], "a.example"),
            (&[], ""),
        ] {
            assert_eq!(first_host(&seeds(given)), host);
        }
    }

    #[test]
    fn another_shard_takes_its_share_and_moves_nothing_else() {
        let best = |host: &str, shards: u16| {
            let numbers = (0..shards).map(ShardNumber);
            numbers
                .max_by_key(|number| score(TenantId(7), host, *number))
                .unwrap()
        };
        let hosts: Vec<String> = (0..10_000).map(|n| format!("host-{n}.example")).collect();
        let mut moved = 0;
        for host in &hosts {
            let (before, after) = (best(host, 4), best(host, 5));
            if before != after {
                assert_eq!(after, ShardNumber(4));
                moved += 1;
            }
        }
        // A fifth of 10,000, give or take four standard deviations of 40.
        assert!((1_840..=2_160).contains(&moved), "{moved} moved");
    }

    #[test]
    fn ids_say_where_they_were_given_out() {
        for number in [0, 1, 2, ShardNumber::LAST.0] {
            let shard = ShardNumber(number);
            assert_eq!(ShardNumber::of(shard.ids_above() + 1), shard);
            assert_eq!(ShardNumber::of(shard.ids_above() + ShardNumber::IDS), shard);
        }
        assert_eq!(ShardNumber::of(0), ShardNumber::HOME);
        assert!(ShardNumber::LAST.ids_above() + ShardNumber::IDS < 1 << 53);
    }
}
