//! The stream that events go to: reached, made where missing, checked.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use async_nats::jetstream::context::{ContextBuilder, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{Client, ConnectOptions, ServerAddr};

use crate::config::EventsConfig;
use crate::webhooks::SCHEMA;

const REPLICAS_MAX: usize = 5;
const DAY_S: u64 = 24 * 3600;

/// Where events go, read from settings that can work.
#[derive(Debug)]
pub struct Target {
    servers: Vec<ServerAddr>,
    login: Login,
    ca_file: Option<PathBuf>,
    wanted: Config,
    /// First words of the subjects.
    pub(super) subject: String,
    timeout: Duration,
}

enum Login {
    None,
    Credentials(PathBuf),
    Token(String),
    Password { user: String, password: String },
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(…)")
    }
}

/// The stream as it was found.
#[derive(Clone, Debug)]
pub struct TargetState {
    pub stream: String,
    pub server_version: String,
    pub is_new: bool,
    /// Settings of a stream that was there before that differ from the
    /// configured ones; they stay.
    pub differs: Vec<String>,
}

/// A connection to a stream that fits.
#[derive(Debug)]
pub(super) struct Reached {
    /// Its end ends the connection.
    pub(super) context: Context,
}

impl Target {
    pub fn new(config: &EventsConfig) -> Result<Target> {
        let servers = config.nats_url.split(',').map(str::trim);
        let servers: Vec<ServerAddr> = servers.map(server).collect::<Result<_>>()?;
        let is_word = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !text.is_empty() && text.chars().all(plain)
        };
        ensure!(
            is_word(&config.stream),
            "events.stream is a name of letters, digits, - and _, not {:?}",
            config.stream
        );
        ensure!(
            config.subject.split('.').all(is_word),
            "events.subject is words of letters, digits, - and _ with dots between, not {:?}",
            config.subject
        );
        ensure!(
            (1..=REPLICAS_MAX).contains(&config.replicas),
            "events.replicas is 1 to {REPLICAS_MAX}"
        );
        ensure!(config.timeout_ms > 0, "events.timeout_ms is at least 1");
        let duplicate_window = Duration::from_secs(config.duplicates_s);
        let max_age = Duration::from_secs(config.max_days.saturating_mul(DAY_S));
        ensure!(
            config.duplicates_s > 0 && (config.max_days == 0 || duplicate_window <= max_age),
            "events.duplicates_s is at least 1, and no longer than events.max_days"
        );
        let max_bytes = match config.max_mb {
            0 => -1,
            mb => i64::try_from(mb.saturating_mul(1024 * 1024))
                .context("events.max_mb is too large")?,
        };
        Ok(Target {
            servers,
            login: login(config)?,
            ca_file: path(&config.nats_ca_file),
            wanted: Config {
                name: config.stream.clone(),
                subjects: vec![format!("{}.v{SCHEMA}.>", config.subject)],
                retention: RetentionPolicy::Limits,
                discard: DiscardPolicy::Old,
                storage: StorageType::File,
                max_age,
                max_bytes,
                max_messages: -1,
                max_messages_per_subject: -1,
                max_consumers: -1,
                num_replicas: config.replicas,
                duplicate_window,
                description: Some("Events of Gleaner".to_owned()),
                ..Config::default()
            },
            subject: config.subject.clone(),
            timeout: Duration::from_millis(config.timeout_ms),
        })
    }

    pub(super) fn stream(&self) -> &str {
        &self.wanted.name
    }

    /// Connects and finds the stream, or makes it.
    pub async fn check(&self) -> Result<TargetState> {
        let (reached, state) = self.find().await?;
        drop(reached);
        Ok(state)
    }

    pub(super) async fn reach(&self) -> Result<Reached> {
        let (reached, state) = self.find().await?;
        if state.is_new {
            tracing::info!(stream = %state.stream, server = %state.server_version, "made the stream");
        }
        Ok(reached)
    }

    async fn find(&self) -> Result<(Reached, TargetState)> {
        let client = self.connect().await?;
        let context = ContextBuilder::new()
            .timeout(self.timeout)
            .ack_timeout(self.timeout)
            .build(client.clone());
        let name = self.stream();
        let (config, is_new) = match context.get_stream(name).await {
            Ok(stream) => (stream.cached_info().config.clone(), false),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(refused)
                    if refused.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    (self.make(&context).await?, true)
                }
                GetStreamErrorKind::JetStream(refused) => {
                    bail!("the NATS server does not show the stream {name}: {refused}")
                }
                _ => bail!(
                    "the NATS server does not answer about the stream {name}: JetStream is off \
                     there, or this user may not ask ($JS.API.STREAM.INFO.{name})"
                ),
            },
        };
        self.check_fits(&config)?;
        let differs = differences(&self.wanted, &config);
        if is_new && !differs.is_empty() {
            bail!(
                "the NATS server made the stream {name} with other settings than asked: {}",
                differs.join(", ")
            );
        }
        let state = TargetState {
            stream: name.to_owned(),
            server_version: client.server_info().version,
            is_new,
            differs,
        };
        Ok((Reached { context }, state))
    }

    async fn connect(&self) -> Result<Client> {
        let mut options = ConnectOptions::new()
            .name("gleaner")
            .connection_timeout(self.timeout)
            .request_timeout(Some(self.timeout))
            // A run that fails is followed by another, which connects anew.
            .max_reconnects(1);
        options = match &self.login {
            Login::None => options,
            Login::Token(token) => options.token(token.clone()),
            Login::Password { user, password } => {
                options.user_and_password(user.clone(), password.clone())
            }
            Login::Credentials(file) => options
                .credentials_file(file)
                .await
                .with_context(|| format!("read the NATS credentials {}", file.display()))?,
        };
        if let Some(file) = &self.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        let connected = options.connect(self.servers.as_slice()).await;
        // Its text names its causes already.
        connected.map_err(|error| {
            let names: Vec<String> = self.servers.iter().map(shown).collect();
            anyhow!("reach NATS at {}: {error}", names.join(", "))
        })
    }

    async fn make(&self, context: &Context) -> Result<Config> {
        let name = self.stream();
        match context.create_stream(self.wanted.clone()).await {
            Ok(stream) => Ok(stream.cached_info().config.clone()),
            Err(error) => match error.kind() {
                CreateStreamErrorKind::JetStream(refused) => {
                    bail!("the NATS server does not make the stream {name}: {refused}")
                }
                _ => bail!("make the stream {name}: {error}"),
            },
        }
    }

    /// Whether events can be published to the stream and read again later.
    fn check_fits(&self, found: &Config) -> Result<()> {
        let name = self.stream();
        let wanted = &self.wanted.subjects[0];
        ensure!(
            found.subjects.iter().any(|pattern| covers(pattern, wanted)),
            "the stream {name} does not take the subjects {wanted}: it has {}",
            found.subjects.join(", ")
        );
        ensure!(
            found.retention == RetentionPolicy::Limits,
            "the stream {name} forgets what was read (its retention is {:?}), so nobody could \
             read it again: choose another stream with events.stream",
            found.retention
        );
        ensure!(
            !found.no_ack && !found.sealed && found.mirror.is_none(),
            "the stream {name} is a mirror, sealed or acknowledges nothing: choose another one \
             with events.stream"
        );
        Ok(())
    }
}

fn server(text: &str) -> Result<ServerAddr> {
    // Errors must not show a password.
    let wrong = "events.nats_url is nats://HOST:PORT or tls://HOST:PORT, separated by commas";
    let Ok(server) = text.parse::<ServerAddr>() else {
        bail!("{wrong}");
    };
    ensure!(
        matches!(server.scheme(), "nats" | "tls") && !server.host().is_empty(),
        "{wrong}"
    );
    ensure!(
        !server.has_user_pass() && server.password().is_none(),
        "events.nats_url holds no user and password: use events.nats_user and \
         GLEANER__EVENTS__NATS_PASSWORD, or events.nats_credentials_file"
    );
    Ok(server)
}

fn shown(server: &ServerAddr) -> String {
    format!("{}:{}", server.host(), server.port())
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn login(config: &EventsConfig) -> Result<Login> {
    let given = [
        !config.nats_credentials_file.is_empty(),
        !config.nats_token.is_empty(),
        !config.nats_user.is_empty() || !config.nats_password.is_empty(),
    ];
    ensure!(
        given.iter().filter(|given| **given).count() <= 1,
        "NATS takes one of events.nats_credentials_file, events.nats_token, and events.nats_user \
         with events.nats_password"
    );
    if let Some(file) = path(&config.nats_credentials_file) {
        ensure!(
            file.is_file(),
            "events.nats_credentials_file: there is no file {}",
            file.display()
        );
        return Ok(Login::Credentials(file));
    }
    Ok(match given {
        [_, true, _] => Login::Token(config.nats_token.clone()),
        [_, _, true] => Login::Password {
            user: config.nats_user.clone(),
            password: config.nats_password.clone(),
        },
        _ => Login::None,
    })
}

/// True when a stream of `pattern` has every subject of `wanted`, which ends in `>`.
fn covers(pattern: &str, wanted: &str) -> bool {
    let (mut pattern, mut wanted) = (pattern.split('.'), wanted.split('.'));
    loop {
        match (pattern.next(), wanted.next()) {
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(word)) if word != ">" => {}
            (Some(own), Some(word)) if own == word => {}
            _ => return false,
        }
    }
}

/// Servers leave out what they do not know, without a word.
fn differences(wanted: &Config, found: &Config) -> Vec<String> {
    // Both say "no limit" in two ways.
    let limit = |bytes: i64| if bytes <= 0 { 0 } else { bytes };
    let mut differs = Vec::new();
    let mut note = |what: &str, wanted: String, found: String| {
        if wanted != found {
            differs.push(format!("{what} is {found}, not {wanted}"));
        }
    };
    let age = |config: &Config| format!("{} s", config.max_age.as_secs());
    note("the longest age", age(wanted), age(found));
    let bytes = |config: &Config| format!("{} bytes", limit(config.max_bytes));
    note("the size", bytes(wanted), bytes(found));
    let replicas = |config: &Config| format!("{}", config.num_replicas);
    note("the number of replicas", replicas(wanted), replicas(found));
    let window = |config: &Config| format!("{} s", config.duplicate_window.as_secs());
    note("the time that finds repeats", window(wanted), window(found));
    let discard = |config: &Config| format!("{:?}", config.discard);
    note(
        "what a full stream discards",
        discard(wanted),
        discard(found),
    );
    differs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn config(pairs: &[(&str, &str)]) -> EventsConfig {
        let pairs = pairs.iter();
        let pairs =
            pairs.map(|(key, value)| (format!("GLEANER__EVENTS__{key}"), (*value).to_owned()));
        let loaded = load(None, pairs, &[]).expect("loads");
        loaded.config.events
    }

    fn check_refused(pairs: &[(&str, &str)], expected: &str) {
        let mut all = pairs.to_vec();
        if !pairs.iter().any(|(key, _)| *key == "NATS_URL") {
            all.push(("NATS_URL", "nats://127.0.0.1"));
        }
        let error = Target::new(&config(&all)).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hidden"), "{error}");
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        Target::new(&config(&[("NATS_URL", "nats://a:4222, tls://b, c")])).expect("servers");
        check_refused(&[("NATS_URL", "http://a")], "events.nats_url");
        check_refused(&[("NATS_URL", "nats://a,")], "events.nats_url");
        check_refused(&[("NATS_URL", "nats://me:hidden@a")], "NATS_PASSWORD");
        check_refused(&[("NATS_URL", "nats://me:hidden@a:b")], "events.nats_url");
        check_refused(&[("STREAM", "a.b")], "events.stream");
        check_refused(&[("SUBJECT", "a.>")], "events.subject");
        check_refused(&[("SUBJECT", "")], "events.subject");
        check_refused(&[("REPLICAS", "6")], "events.replicas");
        check_refused(&[("DUPLICATES_S", "0")], "events.duplicates_s");
        check_refused(&[("NATS_CREDENTIALS_FILE", "/none")], "no file /none");
        check_refused(
            &[("NATS_TOKEN", "hidden"), ("NATS_USER", "me")],
            "one of events.nats_credentials_file",
        );
        let secret = Target::new(&config(&[("NATS_URL", "a"), ("NATS_TOKEN", "hidden")]));
        assert!(!format!("{:?}", secret.expect("a token")).contains("hidden"));
    }

    #[test]
    fn a_stream_has_to_take_every_subject() {
        for (pattern, expected) in [
            ("gleaner.v1.>", true),
            ("gleaner.>", true),
            (">", true),
            ("*.v1.>", true),
            ("gleaner.v1.*", false),
            ("gleaner.v1.acme.>", false),
            ("gleaner.v2.>", false),
            ("gleaner", false),
        ] {
            assert_eq!(covers(pattern, "gleaner.v1.>"), expected, "{pattern}");
        }
    }
}
