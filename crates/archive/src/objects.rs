//! Objects in a folder or a bucket.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, Error, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig,
};
use tokio::time::timeout;

use crate::config::{ArchiveConfig, Place};
use crate::error::{ArchiveError, ArchiveErrorKind};
use crate::tls::Connector;

const REGION: &str = "us-east-1";
/// Of one request, all within the time that an object has.
const RETRIES_MAX: usize = 2;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LATER: Duration = Duration::from_secs(2);
/// Of what an error says.
const TOLD_CHARS_MAX: usize = 300;
/// Written, read and removed by [`Archive::probe`].
const PROBE: &str = "gleaner-probe";

/// Where raw copies are kept. Clones share connections.
#[derive(Clone)]
pub struct Archive {
    objects: Arc<dyn ObjectStore>,
    /// Of a folder.
    folder: Option<PathBuf>,
    place: String,
    timeout: Duration,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Archive").field(&self.place).finish()
    }
}

impl Archive {
    /// Makes a folder that is missing; a bucket has to be there, but is not
    /// asked for yet. Fails, with [`ArchiveErrorKind::Config`], for settings
    /// that cannot be used.
    pub fn open(config: &ArchiveConfig) -> Result<Archive, ArchiveError> {
        if config.timeout.is_zero() {
            return Err(ArchiveError::config("the timeout is 0"));
        }
        match Place::parse(&config.url)? {
            Place::Folder(folder) => Archive::in_folder(folder, config),
            Place::Bucket { name, prefix } => Archive::in_bucket(&name, &prefix, config),
        }
    }

    fn in_folder(folder: PathBuf, config: &ArchiveConfig) -> Result<Archive, ArchiveError> {
        let place = folder.display().to_string();
        let unusable = |error: Box<dyn std::error::Error + Send + Sync>| {
            let problem = format!("the folder {place} cannot be used");
            ArchiveError::config(problem).with_source(error)
        };
        std::fs::create_dir_all(&folder).map_err(|error| unusable(error.into()))?;
        let folder = folder
            .canonicalize()
            .map_err(|error| unusable(error.into()))?;
        let objects =
            LocalFileSystem::new_with_prefix(&folder).map_err(|error| unusable(error.into()))?;
        let objects = objects
            .with_automatic_cleanup(true)
            .with_fsync(config.synchronous);
        Ok(Archive {
            objects: Arc::new(objects),
            folder: Some(folder),
            place,
            timeout: config.timeout,
        })
    }

    fn in_bucket(
        bucket: &str,
        prefix: &str,
        config: &ArchiveConfig,
    ) -> Result<Archive, ArchiveError> {
        let has_key = !config.access_key_id.is_empty();
        if has_key == config.secret_access_key.is_empty() {
            return Err(ArchiveError::config(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are needed together",
            ));
        }
        // What Amazon gives to its machines stands in variables that it chooses.
        let mut builder = match has_key {
            true => AmazonS3Builder::new()
                .with_access_key_id(&config.access_key_id)
                .with_secret_access_key(&config.secret_access_key),
            false if config.endpoint.is_empty() => AmazonS3Builder::from_env(),
            false => {
                return Err(ArchiveError::config(
                    "an endpoint that is not Amazon's needs AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY",
                ));
            }
        };
        if !config.session_token.is_empty() {
            builder = builder.with_token(&config.session_token);
        }
        if !config.endpoint.is_empty() {
            let in_the_clear = match url::Url::parse(&config.endpoint) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                    url.scheme() == "http"
                }
                _ => {
                    let problem = "the endpoint is no http:// or https:// URL";
                    return Err(ArchiveError::config(problem));
                }
            };
            let endpoint = config.endpoint.trim_end_matches('/');
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(in_the_clear);
        }
        let region = match config.region.as_str() {
            "" => REGION,
            region => region,
        };
        let objects = builder
            .with_region(region)
            .with_bucket_name(bucket)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: RETRY_FIRST,
                    max_backoff: RETRY_LATER,
                    base: 2.0,
                },
                max_retries: RETRIES_MAX,
                retry_timeout: config.timeout,
            })
            .with_http_connector(Connector::new(config.ca_file.as_deref(), config.timeout)?)
            .build()
            .map_err(|error| {
                ArchiveError::config("settings of S3 were rejected").with_source(error)
            })?;
        let prefix_path = Path::parse(prefix)
            .map_err(|error| ArchiveError::config(format!("prefix {prefix}: {error}")))?;
        Ok(Archive {
            objects: Arc::new(PrefixStore::new(objects, prefix_path)),
            folder: None,
            place: match (config.endpoint.as_str(), prefix) {
                ("", _) => format!("s3://{bucket}/{prefix}"),
                (endpoint, _) => format!("s3://{bucket}/{prefix} at {endpoint}"),
            },
            timeout: config.timeout,
        })
    }

    /// For people; without secrets.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.place
    }

    /// Once this returns the object stays.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ArchiveError> {
        let path = path(key)?;
        let put = self.objects.put(&path, PutPayload::from_bytes(bytes));
        self.within("store", key, put).await?;
        Ok(())
    }

    /// An object of at most `bytes_max` bytes.
    pub async fn get(&self, key: &str, bytes_max: u64) -> Result<Bytes, ArchiveError> {
        let path = path(key)?;
        let too_large = || {
            let problem = format!("object {key} is larger than {bytes_max} bytes");
            ArchiveError::new(ArchiveErrorKind::TooLarge, problem)
        };
        let read = async {
            let found = self.objects.get(&path).await?;
            if found.meta.size > bytes_max {
                return Ok(None);
            }
            let mut bytes = BytesMut::new();
            let mut parts = found.into_stream();
            while let Some(part) = parts.next().await {
                let part = part?;
                if (bytes.len() + part.len()) as u64 > bytes_max {
                    return Ok(None);
                }
                bytes.extend_from_slice(&part);
            }
            Ok(Some(bytes.freeze()))
        };
        self.within("read", key, read).await?.ok_or_else(too_large)
    }

    /// One that is not there is gone already.
    pub async fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        let path = path(key)?;
        if let Some(folder) = &self.folder {
            // What a process that was killed while it wrote left beside it.
            let half = folder.join(format!("{key}#1"));
            if let Err(error) = std::fs::remove_file(&half)
                && !matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                )
            {
                return Err(unavailable("remove", key).with_source(error));
            }
        }
        match self.within("remove", key, self.objects.delete(&path)).await {
            Err(error) if error.kind() == ArchiveErrorKind::Absent => Ok(()),
            other => other,
        }
    }

    /// Whether objects can be stored, read and removed.
    pub async fn probe(&self) -> Result<(), ArchiveError> {
        let bytes = Bytes::from_static(b"gleaner");
        self.put(PROBE, bytes.clone()).await?;
        let read = self.get(PROBE, 1024).await?;
        self.delete(PROBE).await?;
        if read != bytes {
            return Err(ArchiveError::new(
                ArchiveErrorKind::Unavailable,
                "what was stored is not what was read",
            ));
        }
        Ok(())
    }

    async fn within<T>(
        &self,
        what: &str,
        key: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, ArchiveError> {
        match timeout(self.timeout, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Error::NotFound { .. })) => Err(ArchiveError::new(
                ArchiveErrorKind::Absent,
                format!("there is no object {key} in {}", self.place),
            )),
            Ok(Err(error)) => Err(unavailable(what, key).with_source(brief(&error))),
            Err(_) => {
                let problem = format!("{what} object {key}: no answer for {:?}", self.timeout);
                Err(ArchiveError::new(ArchiveErrorKind::Unavailable, problem))
            }
        }
    }
}

/// The end of the library's chain, whose links repeat each other, without the
/// body of an answer but for its code.
fn brief(error: &Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let text = last.to_string();
    let (told, answer) = text.split_once(": <").unwrap_or((&text, ""));
    let code = answer
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    let told: String = told.chars().take(TOLD_CHARS_MAX).collect();
    match code {
        Some((code, _)) => format!("{told} ({code})"),
        None => told,
    }
}

fn unavailable(what: &str, key: &str) -> ArchiveError {
    ArchiveError::new(
        ArchiveErrorKind::Unavailable,
        format!("{what} object {key}"),
    )
}

fn path(key: &str) -> Result<Path, ArchiveError> {
    Path::parse(key).map_err(|error| {
        ArchiveError::new(ArchiveErrorKind::Corrupt, format!("key {key}: {error}"))
    })
}
