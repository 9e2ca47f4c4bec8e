//! Spans of an exchange: the SERVER span, and the CLIENT spans of its call to an upstream.

use engine::Decided;
use http::{HeaderValue, Request};
use policy::{Cx, RequestHead};

use super::Record;
use super::line::{shown_agent, text};
use crate::message::failure::Blame;
use crate::message::incoming::Incoming;
use crate::proxy::version::Version;
use crate::telemetry::access_log::hidden;
use crate::telemetry::traces::{
    ClientSide, RequestSpans, TraceContext, Tracer, shortened, write_hex,
};
use crate::upstream::call_trace::CallTrace;
use crate::worker::View;

/// Trace of a request.
pub(super) struct RequestTrace {
    context: TraceContext,
    /// Spans. `None`: the trace is not sampled.
    spans: Option<Box<RequestSpans>>,
    /// True if `path` of the spans is the path that the client sent.
    has_raw_path: bool,
}

impl RequestTrace {
    /// Ids of the trace and of the SERVER span.
    pub(super) const fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Ids of the trace and of the SERVER span, if the trace is sampled.
    pub(super) fn sampled_ids(&self) -> Option<([u8; 16], [u8; 8])> {
        let server = &self.context.server;
        let ids = (server.trace_id, server.span_id);
        server.is_sampled().then_some(ids)
    }

    /// Adds the ids of the trace and of the SERVER span, and the sampling decision, to an access
    /// log line.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        let server = &self.context.server;
        let mut digits = [0; 32];
        write_hex(&server.trace_id, &mut digits);
        text(out, "trace_id", &digits);
        write_hex(&server.span_id, &mut digits[..16]);
        text(out, "span_id", &digits[..16]);
        out.extend_from_slice(match server.is_sampled() {
            true => b",\"sampled\":true",
            false => b",\"sampled\":false",
        });
    }
}

impl Record {
    /// Begins the trace of the request, with the trace context of its client.
    pub(super) fn begin_trace(&mut self, tracer: &Tracer, request: &Request<Incoming>) {
        let random = &self.stream.worker.random;
        let context = tracer.begin(request.headers(), random);
        let is_sampled = context.server.is_sampled();
        self.trace = Some(RequestTrace {
            context,
            spans: is_sampled.then(|| self.begin_spans(context, request)),
            has_raw_path: true,
        });
    }

    #[cold]
    fn begin_spans(&self, context: TraceContext, request: &Request<Incoming>) -> Box<RequestSpans> {
        Box::new(RequestSpans {
            context,
            began_ns: self.started_ns,
            ended_ns: 0,
            method: request.method().clone(),
            path: request.uri().path().into(),
            protocol: match self.version {
                10 => "1.0",
                20 => "2",
                _ => "1.1",
            },
            peer: self.stream.peer,
            client: None,
            route: None,
            upstream: Box::default(),
            bundle: Box::default(),
            request_id: Box::default(),
            consumer: None,
            user_agent: None,
            status: 0,
            reason: "",
            origin: Blame::None.as_str(),
            attempts: Vec::new(),
        })
    }

    /// True if the spans of the request are exported.
    pub(super) fn is_sampled(&self) -> bool {
        let trace = self.trace.as_ref();
        trace.is_some_and(|trace| trace.spans.is_some())
    }

    /// Trace of the call to the upstream. `None`: traces are off.
    pub(super) fn call_trace(&self) -> Option<CallTrace> {
        let trace = self.trace.as_ref();
        trace.map(|trace| CallTrace::new(&trace.context))
    }

    /// Adds the result of the chain to the SERVER span. `upstream`: index of the upstream, if the
    /// request is forwarded.
    #[cold]
    pub(super) fn continue_trace(
        &mut self,
        version: &Version,
        head: &RequestHead,
        (decided, upstream): (&Decided<'_>, Option<u32>),
        cx: &Cx<'_>,
        request_id: &HeaderValue,
    ) {
        let Some(trace) = &mut self.trace else { return };
        let Some(spans) = &mut trace.spans else {
            return;
        };
        trace.has_raw_path = false;
        let snapshot = version.snapshot();
        spans.bundle = snapshot.bundle().into();
        if let Some(route) = &decided.route {
            let template = route.operation.template.to_string();
            spans.route = Some((template.into(), route.id.as_str().into()));
        }
        if let Some(upstream) = upstream {
            let upstream = &snapshot.upstreams()[upstream as usize];
            spans.upstream = upstream.name.as_str().into();
        }
        spans.consumer = cx
            .principal
            .as_ref()
            .and_then(|caller| caller.consumer)
            .map(Box::from);
        spans.client = Some(ClientSide {
            address: cx.client,
            scheme: cx.scheme,
            host: head.host.clone(),
        });
        let secret = &version.view.current().loaded.secret_parameters;
        let route = decided.logged_route();
        let forms = snapshot.logged_forms(version.listener, route, (head, secret));
        spans.path = shortened(&forms.shown_path(head.path(), hidden));
        let agent = shown_agent(&head.headers, forms.parameters);
        spans.user_agent = agent.map(|agent| shortened(&String::from_utf8_lossy(&agent)));
        spans.request_id = lossy(request_id);
    }

    /// Adds the rejection of a request head before routing to the SERVER span.
    pub(super) fn continue_refused_trace(&mut self, view: &View, request_id: &HeaderValue) {
        if let Some(trace) = &mut self.trace
            && let Some(spans) = &mut trace.spans
        {
            spans.bundle = view.current().loaded.snapshot.bundle().into();
            spans.request_id = lossy(request_id);
        }
    }

    /// Ends the trace: if it is sampled, its spans are exported.
    pub(super) fn end_trace(&mut self, now_ns: u64) {
        if self.is_sampled() {
            self.end_spans(now_ns);
        }
    }

    /// Completes the spans and passes them to the exporting thread.
    #[cold]
    fn end_spans(&mut self, now_ns: u64) {
        let Some(RequestTrace {
            spans: Some(mut spans),
            has_raw_path,
            ..
        }) = self.trace.take()
        else {
            return;
        };
        if has_raw_path {
            spans.path = shortened(&self.shown_raw_path(&spans.path));
        }
        spans.ended_ns = now_ns;
        spans.status = self.status;
        spans.reason = self.reason;
        spans.origin = self.blame.as_str();
        if let Some(call) = &mut self.upstream {
            let is_answered = call.head_ns > 0;
            let error = match (is_answered, self.blame) {
                // The response of the upstream is complete, as far as the gateway used it.
                (true, Blame::None | Blame::Gateway) => "",
                // The status is the error.
                (true, Blame::Upstream) if call.status >= 500 => "",
                _ => self.reason,
            };
            let attempts = call.trace.as_mut();
            let attempts = attempts.map(|trace| trace.take_attempts(is_answered, error, now_ns));
            spans.attempts = attempts.unwrap_or_default();
        }
        let worker = &self.stream.worker;
        if let Some(tracer) = &worker.tracer {
            tracer.end(spans, &worker.shared.process);
        }
    }
}

fn lossy(value: &HeaderValue) -> Box<str> {
    String::from_utf8_lossy(value.as_bytes()).into()
}
