//! Copies of requests, sent beside them: never waited for, never told to the client.
//!
//! A copy has its own connection and its own deadline; its answer is read within a limit, so
//! that the connection can be used again, and dropped. What bounds them: so many requests of a
//! worker are being copied at once, and so many bytes of a body are kept until it is complete,
//! while there is memory for them. What cannot be copied is counted and left.

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

use crate::buffered::Buffered;
use crate::proxy::body::RequestBody;
use crate::proxy::stream::Stream;
use crate::upstream::affinity::Affinity;
use crate::upstream::connect::{Times, connect, in_time};
use crate::upstream::pool::queue::Wish;
use crate::upstream::proxy_header::Ends;
use crate::upstream::transport::{Call, Incoming};
use crate::upstream::{Looking, Service, Tried};
use crate::worker::{View, Worker};

/// Requests of one worker that are being copied at once.
const COPIED_MAX: usize = 128;
/// Bytes of a body that are kept for copies.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes of a copy's answer that are read so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What the copies of a request are made of.
pub(crate) struct Asked<'a, 's> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) stream: &'a Stream,
    pub(crate) view: &'a Rc<View>,
    pub(crate) route: &'a RouteRef<'s>,
    pub(crate) origin: &'a Origin,
    pub(crate) cx: &'a Cx<'s>,
    pub(crate) head: &'a RequestHead,
}

/// Copies of one request that wait for the end of its body. Dropped before that, they are not
/// sent.
pub(crate) struct Copies {
    worker: Rc<Worker>,
    view: Rc<View>,
    timeout_ms: u64,
    ends: Ends,
    waiting: RefCell<Vec<Copy>>,
    body: RefCell<Vec<u8>>,
    /// Counts it.
    kept: RefCell<Buffered>,
    _permit: Permit,
}

struct Copy {
    upstream: u32,
    service: Rc<Service>,
    target: usize,
    head: RequestHead,
}

/// One of the requests that are being copied.
struct Permit(Rc<Worker>);

/// Prepares the copies that the chain asked for; none where there are too many already.
pub(crate) fn begin(asked: &Asked<'_, '_>) -> Option<Rc<Copies>> {
    let snapshot: &Snapshot = &asked.view.current().loaded.snapshot;
    let services = asked.cx.mirrors.iter();
    let services = services.filter_map(|name| snapshot.upstream(name));
    let Some(permit) = Permit::take(asked.worker) else {
        services.for_each(|upstream| count(asked.worker, asked.view, upstream, "overflow"));
        return None;
    };
    let copies = services.filter_map(|upstream| {
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
            count(asked.worker, asked.view, upstream, "failed");
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
        // The body of a copy is known as a whole.
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, TE] {
            head.headers.remove(name);
        }
        Some(Copy {
            upstream,
            service,
            target,
            head,
        })
    });
    Some(Rc::new(Copies {
        worker: Rc::clone(asked.worker),
        view: Rc::clone(asked.view),
        timeout_ms: asked.route.treatment.timeout_ms,
        ends: asked.stream.ends(asked.cx.client),
        waiting: RefCell::new(copies.collect()),
        body: RefCell::default(),
        kept: RefCell::new(Buffered::new(&asked.worker.shared.budgets.memory)),
        _permit: permit,
    }))
}

// === impl Copies ===

impl Copies {
    /// A part of the body came.
    pub(crate) fn take(&self, data: &[u8]) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let mut body = self.body.borrow_mut();
        if body.len() + data.len() > BODY_BYTES_MAX {
            *body = Vec::new();
            self.kept.borrow().set(0);
            return self.give_up("too_large");
        }
        body.extend_from_slice(data);
        let kept = self.kept.borrow();
        kept.set(body.len() as u64);
        if !kept.may_grow() {
            kept.set(0);
            *body = Vec::new();
            self.give_up("overflow");
        }
    }

    /// The body is complete: the copies go their way.
    pub(crate) fn send(self: &Rc<Self>) {
        let memory = &self.worker.shared.budgets.memory;
        let kept = self.kept.replace(Buffered::new(memory));
        let body = kept.hold(self.body.take());
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for copy in waiting {
            let (copies, body) = (Rc::clone(self), body.clone());
            tokio::task::spawn_local(async move {
                let upstream = copy.upstream;
                let outcome = copies.send_one(copy, body).await;
                count(&copies.worker, &copies.view, upstream, outcome);
            });
        }
    }

    /// What became of a copy, as the metric tells it.
    async fn send_one(&self, copy: Copy, body: Bytes) -> &'static str {
        let Copy {
            service,
            target,
            head,
            ..
        } = copy;
        let worker = &self.worker;
        let pool = &service.pools[target];
        let deadline = worker.deadlines.slot();
        // Who is woken when the deadline passes.
        poll_fn(|cx| {
            deadline.register(cx.waker());
            std::task::Poll::Ready(())
        })
        .await;
        let now_ms = worker.shared.clock.now_ms();
        let idle = pool.checkout(false, now_ms);
        let times = Times {
            deadline: &deadline,
            clock: worker.shared.clock,
            until_ms: now_ms + self.timeout_ms,
            connect_ms: service.connect_timeout_ms,
            dialled_ns: Cell::default(),
        };
        let mut lease = match idle {
            Some(lease) => lease,
            // A copy takes no connection from those who wait for one.
            None if !pool.has_seats() => return "overflow",
            None => match connect(pool, Wish::Any, self.ends, &times).await {
                Ok(lease) => lease,
                Err(_) => return "failed",
            },
        };
        deadline.set(worker.shared.clock.now_ms() + self.timeout_ms);
        let call = Call {
            head: &mut Outbound::whole(&head),
            body: match body.is_empty() {
                true => RequestBody::Empty,
                false => RequestBody::Copy(Some(body)),
            },
            fields: HeaderMap::new(),
        };
        let answered = in_time(&deadline, lease.begin(call).answer(None)).await;
        let response = match answered {
            Some(Ok(response)) => *response,
            Some(Err(_)) => return "failed",
            None => return "timeout",
        };
        let mut body = response.into_body();
        if in_time(&deadline, drain(&mut body)).await == Some(true) {
            lease.give_back(&mut body, worker.shared.clock.now_ms());
        }
        "sent"
    }

    fn give_up(&self, outcome: &'static str) {
        for copy in std::mem::take(&mut *self.waiting.borrow_mut()) {
            count(&self.worker, &self.view, copy.upstream, outcome);
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.give_up("incomplete");
    }
}

/// Whether an answer ended clean and within its limit.
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
