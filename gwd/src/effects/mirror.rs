//! Mirrors: copies of requests, sent to other upstreams in parallel. The client never waits for a
//! copy or sees its response.
//!
//! A copy has its own connection and deadline. Its response is read up to a limit and discarded, so
//! that the connection can be reused. A body of up to 64 KiB is buffered until it is complete. The
//! copy of a longer body, up to the mirror's `max_body`, is streamed as a [`Flow`] with a bounded
//! buffer: if a mirror is too slow for the client's upload, its copy is abandoned. The number of
//! requests per worker that are being copied is limited, and so is the memory of the copies.
//! Requests that cannot be copied are counted.
//!
//! [`Flow`]: crate::message::flow::Flow

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use engine::forward::{self, Origin, Outbound};
use engine::{RouteRef, Snapshot};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING};
use http_body::Body as _;
use policy::{Cx, RequestHead};

use crate::message::body::RequestBody;
use crate::message::copies::{CopiedBody, Copies, CopyCx, Unsent};
use crate::runtime::deadlines::Slot;
use crate::runtime::deadlines::in_time;
use crate::upstream::affinity::Affinity;
use crate::upstream::call::Call;
use crate::upstream::call_trace::CallTrace;
use crate::upstream::connect::{Times, connect};
use crate::upstream::proxy_header::Ends;
use crate::upstream::service::{Service, TargetSelection};
use crate::upstream::sharing::Acceptable;
use crate::upstream::transport::Incoming;
use crate::upstream::tried_targets::TriedTargets;
use crate::worker::{View, Worker};

/// Maximum requests per worker that are being copied at the same time.
const COPIED_MAX: usize = 128;
/// Maximum bytes of a copy's response that are read in order to reuse the connection.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Parts of a request that its copies are made from.
pub(crate) struct MirroredRequest<'a, 's> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) view: &'a Rc<View>,
    pub(crate) route: &'a RouteRef<'s>,
    pub(crate) origin: &'a Origin,
    pub(crate) cx: &'a Cx<'s>,
    pub(crate) head: &'a RequestHead,
    /// Length of the body in bytes, from `Content-Length`. `None`: unknown.
    pub(crate) length: Option<u64>,
    /// Addresses of the client's connection.
    pub(crate) ends: Ends,
    /// Trace of the call to the upstream, which has made no attempt. `None`: traces are off.
    pub(crate) trace: Option<&'a CallTrace>,
}

/// Sender of mirror copies: the resources that all copies of one request use.
struct Sender {
    worker: Rc<Worker>,
    view: Rc<View>,
    timeout_ms: u64,
    ends: Ends,
    _permit: Permit,
}

/// Copy of a request for one mirror.
struct Copy {
    sender: Rc<Sender>,
    upstream: u32,
    service: Rc<Service>,
    target: usize,
    head: RequestHead,
    max_body_bytes: u64,
}

/// Permit to copy a request; returned when this value is dropped.
struct Permit(Rc<Worker>);

/// Prepares the copies for the mirrors of the chain. `None` if too many requests are being copied.
pub(crate) fn begin(mirrored: &MirroredRequest<'_, '_>) -> Option<Rc<Copies>> {
    let snapshot: &Snapshot = &mirrored.view.current().loaded.snapshot;
    let mirrors = mirrored.cx.mirrors.iter();
    let mirrors = mirrors.filter_map(|one| Some((snapshot.upstream(one.upstream)?, one)));
    let Some(permit) = Permit::take(mirrored.worker) else {
        mirrors
            .for_each(|(upstream, _)| count(mirrored.worker, mirrored.view, upstream, "overflow"));
        return None;
    };
    let sender = Rc::new(Sender {
        worker: Rc::clone(mirrored.worker),
        view: Rc::clone(mirrored.view),
        timeout_ms: mirrored.route.treatment.timeout_ms,
        ends: mirrored.ends,
        _permit: permit,
    });
    let copies = mirrors.filter_map(|(upstream, mirror)| {
        let copy = copy(mirrored, &sender, upstream, mirror.max_body_bytes);
        copy.map_err(|outcome| sender.count(upstream, outcome)).ok()
    });
    let copies = copies.map(|copy| Box::new(copy) as Box<dyn Unsent>);
    let cx = CopyCx {
        clock: mirrored.worker.clock,
        deadlines: Rc::clone(&mirrored.worker.deadlines),
        memory: Arc::clone(&mirrored.worker.budgets.memory),
        timeout_ms: sender.timeout_ms,
    };
    Some(Copies::new(cx, copies.collect(), mirrored.length))
}

/// Prepares the copy for one mirror.
///
/// # Errors
/// If the copy cannot be sent. The error is the outcome for the metrics.
fn copy(
    mirrored: &MirroredRequest<'_, '_>,
    sender: &Rc<Sender>,
    upstream: u32,
    max_body_bytes: u64,
) -> Result<Copy, &'static str> {
    if mirrored
        .length
        .is_some_and(|length| length > max_body_bytes)
    {
        return Err("too_large");
    }
    let snapshot = &mirrored.view.current().loaded.snapshot;
    let meant = &snapshot.upstreams()[upstream as usize];
    let service = mirrored.view.service(mirrored.worker, upstream);
    let target = service.choose(&TargetSelection {
        upstream: meant,
        affinity: &Affinity::default(),
        tried: &TriedTargets::default(),
        random: &mirrored.worker.random,
        now_ms: mirrored.worker.clock.now_ms(),
    });
    let target = target.ok_or("failed")?;
    let mut head = mirrored.head.clone();
    let relay = forward::Relay {
        route: mirrored.route,
        upstream: meant,
        target: &service.set.endpoints[target].target,
        origin: mirrored.origin,
        cx: mirrored.cx,
    };
    forward::prepare(&mut head, relay);
    if let Some(trace) = mirrored.trace {
        trace.insert_into(&mut head);
    }
    // Remove the framing fields: the body of a copy gets its own framing.
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, TE] {
        head.headers.remove(name);
    }
    Ok(Copy {
        sender: Rc::clone(sender),
        upstream,
        service,
        target,
        head,
        max_body_bytes,
    })
}

// === impl Copy ===

impl Unsent for Copy {
    fn max_body_bytes(&self) -> u64 {
        self.max_body_bytes
    }

    fn send(self: Box<Self>, body: CopiedBody) {
        tokio::task::spawn_local(async move {
            let outcome = match body {
                CopiedBody::Whole(body) => {
                    let deadline = self.sender.worker.deadlines.slot();
                    let body = match body.is_empty() {
                        true => RequestBody::Empty,
                        false => RequestBody::Copy(Some(body)),
                    };
                    let until_ms = Some(self.sender.until_ms());
                    self.exchange(body, &deadline, until_ms).await
                }
                CopiedBody::Flow(flow) => {
                    let body = RequestBody::Flow(Rc::clone(&flow));
                    let outcome = self.exchange(body, &flow.deadline, None).await;
                    let abandoned = flow.abandoned();
                    flow.give_up(outcome);
                    abandoned.unwrap_or(outcome)
                }
            };
            self.sender.count(self.upstream, outcome);
        });
    }

    fn give_up(self: Box<Self>, outcome: &'static str) {
        self.sender.count(self.upstream, outcome);
    }
}

impl Copy {
    /// Sends the copy and returns its outcome for the metrics. Without `until_ms`, the deadline is
    /// set when the streamed body ends.
    async fn exchange(
        &self,
        body: RequestBody,
        deadline: &Slot,
        until_ms: Option<u64>,
    ) -> &'static str {
        let (sender, service) = (&self.sender, &self.service);
        let worker = &sender.worker;
        let pool = &service.pools[self.target];
        // Register this task with the deadline, so that it is woken when the deadline passes.
        poll_fn(|cx| {
            deadline.register(cx.waker());
            std::task::Poll::Ready(())
        })
        .await;
        let now_ms = worker.clock.now_ms();
        let sharing = pool.sharing(&self.head, body.sends(), None);
        let idle = pool.checkout(sharing, false, now_ms);
        let times = Times {
            deadline,
            clock: worker.clock,
            until_ms: now_ms + sender.timeout_ms,
            connect_ms: service.connect_timeout_ms,
            dialled_ns: Cell::default(),
        };
        let mut lease = match idle {
            Some(lease) => lease,
            // Do not wait for a permit: a copy must not take a connection from waiting requests.
            None if !pool.has_permits(sharing) => return "overflow",
            None => match connect(pool, (Acceptable::Any, sharing), sender.ends, &times).await {
                Ok(lease) => lease,
                Err(_) => return "failed",
            },
        };
        let is_streaming = matches!(&body, RequestBody::Flow(flow) if !flow.is_ended());
        deadline.set(match until_ms {
            None if is_streaming => u64::MAX,
            _ => sender.until_ms(),
        });
        let call = Call {
            head: &mut Outbound::whole(&self.head),
            body,
            fields: HeaderMap::new(),
            client: None,
        };
        let answered = in_time(deadline, lease.begin(call).answer(None)).await;
        let response = match answered {
            Some(Ok(response)) => *response,
            Some(Err(_)) => return "failed",
            None => return "timeout",
        };
        let mut body = response.into_body();
        if in_time(deadline, drain(&mut body)).await == Some(true) {
            lease.give_back(&mut body, worker.clock.now_ms());
        }
        "sent"
    }
}

// === impl Sender ===

impl Sender {
    /// Deadline of a copy that is sent now, in milliseconds of the clock.
    fn until_ms(&self) -> u64 {
        self.worker.clock.now_ms() + self.timeout_ms
    }

    fn count(&self, upstream: u32, outcome: &'static str) {
        count(&self.worker, &self.view, upstream, outcome);
    }
}

/// Reads and discards the response's body. Returns true if the body ended without an error and
/// within [`ANSWER_BYTES_MAX`].
async fn drain(body: &mut Incoming) -> bool {
    let mut left = ANSWER_BYTES_MAX;
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length) {
                    Some(rest) => left = rest,
                    None => return false,
                }
            }
        }
    }
}

fn count(worker: &Worker, view: &View, upstream: u32, outcome: &'static str) {
    let uid = view.current().loaded.upstream_uids[upstream as usize];
    worker.shard.mirrored(uid, outcome);
}

// === impl Permit ===

impl Permit {
    fn take(worker: &Rc<Worker>) -> Option<Self> {
        let copied: &Cell<usize> = &worker.copied;
        if copied.get() >= COPIED_MAX {
            return None;
        }
        copied.set(copied.get() + 1);
        Some(Self(Rc::clone(worker)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.copied.set(self.0.copied.get() - 1);
    }
}
