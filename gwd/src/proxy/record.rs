//! Record of an exchange: metrics and an access log line, written at the end of the response.
//!
//! The first part of the log line is written with the response head, while the snapshot is
//! available. The rest is written at the end of the response. A long response therefore does not
//! keep a snapshot in memory.

mod error;
mod fields;
mod line;
mod referer;
mod span;

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use engine::{ChainStep, Decided, Verdict};
use http::{HeaderValue, Request, StatusCode, Version as HttpVersion};
use policy::guard::ext_proc;
use policy::invalid::Invalid;
use policy::threat::REFUSED;
use policy::{Cx, Filter, Reject, RequestHead};

use crate::limits::crowding::{CountedRequest, ShareUsed};
use crate::message::failure::{Blame, Failure, Kind};
use crate::message::incoming::Incoming;
use crate::message::sequence::ItemRefusal;
use crate::message::transfer::Phase;
use crate::proxy::grpc;
use crate::proxy::stream::Stream;
use crate::proxy::version::Version;
use crate::runtime::deadlines::LimitOf;
use crate::telemetry::log_batch;
use crate::telemetry::names::UNMATCHED;
use crate::telemetry::shard::{
    BodyBytes, CallKey, EndedRequest, Label, LongLived, RejectionKey, RequestKey, Served, WARNED,
    method_index,
};
use crate::upstream::call_record::CallRecord;
use crate::upstream::transport::CallError;
use crate::worker::View;
use line::Line;
use span::RequestTrace;

pub(super) use line::{display, number, text};

/// Record of an exchange in progress: everything that its metrics and access log line show.
pub(crate) struct Record {
    stream: Rc<Stream>,
    started_ns: u64,
    method: u8,
    version: u8,
    coarse_status: bool,
    ended: bool,
    /// Set if the exchange counts as one that can stay open for long.
    long_lived: Option<LongLived>,
    /// True while the request counts as being in progress.
    in_flight: bool,
    /// Address of the client, or of the connection's peer before it is known.
    client: IpAddr,
    /// Count of the request for its client's address. `None`: the request is not counted. At most
    /// half of the process's permits were in use when it began, or the limit on requests is small.
    address_count: Option<CountedRequest>,
    route: u32,
    /// Version that serves the request.
    pub(crate) served: Served,
    status: u16,
    reason: &'static str,
    blame: Blame,
    /// gRPC status that ended the call. `None`: unknown, or not a gRPC call.
    grpc_status: Option<u32>,
    /// True if the client has set a deadline for its gRPC call (`grpc-timeout`).
    has_client_deadline: bool,
    upstream: Option<CallRecord>,
    /// Time at which the response head was complete, in nanoseconds of the clock.
    head_ns: u64,
    /// Time for which the gateway had waited for the client when the response head was complete, in
    /// nanoseconds.
    client_wait_ns: u64,
    pub(crate) bytes_out: u64,
    /// Time for which the gateway waited for the upstream's body before it sent the head, in
    /// nanoseconds.
    body_wait_ns: u64,
    line: Option<Box<Line>>,
    /// Trace of the request. `None`: traces are off.
    trace: Option<RequestTrace>,
    /// Permits of policies, returned at the end of the response.
    pub(crate) leases: policy::ConcurrencyPermits,
}

impl Record {
    /// Begins the record of an exchange. The record is on the heap, so that passing it on copies
    /// only a pointer.
    pub(crate) fn begin(stream: &Rc<Stream>, request: &Request<Incoming>) -> Box<Self> {
        let worker = &stream.worker;
        let method = method_index(request.method());
        worker.shard.active(method, 1);
        let mut record = Box::new(Self {
            stream: Rc::clone(stream),
            started_ns: worker.clock.now_ns(),
            method,
            version: match request.version() {
                HttpVersion::HTTP_10 => 10,
                HttpVersion::HTTP_2 => 20,
                _ => 11,
            },
            coarse_status: false,
            ended: false,
            long_lived: None,
            in_flight: worker.requests.begin(),
            client: stream.peer,
            address_count: None,
            route: UNMATCHED,
            served: Served::Alone,
            status: 0,
            reason: "",
            blame: Blame::None,
            grpc_status: None,
            has_client_deadline: false,
            upstream: None,
            head_ns: 0,
            client_wait_ns: 0,
            bytes_out: 0,
            body_wait_ns: 0,
            line: None,
            trace: None,
            leases: policy::ConcurrencyPermits::default(),
        });
        let is_grpc = grpc::is_call(request.method(), request.headers());
        stream.transfer.is_grpc.set(is_grpc);
        if is_grpc {
            record.is_long_lived(LongLived::Grpc);
        }
        if is_grpc && let Some(wait_ms) = grpc::timeout_ms(request.headers()) {
            let started_ms = record.started_ns / 1_000_000;
            let limit_ms = started_ms.saturating_add(wait_ms);
            let deadline = &stream.transfer.deadline;
            deadline.limit(limit_ms, LimitOf::Client);
            record.has_client_deadline = true;
        }
        if let Some(tracer) = &worker.tracer {
            record.begin_trace(tracer, request);
        }
        if worker.log.is_enabled() {
            record.begin_line(request.method(), request.uri().path());
        }
        record
    }

    /// True if the request got no permit, because the process has its maximum number of requests in
    /// progress.
    pub(crate) fn is_too_many(&self) -> bool {
        !self.in_flight
    }

    /// Sets the client's address, and counts the request for it while most permits of the process are in use.
    /// Fails if the address has used up its share of the permits.
    pub(crate) fn count_for_address(&mut self, client: IpAddr) -> Result<(), ShareUsed> {
        self.client = client;
        self.address_count = self.stream.worker.budgets.crowding.begin(client)?;
        Ok(())
    }

    /// Counts the exchange as one that can stay open for long, until it ends.
    fn is_long_lived(&mut self, kind: LongLived) {
        self.long_lived = Some(kind);
        self.stream.worker.shard.long_lived(kind, 1);
    }

    /// Counts the exchange as a tunnel from here on: as a connection, but no longer as a request in
    /// progress.
    pub(crate) fn becomes_tunnel(&mut self) {
        self.is_long_lived(LongLived::WebSocket);
        self.end_in_flight();
    }

    fn end_in_flight(&mut self) {
        self.address_count = None;
        if std::mem::take(&mut self.in_flight) {
            self.stream.worker.requests.end();
        }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(crate) fn stream_rc(&self) -> Rc<Stream> {
        Rc::clone(&self.stream)
    }

    /// True if the request arrived over HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.version == 20
    }

    pub(crate) fn started_ns(&self) -> u64 {
        self.started_ns
    }

    /// Generates a new request id.
    pub(crate) fn new_request_id(&self) -> HeaderValue {
        self.stream.worker.random.request_id(self.unix_ms())
    }

    pub(crate) fn unix_ms(&self) -> u64 {
        self.stream.worker.unix_ms(self.started_ns)
    }

    /// Records the result of the chain: route, upstream and principal. Takes the chain's permits.
    pub(crate) fn decided(
        &mut self,
        version: &Version,
        head: &RequestHead,
        decided: &Decided<'_>,
        cx: &mut Cx<'_>,
        request_id: &HeaderValue,
    ) {
        self.leases = std::mem::take(&mut cx.permits);
        let current = version.view.current();
        let loaded = &current.loaded;
        self.coarse_status = loaded.coarse_status;
        let upstream = match decided.verdict {
            Verdict::Forward => decided.upstream(&loaded.snapshot, cx),
            Verdict::Reply(_) | Verdict::Reject(_) | Verdict::Ask(_) => None,
        };
        if let Some(route) = &decided.route {
            let uids = &loaded.route_uids[route.api_index as usize];
            self.route = uids[route.index_in_api as usize];
            if let Some(upstream) = upstream {
                let uid = loaded.upstream_uids[upstream as usize];
                self.upstream = Some(CallRecord::new(uid, self.call_trace()));
            }
            self.count_limits(decided, cx);
        }
        for noted in &cx.noted {
            self.stream.worker.shard.rejected(RejectionKey {
                route: self.route,
                policy: noted.policy.into(),
                reason: noted.reject.code,
                logged: true,
            });
        }
        for warned in &cx.warned {
            self.stream
                .worker
                .shard
                .limited(&warned.policy.into(), WARNED);
        }
        if self.is_sampled() {
            self.continue_trace(version, head, (decided, upstream), cx, request_id);
        }
        if self.line.is_some() {
            self.continue_line(version, head, (decided, upstream), cx, request_id);
        }
    }

    /// Counts the decision of each rate limit and quota of the chain.
    fn count_limits(&self, decided: &Decided<'_>, cx: &Cx<'_>) {
        let Some(route) = &decided.route else { return };
        let ran = &route.treatment.chain[..decided.ran];
        let refused = matches!(decided.verdict, Verdict::Reject(_));
        for (index, step) in ran.iter().enumerate() {
            let ChainStep::Filter(name, filter) = step else {
                continue;
            };
            if let Filter::RateLimit(_) | Filter::Quota(_) = &**filter
                && filter.applies(cx)
            {
                let denied = refused && index + 1 == ran.len();
                let decision = if denied { "deny" } else { "allow" };
                self.stream.worker.shard.limited(name, decision);
            }
        }
    }

    /// Records a rejection by a policy or by the gateway, with the reason that metrics show.
    pub(crate) fn refused(&mut self, reject: &Reject, reason: &'static str, policy: Arc<str>) {
        self.reason = reject.code;
        self.blame = Blame::Gateway;
        self.stream.worker.shard.rejected(RejectionKey {
            route: self.route,
            policy,
            reason,
            logged: false,
        });
    }

    /// Records that the request head was rejected before routing, because it is invalid or not
    /// allowed.
    pub(crate) fn refused_at_edge(
        &mut self,
        view: &View,
        reject: &Reject,
        request_id: &HeaderValue,
    ) {
        self.coarse_status = view.current().loaded.coarse_status;
        self.continue_refused(view, request_id);
        self.continue_refused_trace(view, request_id);
        self.refused(reject, reject.code, "edge".into());
    }

    /// Records that the client is to blame for a rejection.
    pub(crate) fn blame_client(&mut self) {
        self.blame = Blame::Client;
    }

    /// Records a response from a policy instead of the upstream.
    pub(crate) fn answered_by_gateway(&mut self, status: StatusCode) {
        if status.is_client_error() || status.is_server_error() {
            self.blame = Blame::Gateway;
            self.reason = "answered_by_gateway";
        }
    }

    /// Record of the call to the upstream.
    ///
    /// # Panics
    /// If the chain does not forward the request.
    pub(crate) fn call(&mut self) -> &mut CallRecord {
        let call = self.upstream.as_mut();
        call.expect("only a forwarded request has a call")
    }

    /// Records that the upstream responded. A server error is then caused by the upstream.
    pub(crate) fn upstream_answered(&mut self) {
        if self
            .upstream
            .as_ref()
            .is_some_and(|call| call.status >= 500)
        {
            self.blame = Blame::Upstream;
        }
    }

    /// Records that the response does not match its description, or that this could not be
    /// checked. `refuses` is false if the response is forwarded all the same.
    pub(crate) fn response_refused(
        &mut self,
        policy: &Arc<str>,
        reject: &'static Reject,
        invalid: &Invalid,
        refuses: bool,
    ) {
        self.stream.worker.shard.rejected(RejectionKey {
            route: self.route,
            policy: Arc::clone(policy),
            reason: reject.code,
            logged: !refuses,
        });
        if let Some(line) = self.line.as_mut().filter(|_| !refuses) {
            line.response_noted(reject, invalid);
        }
    }

    /// Records that a response passed although the processor of a policy is unavailable
    /// (`on_outage: open`).
    pub(crate) fn response_unprocessed(&self, policy: Arc<str>) {
        self.stream.worker.shard.rejected(RejectionKey {
            route: self.route,
            policy,
            reason: ext_proc::UNAVAILABLE.code,
            logged: true,
        });
    }

    /// Records that the gateway has waited for the upstream's body from `began_ns` until now,
    /// before it sends the head.
    pub(crate) fn read_body(&mut self, began_ns: u64) {
        self.body_wait_ns = self.now_ns().saturating_sub(began_ns);
    }

    /// Records a failure of the exchange.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        let info = failure.kind.info();
        self.reason = info.reason;
        self.blame = info.blame;
        if let Some(line) = &mut self.line {
            line.why.clone_from(&failure.why);
        }
    }

    /// Records that a response or tunnel ended because a credential of the request was revoked.
    pub(crate) fn credential_revoked(&mut self) {
        self.reason = "credential_revoked";
        self.blame = Blame::Gateway;
    }

    /// Records that a response or tunnel ended because a credential of the request ended.
    pub(crate) fn credential_expired(&mut self) {
        self.reason = "credential_expired";
        self.blame = Blame::Gateway;
    }

    /// Records that a tunnel ended at its idle timeout.
    pub(crate) fn tunnel_idle(&mut self) {
        self.reason = "idle_timeout";
        self.blame = Blame::Gateway;
    }

    /// Records the gRPC status that ended the call, if known.
    pub(crate) fn grpc_ended(&mut self, status: Option<u32>) {
        self.grpc_status = status;
    }

    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }

    pub(crate) fn http_version(&self) -> HttpVersion {
        match self.version {
            10 => HttpVersion::HTTP_10,
            20 => HttpVersion::HTTP_2,
            _ => HttpVersion::HTTP_11,
        }
    }

    /// Records that the upstream's response body ended with an error, and ends the record.
    pub(crate) fn upstream_broke(&mut self, error: &CallError) {
        self.reason = match error {
            CallError::Silent { .. } => Kind::Timeout.info().reason,
            CallError::TooLong | CallError::Item(ItemRefusal::TooLong) => {
                Kind::ResponseTooLarge.info().reason
            }
            CallError::Item(ItemRefusal::Invalid) => Kind::ResponseInvalid.info().reason,
            CallError::Item(ItemRefusal::Unavailable) => Kind::ValidatorUnavailable.info().reason,
            CallError::Http1(_)
            | CallError::Http2(_)
            | CallError::Panicked
            | CallError::Expired => Kind::Reset.info().reason,
        };
        self.blame = match error {
            CallError::Item(ItemRefusal::Unavailable) => Blame::Gateway,
            _ => Blame::Upstream,
        };
        if let Some(line) = &mut self.line {
            let reports = self.stream.transfer.items.all();
            let found = reports.iter().find(|one| one.is_response() && !one.logs);
            let found = found.map(|report| report.invalid.summary());
            let found = found.filter(|found| !found.is_empty());
            line.why = Some(found.unwrap_or_else(|| error.to_string()).into());
        }
        self.finish();
    }

    /// Records a panic while the body was sent, and ends the record.
    pub(crate) fn panicked(&mut self) {
        self.stream.worker.shard.process.panicked();
        self.reason = "internal_error";
        self.blame = Blame::Gateway;
        self.finish();
    }

    /// Records the status and the time of the complete response head, and starts the deadline of
    /// the body.
    pub(crate) fn head_made(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        // The gateway's processing of the response head ends here; see [`Self::overhead_ns`].
        self.head_ns = self.now_ns();
        // Set the first deadline of the body here, because hyper does not poll the body while the
        // client's window is closed.
        let transfer = &self.stream.transfer;
        self.client_wait_ns = transfer.upload.awaited_client_ns(self.head_ns);
        let now_ms = self.head_ns / 1_000_000;
        transfer.limit_by_credential(now_ms);
        let until_ms = now_ms + transfer.time_limits.grace_ms;
        transfer.phase_begins(Phase::Body, until_ms);
    }

    /// Ends the record: updates the metrics and writes the access log line. Further calls do
    /// nothing.
    pub(crate) fn finish(&mut self) {
        if !self.ended {
            self.finish_at(self.now_ns());
        }
    }

    /// Like [`Self::finish`], for an exchange that ended at `now_ns`, in nanoseconds of the clock.
    pub(crate) fn finish_at(&mut self, now_ns: u64) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.leases = policy::ConcurrencyPermits::default();
        self.stream.response.slow_reading.releases();
        let worker = Rc::clone(&self.stream.worker);
        let duration_ns = now_ns.saturating_sub(self.started_ns);
        let overhead_ns = self.overhead_ns(now_ns);
        worker.shard.active(self.method, -1);
        if let Some(kind) = self.long_lived {
            worker.shard.long_lived(kind, -1);
        }
        for found in &*self.stream.transfer.upload.all_found() {
            worker.shard.rejected(RejectionKey {
                route: self.route,
                policy: Arc::clone(&found.policy),
                reason: REFUSED.code,
                logged: found.logs,
            });
        }
        for report in &*self.stream.transfer.items.all() {
            worker.shard.rejected(RejectionKey {
                route: self.route,
                policy: Arc::clone(&report.policy),
                reason: report.invalid.reject.code,
                logged: report.logs,
            });
        }
        let bytes = BodyBytes {
            request: self.stream.transfer.upload.read(),
            response: self.bytes_out,
        };
        worker.shard.request(
            RequestKey {
                route: self.route,
                method: self.method,
                status: if self.coarse_status {
                    self.status / 100
                } else {
                    self.status
                },
                version: self.version,
                tls: self.stream.tls.get().is_some(),
                error: Label(self.reason),
                served: self.served,
            },
            &EndedRequest {
                duration_ns,
                answer_ns: self.answer_ns(now_ns),
                overhead_ns,
                bytes,
                is_error: self.is_error(),
                refused: self.is_refusal().then_some(self.client),
                sampled: self.trace.as_ref().and_then(RequestTrace::sampled_ids),
            },
        );
        self.count_call(bytes, now_ns);
        self.end_trace(now_ns);
        if let Some(line) = self.line.take() {
            self.end_line(*line, now_ns, duration_ns, overhead_ns);
        }
        self.stream.exchange_ended(now_ns / 1_000_000);
    }

    /// Counts the call to the upstream, if there was one. `bytes`: body bytes of the exchange.
    fn count_call(&self, bytes: BodyBytes, now_ns: u64) {
        let shard = &self.stream.worker.shard;
        if let Some(call) = &self.upstream
            && call.began_ns > 0
        {
            // Do not count a response of the gateway itself as upstream bytes.
            let response = if call.head_ns > 0 { bytes.response } else { 0 };
            shard.passed(call.uid, BodyBytes { response, ..bytes });
            let until_ns = match call.head_ns {
                0 => now_ns,
                head_ns => head_ns,
            };
            let error = if self.blame == Blame::Upstream {
                self.reason
            } else {
                ""
            };
            shard.call(
                CallKey {
                    upstream: call.uid,
                    method: self.method,
                    status: call.status,
                    error: Label(error),
                },
                until_ns.saturating_sub(call.began_ns),
            );
        }
    }

    /// Time until the response head in nanoseconds, without waits for the client's body. Guards of
    /// releases compare this time: a client alone can prolong the rest of an exchange.
    fn answer_ns(&self, now_ns: u64) -> u64 {
        let (head_ns, client_wait_ns) = match self.head_ns {
            0 => (
                now_ns,
                self.stream.transfer.upload.awaited_client_ns(now_ns),
            ),
            head_ns => (head_ns, self.client_wait_ns),
        };
        head_ns.saturating_sub(self.started_ns + client_wait_ns)
    }

    /// Processing time of the gateway in nanoseconds: the time before the request is sent, plus the
    /// time between the upstream's response head and the gateway's response head. Waits for a
    /// connection and for the upstream's body do not count.
    fn overhead_ns(&self, now_ns: u64) -> u64 {
        let head_ns = if self.head_ns > 0 {
            self.head_ns
        } else {
            now_ns
        };
        match &self.upstream {
            Some(call) if call.began_ns > 0 => {
                let before = call
                    .began_ns
                    .saturating_sub(self.started_ns + call.wait_ns + call.connect_ns);
                let after = if call.head_ns > 0 {
                    head_ns.saturating_sub(call.head_ns + self.body_wait_ns)
                } else {
                    0
                };
                before + after
            }
            Some(call) => head_ns.saturating_sub(self.started_ns + call.wait_ns + call.connect_ns),
            None => head_ns.saturating_sub(self.started_ns),
        }
    }

    /// True if at least `min_ms` have passed since the response head was complete.
    pub(crate) fn has_lasted(&self, min_ms: u64) -> bool {
        self.now_ns().saturating_sub(self.head_ns) >= min_ms * 1_000_000
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.stream.worker.clock.now_ns()
    }
}

impl Drop for Record {
    /// Ends the record of an exchange that was dropped, because the client closed the connection or
    /// the exchange panicked.
    fn drop(&mut self) {
        self.end_in_flight();
        if self.ended {
            return;
        }
        if self.stream.panicked.replace(false) {
            self.status = 500;
            self.reason = "internal_error";
            self.blame = Blame::Gateway;
        } else {
            if self.status == 0 {
                self.status = 499;
            }
            self.reason = "client_closed";
            self.blame = Blame::Client;
        }
        self.finish();
    }
}

const _: () = assert!(log_batch::FLUSH_MS < 1_000);
