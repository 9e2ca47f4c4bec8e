//! Forwarding of a request that its chain admits: mirror copies, the upstream, and its response.

use std::pin::pin;

use engine::RouteRef;
use engine::forward::Origin;
use http_body::Body as _;
use policy::RequestHead;
use policy::validation::Mode;

use crate::effects::mirror::{self, MirroredRequest};
use crate::message::failure::{Failure, Kind};
use crate::message::hashed::Hashed;
use crate::message::incoming::Incoming;
use crate::message::scanned::Scanned;
use crate::message::websocket::Handshake;
use crate::proxy::forwarding::Forwarding;
use crate::proxy::grpc::is_grpc;
use crate::proxy::outgoing::OutgoingResponse;
use crate::proxy::record::Record;
use crate::proxy::{processed, respond, validated};
use crate::runtime::deadlines::{LimitOf, within_limit};
use crate::upstream::call_trace::CallTrace;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::send::send;
use crate::upstream::upgrade::{Upgrade, upgrade};

/// Sends the request to its upstream and returns the response, or the response to a failure.
pub(super) async fn forward(
    forwarding: &Forwarding<'_, '_>,
    head: &mut RequestHead,
    mut body: Incoming,
    handshake: Option<Handshake>,
    record: &mut Record,
) -> OutgoingResponse {
    let Forwarding {
        stream,
        decided,
        cx,
        request_id,
        ..
    } = forwarding;
    let route = decided
        .route
        .as_ref()
        .expect("a forwarded request has a route");
    let is_websocket = route.treatment.websocket;
    if !cx.scans.is_empty() {
        body = Scanned::of(body, &cx.scans, &head.headers, &stream.transfer);
    }
    if let Some(content) = cx.content {
        match Hashed::of(body, content) {
            Ok(hashed) => body = hashed,
            Err(_) => {
                let failure = Failure::new(Kind::ContentDigest);
                return respond::failed(&failure, request_id, record);
            }
        }
    }
    let has_content = !body.is_end_stream();
    let fault = handshake
        .as_ref()
        .and_then(|handshake| handshake.fault(is_websocket, has_content));
    if let Some(reject) = fault {
        return respond::not_upgraded(reject, request_id, record);
    }
    forwarding.set_limits(route, head, &body, record);
    let origin = forwarding.origin();
    // A WebSocket tunnel has no body to mirror.
    let handshake = handshake.filter(|_| is_websocket);
    if handshake.is_none() {
        let trace = record.call().trace.as_ref();
        forwarding.copy(route, (head, &body), &origin, trace);
    }
    // Use the rewritten method from here on: retries depend on the method that the upstream gets.
    let rewritten = cx.rewritten.as_ref();
    if let Some(method) = rewritten.and_then(|one| one.method.clone()) {
        head.method = method;
    }
    let leases = std::mem::take(&mut record.leases);
    let called = {
        let exchanged = (head, body);
        let call = pin!(forwarding.call(route, &origin, exchanged, handshake, (record, &leases)));
        within_limit(&stream.transfer.deadline, call).await
    };
    record.leases = leases;
    match called {
        Ok(Ok(made)) => made,
        Ok(Err(failure)) => respond::failed(&failure, request_id, record),
        Err(LimitOf::Credential) => {
            stream.transfer.deadline.no_limit();
            respond::credential_expired(route, request_id, record)
        }
        Err(LimitOf::Client | LimitOf::Operation) => {
            respond::failed(&stream.limit_failure(), request_id, record)
        }
    }
}

impl Forwarding<'_, '_> {
    /// Sends the request to the upstream and returns its response, or the WebSocket tunnel.
    async fn call(
        &self,
        route: &RouteRef<'_>,
        origin: &Origin,
        (head, mut body): (&mut RequestHead, Incoming),
        handshake: Option<Handshake>,
        (record, leases): (&mut Record, &policy::ConcurrencyPermits),
    ) -> Result<OutgoingResponse, Failure> {
        let (snapshot, worker) = (self.version.snapshot(), &self.stream.worker);
        let upstream = self.decided.upstream(snapshot, self.cx);
        let upstream = upstream.unwrap_or(route.treatment.upstream);
        let service = self.version.view.service(worker, upstream);
        let out = Outgoing {
            calls: worker.calls(),
            transfer: &self.stream.transfer,
            route,
            upstream: &snapshot.upstreams()[upstream as usize],
            service: &service,
            origin,
            cx: self.cx,
            leases,
            ends: self.stream.ends(self.cx.client),
        };
        if let Some(handshake) = handshake {
            let upgraded = Box::pin(upgrade(&out, head, handshake, record.call())).await;
            record.upstream_answered();
            return match upgraded? {
                Upgrade::Switched(switched) => Ok(respond::switched(switched)),
                Upgrade::Declined(answered) => respond::forwarded(*answered),
            };
        }
        if body.size_hint().lower() > out.transfer.upload.bytes_max() {
            return Err(Failure::new(Kind::TooLarge));
        }
        // A client that already sends its body does not wait for 100 (Continue) (RFC 9110
        // §10.1.1).
        let waits = self.expects_continue && !body.has_begun();
        let validation = route.treatment.response_validation.as_ref();
        let validation = validation.map(|one| (one, validated::mode(self, one)));
        let validation = validation.filter(|(_, mode)| *mode != Mode::Off);
        if validation.is_some() {
            validated::prepare(&mut head.headers);
        }
        let answered = send(&out, head, body, waits, record.call()).await;
        record.upstream_answered();
        let mut answered = answered?;
        let length = || answered.response.body().size_hint().lower();
        if self.stream.response.is_limited() && self.stream.response.is_too_long(length()) {
            return Err(Failure::new(Kind::ResponseTooLarge));
        }
        // Do not validate gRPC messages: an OpenAPI document does not describe them. The client
        // chooses the request's media type, so check the media type of the response as well.
        let is_grpc = out.transfer.is_grpc.get() && is_grpc(answered.response.headers());
        if let Some((validation, mode)) = validation.filter(|_| !is_grpc) {
            let subject = (route, validation, mode);
            let check = validated::response(self, subject, &head.method, answered, record);
            // The future is boxed, because few responses are validated.
            answered = Box::pin(check).await?;
        }
        let made = respond::forwarded(answered)?;
        match self.processors.is_empty() {
            true => Ok(made),
            // The future is boxed, because few responses are processed.
            false => Box::pin(processed::response(self, made, record)).await,
        }
    }

    /// Sets the operation's limits on the bodies of request and response, and announces trailers of
    /// the request.
    fn set_limits(
        &self,
        route: &RouteRef<'_>,
        head: &mut RequestHead,
        body: &Incoming,
        record: &Record,
    ) {
        let (transfer, treatment) = (&self.stream.transfer, route.treatment);
        let limits = self.cx.body_limits;
        transfer.upload.limit(
            treatment
                .max_body_bytes
                .unwrap_or(u64::MAX)
                .min(limits.request),
        );
        self.stream.response.limit(limits.response);
        // Announce trailers only if the body can have them: over HTTP/1, a body of known length
        // cannot.
        let is_open = record.is_http2() || body.size_hint().exact().is_none();
        if !body.is_end_stream() && is_open {
            let withheld = treatment.fields_not_in_trailers();
            engine::edge::announce(&mut head.headers, withheld);
            transfer.upload.withhold(withheld);
        }
        let withheld = treatment.response_fields_not_in_trailers();
        self.stream.response.withhold(withheld);
        transfer.endless.set(treatment.stream);
        if treatment.closes_streams
            && let Some(ends_s) = self.cx.admitting_credentials.ends_s()
        {
            let left_ms = ends_s.saturating_mul(1_000);
            let left_ms = left_ms.saturating_sub(record.unix_ms());
            let started_ms = record.started_ns() / 1_000_000;
            let ends_ms = started_ms.saturating_add(left_ms);
            transfer.ends_with_credential(ends_ms, !body.is_end_stream());
        }
    }

    /// Data about the client's connection that upstreams get in request fields.
    fn origin(&self) -> Origin {
        let fields = self.version.rules().certificate_fields;
        Origin {
            hop: self.stream.hop(self.authority),
            version: self.http_version,
            request_id: self.request_id.clone(),
            certificate: self.stream.certificate(fields),
        }
    }

    /// Begins the mirror copies of the request. Copies of a request without a body are sent at
    /// once.
    fn copy(
        &self,
        route: &RouteRef<'_>,
        (head, body): (&RequestHead, &Incoming),
        origin: &Origin,
        trace: Option<&CallTrace>,
    ) {
        let copies = match self.cx.mirrors.is_empty() {
            true => None,
            false => mirror::begin(&MirroredRequest {
                worker: &self.stream.worker,
                view: &self.version.view,
                route,
                origin,
                cx: self.cx,
                head,
                length: body.size_hint().exact(),
                ends: self.stream.ends(self.cx.client),
                trace,
            }),
        };
        match copies {
            Some(copies) if body.is_end_stream() => copies.send(),
            // Also set `None`, so that no copies of the connection's previous request remain.
            copies => self.stream.transfer.upload.copy_to(copies),
        }
    }
}
