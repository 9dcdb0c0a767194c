//! Which server, and how to reach it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::Host;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::{Connection, Limits};
use super::driver::{connections, wait};
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::options::StoreOptions;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that vanished without a word is noticed after about a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// A database on a server; clones share its settings.
#[derive(Clone)]
pub(crate) struct Server {
    inner: Arc<Settings>,
}

struct Settings {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    limits: Limits,
    description: String,
    /// The same database past a pooler.
    direct: Option<Server>,
}

impl Server {
    /// `url` as libpq takes it: `postgres://user:password@host:port/database?sslmode=require`.
    pub(crate) fn new(url: &str, options: &StoreOptions) -> Result<Server, StoreError> {
        let mut config = tokio_postgres::Config::from_str(url).map_err(|error| {
            // Without the URL: it may hold a password.
            let message = "the database URL is not understood; it looks like \
                           postgres://user:password@host:5432/database";
            StoreError::new(StoreErrorKind::Conflict, message).caused_by(error)
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.keepalives_idle(KEEPALIVE_IDLE);
        if config.get_application_name().is_none() {
            config.application_name("gleaner");
        }
        let description = describe(&config);
        let tls = tls::client_config(options.ca_file.as_deref()).map_err(|error| {
            StoreError::new(StoreErrorKind::Conflict, "set up TLS to the database").caused_by(error)
        })?;
        Ok(Server {
            inner: Arc::new(Settings {
                config,
                tls: MakeRustlsConnect::new(tls),
                limits: Limits {
                    prepares: options.prepared_statements,
                    statement: options.statement_timeout,
                },
                description,
                direct: None,
            }),
        })
    }

    /// Reached past a pooler by `url`, where that is given.
    pub(crate) fn reached_directly(
        mut self,
        url: Option<&str>,
        options: &StoreOptions,
    ) -> Result<Server, StoreError> {
        let Some(url) = url.filter(|url| !url.is_empty()) else {
            return Ok(self);
        };
        let inner = &mut self.inner;
        let options = StoreOptions {
            statement_timeout: options.statement_timeout,
            ca_file: options.ca_file.clone(),
            ..StoreOptions::default()
        };
        let direct = Server::new(url, &options)?;
        let settings = Settings {
            config: inner.config.clone(),
            tls: inner.tls.clone(),
            limits: inner.limits,
            description: inner.description.clone(),
            direct: Some(direct),
        };
        *inner = Arc::new(settings);
        Ok(self)
    }

    /// As far as is known, without a pooler in between.
    pub(super) fn direct(&self) -> &Server {
        self.inner.direct.as_ref().unwrap_or(self)
    }

    /// Host, port and database; never the password.
    pub(crate) fn describe(&self) -> String {
        self.inner.description.clone()
    }

    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        self.connect_by(self.inner.config.clone())
    }

    /// With parameters of the session, `-c name=value`, which a pooler in
    /// transaction mode refuses.
    pub(super) fn connect_with(&self, parameters: &str) -> Result<Connection, Failure> {
        let mut config = self.inner.config.clone();
        let given = config.get_options().unwrap_or_default();
        let parameters = format!("{given} {parameters}");
        config.options(parameters.trim());
        self.connect_by(config)
    }

    /// Past a pooler where a way is known, with parameters of the session where
    /// it is one: for what takes minutes.
    pub(crate) fn connect_for_long(&self, parameters: &str) -> Result<Connection, Failure> {
        match self.direct().connect_with(parameters) {
            Err(failure) if refuses_parameters(&failure) => self.direct().connect(),
            connected => connected,
        }
    }

    fn connect_by(&self, config: tokio_postgres::Config) -> Result<Connection, Failure> {
        let runtime = connections()?;
        let tls = self.inner.tls.clone();
        let connecting = runtime.spawn(async move {
            let (client, connection) = config.connect(tls).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a database connection ended");
                }
            });
            Ok::<_, tokio_postgres::Error>(client)
        });
        let client = wait(connecting)
            .map_err(|_| Failure::bug("the database thread has stopped"))?
            .map_err(Failure::Postgres)?;
        Ok(Connection::new(client, self.inner.limits))
    }
}

/// What a pooler answers, which knows no such parameter of a connection.
pub(super) fn refuses_parameters(failure: &Failure) -> bool {
    let Failure::Postgres(error) = failure else {
        return false;
    };
    error.code().is_some_and(|code| code.code() == "08P01")
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server")
            .field(&self.inner.description)
            .finish()
    }
}

fn describe(config: &tokio_postgres::Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or("");
    format!("PostgreSQL at {host}:{port}/{database}")
}
