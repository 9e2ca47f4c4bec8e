//! Active health checks: the gateway sends requests to hosts to determine whether they work
//! (semantics.md §3).
//!
//! One thread of the process runs all checks; workers run none. Results are stored in the [`Host`],
//! so that all workers see the results, and the results survive a change of versions. Ejections by
//! outlier detection are stored separately. A host that is no longer checked has the verdict
//! [`Verdict::Unknown`].

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bundle::ir::{self, ProxyVersion, UpstreamProtocol};
use policy::StateId;
use policy::upstream::Active;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use crate::runtime::clock::Clock;
use crate::runtime::program_log::{Level, event};
use crate::runtime::random::Random;
use crate::tls::connector::Connector;
use crate::upstream::checks::Verdict;
use crate::upstream::hosts::{Common, Endpoint};
use crate::upstream::shared::{Host, States};
use crate::upstream::{probe, state_log};

/// Maximum concurrent health checks over all upstreams.
const PROBES_MAX: usize = 64;

/// Health check of one host, with its settings.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    state: StateId,
    upstream: Box<str>,
    host: Arc<Host>,
    endpoint: Arc<Endpoint>,
    tls: Option<Arc<Connector>>,
    protocol: UpstreamProtocol,
    proxy_protocol: Option<ProxyVersion>,
    active: Arc<Active>,
}

/// Handle of the health check thread. Dropping this value ends the thread.
#[derive(Debug)]
pub(crate) struct Prober {
    wanted: watch::Sender<Arc<[Check]>>,
}

/// Host that is being checked, with its task.
struct Running {
    check: Check,
    task: AbortHandle,
}

/// Key of a check: state id of the upstream, and name of the host.
type Key = (StateId, Box<str>);

// === impl Check ===

impl Check {
    fn key(&self) -> Key {
        (self.state, self.host.name.clone())
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.host, &other.host)
            && self.endpoint.address == other.endpoint.address
            && self.endpoint.target.host == other.endpoint.target.host
            && self.tls.as_ref().map(|tls| tls.id) == other.tls.as_ref().map(|tls| tls.id)
            && self.protocol == other.protocol
            && self.active == other.active
            && self.proxy_protocol == other.proxy_protocol
    }

    /// Checks the host periodically. Never returns.
    async fn run(self, slots: Rc<Semaphore>, clock: Clock) {
        let random = Random::new();
        let times = &self.active.times;
        let authority = self.endpoint.target.authority();
        loop {
            let result = {
                let _slot = slots.acquire().await;
                let limit = Duration::from_millis(times.timeout_ms);
                let connection = probe::ProbeConnection {
                    endpoint: &self.endpoint,
                    tls: self.tls.as_deref(),
                    protocol: self.protocol,
                    proxy_protocol: self.proxy_protocol,
                    authority: &authority,
                };
                let check = probe::ask(&self.active, connection);
                let late = |_| Err(format!("no answer within {}ms", times.timeout_ms));
                tokio::time::timeout(limit, check)
                    .await
                    .unwrap_or_else(late)
            };
            self.record_result(result, clock.now_ms());
            // Jitter of ±10 %, so that gateways that started together do not check at the same
            // time.
            let tenth = times.interval_ms / 10;
            let wait_ms = times.interval_ms - tenth + random.next() % (2 * tenth + 1);
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    fn record_result(&self, result: Result<(), String>, now_ms: u64) {
        if result.is_ok() && self.active.ends_ejections {
            self.host.let_in(now_ms);
        }
        let why = result.as_ref().err().cloned();
        match self
            .host
            .checks
            .record_result(result, &self.active.times, now_ms)
        {
            None | Some(Verdict::Unknown) => {}
            Some(Verdict::Works) => event(
                Level::Info,
                "a host passes its health checks and gets requests",
                json!({"upstream": self.upstream, "host": self.host.name}),
            ),
            Some(Verdict::Fails) => event(
                Level::Warn,
                "a host fails its health checks and gets no requests",
                json!({"upstream": self.upstream, "host": self.host.name, "error": why}),
            ),
        }
    }
}

/// Upstreams of a version. The slices are parallel: one element per upstream.
type Upstreams<'v> = (
    &'v [ir::Upstream],
    &'v [Arc<Common>],
    &'v [Option<Arc<Connector>>],
);

/// Collects the health checks that the upstreams of these versions require, one for each host. If
/// versions require different checks of a host, those of the first version apply.
pub(crate) fn checks<'v>(versions: impl Iterator<Item = Upstreams<'v>>) -> Arc<[Check]> {
    let mut checks: HashMap<Key, Check> = HashMap::new();
    let upstreams = versions.flat_map(|(upstreams, commons, connectors)| {
        let upstreams = upstreams.iter().zip(commons).zip(connectors);
        upstreams.map(|((upstream, common), tls)| (upstream, common, tls))
    });
    for (upstream, common, tls) in upstreams {
        let Some(active) = &upstream.health.active else {
            continue;
        };
        let active = Arc::new(active.clone());
        let set = common.set();
        for (host, endpoint) in set.hosts.iter().zip(&set.endpoints) {
            let check = Check {
                state: upstream.state,
                upstream: upstream.name.as_str().into(),
                host: Arc::clone(host),
                endpoint: Arc::clone(endpoint),
                tls: tls.clone().filter(|_| endpoint.target.tls),
                protocol: upstream.protocol,
                proxy_protocol: upstream.proxy_protocol,
                active: Arc::clone(&active),
            };
            checks.entry(check.key()).or_insert(check);
        }
    }
    checks.into_values().collect()
}

// === impl Prober ===

impl Prober {
    /// Starts the health check thread, without any checks.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn start(clock: Clock, states: Arc<States>) -> std::io::Result<Self> {
        let (wanted, changes) = watch::channel(Arc::<[Check]>::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("health".into())
            .spawn(move || {
                let local = tokio::task::LocalSet::new();
                local.spawn_local(state_log::log_changes(states, clock));
                local.block_on(&runtime, follow(changes, clock));
            })?;
        Ok(Self { wanted })
    }

    /// Replaces the checks; `None` keeps the current checks. Unchanged checks continue.
    pub(crate) fn renew(&self, checks: impl FnOnce() -> Option<Arc<[Check]>>) {
        self.wanted.send_modify(|wanted| {
            // Evaluate the checks under the lock, so that the last caller sets the newest ones.
            if let Some(checks) = checks() {
                *wanted = checks;
            }
        });
    }
}

/// Runs a task for each wanted check, and aborts the tasks of all other checks. Ends when the
/// sender is dropped.
async fn follow(mut wanted: watch::Receiver<Arc<[Check]>>, clock: Clock) {
    let slots = Rc::new(Semaphore::new(PROBES_MAX));
    let mut running: HashMap<Key, Running> = HashMap::new();
    loop {
        let checks = Arc::clone(&wanted.borrow_and_update());
        let wanted_now: HashMap<Key, &Check> =
            checks.iter().map(|check| (check.key(), check)).collect();
        running.retain(|key, running| {
            let now = wanted_now.get(key);
            if now.is_none_or(|now| !Arc::ptr_eq(&now.host, &running.check.host)) {
                running.check.host.checks.forget();
            }
            now.is_some_and(|now| now.is_same(&running.check))
        });
        for check in checks.iter() {
            running.entry(check.key()).or_insert_with(|| Running {
                check: check.clone(),
                task: tokio::task::spawn_local(check.clone().run(Rc::clone(&slots), clock))
                    .abort_handle(),
            });
        }
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use policy::upstream::ActiveTimes;

    use super::*;

    #[test]
    fn a_host_that_works_again_begins_slowly() {
        let host = Host::new(&SocketAddr::from(([10, 0, 0, 1], 80)).into(), 0);
        let times = ActiveTimes::default();
        host.checks.record_result(Err("no".into()), &times, 1_000);
        host.checks.record_result(Ok(()), &times, 5_000);
        host.checks.record_result(Ok(()), &times, 9_000);
        assert_eq!(host.age_ms(10_000), 1_000);
    }
}
