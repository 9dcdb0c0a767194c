//! Which databases are of one store, and how another one joins.

use super::{
    HOME, Listed, NUMBER, Standing, conflict, id_of, listed, meta, not_joined, save_listed,
    set_meta,
};
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::options::Access;
use crate::placement::ShardNumber;
use crate::shard::Shard;
use crate::sql::{Connection, first};

/// The shards of one home, and which of them were named.
pub(super) struct Members {
    home_id: String,
    listed: Vec<Listed>,
    named: Vec<String>,
}

impl Members {
    pub(super) fn of(home: &Shard) -> Result<Members, StoreError> {
        let home_id = id_of(home)?;
        let (listed, elsewhere) = home.read("read the list of shards", |connection| {
            Ok((
                listed(connection)?,
                meta(connection, HOME)?.zip(meta(connection, NUMBER)?),
            ))
        })?;
        if let Some((_, number)) = elsewhere {
            let place = home.describe();
            return Err(conflict(format!(
                "{place} is shard {number} of another database; name that one first"
            )));
        }
        Ok(Members {
            named: vec![home_id.clone()],
            home_id,
            listed,
        })
    }

    /// The number of a database that was named, which joins if it is new.
    pub(super) fn admit(
        &mut self,
        home: &Shard,
        shard: &Shard,
        access: Access,
    ) -> Result<ShardNumber, StoreError> {
        let (id, place) = (id_of(shard)?, shard.describe());
        if self.named.contains(&id) {
            return Err(conflict(format!("{place} is named twice")));
        }
        self.named.push(id.clone());
        let (belongs_to, empty) = shard.read("look what the database has", |connection| {
            let belongs_to = meta(connection, HOME)?.zip(meta(connection, NUMBER)?);
            Ok((belongs_to, is_empty(connection)?))
        })?;
        if let Some((of, number)) = belongs_to {
            let known = self.listed.iter().find(|listed| listed.database_id == id);
            return match known {
                Some(known) if known.standing == Standing::Left => Err(taken_away(&place)),
                Some(known) if of == self.home_id && number == known.number.to_string() => {
                    let number = ShardNumber(known.number);
                    if known.place != place && access == Access::Write {
                        self.note_place(home, &id, &place)?;
                    }
                    Ok(number)
                }
                _ => Err(conflict(format!("{place} is a shard of another database"))),
            };
        }
        if !empty {
            return Err(conflict(format!(
                "{place} has data of its own; only an empty database becomes a shard"
            )));
        }
        if access != Access::Write {
            return Err(not_joined(&place));
        }
        // Listed first: a database that fails in between is still empty, and
        // gets the same number when it is tried again.
        let number = self.list(home, &id, &place)?;
        let home_id = self.home_id.clone();
        shard.write("become a shard", move |connection| {
            connection.give_ids_above(number.ids_above())?;
            set_meta(connection, HOME, &home_id)?;
            set_meta(connection, NUMBER, &number.to_string())
        })?;
        tracing::info!(shard = %number, place, "a database joined");
        Ok(number)
    }

    fn list(&mut self, home: &Shard, id: &str, place: &str) -> Result<ShardNumber, StoreError> {
        let (id, place) = (id.to_owned(), place.to_owned());
        self.listed = home.write("list another shard", move |connection| {
            let mut all = listed(connection)?;
            if all.iter().all(|listed| listed.database_id != id) {
                let number = all.iter().map(|listed| listed.number).max().unwrap_or(0) + 1;
                if number > ShardNumber::LAST.0 {
                    return Err(Failure::conflict(
                        "there are as many shards as there can be",
                    ));
                }
                all.push(Listed {
                    number,
                    database_id: id.clone(),
                    place: place.clone(),
                    standing: Standing::Active,
                });
                save_listed(connection, &all)?;
            }
            Ok(all)
        })?;
        let known = self.named.last().and_then(|id| {
            let mut listed = self.listed.iter();
            listed.find(|listed| listed.database_id == *id)
        });
        let known = known.ok_or_else(|| {
            StoreError::new(StoreErrorKind::Bug, "a shard was listed and is not there")
        })?;
        Ok(ShardNumber(known.number))
    }

    /// The shard that was last seen at a place where nobody answers now; where
    /// only one is missing, it is that one.
    pub(super) fn recognise(&mut self, place: &str) -> Option<Listed> {
        let listed = self.listed.iter();
        let missing: Vec<&Listed> = listed.filter(|listed| self.is_missing(listed)).collect();
        let known = match missing.iter().find(|listed| listed.place == place) {
            Some(known) => (*known).clone(),
            None => match missing.as_slice() {
                [only] => (*only).clone(),
                _ => return None,
            },
        };
        self.named.push(known.database_id.clone());
        Some(known)
    }

    /// Where a shard was seen last, so that it is known again when it is away.
    fn note_place(&mut self, home: &Shard, id: &str, place: &str) -> Result<(), StoreError> {
        let (id, place) = (id.to_owned(), place.to_owned());
        self.listed = home.write("note where a shard is", move |connection| {
            let mut all = listed(connection)?;
            for listed in all.iter_mut().filter(|listed| listed.database_id == id) {
                listed.place.clone_from(&place);
            }
            save_listed(connection, &all)?;
            Ok(all)
        })?;
        Ok(())
    }

    fn is_missing(&self, listed: &Listed) -> bool {
        listed.standing != Standing::Left && !self.named.contains(&listed.database_id)
    }

    pub(super) fn check_complete(&self) -> Result<(), StoreError> {
        let missing: Vec<String> = self
            .listed
            .iter()
            .filter(|listed| self.is_missing(listed))
            .map(|listed| format!("shard {} ({})", listed.number, listed.place))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(conflict(format!(
            "{} belongs to this database and is not configured; name all shards",
            missing.join(" and ")
        )))
    }
}

fn taken_away(place: &str) -> StoreError {
    conflict(format!(
        "{place} was taken away; take it out of store.shards (DATABASE_URL_SHARD_…)"
    ))
}

/// True as long as nobody has used the database.
fn is_empty(connection: &Connection) -> Result<bool, Failure> {
    let used = first(
        connection,
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM sources) OR EXISTS (SELECT 1 FROM tasks)
           OR EXISTS (SELECT 1 FROM pages) OR EXISTS (SELECT 1 FROM api_keys)
           OR (SELECT count(*) FROM tenants) > 1",
        [],
        |_| Ok(()),
    )?;
    Ok(used.is_none())
}
