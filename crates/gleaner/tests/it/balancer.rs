//! What stands before several servers: it asks each whether it is ready, and
//! gives every new connection to the next one that is.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Much shorter than the time for which a server drains.
const CHECK_EVERY: Duration = Duration::from_millis(20);

pub struct Balancer {
    pub address: String,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    servers: Mutex<Vec<Server>>,
    turn: AtomicUsize,
    has_ended: AtomicBool,
}

#[derive(Clone)]
struct Server {
    address: String,
    is_ready: bool,
}

impl Balancer {
    pub fn start() -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let shared = Arc::new(Shared::default());
        let of_checks = shared.clone();
        let checks = std::thread::spawn(move || {
            while !of_checks.has_ended.load(Ordering::SeqCst) {
                of_checks.check();
                std::thread::park_timeout(CHECK_EVERY);
            }
        });
        let of_thread = shared.clone();
        let accepts = std::thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.has_ended.load(Ordering::SeqCst) {
                    return;
                }
                // A client that gets nothing counts as one that was failed.
                if let Some(server) = of_thread.next()
                    && let Ok(server) = TcpStream::connect(server)
                {
                    connect(client.expect("a client"), server);
                }
            }
        });
        Balancer {
            address,
            shared,
            threads: vec![checks, accepts],
        }
    }

    /// Shares requests out to this server, too, once it is ready.
    pub fn add(&self, address: &str) {
        self.shared.servers.lock().expect("unharmed").push(Server {
            address: address.to_owned(),
            is_ready: false,
        });
    }

    pub fn remove(&self, address: &str) {
        let mut servers = self.shared.servers.lock().expect("unharmed");
        servers.retain(|server| server.address != address);
    }

    pub fn is_ready(&self, address: &str) -> bool {
        let servers = self.shared.servers.lock().expect("unharmed");
        servers.iter().any(|s| s.address == address && s.is_ready)
    }
}

impl Shared {
    fn check(&self) {
        let servers = self.servers.lock().expect("unharmed").clone();
        for server in servers {
            let is_ready = is_ready(&server.address);
            let mut servers = self.servers.lock().expect("unharmed");
            for known in servers.iter_mut().filter(|s| s.address == server.address) {
                known.is_ready = is_ready;
            }
        }
    }

    fn next(&self) -> Option<String> {
        let servers = self.servers.lock().expect("unharmed");
        let ready: Vec<&Server> = servers.iter().filter(|s| s.is_ready).collect();
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        let server = ready.get(turn.checked_rem(ready.len())?)?;
        Some(server.address.clone())
    }
}

fn is_ready(address: &str) -> bool {
    let mut answer = String::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let request =
            format!("GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        stream.read_to_string(&mut answer)
    });
    asked.is_ok() && answer.starts_with("HTTP/1.1 200")
}

fn connect(client: TcpStream, server: TcpStream) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a handle");
    let pairs = [(clone(&client), clone(&server)), (server, client)];
    for (mut from, mut to) in pairs {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
