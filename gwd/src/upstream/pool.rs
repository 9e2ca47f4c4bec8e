//! Connection pools of one worker, by upstream, host address and protocol settings.
//!
//! A pool outlives snapshots and host sets. Its key consists of the upstream's state id, the host's
//! address and name, and the protocol settings. A new version therefore reuses the connections of
//! the previous version, except connections with other settings. After certificates or CA
//! certificates were replaced, older connections complete their exchanges and are not used again.
//! Idle connections to a removed host are closed.
//!
//! Ordinary exchanges share an HTTP/2 connection ([`Sharing`]). An HTTP/1 connection becomes idle
//! when request and response have ended without an error. It stays idle for at most the time for
//! which the host probably keeps it open ([`lifespan`]).

mod lifespan;
pub(crate) mod queue;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bundle::ir;
use h2::ext::Protocol;
use http::{HeaderValue, Request, Response};
use policy::{RequestHead, StateId};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use crate::limits::budget::Memory;
use crate::limits::crowding::ShareUsed;
use crate::message::body::RequestBody;
use crate::message::sends::Sends;
use crate::runtime::clock::Clock;
use crate::telemetry::shard::{PoolGauge, Shard};
use crate::tls::connector::{Connector, Offer};
use crate::upstream::address::Address;
use crate::upstream::balance::Average;
use crate::upstream::call::Call;
use crate::upstream::connection_shares::ConnectionCharge;
use crate::upstream::connections::Waiter;
use crate::upstream::hosts::Endpoint;
use crate::upstream::permits::ExchangePermits;
use crate::upstream::pool::lifespan::Lifespan;
use crate::upstream::room::Room;
use crate::upstream::shared::{Host, State};
use crate::upstream::sharing::{STREAMS_ASSUMED, Sharing};
use crate::upstream::socket::UpstreamSocket;
use crate::upstream::transport::{Begun, CallError, Incoming, Transport};
use crate::upstream::{http1, http2};

/// Maximum idle connections of one worker to one host.
const IDLE_MAX: usize = 1_024;

/// All pools of a worker.
#[derive(Default)]
pub(crate) struct Pools {
    by_key: RefCell<FxHashMap<Key, Rc<Pool>>>,
    /// Notified when requests wait for a connection and this worker has an idle connection.
    pub(crate) wanted: Arc<Notify>,
}

/// Key of a pool: state id of the upstream, address and name of the host, protocol, PROXY protocol
/// version, and id of the TLS connector.
type Key = (
    StateId,
    Address,
    Box<str>,
    ir::UpstreamProtocol,
    Option<ir::ProxyVersion>,
    Option<u64>,
);

/// Upstream whose hosts need pools.
pub(crate) struct PooledUpstream<'a> {
    pub(crate) upstream: &'a ir::Upstream,
    pub(crate) state: &'a Arc<State>,
    /// Metric id of the upstream.
    pub(crate) uid: u32,
    pub(crate) connector: Option<&'a Arc<Connector>>,
}

/// Resources of the worker that a new pool uses.
pub(crate) struct PoolResources<'a> {
    pub(crate) clock: Clock,
    pub(crate) shard: &'a Shard,
    pub(crate) memory: &'a Arc<Memory>,
}

/// Connections to one host.
pub(crate) struct Pool {
    pub(crate) address: Address,
    /// Host name of the target.
    pub(crate) name: Box<str>,
    host: Arc<Host>,
    state: Arc<State>,
    clock: Clock,
    /// Moving average of the host's response times.
    pub(crate) average: Rc<Average>,
    pub(crate) protocol: ir::UpstreamProtocol,
    /// PROXY protocol version; `None` if the upstream expects no header. A connection with PROXY
    /// protocol carries one request, because the header names its client.
    pub(crate) proxy: Option<ir::ProxyVersion>,
    pub(crate) tls: Option<Arc<Connector>>,
    /// Round of the TLS connector, which each replacement of certificates increments. Connections
    /// of earlier rounds get no new requests.
    round: Cell<u64>,
    idle: RefCell<Vec<Idle>>,
    /// Connections that returned from an exchange and are each reserved for a waiter.
    kept: RefCell<Vec<(Arc<Waiter>, Idle)>>,
    /// HTTP/2 connections. An exchange uses the first connection that has room for the exchange.
    shared: RefCell<Vec<Shared>>,
    /// Number of shared connections that were opened so far.
    made: Cell<u64>,
    /// Maximum exchanges per shared connection, as last announced by the host, at most
    /// [`STREAMS_ASSUMED`].
    streams: Cell<usize>,
    pub(crate) room: Rc<Room>,
    /// True if the last TLS negotiation did not select HTTP/2.
    declined: Cell<bool>,
    idle_timeout_ms: Cell<u64>,
    lifespan: Lifespan,
    /// Maximum connections of the upstream.
    connections_max: Cell<u64>,
    /// Maximum length of a response head, in bytes.
    head_bytes_max: Cell<u32>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) gauge: Arc<PoolGauge>,
}

/// HTTP/2 connection that several exchanges use, at the same time or one after another.
struct Shared {
    number: u64,
    sharing: Sharing,
    connection: http2::Connection,
}

struct Idle {
    transport: Transport,
    /// Round of the TLS connector with which the connection was opened (see [`Pool::round`]).
    round: u64,
    since_ms: u64,
}

/// Connection in use. Dropping this value closes the connection, unless it is shared.
pub(crate) struct Lease {
    /// `None` while a request or a response body owns the connection.
    transport: Option<Transport>,
    /// Permits and counts that are returned at the end of the exchange. `None` until the response
    /// head has arrived.
    pub(crate) permits: Option<ExchangePermits>,
    /// Count of the connection for the client that uses it. `None`: the connection is not counted.
    pub(crate) charge: Option<ConnectionCharge>,
    pool: Rc<Pool>,
    /// Round of the TLS connector with which the connection was opened (see [`Pool::round`]).
    round: u64,
    /// True if the connection was handed over directly from another request.
    handed_on: bool,
    /// Time for which the connection was idle before this lease, in milliseconds.
    idle_before_ms: u64,
    /// Count of active connections; `None` for a shared connection, which counts itself.
    _active: Option<Active>,
}

struct Active(Arc<PoolGauge>);

// === impl Pools ===

impl Pools {
    pub(crate) fn pool(
        &self,
        resources: &PoolResources<'_>,
        of: &PooledUpstream<'_>,
        endpoint: &Endpoint,
        host: &Arc<Host>,
    ) -> Rc<Pool> {
        let PooledUpstream {
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
        let mut pools = self.by_key.borrow_mut();
        let pool = pools.entry(key).or_insert_with(|| {
            let gauge = resources.shard.pool(*uid);
            state.connections.0.join(&gauge, &self.wanted);
            Rc::new(Pool {
                address: address.clone(),
                name: name.into(),
                host: Arc::clone(host),
                state: Arc::clone(state),
                clock: resources.clock,
                average: Rc::default(),
                protocol,
                proxy,
                tls: tls.map(Arc::clone),
                round: Cell::new(tls.map_or(0, |tls| tls.round())),
                idle: RefCell::default(),
                kept: RefCell::default(),
                shared: RefCell::default(),
                made: Cell::new(0),
                streams: Cell::new(STREAMS_ASSUMED),
                room: Room::new(state, &self.wanted),
                declined: Cell::new(false),
                idle_timeout_ms: Cell::default(),
                lifespan: Lifespan::default(),
                connections_max: Cell::default(),
                head_bytes_max: Cell::default(),
                memory: Arc::clone(resources.memory),
                gauge,
            })
        });
        pool.idle_timeout_ms.set(upstream.idle_timeout_ms);
        pool.connections_max.set(upstream.limits.connections);
        let head_bytes_max = u32::try_from(upstream.limits.response_header_bytes);
        pool.head_bytes_max.set(head_bytes_max.unwrap_or(u32::MAX));
        Rc::clone(pool)
    }

    /// Closes connections that have been idle for too long or were closed by the peer. Drops pools
    /// that no version uses.
    pub(crate) fn sweep(&self, now_ms: u64) {
        self.by_key.borrow_mut().retain(|_, pool| {
            pool.sweep(now_ms);
            let unused = pool.idle.borrow().is_empty() && pool.shared.borrow().is_empty();
            Rc::strong_count(pool) > 1 || !unused
        });
    }
}

// === impl Pool ===

impl Pool {
    /// Leases an open HTTP/2 connection of this `sharing` with room for the exchange, otherwise the
    /// connection that became idle last. `repeatable`: true if the request may be sent again in
    /// case the connection is dead. `None`: no such connection.
    pub(crate) fn checkout(
        self: &Rc<Self>,
        sharing: Sharing,
        repeatable: bool,
        now_ms: u64,
    ) -> Option<Lease> {
        if self.protocol != ir::UpstreamProtocol::H1
            && let Some(lease) = self.share(sharing, 0)
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
        // The connection that became idle last is at the end.
        while let Some(mut youngest) = idle.pop() {
            if now_ms.saturating_sub(youngest.since_ms) >= oldest_ms {
                idle.push(youngest);
                return None;
            }
            self.gauge.idle(-1);
            if youngest.transport.is_ready() {
                let mut lease = self.lease(youngest.transport, youngest.round);
                lease.idle_before_ms = now_ms.saturating_sub(youngest.since_ms);
                return Some(lease);
            }
        }
        None
    }

    /// True if several requests share a connection. With `auto` over TLS, the last negotiation
    /// decides; before the first negotiation, HTTP/2 is assumed.
    pub(crate) fn shares(&self) -> bool {
        match self.protocol {
            _ if self.proxy.is_some() => false,
            ir::UpstreamProtocol::H1 => false,
            ir::UpstreamProtocol::H2c | ir::UpstreamProtocol::H2 => true,
            ir::UpstreamProtocol::Auto => self.tls.is_some() && !self.declined.get(),
        }
    }

    /// Sharing mode of a connection to the host for an exchange. A client with too many draining
    /// HTTP/2 connections gets exclusive connections.
    pub(crate) fn sharing(
        &self,
        head: &RequestHead,
        sends: Sends,
        client: Option<IpAddr>,
    ) -> Sharing {
        if !self.shares() {
            return Sharing::Shared;
        }
        let shares = &self.state.connection_shares;
        let is_exclusive =
            || client.is_some_and(|client| shares.drains_too_many(client, self.connections()));
        match Sharing::of(head, sends) {
            Sharing::Shared if is_exclusive() => Sharing::Exclusive,
            sharing => sharing,
        }
    }

    /// Counts the connection for the client if only this exchange uses it. Returns `None` if other
    /// exchanges may share the connection, or if no limit per client applies yet. Also `None` for
    /// an HTTP/1 upstream: there the limit on a client's requests also limits its connections.
    ///
    /// # Errors
    /// If the client has used up its share of the upstream's connections.
    pub(crate) fn charge(
        &self,
        sharing: Sharing,
        client: Option<IpAddr>,
    ) -> Result<Option<ConnectionCharge>, ShareUsed> {
        let is_alone = sharing == Sharing::Exclusive || !self.shares();
        match client {
            Some(client) if is_alone && self.protocol != ir::UpstreamProtocol::H1 => {
                let shares = &self.state.connection_shares;
                shares.charge_exclusive(client, self.connections())
            }
            _ => Ok(None),
        }
    }

    /// Number of open connections of the upstream, and its maximum.
    fn connections(&self) -> (u64, u64) {
        (self.state.connections.0.open(), self.connections_max.get())
    }

    /// Protocols to offer in a TLS handshake with the host.
    pub(crate) fn offer(&self) -> Offer {
        match self.protocol {
            ir::UpstreamProtocol::H1 => Offer::Http1,
            ir::UpstreamProtocol::H2c | ir::UpstreamProtocol::H2 => Offer::Http2,
            ir::UpstreamProtocol::Auto => Offer::Either,
        }
    }

    /// Records the result of the protocol negotiation: true for HTTP/2.
    pub(crate) fn agreed(&self, http2: bool) {
        self.declined.set(!http2);
    }

    /// Removes connections from the pool if certificates or CA certificates have been replaced
    /// since they were opened. Exchanges on these connections continue.
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

    /// Leases an open HTTP/2 connection that has room for another exchange. Considers only
    /// connections of this `sharing` that were opened after the connection with the number
    /// `behind`. `None`: there is no such connection.
    pub(crate) fn share(self: &Rc<Self>, sharing: Sharing, behind: u64) -> Option<Lease> {
        self.leave_behind();
        let mut shared = self.shared.borrow_mut();
        shared.retain(|one| !one.connection.is_done());
        if let Some(one) = shared.first() {
            let streams = one.connection.streams().min(STREAMS_ASSUMED);
            if self.streams.replace(streams) != streams {
                self.state.streams.store(streams as u64, Ordering::Relaxed);
            }
        }
        let has_room = |connection: &http2::Connection| {
            connection.is_ready()
                && match sharing {
                    Sharing::Shared => connection.has_room(),
                    Sharing::Exclusive => connection.active() == 0,
                }
        };
        let roomy = shared
            .iter()
            .find(|one| one.sharing == sharing && one.number > behind && has_room(&one.connection));
        roomy.map(|one| self.lease_of(&one.connection, sharing))
    }

    fn lease_of(self: &Rc<Self>, connection: &http2::Connection, sharing: Sharing) -> Lease {
        let connection = match sharing {
            Sharing::Shared => connection.clone(),
            Sharing::Exclusive => connection.reserve(),
        };
        self.lease(Transport::Http2(Box::new(connection)), self.round.get())
    }

    /// Number of shared connections that were opened so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.get()
    }

    /// Leases a new HTTP/1.1 connection, which only the lease may use.
    pub(crate) fn alone(self: &Rc<Self>, socket: UpstreamSocket, round: u64) -> Lease {
        let connection = http1::Connection::new(socket);
        self.lease(Transport::Http1(connection), round)
    }

    /// Leases a new HTTP/2 connection, and adds it to the pool for other exchanges. Does not add a
    /// connection of an earlier TLS round.
    pub(crate) fn shared(
        self: &Rc<Self>,
        connection: http2::Connection,
        sharing: Sharing,
        round: u64,
    ) -> Lease {
        let mut lease = self.lease_of(&connection, sharing);
        lease.round = round;
        self.leave_behind();
        if round == self.round.get() {
            let number = self.made.get() + 1;
            self.made.set(number);
            self.shared.borrow_mut().push(Shared {
                number,
                sharing,
                connection,
            });
        }
        lease
    }

    /// Maximum exchanges on a new shared connection until the host announces its maximum.
    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Maximum length of a response head, in bytes.
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
            // An HTTP/2 connection counts its exchanges itself.
            Transport::Http2(_) => None,
        };
        Lease {
            transport: Some(transport),
            permits: None,
            charge: None,
            pool: Rc::clone(self),
            round,
            handed_on: false,
            idle_before_ms: 0,
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
        // Close connections above the limit, which may have been lowered.
        let open = self.state.connections.0.open();
        self.close_idle(open.saturating_sub(self.connections_max.get()));
        let mut shared = self.shared.borrow_mut();
        shared.retain(|one| one.connection.sweep(now_ms, limit_ms));
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

    /// True if the connection has carried another request, so that the peer may have closed it
    /// without notice.
    pub(crate) fn is_used(&self) -> bool {
        self.handed_on || self.is_shared()
    }

    /// Records the `Keep-Alive` field of a response, or that there was none.
    pub(crate) fn kept_for(&self, keep_alive: Option<&HeaderValue>) {
        self.pool.lifespan.record_keep_alive(keep_alive);
    }

    /// Records that the connection ended without a response to the request that was sent at
    /// `began_ms`.
    pub(crate) fn record_broken(&self, began_ms: u64, now_ms: u64) {
        let took_ms = now_ms.saturating_sub(began_ms);
        self.pool
            .lifespan
            .record_broken(self.idle_before_ms, took_ms, now_ms);
    }

    /// Begins a request. From now on the request and its response own the connection.
    pub(crate) fn begin(&mut self, call: Call<'_, '_>) -> Begun {
        let transport = self.transport.take().expect("a lease is called once");
        if self.pool.proxy.is_some() {
            // Let the upstream close the connection after this request.
            call.head.close();
        }
        transport.begin(call)
    }

    /// Requests a tunnel on a shared HTTP/2 connection.
    pub(crate) async fn tunnel(
        &mut self,
        request: Request<RequestBody>,
        protocol: Protocol,
        client: IpAddr,
    ) -> Result<Response<http2::Answer>, CallError> {
        let answered = match self.transport.take() {
            Some(Transport::Http2(connection)) => {
                let connection = connection.for_client(Some(client));
                connection.tunnel(request, protocol).await
            }
            Some(Transport::Http1(_)) | None => Err(http2::Error::NoTunnels),
        };
        answered.map_err(CallError::Http2)
    }

    /// Returns the connection to the pool, if request and response have ended without an error.
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
