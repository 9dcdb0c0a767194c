//! Which databases belong together, and what each has of the catalogue.
//!
//! The home lists its shards; each of them names its home and its number. Rows
//! that others refer to (tenants, webhooks) are in every database, with the ids
//! that the home gave them. They are written to the home first; whatever of
//! them is missing elsewhere is added when the databases are next opened.
//! A database that does not answer then is known by where it was, see [`Late`].

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use types::{Clock, TenantId};

use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::late::Late;
use crate::options::{Access, StoreOptions};
use crate::placement::ShardNumber;
use crate::postgres::{self, Server};
use crate::presence::rest;
use crate::shard::{OpenShard, Shard};
use crate::sql::{Connection, Value, collect, execute, first, params};
use crate::transfer;
use crate::{Store, StoreStats};

/// Of the home: all of its shards but itself, as JSON.
const SHARDS: &str = "shards";
/// Of a shard: the database id of its home, and its number.
const HOME: &str = "home";
const NUMBER: &str = "shard";

/// A shard as the home knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) number: u16,
    database_id: String,
    /// Where it was seen last.
    place: String,
    #[serde(default)]
    pub(crate) standing: Standing,
}

/// Whether a database takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    #[default]
    Active,
    /// It gets no new sources, and those it has are to go elsewhere.
    Draining,
    /// It was taken away.
    Left,
}

/// One of the databases that are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRow {
    pub number: ShardNumber,
    /// Host, port and database, or a file.
    pub place: String,
    pub database_id: Option<String>,
    /// What it has, or why it could not be asked.
    pub stats: Result<StoreStats, String>,
    /// Sources of all tenants, without removed ones.
    pub sources: u64,
    pub standing: Standing,
}

impl Store {
    /// Opens databases on PostgreSQL servers, see [`Store::open_server`]: the
    /// home first, then its other shards in any order.
    ///
    /// An empty database becomes another shard when it is opened for writing;
    /// from then on all of them have to be named. Fails with a conflict when
    /// one is missing, named twice, or has data of its own.
    ///
    /// The home is waited for, as long as `options` say. Without a shard that
    /// does not answer the others are opened all the same; it is taken in when
    /// it answers.
    pub fn open_servers(
        urls: &[&str],
        access: Access,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let instance = crate::sqlite::new_name();
        let opening = Opening {
            access,
            instance: &instance,
            options,
            clock: &clock,
        };
        let mut servers = Vec::with_capacity(urls.len());
        for (place, url) in urls.iter().enumerate() {
            let server = Server::new(url, options)?;
            servers.push(server.reached_directly(options.direct_urls.get(place))?);
        }
        let Some((home, others)) = servers.split_first() else {
            return Err(conflict("no database was named"));
        };
        let home = Arc::new(opening.wait_for(home)?);
        transfer::check_finished(&home)?;
        let mut members = Members::of(&home)?;
        let mut shards = vec![home.clone()];
        let mut silent = Vec::new();
        for server in others {
            let shard = match opening.open(server) {
                Err(error) if postgres::is_away(&error) => {
                    silent.push((server, error));
                    continue;
                }
                opened => opened?,
            };
            let number = members.admit(&home, &shard, access)?;
            shards.push(Arc::new(shard.numbered(number)));
        }
        for (server, why) in silent {
            let shard = match members.recognise(&server.describe()) {
                Some(known) => {
                    let place = server.describe();
                    tracing::warn!(
                        shard = known.number,
                        place,
                        "a shard does not answer; going on without it until it does"
                    );
                    opening.open_later(server, &known, &why, &home)
                }
                // One that would join, or one of several that moved.
                None => {
                    let shard = opening.wait_for(server)?;
                    let number = members.admit(&home, &shard, access)?;
                    shard.numbered(number)
                }
            };
            shards.push(Arc::new(shard));
        }
        members.check_complete()?;
        shards[1..].sort_by_key(|shard| shard.number());
        if access == Access::Write {
            for shard in shards[1..].iter().filter(|shard| shard.is_open()) {
                spread(&home, shard.open()?, None)?;
            }
        }
        Ok(Store::of(shards, clock))
    }

    /// All databases with what they have.
    pub fn shard_rows(&self) -> Vec<ShardRow> {
        // Without the home nothing is said of it.
        let draining = self.draining().unwrap_or_default();
        let row = |store: Store| {
            let shard = store.first();
            let sources = shard.read("count sources", |connection| {
                let sql = "SELECT CAST(coalesce(sum(sources), 0) AS BIGINT) FROM tenants";
                Ok(first(connection, sql, [], |row| row.get(0))?.unwrap_or(0))
            });
            ShardRow {
                number: shard.number(),
                place: shard.describe(),
                database_id: shard.database_id().map(str::to_owned),
                stats: store.stats().map_err(|error| error.to_string()),
                sources: sources.unwrap_or(0),
                standing: match draining.contains(&shard.number()) {
                    true => Standing::Draining,
                    false => Standing::Active,
                },
            }
        };
        self.shards().into_iter().map(row).collect()
    }

    /// Writes what the home has of a tenant to the other databases.
    pub(crate) fn spread_catalogue(&self, tenant: TenantId) -> Result<(), StoreError> {
        let others = self
            .all()
            .filter(|shard| shard.number() != ShardNumber::HOME);
        for shard in others {
            spread(self.home(), shard.open()?, Some(tenant))?;
        }
        Ok(())
    }
}

/// How the databases of a store are opened.
struct Opening<'a> {
    access: Access,
    instance: &'a str,
    options: &'a StoreOptions,
    clock: &'a Arc<dyn Clock>,
}

impl Opening<'_> {
    fn open(&self, server: &Server) -> Result<Shard, StoreError> {
        let now = self.clock.now();
        Shard::open_server(server, self.access, self.instance, self.options, now)
    }

    /// Opens a database that nothing goes without.
    fn wait_for(&self, server: &Server) -> Result<Shard, StoreError> {
        let wait = match self.access {
            Access::Read => self.options.read_wait,
            Access::Write | Access::WriteAlone => self.options.server_wait,
        };
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            match self.open(server) {
                Err(error) if postgres::is_away(&error) && begun.elapsed() < wait => {
                    if attempts == 0 {
                        let seconds = wait.as_secs();
                        tracing::warn!(%error, "waiting up to {seconds} s for the database");
                    }
                    attempts += 1;
                    rest(attempts);
                }
                opened => return opened,
            }
        }
    }

    fn open_later(
        &self,
        server: &Server,
        known: &Listed,
        why: &StoreError,
        home: &Arc<Shard>,
    ) -> Shard {
        let late = Late::new(
            server.clone(),
            self.options.clone(),
            self.clock.clone(),
            home.clone(),
        );
        let id = &known.database_id;
        let shard = Shard::open_later(late, self.access, self.instance, id, why);
        shard.numbered(ShardNumber(known.number))
    }
}

/// The shards of one home, and which of them were named.
struct Members {
    home_id: String,
    listed: Vec<Listed>,
    named: Vec<String>,
}

impl Members {
    fn of(home: &Shard) -> Result<Members, StoreError> {
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
    fn admit(
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
            return Err(conflict(format!(
                "{place} is no shard yet; open the databases for writing once"
            )));
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
    fn recognise(&mut self, place: &str) -> Option<Listed> {
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

    fn check_complete(&self) -> Result<(), StoreError> {
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

fn conflict(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Conflict, message)
}

fn id_of(shard: &Shard) -> Result<String, StoreError> {
    let id = shard.database_id().map(str::to_owned);
    id.ok_or_else(|| StoreError::new(StoreErrorKind::Bug, "a database without an id"))
}

pub(crate) fn meta(connection: &Connection, key: &str) -> Result<Option<String>, Failure> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    first(connection, sql, [key], |row| row.get(0))
}

pub(crate) fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<(), Failure> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    execute(connection, sql, [key, value])?;
    Ok(())
}

pub(crate) fn listed(connection: &Connection) -> Result<Vec<Listed>, Failure> {
    match meta(connection, SHARDS)? {
        Some(json) => serde_json::from_str(&json)
            .map_err(|error| Failure::corrupt(format!("the list of shards: {error}"))),
        None => Ok(Vec::new()),
    }
}

pub(crate) fn save_listed(connection: &Connection, all: &[Listed]) -> Result<(), Failure> {
    let json = serde_json::to_string(all)
        .map_err(|error| Failure::bug(format!("the list of shards: {error}")))?;
    set_meta(connection, SHARDS, &json)
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

/// The columns that people set, of one tenant or of all.
const TENANTS: &str = "
    SELECT id, name, created_at, active, pages_max, sources_max, requests_per_minute, tokens_per_day
    FROM tenants WHERE CAST(?1 AS BIGINT) IS NULL OR id = ?1 ORDER BY id";
const SHARES: &str = "
    SELECT tenant_id, weight, running_max
    FROM tenant_shares WHERE CAST(?1 AS BIGINT) IS NULL OR tenant_id = ?1 ORDER BY tenant_id";
const WEBHOOKS: &str = "
    SELECT id, tenant_id, url, description, events, active, secret, created_at, updated_at
    FROM webhooks WHERE CAST(?1 AS BIGINT) IS NULL OR tenant_id = ?1 ORDER BY id";

type Rows = Vec<Vec<Value>>;

/// Copies tenants, their shares and webhooks to where they are missing.
pub(crate) fn spread(
    home: &Shard,
    shard: &OpenShard,
    tenant: Option<TenantId>,
) -> Result<(), StoreError> {
    let id = tenant.map(|tenant| tenant.0);
    let (tenants, shares, webhooks) = home.read("read the catalogue", |connection| {
        Ok((
            rows(connection, TENANTS, id, 8)?,
            rows(connection, SHARES, id, 3)?,
            rows(connection, WEBHOOKS, id, 9)?,
        ))
    })?;
    shard.write("copy the catalogue", move |connection| {
        for row in &tenants {
            execute(
                connection,
                "INSERT INTO tenants (id, name, created_at, active, pages_max, sources_max,
                   requests_per_minute, tokens_per_day)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, active = excluded.active,
                   pages_max = excluded.pages_max, sources_max = excluded.sources_max,
                   requests_per_minute = excluded.requests_per_minute,
                   tokens_per_day = excluded.tokens_per_day",
                row,
            )?;
        }
        for row in &shares {
            execute(
                connection,
                "INSERT INTO tenant_shares (tenant_id, weight, running_max, pass, queued, running)
                 VALUES (?1, ?2, ?3, 0, 0, 0)
                 ON CONFLICT (tenant_id) DO UPDATE SET weight = excluded.weight,
                   running_max = excluded.running_max",
                row,
            )?;
        }
        // What it has of a webhook is newer than the home's, but for its being there.
        for row in &webhooks {
            execute(
                connection,
                "INSERT INTO webhooks (id, tenant_id, url, description, events, active, secret,
                   created_at, updated_at, event_cursor, not_before, failures_in_a_row, pending,
                   delivered, dead)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
                   coalesce((SELECT last_event FROM outboxes WHERE tenant_id = ?2), 0),
                   0, 0, 0, 0, 0)
                 ON CONFLICT (id) DO NOTHING",
                row,
            )?;
        }
        Ok(())
    })
}

fn rows(
    connection: &Connection,
    sql: &str,
    tenant: Option<i64>,
    columns: usize,
) -> Result<Rows, Failure> {
    collect(connection, sql, params![tenant], |row| {
        let value = |column| Ok(Value::from(row.value(column)?));
        (0..columns).map(value).collect()
    })
}
