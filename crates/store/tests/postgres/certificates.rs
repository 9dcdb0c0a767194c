//! A server whose certificate no public authority has signed.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use store::{Access, Store, StoreError, StoreErrorKind, StoreOptions};
use testkit::services::Postgres;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::support::clock;

fn open(url: &str, ca_file: Option<&Path>) -> Result<Store, StoreError> {
    let options = StoreOptions {
        ca_file: ca_file.map(Path::to_path_buf),
        ..StoreOptions::default()
    };
    Store::open_server(url, Access::Write, &options, clock())
}

/// Speaks TLS for a server that cannot, with a certificate for `localhost` of
/// its own, until it is dropped.
struct Front {
    port: u16,
    certificate: String,
    _runtime: Runtime,
}

impl Front {
    fn of(database: &Postgres) -> Front {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let server = address(&database.url());
        let runtime = Runtime::new().unwrap();
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                // Ends with an error when the client likes it no more.
                tokio::spawn(async move { pass(client, acceptor, &server).await.ok() });
            }
        });
        Front {
            port,
            certificate: made.cert.pem(),
            _runtime: runtime,
        }
    }
}

/// The client asks for TLS, as PostgreSQL's protocol has it (section 54.2.10),
/// and is answered `S`; what it then sends goes to the server, and back.
async fn pass(mut client: TcpStream, acceptor: TlsAcceptor, server: &str) -> io::Result<()> {
    let mut request = [0; 8];
    client.read_exact(&mut request).await?;
    assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47], "an SSLRequest");
    client.write_all(b"S").await?;
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(server).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// `host:port` of a URL.
fn address(url: &str) -> String {
    let rest = url.split("://").nth(1).unwrap();
    let rest = rest.rsplit('@').next().unwrap();
    rest.split('/').next().unwrap().to_owned()
}

#[test]
fn a_certificate_of_one_s_own_is_trusted_when_it_is_named() {
    let database = Postgres::fresh();
    let front = Front::of(&database);
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.pem");
    fs::write(&own, &front.certificate).unwrap();
    let with_tls = |host: &str| {
        let url = database.url();
        let there = format!("{host}:{}", front.port);
        let sign = if url.contains('?') { '&' } else { '?' };
        format!(
            "{}{sign}sslmode=require",
            url.replace(&address(&url), &there)
        )
    };
    let store = open(&with_tls("localhost"), Some(&own)).unwrap();
    store.create_tenant("acme").unwrap();
    assert_eq!(store.tenants().unwrap().len(), 2);
    drop(store);

    // Nobody waits for it to become another, and the reason is told.
    for (url, ca_file) in [
        (with_tls("localhost"), None),
        (with_tls("127.0.0.1"), Some(own.as_path())),
    ] {
        let error = open(&url, ca_file).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::NotWritable, "{error}");
        assert!(error.to_string().contains("store.ca_file"), "{error}");
        assert!(error.source().is_some());
    }
    let missing = folder.path().join("missing.pem");
    let error = open(&with_tls("localhost"), Some(&missing)).unwrap_err();
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("missing.pem"), "{error}: {cause}");
}
