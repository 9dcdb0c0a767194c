//! A connection that hears only half: what the client says arrives, and from
//! one word of it on nothing comes back.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Between a client and a NATS server. Ends with this value.
pub struct Proxy {
    pub url: String,
    address: String,
    shared: Arc<Shared>,
    accepts: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_deaf: AtomicBool,
    has_ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Deaf once the client has said `word`.
    pub fn start(server: &str, word: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let shared = Arc::new(Shared::default());
        let (server, word) = (
            server.trim_start_matches("nats://").to_owned(),
            word.to_owned(),
        );
        let of_thread = shared.clone();
        let accepts = std::thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.has_ended.load(Ordering::SeqCst) {
                    return;
                }
                let client = client.expect("a client");
                let server = TcpStream::connect(&server).expect("the server");
                serve(&of_thread, &client, &server, &word);
            }
        });
        Proxy {
            url: format!("nats://{address}"),
            address,
            shared,
            accepts: Some(accepts),
        }
    }
}

fn serve(shared: &Arc<Shared>, client: &TcpStream, server: &TcpStream, word: &str) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a handle");
    let mut open = shared.open.lock().expect("unharmed");
    open.extend([clone(client), clone(server)]);
    let (mut from, mut to, word) = (clone(client), clone(server), word.as_bytes().to_vec());
    let of_thread = shared.clone();
    std::thread::spawn(move || {
        let mut said = Vec::new();
        forward(&mut from, |bytes| {
            said.extend_from_slice(bytes);
            if said.windows(word.len()).any(|found| found == word) {
                of_thread.is_deaf.store(true, Ordering::SeqCst);
            }
            // A word may come in two pieces.
            said.drain(..said.len().saturating_sub(word.len()));
            to.write_all(bytes).is_ok()
        });
    });
    let (mut from, mut to) = (clone(server), clone(client));
    let of_thread = shared.clone();
    std::thread::spawn(move || {
        forward(&mut from, |bytes| {
            of_thread.is_deaf.load(Ordering::SeqCst) || to.write_all(bytes).is_ok()
        });
    });
}

fn forward(from: &mut TcpStream, mut to: impl FnMut(&[u8]) -> bool) {
    let mut buffer = [0; 8192];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 || !to(&buffer[..read]) {
            return;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
        if let Some(accepts) = self.accepts.take() {
            let _ = accepts.join();
        }
        if let Ok(open) = self.shared.open.lock() {
            for stream in open.iter() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}
