//! Layers of configuration and where each value came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use toml::{Table, Value};

use super::Config;
use super::environment::{
    ProviderValue, check_file_key, hidden, is_secret, key_of, read_provider_values, read_secret,
    secret_in_file,
};

/// The compiled-in defaults; also the list of keys that exist.
pub const DEFAULT_TOML: &str = include_str!("../../../../config/default.toml");

/// With a number behind it: all databases in their order, the home first.
const SHARD_ALIAS: &str = "DATABASE_URL_SHARD_";

/// One value given on the command line.
#[derive(Clone, Debug)]
pub struct Override {
    /// Dotted key, e.g. `crawl.delay_ms`.
    pub key: &'static str,
    pub value: Value,
    /// The flag as the user typed it, e.g. `--delay-ms`.
    pub flag: &'static str,
}

/// The effective configuration with the origin of every value.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    merged: Table,
    origins: BTreeMap<String, String>,
}

impl Loaded {
    /// Every key with its effective value and origin, in the order of `default.toml`.
    /// Secrets are replaced by `***`.
    pub fn entries(&self) -> Vec<(String, Value, &str)> {
        let mut entries = Vec::new();
        walk(&self.merged, "", &mut |key, value| {
            let shown = if is_secret(key) {
                hidden(value)
            } else {
                value.clone()
            };
            let origin = self.origins.get(key).map_or("default", String::as_str);
            entries.push((key.to_owned(), shown, origin));
        });
        entries
    }
}

/// Reads and merges all layers. `file` must exist when given; otherwise
/// `gleaner.toml` in the working folder is used when there is one.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    overrides: &[Override],
) -> Result<Loaded> {
    let mut merged: Table = DEFAULT_TOML
        .parse()
        .context("bug: default.toml does not parse")?;
    let mut origins = BTreeMap::new();

    let implicit = PathBuf::from("gleaner.toml");
    let path = file
        .map(Path::to_path_buf)
        .or_else(|| implicit.exists().then_some(implicit));
    if let Some(path) = path {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("read the configuration file {}", path.display()))?;
        let table: Table = text
            .parse()
            .with_context(|| format!("parse the configuration file {}", path.display()))?;
        let mut leaves = Vec::new();
        walk(&table, "", &mut |key, value| {
            leaves.push((key.to_owned(), value.clone()));
        });
        for (key, value) in leaves {
            check_file_key(&key, &value, &path)?;
            set(&mut merged, &key, value).with_context(|| format!("in {}", path.display()))?;
            origins.insert(key, path.display().to_string());
        }
    }

    let mut environment: Vec<(String, String)> = environment.collect();
    environment.sort();
    let mut shards = Vec::new();
    let mut of_providers = Vec::new();
    for (name, value) in environment {
        read_provider_values(&mut of_providers, &name, &value)?;
        if let Some(number) = name.strip_prefix(SHARD_ALIAS) {
            let (number, url) = match number.strip_suffix("_FILE") {
                Some(number) => (number, read_secret(&name, &value)?),
                None => (number, value),
            };
            let number = number.parse().map_err(|_| {
                anyhow::anyhow!("{name}: the number of a shard is expected behind {SHARD_ALIAS}")
            })?;
            shards.push((number, url));
            continue;
        }
        let (key, value) = if let Some(key) = secret_in_file(&name) {
            if origins
                .get(&key)
                .is_some_and(|from| name == format!("{from}_FILE"))
            {
                bail!("both {0} and {name} are set", origins[&key]);
            }
            (key, read_secret(&name, &value)?)
        } else if let Some(key) = key_of(&name) {
            (key, value)
        } else {
            continue;
        };
        set_text(&mut merged, &key, &value)
            .with_context(|| format!("in the environment variable {name}"))?;
        origins.insert(key, name);
    }

    set_shards(&mut merged, &mut origins, shards)?;

    for item in overrides {
        set(&mut merged, item.key, item.value.clone()).with_context(|| item.flag.to_owned())?;
        origins.insert(item.key.to_owned(), item.flag.to_owned());
    }
    set_of_provider(&mut merged, &mut origins, of_providers)?;

    let mut config = Config::deserialize(Value::Table(merged.clone()))
        .context("a configuration value has the wrong type or range")?;
    if config.data_dir.as_os_str().is_empty() {
        config.data_dir = default_data_dir()?;
    }
    Ok(Loaded {
        config,
        merged,
        origins,
    })
}

/// What variables say of the provider of language models that was chosen; keys
/// of our own names win.
fn set_of_provider(
    merged: &mut Table,
    origins: &mut BTreeMap<String, String>,
    values: Vec<ProviderValue>,
) -> Result<()> {
    let chosen = slot(merged, "llm.provider")?.clone();
    for of in values {
        let is_empty = slot(merged, of.key)?.as_str() == Some("");
        if is_empty && chosen.as_str() == Some(of.provider) {
            set(merged, of.key, Value::String(of.value))?;
            origins.insert(of.key.to_owned(), of.name);
        }
    }
    Ok(())
}

/// Databases named one by one. The first is the home, unless another variable
/// names that; it is then left out where it is named again.
fn set_shards(
    merged: &mut Table,
    origins: &mut BTreeMap<String, String>,
    mut named: Vec<(u32, String)>,
) -> Result<()> {
    named.sort();
    let mut urls = named.into_iter().map(|(_, url)| url);
    let (home_key, shards_key) = ("store.database_url", "store.shards");
    let home = match slot(merged, home_key)?.as_str() {
        Some(home) if !home.is_empty() => Some(home.to_owned()),
        _ => None,
    };
    let home = match home {
        Some(home) => home,
        None => {
            let Some(first) = urls.next() else {
                return Ok(());
            };
            set(merged, home_key, Value::String(first.clone()))?;
            origins.insert(home_key.to_owned(), format!("{SHARD_ALIAS}…"));
            first
        }
    };
    let shards: Vec<Value> = urls.filter(|url| *url != home).map(Value::String).collect();
    if !shards.is_empty() {
        set(merged, shards_key, Value::Array(shards))?;
        origins.insert(shards_key.to_owned(), format!("{SHARD_ALIAS}…"));
    }
    Ok(())
}

fn default_data_dir() -> Result<PathBuf> {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    if let Some(dir) = from("XDG_DATA_HOME") {
        return Ok(dir.join("gleaner"));
    }
    match from("HOME") {
        Some(home) => Ok(home.join(".local/share/gleaner")),
        None => bail!("no home folder known; pass --data-dir or set data_dir in gleaner.toml"),
    }
}

fn walk(table: &Table, prefix: &str, visit: &mut impl FnMut(&str, &Value)) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Table(inner) => walk(inner, &key, visit),
            leaf => visit(&key, leaf),
        }
    }
}

fn slot<'a>(merged: &'a mut Table, key: &str) -> Result<&'a mut Value> {
    let known = known_keys(merged);
    let mut table = merged;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        let Some(value) = table.get_mut(part) else {
            break;
        };
        match (value, parts.peek().is_some()) {
            (Value::Table(inner), true) => table = inner,
            (Value::Table(_), false) | (_, true) => break,
            (leaf, false) => return Ok(leaf),
        }
    }
    let nearest = known
        .into_iter()
        .max_by(|a, b| strsim::jaro_winkler(key, a).total_cmp(&strsim::jaro_winkler(key, b)));
    match nearest {
        Some(nearest) => bail!("unknown configuration key `{key}`; did you mean `{nearest}`?"),
        None => bail!("unknown configuration key `{key}`"),
    }
}

fn known_keys(merged: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    walk(merged, "", &mut |key, _| keys.push(key.to_owned()));
    keys
}

fn set(merged: &mut Table, key: &str, value: Value) -> Result<()> {
    let slot = slot(merged, key)?;
    let value = match (&*slot, value) {
        (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
        (_, value) => value,
    };
    if slot.type_str() != value.type_str() {
        bail!(
            "`{key}` takes a value of type {}, not {}",
            slot.type_str(),
            value.type_str()
        );
    }
    *slot = value;
    Ok(())
}

/// Sets a value given as text, read by the type that the default has.
fn set_text(merged: &mut Table, key: &str, text: &str) -> Result<()> {
    let slot = slot(merged, key)?;
    let value = match slot {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Integer(_) => Value::Integer(
            text.trim()
                .parse()
                .with_context(|| format!("`{key}` takes a whole number"))?,
        ),
        Value::Float(_) => Value::Float(
            text.trim()
                .parse()
                .with_context(|| format!("`{key}` takes a number"))?,
        ),
        Value::Boolean(_) => Value::Boolean(
            text.trim()
                .parse()
                .with_context(|| format!("`{key}` takes true or false"))?,
        ),
        Value::Array(before) => {
            let numbers = before.first().is_some_and(Value::is_integer);
            let items = text.split(',').map(str::trim);
            let items = items.filter(|item| !item.is_empty()).map(|item| {
                if !numbers {
                    return Ok(Value::String(item.to_owned()));
                }
                let number = item
                    .parse()
                    .with_context(|| format!("`{key}` takes whole numbers"))?;
                Ok(Value::Integer(number))
            });
            Value::Array(items.collect::<Result<_>>()?)
        }
        other => bail!("`{key}` has the unsupported type {}", other.type_str()),
    };
    *slot = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        owned.into_iter()
    }

    fn check_error(pairs: &[(&str, &str)], expected: &str) {
        let error = load(None, environment(pairs), &[]).expect_err("must fail");
        let text = format!("{error:#}");
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn lists_of_numbers_are_read_from_the_environment() {
        let read = |text: &str| {
            let pairs = [("GLEANER__WEBHOOKS__RETRY_S", text)];
            load(None, environment(&pairs), &[]).map(|loaded| loaded.config.webhooks.retry_s)
        };
        assert_eq!(read("1, 2,3").expect("numbers"), [1, 2, 3]);
        assert!(read("").expect("none").is_empty());
        check_error(&[("GLEANER__WEBHOOKS__RETRY_S", "1,soon")], "whole numbers");
    }

    #[test]
    fn defaults_parse_and_every_key_is_known() {
        let loaded = load(None, environment(&[]), &[]).expect("defaults load");
        assert_eq!(loaded.config.crawl.delay_ms, 1000);
        assert!(
            loaded
                .entries()
                .iter()
                .all(|(_, _, origin)| *origin == "default")
        );
    }

    #[test]
    fn later_layers_win_and_are_named() {
        let flags = [Override {
            key: "crawl.concurrency",
            value: Value::Integer(3),
            flag: "--concurrency",
        }];
        let pairs = [
            ("GLEANER__CRAWL__DELAY_MS", "7"),
            ("SCRAPING_CONCURRENCY", "9"),
            ("OPENAI_API_KEY", "sk-secret"),
        ];
        let loaded = load(None, environment(&pairs), &flags).expect("loads");
        assert_eq!(loaded.config.crawl.delay_ms, 7);
        assert_eq!(loaded.config.crawl.concurrency, 3);
        let entries = loaded.entries();
        let find = |key: &str| entries.iter().find(|(k, _, _)| k == key).expect("listed");
        assert_eq!(find("crawl.concurrency").2, "--concurrency");
        assert_eq!(find("crawl.delay_ms").2, "GLEANER__CRAWL__DELAY_MS");
        assert_eq!(find("embed.api_key").1.as_str(), Some("***"));
    }

    #[test]
    fn shards_are_named_one_by_one_with_the_home_first() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("url");
        std::fs::write(&path, "postgres://c/d\n").expect("written");
        let file = path.to_str().expect("UTF-8");
        let read = |pairs: &[(&str, &str)]| {
            let loaded = load(None, environment(pairs), &[]).expect("loads");
            let store = loaded.config.store;
            (store.database_url, store.shards)
        };
        let (a, b, c) = ("postgres://a/d", "postgres://b/d", "postgres://c/d");
        let two = [("DATABASE_URL_SHARD_0", a), ("DATABASE_URL_SHARD_1", b)];
        assert_eq!(read(&two), (a.to_owned(), vec![b.to_owned()]));
        // In the order of the numbers, and from files.
        let many = [
            ("DATABASE_URL_SHARD_10", b),
            ("DATABASE_URL_SHARD_2_FILE", file),
            ("DATABASE_URL_SHARD_1", a),
        ];
        assert_eq!(
            read(&many),
            (a.to_owned(), vec![c.to_owned(), b.to_owned()])
        );
        // The home may be named twice.
        let home = [("DATABASE_URL", b), two[0], two[1]];
        assert_eq!(read(&home), (b.to_owned(), vec![a.to_owned()]));
        check_error(&[("DATABASE_URL_SHARD_X", a)], "the number of a shard");
        let both = format!("{a}, {b}");
        let direct = [("DATABASE_URL", c), ("DATABASE_URL_DIRECT", both.as_str())];
        let loaded = load(None, environment(&direct), &[]).expect("loads");
        assert_eq!(loaded.config.store.direct_urls, [a, b]);
        let shown = loaded.entries().into_iter();
        let mut shown = shown.map(|(_, value, _)| value.to_string());
        assert!(!shown.any(|value| value.contains("postgres://")));
        let loaded = load(None, environment(&many), &[]).expect("loads");
        let shown = loaded.entries().into_iter();
        let shown: Vec<String> = shown.map(|(_, value, _)| value.to_string()).collect();
        assert!(!shown.iter().any(|value| value.contains("postgres://")));
    }

    #[test]
    fn secrets_are_read_from_files() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("url");
        let file = path.to_str().expect("UTF-8");
        std::fs::write(&path, "postgres://a:hush@h/d\n").expect("written");
        let pairs = [
            ("DATABASE_URL_FILE", file),
            ("GLEANER__EVENTS__NATS_CREDENTIALS_FILE", "/c"),
        ];
        let loaded = load(None, environment(&pairs), &[]).expect("loads");
        assert_eq!(loaded.config.store.database_url, "postgres://a:hush@h/d");
        assert_eq!(loaded.config.events.nats_credentials_file, "/c");
        let entries = loaded.entries();
        let shown = entries.iter().find(|(k, _, _)| k == "store.database_url");
        let (_, value, origin) = shown.expect("listed");
        assert_eq!(
            (value.as_str(), *origin),
            (Some("***"), "DATABASE_URL_FILE")
        );
        check_error(
            &[("DATABASE_URL", "x"), ("DATABASE_URL_FILE", file)],
            "both DATABASE_URL and DATABASE_URL_FILE are set",
        );
        check_error(&[("REDIS_URL_FILE", "/nowhere/at/all")], "/nowhere/at/all");
        // Only of what is secret.
        check_error(&[("GLEANER__STORE__READERS_FILE", file)], "unknown");
    }

    #[test]
    fn keys_of_language_models_follow_their_provider() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("key");
        std::fs::write(&file, "g-key\n").expect("written");
        let file = file.to_str().expect("UTF-8");
        let check = |pairs: &[(&str, &str)], expected: (&str, &str, &str)| {
            let loaded = load(None, environment(pairs), &[]).expect("loads");
            let entries = loaded.entries();
            let shown = entries.iter().find(|(key, _, _)| key == "llm.api_key");
            let (_, value, origin) = shown.expect("listed");
            assert!(["", "***"].contains(&value.as_str().expect("text")));
            let origin = (*origin).to_owned();
            let llm = loaded.config.llm;
            let found = (llm.api_key.as_str(), llm.base_url.as_str(), origin.as_str());
            assert_eq!(found, expected);
        };
        let openai = ("GLEANER__LLM__PROVIDER", "openai");
        let gemini = ("GLEANER__LLM__PROVIDER", "gemini");
        let both = [
            ("OPENAI_API_KEY", "o-key"),
            ("OPENAI_BASE_URL", "http://o"),
            ("GEMINI_API_KEY_FILE", file),
        ];
        let with = |provider, more: &[(&'static str, &'static str)]| [&[provider], more].concat();
        check(&both, ("", "", "default"));
        let pairs = [&[openai][..], &both].concat();
        check(&pairs, ("o-key", "http://o", "OPENAI_API_KEY"));
        let pairs = [&[gemini][..], &both].concat();
        check(&pairs, ("g-key", "", "GEMINI_API_KEY_FILE"));
        let own = ("GLEANER__LLM__API_KEY", "own");
        check(
            &with(openai, &[own, ("OPENAI_API_KEY", "o-key")]),
            ("own", "", "GLEANER__LLM__API_KEY"),
        );
        let twice = [("GEMINI_API_KEY", "x"), ("GEMINI_API_KEY_FILE", file)];
        check_error(
            &twice,
            "both GEMINI_API_KEY and GEMINI_API_KEY_FILE are set",
        );

        let path = dir.path().join("gleaner.toml");
        let write = |text: &str| std::fs::write(&path, text).expect("written");
        write("[llm]\nprices = [\"m 1 2\"]\n");
        let loaded = load(Some(&path), environment(&[]), &[]).expect("loads");
        assert_eq!(loaded.config.llm.prices.cost("m", 1_000_000, 0), Some(1.0));
        write("[llm]\napi_key = \"sk-hush\"\n");
        let error = load(Some(&path), environment(&[]), &[]).expect_err("refused");
        let text = format!("{error:#}");
        assert!(text.contains("GLEANER__LLM__API_KEY_FILE"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        check_error(
            &[("GLEANER__CRAWL__DELAY", "7")],
            "did you mean `crawl.delay_ms`?",
        );
        check_error(
            &[("GLEANER__CRAWL__DELAY_MS", "soon")],
            "takes a whole number",
        );
    }
}
