//! Shadow step of a progressive release: the candidate decides some requests too, on a copy of their
//! heads. The base serves all requests (release.md §6).
//!
//! A thread of its own compares the decisions, so that no request waits for a comparison. The thread
//! has the lowest priority and takes at most a tenth of the time of a core. The queue is bounded:
//! requests that do not fit are counted as skipped.

mod outcome;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use engine::{Decided, Snapshot};
use http::request::Parts;
use policy::{Cx, Reject, RequestHead};
use serde_json::json;

pub(crate) use self::outcome::Outcome;
use crate::runtime::clock::Clock;
use crate::runtime::program_log::{Level, event};
use crate::telemetry::shadow::{ShadowReport, ShadowResult};

/// Maximum number of requests that wait for their comparison: 64.
const QUEUE_MAX: usize = 64;
/// Time after which the thread pauses: 200 µs.
const ROUND_NS: u64 = 200_000;
/// Factor between the time of the comparisons and the pause after them.
const PAUSE_FACTOR: u64 = 9;
/// Lowest priority of a thread (`setpriority(2)`).
const LOWEST_PRIORITY: i32 = 19;

/// Queue of a thread that compares decisions. The thread ends when the queue is dropped.
#[derive(Debug)]
pub(crate) struct ShadowQueue {
    requests: SyncSender<ShadowRequest>,
    report: Arc<ShadowReport>,
}

/// Decision of the candidate, and the steps of its chain whose result is not known.
pub(crate) type ShadowOutcome = (Outcome, Vec<&'static str>);

/// Copy of a request head. Has no `Debug` output, because it contains credentials.
pub(crate) struct CopiedHead {
    pub(crate) parts: Parts,
    pub(crate) peer: IpAddr,
    /// Client's certificate in DER. `None`: the client presented none.
    pub(crate) certificate: Option<Box<[u8]>>,
    /// Index of the candidate's listener. `None`: it does not listen at this address.
    pub(crate) listener: Option<usize>,
}

/// Request whose decisions are compared.
struct ShadowRequest {
    head: CopiedHead,
    /// Decision of the base.
    base: Outcome,
    began: Began,
}

/// Values that the decisions of both versions depend on.
#[derive(Clone, Copy)]
pub(crate) struct Began {
    /// Begin of the exchange, in nanoseconds of the clock.
    pub(crate) now_ns: u64,
    pub(crate) unix_s: u64,
    /// Random value of the exchange ([`Cx::draw`]).
    pub(crate) draw: u64,
}

// === impl ShadowQueue ===

impl ShadowQueue {
    /// Starts the thread. `decide`: decision of the candidate about a request. If the system has no
    /// thread left, all requests are skipped.
    pub(crate) fn start(
        report: &Arc<ShadowReport>,
        clock: Clock,
        decide: impl Fn(CopiedHead, Began) -> ShadowOutcome + Send + 'static,
    ) -> Self {
        let (sender, requests) = sync_channel(QUEUE_MAX);
        let counts = Arc::clone(report);
        let thread = thread::Builder::new().name("gwd-shadow".into());
        if let Err(error) = thread.spawn(move || run(&requests, clock, &counts, decide)) {
            event(
                Level::Error,
                "the system has no thread for the comparison of decisions in a release; no \
                 request is compared",
                json!({"error": error.to_string(), "help": "raise the limit of threads (`pids.max`, `ulimit -u`)"}),
            );
        }
        Self {
            requests: sender,
            report: Arc::clone(report),
        }
    }

    /// Counts a request that cannot be compared, because the candidate would accept its connection
    /// under other rules.
    pub(crate) fn skip_connection(&self) {
        let result = ShadowResult::Undetermined;
        self.report.add(result, &["listener"], None);
    }

    /// Lets the thread compare the decisions about a request that the base's edge refused at
    /// `now_ns` and `unix_s`.
    pub(crate) fn compare_refused(
        &self,
        head: CopiedHead,
        reject: &Reject,
        (now_ns, unix_s): (u64, u64),
    ) {
        self.send(ShadowRequest {
            head,
            base: Outcome::refused(reject),
            began: Began {
                now_ns,
                unix_s,
                draw: 0,
            },
        });
    }

    /// Lets the thread compare the decisions about a request. `head` is the head after the chain of
    /// the base, and `decided` the base's decision.
    pub(crate) fn compare(
        &self,
        copied: CopiedHead,
        snapshot: &Snapshot,
        (head, decided, cx): (&RequestHead, &Decided<'_>, &Cx<'_>),
    ) {
        self.send(ShadowRequest {
            head: copied,
            base: Outcome::of(snapshot, head, decided, cx),
            began: Began {
                now_ns: cx.now_ns,
                unix_s: cx.unix_s,
                draw: cx.draw,
            },
        });
    }

    fn send(&self, request: ShadowRequest) {
        if self.requests.try_send(request).is_err() {
            self.report.count(ShadowResult::Skipped);
        }
    }
}

/// Compares decisions until the queue is dropped.
fn run(
    requests: &Receiver<ShadowRequest>,
    clock: Clock,
    report: &ShadowReport,
    decide: impl Fn(CopiedHead, Began) -> ShadowOutcome,
) {
    // Ignore an error: the pauses limit the time of this thread, too.
    let _error = rustix::process::setpriority_process(None, LOWEST_PRIORITY);
    let mut spent_ns = 0;
    while let Ok(request) = requests.recv() {
        let began_ns = clock.now_ns();
        // A panic must not end the comparisons.
        let compared = catch_unwind(AssertUnwindSafe(|| compare(request, report, &decide)));
        if compared.is_err() {
            report.count(ShadowResult::Skipped);
        }
        spent_ns += clock.now_ns() - began_ns;
        if spent_ns >= ROUND_NS {
            thread::park_timeout(Duration::from_nanos(spent_ns * PAUSE_FACTOR));
            spent_ns = 0;
        }
    }
}

fn compare(
    request: ShadowRequest,
    report: &ShadowReport,
    decide: &impl Fn(CopiedHead, Began) -> ShadowOutcome,
) {
    let ShadowRequest { head, base, began } = request;
    let method = head.parts.method.clone();
    let (candidate, undetermined) = decide(head, began);
    let result = base.compare(&candidate, !undetermined.is_empty());
    let sample = base.sample(&candidate, &method, result);
    report.add(result, &undetermined, sample);
}
