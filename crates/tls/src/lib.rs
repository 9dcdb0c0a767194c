//! TLS as every client here speaks it: whom they trust, with which cryptography.
//!
//! Mozilla's roots are compiled in, so a machine without certificate files
//! works; `ring` is the one provider. It deliberately knows nothing of HTTP:
//! what is agreed on within TLS (ALPN) is its caller's to add.
//! Start, and end, at [`client_config`].

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

type Source = Box<dyn Error + Send + Sync>;

/// Trusts public authorities and those in `ca_file`, a PEM file with at least
/// one certificate.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(file) = ca_file {
        trust_file(&mut roots, file)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new("no usable TLS version", error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn trust_file(roots: &mut RootCertStore, file: &Path) -> Result<(), TlsError> {
    let named = |problem: &str| format!("CA file {}: {problem}", file.display());
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(|error| TlsError::new(named("cannot be read"), error))?;
    let mut added = 0;
    for certificate in certificates {
        let certificate =
            certificate.map_err(|error| TlsError::new(named("is not valid PEM"), error))?;
        roots
            .add(certificate)
            .map_err(|error| TlsError::new(named("holds an unusable certificate"), error))?;
        added += 1;
    }
    if added == 0 {
        return Err(TlsError {
            message: named("holds no certificate"),
            source: None,
        });
    }
    Ok(())
}

/// Why there is no configuration: names the file and what is wrong with it.
#[derive(Debug)]
pub struct TlsError {
    message: String,
    source: Option<Source>,
}

impl TlsError {
    fn new(message: impl Into<String>, source: impl Into<Source>) -> TlsError {
        TlsError {
            message: message.into(),
            source: Some(source.into()),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_with_what_is_wrong() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("ca.pem");
        let check = |expected: Result<(), &str>| {
            let made = client_config(Some(&file)).map(drop);
            let made = made.map_err(|error| error.to_string());
            let expected =
                expected.map_err(|problem| format!("CA file {}: {problem}", file.display()));
            assert_eq!(made, expected);
        };
        check(Err("cannot be read"));
        std::fs::write(&file, "no PEM here").expect("written");
        check(Err("holds no certificate"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, broken).expect("written");
        check(Err("holds an unusable certificate"));
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        std::fs::write(&file, own.expect("a certificate").cert.pem()).expect("written");
        check(Ok(()));
        client_config(None).expect("needs no file");
    }
}
