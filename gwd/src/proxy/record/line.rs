//! Access log line of an exchange.
//!
//! The first part is written with the request head, the second with the decision of the chain. The
//! rest is written at the end of the response.

use std::borrow::Cow;

use engine::Decided;
use http::{HeaderMap, HeaderValue, Method, header};
use policy::auth::Fault;
use policy::invalid::Invalid;
use policy::logged::{
    LogForm, LoggedLocation, LoggedParameter, LoggedParameters, REDACTED, SecretParameters,
    query_in_path, shown_path, user_information,
};
use policy::threat::REFUSED;
use policy::{Cx, NoValue, Reject, RequestHead};

use super::span::RequestTrace;
use super::{Record, fields, referer};
use crate::message::item_reports::ItemReport;
use crate::message::scanned::Found;
use crate::proxy::version::Version;
use crate::runtime::clock::write_timestamp;
use crate::telemetry::access_log::{hidden, write_query, write_text, write_words};
use crate::telemetry::log_sampling::{LogSampler, Selection};
use crate::upstream::call_record::CallRecord;
use crate::worker::View;

/// Access log line that is being written.
pub(super) struct Line {
    bytes: Vec<u8>,
    /// Path as sent by the client, until the normalised path is known. `None`: the normalised path
    /// was logged.
    raw_path: Option<Box<str>>,
    /// Cause of the exchange's failure. `None`: no failure, or no known cause.
    pub(super) why: Option<Box<str>>,
    /// Codes of the refusals by policies in log-only mode.
    noted: Vec<&'static str>,
    /// Selection of the request by the sampling of the log. `None`: each request is logged.
    selection: Option<Selection>,
}

impl Line {
    /// Adds the code and the findings of a response that does not match its description but is
    /// forwarded.
    pub(super) fn response_noted(&mut self, reject: &'static Reject, invalid: &Invalid) {
        self.noted.push(reject.code);
        if !invalid.findings.is_empty() {
            let summary = invalid.summary();
            text(&mut self.bytes, "invalid_response", summary.as_bytes());
        }
    }
}

impl Record {
    /// Begins the line with the data about the request and its connection.
    #[cold]
    pub(super) fn begin_line(&mut self, method: &Method, path: &str) {
        let worker = &self.stream.worker;
        let mut bytes = worker.log.line();
        let out = &mut bytes;
        out.extend_from_slice(b"{\"timestamp\":\"");
        write_timestamp(self.unix_ms(), out);
        out.push(b'"');
        text(out, "level", b"info");
        text(out, "node_id", worker.shared.node.as_bytes());
        if let Some(channel) = &worker.shared.channel {
            text(out, "channel", channel.as_bytes());
        }
        text(out, "http_method", method.as_str().as_bytes());
        display(out, "peer_ip", &self.stream.peer);
        text(
            out,
            "protocol",
            match self.version {
                10 => b"HTTP/1.0",
                20 => b"HTTP/2",
                _ => b"HTTP/1.1",
            },
        );
        if let Some(facts) = self.stream.tls.get() {
            text(out, "tls_version", facts.version.as_bytes());
            text(out, "tls_cipher", facts.cipher.as_bytes());
            if let Some(sni) = &facts.sni {
                text(out, "sni", sni.as_bytes());
            }
            if let Some(subject) = &facts.subject {
                text(out, "mtls_subject", subject.as_bytes());
            }
        }
        if let Some(trace) = &self.trace {
            trace.write_to(out);
        }
        let sampler = worker.log.sampler();
        let context = self.trace.as_ref().map(RequestTrace::context);
        self.line = Some(Box::new(Line {
            selection: sampler.map(|sampler| sampler.select(context, &worker.random)),
            bytes,
            raw_path: Some(path.into()),
            why: None,
            noted: Vec::new(),
        }));
    }

    /// Completes the line and writes it.
    pub(super) fn end_line(&self, line: Line, now_ns: u64, duration_ns: u64, overhead_ns: u64) {
        let Line {
            mut bytes,
            raw_path,
            why,
            mut noted,
            selection,
        } = line;
        let worker = &self.stream.worker;
        let found = self.stream.transfer.upload.all_found();
        noted.extend(found.iter().filter(|one| one.logs).map(|_| REFUSED.code));
        let reports = self.stream.transfer.items.all();
        let logged = reports.iter().filter(|one| one.logs);
        noted.extend(logged.map(|one| one.invalid.reject.code));
        let selection = selection.filter(|_| {
            noted.is_empty() && !self.is_always_logged(worker.log.sampler(), duration_ns)
        });
        let is_left_out = selection.is_some_and(|selection| !selection.is_selected);
        if is_left_out {
            worker.shard.log_sampled_out();
            if !worker.log.has_tails() {
                return worker.log.recycle(bytes);
            }
        }
        let out = &mut bytes;
        if let Some(path) = raw_path {
            text(out, "path", self.shown_raw_path(&path).as_bytes());
        }
        number(out, "status", u64::from(self.status));
        if let Some(status) = self.grpc_status {
            number(out, "grpc_status", u64::from(status));
        }
        if !noted.is_empty() {
            text(out, "would_refuse", noted.join(" ").as_bytes());
        }
        if !found.is_empty() {
            let all = found.iter().map(
                |Found {
                     policy, violation, ..
                 }| {
                    format!("{policy} {} at byte {}", violation.detail, violation.at)
                },
            );
            text(out, "threat", all.collect::<Vec<_>>().join("; ").as_bytes());
        }
        items(out, &reports);
        text(out, "error_origin", self.blame.as_str().as_bytes());
        if !self.reason.is_empty() {
            text(out, "reason", self.reason.as_bytes());
        }
        if let Some(why) = why {
            text(out, "reason_detail", why.as_bytes());
        }
        millis(out, "duration_ms", duration_ns);
        millis(out, "overhead_ms", overhead_ns);
        if let Some(call) = &self.upstream {
            call_of(out, call, now_ns);
        }
        number(out, "bytes_in", self.stream.transfer.upload.read());
        number(out, "bytes_out", self.bytes_out);
        if let Some(ratio) = selection.map(|selection| selection.ratio)
            && ratio < 1.0
        {
            use std::io::Write as _;
            key(out, "sample_ratio");
            let _infallible = write!(out, "{ratio}");
        }
        out.extend_from_slice(b"}\n");
        if is_left_out {
            worker.log.show(bytes);
        } else if worker.log.take(&worker.shared.process, bytes) {
            worker.flush_log_soon();
        }
    }

    /// True if the sampling of the log does not leave out the request: an error, a refusal, an
    /// exchange that did not end as its sender intended, or a slow request.
    fn is_always_logged(&self, sampler: Option<&LogSampler>, duration_ns: u64) -> bool {
        self.status >= 500
            || !self.reason.is_empty()
            || self.is_error()
            || sampler.is_some_and(|sampler| sampler.is_slow(duration_ns))
    }

    /// Path of a request whose operation is unknown, as the log shows it. Parameters that the log
    /// must hide cannot be found in such a path. If any operation has such parameters, the whole
    /// path is therefore redacted.
    pub(super) fn shown_raw_path(&self, path: &str) -> String {
        let view = self.stream.worker.current_view();
        let versions = || view.iter().flat_map(|view| view.current().versions());
        if versions().any(|loaded| loaded.snapshot.hides_values()) {
            return REDACTED.to_owned();
        }
        let names = versions().map(|loaded| &loaded.secret_parameters);
        let mut names = names.chain([SecretParameters::none()]);
        let query = names.find_map(|names| query_in_path(path, (names, LoggedParameters::none())));
        shown_path(path, user_information(path).chain(query).collect(), hidden)
    }

    /// Adds the result of the chain. `upstream`: index of the upstream, if the request is
    /// forwarded.
    #[cold]
    pub(super) fn continue_line(
        &mut self,
        version: &Version,
        head: &RequestHead,
        (decided, upstream): (&Decided<'_>, Option<u32>),
        cx: &Cx<'_>,
        request_id: &HeaderValue,
    ) {
        let Some(line) = &mut self.line else { return };
        line.raw_path = None;
        let out = &mut line.bytes;
        let (current, snapshot) = (version.view.current(), version.snapshot());
        text(out, "bundle", snapshot.bundle().as_bytes());
        number(out, "serial", current.serial);
        text(out, "listener", version.rules().name.as_bytes());
        if let Some(route) = &decided.route {
            text(out, "route_id", route.id.as_str().as_bytes());
            text(out, "operation_id", route.operation.key.as_bytes());
            if let Some(upstream) = upstream {
                let upstream = &snapshot.upstreams()[upstream as usize];
                text(out, "upstream", upstream.name.as_bytes());
            }
        }
        line.noted = cx.noted.iter().map(|noted| noted.reject.code).collect();
        if let Some(invalid) = &cx.invalid {
            text(out, "invalid", invalid.summary().as_bytes());
        }
        caller(out, cx);
        if let Some(rate) = &cx.rate {
            text(out, "ratelimit_policy", rate.policy.as_bytes());
            number(out, "ratelimit_remaining", rate.remaining);
        }
        display(out, "client_ip", &cx.client);
        text(out, "host", head.host.as_bytes());
        let secret = &current.loaded.secret_parameters;
        let route = decided.logged_route();
        let forms = snapshot.logged_forms(version.listener, route, (head, secret));
        let path = forms.shown_path(head.path(), hidden);
        text(out, "path", path.as_bytes());
        let parameters = forms.parameters;
        if let Some(query) = head.query() {
            key(out, "query");
            match forms.hides_query {
                true => write_text(REDACTED.as_bytes(), out),
                false => write_query(query, (secret, parameters), out),
            }
        }
        text(out, "request_id", request_id.as_bytes());
        from_headers(out, &head.headers, parameters, self.trace.is_some());
        if let Some(referer) = referer::shown(&head.headers, snapshot.hides_values()) {
            text(out, "referer", referer.as_bytes());
        }
        if let Some(route) = route {
            fields::write(out, route, (head, secret, &forms), cx);
        }
    }

    /// Adds the rejection of a request head before routing.
    pub(super) fn continue_refused(&mut self, view: &View, request_id: &HeaderValue) {
        if let Some(line) = &mut self.line {
            let out = &mut line.bytes;
            let current = view.current();
            let bundle = current.loaded.snapshot.bundle();
            text(out, "bundle", bundle.as_bytes());
            number(out, "serial", current.serial);
            text(out, "request_id", request_id.as_bytes());
        }
    }
}

/// Adds the caller, the reasons why a credential was rejected or an expression failed, and the
/// outage of a store or of a service that decides.
fn caller(out: &mut Vec<u8>, cx: &Cx<'_>) {
    let caller = cx.principal.as_ref();
    let token = caller.and_then(|one| one.token.as_deref());
    for (key, value) in [
        ("consumer_id", caller.and_then(|one| one.consumer)),
        ("subject", token.and_then(|one| one.subject.as_deref())),
        ("auth_method", caller.map(|one| one.scheme)),
        (cx.fault.map_or("", Fault::key), cx.fault.map(Fault::label)),
        ("expression_fault", cx.expression_fault.map(NoValue::label)),
        (
            "store_outage",
            cx.store_outage.map(|outage| outage.on_outage.word()),
        ),
        ("stale_answer", cx.stale_answer),
    ] {
        if let Some(value) = value {
            text(out, key, value.as_bytes());
        }
    }
    if let Some(token) = token {
        key(out, "scope");
        write_words(&token.scopes, out);
    }
}

/// Appends the first findings about items of sequences, and the number of items that have findings.
fn items(out: &mut Vec<u8>, reports: &[ItemReport]) {
    for (is_response, findings, count) in [
        (false, "invalid", "invalid_items"),
        (true, "invalid_response", "invalid_response_items"),
    ] {
        let of_message = || {
            let own = reports
                .iter()
                .filter(|one| one.is_response() == is_response);
            own.filter(|one| !one.invalid.findings.is_empty())
        };
        if let Some(first) = of_message().next() {
            text(out, findings, first.invalid.summary().as_bytes());
            number(out, count, of_message().map(|one| one.items).sum());
        }
    }
}

/// Appends the log fields about the call to the upstream: target, times and retries.
fn call_of(out: &mut Vec<u8>, call: &CallRecord, now_ns: u64) {
    if let Some(endpoint) = &call.endpoint {
        display(out, "upstream_host", &endpoint.address);
    }
    // Omit shorter waits: they only show the gateway's scheduling.
    if call.wait_ns >= 1_000_000 {
        millis(out, "upstream_wait_ms", call.wait_ns);
    }
    if call.connect_ns > 0 {
        millis(out, "upstream_connect_ms", call.connect_ns);
    }
    if call.head_ns > 0 {
        millis(out, "upstream_ttfb_ms", call.head_ns - call.began_ns);
        millis(out, "upstream_total_ms", now_ns - call.began_ns);
        number(out, "upstream_status", u64::from(call.status));
    }
    number(out, "attempts", u64::from(call.attempts));
    let reasons = call.retry_reasons.iter();
    let reasons = reasons.take_while(|reason| !reason.is_empty());
    for (index, reason) in reasons.enumerate() {
        match index {
            0 => key(out, "retry_reasons"),
            _ => out.push(b','),
        }
        out.extend_from_slice(if index == 0 { b"[\"" } else { b"\"" });
        out.extend_from_slice(reason.as_bytes());
        out.push(b'"');
    }
    if !call.retry_reasons[0].is_empty() {
        out.push(b']');
    }
    if !call.given_up.is_empty() {
        text(out, "retry_given_up", call.given_up.as_bytes());
    }
    if !call.circuit_state.is_empty() {
        text(out, "circuit_state", call.circuit_state.as_bytes());
    }
}

pub(super) fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

pub(in crate::proxy) fn text(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(out, name);
    write_text(value, out);
}

pub(in crate::proxy) fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    use std::io::Write as _;
    key(out, name);
    let _infallible = write!(out, "{value}");
}

/// Writes a field with a quoted value. The value must not need escaping.
pub(in crate::proxy) fn display(out: &mut Vec<u8>, name: &str, value: &dyn std::fmt::Display) {
    use std::io::Write as _;
    key(out, name);
    let _infallible = write!(out, "\"{value}\"");
}

/// Value of `User-Agent` as the log shows it.
pub(super) fn shown_agent<'h>(
    headers: &'h HeaderMap,
    parameters: &[LoggedParameter],
) -> Option<Cow<'h, [u8]>> {
    let agent = headers.get(header::USER_AGENT)?.as_bytes();
    let mut own = parameters.iter();
    let own = own.find(|one| one.place == LoggedLocation::UserAgent);
    Some(match own.map(|one| one.form) {
        None | Some(LogForm::Keep) => Cow::Borrowed(agent),
        Some(form) => {
            let agent = String::from_utf8_lossy(agent);
            Cow::Owned(hidden(form, &agent).into_bytes())
        }
    })
}

/// Writes a field with a time in milliseconds, with three decimals.
fn millis(out: &mut Vec<u8>, name: &str, ns: u64) {
    use std::io::Write as _;
    key(out, name);
    let _infallible = write!(out, "{}.{:03}", ns / 1_000_000, ns / 1_000 % 1_000);
}

fn from_headers(
    out: &mut Vec<u8>,
    headers: &HeaderMap,
    parameters: &[LoggedParameter],
    is_traced: bool,
) {
    if let Some(agent) = shown_agent(headers, parameters) {
        text(out, "user_agent", &agent);
    }
    if let Some(parent) = headers.get("traceparent").filter(|_| !is_traced) {
        // The edge has validated the field: `00-`, followed by the 32 digits of the trace id.
        text(
            out,
            "trace_id",
            parent.as_bytes().get(3..35).unwrap_or_default(),
        );
    }
}
