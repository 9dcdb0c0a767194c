//! Answers that are kept: computed once for all who ask the same of the same
//! data at the same time, and found again until the data is another.
//!
//! A kept answer is found by a name that says all it depends on, so it is never
//! a wrong one, only no longer asked for. Which processes may share it follows
//! from what that is:
//!
//! - Pages and records are read from the database alone: the name has the
//!   tenant's version in each database, which grows with every write, and what
//!   was asked for. With Redis and a server's database all processes share
//!   these. The name then says as well which database that is, whatever else
//!   has the same prefix in Redis, and by which program the answer was made:
//!   another one may give it another form.
//! - Searches are answered from this machine's index. Its place in the sequence
//!   of changes says what it holds to itself alone: an index that followed
//!   step by step and one that was built later read different states on the
//!   way, and how far each has merged shows in the scores. These stay here, in
//!   memory and in a file.
//! - A data folder's database is known by nothing but its folder, and the file
//!   there serves all processes that have it. Nothing of it goes to Redis.
//!
//! An answer that had to do without a database that was away is not kept.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::body::Bytes;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use guard::{Cache, CacheKey, CacheOptions, CacheStats, Redis};
use serde::{Deserialize, Serialize};
use store::{Store, also_absent, noting_absent};
use types::TenantId;
use utoipa::ToSchema;

use super::error::ApiError;
use super::state::Api;
use crate::app::App;
use crate::process;

/// Says whether an answer was kept: `hit` or `miss`.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// What an answer is of; each is counted, and can be cleared, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    Pages,
    Records,
    Search,
}

impl Area {
    pub fn as_str(self) -> &'static str {
        match self {
            Area::Pages => "pages",
            Area::Records => "records",
            Area::Search => "search",
        }
    }

    /// Whether answers depend on the database alone.
    fn may_be_shared(self) -> bool {
        match self {
            Area::Pages | Area::Records => true,
            Area::Search => false,
        }
    }
}

/// The kept answers of a process.
#[derive(Debug)]
pub struct Answers {
    here: Cache,
    shared: Option<Shared>,
}

/// Those of all processes with the same database and Redis.
#[derive(Debug)]
struct Shared {
    cache: Cache,
    /// The database, and the program that makes the answers.
    of: String,
}

/// What came of looking, by where answers are kept.
#[derive(Clone, Debug, Default)]
pub struct AnswerStats {
    /// In memory and on disk.
    pub here: CacheStats,
    /// In memory and in Redis, of other areas.
    pub shared: Option<CacheStats>,
}

impl Answers {
    pub fn open(app: &App, store: &Store, redis: Option<&Redis>) -> Answers {
        let mut options = app.cache_options(store);
        let shared = redis.and_then(|redis| {
            let of = made_of(store)?;
            options.memory_bytes_max /= 2;
            let of_shared = CacheOptions {
                disk_path: None,
                ..options.clone()
            };
            let cache = Cache::shared(&of_shared, app.clock.clone(), redis.clone());
            Some(Shared { cache, of })
        });
        Answers {
            here: Cache::open(&options, app.clock.clone()),
            shared,
        }
    }

    fn place(&self, area: Area, tenant: TenantId, name: &str) -> (&Cache, CacheKey) {
        let scope = tenant.0.unsigned_abs();
        match self.shared.as_ref().filter(|_| area.may_be_shared()) {
            Some(Shared { cache, of }) => {
                let name = format!("{of} {name}");
                (cache, CacheKey::new(area.as_str(), scope, name))
            }
            None => (&self.here, CacheKey::new(area.as_str(), scope, name)),
        }
    }

    /// Forgets a tenant's answers, of an area or all, wherever they are kept;
    /// how many there were.
    pub fn clear(&self, area: Option<Area>, tenant: TenantId) -> u64 {
        let scope = Some(tenant.0.unsigned_abs());
        let area = area.map(Area::as_str);
        let shared = self.shared.iter().map(|shared| &shared.cache);
        let caches = shared.chain([&self.here]);
        caches.map(|cache| cache.clear(area, scope)).sum()
    }

    pub fn stats(&self) -> AnswerStats {
        AnswerStats {
            here: self.here.stats(),
            shared: self.shared.as_ref().map(|shared| shared.cache.stats()),
        }
    }
}

/// What shared answers are made of; `None` when they cannot be.
fn made_of(store: &Store) -> Option<String> {
    let database = store.database_id()?;
    let program = process::program_hash().inspect_err(|error| {
        tracing::warn!(%error, "the program's own file cannot be read: answers are shared with no other process");
    });
    Some(format!("{database} {}", program.ok()?))
}

/// What is not kept.
enum Unkept {
    /// Without what lies in these databases.
    Partial {
        body: Bytes,
        absent: Vec<String>,
    },
    Failed(anyhow::Error),
}

/// The kept answer of this name, or a new one. The name says all that the
/// answer depends on, besides area and tenant.
pub fn answer<T: Serialize>(
    api: &Api,
    area: Area,
    tenant: TenantId,
    name: &str,
    make: impl FnOnce() -> Result<T>,
) -> Result<Response, ApiError> {
    let ttl = Duration::from_secs(api.services.app.config.api.cache_ttl_s);
    let (cache, key) = api.answers.place(area, tenant, name);
    if let Some(kept) = cache.get(&key) {
        return Ok(as_json(kept, "hit"));
    }
    let made = cache.get_or_compute(&key, ttl, || {
        let (made, absent) = noting_absent(make);
        let body = made.and_then(|made| Ok(Bytes::from(serde_json::to_vec(&made)?)));
        match body {
            Ok(body) if absent.is_empty() => Ok(body),
            Ok(body) => Err(Unkept::Partial { body, absent }),
            Err(error) => Err(Unkept::Failed(error)),
        }
    });
    match made {
        Ok(body) => Ok(as_json(body, "miss")),
        Err(unkept) => match Arc::as_ref(&unkept) {
            Unkept::Partial { body, absent } => {
                also_absent(absent);
                Ok(as_json(body.clone(), "miss"))
            }
            Unkept::Failed(error) => Err(ApiError::of(error)),
        },
    }
}

fn as_json(body: Bytes, cache: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (X_CACHE, cache)];
    (headers, body).into_response()
}
