//! Finding the master and opening a connection to it.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    ProtocolVersion, RedisError, Value,
};

use super::RedisOptions;
use super::scripts::Script;

/// An open connection to a master.
pub(super) struct Server {
    pub(super) connection: MultiplexedConnection,
    pub(super) address: String,
    /// Of the server process: another one may not have what the last one had.
    pub(super) run_id: String,
    /// Of the scripts, in the order of [`Script::ALL`].
    pub(super) hashes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no Sentinel names a master {0:?}")]
    NoMaster(String),
    #[error("{0} is no master (yet)")]
    Replica(String),
    #[error("{0}: {1}")]
    Server(String, RedisError),
    #[error("{0} does not answer in time")]
    Timeout(String),
    #[error("{0} answers what no Redis answers")]
    Protocol(String),
}

pub(super) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty()).then_some((host, port))
}

pub(super) async fn open(
    options: &RedisOptions,
    info: &ConnectionInfo,
    config: AsyncConnectionConfig,
) -> Result<Server, ConnectError> {
    let mut info = info.clone();
    if !options.sentinels.is_empty() {
        info = info.set_addr(master(options).await?);
    }
    let address = info.addr().to_string();
    // As a whole: a server may accept a connection and then say nothing.
    let patience = options.connect_timeout + options.answer_timeout;
    let greeted = greet(&address, info, config, channel(options));
    let opened = tokio::time::timeout(patience, greeted).await;
    opened.unwrap_or(Err(ConnectError::Timeout(address)))
}

async fn greet(
    address: &str,
    info: ConnectionInfo,
    config: AsyncConnectionConfig,
    channel: String,
) -> Result<Server, ConnectError> {
    let failed = |error| ConnectError::Server(address.to_owned(), error);
    let settings = info.redis_settings().clone();
    // Messages of channels come between answers only in version 3.
    let info = info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
    let client = Client::open(info).map_err(failed)?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(failed)?;
    connection.subscribe(channel).await.map_err(failed)?;
    let mut greeting = redis::pipe();
    greeting.cmd("ROLE").cmd("INFO").arg("server");
    for script in Script::ALL {
        greeting.cmd("SCRIPT").arg("LOAD").arg(script.text());
    }
    let mut answers: Vec<Value> = greeting
        .query_async(&mut connection)
        .await
        .map_err(failed)?;
    let hashes: Vec<String> = answers
        .drain(2..)
        .filter_map(|hash| redis::from_redis_value(hash).ok())
        .collect();
    let info: Option<String> = answers
        .pop()
        .and_then(|info| redis::from_redis_value(info).ok());
    if !is_master(answers.pop()) {
        return Err(ConnectError::Replica(address.to_owned()));
    }
    let run_id = info.as_deref().unwrap_or_default().lines();
    let run_id = run_id
        .filter_map(|line| line.strip_prefix("run_id:"))
        .next();
    match run_id {
        Some(run_id) if hashes.len() == Script::ALL.len() => Ok(Server {
            connection,
            address: address.to_owned(),
            run_id: run_id.trim().to_owned(),
            hashes,
        }),
        _ => Err(ConnectError::Protocol(address.to_owned())),
    }
}

/// The one that all processes of the deployment listen to.
pub(super) fn channel(options: &RedisOptions) -> String {
    format!("{}:bus", options.prefix)
}

fn is_master(role: Option<Value>) -> bool {
    let Some(Value::Array(role)) = role else {
        return false;
    };
    let name = role.into_iter().next();
    name.and_then(|name| redis::from_redis_value::<String>(name).ok())
        .is_some_and(|name| name == "master")
}

/// What the first Sentinel that answers says.
pub(super) async fn master(options: &RedisOptions) -> Result<ConnectionAddr, ConnectError> {
    for sentinel in &options.sentinels {
        let patience = options.connect_timeout;
        let asked = tokio::time::timeout(patience, ask_sentinel(sentinel, options)).await;
        match asked {
            Ok(Ok(Some((host, port)))) => return Ok(ConnectionAddr::Tcp(host, port)),
            Ok(Ok(None)) => tracing::debug!(sentinel, "knows no such master"),
            Ok(Err(error)) => tracing::debug!(sentinel, %error, "does not answer"),
            Err(_) => tracing::debug!(sentinel, "does not answer in time"),
        }
    }
    Err(ConnectError::NoMaster(options.master.clone()))
}

async fn ask_sentinel(
    sentinel: &str,
    options: &RedisOptions,
) -> Result<Option<(String, u16)>, RedisError> {
    let (host, port) = host_and_port(sentinel).unwrap_or(("", 0));
    let client = Client::open((host.to_owned(), port).into_connection_info()?)?;
    let config = limited(options);
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(&options.master)
        .query_async(&mut connection)
        .await
}

pub(super) fn limited(options: &RedisOptions) -> AsyncConnectionConfig {
    let some = |limit: Duration| Some(limit.max(Duration::from_millis(1)));
    AsyncConnectionConfig::new()
        .set_connection_timeout(some(options.connect_timeout))
        .set_response_timeout(some(options.answer_timeout))
}
