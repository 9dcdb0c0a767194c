//! The second tier in Redis: one for all processes of a deployment.
//!
//! Invalidations are numbered there as they are in a file. They are kept only
//! as long as one server process is the master: what a new one may have missed
//! nobody knows, so everything is stale then. Values go when they expire, or
//! before that as the server's own `maxmemory-policy` has it.

use bytes::{BufMut as _, Bytes, BytesMut};
use redis::Value;
use types::Timestamp;

use super::disk::{Found, Look, Maybe, NewRow};
use super::generations::{Numbered, Stamp, TARGETS_MAX};
use super::key::{CacheKey, Target};
use super::memory::Held;
use super::schema::DiskError;
use crate::redis_link::{Answer, Call, Redis, Script};

/// Stamp and digest before a value.
const HEAD_BYTES: usize = 8 + 16;
/// Keys looked at in one step when clearing, and steps at most.
const SCANNED_KEYS: usize = 1000;
const SCANS_MAX: usize = 100_000;

#[derive(Debug)]
pub(crate) struct Remote {
    redis: Redis,
}

impl Remote {
    pub(crate) fn new(redis: Redis) -> Remote {
        Remote { redis }
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }

    pub(crate) fn look(&self, key: &CacheKey, known: Stamp, now: Timestamp) -> Maybe<Look> {
        let (value, left_ms, _, news) = self.run("look", known, "", Some(self.key_of(key)))?;
        let left = u64::try_from(left_ms).unwrap_or(0);
        let found = value.and_then(|value| opened(key, &value)).map(|opened| {
            let (stamp, value) = opened;
            Found {
                row: 0,
                last_used: now,
                held: Held {
                    value,
                    stamp,
                    created_at: now,
                    expires_at: now.plus(std::time::Duration::from_millis(left)),
                },
            }
        });
        Ok(Some(Look { found, news }))
    }

    pub(crate) fn news(&self, known: Stamp) -> Maybe<Vec<Numbered>> {
        let (_, _, _, news) = self.run("news", known, "", None)?;
        Ok(Some(news))
    }

    pub(crate) fn invalidate(&self, target: &Target, known: Stamp) -> Maybe<(u64, Vec<Numbered>)> {
        let (_, _, number, news) = self.run("invalidate", known, &name_of(target), None)?;
        Ok(Some((number, news)))
    }

    pub(crate) fn store(&self, rows: &[NewRow], now: Timestamp) -> Maybe<()> {
        let mut commands = redis::pipe();
        for NewRow { key, held } in rows {
            let left = held.expires_at.since(now).as_millis();
            if left > 0 {
                let mut command = redis::cmd("SET");
                command
                    .arg(self.key_of(key))
                    .arg(sealed(key, held).as_ref());
                command.arg("PX").arg(left.to_string());
                commands.add_command(command).ignore();
            }
        }
        if !commands.is_empty() {
            answered(self.redis.ask_blocking(Call::Commands(commands)))?;
        }
        Ok(Some(()))
    }

    pub(crate) fn has(&self, key: &CacheKey) -> Maybe<bool> {
        let mut commands = redis::pipe();
        commands.cmd("EXISTS").arg(self.key_of(key));
        let (count,): (u64,) = read(self.redis.ask_blocking(Call::Commands(commands)))?;
        Ok(Some(count > 0))
    }

    /// Deletes the values of a target, and says how many. Looks at every key of
    /// the server, in steps.
    pub(crate) fn clear(&self, target: &Target) -> Maybe<usize> {
        let area = target.area.as_deref().map_or("*".to_owned(), in_pattern);
        let scope = target
            .scope
            .map_or("*".to_owned(), |scope| scope.to_string());
        let start = in_pattern(&self.redis.key("cache"));
        let pattern = format!("{start}:{area}:{scope}:*");
        let (mut cursor, mut removed) = ("0".to_owned(), 0);
        for _ in 0..SCANS_MAX {
            let mut scan = redis::pipe();
            scan.cmd("SCAN").arg(&cursor).arg("MATCH").arg(&pattern);
            scan.arg("COUNT").arg(SCANNED_KEYS);
            let ((next, keys),): ((String, Vec<Vec<u8>>),) =
                read(self.redis.ask_blocking(Call::Commands(scan)))?;
            if !keys.is_empty() {
                let mut unlink = redis::pipe();
                unlink.cmd("UNLINK").arg(keys);
                let (count,): (usize,) = read(self.redis.ask_blocking(Call::Commands(unlink)))?;
                removed += count;
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
        Ok(Some(removed))
    }

    fn run(&self, action: &str, known: Stamp, target: &str, entry: Option<String>) -> Ran {
        let names = ["cache-number", "cache-invalidations", "cache-server"];
        let keys = names.map(|name| self.redis.key(name)).into_iter();
        let known = known.0.to_string();
        let targets_max = TARGETS_MAX.to_string();
        let arguments = [action, &known, target, &targets_max];
        let answer = self.redis.ask_blocking(Call::Script {
            script: Script::Cache,
            keys: keys.chain(entry).collect(),
            arguments: arguments.map(|text| text.as_bytes().to_vec()).into(),
        });
        let (value, left_ms, number, news): Raw = read(answer)?;
        let news = news.iter().filter_map(|(name, number)| {
            Some(Numbered {
                target: target_of(name)?,
                number: *number,
            })
        });
        Ok((value, left_ms, number, news.collect()))
    }

    fn key_of(&self, key: &CacheKey) -> String {
        let name = blake3::Hash::from_bytes(key.name).to_hex();
        self.redis
            .key(format_args!("cache:{}:{}:{name}", key.area, key.scope))
    }
}

/// Value, the ms it has left, number given, news.
type Ran = Result<(Option<Vec<u8>>, i64, u64, Vec<Numbered>), DiskError>;
/// The same as it comes.
type Raw = (Option<Vec<u8>>, i64, u64, Vec<(String, u64)>);

fn answered(answer: Answer) -> Result<Value, DiskError> {
    answer.map_err(|_| DiskError::Away)
}

fn read<T: redis::FromRedisValue>(answer: Answer) -> Result<T, DiskError> {
    redis::from_redis_value(answered(answer)?).map_err(|_| DiskError::Away)
}

/// `-` stands for every; areas are named by constants of the program.
fn name_of(target: &Target) -> String {
    let scope = target
        .scope
        .map_or("-".to_owned(), |scope| scope.to_string());
    format!("{scope} {}", target.area.as_deref().unwrap_or("-"))
}

fn target_of(name: &str) -> Option<Target> {
    let (scope, area) = name.split_once(' ')?;
    let scope = match scope {
        "-" => None,
        number => Some(number.parse().ok()?),
    };
    Some(Target::new((area != "-").then_some(area), scope))
}

/// As it stands in a pattern of Redis.
fn in_pattern(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

fn sealed(key: &CacheKey, held: &Held) -> Bytes {
    let mut sealed = BytesMut::with_capacity(HEAD_BYTES + held.value.len());
    sealed.put_u64(held.stamp.0);
    sealed.put_slice(&digest(key, held.stamp, &held.value));
    sealed.put_slice(&held.value);
    sealed.freeze()
}

/// `None`: nothing that this program put under that key.
fn opened(key: &CacheKey, sealed: &[u8]) -> Option<(Stamp, Bytes)> {
    let (stamp, rest) = sealed.split_first_chunk::<8>()?;
    let (seal, value) = rest.split_first_chunk::<16>()?;
    let stamp = Stamp(u64::from_be_bytes(*stamp));
    (*seal == digest(key, stamp, value)).then(|| (stamp, Bytes::copy_from_slice(value)))
}

/// A value under another key than its own would show one tenant's to another.
fn digest(key: &CacheKey, stamp: Stamp, value: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.name);
    hasher.update(&key.scope.to_le_bytes());
    hasher.update(&stamp.0.to_le_bytes());
    hasher.update(&(key.area.len() as u64).to_le_bytes());
    hasher.update(key.area.as_bytes());
    hasher.update(value);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}
