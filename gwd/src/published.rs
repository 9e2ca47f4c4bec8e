//! State that all threads share: the running version, and how it is replaced.
//!
//! The control thread publishes a [`Current`] and increments the epoch. Every worker compares the
//! epoch at the start of each exchange and acknowledges a new one. A request accepted after the
//! last acknowledgement therefore never uses the previous version. Each worker holds the version in
//! a `worker::View`. When a worker drops its view, the control thread gets the version's `Arc`, so
//! that a worker never frees a snapshot (data-plane.md §4).

pub(crate) mod choice;
pub(crate) mod shadow;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::Thread;

use arc_swap::ArcSwapOption;
use bundle::digest::Digest;
use engine::Snapshot;
use policy::logged::SecretParameters;
use policy::{Limits, Revoked};
use serde_json::json;

use crate::answers::checks::{self, CheckQueue};
use crate::answers::joined::SharedLookups;
use crate::answers::validation_limit::ValidationLimit;
use crate::answers::validators::{ApiValidators, Validators};
use crate::limits::budget::Budgets;
use crate::limits::fair::FairPermits;
use crate::limits::permit_queue::PermitQueue;
use crate::listen::spread::Loads;
use crate::message::pace::TimeLimits;
use crate::published::choice::RequestChoice;
use crate::published::shadow::ShadowQueue;
use crate::runtime::clock::Clock;
use crate::runtime::compute::Compute;
use crate::runtime::program_log::{ACTOR_GWD, Audit, OK};
use crate::settings::Settings;
use crate::stores::Stores;
use crate::telemetry::process::Counters;
use crate::telemetry::shadow::ShadowReport;
use crate::telemetry::tail::Tails;
use crate::tls::TlsListener;
use crate::tls::connector::Connector;
use crate::upstream::health::{self, Check};
use crate::upstream::hosts::Common;

/// Time after which a worker that has sent no heartbeat counts as stalled: 15s. Workers send a
/// heartbeat once a second.
const STALLED_MS: u64 = 15_000;
/// Approximate maximum number of keys that each table of rate limits or quotas can count at the
/// same time: 262,144.
const LIMIT_KEYS: usize = 1 << 18;

/// Snapshot with data that exists only in this process: metric ids, TLS settings, host states and
/// validators.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) snapshot: Snapshot,
    pub(crate) bundle: Digest,
    /// Metric ids of routes, by API and by index in the API. Versions with the same API share the
    /// ids of its routes.
    pub(crate) route_uids: Box<[Arc<[u32]>]>,
    /// Metric ids of upstreams, by index of the upstream.
    pub(crate) upstream_uids: Box<[u32]>,
    /// TLS settings of listeners, by index; `None` for a listener without TLS.
    pub(crate) tls_listeners: Box<[Option<Arc<TlsListener>>]>,
    /// TLS connectors of upstreams, by index; `None` for an upstream without TLS.
    pub(crate) connectors: Box<[Option<Arc<Connector>>]>,
    /// State of each upstream, with its hosts. All workers share this state.
    pub(crate) commons: Box<[Arc<Common>]>,
    /// Query parameters whose values are redacted in logs, in addition to the built-in list.
    pub(crate) secret_parameters: SecretParameters,
    /// Validators of APIs, by index; `None` for an API that validates nothing.
    pub(crate) validators: Box<[Option<Arc<ApiValidators>>]>,
    /// True if there are more than 500 routes: metrics then show only the class of a status
    /// (observability.md §2).
    pub(crate) coarse_status: bool,
    pub(crate) _live: Live,
}

/// The running version.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) epoch: u64,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) revoked: Arc<Revoked>,
    /// Serial of the channel record that names the bundle.
    pub(crate) serial: u64,
    /// Index of the listener for each socket id; `None` if the version has no listener at that
    /// address.
    pub(crate) listener_of_socket: Box<[Option<usize>]>,
    /// Version that serves a share of the requests beside this one, the base. `None`: this version
    /// serves all requests.
    pub(crate) candidate: Option<Candidate>,
    /// Version that decides a share of the requests too, and serves none. `None`: no decisions are
    /// compared.
    pub(crate) shadow: Option<Shadow>,
}

/// Candidate of a progressive release, which serves a share of the requests beside the base.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Version of the candidate, with the epoch and the revocations of the base.
    pub(crate) version: Arc<Current>,
    pub(crate) choice: Arc<RequestChoice>,
}

/// Candidate in a shadow step: decides a share of the requests beside the base, without effects.
#[derive(Debug)]
pub(crate) struct Shadow {
    /// Version of the candidate, with the epoch and the revocations of the base.
    pub(crate) version: Arc<Current>,
    /// Rules that select the requests.
    pub(crate) choice: Arc<RequestChoice>,
    pub(crate) queue: ShadowQueue,
}

/// Counts a snapshot as being in memory until this value is dropped.
#[derive(Debug)]
pub(crate) struct Live(Arc<AtomicI64>);

/// State that all threads share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// Name of this process in logs and status.
    pub(crate) node: Box<str>,
    /// Channel that this process follows, for its log. `None`: it follows none.
    pub(crate) channel: Option<Box<str>>,
    /// Zone of this process. Targets in the same zone are preferred. `None`: zones have no effect.
    pub(crate) zone: Option<Box<str>>,
    /// Maximum time that a WebSocket tunnel may continue after gwd has sent its Close frame, in
    /// milliseconds.
    pub(crate) websocket_drain_ms: u64,
    /// Limits on the time that peers may keep the gateway waiting.
    pub(crate) time_limits: TimeLimits,
    pub(crate) limits: Limits,
    /// Results of shadow steps.
    pub(crate) shadow: Arc<ShadowReport>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) compute: Compute,
    /// Connections to the stores that hold counters for a fleet of gateways.
    pub(crate) stores: Stores,
    /// Lookups at other services that are in progress, and cached answers of earlier lookups.
    pub(crate) joined: SharedLookups,
    /// Password checks that wait or are in progress.
    pub(crate) passwords: CheckQueue,
    /// Checks of signatures by expensive keys that wait or are in progress.
    pub(crate) signatures: CheckQueue,
    /// Requests that wait for permits of `concurrency` policies.
    pub(crate) permits: Arc<PermitQueue>,
    /// Permits to validate a long body on the threads for computations.
    pub(crate) validations: Arc<FairPermits>,
    /// Limit on the validation of requests that an operator has set in an emergency.
    pub(crate) validation_limit: ValidationLimit,
    /// Compiled validators of requests.
    pub(crate) validators: Validators,
    pub(crate) loads: Loads,
    current: ArcSwapOption<Current>,
    epoch: AtomicU64,
    /// Epoch (number of the published version) that each worker has acknowledged last.
    acknowledged: Box<[AtomicU64]>,
    /// Time of each worker's last heartbeat, in milliseconds of the clock.
    beats: Box<[AtomicU64]>,
    waiting: ArcSwapOption<Thread>,
    unused_versions: mpsc::Sender<Arc<Current>>,
    pub(crate) live: Arc<AtomicI64>,
    pub(crate) process: Arc<Counters>,
    /// Readers of live access log lines.
    pub(crate) tails: Arc<Tails>,
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        workers: usize,
        settings: &Settings,
    ) -> (Arc<Self>, mpsc::Receiver<Arc<Current>>) {
        let (unused_versions, thrown) = mpsc::channel();
        let shared = Self {
            clock,
            node: settings.name.as_str().into(),
            channel: settings.channel.as_deref().map(Box::from),
            websocket_drain_ms: u64::try_from(settings.websocket_drain.as_millis())
                .unwrap_or(u64::MAX),
            zone: settings.zone.as_deref().map(Box::from),
            time_limits: settings.time_limits,
            limits: Limits::new(LIMIT_KEYS, std::hash::RandomState::new),
            shadow: Arc::default(),
            compute: Compute::new(workers),
            stores: Stores::default(),
            budgets: Arc::new(Budgets::new(&settings.bounds)),
            joined: SharedLookups::default(),
            passwords: CheckQueue::new(workers, checks::PASSWORDS),
            signatures: CheckQueue::new(workers, checks::SIGNATURES),
            permits: PermitQueue::new(),
            validations: FairPermits::new((workers / 2).max(1)),
            validation_limit: ValidationLimit::default(),
            validators: Validators::default(),
            loads: Loads::new(workers),
            current: ArcSwapOption::empty(),
            epoch: AtomicU64::new(0),
            acknowledged: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            beats: (0..workers)
                .map(|_| AtomicU64::new(clock.now_ms()))
                .collect(),
            waiting: ArcSwapOption::empty(),
            unused_versions,
            live: Arc::default(),
            process: Arc::default(),
            tails: Arc::default(),
        };
        (Arc::new(shared), thrown)
    }

    /// Epoch of the running version, which each publication increments.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The running version, or `None` before the first activation.
    pub(crate) fn current(&self) -> Option<Arc<Current>> {
        self.current.load_full()
    }

    /// Hosts that need active health checks in the running versions. `None` before the first
    /// activation.
    pub(crate) fn checks(&self) -> Option<Arc<[Check]>> {
        let current = self.current()?;
        let parts = current.versions().map(|loaded| {
            let upstreams = loaded.snapshot.upstreams();
            (upstreams, &*loaded.commons, &*loaded.connectors)
        });
        Some(health::checks(parts))
    }

    /// Publishes a version, which all requests use from now on. Returns its epoch.
    pub(crate) fn publish(&self, current: Current) -> u64 {
        let epoch = current.epoch;
        if let Some(mode) = self.validation_limit.lift_unless(&current.loaded.bundle) {
            Audit {
                what: "validation",
                who: ACTOR_GWD,
                from: Some(mode.word().to_owned()),
                to: Some("restore".to_owned()),
                why: None,
                result: OK,
            }
            .write("the activation ended the override of validation", json!({}));
        }
        let before = self.current.swap(Some(Arc::new(current)));
        self.epoch.store(epoch, Ordering::Release);
        if let Some(before) = before {
            self.discard(before);
        }
        epoch
    }

    /// Records that a worker uses the version of this epoch: it begins no more exchanges with an
    /// older version.
    pub(crate) fn acknowledge(&self, worker: usize, epoch: u64) {
        self.acknowledged[worker].store(epoch, Ordering::Release);
        if let Some(thread) = self.waiting.load().as_ref() {
            thread.unpark();
        }
    }

    /// Records a heartbeat of a worker.
    pub(crate) fn beat(&self, worker: usize, now_ms: u64) {
        self.beats[worker].store(now_ms, Ordering::Relaxed);
    }

    /// True if no worker is stalled, that is, all have sent a heartbeat within [`STALLED_MS`].
    pub(crate) fn lives(&self) -> bool {
        all_move(&self.beats, self.clock.now_ms())
    }

    /// Waits until every worker has acknowledged an epoch. Only for the control thread.
    pub(crate) fn wait_acknowledged(&self, epoch: u64) {
        self.waiting.store(Some(Arc::new(std::thread::current())));
        let all = || {
            self.acknowledged
                .iter()
                .all(|acknowledged| acknowledged.load(Ordering::Acquire) >= epoch)
        };
        while !all() {
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
        self.waiting.store(None);
    }

    /// Sends a version to the control thread, which frees it if nothing else uses it.
    pub(crate) fn discard(&self, current: Arc<Current>) {
        // Ignore an error: it means that the control thread has ended, because the process stops.
        // This thread then frees the version.
        let _ending = self.unused_versions.send(current);
    }
}

/// True if none of these heartbeats is older than [`STALLED_MS`].
fn all_move(beats: &[AtomicU64], now_ms: u64) -> bool {
    let mut beats = beats.iter();
    beats.all(|beat| now_ms < beat.load(Ordering::Relaxed) + STALLED_MS)
}

impl Current {
    /// The versions that serve requests: this one, and then the candidate beside it.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Arc<Loaded>> {
        let candidate = self.candidate.as_ref();
        std::iter::once(&self.loaded).chain(candidate.map(|one| &one.version.loaded))
    }

    /// Upstreams of these versions. An upstream of both versions appears once, with the hosts of
    /// this version.
    pub(crate) fn commons(&self) -> Vec<&Arc<Common>> {
        let mut commons: Vec<&Arc<Common>> = self.loaded.commons.iter().collect();
        let candidate = self.candidate.iter();
        let others = candidate.flat_map(|one| &one.version.loaded.commons);
        commons.extend(others.filter(|other| {
            let mut own = self.loaded.commons.iter();
            !own.any(|known| Arc::ptr_eq(&known.state, &other.state))
        }));
        commons
    }
}

impl Live {
    pub(crate) fn new(count: &Arc<AtomicI64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_stalled_for_fifteen_seconds_is_reported() {
        let beats = [7_000, 5_000, 8_000].map(AtomicU64::new);
        assert!(all_move(&beats, 19_999));
        assert!(!all_move(&beats, 20_000));
        beats[1].store(20_000, Ordering::Relaxed);
        assert!(
            all_move(&beats, 20_000),
            "the worker sends heartbeats again"
        );
    }
}
