//! As many clients as PgBouncer is there for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use store::{Access, Store, StoreOptions};
use testkit::services::Postgres;
use types::{SystemClock, TenantId};

use crate::suite::tasks::task;

/// Processes, so to speak, and threads that work with each at the same time.
const STORES: usize = 20;
const THREADS: usize = 50;
/// Of the server, see `scripts/services`.
const SERVER_CONNECTIONS: usize = 25;

/// A thousand sockets are more than many systems allow unless asked.
fn allow_more_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// Clients that PgBouncer has for the database, and connections to its server.
fn clients_and_servers(database: &Postgres) -> [usize; 2] {
    let pools = database.pgbouncer_pools();
    let sum = |names: &[&str]| names.iter().map(|name| pools[*name]).sum();
    let clients = sum(&["cl_active", "cl_waiting"]);
    [
        clients,
        sum(&["sv_active", "sv_idle", "sv_used", "sv_login"]),
    ]
}

#[test]
fn a_thousand_clients_share_25_connections_to_the_server() {
    allow_more_files();
    let database = Postgres::fresh();
    let options = StoreOptions {
        readers: THREADS,
        readers_kept: THREADS,
        ..StoreOptions::default()
    };
    let open = |_| {
        let (url, clock) = (database.pgbouncer_url(), Arc::new(SystemClock));
        Store::open_server(&url, Access::Write, &options, clock).unwrap()
    };
    let stores: Vec<Store> = (0..STORES).map(open).collect();
    let (is_over, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let deadline = Instant::now() + Duration::from_secs(120);
    let most = std::thread::scope(|scope| {
        for store in &stores {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let enqueued = store.enqueue_tasks(vec![task("one")]).unwrap();
                    // As long as all others read, too, each has a connection.
                    while !is_over.load(Ordering::SeqCst) {
                        let row = store.task(TenantId::DEFAULT, enqueued[0].id).unwrap();
                        assert_eq!(row.kind, "one");
                        reads.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        }
        let mut most = [0; 2];
        while most[0] < STORES * THREADS && Instant::now() < deadline {
            let now = clients_and_servers(&database);
            most = [most[0].max(now[0]), most[1].max(now[1])];
            // Asking is work, too.
            std::thread::park_timeout(Duration::from_millis(50));
        }
        is_over.store(true, Ordering::SeqCst);
        most
    });
    let [clients, servers] = most;
    assert!(clients >= STORES * THREADS, "{clients} clients");
    assert!((1..=SERVER_CONNECTIONS).contains(&servers), "{servers}");
    assert!(reads.load(Ordering::SeqCst) >= STORES * THREADS);
    let written = database.sql("SELECT count(*) FROM tasks");
    assert_eq!(written.trim(), (STORES * THREADS).to_string());
}
