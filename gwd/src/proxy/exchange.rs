//! Processing of an exchange, from the request head to the last byte of the response. A good place
//! to start reading gwd.
//!
//! The edge checks the head, the routing table finds the route, and the route's chain decides. The
//! upstream responds, and the response phase of the chain runs. Then the body is streamed; the
//! access record is written at the end of the body. The whole exchange uses the snapshot of the
//! configuration that was current at its beginning.

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use engine::edge::{self, Admitted};
use engine::{Decided, Listener, Snapshot, Verdict, finish};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use policy::{Cx, Reject, RequestHead, ResponseHead, Revoked};

use crate::effects::process::Processors;
use crate::effects::{self, PendingDecision};
use crate::message::failure::{Failure, Kind};
use crate::message::incoming::Incoming;
use crate::message::websocket::Handshake;
use crate::proxy::download::ResponseBody;
use crate::proxy::forward::forward;
use crate::proxy::forwarding::Forwarding;
use crate::proxy::outgoing::{self, OutgoingResponse};
use crate::proxy::record::Record;
use crate::proxy::respond::{self, UnservedReason};
use crate::proxy::shadow;
use crate::proxy::stream::Stream;
use crate::proxy::version::{Version, accepts, is_same_sender};
use crate::published::shadow::CopiedHead;
use crate::telemetry::process::LimitedResource;
use crate::telemetry::shard::Served;
use crate::tls::TlsListener;
use crate::tls::accept::StillAdmitted;
use crate::worker::{Beside, View};

/// 421: the request must be sent on another connection (RFC 9110 §15.5.20).
static MISDIRECTED: Reject = Reject::new(
    421,
    "misdirected_request",
    "This connection cannot be used for this host",
);

/// Runs one exchange. A panic becomes a 500 response and affects no other exchange.
pub(crate) async fn answer(
    stream: Rc<Stream>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    stream.exchange_begins();
    let mut running = pin!(exchange(&stream, request));
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(_) => {
                stream.panicked.set(true);
                stream.worker.shard.process.panicked();
                Poll::Ready(respond::panicked(&stream))
            }
        },
    )
    .await
}

/// Runs one exchange up to the response head. The exchange ends with the body of the returned
/// response.
async fn exchange(stream: &Rc<Stream>, request: Request<Incoming>) -> Response<ResponseBody> {
    let mut record = Record::begin(stream, &request);
    let (mut parts, mut body) = request.into_parts();
    let handshake = Handshake::take(&mut parts);
    let (version, copied) = match Version::take(stream, &record, &parts) {
        Ok(taken) => taken,
        Err(unserved) => return respond::unserved(unserved, record),
    };
    record.served = version.served;
    let mut admitted = match admit(stream, &version, &record, (parts, handshake.is_some())) {
        Ok(admitted) => admitted,
        Err(reject) => return version.refuse_at_edge(copied, reject, record),
    };
    if record.count_for_address(admitted.client).is_err() {
        let unserved = UnservedReason::Overloaded(LimitedResource::RequestsPerAddress);
        return respond::unserved(unserved, record);
    }
    let request_id = request_id(admitted.request_id.take(), &record);
    let (http_version, expects_continue) = (admitted.version, admitted.expects_continue);
    let mut cx = context(stream, &version, &record, &request_id);
    let (head, authority) = admitted.describe(&mut cx);
    cx.presented = stream.presented(cx.client_cert.is_some());
    let mut failed = None;
    let processors = Processors::default();
    let receives = (&mut body, &mut failed, &processors);
    let decided = decide(stream, &version, (head, receives), &mut cx).await;
    record.decided(&version, head, &decided, &mut cx, &request_id);
    version.compare(copied, (head, &decided, &cx));
    let _passed = fault::point("exchange.decided");

    let mut made = match &decided.verdict {
        Verdict::Reject(refusal) => respond::refused(refusal, &decided, &request_id, &mut record),
        Verdict::Reply(reply) => respond::replied(reply, &decided, &mut record),
        // The client's body failed, or the time limit of the request passed before the chain got
        // its answer.
        Verdict::Ask(_) => {
            let failure = failed.map_or_else(|| stream.limit_failure(), Failure::new);
            respond::failed(&failure, &request_id, &mut record)
        }
        Verdict::Forward => {
            let forwarding = Forwarding {
                stream,
                version: &version,
                decided: &decided,
                cx: &cx,
                authority,
                http_version,
                expects_continue,
                request_id: &request_id,
                processors: &processors,
            };
            forward(&forwarding, head, body, handshake, &mut record).await
        }
    };
    processors.finish(&stream.worker);

    version.conclude(stream, (&decided, head, &mut cx), &mut made, request_id);
    respond::send(made, record)
}

impl Version {
    /// Selects the configuration version and the listener for a new exchange. In a shadow step,
    /// also copies the head of a request that the candidate should decide, too.
    ///
    /// # Errors
    /// If the request cannot be served: at a limit of the process, before the first activation, or
    /// if no version has the listener.
    fn take(
        stream: &Stream,
        record: &Record,
        parts: &Parts,
    ) -> Result<(Self, Option<Box<CopiedHead>>), UnservedReason> {
        let worker = &stream.worker;
        if record.is_too_many() {
            return Err(UnservedReason::Overloaded(LimitedResource::Requests));
        }
        if worker.budgets.memory.is_full() {
            return Err(UnservedReason::Overloaded(LimitedResource::Memory));
        }
        let newest = worker.view().ok_or(UnservedReason::NothingRuns)?;
        let alone = || {
            let found = worker.view_at(&newest, &stream.socket);
            found.map(|(view, listener)| (view, listener, Served::Alone))
        };
        let (found, copied) = match newest.beside() {
            Beside::Nothing => (alone(), None),
            Beside::Candidate(candidate) => {
                (choose(stream, &newest, candidate, &parts.headers), None)
            }
            Beside::Shadow => (alone(), shadow::copy(stream, &newest, parts)),
        };
        let (view, listener, served) = found.ok_or(UnservedReason::ListenerGone)?;
        let version = Self {
            newest,
            view,
            listener,
            served,
        };
        Ok((version, copied))
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.view.current().loaded.snapshot
    }

    pub(super) fn rules(&self) -> &Listener {
        &self.snapshot().listeners()[self.listener]
    }

    /// Response to a request that the edge refuses. In a shadow step, the candidate decides the
    /// request, too.
    #[cold]
    fn refuse_at_edge(
        &self,
        copied: Option<Box<CopiedHead>>,
        reject: &'static Reject,
        record: Box<Record>,
    ) -> Response<ResponseBody> {
        // A connection that cannot be used for the request says nothing about the candidate.
        let copied = copied.filter(|_| !std::ptr::eq(reject, &raw const MISDIRECTED));
        self.compare_refused(copied, reject, &record);
        respond::refused_at_edge(reject, &self.view, record)
    }

    fn tls_listener(&self) -> Option<&TlsListener> {
        let listeners = &self.view.current().loaded.tls_listeners;
        listeners[self.listener].as_deref()
    }

    /// Completes a response. Adds the findings of an invalid message, formats the body of a problem
    /// for the project and the client, and runs the response phase of the chain.
    fn conclude<'s>(
        &'s self,
        stream: &Stream,
        (decided, head, cx): (&Decided<'s>, &mut RequestHead, &mut Cx<'s>),
        made: &mut OutgoingResponse,
        request_id: HeaderValue,
    ) {
        let snapshot = self.snapshot();
        let transfer = &stream.transfer;
        let refusal = || transfer.items.refusal();
        if let Some(found) = transfer.upload.refusal().or_else(refusal) {
            cx.invalid = Some(found);
        }
        if let Some(invalid) = &cx.invalid {
            outgoing::lists(made, invalid, &request_id);
        }
        if let Some(problem) = &made.problem {
            let shape = snapshot.error_shape(decided.route.as_ref(), problem.code);
            outgoing::as_wanted(made, shape, &head.headers, &request_id);
        }
        let spare_maps = &stream.worker.spare_maps;
        spare_maps.keep(std::mem::take(&mut head.headers));
        seen_by_chain(snapshot, decided, made, cx, request_id);
    }

    fn revoked(&self) -> &Revoked {
        &self.newest.current().revoked
    }
}

/// Chooses the version and the listener for a request with these fields, while the node serves the
/// base and the candidate of a progressive release. If only one of the versions has the listener's
/// address, that version serves the request. If the connection was accepted under rules that differ
/// from the candidate's, the base serves the request. `None`: no version has the listener.
fn choose(
    stream: &Stream,
    base: &Rc<View>,
    candidate: &Rc<View>,
    headers: &HeaderMap,
) -> Option<(Rc<View>, usize, Served)> {
    let socket = stream.socket.id;
    let (of_base, of_candidate) = (base.listener(socket), candidate.listener(socket));
    let (Some(of_base), Some(of_candidate)) = (of_base, of_candidate) else {
        let (view, listener) = stream.worker.view_at(base, &stream.socket)?;
        let served = match Rc::ptr_eq(&view, candidate) {
            true => Served::Candidate,
            false => Served::Base,
        };
        // The client selected the version by the address to which it connected.
        return Some((view, listener, served.selected()));
    };
    let rules = &base.current().loaded.snapshot.listeners()[of_base];
    let client = || edge::client_address(headers, rules, stream.peer);
    let choice = &base.current().candidate.as_ref()?.choice;
    let chosen = choice.version(headers, client);
    let (view, listener, served) = match Served::OF_CANDIDATE.contains(&chosen) {
        false => (base, of_base, chosen),
        true if accepts(stream, candidate.current(), of_candidate) => {
            (candidate, of_candidate, chosen)
        }
        // The client selected the base by its connection, which the candidate would not accept.
        true => (base, of_base, Served::SelectedBase),
    };
    Some((Rc::clone(view), listener, served))
}

/// Checks the head of a request against the limits and rules of the listener. `is_handshake`: the
/// request is a WebSocket handshake.
fn admit(
    stream: &Stream,
    version: &Version,
    record: &Record,
    (parts, is_handshake): (Parts, bool),
) -> Result<Admitted, &'static Reject> {
    let (rules, tls_listener) = (version.rules(), version.tls_listener());
    let now_s = record.unix_ms() / 1_000;
    if !still_admitted(stream, tls_listener, rules, (now_s, is_handshake)) {
        return Err(&MISDIRECTED);
    }
    let admitted = edge::admit(parts, rules, stream.peer);
    if let (Ok(admitted), Some(tls_listener)) = (&admitted, tls_listener)
        && is_misdirected(stream, tls_listener, record.is_http2(), &admitted.head.host)
    {
        return Err(&MISDIRECTED);
    }
    admitted
}

/// Id of the request: the id that a trusted peer sent, otherwise a new one.
fn request_id(of_peer: Option<HeaderValue>, record: &Record) -> HeaderValue {
    let mut id = of_peer.unwrap_or_else(|| record.new_request_id());
    // Keep the id out of the HPACK tables (RFC 7541 §7.1.3): it is unique, so that an entry would
    // never be used again.
    id.set_sensitive(true);
    id
}

/// Context of a chain at the beginning of an exchange.
fn context<'s>(
    stream: &'s Stream,
    version: &'s Version,
    record: &Record,
    request_id: &HeaderValue,
) -> Cx<'s> {
    let (began_ns, unix_s) = (record.started_ns(), record.unix_ms() / 1_000);
    let limits = &stream.worker.shared.limits;
    let mut cx = Cx::new(began_ns, unix_s, stream.peer, limits, version.revoked());
    cx.draw = policy::draw::of_request_id(request_id.as_bytes());
    cx
}

/// Body of a request, place for the failure to read it, and conversations with processors.
type Received<'a> = (&'a mut Incoming, &'a mut Option<Kind>, &'a Processors);

/// Finds the route and runs its chain, with the answers of other services that the chain needs. If
/// a step cannot read the client's body, stores the failure in `failed`.
async fn decide<'s>(
    stream: &'s Stream,
    version: &'s Version,
    (head, (body, failed, processors)): (&mut RequestHead, Received<'_>),
    cx: &mut Cx<'s>,
) -> Decided<'s> {
    let worker = &stream.worker;
    cx.tokens = Some(&worker.tokens);
    let mut decided = engine::decide(version.snapshot(), version.listener, head, cx);
    if let (Verdict::Ask(_), Some(authority)) = (&decided.verdict, cx.authority) {
        let pending = PendingDecision {
            worker,
            view: &version.view,
            deadline: &stream.transfer.deadline,
            transfer: &stream.transfer,
            body: RefCell::new(body),
            ends: stream.ends(cx.client),
            hop: stream.hop(authority),
            authority,
            scheme: cx.scheme,
            processors,
        };
        // The future is boxed, because few requests need an answer of another service, and every
        // request would otherwise carry this state.
        let answered = effects::answer(pending, version.snapshot(), decided, head, cx);
        (decided, *failed) = Box::pin(answered).await;
    }
    worker.shard.process.looked_up(&worker.tokens);
    if cx.lookalikes > 0 {
        worker.shard.process.looked_alike(cx.lookalikes);
    }
    decided
}

/// True if the request may be served on its connection under the current rules of the listener.
/// False if the rules would no longer accept the connection. That is a connection without TLS if
/// they require TLS, or with a client certificate that has expired or is not admitted. It is also a
/// connection of a peer that may not send the required PROXY protocol header. After other changes
/// of the rules (TLS disabled, other PROXY protocol senders), the connection may serve one more
/// request, but no WebSocket. After any change, marks the connection as outdated: it ends after
/// this exchange, so that the client reconnects under the current rules. `is_handshake`: the
/// request is a WebSocket handshake.
fn still_admitted(
    stream: &Stream,
    tls_listener: Option<&TlsListener>,
    listener: &Listener,
    (now_s, is_handshake): (u64, bool),
) -> bool {
    let (same_tls, admission) = match (stream.tls.get(), tls_listener) {
        (None, None) => (true, StillAdmitted::Unchanged),
        (Some(facts), Some(tls_listener)) => (true, facts.still_admitted(tls_listener, now_s)),
        (Some(_), None) => (false, StillAdmitted::Unchanged),
        (None, Some(_)) => (false, StillAdmitted::No),
    };
    // Under the current rules, a peer that may not send a PROXY protocol header cannot connect.
    let may_connect = match (stream.balancer, &listener.proxy_protocol) {
        (None, Some(header)) => header.trusts(stream.peer),
        _ => true,
    };
    let is_same = same_tls && is_same_sender(stream, listener);
    if is_same && admission == StillAdmitted::Unchanged {
        return true;
    }
    let has_served = stream.outdated.replace(true);
    let is_admitted = admission != StillAdmitted::No && may_connect;
    is_admitted && (is_same || !has_served && !is_handshake)
}

/// True if an HTTP/2 request is for a host whose certificate differs from the one that the
/// connection was opened with (RFC 9110 §15.5.20).
fn is_misdirected(stream: &Stream, tls_listener: &TlsListener, http2: bool, host: &str) -> bool {
    let facts = stream.tls.get().filter(|_| http2);
    facts.is_some_and(|facts| !tls_listener.same_certificate(facts.sni.as_deref(), host))
}

/// Runs the response phase of the chain, even for responses of the chain itself, and then adds the
/// request id.
fn seen_by_chain<'s>(
    snapshot: &'s Snapshot,
    decided: &Decided<'s>,
    made: &mut OutgoingResponse,
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
