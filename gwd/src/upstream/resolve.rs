//! Names of targets become addresses here, off the workers.
//!
//! One thread asks the system's resolver at a steady pace and exchanges each endpoint's list
//! of addresses; workers read the list when they open a connection. While a name cannot be
//! resolved its last addresses are served on (semantics.md §4).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::json;

use crate::published::Endpoint;
use crate::telemetry::program::{Level, event};

/// How long an answer is believed: the system's resolver tells no time to live.
const REFRESH: Duration = Duration::from_secs(5);

/// How long an endpoint that no version in memory names stays, with its addresses: whoever goes
/// back soon needs no resolver (release.md §7).
const IDLE: Duration = Duration::from_mins(10);

/// By host and port.
type Endpoints = HashMap<(Box<str>, u16), Known>;

#[derive(Debug)]
struct Known {
    endpoint: Arc<Endpoint>,
    /// Since when no version names it.
    idle_since: Option<Instant>,
}

/// All endpoints that a version names or named lately.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    endpoints: Mutex<Endpoints>,
}

impl Resolver {
    /// The endpoint of a target. A name that is new is resolved before this returns, so that
    /// the first request finds an address.
    pub(crate) fn endpoint(&self, host: &str, port: u16) -> Arc<Endpoint> {
        let mut endpoints = self.lock();
        let key = (Box::from(host), port);
        if let Some(known) = endpoints.get(&key) {
            return Arc::clone(&known.endpoint);
        }
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => resolve(host, port).unwrap_or_default(),
        };
        let endpoint = Arc::new(Endpoint {
            host: host.into(),
            port,
            addresses: ArcSwap::from_pointee(addresses.into()),
        });
        let known = Known {
            endpoint: Arc::clone(&endpoint),
            idle_since: None,
        };
        endpoints.insert(key, known);
        endpoint
    }

    /// Starts the thread that keeps names fresh for as long as the resolver is used.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let resolver = Arc::downgrade(self);
        std::thread::Builder::new()
            .name("resolver".into())
            .spawn(move || {
                loop {
                    std::thread::sleep(REFRESH);
                    let Some(resolver) = resolver.upgrade() else {
                        return;
                    };
                    resolver.forget_idle(Instant::now());
                    resolver.refresh();
                }
            })?;
        Ok(())
    }

    fn forget_idle(&self, now: Instant) {
        self.lock().retain(|_, known| {
            let idle = Arc::strong_count(&known.endpoint) == 1;
            known.idle_since = idle.then(|| known.idle_since.unwrap_or(now));
            let since = known.idle_since;
            since.is_none_or(|since| now.saturating_duration_since(since) < IDLE)
        });
    }

    fn refresh(&self) {
        let endpoints: Vec<Arc<Endpoint>> = {
            let endpoints = self.lock();
            let known = endpoints.values();
            known.map(|known| Arc::clone(&known.endpoint)).collect()
        };
        for endpoint in endpoints {
            if endpoint.host.parse::<IpAddr>().is_ok() {
                continue;
            }
            match resolve(&endpoint.host, endpoint.port) {
                Ok(addresses) if !addresses.is_empty() => {
                    if **endpoint.addresses.load() != addresses.clone().into() {
                        endpoint.addresses.store(Arc::new(addresses.into()));
                    }
                }
                Ok(_) => {}
                Err(error) => event(
                    Level::Warn,
                    "a target's name cannot be resolved; its last addresses are used",
                    json!({"host": endpoint.host, "error": error.to_string()}),
                ),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Endpoints> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn resolve(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_no_version_names_is_given_up_after_ten_minutes_and_not_at_once() {
        let resolver = Resolver::default();
        let start = Instant::now();
        let after = |seconds| resolver.forget_idle(start + Duration::from_secs(seconds));
        let named = resolver.endpoint("127.0.0.1", 1);
        after(0);
        after(10_000);
        assert_eq!(resolver.lock().len(), 1, "a version names it");
        drop(named);
        after(10_001);
        after(10_600);
        assert_eq!(resolver.lock().len(), 1, "not at once");
        let again = resolver.endpoint("127.0.0.1", 1);
        after(10_700);
        drop(again);
        after(20_000);
        after(20_599);
        assert_eq!(resolver.lock().len(), 1);
        after(20_600);
        assert_eq!(resolver.lock().len(), 0);
    }
}
