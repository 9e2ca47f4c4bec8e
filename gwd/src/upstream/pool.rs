//! Upstream connections of one worker, by upstream, address and protocol.
//!
//! A pool outlives snapshots and sets of hosts: it is found by the upstream's state id, the host's
//! address and name and what is spoken to it, so that a new version goes on using the connections
//! of the one before, and none that was opened under other rules. Where certificates or
//! authorities are exchanged, connections of before finish what they carry and are not used again.
//! Those to a host that has left are closed when nobody uses them. Those of HTTP/2 are shared;
//! here only those of HTTP/1 are ever idle. A connection comes back when request and response have
//! both ended clean, and waits as long as its host has patience ([`lifespan`]).

mod lifespan;
pub(crate) mod queue;
pub(crate) mod room;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bundle::ir;
use h2::ext::Protocol;
use http::{HeaderValue, Request, Response};
use policy::StateId;
use rustc_hash::FxHashMap;

use crate::budget::Memory;
use crate::clock::Clock;
use crate::proxy::body::RequestBody;
use crate::proxy::io::UpstreamSocket;
use crate::telemetry::shard::PoolGauge;
use crate::tls::connector::{Connector, Offer};
use crate::upstream::Held;
use crate::upstream::address::Address;
use crate::upstream::balance::Average;
use crate::upstream::connections::Waiter;
use crate::upstream::hosts::Endpoint;
use crate::upstream::pool::lifespan::Lifespan;
use crate::upstream::pool::room::Room;
use crate::upstream::shared::{Host, State};
use crate::upstream::transport::{Begun, Call, CallError, Incoming, Transport};
use crate::upstream::{http1, http2};
use crate::worker::Worker;

/// Idle connections of one worker to one address.
const IDLE_MAX: usize = 1_024;

/// All pools of a worker.
#[derive(Default)]
pub(crate) struct Pools(RefCell<FxHashMap<Key, Rc<Pool>>>);

/// The upstream's state, the host's address and name, what is spoken to it and said before, the TLS
/// around it.
type Key = (
    StateId,
    Address,
    Box<str>,
    ir::UpstreamProtocol,
    Option<ir::ProxyVersion>,
    Option<u64>,
);

/// The upstream whose hosts have pools.
pub(crate) struct Of<'a> {
    pub(crate) upstream: &'a ir::Upstream,
    pub(crate) state: &'a Arc<State>,
    /// Its metric id.
    pub(crate) uid: u32,
    pub(crate) connector: Option<&'a Arc<Connector>>,
}

/// Connections to one host.
pub(crate) struct Pool {
    pub(crate) address: Address,
    /// The name by which the host is spoken to.
    pub(crate) name: Box<str>,
    host: Arc<Host>,
    state: Arc<State>,
    clock: Clock,
    /// Average of the host's response times.
    pub(crate) average: Rc<Average>,
    pub(crate) protocol: ir::UpstreamProtocol,
    /// PROXY protocol version that announces the client; none without PROXY protocol. A connection
    /// with PROXY protocol carries one request.
    pub(crate) proxy: Option<ir::ProxyVersion>,
    pub(crate) tls: Option<Arc<Connector>>,
    /// Of the TLS, in which all connections here were opened.
    round: Cell<u64>,
    idle: RefCell<Vec<Idle>>,
    /// Came back for somebody who waits, and was not taken yet.
    kept: RefCell<Vec<(Arc<Waiter>, Idle)>>,
    /// Connections of HTTP/2, each with its number; the first that has room is used.
    shared: RefCell<Vec<(u64, http2::Connection)>>,
    /// Shared connections so far.
    made: Cell<u64>,
    /// Maximum exchanges on each shared connection, as the host last announced.
    streams: Cell<usize>,
    pub(crate) room: Rc<Room>,
    /// HTTP/1.1 was agreed on last.
    declined: Cell<bool>,
    idle_timeout_ms: Cell<u64>,
    lifespan: Lifespan,
    /// Connections that the upstream may have.
    connections_max: Cell<u64>,
    /// Bytes that the head of a response may have.
    head_bytes_max: Cell<u32>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) gauge: Arc<PoolGauge>,
}

struct Idle {
    transport: Transport,
    /// Of the TLS, in which it was opened.
    round: u64,
    since_ms: u64,
}

/// A connection in use. Dropping it closes the connection.
pub(crate) struct Lease {
    /// None while a response's body has it.
    transport: Option<Transport>,
    /// Resources that are released when the exchange has ended.
    pub(crate) held: Option<Held>,
    pool: Rc<Pool>,
    /// Of the TLS, in which it was opened.
    round: u64,
    /// True if the connection carried another request a moment before.
    handed_on: bool,
    /// Time that the connection was idle before, in milliseconds.
    rested_ms: u64,
    /// None of a shared connection, which counts itself.
    _active: Option<Active>,
}

struct Active(Arc<PoolGauge>);

// === impl Pools ===

impl Pools {
    pub(crate) fn pool(
        &self,
        worker: &Worker,
        of: &Of<'_>,
        endpoint: &Endpoint,
        host: &Arc<Host>,
    ) -> Rc<Pool> {
        let Of {
            upstream,
            state,
            uid,
            connector,
        } = of;
        let tls = connector.filter(|_| endpoint.target.tls);
        let (protocol, proxy) = (upstream.protocol, upstream.proxy_protocol);
        let (address, name) = (&endpoint.address, endpoint.target.host.as_str());
        let id = tls.map(|tls| tls.id);
        let address_of = address.clone();
        let key = (upstream.state, address_of, name.into(), protocol, proxy, id);
        let mut pools = self.0.borrow_mut();
        let pool = pools.entry(key).or_insert_with(|| {
            let gauge = worker.shard.pool(*uid);
            state.connections.0.join(&gauge, &worker.wanted);
            Rc::new(Pool {
                address: address.clone(),
                name: name.into(),
                host: Arc::clone(host),
                state: Arc::clone(state),
                clock: worker.shared.clock,
                average: Rc::default(),
                protocol,
                proxy,
                tls: tls.map(Arc::clone),
                round: Cell::new(tls.map_or(0, |tls| tls.round())),
                idle: RefCell::default(),
                kept: RefCell::default(),
                shared: RefCell::default(),
                made: Cell::new(0),
                streams: Cell::new(http2::STREAMS_ASSUMED),
                room: Room::new(state, &worker.wanted),
                declined: Cell::new(false),
                idle_timeout_ms: Cell::default(),
                lifespan: Lifespan::default(),
                connections_max: Cell::default(),
                head_bytes_max: Cell::default(),
                memory: Arc::clone(&worker.shared.budgets.memory),
                gauge,
            })
        });
        pool.idle_timeout_ms.set(upstream.idle_timeout_ms);
        pool.connections_max.set(upstream.limits.connections);
        let head_bytes_max = u32::try_from(upstream.limits.response_header_bytes);
        pool.head_bytes_max.set(head_bytes_max.unwrap_or(u32::MAX));
        Rc::clone(pool)
    }

    /// Closes what was idle for too long or was closed by the other side, and forgets pools
    /// that no version uses.
    pub(crate) fn sweep(&self, now_ms: u64) {
        self.0.borrow_mut().retain(|_, pool| {
            pool.sweep(now_ms);
            let unused = pool.idle.borrow().is_empty() && pool.shared.borrow().is_empty();
            Rc::strong_count(pool) > 1 || !unused
        });
    }
}

// === impl Pool ===

impl Pool {
    /// An idle connection, the one used last. `repeatable`: the request may be sent again if
    /// the connection turns out to be dead.
    pub(crate) fn checkout(self: &Rc<Self>, repeatable: bool, now_ms: u64) -> Option<Lease> {
        if self.protocol != ir::UpstreamProtocol::H1
            && let Some(lease) = self.share(0)
        {
            return Some(lease);
        }
        self.leave_behind();
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() {
            return None;
        }
        let limit_ms = self.idle_timeout_ms.get();
        let oldest_ms = match repeatable {
            true => self.lifespan.idle_ms(limit_ms),
            false => self.lifespan.fresh_ms(limit_ms),
        };
        // The youngest stand last.
        while let Some(mut youngest) = idle.pop() {
            if now_ms.saturating_sub(youngest.since_ms) >= oldest_ms {
                idle.push(youngest);
                return None;
            }
            self.gauge.idle(-1);
            if youngest.transport.is_ready() {
                let mut lease = self.lease(youngest.transport, youngest.round);
                lease.rested_ms = now_ms.saturating_sub(youngest.since_ms);
                return Some(lease);
            }
        }
        None
    }

    /// True if several requests share a connection, as far as is known. With `auto` over TLS the
    /// last negotiated protocol counts, and HTTP/2 is assumed until the first negotiation.
    pub(crate) fn shares(&self) -> bool {
        match self.protocol {
            _ if self.proxy.is_some() => false,
            ir::UpstreamProtocol::H1 => false,
            ir::UpstreamProtocol::H2c | ir::UpstreamProtocol::H2 => true,
            ir::UpstreamProtocol::Auto => self.tls.is_some() && !self.declined.get(),
        }
    }

    /// Protocols to offer in a handshake with the host.
    pub(crate) fn offer(&self) -> Offer {
        match self.protocol {
            ir::UpstreamProtocol::H1 => Offer::Http1,
            ir::UpstreamProtocol::H2c | ir::UpstreamProtocol::H2 => Offer::Http2,
            ir::UpstreamProtocol::Auto => Offer::Either,
        }
    }

    /// Records the protocol negotiated with the host: HTTP/2, or not.
    pub(crate) fn agreed(&self, http2: bool) {
        self.declined.set(!http2);
    }

    /// Gives up what was opened under certificates or authorities that have been exchanged since;
    /// what is under way ends where it is.
    fn leave_behind(&self) {
        let Some(tls) = &self.tls else { return };
        let round = tls.round();
        if self.round.replace(round) != round {
            self.shared.borrow_mut().clear();
            for _left in self.idle.borrow_mut().drain(..) {
                self.gauge.idle(-1);
            }
        }
    }

    /// A shared connection that has room for one more, behind so many that were made before.
    pub(crate) fn share(self: &Rc<Self>, behind: u64) -> Option<Lease> {
        self.leave_behind();
        let mut shared = self.shared.borrow_mut();
        shared.retain(|(_, one)| one.is_ready());
        if let Some((_, one)) = shared.first() {
            self.streams.set(one.streams().min(http2::STREAMS_ASSUMED));
        }
        let mut shared = shared.iter();
        let roomy = shared.find(|(number, one)| *number > behind && one.has_room());
        roomy.map(|(_, one)| self.lease(Transport::Http2(Box::new(one.clone())), self.round.get()))
    }

    /// Number of shared connections opened so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.get()
    }

    /// A connection of HTTP/1.1 that has just been opened, in a round of the TLS.
    pub(crate) fn alone(self: &Rc<Self>, socket: UpstreamSocket, round: u64) -> Lease {
        let connection = http1::Connection::new(socket);
        self.lease(Transport::Http1(connection), round)
    }

    /// A connection of HTTP/2 that has just been opened; others may use it, too.
    pub(crate) fn shared(self: &Rc<Self>, connection: http2::Connection, round: u64) -> Lease {
        let lease = self.lease(Transport::Http2(Box::new(connection.clone())), round);
        self.leave_behind();
        if round == self.round.get() {
            self.made.set(self.made.get() + 1);
            self.shared.borrow_mut().push((self.made.get(), connection));
        }
        lease
    }

    /// Maximum exchanges on a new shared connection, until the host announces its limit.
    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Bytes that the head of a response may have.
    pub(crate) fn head_bytes_max(&self) -> u32 {
        self.head_bytes_max.get()
    }

    fn lease(self: &Rc<Self>, mut transport: Transport, round: u64) -> Lease {
        let active = match &mut transport {
            Transport::Http1(connection) => {
                connection.set_head_bytes_max(self.head_bytes_max.get() as usize);
                self.gauge.active(1);
                Some(Active(Arc::clone(&self.gauge)))
            }
            // It counts itself.
            Transport::Http2(_) => None,
        };
        Lease {
            transport: Some(transport),
            held: None,
            pool: Rc::clone(self),
            round,
            handed_on: false,
            rested_ms: 0,
            _active: active,
        }
    }

    fn sweep(&self, now_ms: u64) {
        self.leave_behind();
        let limit_ms = match self.host.has_left() {
            true => 0,
            false => self.idle_timeout_ms.get(),
        };
        let idle_ms = self.lifespan.idle_ms(limit_ms);
        self.lifespan.sweep(now_ms);
        // There may be fewer than before.
        let open = self.state.connections.0.open();
        self.give_way(open.saturating_sub(self.connections_max.get()));
        let mut shared = self.shared.borrow_mut();
        shared.retain(|(_, one)| one.sweep(now_ms, limit_ms));
        self.idle.borrow_mut().retain_mut(|idle| {
            let young = now_ms.saturating_sub(idle.since_ms) < idle_ms;
            let keep = young && idle.transport.is_ready();
            if !keep {
                self.gauge.idle(-1);
            }
            keep
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.state.connections.0.part(&self.gauge);
    }
}

// === impl Lease ===

impl Lease {
    /// True if other exchanges may use the connection at the same time.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.transport, Some(Transport::Http2(_)))
    }

    /// True if the peer may have closed the connection unnoticed.
    pub(crate) fn is_used(&self) -> bool {
        self.handed_on || self.is_shared()
    }

    /// Records the `Keep-Alive` field of a response, or its absence.
    pub(crate) fn kept_for(&self, keep_alive: Option<&HeaderValue>) {
        self.pool.lifespan.told(keep_alive);
    }

    /// Records that the connection ended without a response to the request sent at `began_ms`.
    pub(crate) fn died(&self, began_ms: u64, now_ms: u64) {
        let took_ms = now_ms.saturating_sub(began_ms);
        self.pool.lifespan.died(self.rested_ms, took_ms, now_ms);
    }

    /// Puts a request on the connection, which is with it and its response from then on.
    pub(crate) fn begin(&mut self, call: Call<'_, '_>) -> Begun {
        let transport = self.transport.take().expect("a lease is called once");
        if self.pool.proxy.is_some() {
            // So that it is the upstream that ends it.
            call.head.close();
        }
        transport.begin(call)
    }

    /// Asks for a tunnel on a connection of HTTP/2, which others use, too.
    pub(crate) async fn tunnel(
        &mut self,
        request: Request<RequestBody>,
        protocol: Protocol,
    ) -> Result<Response<http2::Answer>, CallError> {
        let answered = match self.transport.take() {
            Some(Transport::Http2(connection)) => connection.tunnel(request, protocol).await,
            Some(Transport::Http1(_)) | None => Err(http2::Error::NoTunnels),
        };
        answered.map_err(CallError::Http2)
    }

    /// The exchange is over: the connection can be used again where both sides ended clean.
    pub(crate) fn give_back(self, body: &mut Incoming, now_ms: u64) {
        let full = self.pool.idle.borrow().len() >= IDLE_MAX;
        let single = self.pool.proxy.is_some();
        if full || single || self.pool.host.has_left() {
            return;
        }
        if let Some(transport) = body.take_transport() {
            self.pool.keep(Idle {
                transport,
                round: self.round,
                since_ms: now_ms,
            });
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active(-1);
    }
}
