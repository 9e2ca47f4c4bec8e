//! WebSocket handshakes with an upstream: an upgrade on a connection of its own (RFC 6455 §4), or
//! an extended CONNECT on a shared HTTP/2 connection (RFC 8441). The connection or stream then
//! becomes the tunnel. If the upstream declines, its response is forwarded like any other response.

use std::cell::Cell;

use bundle::ir::UpstreamProtocol;
use bytes::Bytes;
use engine::forward::{self, Outbound};
use h2::ext::Protocol;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use policy::{AdmittingCredentials, RequestHead};

use crate::message::body::RequestBody;
use crate::message::failure::{Failure, Kind};
use crate::message::sends::Sends;
use crate::message::websocket::Handshake;
use crate::runtime::deadlines::in_time;
use crate::tls::connector::Offer;
use crate::upstream::admission::{admit_client, charge, report_connect};
use crate::upstream::call::Call;
use crate::upstream::call_record::CallRecord;
use crate::upstream::connect::{NewConnection, Times, connect, open};
use crate::upstream::http2;
use crate::upstream::http2::Answer;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::permits::ExchangePermits;
use crate::upstream::pool::Lease;
use crate::upstream::send::Answered;
use crate::upstream::service::TargetSelection;
use crate::upstream::sharing::Acceptable;
use crate::upstream::socket::UpstreamSocket;
use crate::upstream::transport::{self, Incoming};
use crate::upstream::tried_targets::TriedTargets;

/// Reason of a failure: the response accepts the handshake, but violates the protocol.
const INVALID: &str = "the upstream's response to the WebSocket handshake is not valid";
/// Reason of a failure: the upstream answers an extended CONNECT with a 2xx status and no tunnel.
const DECLINED: &str = "the upstream answered the WebSocket handshake with 2xx and did not switch";

/// Outcome of an upgrade request.
pub(crate) enum Upgrade {
    /// The upstream has switched to WebSocket.
    Switched(Box<Switched>),
    /// The upstream has sent another response.
    Declined(Box<Answered>),
}

/// Connection or stream to the upstream that carries a tunnel.
pub(crate) enum Carrier {
    /// HTTP/1 connection that carries only this tunnel.
    Socket(UpstreamSocket),
    /// Stream of an HTTP/2 connection.
    Stream(http2::Tunnel),
}

/// Result of a successful handshake with an upstream.
pub(crate) struct Switched {
    pub(crate) headers: HeaderMap,
    pub(crate) carrier: Carrier,
    /// Bytes that followed the response head.
    pub(crate) early: Bytes,
    pub(crate) handshake: Handshake,
    /// Credentials with which the client was admitted.
    pub(crate) shown: AdmittingCredentials,
    /// Permits that are returned when the tunnel ends.
    pub(crate) permits: ExchangePermits,
}

/// Handshake with a target of an upstream.
struct UpgradeHandshake<'a, 's> {
    out: &'a Outgoing<'a, 's>,
    head: &'a RequestHead,
    target: usize,
    handshake: Handshake,
    permits: ExchangePermits,
}

/// Connection to an upstream on which a handshake is made.
enum HandshakeConnection {
    Alone(NewConnection),
    Shared(Lease),
}

/// Performs the handshake with an upstream.
pub(crate) async fn upgrade(
    out: &Outgoing<'_, '_>,
    head: &RequestHead,
    handshake: Handshake,
    record: &mut CallRecord,
) -> Result<Upgrade, Failure> {
    let in_flight = admit_client(out.upstream, out.service, out.cx.client, out.calls)?;
    let (connection, target) = find(out, head, record).await?;
    let mut permits = ExchangePermits::busy(out.service.set.hosts[target].busy());
    permits.in_flight = Some(in_flight);
    let began_ms = record.begins(out.calls.clock.now_ns());
    let timeout_ms = out.route.treatment.timeout_ms;
    out.transfer.deadline.set(began_ms + timeout_ms);
    let handshake = UpgradeHandshake {
        out,
        head,
        target,
        handshake,
        permits,
    };
    match connection {
        HandshakeConnection::Alone(opened) => handshake.over_http1(opened, record).await,
        HandshakeConnection::Shared(lease) => handshake.over_http2(lease, record).await,
    }
}

impl UpgradeHandshake<'_, '_> {
    /// Sends an upgrade. If it succeeds, the connection becomes the tunnel.
    async fn over_http1(
        self,
        opened: NewConnection,
        record: &mut CallRecord,
    ) -> Result<Upgrade, Failure> {
        let mut head = self.prepare(record);
        let (calls, deadline) = (self.out.calls, &self.out.transfer.deadline);
        let random = calls.random.bytes();
        let expected = self.handshake.prepare(&mut head.headers, random);
        let mut lease = self.out.service.pools[self.target].alone(opened.socket, opened.round);
        let call = Call {
            head: &mut Outbound::whole(&head),
            body: RequestBody::Empty,
            fields: HeaderMap::new(),
            client: Some(self.out.cx.client),
        };
        let response = in_time(deadline, lease.begin(call).answer(None))
            .await
            .ok_or(Failure::new(Kind::Timeout))?
            .map_err(|refused| refused.error.failure())?;
        record.head(response.status(), self.out.calls.clock.now_ns());
        // For an extended CONNECT of the client, a 2xx status would mean that the tunnel exists
        // (RFC 8441 §5).
        if self.handshake.is_http2() && response.status().is_success() {
            return Err(Failure::because(Kind::Protocol, &DECLINED));
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self.declined(response, lease));
        }
        let (head, body) = (*response).into_parts();
        if !expected.is_met(&head.headers) {
            return Err(Failure::because(Kind::Protocol, &INVALID));
        }
        let (socket, early) = body.into_switched().ok_or(Failure::new(Kind::Reset))?;
        Ok(self.switched(head.headers, Carrier::Socket(socket), early))
    }

    /// Sends an extended CONNECT. If it succeeds, the stream becomes the tunnel.
    async fn over_http2(
        mut self,
        mut lease: Lease,
        record: &mut CallRecord,
    ) -> Result<Upgrade, Failure> {
        let mut head = self.prepare(record);
        let expected = self.handshake.prepare_http2(&mut head.headers);
        let protocol = Protocol::from_static("websocket");
        let (deadline, client) = (&self.out.transfer.deadline, self.out.cx.client);
        let response = in_time(deadline, lease.tunnel(request(head), protocol, client))
            .await
            .ok_or(Failure::new(Kind::Timeout))?
            .map_err(|error| error.failure())?;
        record.head(response.status(), self.out.calls.clock.now_ns());
        let (mut head, answer) = response.into_parts();
        match answer {
            Answer::Tunnel(_) if !expected.is_offered(&head.headers) => {
                Err(Failure::because(Kind::Protocol, &INVALID))
            }
            Answer::Tunnel(stream) => {
                expected.confirm_handshake(&mut head.headers);
                self.permits.charge = lease.charge.take();
                Ok(self.switched(head.headers, Carrier::Stream(stream), Bytes::new()))
            }
            Answer::Invalid => Err(Failure::because(Kind::Protocol, &INVALID)),
            Answer::Declined(body) => {
                let body = Incoming::Http2(body);
                let response = Response::from_parts(head, body);
                Ok(self.declined(Box::new(response), lease))
            }
        }
    }

    /// Prepares the request head for a target.
    fn prepare(&self, record: &CallRecord) -> RequestHead {
        let mut head = self.head.clone();
        forward::prepare(&mut head, self.out.relay(self.target));
        if let Some(trace) = &record.trace {
            trace.insert_into(&mut head);
        }
        head
    }

    /// Rewrites the upstream's URLs in fields of the response, if `rewrite_responses` is
    /// configured.
    fn returned(&self, headers: &mut HeaderMap) {
        forward::returned(headers, self.head, self.out.relay(self.target));
    }

    fn switched(self, mut headers: HeaderMap, carrier: Carrier, early: Bytes) -> Upgrade {
        self.returned(&mut headers);
        Upgrade::Switched(Box::new(Switched {
            headers,
            carrier,
            early,
            handshake: self.handshake,
            shown: self.out.cx.admitting_credentials.clone(),
            permits: self.permits,
        }))
    }

    fn declined(self, mut response: transport::Answer, mut lease: Lease) -> Upgrade {
        self.returned(response.headers_mut());
        lease.permits = Some(self.permits);
        Upgrade::Declined(Box::new(Answered {
            response,
            lease,
            progress: None,
        }))
    }
}

fn request(head: RequestHead) -> Request<RequestBody> {
    let mut request = Request::new(RequestBody::Empty);
    *request.uri_mut() = Uri::from(head.target);
    *request.headers_mut() = head.headers;
    request
}

/// Gets a connection for the handshake: a shared connection with HTTP/2, otherwise a new
/// connection. Targets that cannot be reached are skipped.
async fn find(
    out: &Outgoing<'_, '_>,
    head: &RequestHead,
    record: &mut CallRecord,
) -> Result<(HandshakeConnection, usize), Failure> {
    let (service, upstream) = (out.service, out.upstream);
    let affinity = out.affinity(head);
    let mut tried = TriedTargets::default();
    let mut last = None;
    let began_ms = out.calls.clock.now_ms();
    let until_ms = began_ms.saturating_add(out.route.treatment.timeout_ms);
    while !tried.is_full() {
        let now_ms = out.calls.clock.now_ms();
        let looking = TargetSelection {
            upstream,
            affinity: &affinity,
            tried: &tried,
            random: &out.calls.random,
            now_ms,
        };
        let Some(target) = service.choose(&looking) else {
            break;
        };
        let pool = &service.pools[target];
        record.tried(&service.set.endpoints[target], out.calls);
        record.connect_begins(out.calls.clock.now_ns());
        let waits = service.common.state.wait(upstream.limits.pending);
        let _waits = waits.ok_or(Failure::new(Kind::Overflow))?;
        let times = Times {
            deadline: &out.transfer.deadline,
            clock: out.calls.clock,
            until_ms,
            connect_ms: service.connect_timeout_ms,
            dialled_ns: Cell::default(),
        };
        let opened = match upstream.protocol {
            // With `auto`, use HTTP/1.1: every WebSocket server supports it, but not necessarily
            // WebSocket over HTTP/2.
            UpstreamProtocol::H1 | UpstreamProtocol::Auto => {
                let opened = open(pool, out.ends, Offer::Http1, &times).await;
                opened.map(HandshakeConnection::Alone)
            }
            UpstreamProtocol::H2 | UpstreamProtocol::H2c => {
                let sharing = pool.sharing(head, Sends::Pieces, Some(out.cx.client));
                let charge = charge(pool, sharing, Some(out.cx.client), out.calls)?;
                let acceptable = (Acceptable::Any, sharing);
                let opened = connect(pool, acceptable, out.ends, &times).await;
                opened.map(|mut lease| {
                    lease.charge = charge;
                    HandshakeConnection::Shared(lease)
                })
            }
        };
        record.connect_ends(out.calls.clock.now_ns(), times.dialled_ns.get());
        report_connect(service, upstream, target, &opened, out.calls);
        match opened {
            Ok(connection) => return Ok((connection, target)),
            Err(missed) => {
                let failure = Failure::from(missed);
                record.attempt_ended(Err(failure.reason()), || out.calls.clock.now_ns());
                last = Some(failure);
            }
        }
        tried.add(target);
    }
    Err(last.unwrap_or_else(|| service.no_target_failure()))
}
