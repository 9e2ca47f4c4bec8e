//! Names of targets become addresses here, off the workers.
//!
//! One thread asks the system's resolver at a steady pace and exchanges each endpoint's list
//! of addresses; workers read the list when they open a connection. While a name cannot be
//! resolved its last addresses are served on (semantics.md §4).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::json;

use crate::published::Endpoint;
use crate::telemetry::program::{Level, event};

/// How long an answer is believed: the system's resolver tells no time to live.
const REFRESH: Duration = Duration::from_secs(5);

/// By host and port.
type Endpoints = HashMap<(Box<str>, u16), Weak<Endpoint>>;

/// All endpoints that somebody uses.
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
        if let Some(known) = endpoints.get(&key).and_then(Weak::upgrade) {
            return known;
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
        endpoints.retain(|_, endpoint| endpoint.strong_count() > 0);
        endpoints.insert(key, Arc::downgrade(&endpoint));
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
                    resolver.refresh();
                }
            })?;
        Ok(())
    }

    fn refresh(&self) {
        let endpoints: Vec<Arc<Endpoint>> =
            self.lock().values().filter_map(Weak::upgrade).collect();
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
