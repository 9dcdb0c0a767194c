//! Keys to the service. The store never sees a key, only its hash.

use types::{ApiKeyId, TenantId, Timestamp};

use crate::counters;
use crate::error::Failure;
use crate::rows::{as_i64, time};
use crate::sql::{Connection, Row, collect, execute, first, params};
use crate::tenants::check_tenant;
use crate::{ApiKeyRow, NewApiKey, Scopes, Store, StoreError};

/// Not revoked, of one tenant.
const KEYS_MAX: usize = 1_000;
/// Revoked keys that a list shows.
const REVOKED_LISTED_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 64;
const PREFIX_CHARS_MAX: usize = 32;

macro_rules! select_keys {
    ($ending:literal) => {
        concat!(
            "SELECT k.id, k.tenant_id, t.active, k.name, k.prefix, k.scopes, k.created_at, ",
            "k.expires_at, k.revoked_at, k.last_used_at ",
            "FROM api_keys k JOIN tenants t ON t.id = k.tenant_id ",
            $ending
        )
    };
}

impl Store {
    /// Adds a key. Fails with a conflict when a key of this hash exists, on a
    /// name or prefix that is empty or too long, and for a tenant with 1,000
    /// keys that are not revoked.
    pub fn add_api_key(&self, key: NewApiKey) -> Result<ApiKeyRow, StoreError> {
        let now = self.now();
        self.home().write("add the API key", move |connection| {
            check_tenant(connection, key.tenant)?;
            insert(connection, &key, now)
        })
    }

    /// The key of this hash, whatever state it or its tenant is in: it is for
    /// the caller to refuse it and to say why.
    pub fn api_key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.home().read("look up the API key", |connection| {
            first(connection, BY_HASH, [hash], key_row)
        })
    }

    /// A tenant's keys: those not revoked, oldest first, then the hundred
    /// revoked last.
    pub fn api_keys(&self, tenant: TenantId) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.home().read("list API keys", |connection| {
            let mut keys = collect(connection, VALID, [tenant.0, as_i64(KEYS_MAX), 0], key_row)?;
            let limit = as_i64(REVOKED_LISTED_MAX);
            keys.extend(collect(connection, REVOKED, [tenant.0, limit], key_row)?);
            Ok(keys)
        })
    }

    /// Closes a key for good; false when it was closed before.
    pub fn revoke_api_key(&self, tenant: TenantId, id: ApiKeyId) -> Result<bool, StoreError> {
        let now = self.now();
        self.home().write("revoke the API key", move |connection| {
            if key_of_tenant(connection, tenant, id)?.revoked_at.is_some() {
                return Ok(false);
            }
            let sql = "UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1";
            execute(connection, sql, [id.0, now.0])?;
            add_to_count(connection, -1)?;
            Ok(true)
        })
    }

    /// Replaces a key by one of the same name, scopes and expiry. The old one
    /// goes on until `old_valid_until`, unless it expires before that. Fails
    /// with a conflict when it is revoked or has expired.
    pub fn rotate_api_key(
        &self,
        tenant: TenantId,
        id: ApiKeyId,
        new_hash: [u8; 32],
        new_prefix: &str,
        old_valid_until: Timestamp,
    ) -> Result<ApiKeyRow, StoreError> {
        let now = self.now();
        let prefix = new_prefix.to_owned();
        self.home().write("rotate the API key", move |connection| {
            let old = key_of_tenant(connection, tenant, id)?;
            if old.revoked_at.is_some() {
                return Err(Failure::conflict(format!("API key {id} is revoked")));
            }
            if old.expires_at.is_some_and(|at| at <= now) {
                return Err(Failure::conflict(format!("API key {id} has expired")));
            }
            let key = NewApiKey {
                tenant,
                name: old.name,
                prefix: prefix.clone(),
                hash: new_hash,
                scopes: old.scopes,
                expires_at: old.expires_at,
            };
            let new = insert(connection, &key, now)?;
            let until = old
                .expires_at
                .map_or(old_valid_until, |at| at.min(old_valid_until));
            let sql = "UPDATE api_keys SET expires_at = ?2 WHERE id = ?1";
            execute(connection, sql, [id.0, until.0])?;
            Ok(new)
        })
    }

    /// Notes when keys were used last, in one write for many. An earlier time
    /// than the one noted, and a key that is not there, change nothing.
    pub fn touch_api_keys(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), StoreError> {
        self.home()
            .write("note the use of API keys", move |connection| {
                for (id, at) in &uses {
                    execute(
                        connection,
                        "UPDATE api_keys SET last_used_at = ?2
                     WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)",
                        [id.0, at.0],
                    )?;
                }
                Ok(())
            })
    }

    /// Keys of all tenants that are not revoked. Expired ones count: a service
    /// whose last key ran out must not take that for one without keys.
    pub fn active_key_count(&self) -> Result<u64, StoreError> {
        self.home().read("count API keys", |connection| {
            Ok(counters::value(connection, "api_keys")?.unsigned_abs())
        })
    }
}

pub(crate) const BY_HASH: &str = select_keys!("WHERE k.hash = ?1");

pub(crate) const VALID: &str = select_keys!(
    "WHERE k.tenant_id = ?1 AND k.revoked_at IS NULL ORDER BY k.id LIMIT ?2 OFFSET ?3"
);

pub(crate) const REVOKED: &str = select_keys!(
    "WHERE k.tenant_id = ?1 AND k.revoked_at IS NOT NULL
     ORDER BY k.revoked_at DESC, k.id DESC LIMIT ?2"
);

fn insert(connection: &Connection, key: &NewApiKey, now: Timestamp) -> Result<ApiKeyRow, Failure> {
    check_length("name", &key.name, NAME_CHARS_MAX)?;
    check_length("prefix", &key.prefix, PREFIX_CHARS_MAX)?;
    let last = [key.tenant.0, 1, as_i64(KEYS_MAX - 1)];
    if first(connection, VALID, last, |_| Ok(()))?.is_some() {
        return Err(Failure::conflict(format!(
            "the tenant has {KEYS_MAX} API keys; revoke some"
        )));
    }
    let rows = execute(
        connection,
        "INSERT INTO api_keys (tenant_id, hash, prefix, name, scopes, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (hash) DO NOTHING",
        params![
            key.tenant.0,
            key.hash,
            key.prefix,
            key.name,
            key.scopes.bits(),
            now.0,
            key.expires_at.map(|at| at.0)
        ],
    )?;
    if rows == 0 {
        return Err(Failure::conflict("this API key is in use already"));
    }
    add_to_count(connection, 1)?;
    let saved = first(connection, BY_HASH, [&key.hash], key_row)?;
    saved.ok_or_else(|| Failure::bug("the API key was not saved"))
}

fn add_to_count(connection: &Connection, difference: i64) -> Result<(), Failure> {
    let sql = "UPDATE counters SET value = value + ?1 WHERE name = 'api_keys'";
    execute(connection, sql, [difference])?;
    Ok(())
}

/// Another tenant's key does not exist (T1).
fn key_of_tenant(
    connection: &Connection,
    tenant: TenantId,
    id: ApiKeyId,
) -> Result<ApiKeyRow, Failure> {
    let sql = select_keys!("WHERE k.id = ?1 AND k.tenant_id = ?2");
    first(connection, sql, [id.0, tenant.0], key_row)?
        .ok_or_else(|| Failure::not_found(format!("no API key {id}")))
}

fn check_length(what: &str, text: &str, chars_max: usize) -> Result<(), Failure> {
    // Bytes first: a text may be of any length.
    if text.is_empty() || text.len() > 4 * chars_max || text.chars().count() > chars_max {
        return Err(Failure::conflict(format!(
            "the {what} of an API key has 1 to {chars_max} characters"
        )));
    }
    Ok(())
}

fn key_row(row: &Row<'_>) -> Result<ApiKeyRow, Failure> {
    let bits: u8 = row.get(5)?;
    let scopes = Scopes::from_bits(bits)
        .ok_or_else(|| Failure::corrupt(format!("unknown scopes {bits} of an API key")))?;
    Ok(ApiKeyRow {
        id: ApiKeyId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        tenant_active: row.get(2)?,
        name: row.get(3)?,
        prefix: row.get(4)?,
        scopes,
        created_at: Timestamp(row.get(6)?),
        expires_at: time(row, 7)?,
        revoked_at: time(row, 8)?,
        last_used_at: time(row, 9)?,
    })
}
