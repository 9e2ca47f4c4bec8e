//! Stores of counters and of used credentials that a fleet shares: Redis and Valkey.
//!
//! Limits with `sync: synced` take tokens in advance ([`leases`]), and call the store only when no
//! tokens are left.
//!
//! Workers send their count requests over a bounded queue to the one thread that holds the
//! connections to all stores, and wait at most [`DEADLINE`]. A connection sends the count requests
//! of all workers as a pipeline. Each count request is one call of a script, which runs atomically
//! and uses the clock of the server (`count.lua`).
//!
//! If an answer is late, the store becomes suspect: no further count requests are sent. Instead, a
//! test call of the script, which performs a write, is sent on the same connection. If the test
//! call is answered within [`link::SUSPICION`], the store is used again at once, so that one late
//! answer costs about a round trip. Otherwise the circuit breaker opens: no count requests are sent
//! until a test call on a new connection is answered in time.
//!
//! A store is one server, the master that sentinels name ([`sentinel`]), or a cluster
//! ([`cluster`]). Each master of a cluster has its own connection, queue and circuit breaker
//! ([`link`]).

mod client;
mod cluster;
mod connection;
mod leases;
mod link;
mod replies;
mod script;
mod sentinel;
mod servers;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use policy::SecretRef;
use policy::store::{Store, Topology};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::timeout;

use self::client::Calls;
pub(crate) use self::client::{Client, LEASED, StoreState};
pub(crate) use self::link::DEADLINE;
use crate::runtime::program_log::{Level, event};

/// Time without a count request after which a connection is closed: 10 minutes.
const UNUSED_MS: u64 = 600_000;
/// Maximum time to return unused tokens to the stores when the process stops: 200ms.
const RETURN: Duration = Duration::from_millis(200);

/// Clients by the secret that contains their URL, by their key prefix, and by their topology.
type Clients = HashMap<(SecretRef, Box<str>, Topology), Arc<Client>>;

/// Connections to the stores of all versions.
#[derive(Default)]
pub(crate) struct Stores {
    clients: Mutex<Clients>,
    /// Channel that passes a new client to the thread of the connections. Empty before the first
    /// store.
    thread: OnceLock<mpsc::UnboundedSender<Task>>,
    /// True after [`Stores::start`].
    is_started: AtomicBool,
}

/// Task of the thread of the connections.
enum Task {
    /// Serves a client of a store with the receiver of its calls.
    Serve(Arc<Client>, Calls),
    /// Runs a function, which can start tasks that call the stores.
    Run(Box<dyn FnOnce() + Send>),
}

// === impl Stores ===

impl Stores {
    /// Returns the client of a store. The first call for a store starts the client.
    pub(crate) fn client(&self, store: &Store, now_ms: u64) -> Arc<Client> {
        let mut clients = locked(&self.clients);
        let Store {
            reference,
            prefix,
            topology,
            ..
        } = store;
        let key = (reference.clone(), prefix.clone(), topology.clone());
        let client = clients.entry(key).or_insert_with(|| {
            let (client, calls) = Client::new(store);
            // If the thread of the connections has ended, count requests get no answer.
            let _ended = self.thread().send(Task::Serve(Arc::clone(&client), calls));
            client
        });
        client.used(now_ms);
        Arc::clone(client)
    }

    /// Runs a function on the thread of the connections. Further calls do nothing.
    pub(crate) fn start(&self, run: impl FnOnce() + Send + 'static) {
        if !self.is_started.swap(true, Ordering::Relaxed) {
            // If the thread has ended, no call to a store is answered.
            let _ended = self.thread().send(Task::Run(Box::new(run)));
        }
    }

    /// Closes connections that no request has used for ten minutes.
    pub(crate) fn tidy(&self, now_ms: u64) {
        locked(&self.clients).retain(|_, client| {
            let is_used = client.unused_ms(now_ms) < UNUSED_MS;
            if !is_used {
                client.close();
            }
            is_used
        });
    }

    /// States of the stores.
    pub(crate) fn states(&self) -> Vec<StoreState> {
        let clients = locked(&self.clients);
        clients.values().map(|client| client.state()).collect()
    }

    /// Returns the unused tokens of all leases to their stores, for at most [`RETURN`]. Called when
    /// the process stops; limits count exactly afterwards.
    pub(crate) fn return_leases(&self) {
        let clients: Vec<_> = locked(&self.clients).values().cloned().collect();
        if !clients.iter().any(|client| client.has_leases()) {
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let Ok(runtime) = runtime else { return };
        let returned = async {
            for client in clients {
                client.return_leases().await;
            }
        };
        let _late = runtime.block_on(async { timeout(RETURN, returned).await });
    }

    fn thread(&self) -> &mpsc::UnboundedSender<Task> {
        self.thread.get_or_init(|| {
            let (sender, mut tasks) = mpsc::unbounded_channel::<Task>();
            let serve = move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let Ok(runtime) = runtime else { return };
                LocalSet::new().block_on(&runtime, async move {
                    while let Some(task) = tasks.recv().await {
                        match task {
                            Task::Serve(client, calls) => client::run(&client, calls),
                            Task::Run(run) => run(),
                        }
                    }
                });
            };
            let started = std::thread::Builder::new()
                .name("stores".into())
                .spawn(serve);
            if let Err(error) = started {
                event(
                    Level::Error,
                    "the thread for store connections cannot be started; limits apply `on_outage`",
                    json!({"error": error.to_string()}),
                );
            }
            sender
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
