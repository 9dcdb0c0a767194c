//! Opening the databases that belong together.

use std::sync::Arc;
use std::time::Instant;

use types::Clock;

use super::members::Members;
use super::spreading::spread;
use super::{Listed, conflict, not_joined};
use crate::Store;
use crate::error::{StoreError, StoreErrorKind};
use crate::late::Late;
use crate::options::{Access, StoreOptions};
use crate::placement::ShardNumber;
use crate::postgres::{self, Server};
use crate::presence::rest;
use crate::shard::Shard;
use crate::transfer;

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
            servers.push(server.reached_directly(options.direct_urls.get(place), options)?);
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
                Err(error) if error.kind() == StoreErrorKind::NotFound => {
                    return Err(not_joined(&server.describe()));
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
