//! Names to permitted addresses.
//!
//! The connector asks this resolver and connects to exactly what it answers,
//! so there is no second look-up that could answer differently (DNS rebinding).

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::guard::{AddressGuard, same_host};

/// Look-ups that run at a time. Each holds a thread of the blocking pool, also
/// after its request has given up waiting.
const LOOKUPS_MAX: usize = 64;
/// Cached hosts; a full cache forgets what has expired, then everything.
const CACHE_ENTRIES_MAX: usize = 4096;

type LookupFn = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Where addresses of names come from.
#[derive(Clone)]
pub enum Lookup {
    /// The system's resolver. It cannot be interrupted, so a runtime that is
    /// dropped waits for look-ups under way; use `shutdown_timeout` to leave at once.
    System,
    /// A function that does not block, for tests and fixed tables.
    Custom(Arc<LookupFn>),
}

impl Lookup {
    pub fn custom(f: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Lookup {
        Lookup::Custom(Arc::new(f))
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lookup::System => "System",
            Lookup::Custom(_) => "Custom",
        })
    }
}

/// Travels through the HTTP client's error chain and is found again there.
#[derive(Debug)]
pub(crate) enum LookupError {
    /// The name has no address, or the resolver failed.
    Failed(io::Error),
    /// Every address is private; this is the first.
    Refused(IpAddr),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LookupError::Failed(source) => fmt::Display::fmt(source, f),
            LookupError::Refused(ip) => write!(f, "{ip} is private"),
        }
    }
}

impl Error for LookupError {}

/// Resolver of one client.
#[derive(Clone)]
pub(crate) struct GuardedResolver(Arc<Inner>);

struct Inner {
    lookup: Lookup,
    guard: AddressGuard,
    /// Names whose addresses are not judged: the proxy's, or the exact pairs'.
    trusted: Vec<String>,
    ttl: Duration,
    cache: Mutex<HashMap<String, Cached>>,
    permits: Arc<Semaphore>,
}

struct Cached {
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl GuardedResolver {
    pub(crate) fn new(
        lookup: Lookup,
        guard: AddressGuard,
        trusted: Vec<String>,
        ttl: Duration,
    ) -> GuardedResolver {
        GuardedResolver(Arc::new(Inner {
            lookup,
            guard,
            trusted,
            ttl,
            cache: Mutex::default(),
            permits: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }))
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = inner.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl Inner {
    async fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, LookupError> {
        if let Some(addresses) = self.cached(name) {
            return Ok(addresses);
        }
        let answers = self.look_up(name).await.map_err(LookupError::Failed)?;
        let addresses = self.permitted(name, &answers)?;
        self.remember(name, &addresses);
        Ok(addresses)
    }

    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Lookup::Custom(custom) = &self.lookup {
            return custom(name);
        }
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let name = name.to_owned();
        let looked_up = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        });
        looked_up.await.map_err(io::Error::other)?
    }

    fn permitted(&self, name: &str, answers: &[IpAddr]) -> Result<Vec<SocketAddr>, LookupError> {
        let trusted = self.trusted.iter().any(|host| same_host(host, name));
        let permitted: Vec<SocketAddr> = answers
            .iter()
            .filter(|ip| trusted || self.guard.verdict(**ip))
            // Port 0 is filled in from the URL by the connector.
            .map(|ip| SocketAddr::new(*ip, 0))
            .collect();
        match answers.first() {
            None => Err(LookupError::Failed(io::Error::new(
                io::ErrorKind::NotFound,
                "name has no address",
            ))),
            Some(first) if permitted.is_empty() => Err(LookupError::Refused(*first)),
            Some(_) => Ok(permitted),
        }
    }

    fn cached(&self, name: &str) -> Option<Vec<SocketAddr>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = cache.get(name)?;
        (entry.until > Instant::now()).then(|| entry.addresses.clone())
    }

    fn remember(&self, name: &str, addresses: &[SocketAddr]) {
        if self.ttl.is_zero() {
            return;
        }
        let now = Instant::now();
        let Some(until) = now.checked_add(self.ttl) else {
            return;
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_ENTRIES_MAX {
            cache.retain(|_, entry| entry.until > now);
        }
        if cache.len() >= CACHE_ENTRIES_MAX {
            cache.clear();
        }
        let addresses = addresses.to_vec();
        cache.insert(name.to_owned(), Cached { addresses, until });
    }
}
