//! `gleaner doctor`: what works, what does not, and what to do about it.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use store::{Access, Store, StoreErrorKind};

use super::output::{Exit, Paint, bytes, json_line, line, thousands};
use crate::app::App;
use crate::config::{EmbedProvider, KeywordSearch, SearchEngine};
use crate::prompting;
use crate::publishing;
use crate::tasks;

/// As long as a few attempts to connect take.
const REDIS_WAIT_MAX: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Hint,
    Failed,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    message: String,
}

pub fn run(app: &App) -> Result<Exit> {
    let mut checks = vec![configuration(app), data_folder(app)];
    checks.extend(database(app));
    checks.extend(search_cluster(app));
    checks.push(model(app));
    checks.extend(language_model(app));
    checks.extend(archive(app));
    checks.extend(redis(app));
    checks.extend(queues(app));
    checks.push(contact(app));
    checks.extend(events(app));
    let failed = checks.iter().any(|check| check.state == State::Failed);
    if app.json {
        json_line(&serde_json::json!({ "ok": !failed, "checks": checks }))?;
    } else {
        let paint = Paint::stdout();
        for check in &checks {
            let sign = match check.state {
                State::Ok => paint.green("ok    "),
                State::Hint => paint.yellow("hint  "),
                State::Failed => paint.red("failed"),
            };
            line(format!("{sign} {:<14} {}", check.name, check.message))?;
        }
    }
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

fn check(name: &'static str, state: State, message: impl Into<String>) -> Check {
    Check {
        name,
        state,
        message: message.into(),
    }
}

fn configuration(app: &App) -> Check {
    let problem = crate::pipeline::start::chunk_config(app).err();
    match problem {
        None => check(
            "configuration",
            State::Ok,
            "read; `gleaner config` shows every value",
        ),
        Some(error) => check("configuration", State::Failed, format!("{error:#}")),
    }
}

fn data_folder(app: &App) -> Check {
    let dir = app.data_dir();
    let probe = || -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(".doctor");
        std::fs::write(&path, b"x")?;
        std::fs::remove_file(&path)
    };
    match probe() {
        Ok(()) => check(
            "data folder",
            State::Ok,
            format!("{} is writable", dir.display()),
        ),
        Err(error) => check(
            "data folder",
            State::Failed,
            format!("{}: {error}; choose another with --data-dir", dir.display()),
        ),
    }
}

/// One line for each database, when there are several.
fn shards(store: &Store) -> Vec<Check> {
    let rows = store.shard_rows();
    if rows.len() == 1 {
        return Vec::new();
    }
    let row = |row: store::ShardRow| {
        let name = if row.number == store::ShardNumber::HOME {
            "home"
        } else {
            "shard"
        };
        match row.stats {
            Ok(stats) => check(
                name,
                State::Ok,
                format!(
                    "{}: {}, {} sources, {} live pages",
                    row.number,
                    row.place,
                    thousands(row.sources),
                    thousands(stats.pages_live)
                ),
            ),
            Err(error) => check(name, State::Failed, format!("{}: {error}", row.number)),
        }
    };
    rows.into_iter().map(row).collect()
}

/// One line for each database, with what its migrations left for later.
fn schema(store: &Store) -> Vec<Check> {
    let rows = match store.schema_rows() {
        Ok(rows) => rows,
        Err(error) => return vec![check("schema", State::Failed, error.to_string())],
    };
    let is_one = rows.len() == 1;
    let row = |row: store::SchemaRow| {
        // That it is away is said of the database.
        let state = row.state?;
        let place = match is_one {
            true => String::new(),
            false => format!("{}: ", row.number),
        };
        let version = state.version;
        if state.waiting.is_empty() {
            return Some(check(
                "schema",
                State::Ok,
                format!("{place}version {version}"),
            ));
        }
        let waiting = state.waiting.join(", ");
        let why = match state.older_programs {
            0 => "housekeeping or `gleaner upgrade --contract` does it".to_owned(),
            older => format!("{older} processes of an older version are at work"),
        };
        let message = format!("{place}version {version}; waiting: {waiting} ({why})");
        Some(check("schema", State::Hint, message))
    };
    rows.into_iter().filter_map(row).collect()
}

fn database(app: &App) -> Vec<Check> {
    let store = match app.open_store(Access::Read) {
        Ok(store) => store,
        Err(error) => {
            let kind = error
                .downcast_ref::<store::StoreError>()
                .map(store::StoreError::kind);
            return vec![match kind {
                Some(StoreErrorKind::NotFound) => check(
                    "database",
                    State::Hint,
                    "none yet; `gleaner crawl https://…` makes one",
                ),
                _ => check("database", State::Failed, format!("{error:#}")),
            }];
        }
    };
    let mut checks = Vec::new();
    match store.stats() {
        Ok(stats) => checks.push(check(
            "database",
            State::Ok,
            format!(
                "{} live pages, {} chunks, {}",
                thousands(stats.pages_live),
                thousands(stats.chunks),
                bytes(stats.disk_bytes)
            ),
        )),
        Err(error) => checks.push(check("database", State::Failed, error.to_string())),
    }
    checks.extend(schema(&store));
    checks.extend(shards(&store));
    checks.push(search_engines(app, &store));
    let newest = store.pages_change_seqs();
    let index = app.keyword_engine(&store).and_then(|engine| {
        let index = engine.open()?;
        Ok((index.committed(), index.page_count()?))
    });
    checks.push(match (index, newest) {
        (Ok((committed, _)), Ok(newest)) if !committed.reach(&newest) => check(
            "keyword index",
            State::Hint,
            format!("behind the database ({committed} of {newest}); the next crawl catches up, or `gleaner reindex`"),
        ),
        (Ok((_, pages)), Ok(_)) => check(
            "keyword index",
            State::Ok,
            format!("{} pages, up to date", thousands(pages)),
        ),
        (Err(error), _) => check(
            "keyword index",
            State::Failed,
            format!("{error:#}; `gleaner reindex` rebuilds it from the database"),
        ),
        (_, Err(error)) => check("keyword index", State::Failed, error.to_string()),
    });
    if let Ok(progress) = store.embedding_progress() {
        let message = format!(
            "{} chunks done, {} pending, {} failed",
            thousands(progress.done),
            thousands(progress.pending),
            thousands(progress.failed)
        );
        let waiting = progress.pending + progress.failed > 0;
        checks.push(if waiting {
            check(
                "vectors",
                State::Hint,
                format!("{message}; `gleaner embed` computes them"),
            )
        } else {
            check("vectors", State::Ok, message)
        });
    }
    checks
}

/// What finds words and vectors, and whether it can.
fn search_engines(app: &App, store: &Store) -> Check {
    let name = "search";
    let search = &app.config.search;
    let words = match search.keyword {
        KeywordSearch::Local => "an index here",
        KeywordSearch::Postgres => "tables on the server",
        KeywordSearch::Opensearch => "an index of OpenSearch",
    };
    let vectors = match search.vectors {
        SearchEngine::Local => "an index here",
        SearchEngine::Postgres => "tables on the server",
    };
    let used = format!("words by {words}, vectors by {vectors}");
    if !store.is_on_servers() {
        return check(name, State::Ok, used);
    }
    match store.vector_extensions() {
        Err(error) => check(name, State::Failed, format!("{used}; {error}")),
        Ok(found) => {
            let missing = found.iter().any(Option::is_none);
            let mut versions: Vec<String> = found.into_iter().flatten().collect();
            versions.dedup();
            let extension = match (missing, versions.is_empty()) {
                (true, true) => "extension vector is not there".to_owned(),
                (true, false) => "extension vector is not in every database".to_owned(),
                (false, _) => format!("extension vector {} is there", versions.join(", ")),
            };
            let needed = search.vectors == SearchEngine::Postgres;
            let state = if missing && needed {
                State::Hint
            } else {
                State::Ok
            };
            check(name, state, format!("{used}; {extension}"))
        }
    }
}

/// The cluster that finds words, if one does.
fn search_cluster(app: &App) -> Option<Check> {
    if app.config.search.keyword != KeywordSearch::Opensearch {
        return None;
    }
    let name = "search cluster";
    Some(match app.opensearch_cluster().state() {
        Ok(state) => {
            let (nodes, health) = (state.nodes, state.health.as_str());
            let count = if nodes == 1 { "node" } else { "nodes" };
            let message = format!(
                "{}: {}, {nodes} {count}, {health}",
                state.server, state.version
            );
            let kind = match health {
                "green" | "yellow" => State::Ok,
                _ => State::Failed,
            };
            check(name, kind, message)
        }
        Err(error) => {
            let causes = crate::causes::chain(&error);
            check(name, State::Failed, causes)
        }
    })
}

fn model(app: &App) -> Check {
    if app.config.embed.provider == EmbedProvider::Off {
        return check("embedder", State::Hint, "off; search is by keyword only");
    }
    let start = Instant::now();
    let vector = app.embedder().and_then(|embedder| match embedder {
        Some(embedder) => {
            let vector = embedder.embed_query("hello")?;
            Ok((embedder.model_id().to_owned(), vector.len()))
        }
        None => anyhow::bail!("no embedder"),
    });
    match vector {
        Ok((id, dims)) => check(
            "embedder",
            State::Ok,
            format!(
                "{id} answers, {dims} dimensions, {} ms",
                start.elapsed().as_millis()
            ),
        ),
        Err(error) => check("embedder", State::Failed, format!("{error:#}")),
    }
}

/// Only of a configured one. It is asked for a word: that costs some tokens, which
/// no tenant pays for, and is the one way to see address, key and name work.
fn language_model(app: &App) -> Option<Check> {
    let name = "language model";
    let client = match prompting::client(app) {
        Ok(None) => return None,
        Ok(Some(client)) => client,
        Err(error) => return Some(check(name, State::Failed, format!("{error:#}"))),
    };
    let start = Instant::now();
    let answer = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::new)
        .and_then(|runtime| Ok(runtime.block_on(client.complete(&prompting::test_prompt()))?));
    let place = client.describe();
    Some(match answer {
        Ok(reply) => {
            let tokens = match reply.usage {
                Some(usage) => format!("{} tokens in, {} out", usage.input, usage.output),
                None => "it does not count tokens, so they are estimated".to_owned(),
            };
            let took = start.elapsed().as_millis();
            let message = format!("{place} answers, {took} ms, {tokens}");
            check(name, State::Ok, message)
        }
        Err(error) => check(name, State::Failed, format!("{place}: {error:#}")),
    })
}

/// Only where raw copies are kept, or were and are to be removed.
fn archive(app: &App) -> Option<Check> {
    let name = "archive";
    // That there is no database is said of the database.
    let store = app.open_store(Access::Read).ok();
    let waiting = store.map(|store| store.raw_waiting());
    let waiting = match waiting.transpose() {
        Ok(waiting) => waiting.unwrap_or_default().removals,
        Err(error) => return Some(check(name, State::Failed, error.to_string())),
    };
    let left = format!("{} raw copies wait to be removed", thousands(waiting));
    let reached = app.raw_store().and_then(|raw| match raw {
        None => Ok(None),
        Some(raw) => {
            let place = raw.describe().to_owned();
            match raw.probe() {
                Ok(()) => Ok(Some(place)),
                Err(error) => Err(anyhow::Error::new(error).context(place)),
            }
        }
    });
    match reached {
        Ok(None) if waiting == 0 => None,
        Ok(None) => Some(check(
            name,
            State::Hint,
            format!("{left}, and archive.url, which says where they are, is empty"),
        )),
        Ok(Some(place)) if waiting == 0 => Some(check(
            name,
            State::Ok,
            format!("{place}: raw copies can be stored, read and removed"),
        )),
        Ok(Some(place)) => Some(check(
            name,
            State::Ok,
            format!("{place}: raw copies can be stored, read and removed; {left}"),
        )),
        Err(error) => Some(check(name, State::Failed, format!("{error:#}"))),
    }
}

/// Nothing when none are to be published. The stream is made if it is missing.
fn events(app: &App) -> Option<Check> {
    if !publishing::is_configured(&app.config.events) {
        return None;
    }
    let reached = publishing::Target::new(&app.config.events).and_then(|target| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(target.check())
    });
    Some(match reached {
        Ok(found) => {
            let made = if found.is_new { ", made now" } else { "" };
            let message = format!(
                "stream {} on NATS {}{made}",
                found.stream, found.server_version
            );
            if found.differs.is_empty() {
                check("events", State::Ok, message)
            } else {
                let differs = found.differs.join(", ");
                check(
                    "events",
                    State::Hint,
                    format!("{message}; it was there before and stays as it is: {differs}"),
                )
            }
        }
        Err(error) => check("events", State::Failed, format!("{error:#}")),
    })
}

/// Only when workers here are to take some kinds of tasks and not others.
fn queues(app: &App) -> Option<Check> {
    let named = &app.config.worker.queues;
    if named.is_empty() {
        return None;
    }
    Some(match tasks::queues(named) {
        Ok(kinds) => {
            let message = format!("workers here take {}", kinds.join(", "));
            check("worker.queues", State::Ok, message)
        }
        Err(error) => check("worker.queues", State::Failed, error.to_string()),
    })
}

/// Only of a configured one: most need none.
fn redis(app: &App) -> Option<Check> {
    let state = match app.redis() {
        Ok(None) => return None,
        Ok(Some(redis)) => {
            redis.wait_for(REDIS_WAIT_MAX, |status| status.is_up);
            redis.status()
        }
        Err(error) => return Some(check("redis", State::Failed, format!("{error:#}"))),
    };
    let server = state.server.unwrap_or_default();
    Some(match state.problem {
        None if state.is_up && app.config.store.database_url.is_empty() => check(
            "redis",
            State::Ok,
            format!(
                "{server} answers; with the embedded database processes share limits and breakers by it, \
                 not answers and news of work"
            ),
        ),
        None if state.is_up => check(
            "redis",
            State::Ok,
            format!("{server} answers; limits, breakers, answers and news of work are shared"),
        ),
        problem => check(
            "redis",
            State::Failed,
            format!(
                "{}; until it answers, each process has limits, breakers and answers of its own, \
                 and looks for work every {} ms",
                problem.as_deref().unwrap_or("does not answer"),
                app.config.store.poll_ms
            ),
        ),
    })
}

fn contact(app: &App) -> Check {
    let settings = &app.config.fetch;
    if settings.contact_url.is_empty() && settings.user_agent.is_empty() {
        check(
            "contact",
            State::Hint,
            "set fetch.contact_url, so that site owners can reach you",
        )
    } else {
        check("contact", State::Ok, app.user_agent())
    }
}
