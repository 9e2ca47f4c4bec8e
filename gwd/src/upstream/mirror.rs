//! Mirrors: copies of requests, sent to other upstreams in parallel. The client never waits for a
//! copy or sees its response.
//!
//! A copy has its own connection and deadline. Its response is read up to a limit, so that the
//! connection can be reused, and discarded. A body of up to 64 KiB is buffered until it is
//! complete. The copy of a longer one, up to the mirror's `max_body`, is streamed as a [`Flow`]
//! with a bounded buffer: if a mirror is too slow for the client's upload, its copy is abandoned.
//! The number of requests per worker that are being copied is limited, and so is their memory.
//! Requests that cannot be copied are counted.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use engine::forward::{self, Origin, Outbound};
use engine::{RouteRef, Snapshot};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING};
use http_body::Body as _;
use policy::{Cx, RequestHead};

use crate::limits::buffered::Buffered;
use crate::proxy::body::RequestBody;
use crate::proxy::stream::Stream;
use crate::runtime::deadlines::Slot;
use crate::upstream::affinity::Affinity;
use crate::upstream::connect::{Times, connect, in_time};
use crate::upstream::flow::Flow;
use crate::upstream::pool::queue::Acceptable;
use crate::upstream::proxy_header::Ends;
use crate::upstream::transport::{Call, Incoming};
use crate::upstream::{Looking, Service, Tried};
use crate::worker::{View, Worker};

/// Maximum requests per worker that are being copied at the same time.
const COPIED_MAX: usize = 128;
/// Maximum bytes of a body that are buffered for copies. Longer bodies are streamed.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Maximum bytes of a copy's response that are read in order to reuse the connection.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Parts of a request that its copies are made from.
pub(crate) struct Asked<'a, 's> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) stream: &'a Stream,
    pub(crate) view: &'a Rc<View>,
    pub(crate) route: &'a RouteRef<'s>,
    pub(crate) origin: &'a Origin,
    pub(crate) cx: &'a Cx<'s>,
    pub(crate) head: &'a RequestHead,
    /// Length of the body in bytes, if the request head announces it.
    pub(crate) length: Option<u64>,
}

/// Copies of one request while its body is received. Dropping this value early abandons the copies.
pub(crate) struct Copies {
    sender: Rc<Sender>,
    /// Copies that have not been sent yet.
    waiting: RefCell<Vec<Copy>>,
    /// Copies that are being streamed.
    flows: RefCell<Vec<Rc<Flow>>>,
    length: Option<u64>,
    /// Number of body bytes received so far.
    came: Cell<u64>,
    body: RefCell<Vec<u8>>,
    /// Memory accounting of `body`.
    kept: RefCell<Buffered>,
}

/// Sender of the copies of one request.
struct Sender {
    worker: Rc<Worker>,
    view: Rc<View>,
    timeout_ms: u64,
    ends: Ends,
    _permit: Permit,
}

struct Copy {
    upstream: u32,
    service: Rc<Service>,
    target: usize,
    head: RequestHead,
    max_body_bytes: u64,
}

/// Permit to copy a request; returned when this value is dropped.
struct Permit(Rc<Worker>);

/// Prepares the copies for the mirrors of the chain. `None` if too many requests are being copied.
pub(crate) fn begin(asked: &Asked<'_, '_>) -> Option<Rc<Copies>> {
    let snapshot: &Snapshot = &asked.view.current().loaded.snapshot;
    let mirrors = asked.cx.mirrors.iter();
    let mirrors = mirrors.filter_map(|one| Some((snapshot.upstream(one.upstream)?, one)));
    let count = |upstream, outcome| count(asked.worker, asked.view, upstream, outcome);
    let Some(permit) = Permit::take(asked.worker) else {
        mirrors.for_each(|(upstream, _)| count(upstream, "overflow"));
        return None;
    };
    let copies = mirrors.filter_map(|(upstream, mirror)| {
        let max_body_bytes = mirror.max_body_bytes;
        if asked.length.is_some_and(|length| length > max_body_bytes) {
            count(upstream, "too_large");
            return None;
        }
        let meant = &snapshot.upstreams()[upstream as usize];
        let service = asked.view.service(asked.worker, upstream);
        let target = service.choose(&Looking {
            upstream: meant,
            affinity: &Affinity::default(),
            tried: &Tried::default(),
            random: &asked.worker.random,
            now_ms: asked.worker.shared.clock.now_ms(),
        });
        let Some(target) = target else {
            count(upstream, "failed");
            return None;
        };
        let mut head = asked.head.clone();
        let relay = forward::Relay {
            route: asked.route,
            upstream: meant,
            target: &service.set.endpoints[target].target,
            origin: asked.origin,
            cx: asked.cx,
        };
        forward::prepare(&mut head, relay);
        // Remove the framing fields: the body of a copy gets its own framing.
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, TE] {
            head.headers.remove(name);
        }
        Some(Copy {
            upstream,
            service,
            target,
            head,
            max_body_bytes,
        })
    });
    Some(Rc::new(Copies {
        waiting: RefCell::new(copies.collect()),
        flows: RefCell::default(),
        length: asked.length,
        came: Cell::new(0),
        body: RefCell::default(),
        kept: RefCell::new(Buffered::new(&asked.worker.shared.budgets.memory)),
        sender: Rc::new(Sender {
            worker: Rc::clone(asked.worker),
            view: Rc::clone(asked.view),
            timeout_ms: asked.route.treatment.timeout_ms,
            ends: asked.stream.ends(asked.cx.client),
            _permit: permit,
        }),
    }))
}

// === impl Copies ===

impl Copies {
    /// Adds data of the body to the copies.
    pub(crate) fn take(&self, data: &[u8]) {
        let came = self.came.get() + data.len() as u64;
        self.came.set(came);
        self.flows.borrow_mut().retain(|flow| flow.goes_on(came));
        self.waiting.borrow_mut().retain(|copy| {
            let fits = came <= copy.max_body_bytes;
            if !fits {
                self.sender.count(copy.upstream, "too_large");
            }
            fits
        });
        if self.flows.borrow().is_empty() && self.waiting.borrow().is_empty() {
            return self.keep_nothing();
        }
        if !self.waiting.borrow().is_empty() {
            let mut body = self.body.borrow_mut();
            if body.len() + data.len() <= BODY_BYTES_MAX {
                body.extend_from_slice(data);
                let kept = self.kept.borrow();
                kept.set(body.len() as u64);
                let may_grow = kept.may_grow();
                drop((body, kept));
                if !may_grow {
                    self.keep_nothing();
                    self.give_up("overflow");
                }
                return;
            }
            drop(body);
            self.stream_waiting();
        }
        let data = Bytes::copy_from_slice(data);
        for flow in &*self.flows.borrow() {
            flow.push(data.clone());
        }
    }

    /// True once for each time that much data has accumulated for a mirror: the mirror's connection
    /// then needs a turn to send it.
    pub(crate) fn wants_turn(&self) -> bool {
        let flows = self.flows.borrow();
        flows.iter().any(|flow| flow.wants_turn.replace(false))
    }

    /// Sends the copies, because the body is complete.
    pub(crate) fn send(&self) {
        let body = self.take_body();
        for copy in std::mem::take(&mut *self.waiting.borrow_mut()) {
            self.sender.spawn(copy, Content::Whole(body.clone()));
        }
        for flow in std::mem::take(&mut *self.flows.borrow_mut()) {
            flow.end(self.sender.until_ms());
        }
    }

    /// Begins to stream the copies, starting with the bytes received so far, because the body is
    /// too long to be buffered.
    fn stream_waiting(&self) {
        let begun = self.take_body();
        for copy in std::mem::take(&mut *self.waiting.borrow_mut()) {
            let worker = &self.sender.worker;
            let flow = Rc::new(Flow {
                max_body_bytes: copy.max_body_bytes,
                left: Cell::new(self.length),
                queue: RefCell::default(),
                kept: Buffered::new(&worker.shared.budgets.memory),
                ended: Cell::new(false),
                given_up: Cell::new(None),
                wants_turn: Cell::new(false),
                waker: RefCell::default(),
                deadline: worker.deadlines.slot(),
            });
            flow.push(begun.clone());
            self.flows.borrow_mut().push(Rc::clone(&flow));
            self.sender.spawn(copy, Content::Flow(flow));
        }
    }

    fn take_body(&self) -> Bytes {
        let memory = &self.sender.worker.shared.budgets.memory;
        let kept = self.kept.replace(Buffered::new(memory));
        kept.hold(self.body.take())
    }

    fn keep_nothing(&self) {
        self.body.take();
        self.kept.borrow().set(0);
    }

    fn give_up(&self, outcome: &'static str) {
        for copy in std::mem::take(&mut *self.waiting.borrow_mut()) {
            self.sender.count(copy.upstream, outcome);
        }
        for flow in std::mem::take(&mut *self.flows.borrow_mut()) {
            flow.give_up(outcome);
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.give_up("incomplete");
    }
}

/// Body of a copy.
enum Content {
    Whole(Bytes),
    Flow(Rc<Flow>),
}

// === impl Sender ===

impl Sender {
    fn spawn(self: &Rc<Self>, copy: Copy, content: Content) {
        let sender = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let upstream = copy.upstream;
            let outcome = match content {
                Content::Whole(body) => {
                    let deadline = sender.worker.deadlines.slot();
                    let body = match body.is_empty() {
                        true => RequestBody::Empty,
                        false => RequestBody::Copy(Some(body)),
                    };
                    let until_ms = Some(sender.until_ms());
                    sender.send_one(copy, body, &deadline, until_ms).await
                }
                Content::Flow(flow) => {
                    let body = RequestBody::Flow(Rc::clone(&flow));
                    let outcome = sender.send_one(copy, body, &flow.deadline, None).await;
                    let given_up = flow.given_up.get();
                    flow.give_up(outcome);
                    given_up.unwrap_or(outcome)
                }
            };
            sender.count(upstream, outcome);
        });
    }

    /// Deadline of a copy that is sent now, in milliseconds of the clock.
    fn until_ms(&self) -> u64 {
        self.worker.shared.clock.now_ms() + self.timeout_ms
    }

    fn count(&self, upstream: u32, outcome: &'static str) {
        count(&self.worker, &self.view, upstream, outcome);
    }

    /// Sends a copy and returns its outcome for the metrics. Without `until_ms`, the deadline is
    /// set when the streamed body ends.
    async fn send_one(
        &self,
        copy: Copy,
        body: RequestBody,
        deadline: &Slot,
        until_ms: Option<u64>,
    ) -> &'static str {
        let Copy {
            service,
            target,
            head,
            ..
        } = copy;
        let worker = &self.worker;
        let pool = &service.pools[target];
        // Register this task, so that it is woken when the deadline passes.
        poll_fn(|cx| {
            deadline.register(cx.waker());
            std::task::Poll::Ready(())
        })
        .await;
        let now_ms = worker.shared.clock.now_ms();
        let idle = pool.checkout(false, now_ms);
        let times = Times {
            deadline,
            clock: worker.shared.clock,
            until_ms: now_ms + self.timeout_ms,
            connect_ms: service.connect_timeout_ms,
            dialled_ns: Cell::default(),
        };
        let mut lease = match idle {
            Some(lease) => lease,
            // Do not wait for a permit: a copy must not take a connection from waiting requests.
            None if !pool.has_permits() => return "overflow",
            None => match connect(pool, Acceptable::Any, self.ends, &times).await {
                Ok(lease) => lease,
                Err(_) => return "failed",
            },
        };
        let is_streaming = matches!(&body, RequestBody::Flow(flow) if !flow.ended.get());
        deadline.set(match until_ms {
            None if is_streaming => u64::MAX,
            _ => self.until_ms(),
        });
        let call = Call {
            head: &mut Outbound::whole(&head),
            body,
            fields: HeaderMap::new(),
        };
        let answered = in_time(deadline, lease.begin(call).answer(None)).await;
        let response = match answered {
            Some(Ok(response)) => *response,
            Some(Err(_)) => return "failed",
            None => return "timeout",
        };
        let mut body = response.into_body();
        if in_time(deadline, drain(&mut body)).await == Some(true) {
            lease.give_back(&mut body, worker.shared.clock.now_ms());
        }
        "sent"
    }
}

/// Reads and discards the response's body. True if it ended without an error and within
/// [`ANSWER_BYTES_MAX`].
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
