//! Opening a connection to a target.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use bundle::ir::UpstreamProtocol;

use crate::deadlines::Slot;
use crate::descriptors;
use crate::proxy::failure::{Failure, Kind};
use crate::proxy::io::UpstreamSocket;
use crate::upstream::pool::{Lease, Pool};
use crate::upstream::transport::Transport;
use crate::upstream::{http1, http2};

/// Opens a connection to a host and speaks on it what the upstream speaks.
pub(crate) async fn connect(pool: &Rc<Pool>, deadline: &Slot) -> Result<Lease, Failure> {
    match pool.protocol {
        UpstreamProtocol::H1 => {
            let socket = open(pool, deadline).await?;
            Ok(pool.lease(Transport::Http1(http1::Connection::new(socket))))
        }
        UpstreamProtocol::H2c => share(pool, deadline).await,
    }
}

/// A connection of HTTP/2. One at a time is opened, and all that wait use it.
async fn share(pool: &Rc<Pool>, deadline: &Slot) -> Result<Lease, Failure> {
    let opening = loop {
        if let Some(lease) = pool.share() {
            return Ok(lease);
        }
        if let Some(opening) = pool.may_open() {
            break opening;
        }
        if in_time(deadline, pool.opened()).await.is_none() {
            return Err(too_long(&"waiting for a connection"));
        }
    };
    let socket = open(pool, deadline).await?;
    let connection = http2::Connection::open(socket, pool.streams(), &pool.gauge).await;
    let connection = connection.map_err(|error| Failure::because(Kind::ConnectFailed, &error))?;
    Ok(opening.opened(connection))
}

fn too_long(what: &dyn std::fmt::Display) -> Failure {
    Failure::because(Kind::ConnectTimeout, &format_args!("{what} took too long"))
}

/// Opens a connection to a host, for HTTP/1.1. The deadline is the caller's; it is watched here.
pub(crate) async fn open(pool: &Rc<Pool>, deadline: &Slot) -> Result<UpstreamSocket, Failure> {
    let address = pool.address;
    let Some(socket) = descriptors::socket(address) else {
        return Err(Failure::because(
            Kind::Overflow,
            &"no file descriptors are left for upstreams; raise LimitNOFILE",
        ));
    };
    match in_time(deadline, socket.connect(address)).await {
        None => Err(too_long(&format_args!("connecting to {address}"))),
        Some(Err(error)) => Err(Failure::because(
            Kind::ConnectFailed,
            &format_args!("connecting to {address}: {error}"),
        )),
        Some(Ok(stream)) => {
            // Without it small requests may wait for an acknowledgement; a failure only costs
            // that.
            let _delayed = stream.set_nodelay(true);
            Ok(UpstreamSocket(stream))
        }
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
