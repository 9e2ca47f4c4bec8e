//! One exchange, from the request head to the last byte of the response. A good place to start
//! reading gwd.
//!
//! The edge checks the head, the routing table finds the route, the route's chain decides, the
//! upstream responds, and the response phase of the chain runs. The body is streamed after that,
//! and the access record is written at its end. The whole exchange uses the snapshot of the
//! configuration that was current at its beginning.

use std::rc::Rc;
use std::sync::Arc;

use engine::forward::Origin;
use engine::{Verdict, decide, edge, finish};
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use policy::{Cx, Reject, ResponseHead};

use crate::proxy::body::ResponseBody;
use crate::proxy::failure::{Failure, Kind};
use crate::proxy::grpc;
use crate::proxy::incoming::Incoming;
use crate::proxy::record::Record;
use crate::proxy::respond::{self, Made};
use crate::proxy::stream::Stream;
use crate::proxy::websocket::Handshake;
use crate::telemetry::process::Shed;
use crate::tls::TlsListener;
use crate::upstream::effects::{self, Asking};
use crate::upstream::mirror::{self, Asked};
use crate::upstream::send::{Outgoing, send};
use crate::upstream::upgrade::{Upgrade, upgrade};
use crate::worker::Worker;

/// 421: the request must be sent on another connection (RFC 9110 §15.5.20).
static MISDIRECTED: Reject = Reject {
    status: 421,
    code: "misdirected_request",
    title: "This connection is not for this host",
};

/// Runs one exchange up to the response head. The exchange ends with the body of the returned
/// response.
pub(crate) async fn exchange(
    stream: &Rc<Stream>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let worker = &stream.worker;
    let mut record = Record::begin(stream, &request);
    if let Some(lacking) = lacking(worker, &record) {
        return respond::overloaded(lacking, record);
    }
    let Some(newest) = worker.view() else {
        return respond::nothing_runs(record);
    };
    let Some((view, listener)) = worker.view_at(&newest, &stream.socket) else {
        return respond::listener_gone(record);
    };
    let loaded = &view.current().loaded;
    let snapshot = &loaded.snapshot;
    let rules = &snapshot.listeners()[listener];
    still_admitted(stream, loaded.tls_listeners[listener].as_deref(), rules);
    let (mut parts, mut body) = request.into_parts();
    let handshake = Handshake::take(&mut parts);
    let admitted = match edge::admit(parts, rules, stream.peer) {
        Ok(admitted) => admitted,
        Err(reject) => return respond::refused_at_edge(reject, &view, record),
    };
    if let Some(tls_listener) = &loaded.tls_listeners[listener]
        && is_misdirected(stream, tls_listener, record.is_http2(), &admitted.head.host)
    {
        return respond::refused_at_edge(&MISDIRECTED, &view, record);
    }
    let mut head = admitted.head;
    let mut request_id = admitted
        .request_id
        .unwrap_or_else(|| worker.random.request_id(record.unix_ms()));
    // Keep the id out of the HPACK tables (RFC 7541 §7.1.3): it is unique, so that an entry would
    // never be used again.
    request_id.set_sensitive(true);
    let mut cx = Cx::new(
        record.started_ns(),
        record.unix_ms() / 1_000,
        stream.peer,
        &worker.shared.limits,
        &newest.current().revoked,
    );
    cx.client = admitted.client;
    cx.draw = policy::draw::of_request_id(request_id.as_bytes());
    cx.lookalikes = admitted.lookalikes;
    cx.client_cert = admitted.client_cert;
    cx.presented = stream.presented(cx.client_cert.is_some());
    cx.tokens = Some(&worker.tokens);
    cx.authority = Some(&admitted.authority);

    let mut decided = decide(snapshot, listener, &mut head, &mut cx);
    if let Verdict::Ask(_) = decided.verdict {
        let asking = Asking {
            stream,
            view: &view,
            authority: &admitted.authority,
        };
        // Boxed, because few requests need an answer of another service, and every request would
        // otherwise carry this state.
        let answered = effects::answer(asking, snapshot, decided, &mut head, &mut cx);
        decided = Box::pin(answered).await;
    }
    worker.counters().looked_up(worker.tokens.take_counts());
    if cx.lookalikes > 0 {
        worker.counters().looked_alike(cx.lookalikes);
    }
    record.decided(&view, listener, &head, &decided, &cx, &request_id);
    record.leases = std::mem::take(&mut cx.leases);
    let _passed = fault::point("exchange.decided");
    let mut made = match &decided.verdict {
        Verdict::Reject(refusal) => respond::refused(refusal, &decided, &request_id, &mut record),
        Verdict::Reply(reply) => respond::replied(reply, &decided, &mut record),
        Verdict::Ask(_) => unreachable!("answered above"),
        Verdict::Forward => {
            let route = decided.route.as_ref().expect("only a route forwards");
            let is_websocket = route.treatment.websocket;
            let content = !body.is_end_stream();
            let fault = handshake
                .as_ref()
                .and_then(|wish| wish.fault(is_websocket, content));
            if let Some(reject) = fault {
                respond::not_upgraded(reject, &request_id, &mut record)
            } else {
                let limit = route.treatment.max_body_bytes.unwrap_or(u64::MAX);
                stream.body_bytes_max.set(limit);
                // Announce trailers only if the body can have them: over HTTP/1, a body of known
                // length cannot.
                if content && (record.is_http2() || body.size_hint().exact().is_none()) {
                    let withheld = route.treatment.fields_not_in_trailers();
                    edge::announce(&mut head.headers, withheld);
                    stream.request_fields.replace(Arc::clone(withheld));
                }
                let withheld = route.treatment.response_fields_not_in_trailers();
                if !(withheld.is_empty() && stream.response_fields.borrow().is_empty()) {
                    stream.response_fields.replace(Arc::clone(withheld));
                }
                stream.endless.set(route.treatment.stream);
                let origin = Origin {
                    hop: stream.hop(&admitted.authority),
                    version: admitted.version,
                    request_id: request_id.clone(),
                    certificate: stream.certificate(rules.certificate_fields),
                };
                let copied = Asked {
                    worker,
                    stream,
                    view: &view,
                    route,
                    origin: &origin,
                    cx: &cx,
                    head: &head,
                    length: body.size_hint().exact(),
                };
                // A WebSocket tunnel has no body to mirror.
                let handshake = handshake.filter(|_| is_websocket);
                if handshake.is_none() {
                    copy(&copied, stream, &body);
                }
                // Use the rewritten method from here on: retries depend on the method that the
                // upstream gets.
                let rewritten = cx.rewritten.as_ref();
                if let Some(method) = rewritten.and_then(|one| one.method.clone()) {
                    head.method = method;
                }
                let upstream = decided.upstream(snapshot, &cx);
                let upstream = upstream.unwrap_or(route.treatment.upstream);
                let service = view.service(worker, upstream);
                let outgoing = Outgoing {
                    stream,
                    route,
                    upstream: &snapshot.upstreams()[upstream as usize],
                    service: &service,
                    origin: &origin,
                    cx: &cx,
                    head: &mut head,
                    // RFC 9110 §10.1.1: a client that already sends its body does not wait for 100
                    // (Continue).
                    expects_continue: admitted.expects_continue && !body.has_begun(),
                    body,
                };
                match forward(outgoing, handshake, &mut record).await {
                    Ok(made) => made,
                    Err(failure) => {
                        let failure = grpc::judged(failure, stream);
                        respond::failed(&failure, &request_id, &mut record)
                    }
                }
            }
        }
    };
    if let Some(problem) = &made.problem {
        let shape = snapshot.error_shape(decided.route.as_ref(), problem.code);
        respond::as_wanted(&mut made, shape, &head.headers, &request_id);
    }
    worker.spare_maps.keep(head.headers);
    seen_by_chain(snapshot, &decided, &mut made, &mut cx, request_id);
    respond::send(made, record)
}

/// Marks the connection as outdated if the current rules for client certificates or balancers would
/// not admit it in the same way. The connection then ends after this exchange, so that the client
/// reconnects under the current rules.
fn still_admitted(
    stream: &Stream,
    tls_listener: Option<&TlsListener>,
    listener: &engine::Listener,
) {
    let admitted = match (stream.tls.get(), tls_listener) {
        (None, None) => true,
        (Some(facts), Some(tls_listener)) => tls_listener.still_admits(&facts.admission),
        (Some(_), None) | (None, Some(_)) => false,
    };
    let told = match (stream.balancer, &listener.proxy_protocol) {
        (None, None) => true,
        (Some(balancer), Some(header)) => header.believes(balancer),
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !admitted || !told {
        stream.outdated.set(true);
    }
}

/// True if an HTTP/2 request is for a host whose certificate differs from the one that the
/// connection was opened with (RFC 9110 §15.5.20).
fn is_misdirected(stream: &Stream, tls_listener: &TlsListener, http2: bool, host: &str) -> bool {
    let facts = stream.tls.get().filter(|_| http2);
    facts.is_some_and(|facts| !tls_listener.same_certificate(facts.sni.as_deref(), host))
}

/// Exhausted resource because of which the request cannot be served; `None` if the request can be
/// served.
fn lacking(worker: &Worker, record: &Record) -> Option<Shed> {
    if record.is_too_many() {
        return Some(Shed::Requests);
    }
    let memory = &worker.shared.budgets.memory;
    memory.is_full().then_some(Shed::Memory)
}

/// Sends the request to the upstream and returns its response, or the WebSocket tunnel.
async fn forward(
    out: Outgoing<'_, '_>,
    handshake: Option<Handshake>,
    record: &mut Record,
) -> Result<Made, Failure> {
    if let Some(handshake) = handshake {
        return match Box::pin(upgrade(out, handshake, record)).await? {
            Upgrade::Switched(switched) => Ok(respond::switched(switched)),
            Upgrade::Declined(answered) => respond::forwarded(*answered),
        };
    }
    if out.body.size_hint().lower() > out.stream.body_bytes_max.get() {
        return Err(Failure::new(Kind::TooLarge));
    }
    send(out, record).await.and_then(respond::forwarded)
}

/// Begins the mirror copies of the request. They are sent now, or at the end of the body.
fn copy(asked: &Asked<'_, '_>, stream: &Stream, body: &Incoming) {
    let copies = match asked.cx.mirrors.is_empty() {
        true => None,
        false => mirror::begin(asked),
    };
    match copies {
        Some(copies) if body.is_end_stream() => copies.send(),
        // Also set `None`, so that no copies of the connection's previous request remain.
        copies => stream.copies.set(copies),
    }
}

/// Runs the response phase of the chain, even for responses of the chain itself, and then adds the
/// request id.
fn seen_by_chain<'s>(
    snapshot: &'s engine::Snapshot,
    decided: &engine::Decided<'s>,
    made: &mut Made,
    cx: &mut Cx<'s>,
    request_id: HeaderValue,
) {
    let mut head = ResponseHead {
        status: made.status,
        headers: std::mem::take(&mut made.headers),
    };
    finish(snapshot, decided, &mut head, cx);
    head.headers.insert(&edge::X_REQUEST_ID, request_id);
    made.status = head.status;
    made.headers = head.headers;
}
