//! The HTTP client of S3: the same TLS as for the web.

use std::path::Path;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};

use crate::error::ArchiveError;

/// Hands out the one client; the library would build one that looks for
/// certificates and a provider of cryptography by itself.
#[derive(Debug)]
pub(crate) struct Connector(reqwest::Client);

impl Connector {
    pub(crate) fn new(
        ca_file: Option<&Path>,
        timeout: Duration,
    ) -> Result<Connector, ArchiveError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(ca_file)?)
            .connect_timeout(timeout)
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .build();
        let client = client
            .map_err(|error| ArchiveError::config("client settings rejected").with_source(error))?;
        Ok(Connector(client))
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

fn tls(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, ArchiveError> {
    ::tls::client_config(ca_file)
        .map_err(|error| ArchiveError::config("archive.ca_file").with_source(error))
}
