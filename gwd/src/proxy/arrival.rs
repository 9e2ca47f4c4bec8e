//! Accepted connections: choice of the worker, connection limits, and the client's address. The
//! address comes from a PROXY header if the listener expects one.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bundle::ir::{ListenerLimits, ProxyProtocol};
use tokio::net::TcpStream;

use crate::limits::addresses::OfAddress;
use crate::limits::budget::Share;
use crate::listen::ListenSocket;
use crate::listen::spread::{TransferredConnection, Weight};
use crate::message::io::{ClientIo, Transport};
use crate::proxy::connection::{Conn, ConnectionPermits};
use crate::proxy::serve::{serve, serve_tls};
use crate::proxy::{proxy_header, respond};
use crate::telemetry::process::LimitedResource;
use crate::tls::TlsListener;
use crate::worker::{Counted, Worker};

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Serves a connection that this worker accepted, or hands the connection over to a worker with
/// much less load.
pub(crate) fn accepted(
    worker: &Rc<Worker>,
    socket: &Arc<ListenSocket>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let loads = &worker.shared.loads;
    let place = loads.place(worker.index);
    let weight = loads.weigh(place, 1);
    if place == worker.index {
        return begin(worker, socket, stream, peer, weight);
    }
    let Ok(stream) = stream.into_std() else {
        return;
    };
    let handed = TransferredConnection {
        socket: Arc::clone(socket),
        stream,
        peer,
        weight,
    };
    if let Err(mut back) = worker.hand(place, handed) {
        back.weight = loads.weigh(worker.index, 1);
        take(worker, back);
    }
}

/// Serves a connection that another worker accepted.
pub(crate) fn take(worker: &Rc<Worker>, handed: TransferredConnection) {
    let TransferredConnection {
        socket,
        stream,
        peer,
        weight,
    } = handed;
    if let Ok(stream) = TcpStream::from_std(stream) {
        begin(worker, &socket, stream, peer, weight);
    }
}

/// Serves a connection, or closes it at a connection or memory limit.
fn begin(
    worker: &Rc<Worker>,
    socket: &Arc<ListenSocket>,
    stream: TcpStream,
    peer: SocketAddr,
    weight: Weight,
) {
    let before = socket.connections.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(Arc::clone(socket));
    let Some(listener_settings) = listener_settings(worker, socket) else {
        return;
    };
    let (peer, port) = (peer.ip().to_canonical(), peer.port());
    let header = listener_settings.header.clone();
    if header.as_ref().is_some_and(|header| !header.trusts(peer)) {
        return proxy_header::Refused::Untrusted.count(worker);
    }
    let share = match share(worker, before, &listener_settings.limits) {
        Ok(share) => share,
        Err(lacking) => return listener_settings.shed(worker, &stream, lacking),
    };
    // Disable Nagle's algorithm, which would delay small responses. Ignore an error: without the
    // option, responses are only delayed.
    let _delayed = stream.set_nodelay(true);
    let arrived = AcceptedConnection {
        worker: Rc::clone(worker),
        stream,
        peer,
        port,
        listener_settings,
        counted,
        share,
        weight,
    };
    match header {
        None => arrived.serve(peer, None),
        Some(header) => drop(tokio::task::spawn_local(Box::pin(
            arrived.serve_named_client(header),
        ))),
    }
}

/// Accepted connection, admitted by the connection limits.
struct AcceptedConnection {
    worker: Rc<Worker>,
    stream: TcpStream,
    /// Address of the direct peer: the client or a balancer.
    peer: IpAddr,
    port: u16,
    listener_settings: ListenerSettings,
    counted: Counted,
    share: Share,
    weight: Weight,
}

/// Listener settings that a new connection uses.
struct ListenerSettings {
    limits: ListenerLimits,
    /// TLS settings, or `None` for a listener without TLS.
    tls_listener: Option<Arc<TlsListener>>,
    /// True if HTTP/2 is enabled. Without TLS, clients use it with prior knowledge.
    http2: bool,
    /// PROXY protocol settings, if the listener expects a header.
    header: Option<Arc<ProxyProtocol>>,
}

fn listener_settings(worker: &Worker, socket: &ListenSocket) -> Option<ListenerSettings> {
    let newest = worker.view()?;
    let (view, listener) = worker.view_at(&newest, socket)?;
    let loaded = &view.current().loaded;
    let tls_listener = loaded.tls_listeners[listener].clone();
    let listener = &loaded.snapshot.listeners()[listener];
    Some(ListenerSettings {
        tls_listener,
        limits: listener.limits.clone(),
        http2: listener.http2,
        header: listener.proxy_protocol.clone(),
    })
}

/// True if the peer is a trusted proxy, whose connections come from many clients.
fn is_trusted_proxy(worker: &Worker, socket: &ListenSocket, peer: IpAddr) -> bool {
    let view = worker.view();
    let view = view.and_then(|newest| worker.view_at(&newest, socket));
    view.is_some_and(|(view, listener)| {
        let snapshot = &view.current().loaded.snapshot;
        let trusted = &snapshot.listeners()[listener].trusted_proxies;
        trusted.iter().any(|range| range.contains(peer))
    })
}

/// Takes a connection permit of the process. If a limit is reached, returns the limited resource.
fn share(
    worker: &Worker,
    of_listener: u64,
    limits: &ListenerLimits,
) -> Result<Share, LimitedResource> {
    let budgets = &worker.budgets;
    if of_listener >= limits.connections {
        return Err(LimitedResource::Connections);
    }
    if budgets.memory.is_full() {
        return Err(LimitedResource::Memory);
    }
    budgets
        .connections
        .take()
        .ok_or(LimitedResource::Connections)
}

// === impl ListenerSettings ===

impl ListenerSettings {
    /// Counts a connection that is closed at a limit (`lacking`). Without TLS, the client gets a
    /// 503 response first.
    fn shed(&self, worker: &Worker, stream: &TcpStream, lacking: LimitedResource) {
        worker.shard.process.shed(lacking);
        if self.tls_listener.is_none() {
            let _result = stream.try_write(respond::OVERLOADED);
        }
    }
}

// === impl AcceptedConnection ===

impl AcceptedConnection {
    /// Reads the PROXY header and serves the client named in the header. A peer without a valid
    /// header gets no response, because its protocol is unknown (proxy-protocol.txt §2).
    async fn serve_named_client(mut self, header: Arc<ProxyProtocol>) {
        let deadline = self.worker.deadlines.slot();
        deadline.set(self.worker.clock.now_ms() + header.timeout_ms);
        match proxy_header::read(&mut self.stream, &deadline).await {
            Ok(client) => {
                let balancer = self.peer;
                self.serve(client.unwrap_or(balancer), Some(balancer));
            }
            Err(refused) => refused.count(&self.worker),
        }
    }

    /// Starts a task that serves the client, unless the client's address has too many connections.
    fn serve(self, client: IpAddr, balancer: Option<IpAddr>) {
        let Self {
            worker,
            stream,
            peer: _,
            port,
            listener_settings,
            counted,
            share,
            weight,
        } = self;
        let of_address = match worker.budgets.addresses.take(client) {
            Some(of_address) => of_address,
            None if is_trusted_proxy(&worker, &counted.0, client) => OfAddress::unbounded(),
            None => {
                return listener_settings.shed(
                    &worker,
                    &stream,
                    LimitedResource::ConnectionsPerAddress,
                );
            }
        };
        let conn = Rc::new(Conn {
            socket: Arc::clone(&counted.0),
            peer: client,
            port,
            // Use a placeholder if the local address is unavailable, because the socket is already
            // broken.
            came_to: stream.local_addr().unwrap_or(NOWHERE),
            balancer,
            limits: listener_settings.limits,
            tls: OnceCell::new(),
            outdated: Cell::new(false),
            fresh: Cell::new(true),
            presented: OnceCell::new(),
            hop: RefCell::new(None),
            _held: ConnectionPermits {
                _counted: counted,
                _share: share,
                _of_address: of_address,
                _weight: weight,
            },
            worker,
        });
        match listener_settings.tls_listener {
            Some(tls_listener) => tokio::task::spawn_local(serve_tls(conn, stream, tls_listener)),
            None => {
                let io = ClientIo::new(Transport::Tcp(stream));
                tokio::task::spawn_local(serve(conn, io, listener_settings.http2))
            }
        };
    }
}
