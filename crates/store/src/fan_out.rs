//! Asking several databases at once, and making one answer of theirs.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Store;
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::placement::{Placed, ShardNumber};
use crate::shard::Shard;
use crate::sql::Connection;

impl Store {
    /// Where the next round of all databases begins.
    pub(crate) fn next_turn(&self) -> usize {
        static TURNS: AtomicUsize = AtomicUsize::new(0);
        TURNS.fetch_add(1, Ordering::Relaxed)
    }

    /// What each database answers. Of several, those that cannot be reached
    /// are left out and named by [`noting_absent`].
    pub(crate) fn gather<T>(
        &self,
        ask: impl Fn(&Shard) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut answers = Vec::with_capacity(self.shards_held().len());
        let mut silent = None;
        for shard in self.all() {
            match ask(shard) {
                Ok(answer) => answers.push(answer),
                Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                    note_absent(shard);
                    silent = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match silent {
            Some(error) if answers.is_empty() => Err(error),
            _ => Ok(answers),
        }
    }

    /// What each database answers, or the first that one fails with.
    pub(crate) fn every<T>(
        &self,
        ask: impl Fn(&Shard) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.all().map(ask).collect()
    }

    /// Like [`Store::gather`] for one database.
    pub(crate) fn answers<T>(
        &self,
        shard: &Shard,
        ask: impl Fn(&Shard) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match ask(shard) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                note_absent(shard);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes to all databases, the home first.
    pub(crate) fn write_every<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Clone + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        self.every(|shard| shard.write(name, work.clone()))
    }

    /// Writes to those databases that can be reached now. A write to one that
    /// cannot would wait for it.
    pub(crate) fn write_gathered<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Clone + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        let is_one = self.shards_held().len() == 1;
        self.gather(|shard| {
            if !is_one {
                shard.ping()?;
            }
            shard.write(name, work.clone())
        })
    }

    /// Repeats a write that changes at most `rows` at once until it has less to
    /// do, in each database; how many rows in all.
    pub(crate) fn in_steps(
        &self,
        rows: usize,
        name: &'static str,
        work: impl FnMut(&Connection) -> Result<usize, Failure> + Clone + Send + 'static,
    ) -> Result<u64, StoreError> {
        let mut changed = 0;
        loop {
            let steps = self.write_gathered(name, work.clone())?;
            changed += steps.iter().map(|step| *step as u64).sum::<u64>();
            if steps.iter().all(|step| *step < rows) {
                return Ok(changed);
            }
        }
    }

    /// Writes what is said of several rows, in one transaction for each
    /// database; the answers in the order of `items`, unless `work` gives one
    /// for all of them. A database that fails keeps no other from being written to.
    pub(crate) fn write_grouped<I, P, T>(
        &self,
        name: &'static str,
        items: Vec<I>,
        id_of: impl Fn(&I) -> P,
        mut work: impl FnMut(&Connection, &[I]) -> Result<Vec<T>, Failure> + Clone + Send + 'static,
    ) -> Result<Vec<T>, StoreError>
    where
        I: Send + 'static,
        P: Placed,
        T: Send + 'static,
    {
        if let [only] = self.shards_held() {
            return only.write(name, move |connection| work(connection, &items));
        }
        let mut failed = None;
        let mut groups: BTreeMap<ShardNumber, (&Shard, Vec<usize>, Vec<I>)> = BTreeMap::new();
        for (place, item) in items.into_iter().enumerate() {
            match self.holder(id_of(&item)) {
                Ok(shard) => {
                    let group = groups.entry(shard.number());
                    let (_, places, items) =
                        group.or_insert_with(|| (shard, Vec::new(), Vec::new()));
                    places.push(place);
                    items.push(item);
                }
                Err(error) => failed = Some(error),
            }
        }
        let mut answers: Vec<(usize, T)> = Vec::new();
        for (shard, places, items) in groups.into_values() {
            let mut work = work.clone();
            match shard.write(name, move |connection| work(connection, &items)) {
                Ok(group) => answers.extend(places.into_iter().zip(group)),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        answers.sort_unstable_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// The first `limit` of lists that are each in the order of `key`, which no
    /// two rows share: what is being moved may be in two lists, and is shown once.
    pub(crate) fn merged<T, K: Ord>(
        &self,
        limit: usize,
        key: impl Fn(&T) -> K,
        list: impl Fn(&Shard) -> Result<Vec<T>, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut lists = self.gather(list)?;
        if lists.len() == 1 {
            return Ok(lists.remove(0));
        }
        let mut rows: Vec<T> = lists.into_iter().flatten().collect();
        rows.sort_by_key(&key);
        rows.dedup_by(|a, b| key(a) == key(b));
        rows.truncate(limit);
        Ok(rows)
    }

    /// What is known of `ids`, in the order asked.
    pub(crate) fn by_ids<I: Placed + Eq + Hash, T>(
        &self,
        ids: &[I],
        id_of: impl Fn(&T) -> I,
        read: impl Fn(&Shard, &[I]) -> Result<Vec<T>, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        if let [only] = self.shards_held() {
            return read(only, ids);
        }
        let mut found: HashMap<I, T> = HashMap::with_capacity(ids.len());
        let mut ask = |shard: &Shard, ids: &[I]| -> Result<(), StoreError> {
            if !ids.is_empty() {
                let rows = read(shard, ids)?;
                found.extend(rows.into_iter().map(|row| (id_of(&row), row)));
            }
            Ok(())
        };
        for shard in self.all() {
            let born_here = |id: &I| ShardNumber::of(id.id()) == shard.number();
            let here: Vec<I> = ids.iter().copied().filter(born_here).collect();
            match ask(shard, &here) {
                Err(error) if error.kind() == StoreErrorKind::Unavailable => note_absent(shard),
                asked => asked?,
            }
        }
        // Those that were moved.
        let missing: Vec<I> = ids
            .iter()
            .copied()
            .filter(|id| !found.contains_key(id))
            .collect();
        if !missing.is_empty() {
            let answers = self.gather(|shard| read(shard, &missing))?;
            for row in answers.into_iter().flatten() {
                found.entry(id_of(&row)).or_insert(row);
            }
        }
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }
}

thread_local! {
    static ABSENT: RefCell<Option<BTreeSet<String>>> = const { RefCell::new(None) };
}

/// Runs `work` on this thread, and names the databases that its lists and
/// counts had to do without.
pub fn noting_absent<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let outer = ABSENT.replace(Some(BTreeSet::new()));
    let value = work();
    let absent = ABSENT.replace(outer).unwrap_or_default();
    (value, absent.into_iter().collect())
}

/// For an answer that was made elsewhere and lacks these databases, as
/// [`noting_absent`] named them there.
pub fn also_absent(names: &[String]) {
    ABSENT.with_borrow_mut(|absent| {
        if let Some(absent) = absent {
            absent.extend(names.iter().cloned());
        }
    });
}

fn note_absent(shard: &Shard) {
    also_absent(&[format!("shard {}", shard.number())]);
    tracing::debug!(shard = %shard.number(), "a database does not answer");
}
