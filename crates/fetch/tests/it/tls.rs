//! TLS and HTTP/2, with certificates made on the spot.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use fetch::{FetchConfig, FetchErrorKind, Fetcher, Want};
use http::Version;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::{body_of, check_error, config, names, page, with_lookup};

/// Answers every request over TLS with the protocol version it came by.
struct TlsServer {
    addr: SocketAddr,
    ca_file: PathBuf,
    task: AbortHandle,
    _dir: TempDir,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TlsServer {
    async fn start(name: &str) -> TlsServer {
        let names = vec![name.to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("a certificate");
        let dir = tempfile::tempdir().expect("a directory");
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, cert.pem()).expect("a file");

        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a server");
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let task = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls))));
        TlsServer {
            addr,
            ca_file,
            task: task.abort_handle(),
            _dir: dir,
        }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.addr.port())
    }

    fn fetcher(&self, trusted: bool, http2: bool) -> Fetcher {
        let (lookup, _) = names(&["127.0.0.1"]);
        let extra_ca_file = trusted.then(|| self.ca_file.clone());
        let config = FetchConfig {
            extra_ca_file,
            http2,
            ..config()
        };
        with_lookup(config, &lookup)
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // Tests of failing handshakes end here.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let answer = service_fn(|request: http::Request<_>| async move {
                let _: &hyper::body::Incoming = request.body();
                let version = format!("{:?}", request.version());
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(version))))
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client that leaves early is no failure of the server.
            let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

#[tokio::test]
async fn http2_is_negotiated_unless_switched_off() {
    let server = TlsServer::start("site.example").await;
    let url = server.url("site.example");
    let check = async |http2: bool, version: Version| {
        let fetcher = server.fetcher(true, http2);
        for _ in 0..2 {
            let fetched = page(&fetcher, &url).await;
            assert_eq!(fetched.http_version, version);
            assert_eq!(body_of(&fetched), format!("{version:?}").as_bytes());
        }
    };
    check(true, Version::HTTP_2).await;
    check(false, Version::HTTP_11).await;
}

#[tokio::test]
async fn bad_certificates_are_refused() {
    let server = TlsServer::start("site.example").await;
    let check = async |trusted: bool, host: &str| {
        let fetcher = server.fetcher(trusted, true);
        let kind = FetchErrorKind::Tls;
        let url = server.url(host);
        let problem = "TLS handshake failed";
        let error = check_error(&fetcher, &url, Want::Page, kind, problem).await;
        assert!(!error.kind().is_transient());
        let source = std::error::Error::source(&error).expect("a source");
        source.to_string()
    };
    let unknown = check(false, "site.example").await;
    assert!(
        unknown.contains("UnknownIssuer") || unknown.contains("issuer"),
        "{unknown}"
    );
    let name = check(true, "other.example").await;
    assert!(
        name.contains("other.example") || name.contains("NotValidForName"),
        "{name}"
    );
}

#[tokio::test]
async fn plain_http_on_a_tls_port_and_the_reverse_fail_clearly() {
    let server = TlsServer::start("site.example").await;
    let fetcher = server.fetcher(true, true);
    let url = server.url("site.example").replace("https", "http");
    let error = fetch_error(&fetcher, &url).await;
    assert_eq!(error, FetchErrorKind::Protocol);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let plain = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        // Closing with the client's hello unread would be a reset.
        let mut hello = [0; 4096];
        while stream.read(&mut hello).await.is_ok_and(|bytes| bytes > 0) {}
    };
    let (error, ()) = tokio::join!(fetch_error(&fetcher, &url), plain);
    assert_eq!(error, FetchErrorKind::Tls);
}

async fn fetch_error(fetcher: &Fetcher, url: &str) -> FetchErrorKind {
    let failed = crate::support::get(fetcher, url, Want::Page).await;
    failed.expect_err("no answer").kind()
}
