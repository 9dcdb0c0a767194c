//! Where raw copies go.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::error::ArchiveError;

/// Not for logs: it holds secrets, which `Debug` leaves out.
#[derive(Clone)]
pub struct ArchiveConfig {
    /// A folder, `file:///folder`, or `s3://bucket/prefix`.
    pub url: String,
    /// Of an S3 server that is not Amazon's: `https://…`, or `http://…` for one
    /// that is to be spoken to in the clear. Empty: Amazon's of the region.
    pub endpoint: String,
    /// Empty: `us-east-1`.
    pub region: String,
    /// Empty, with the secret: what Amazon gives to its own machines.
    pub access_key_id: String,
    pub secret_access_key: String,
    /// Of temporary keys; empty otherwise.
    pub session_token: String,
    /// Trusted beside the roots that are compiled in.
    pub ca_file: Option<PathBuf>,
    /// For one object, its retries included.
    pub timeout: Duration,
    /// Objects in a folder survive a power cut once they are stored.
    pub synchronous: bool,
}

impl fmt::Debug for ArchiveConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveConfig")
            .field("url", &self.url)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What [`ArchiveConfig::url`] names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Folder(PathBuf),
    Bucket { name: String, prefix: String },
}

impl Place {
    pub(crate) fn parse(text: &str) -> Result<Place, ArchiveError> {
        if !text.contains("://") {
            return Ok(Place::Folder(PathBuf::from(text)));
        }
        let wanted = "expected a folder, file:///folder or s3://bucket/prefix";
        let url = Url::parse(text)
            .map_err(|error| ArchiveError::config(format!("no URL: {error}; {wanted}")))?;
        let has_more = url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some();
        if has_more {
            let problem =
                format!("only a place is named here, keys and settings are not; {wanted}");
            return Err(ArchiveError::config(problem));
        }
        match url.scheme() {
            "file" => {
                let path = url.to_file_path();
                let path =
                    path.map_err(|()| ArchiveError::config(format!("no folder; {wanted}")))?;
                Ok(Place::Folder(path))
            }
            "s3" => match url.host_str() {
                Some(name) if !name.is_empty() && url.port().is_none() => Ok(Place::Bucket {
                    name: name.to_owned(),
                    prefix: url.path().trim_matches('/').to_owned(),
                }),
                _ => Err(ArchiveError::config(format!("no bucket; {wanted}"))),
            },
            other => Err(ArchiveError::config(format!(
                "`{other}://` is not known here; {wanted}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let folder = |path: &str| Ok(Place::Folder(PathBuf::from(path)));
        let bucket = |name: &str, prefix: &str| {
            Ok(Place::Bucket {
                name: name.to_owned(),
                prefix: prefix.to_owned(),
            })
        };
        let check = |text: &str, expected: Result<Place, &str>| match (Place::parse(text), expected)
        {
            (Ok(place), Ok(expected)) => assert_eq!(place, expected, "{text}"),
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "{text}: {error}");
            }
            (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
        };
        check("raw", folder("raw"));
        check("/var/raw", folder("/var/raw"));
        check("file:///var/raw%20copies", folder("/var/raw copies"));
        check("s3://bucket", bucket("bucket", ""));
        check("s3://bucket/", bucket("bucket", ""));
        check("s3://bucket/a/b/", bucket("bucket", "a/b"));
        check("s3:///a", Err("no bucket"));
        check("s3://key:secret@bucket/a", Err("keys and settings are not"));
        check("s3://bucket?region=x", Err("keys and settings are not"));
        check("gs://bucket/a", Err("`gs://` is not known here"));
        check("file://elsewhere/a", Err("no folder"));
    }
}
