//! Client connection: its addresses, limits and permits, and how it is closed. [`super::serve`]
//! serves its requests.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bundle::ir::{CertificateFields, ListenerLimits};
use engine::forward::ThisHop;
use http::HeaderValue;
use policy::auth::mtls::PresentedCertificates;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::limits::addresses::OfAddress;
use crate::limits::budget::Share;
use crate::listen::ListenSocket;
use crate::listen::accept::LAST_EXCHANGE_MS;
use crate::listen::spread::Weight;
use crate::message::io::ClientIo;
use crate::message::pace::TimeLimits;
use crate::runtime::deadlines::Slot;
use crate::telemetry::process::LimitedResource;
use crate::tls::accept::{AdmissionLoss, TlsFacts};
use crate::tls::peer_certificate::{Fields, PeerCertificate};
use crate::upstream::proxy_header::Ends;
use crate::worker::{Counted, Worker};

/// Time after the start of a drain in which a connection may begin its first exchange or, over
/// HTTP/1, one more: 1s. Over HTTP/1, only the next response can inform the client that the
/// connection ends.
const ONE_MORE_MS: u64 = 1_000;
/// Maximum time for which a client may keep sending after the last response (30s), and maximum time
/// without data from it (2s). Compare NGINX's `lingering_time` and `lingering_timeout`, whose
/// defaults are 30s and 5s.
const LINGER_MS: u64 = 30_000;
const LINGER_SILENCE_MS: u64 = 2_000;
/// Maximum bytes of an unwanted upload that are read and discarded before the connection is closed.
const LINGER_BYTES_MAX: usize = 64 << 20;
/// Client connection with its worker, listener and limits.
pub(crate) struct Conn {
    pub(crate) worker: Rc<Worker>,
    pub(crate) socket: Arc<ListenSocket>,
    /// Client address: the address of the direct peer, or the address in the PROXY header.
    pub(crate) peer: IpAddr,
    /// Port of the direct peer.
    pub(super) port: u16,
    /// Local address of the connection, to which the client connected.
    pub(super) came_to: SocketAddr,
    /// Address of the load balancer that sent a PROXY header. `None`: no header.
    pub(crate) balancer: Option<IpAddr>,
    pub(crate) limits: ListenerLimits,
    /// Result of the TLS handshake. Empty before its end and without TLS.
    pub(crate) tls: OnceCell<TlsFacts>,
    /// True if the connection would no longer be admitted, because the rules for client
    /// certificates or balancers have changed. The current exchange is then its last.
    pub(crate) outdated: Cell<bool>,
    /// True until the first exchange of the connection begins.
    pub(crate) fresh: Cell<bool>,
    /// Certificates that the connection presents, for the verifiers. Empty until a request needs
    /// them.
    pub(super) presented: OnceCell<Box<PresentedCertificates>>,
    /// Forwarding fields of this connection for the last requested host. `None` before the first
    /// request.
    pub(super) hop: RefCell<Option<Arc<ThisHop>>>,
    pub(super) _held: ConnectionPermits,
}

impl Conn {
    /// Time limits for a slow client.
    pub(crate) fn time_limits(&self) -> TimeLimits {
        self.worker.shared.time_limits.with(&self.limits)
    }

    /// Reason why open responses and tunnels of the client must end: its certificate has expired,
    /// or new rules for client certificates refuse it. `None`: they may continue, or the client has
    /// no certificate. Also schedules a wake-up of the connection for the time at which the
    /// certificate must be verified again.
    pub(crate) fn admission_loss(&self) -> Option<AdmissionLoss> {
        let facts = self.tls.get()?;
        facts.certificate.as_ref()?;
        let worker = &self.worker;
        let newest = worker.view()?;
        let (view, listener) = worker.view_at(&newest, &self.socket)?;
        let tls_listener = view.current().loaded.tls_listeners[listener].as_deref()?;
        let now_s = worker.unix_ms(worker.clock.now_ms() * 1_000_000) / 1_000;
        let admission_loss = facts.admission_loss(tls_listener, now_s);
        worker.wake_after(facts.verify_after_s());
        admission_loss
    }
}

/// Permits and counts that a connection has until it is dropped.
pub(crate) struct ConnectionPermits {
    pub(super) _counted: Counted,
    pub(super) _share: Share,
    pub(super) _of_address: OfAddress,
    pub(super) _weight: Weight,
}

/// Waits for memory for an active connection. `None` if the deadline passes first.
pub(crate) async fn wait_for_memory(conn: &Conn, bytes: u64, deadline: &Slot) -> Option<Share> {
    let (mut place, mut waits) = (None, None);
    let memory = &conn.worker.budgets.memory;
    let waited = poll_fn(|cx| match memory.take(bytes) {
        Some(share) => Poll::Ready(share),
        None => {
            waits.get_or_insert_with(|| memory.waits());
            conn.worker.waiting.queue(conn.peer, &mut place, cx.waker());
            Poll::Pending
        }
    });
    let share = in_time(deadline, waited).await;
    if share.is_none() {
        conn.worker.shard.process.shed(LimitedResource::Memory);
    }
    share
}

/// Waits for a future. `None` if the deadline passes first.
pub(crate) async fn in_time<T>(deadline: &Slot, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        deadline.register(cx.waker());
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        if deadline.expired() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

/// Closes the connection in a way that lets the client read the last response: reads and discards
/// input for a while. Closing a socket with unread bytes would reset the connection and discard the
/// response.
pub(crate) async fn linger(conn: &Conn, deadline: &Slot, mut io: ClientIo) {
    let worker = &conn.worker;
    let until_ms = worker.clock.now_ms() + LINGER_MS;
    deadline.set(until_ms - LINGER_MS + LINGER_SILENCE_MS);
    if in_time(deadline, io.shutdown()).await.is_none() {
        return;
    }
    let mut scrap = [0; 4_096];
    let mut left = LINGER_BYTES_MAX;
    while let Some(Ok(read @ 1..)) = in_time(deadline, io.read(&mut scrap)).await {
        left = left.saturating_sub(read);
        if left == 0 {
            return;
        }
        if worker.draining_ms().is_none() {
            let now_ms = worker.clock.now_ms();
            deadline.set(until_ms.min(now_ms + LINGER_SILENCE_MS));
        }
    }
}

// === impl Conn ===

impl Conn {
    /// URL scheme of the connection: `https` with TLS, otherwise `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.tls.get() {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Returns the forwarding fields of this connection for requests to a host. Reuses the fields
    /// of the previous request if the host is the same.
    pub(crate) fn hop(&self, authority: &HeaderValue) -> Arc<ThisHop> {
        let mut known = self.hop.borrow_mut();
        if let Some(hop) = &*known
            && hop.authority == *authority
        {
            return Arc::clone(hop);
        }
        let hop = Arc::new(ThisHop::new(self.peer, self.scheme(), authority));
        Arc::clone(known.insert(hop))
    }

    /// Fields with the client's certificate for upstreams. `None` if the listener forwards no
    /// certificates or the client has none.
    pub(crate) fn certificate(&self, fields: Option<CertificateFields>) -> Option<Fields> {
        self.tls.get()?.certificate.as_ref()?.fields(fields?)
    }

    /// Certificates that the client presents. `forwarded`: true if a trusted proxy may have sent
    /// the client's certificate in a field. `None` if the client has no certificate in its TLS
    /// connection and `forwarded` is false.
    pub(crate) fn presented(&self, forwarded: bool) -> Option<&PresentedCertificates> {
        let tls = self.tls.get();
        let own = tls.and_then(|facts| facts.certificate.as_ref());
        if own.is_none() && !forwarded {
            return None;
        }
        let read = || Box::new(PresentedCertificates::new(own.map(PeerCertificate::der)));
        Some(self.presented.get_or_init(read))
    }

    /// Client and destination addresses to send to upstreams. The client's port is 0 unless the
    /// client is the direct peer.
    pub(crate) fn ends(&self, client: IpAddr) -> Ends {
        let direct = self.balancer.is_none() && client == self.peer;
        let port = if direct { self.port } else { 0 };
        Ends {
            client: SocketAddr::new(client, port),
            destination: self.came_to,
        }
    }

    /// Counts, in the metrics, a chunk-size line that was rejected as invalid framing.
    pub(crate) fn chunk_line_refused(&self) {
        self.worker.shard.rejected_early("framing_invalid");
    }

    /// True if this connection, which has no exchange in progress, must be closed.
    pub(crate) fn ending(&self) -> bool {
        self.has_to_end(0)
    }

    /// True if an idle HTTP/1 connection must be closed. While draining, an idle connection stays
    /// open for [`ONE_MORE_MS`], because a request may already be in transit. The client could not
    /// determine if that request was served.
    pub(crate) fn idle_ends(&self) -> bool {
        self.has_to_end(ONE_MORE_MS)
    }

    fn has_to_end(&self, one_more_ms: u64) -> bool {
        if self.outdated.get() {
            return true;
        }
        let begun_by_ms = match (self.worker.draining_ms(), self.socket.left_ms()) {
            (None, None) => return false,
            (Some(draining_ms), _) if self.fresh.get() => draining_ms + ONE_MORE_MS,
            (Some(draining_ms), _) => draining_ms + one_more_ms,
            (None, Some(left_ms)) => left_ms + LAST_EXCHANGE_MS,
        };
        self.worker.clock.now_ms() >= begun_by_ms
    }

    /// True if the current exchange is the last one of the connection.
    pub(crate) fn last_exchange(&self) -> bool {
        self.worker.draining_ms().is_some()
            || self.socket.left_ms().is_some()
            || self.outdated.get()
    }
}

/// Timer for hyper. hyper requires a timer even if no timeout is configured.
#[derive(Clone, Copy)]
pub(crate) struct NoTimer;

impl hyper::rt::Timer for NoTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        unreachable!("no timeout of hyper's is configured")
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        unreachable!("no timeout of hyper's is configured")
    }
}
