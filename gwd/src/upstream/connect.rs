//! Opening a connection to a target.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;

use http::uri::Scheme;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::deadlines::Slot;
use crate::descriptors;
use crate::proxy::failure::{Failure, Kind};
use crate::proxy::io::{UpstreamSocket, Wire};
use crate::tls::connector::{Connected, Connector, Offer};
use crate::upstream::address::Address;
use crate::upstream::connections::Seat;
use crate::upstream::http2;
use crate::upstream::pool::queue::{Seated, Wish};
use crate::upstream::pool::{Lease, Pool};
use crate::upstream::proxy_header::{Ends, header};

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Requests, to which the last descriptors are not given.
    Request,
    /// A question of the gateway's own.
    Check,
}

/// A connection that is to be opened.
pub(crate) struct Dial<'a> {
    pub(crate) address: &'a Address,
    /// The host's, for TLS.
    pub(crate) name: &'a str,
    /// None in the clear.
    pub(crate) tls: Option<&'a Connector>,
    pub(crate) offer: Offer,
    pub(crate) purpose: Purpose,
    /// What is said before all else.
    pub(crate) header: Option<Vec<u8>>,
}

/// A connection that has just been opened.
pub(crate) struct Opened {
    pub(crate) socket: UpstreamSocket,
    /// HTTP/2 was agreed on, or known before.
    pub(crate) http2: bool,
    /// Of the TLS around it, in which it was opened.
    pub(crate) round: u64,
}

/// Opens a connection to a host and speaks on it what the upstream speaks. Where the upstream has
/// as many as it may, one that comes back meanwhile is as good.
pub(crate) async fn connect(
    pool: &Rc<Pool>,
    ends: Ends,
    deadline: &Slot,
) -> Result<Lease, Failure> {
    // One that others can use is opened once, and all that wait use it.
    let mut opening = None;
    while opening.is_none() && pool.shares() {
        if let Some(lease) = pool.share() {
            return Ok(lease);
        }
        opening = pool.may_open();
        if opening.is_none() && in_time(deadline, pool.opened()).await.is_none() {
            // Whoever opens one may stand in the queue for it: that is no sign of the host.
            return Err(match pool.has_seats() {
                true => too_long(&"waiting for a connection"),
                false => none_free(pool),
            });
        }
    }
    let seat = match in_time(deadline, pool.seat(Wish::Any)).await {
        Some(Seated::New(seat)) => seat,
        Some(Seated::Kept(lease)) => return Ok(lease),
        None => return Err(none_free(pool)),
    };
    let Opened {
        socket,
        http2,
        round,
    } = open_on(seat, pool, ends, pool.offer(), deadline).await?;
    pool.agreed(http2);
    let lease = match http2 {
        false => pool.alone(socket, round),
        true => {
            let scheme = match pool.tls {
                Some(_) => Scheme::HTTPS,
                None => Scheme::HTTP,
            };
            let bounds = http2::Bounds {
                scheme,
                streams: pool.streams(),
                head_bytes_max: pool.head_bytes_max(),
            };
            let connection = http2::Connection::open(socket, bounds, &pool.gauge).await;
            let connection =
                connection.map_err(|error| Failure::because(Kind::ConnectFailed, &error))?;
            pool.shared(connection, round)
        }
    };
    drop(opening);
    Ok(lease)
}

fn too_long(what: &dyn fmt::Display) -> Failure {
    Failure::because(Kind::ConnectTimeout, &format_args!("{what} took too long"))
}

fn none_free(pool: &Pool) -> Failure {
    let most = pool.connections_max();
    let why = format_args!(
        "the upstream has its {most} connections (`limits.connections`), and none became free"
    );
    Failure::because(Kind::Overflow, &why)
}

/// Opens a connection to a host. The deadline is the caller's; it is watched here.
pub(crate) async fn open(
    pool: &Rc<Pool>,
    ends: Ends,
    offer: Offer,
    deadline: &Slot,
) -> Result<Opened, Failure> {
    match in_time(deadline, pool.seat(Wish::New)).await {
        Some(Seated::New(seat)) => open_on(seat, pool, ends, offer, deadline).await,
        Some(Seated::Kept(_)) | None => Err(none_free(pool)),
    }
}

/// Opens the connection of a seat.
async fn open_on(
    seat: Seat,
    pool: &Pool,
    ends: Ends,
    offer: Offer,
    deadline: &Slot,
) -> Result<Opened, Failure> {
    let dialled = dial(Dial {
        address: &pool.address,
        name: &pool.name,
        tls: pool.tls.as_deref(),
        offer,
        purpose: Purpose::Request,
        header: pool.proxy.map(|version| header(version, Some(ends))),
    });
    let opened = in_time(deadline, dialled).await;
    let opened =
        opened.unwrap_or_else(|| Err(too_long(&format_args!("connecting to {}", pool.address))));
    let mut opened = opened?;
    opened.socket.sit(seat);
    Ok(opened)
}

/// Opens a connection to a host, over TLS to its name where there is any. The caller bounds the
/// time.
pub(crate) async fn dial(to: Dial<'_>) -> Result<Opened, Failure> {
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
    let plain = |wire: Wire| Opened {
        socket: wire.into(),
        // In the clear nothing is agreed on: HTTP/2 is known before, or not spoken.
        http2: offer == Offer::Http2,
        round: 0,
    };
    let mut stream = match address {
        Address::Unix(path) => {
            let mut stream = UnixStream::connect(path).await.map_err(not_reached)?;
            if purpose == Purpose::Request && descriptors::is_of_reserve(&stream) {
                return Err(none_left());
            }
            tell(&mut stream, header).await.map_err(not_reached)?;
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
    // Without it small requests may wait for an acknowledgement; a failure only costs that.
    let _delayed = stream.set_nodelay(true);
    tell(&mut stream, header).await.map_err(not_reached)?;
    let Some(tls) = tls else {
        return Ok(plain(Wire::Tcp(stream)));
    };
    let connected = tls.connect(name, offer, stream).await;
    let Connected {
        stream,
        http2,
        round,
    } = connected.map_err(|error| Failure::of_handshake(address, &error))?;
    if offer == Offer::Http2 && !http2 {
        // RFC 9113 §3.2: over TLS it is agreed on, or not spoken.
        let why = format!("TLS with {address}: HTTP/2 was not agreed on (ALPN)");
        return Err(Failure::because(Kind::TlsProtocol, &why));
    }
    Ok(Opened {
        socket: Wire::Tls(stream).into(),
        http2,
        round,
    })
}

/// Says whose a connection is.
async fn tell(stream: &mut (impl AsyncWrite + Unpin), header: Option<Vec<u8>>) -> io::Result<()> {
    match header {
        None => Ok(()),
        Some(header) => stream.write_all(&header).await,
    }
}

/// A future's result, or none where the deadline passes first. The deadline's owner is the task
/// that polls this, so that it is woken.
pub(crate) async fn in_time<T>(deadline: &Slot, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(cx) {
            return std::task::Poll::Ready(Some(value));
        }
        if deadline.expired() {
            return std::task::Poll::Ready(None);
        }
        std::task::Poll::Pending
    })
    .await
}
