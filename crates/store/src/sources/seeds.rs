//! The start URLs that a source is known by, and where it lies for them.

use types::{SourceId, TenantId};

use crate::codec;
use crate::crawls::unfinished_crawl;
use crate::error::Failure;
use crate::placement::first_host;
use crate::quotas::{sources_of, too_many_sources};
use crate::rows::time;
use crate::shard::Shard;
use crate::sql::{Connection, execute, first, params};
use crate::tenants::check_tenant;
use crate::{NewSource, Store, StoreError};

impl Store {
    /// This store with only the database that has the source, or would have
    /// it: the tenant's source with these start URLs.
    pub fn shard_for(&self, tenant: TenantId, seeds: &[String]) -> Result<Store, StoreError> {
        let number = self.shard_of_seeds(tenant, seeds)?.number();
        let mut shards = self.shards().into_iter();
        let found = shards.find(|shard| shard.shard_number() == number);
        Ok(found.unwrap_or_else(|| self.clone()))
    }

    /// Where the source with these seeds is, if there is one, or else belongs,
    /// if the tenant may have another one.
    pub(super) fn shard_of_seeds(
        &self,
        tenant: TenantId,
        seeds: &[String],
    ) -> Result<&Shard, StoreError> {
        if let [only] = self.shards_held() {
            return Ok(only);
        }
        let known = self.known_by_seeds(tenant, seeds)?;
        if let Some((shard, Known { removed: false, .. })) = known {
            return Ok(shard);
        }
        let sources_max = self.quota(tenant)?.sources_max.unwrap_or(u64::MAX);
        let counts = self.every(|shard| shard.read("count sources", |c| sources_of(c, tenant)))?;
        let has: u64 = counts.into_iter().sum();
        if has >= sources_max {
            let failure = too_many_sources(has, sources_max);
            return Err(failure.into_store_error("add the source", "the catalogue"));
        }
        match known {
            Some((removed, _)) => Ok(removed),
            None => Ok(self.placed(tenant, first_host(seeds), &self.draining()?)),
        }
    }

    /// Where the source with these seeds is; one that was not removed rather
    /// than one that was.
    fn known_by_seeds(
        &self,
        tenant: TenantId,
        seeds: &[String],
    ) -> Result<Option<(&Shard, Known)>, StoreError> {
        let in_memory =
            |failure: Failure| failure.into_store_error("read the start URLs", "memory");
        let seeds = Seeds::written(tenant, seeds.to_vec()).map_err(in_memory)?;
        let mut known = Vec::new();
        for shard in self.all() {
            let found = shard.read("look for the start URLs", |connection| {
                seeds.find(connection)
            })?;
            known.extend(found.map(|found| (shard, found)));
        }
        Ok(known.into_iter().min_by_key(|(_, known)| known.removed))
    }

    /// No source in another database may have these seeds.
    pub(super) fn may_begin_at(
        &self,
        shard: &Shard,
        tenant: TenantId,
        seeds: &[String],
    ) -> Result<(), StoreError> {
        if self.shards_held().len() == 1 {
            return Ok(());
        }
        match self.known_by_seeds(tenant, seeds)? {
            Some((other, known)) if other.number() != shard.number() => {
                if !known.removed {
                    let place = shard.describe();
                    return Err(taken(known.id).into_store_error("edit the source", &place));
                }
                other.write("give start URLs up", move |connection| {
                    give_seeds_up(connection, known.id)
                })
            }
            _ => Ok(()),
        }
    }
}

/// A set of seeds as it is stored.
#[derive(Clone)]
pub(super) struct Seeds {
    pub(super) tenant: TenantId,
    pub(super) json: String,
    pub(super) hash: [u8; 16],
}

pub(super) struct Known {
    pub(super) id: SourceId,
    pub(super) removed: bool,
}

impl Seeds {
    pub(super) fn new(connection: &Connection, source: &NewSource) -> Result<Seeds, Failure> {
        let tenant = source.tenant;
        check_tenant(connection, tenant)?;
        Seeds::of(tenant, source.seeds.clone())
    }

    pub(super) fn of(tenant: TenantId, seeds: Vec<String>) -> Result<Seeds, Failure> {
        if seeds.is_empty() {
            return Err(Failure::conflict("a source needs at least one seed"));
        }
        Seeds::written(tenant, seeds)
    }

    pub(super) fn written(tenant: TenantId, mut seeds: Vec<String>) -> Result<Seeds, Failure> {
        seeds.sort();
        seeds.dedup();
        let json = codec::encode_strings(&seeds)?;
        let hash = codec::hash_16(json.as_bytes());
        Ok(Seeds { tenant, json, hash })
    }

    pub(super) fn find(&self, connection: &Connection) -> Result<Option<Known>, Failure> {
        first(
            connection,
            "SELECT id, removed_at FROM sources WHERE tenant_id = ?1 AND seeds_hash = ?2",
            params![self.tenant.0, self.hash],
            |row| {
                Ok(Known {
                    id: SourceId(row.get(0)?),
                    removed: time(row, 1)?.is_some(),
                })
            },
        )
    }
}

/// A source is known by its seeds: no other may have them, and a crawl that
/// began at the old ones has to end first. A removed source gives them up: its
/// pages, if it has any left, stay its own, and it cannot come back.
pub(super) fn may_begin_elsewhere(
    connection: &Connection,
    id: SourceId,
    seeds: &Seeds,
) -> Result<(), Failure> {
    if let Some(crawl) = unfinished_crawl(connection, id)? {
        let crawl = crawl.id;
        return Err(Failure::conflict(format!(
            "crawl {crawl} of this source has not ended; its start URLs can be changed once it has, or when it is cancelled"
        )));
    }
    match seeds.find(connection)? {
        Some(other) if other.removed => give_seeds_up(connection, other.id),
        Some(other) => Err(taken(other.id)),
        None => Ok(()),
    }
}

pub(crate) fn give_seeds_up(connection: &Connection, removed: SourceId) -> Result<(), Failure> {
    let given_up = no_seeds(removed);
    let sql = "UPDATE sources SET seeds_hash = ?2 WHERE id = ?1";
    execute(connection, sql, params![removed.0, given_up])?;
    Ok(())
}

/// The hash of seeds that nobody can ask for.
pub(crate) fn no_seeds(id: SourceId) -> [u8; 16] {
    codec::hash_16(format!("removed source {id}").as_bytes())
}

pub(super) fn taken(id: SourceId) -> Failure {
    Failure::conflict(format!("source {id} has these start URLs already"))
}
