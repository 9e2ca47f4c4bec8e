//! A WebSocket handshake with an upstream (RFC 6455 §4): on a connection of its own, which is
//! the tunnel afterwards. An upstream that declines has answered a plain request.

use bytes::Bytes;
use engine::forward;
use http::{HeaderMap, Request, StatusCode, Uri};

use crate::proxy::body::RequestBody;
use crate::proxy::failure::{Failure, Kind};
use crate::proxy::io::UpstreamSocket;
use crate::proxy::record::Record;
use crate::proxy::websocket::Handshake;
use crate::upstream::connect::{in_time, open};
use crate::upstream::http1;
use crate::upstream::send::{Answered, Outgoing, admit, affinity, judge_connect};
use crate::upstream::transport::{Call, Transport};
use crate::upstream::{Held, Looking, Tried};

/// What became of the wish.
pub(crate) enum Upgrade {
    /// The upstream speaks WebSocket now.
    Switched(Box<Switched>),
    /// It has answered something else.
    Declined(Box<Answered>),
}

/// A connection that speaks WebSocket.
pub(crate) struct Switched {
    pub(crate) headers: HeaderMap,
    pub(crate) socket: UpstreamSocket,
    /// What came behind the head.
    pub(crate) early: Bytes,
    pub(crate) handshake: Handshake,
    /// What is given back when the tunnel ends.
    pub(crate) held: Held,
}

/// Asks an upstream to switch.
pub(crate) async fn upgrade(
    out: Outgoing<'_, '_>,
    handshake: Handshake,
    record: &mut Record,
) -> Result<Upgrade, Failure> {
    let in_flight = admit(&out)?;
    let (socket, target) = connect(&out, record).await?;
    let mut held = Held::busy(out.service.set.hosts[target].busy());
    held.in_flight = Some(in_flight);
    let Outgoing {
        stream,
        route,
        upstream,
        service,
        origin,
        cx,
        mut head,
        ..
    } = out;
    let to = &service.set.endpoints[target].target;
    forward::prepare(&mut head, route, upstream, to, origin, cx);
    let expected = handshake.prepare(&mut head.headers, stream.worker.random.bytes());
    let mut request = Request::new(RequestBody::Empty);
    *request.uri_mut() = Uri::from(head.target);
    *request.headers_mut() = head.headers;

    let began_ms = record.upstream_begins();
    stream.deadline.set(began_ms + route.treatment.timeout_ms);
    let connection = Transport::Http1(http1::Connection::new(socket));
    let mut lease = service.pools[target].lease(connection);
    let response = in_time(&stream.deadline, lease.call(Call::Whole(request), None))
        .await
        .ok_or(Failure::new(Kind::Timeout))?
        .map_err(|refused| Failure::of(&refused.error))?;
    record.upstream_head(response.status());
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        lease.held = Some(held);
        return Ok(Upgrade::Declined(Box::new(Answered {
            response,
            lease,
            progress: None,
        })));
    }
    let (head, body) = response.into_parts();
    if !expected.is_met(&head.headers) {
        return Err(Failure::because(
            Kind::Protocol,
            &"the upstream's answer to the WebSocket handshake is not the one that belongs to it",
        ));
    }
    let (socket, early) = body.into_switched().ok_or(Failure::new(Kind::Reset))?;
    Ok(Upgrade::Switched(Box::new(Switched {
        headers: head.headers,
        socket,
        early,
        handshake,
        held,
    })))
}

/// A new connection; targets that cannot be reached are passed over.
async fn connect(
    out: &Outgoing<'_, '_>,
    record: &mut Record,
) -> Result<(UpstreamSocket, usize), Failure> {
    let (service, upstream) = (out.service, out.upstream);
    let affinity = affinity(out);
    let mut tried = Tried::default();
    let mut last = None;
    while !tried.is_full() {
        let now_ms = out.stream.worker.shared.clock.now_ms();
        let looking = Looking {
            upstream,
            affinity: &affinity,
            tried: &tried,
            random: &out.stream.worker.random,
            now_ms,
        };
        let Some(target) = service.choose(&looking) else {
            break;
        };
        let pool = &service.pools[target];
        record.upstream_tried(&service.set.endpoints[target]);
        record.connect_begins();
        let waits = service.common.state.wait(upstream.limits.pending);
        let _waits = waits.ok_or(Failure::new(Kind::Overflow))?;
        out.stream.deadline.set(now_ms + service.connect_timeout_ms);
        let opened = open(pool, &out.stream.deadline).await;
        record.connect_ends();
        judge_connect(service, upstream, target, &opened, out.stream, now_ms);
        match opened {
            Ok(socket) => return Ok((socket, target)),
            Err(failure) => last = Some(failure),
        }
        tried.add(target);
    }
    Err(last.unwrap_or_else(|| service.nobody()))
}
