//! Opening of connections to hosts.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use http::uri::Scheme;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::limits::descriptors;
use crate::message::failure::{Failure, Kind};
use crate::runtime::clock::Clock;
use crate::runtime::deadlines::{Slot, in_time};
use crate::tls::connector::{Connector, Offer, TlsConnection};
use crate::upstream::address::Address;
use crate::upstream::connection_permit::ConnectionPermit;
use crate::upstream::http2;
use crate::upstream::pool::queue::Acquired;
use crate::upstream::pool::{Lease, Pool};
use crate::upstream::proxy_header::{Ends, header};
use crate::upstream::sharing::{Acceptable, Sharing};
use crate::upstream::socket::{UpstreamSocket, Wire};

/// Time after which a connection attempt that ends with the request's time limit counts against the
/// host: 1s. By then, TCP has sent its first packet again (RFC 6298 §2.1).
const COUNTED_ATTEMPT_MS: u64 = 1_000;

/// Purpose of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Requests of clients, which may not use the reserved file descriptors.
    Request,
    /// Active health check, which may use the reserved file descriptors.
    Check,
}

/// Parameters of a new connection.
pub(crate) struct Dial<'a> {
    pub(crate) address: &'a Address,
    /// Host name for the TLS handshake.
    pub(crate) name: &'a str,
    /// TLS settings, or `None` for a connection without TLS.
    pub(crate) tls: Option<&'a Connector>,
    pub(crate) offer: Offer,
    pub(crate) purpose: Purpose,
    /// PROXY protocol header to send first, or `None` if the upstream expects none.
    pub(crate) header: Option<Vec<u8>>,
}

/// New connection to a host.
pub(crate) struct NewConnection {
    pub(crate) socket: UpstreamSocket,
    /// True if the connection uses HTTP/2, either negotiated or by prior knowledge.
    pub(crate) http2: bool,
    /// Round of the TLS connector (see [`Connector`]) at the start of the handshake; 0 without TLS.
    pub(crate) round: u64,
}

/// Time limits for getting a connection, and the time at which opening a connection began.
pub(crate) struct Times<'a> {
    pub(crate) deadline: &'a Slot,
    pub(crate) clock: Clock,
    /// Time until which the request may wait, in milliseconds of the clock.
    pub(crate) until_ms: u64,
    /// Connect timeout in milliseconds (`timeouts.connect`).
    pub(crate) connect_ms: u64,
    /// Time at which opening a connection began, or `None` if it did not begin.
    pub(crate) dialled_ns: Cell<Option<u64>>,
}

/// Reason why a request got no connection.
pub(crate) enum NoConnection {
    /// The connection attempt failed, which counts against the host.
    Failed(Failure),
    /// The attempt ended with the request's `timeout`, before the connect timeout. The attempt
    /// counts against the host, because it had at least [`COUNTED_ATTEMPT_MS`], or half the connect
    /// timeout if that is less. Other requests that wait for a shared connection do not fail with
    /// this attempt.
    Expired(Failure),
    /// No attempt, or an attempt with too little time to count as a failure of the host.
    NotAttempted(Failure),
}

/// Gets a connection to a host, with the upstream's protocol. Opens a new connection, unless an
/// existing one becomes usable first, for example while the request waits for a permit.
pub(crate) async fn connect(
    pool: &Rc<Pool>,
    (acceptable, sharing): (Acceptable, Sharing),
    ends: Ends,
    times: &Times<'_>,
) -> Result<Lease, NoConnection> {
    let permit = pool.permit(acceptable, sharing);
    if !pool.shares() {
        return connect_on(permit, pool, sharing, ends, times).await;
    }
    let behind = match acceptable {
        Acceptable::Any => 0,
        Acceptable::Unused | Acceptable::Own => pool.made(),
    };
    if sharing == Sharing::Exclusive {
        return match pool.share(sharing, behind) {
            Some(lease) => Ok(lease),
            None => connect_on(permit, pool, sharing, ends, times).await,
        };
    }
    let opening = loop {
        if let Some(lease) = pool.share(sharing, behind) {
            return Ok(lease);
        }
        if let Some(opening) = pool.room.may_open() {
            break opening;
        }
        match times.wait(pool.room.changed()).await {
            Some(Ok(())) => {}
            Some(Err(failure)) => return Err(NoConnection::NotAttempted(failure)),
            // Report the connection limit: the request that opens the shared connection probably
            // waits for a permit, too.
            None if !pool.has_permits(sharing) => return Err(none_free(pool)),
            None => {
                let why = format_args!(
                    "the connection to {}, which another request opens, took longer than this request may wait",
                    pool.address
                );
                let failure = Failure::because(Kind::ConnectTimeout, &why);
                return Err(NoConnection::NotAttempted(failure));
            }
        }
    };
    let opened = connect_on(permit, pool, sharing, ends, times).await;
    if let Err(NoConnection::Failed(failure)) = &opened {
        opening.failed(failure);
        // Use a shared connection if one has become usable in the meantime.
        if let Some(lease) = pool.share(sharing, behind) {
            return Ok(lease);
        }
    }
    opened
}

/// Waits for a permit and opens a connection that is ready for HTTP, or takes a connection that
/// returns to the pool meanwhile.
async fn connect_on(
    permit: impl Future<Output = Acquired>,
    pool: &Rc<Pool>,
    sharing: Sharing,
    ends: Ends,
    times: &Times<'_>,
) -> Result<Lease, NoConnection> {
    let (permit, waited, counted) = match times.wait(permit).await {
        Some(Acquired::New {
            permit,
            waited,
            counted,
        }) => (permit, waited, counted),
        Some(Acquired::Kept(lease)) => return Ok(lease),
        None => return Err(none_free(pool)),
    };
    let NewConnection {
        socket,
        http2,
        round,
    } = open_on(permit, waited, pool, ends, pool.offer(), times).await?;
    pool.agreed(http2);
    if !http2 {
        return Ok(pool.alone(socket, round));
    }
    let scheme = match pool.tls {
        Some(_) => Scheme::HTTPS,
        None => Scheme::HTTP,
    };
    let bounds = http2::Bounds {
        scheme,
        streams: pool.streams(),
        head_bytes_max: pool.head_bytes_max(),
        room: Rc::clone(&pool.room),
        counted,
        memory: Arc::clone(&pool.memory),
    };
    let connection = http2::Connection::open(socket, bounds, &pool.gauge).await;
    let connection = connection
        .map_err(|error| NoConnection::Failed(Failure::because(Kind::ConnectFailed, &error)))?;
    Ok(pool.shared(connection, sharing, round))
}

fn none_free(pool: &Pool) -> NoConnection {
    let most = pool.connections_max();
    let why = format_args!(
        "all {most} connections of the upstream (`limits.connections`) were in use during the request's `timeout`"
    );
    NoConnection::NotAttempted(Failure::because(Kind::Overflow, &why))
}

/// Opens a connection to a host. Only this request uses the connection.
pub(crate) async fn open(
    pool: &Rc<Pool>,
    ends: Ends,
    offer: Offer,
    times: &Times<'_>,
) -> Result<NewConnection, NoConnection> {
    match times
        .wait(pool.permit(Acceptable::Own, Sharing::Exclusive))
        .await
    {
        Some(Acquired::New { permit, waited, .. }) => {
            open_on(permit, waited, pool, ends, offer, times).await
        }
        Some(Acquired::Kept(_)) | None => Err(none_free(pool)),
    }
}

/// Opens a connection with a permit. The connect timeout begins now; it is limited by the request's
/// remaining time.
async fn open_on(
    permit: ConnectionPermit,
    waited: bool,
    pool: &Pool,
    ends: Ends,
    offer: Offer,
    times: &Times<'_>,
) -> Result<NewConnection, NoConnection> {
    let dialled = dial(Dial {
        address: &pool.address,
        name: &pool.name,
        tls: pool.tls.as_deref(),
        offer,
        purpose: Purpose::Request,
        header: pool.proxy.map(|version| header(version, Some(ends))),
    });
    let now_ns = times.clock.now_ns();
    times.dialled_ns.set(Some(now_ns));
    let now_ms = now_ns / 1_000_000;
    let left_ms = times.until_ms.saturating_sub(now_ms);
    times.deadline.set(now_ms + times.connect_ms.min(left_ms));
    match in_time(times.deadline, dialled).await {
        Some(Ok(mut opened)) => {
            let duration_ns = times.clock.now_ns().saturating_sub(now_ns);
            pool.gauge.opened.observe(duration_ns);
            opened.socket.hold_permit(permit);
            Ok(opened)
        }
        Some(Err(failure)) if failure.kind == Kind::Overflow => {
            Err(NoConnection::NotAttempted(failure))
        }
        Some(Err(failure)) => Err(NoConnection::Failed(failure)),
        None if left_ms >= times.connect_ms => {
            let why = format_args!(
                "connecting to {} took longer than {} ms (`timeouts.connect`)",
                pool.address, times.connect_ms
            );
            Err(NoConnection::Failed(Failure::because(
                Kind::ConnectTimeout,
                &why,
            )))
        }
        None => {
            let why = format_args!(
                "connecting to {} took longer than the {left_ms} ms that the request had left (`timeout`)",
                pool.address
            );
            // The timeout is no failure of the host if the request had waited for a permit, or if
            // little time was left for the attempt.
            let counts = left_ms >= COUNTED_ATTEMPT_MS.min(times.connect_ms / 2);
            Err(match waited {
                true => NoConnection::NotAttempted(Failure::because(Kind::Overflow, &why)),
                false if counts => {
                    NoConnection::Expired(Failure::because(Kind::ConnectTimeout, &why))
                }
                false => NoConnection::NotAttempted(Failure::because(Kind::ConnectTimeout, &why)),
            })
        }
    }
}

/// Opens a connection to a host, with TLS if it is configured. The caller limits the time.
pub(crate) async fn dial(to: Dial<'_>) -> Result<NewConnection, Failure> {
    let Dial {
        address,
        name,
        tls,
        offer,
        purpose,
        header,
    } = to;
    let none_left = || {
        let why = "no file descriptors are left for upstreams; raise LimitNOFILE";
        Failure::because(Kind::Overflow, &why)
    };
    let not_reached = |error: io::Error| {
        let why = format!("connecting to {address}: {error}");
        Failure::because(Kind::ConnectFailed, &why)
    };
    let plain = |wire: Wire| NewConnection {
        socket: wire.into(),
        // Without TLS there is no negotiation, so that HTTP/2 requires prior knowledge.
        http2: offer == Offer::Http2,
        round: 0,
    };
    let mut stream = match address {
        Address::Unix(path) => {
            let mut stream = UnixStream::connect(path).await.map_err(not_reached)?;
            if purpose == Purpose::Request && descriptors::is_of_reserve(&stream) {
                return Err(none_left());
            }
            send_proxy_header(&mut stream, header)
                .await
                .map_err(not_reached)?;
            return Ok(plain(Wire::Unix(stream)));
        }
        Address::Inet(address) => match purpose {
            Purpose::Request => {
                let socket = descriptors::socket(*address).ok_or_else(none_left)?;
                socket.connect(*address).await
            }
            Purpose::Check => TcpStream::connect(address).await,
        }
        .map_err(not_reached)?,
    };
    // Disable Nagle's algorithm, which would delay small requests. Ignore an error: without the
    // option, requests are only delayed.
    let _delayed = stream.set_nodelay(true);
    send_proxy_header(&mut stream, header)
        .await
        .map_err(not_reached)?;
    let Some(tls) = tls else {
        return Ok(plain(Wire::Tcp(stream)));
    };
    let connected = tls.connect(name, offer, stream).await;
    let TlsConnection {
        stream,
        http2,
        round,
    } = connected.map_err(|error| Failure::of_handshake(address, &error))?;
    if offer == Offer::Http2 && !http2 {
        // RFC 9113 §3.2: over TLS, HTTP/2 must be negotiated.
        let why = format!("TLS with {address}: the host did not select HTTP/2 (ALPN)");
        return Err(Failure::because(Kind::TlsProtocol, &why));
    }
    Ok(NewConnection {
        socket: Wire::Tls(stream).into(),
        http2,
        round,
    })
}

/// Sends the PROXY header, if there is one.
async fn send_proxy_header(
    stream: &mut (impl AsyncWrite + Unpin),
    header: Option<Vec<u8>>,
) -> io::Result<()> {
    match header {
        None => Ok(()),
        Some(header) => stream.write_all(&header).await,
    }
}

// === impl Times ===

impl Times<'_> {
    /// Waits for `awaited`. `None` if the request's deadline passes first.
    async fn wait<T>(&self, awaited: impl Future<Output = T>) -> Option<T> {
        self.deadline.set(self.until_ms);
        in_time(self.deadline, awaited).await
    }
}

// === impl NoConnection ===

impl From<NoConnection> for Failure {
    fn from(missed: NoConnection) -> Self {
        let (NoConnection::Failed(failure)
        | NoConnection::Expired(failure)
        | NoConnection::NotAttempted(failure)) = missed;
        failure
    }
}
