//! What variables of the environment mean, and which keys are secret.

use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::Value;

/// Names that the systems Gleaner replaces use, and the keys they set.
/// The timeout of their breaker was in seconds, as ours is.
const ENVIRONMENT_ALIASES: &[(&str, &str)] = &[
    ("CACHE_TTL_SECONDS", "api.cache_ttl_s"),
    ("SCRAPING_CONCURRENCY", "crawl.concurrency"),
    ("SCRAPING_DELAY_MS", "crawl.delay_ms"),
    ("TASK_QUEUE_WORKERS", "worker.slots_max"),
    ("RETRY_MAX_ATTEMPTS", "crawl.attempts_max"),
    ("CIRCUIT_BREAKER_THRESHOLD", "crawl.breaker_failures"),
    ("CIRCUIT_BREAKER_TIMEOUT", "crawl.breaker_open_s"),
    ("BATCH_SIZE", "crawl.batch_pages"),
    ("DATABASE_URL", "store.database_url"),
    ("DATABASE_URL_DIRECT", "store.direct_urls"),
    ("CONNECTION_POOL_SIZE", "store.connections"),
    ("CONNECTION_POOL_MAX", "store.connections_max"),
    ("REDIS_URL", "redis.url"),
    ("AWS_ENDPOINT_URL", "archive.endpoint"),
    ("AWS_REGION", "archive.region"),
    ("AWS_ACCESS_KEY_ID", "archive.access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "archive.secret_access_key"),
    ("AWS_SESSION_TOKEN", "archive.session_token"),
    ("OPENSEARCH_URL", "search.opensearch.urls"),
    ("OPENAI_API_KEY", "embed.api_key"),
    ("OPENAI_BASE_URL", "embed.base_url"),
];

const ENVIRONMENT_PREFIX: &str = "GLEANER__";
const SECRET_KEYS: &[&str] = &[
    "archive.access_key_id",
    "archive.secret_access_key",
    "archive.session_token",
    "embed.api_key",
    "events.nats_token",
    "events.nats_password",
    "llm.api_key",
    "llm.proxy",
    "redis.url",
    "search.opensearch.api_key",
    "search.opensearch.password",
    "search.opensearch.urls",
    "store.database_url",
    "store.direct_urls",
    "store.shards",
];
/// Secrets that no file of configuration may hold, which is copied, shown and committed.
const NEVER_IN_FILES: &[&str] = &["llm.api_key"];

/// Names that others use too and that mean the language model only when it is
/// of this provider: provider, variable, key.
const PROVIDER_ALIASES: &[(&str, &str, &str)] = &[
    ("openai", "OPENAI_API_KEY", "llm.api_key"),
    ("openai", "OPENAI_BASE_URL", "llm.base_url"),
    ("gemini", "GEMINI_API_KEY", "llm.api_key"),
];

/// A value for one provider of language models.
#[derive(Debug)]
pub(super) struct ProviderValue {
    pub(super) provider: &'static str,
    pub(super) key: &'static str,
    /// The variable without `_FILE`.
    alias: &'static str,
    /// The variable as it is.
    pub(super) name: String,
    pub(super) value: String,
}

/// Adds what a variable says of a provider.
pub(super) fn read_provider_values(
    found: &mut Vec<ProviderValue>,
    name: &str,
    value: &str,
) -> Result<()> {
    for (provider, alias, key) in PROVIDER_ALIASES {
        let in_file = SECRET_KEYS.contains(key) && name.strip_suffix("_FILE") == Some(*alias);
        if name != *alias && !in_file {
            continue;
        }
        if found.iter().any(|other| other.alias == *alias) {
            bail!("both {alias} and {alias}_FILE are set");
        }
        let value = if in_file {
            read_secret(name, value)?
        } else {
            value.to_owned()
        };
        found.push(ProviderValue {
            provider,
            key,
            alias,
            name: name.to_owned(),
            value,
        });
    }
    Ok(())
}

pub(super) fn is_secret(key: &str) -> bool {
    SECRET_KEYS.contains(&key)
}

/// Refuses a secret in a file of configuration where it must not be.
pub(super) fn check_file_key(key: &str, value: &Value, file: &Path) -> Result<()> {
    if NEVER_IN_FILES.contains(&key) && value.as_str() != Some("") {
        let name = key.to_uppercase().replace('.', "__");
        bail!(
            "{}: `{key}` is not read from files of configuration; set it in the environment \
             ({ENVIRONMENT_PREFIX}{name}), or name a file with nothing else in it \
             ({ENVIRONMENT_PREFIX}{name}_FILE)",
            file.display()
        );
    }
    Ok(())
}

/// A secret as it is shown: whether there is one, and how many.
pub(super) fn hidden(value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        Value::Array(secrets) => Value::Array(secrets.iter().map(hidden).collect()),
        _ => Value::String("***".into()),
    }
}

/// The key that an environment variable sets; not always one that exists.
pub(super) fn key_of(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) {
        return Some(rest.to_ascii_lowercase().replace("__", "."));
    }
    let aliases = ENVIRONMENT_ALIASES.iter();
    let mut keys = aliases.filter(|(alias, _)| *alias == name);
    keys.next().map(|(_, key)| (*key).to_owned())
}

/// What is in the file that a variable names, without the end of its line.
pub(super) fn read_secret(name: &str, file: &str) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("read the file {file:?} that {name} names"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The secret whose file a variable names: `DATABASE_URL_FILE` is read for
/// `DATABASE_URL`, as container platforms hand secrets out.
pub(super) fn secret_in_file(name: &str) -> Option<String> {
    let key = key_of(name.strip_suffix("_FILE")?)?;
    SECRET_KEYS.contains(&key.as_str()).then_some(key)
}
