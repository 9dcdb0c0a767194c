//! A listener with its own thread and runtime, ended when dropped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tower::ServiceExt;

/// Open connections; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 4_096;
/// For a request's head, and between requests of an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// HTTP/2 requests at a time in one connection.
const STREAMS_MAX: u32 = 256;
/// The system may refuse a connection for want of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// An address that is taken, before anything is answered there.
pub struct Bound {
    runtime: tokio::runtime::Runtime,
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    pub fn to(listen: SocketAddr) -> Result<Bound> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .thread_name("http")
            .build()
            .context("start the HTTP runtime")?;
        let listener = runtime
            .block_on(TcpListener::bind(listen))
            .with_context(|| format!("listen on {listen}; is another process there?"))?;
        let address = listener
            .local_addr()
            .context("read the listener's address")?;
        Ok(Bound {
            runtime,
            listener,
            address,
        })
    }

    /// With the port that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers with `router` from now on. When it is stopped, requests under
    /// way have `grace` to end.
    pub fn serve(self, router: Router, grace: Duration) -> Result<Server> {
        let (stop, stopped) = oneshot::channel();
        let (runtime, listener, address) = (self.runtime, self.listener, self.address);
        let thread = std::thread::Builder::new()
            .name("http-server".into())
            .spawn(move || {
                runtime.block_on(accept(listener, router, stopped, grace));
                runtime.shutdown_background();
            })
            .context("start the HTTP thread")?;
        Ok(Server {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Server {
    pub fn start(listen: SocketAddr, router: Router, grace: Duration) -> Result<Server> {
        Bound::to(listen)?.serve(router, grace)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP thread panicked");
        }
    }
}

/// Until told to stop, then until what is under way has been answered.
async fn accept(
    listener: TcpListener,
    router: Router,
    mut stopped: oneshot::Receiver<()>,
    grace: Duration,
) {
    let mut is_stopped = false;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = tokio::select! {
            biased;
            place = places.clone().acquire_owned() => place,
            _ = &mut stopped, if !is_stopped => {
                is_stopped = true;
                continue;
            }
            () = std::future::ready(()), if is_stopped => break,
        };
        let Ok(place) = place else {
            break;
        };
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = &mut stopped, if !is_stopped => {
                is_stopped = true;
                continue;
            }
            // Who was connected by the system before it was stopped is answered, too.
            () = std::future::ready(()), if is_stopped => break,
        };
        let (stream, peer): (TcpStream, SocketAddr) = match accepted {
            Ok(accepted) => accepted,
            Err(_) if is_stopped => break,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = router.clone().map_request(move |mut request: Request<_>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        });
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service))
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::info!("gave up on requests that were still under way");
    }
}
