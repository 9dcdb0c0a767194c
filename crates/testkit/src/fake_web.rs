//! The server: routes, log and life time.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use crate::connection;
use crate::reply::Reply;
use crate::site::GeneratedSite;

type Handler = dyn Fn(&RequestInfo) -> Reply + Send + Sync;

/// A loopback web server that answers as told and remembers what it was asked.
///
/// A request is answered by the route for its path and query, else by the
/// route for its path, else by the handler, else with 404. Dropping the server
/// closes its port and every connection.
pub struct FakeWeb {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: Server,
}

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// In order of appearance, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// When the head had been read.
    pub received_at: Instant,
    /// 0 for the first request of this server.
    pub order: usize,
    /// 0 for the first connection of this server.
    pub connection: usize,
}

impl RequestInfo {
    /// Value of the first header with this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

enum Server {
    Task(AbortHandle),
    Thread {
        stop: Option<oneshot::Sender<()>>,
        thread: Option<JoinHandle<()>>,
    },
}

#[derive(Default)]
pub(crate) struct Shared {
    routes: Mutex<HashMap<String, Reply>>,
    handler: Mutex<Option<Arc<Handler>>>,
    log: Mutex<Vec<RequestInfo>>,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
}

impl FakeWeb {
    /// Starts on a free loopback port of the current tokio runtime.
    pub async fn start() -> FakeWeb {
        let shared = Arc::new(Shared::default());
        let (listener, addr) = listen().await;
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        FakeWeb {
            addr,
            shared,
            server: Server::Task(task.abort_handle()),
        }
    }

    /// Starts on a thread with a runtime of its own: for tests without one,
    /// such as those that run the binary as a process.
    #[must_use]
    pub fn start_blocking() -> FakeWeb {
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let (report, started) = std::sync::mpsc::sync_channel(1);
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime for the fake web");
            runtime.block_on(async move {
                let (listener, addr) = listen().await;
                report.send(addr).expect("bug: the starter waits for this");
                tokio::select! {
                    () = accept(listener, for_thread) => {}
                    _ = stopped => {}
                }
            });
        });
        let addr = started.recv().expect("the fake web starts");
        FakeWeb {
            addr,
            shared,
            server: Server::Thread {
                stop: Some(stop),
                thread: Some(thread),
            },
        }
    }

    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:port` followed by `path`, which starts with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The same under another host name or address, with this server's port.
    #[must_use]
    pub fn url_at(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.addr.port())
    }

    /// Answers `path` (with or without a query) with `reply` from now on.
    pub fn route(&self, path: &str, reply: Reply) {
        lock(&self.shared.routes).insert(path.to_owned(), reply);
    }

    /// Answers everything without a route of its own.
    pub fn handler(&self, handler: impl Fn(&RequestInfo) -> Reply + Send + Sync + 'static) {
        *lock(&self.shared.handler) = Some(Arc::new(handler));
    }

    /// Routes every page of a generated site.
    pub fn site(&self, site: &GeneratedSite) {
        let mut routes = lock(&self.shared.routes);
        for (path, html) in &site.pages {
            routes.insert(path.clone(), Reply::html(html.clone()));
        }
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn log(&self) -> Vec<RequestInfo> {
        lock(&self.shared.log).clone()
    }

    /// Number of requests for exactly this path and query.
    #[must_use]
    pub fn hits(&self, path: &str) -> usize {
        lock(&self.shared.log)
            .iter()
            .filter(|request| request.path == path)
            .count()
    }

    /// Forgets the log, not the routes.
    pub fn clear_log(&self) {
        lock(&self.shared.log).clear();
    }

    /// Number of connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The largest number of requests that were being answered at one time.
    #[must_use]
    pub fn in_flight_max(&self) -> usize {
        self.shared.in_flight_max.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for FakeWeb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeWeb")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl Drop for FakeWeb {
    fn drop(&mut self) {
        match &mut self.server {
            Server::Task(task) => task.abort(),
            Server::Thread { stop, thread } => {
                if let Some(stop) = stop.take() {
                    // A server that has died already has no one to tell.
                    let _ = stop.send(());
                }
                let ended = thread.take().map(JoinHandle::join);
                if matches!(ended, Some(Err(_))) && !std::thread::panicking() {
                    panic!("the fake web's thread panicked");
                }
            }
        }
    }
}

impl Shared {
    /// Logs a request and finds its answer.
    pub(crate) fn answer(&self, mut request: RequestInfo) -> Reply {
        {
            let mut log = lock(&self.log);
            request.order = log.len();
            log.push(request.clone());
        }
        let bare_path = request.path.split('?').next().unwrap_or_default();
        let routed = {
            let routes = lock(&self.routes);
            let routed = routes.get(&request.path).or_else(|| routes.get(bare_path));
            routed.cloned()
        };
        if let Some(reply) = routed {
            return reply;
        }
        let handler = lock(&self.handler).clone();
        handler.map_or_else(|| Reply::status(404), |handler| handler(&request))
    }

    pub(crate) fn begin(self: &Arc<Shared>) -> InFlight {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.in_flight_max.fetch_max(now, Ordering::SeqCst);
        InFlight(Arc::clone(self))
    }
}

/// Counts one request as being answered until dropped.
pub(crate) struct InFlight(Arc<Shared>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a free loopback port");
    let addr = listener.local_addr().expect("the port just bound");
    (listener, addr)
}

/// Accepts until aborted; the connections end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that gave up before being accepted is none of ours.
                let Ok((stream, _)) = accepted else { continue };
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(connection::serve(stream, number, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A test that panicked while holding a lock has failed already.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
