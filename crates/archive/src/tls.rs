//! The HTTP client of S3: the same TLS as for the web, with Mozilla's roots
//! compiled in, so a machine without certificate files works.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

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

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, ArchiveError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(file) = ca_file {
        let failed = |problem: &str| {
            let file = file.display();
            ArchiveError::config(format!("archive.ca_file {file}: {problem}"))
        };
        let before = roots.len();
        let certificates = CertificateDer::pem_file_iter(file)
            .map_err(|error| failed("cannot be read").with_source(error))?;
        for certificate in certificates {
            let certificate =
                certificate.map_err(|error| failed("is not valid PEM").with_source(error))?;
            roots
                .add(certificate)
                .map_err(|error| failed("holds an unusable certificate").with_source(error))?;
        }
        if roots.len() == before {
            return Err(failed("holds no certificate"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ArchiveError::config("no usable TLS version").with_source(error))?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}
