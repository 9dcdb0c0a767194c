//! A static site served from memory on loopback: for the demo and for
//! benchmarks, where the network must not be what is measured.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::oneshot;

/// Files by URL path.
#[derive(Debug, Default)]
pub struct Site {
    files: HashMap<String, File>,
}

#[derive(Clone, Debug)]
struct File {
    body: Bytes,
    content_type: &'static str,
    etag: String,
}

impl Site {
    /// Reads a folder; `index.html` also answers for its folder.
    pub fn from_folder(root: &Path) -> Result<Site> {
        let mut site = Site::default();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)
                .with_context(|| format!("read the folder {}", folder.display()))?
            {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
                    let body =
                        std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                    site.add(&format!("/{name}"), body);
                }
            }
        }
        Ok(site)
    }

    pub fn add(&mut self, path: &str, body: impl Into<Bytes>) {
        let body = body.into();
        let etag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..16]);
        let file = File {
            body,
            content_type: content_type(path),
            etag,
        };
        if let Some(folder) = path.strip_suffix("index.html") {
            self.files.insert(folder.to_owned(), file.clone());
        }
        self.files.insert(path.to_owned(), file);
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Bytes of all files, each counted once.
    pub fn bytes(&self) -> u64 {
        let files = self.files.iter().filter(|(path, _)| !path.ends_with('/'));
        files.map(|(_, file)| file.body.len() as u64).sum()
    }

    /// Serves on a free loopback port (or `port`) until the handle is dropped.
    pub fn serve(self, latency: Duration, port: u16) -> Result<Served> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))
            .context("listen on a loopback port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let site = Arc::new(self);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let counter = requests.clone();
        let thread = std::thread::Builder::new()
            .name("site".into())
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        result = accept(listener, site, latency, counter) => {
                            if let Err(error) = result {
                                tracing::error!(%error, "the local site stopped");
                            }
                        }
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Served {
            address,
            requests,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// A running site; dropped, it stops.
#[derive(Debug)]
pub struct Served {
    pub address: SocketAddr,
    requests: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    site: Arc<Site>,
    latency: Duration,
    requests: Arc<AtomicU64>,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // Small responses must not wait for the peer's delayed acknowledgement.
        stream.set_nodelay(true)?;
        let (site, requests) = (site.clone(), requests.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (site, requests) = (site.clone(), requests.clone());
                async move {
                    requests.fetch_add(1, Ordering::Relaxed);
                    if !latency.is_zero() {
                        tokio::time::sleep(latency).await;
                    }
                    Ok::<_, Infallible>(answer(&site, &request))
                }
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // A client that hangs up is its own business.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(site: &Site, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let found = site
        .files
        .get(path)
        .or_else(|| site.files.get(decode(path).as_str()));
    let Some(file) = found else {
        let mut missing = Response::new(Full::new(Bytes::from_static(
            b"<!doctype html><title>Not found</title><h1>404: no such page</h1>",
        )));
        *missing.status_mut() = StatusCode::NOT_FOUND;
        return missing;
    };
    let known = request
        .headers()
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    let mut response = if known == Some(file.etag.as_str()) {
        let mut unchanged = Response::new(Full::default());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        Response::new(Full::new(file.body.clone()))
    };
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static(file.content_type),
    );
    if let Ok(etag) = http::HeaderValue::from_str(&file.etag) {
        headers.insert(ETAG, etag);
    }
    response
}

/// Percent-decodes a path; file names are stored as they are.
pub fn decode(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or("") {
        "html" | "htm" | "xhtml" | "" => "text/html",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "xml" => "application/xml",
        "css" => "text/css",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "gif" => "image/gif",
        "jpg" | "jpeg" => "image/jpeg",
        "js" => "text/javascript",
        "pdf" => "application/pdf",
        "gz" => "application/gzip",
        _ if path.ends_with('/') => "text/html",
        _ => "application/octet-stream",
    }
}
