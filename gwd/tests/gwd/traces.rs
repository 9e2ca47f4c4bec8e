//! Traces by OpenTelemetry: trace context towards upstreams, and the spans that a collector gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gwd::node::{AccessLog, Endpoint, ExportSettings, Settings, Signal, TraceSettings};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use policy::traffic::retry::Condition;
use prost::Message as _;

use crate::fixture::*;
use crate::http2_upstream::{Http2Upstream, head};
use crate::pki::Authority;
use crate::retries::retries;
use crate::routes::mirror;
use crate::upstream_tls::{TlsUpstream, server};
use crate::websocket::{agree, websocket};
use crate::world::{Process, World, numbered};

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const PARENT: &str = "00f067aa0ba902b7";

/// Stand-in for a collector, which answers with a status that the test can change.
pub(crate) struct Collector {
    server: Upstream,
    status: Arc<AtomicUsize>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let status = Arc::new(AtomicUsize::new(200));
        let current = Arc::clone(&status);
        let server = Upstream::start(move |_, stream| {
            use std::io::Write as _;
            let status = current.load(Ordering::SeqCst);
            let head = format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n");
            let _gone = stream.write_all(head.as_bytes());
            Then::Keep
        });
        Self { server, status }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Settings of a node that samples this share of the requests without a parent.
    pub(crate) fn settings(&self, ratio: f64) -> Settings {
        traced(&self.url(), ratio)
    }

    fn messages(&self) -> Vec<ExportTraceServiceRequest> {
        let seen = self.server.seen();
        let bodies = seen.iter().map(|seen| &seen.body[..]);
        let read = bodies.map(|body| ExportTraceServiceRequest::decode(body).unwrap());
        read.collect()
    }

    fn received(&self) -> Vec<Span> {
        let messages = self.messages();
        let resources = messages.into_iter().flat_map(|one| one.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// Waits for exactly this number of spans, and returns them.
    pub(crate) fn spans(&self, count: usize) -> Vec<Span> {
        eventually("the collector gets the spans", || {
            self.received().len() >= count
        });
        let spans = self.received();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

pub(crate) fn traced(url: &str, ratio: f64) -> Settings {
    Settings {
        traces: Some(TraceSettings {
            export: exported(url, Signal::Traces),
            ratio,
            b3: None,
        }),
        ..settings()
    }
}

/// Settings of the export of a signal to the collector at this base URL.
pub(crate) fn exported(url: &str, signal: Signal) -> ExportSettings {
    let no_tls = || Err("no TLS in this test".to_owned());
    ExportSettings {
        endpoint: Endpoint::parse(url, Some(signal), no_tls).unwrap(),
        headers: Vec::new(),
        timeout: Duration::from_millis(400),
        resource: vec![("service.name".to_owned(), "edge".to_owned())],
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Value of an attribute as text; empty without the attribute.
fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let mut named = attributes.iter().filter(|one| one.key == name);
    let value = named.next().and_then(|one| one.value.clone()?.value);
    assert!(named.next().is_none(), "{name} is there twice");
    match value {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{other:?}"),
    }
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == 2)
}

fn sampled_parent() -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=b\r\n")
}

#[test]
fn sampled_parent_continues_through_both_spans() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let shop = shop(
        upstream.address,
        vec![op("GET", "/orders/{id}").secured("key")],
    );
    let served = shop.serve_by(collector.settings(0.0));
    let fields = format!("x-key: letmein\r\nuser-agent: t\r\n{}", sampled_parent());
    let answer = fetch(served.address, "GET", "/orders/7?key=secret", &fields);
    assert_eq!(answer.status, 200);
    let spans = collector.spans(2);
    let (server, client) = (&spans[0], &spans[1]);
    assert_eq!(server.kind(), SpanKind::Server);
    assert_eq!(client.kind(), SpanKind::Client);
    assert_eq!(server.name, "GET /orders/{id}");
    for span in [server, client] {
        assert_eq!(hex(&span.trace_id), TRACE);
        assert!(span.start_time_unix_nano < span.end_time_unix_nano);
        assert!(!is_error(span));
    }
    assert_eq!(hex(&server.parent_span_id), PARENT);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_ne!(client.span_id, server.span_id);
    assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
    assert!(server.end_time_unix_nano >= client.end_time_unix_nano);
    let seen = upstream.only();
    let sent = format!("00-{TRACE}-{}-01", hex(&client.span_id));
    assert_eq!(seen.field("traceparent"), [sent]);
    assert_eq!(seen.field("tracestate"), ["a=b"]);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/orders/{id}"),
        ("url.path", "/orders/7"),
        ("url.scheme", "http"),
        ("server.address", "shop.example"),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
        ("client.address", "127.0.0.1"),
        ("user_agent.original", "t"),
        ("error.type", ""),
        ("gwd.route.id", "GET shop:/orders/{id}@shop"),
        ("gwd.consumer_id", "acme"),
        ("gwd.request_id", answer.field("x-request-id")[0]),
        ("gwd.reason", ""),
        ("gwd.error_origin", "none"),
    ] {
        assert_eq!(attribute(&server.attributes, name), value, "{name}");
    }
    let bundle = bundle::digest::Digest::of(b"one").to_string();
    assert_eq!(attribute(&server.attributes, "gwd.bundle.version"), bundle);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("server.address", "127.0.0.1"),
        ("server.port", &upstream.address.port().to_string()),
        ("network.peer.address", "127.0.0.1"),
        ("http.response.status_code", "200"),
        ("http.request.resend_count", ""),
        ("gwd.upstream", "main"),
    ] {
        assert_eq!(attribute(&client.attributes, name), value, "{name}");
    }
    let text = format!("{:?}", collector.messages());
    assert!(
        !text.contains("secret") && !text.contains("letmein"),
        "{text}"
    );
    let resource = collector.messages()[0].resource_spans[0].resource.clone();
    let attributes = resource.unwrap().attributes;
    assert_eq!(attribute(&attributes, "service.name"), "edge");
    let post = collector.server.only();
    assert_eq!(post.line(), "POST /v1/traces HTTP/1.1");
    assert_eq!(post.field("content-type"), ["application/x-protobuf"]);
    eventually("the spans are counted", || {
        served.metric("gwd_trace_exported_total", &[]) == 2.0
    });
}

#[test]
fn unsampled_requests_get_context_and_no_spans() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let served = shop.serve_by(collector.settings(0.0));
    let parent = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\ntracestate: a=b\r\n");
    fetch(served.address, "GET", "/a", &parent);
    // Without a valid parent, the trace begins here, and the state of another one has no meaning.
    fetch(served.address, "GET", "/a", "tracestate: a=b\r\n");
    let invalid = format!("traceparent: 00-{TRACE}-0000000000000000-01\r\n");
    fetch(served.address, "GET", "/a", &invalid);
    // The sampled request shows that the collector gets no others.
    fetch(served.address, "GET", "/a", &sampled_parent());
    collector.spans(2);
    let seen = upstream.seen();
    let context = |at: usize| {
        let values = seen[at].field("traceparent");
        let parts: Vec<String> = values[0].split('-').map(str::to_owned).collect();
        assert_eq!((values.len(), parts.len()), (1, 4), "{values:?}");
        parts
    };
    assert_eq!(context(0)[1], TRACE);
    assert_ne!(context(0)[2], PARENT, "the gateway's span is the parent");
    assert_eq!(seen[0].field("tracestate"), ["a=b"]);
    let (second, third) = (context(1), context(2));
    assert_ne!(second[1], TRACE);
    assert_ne!(third[1], TRACE, "an invalid parent begins a new trace");
    assert_ne!(second[1], third[1]);
    assert_eq!(seen[1].field("tracestate"), [""; 0]);
    for at in [0, 1, 2] {
        assert_eq!(context(at)[3], "00", "not sampled");
    }
}

#[test]
fn sampled_root_has_no_parent_span() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let served = shop.serve_by(collector.settings(1.0));
    get(served.address, "/a");
    let spans = collector.spans(2);
    assert!(spans[0].parent_span_id.is_empty());
    let (trace, span) = (hex(&spans[1].trace_id), hex(&spans[1].span_id));
    let sent = format!("00-{trace}-{span}-01");
    assert_eq!(upstream.only().field("traceparent"), [sent]);
    assert_eq!(spans[0].trace_id, spans[1].trace_id);
}

#[test]
fn each_attempt_has_a_span_and_a_context() {
    let bad = Upstream::telling(&Arc::new(AtomicUsize::new(503)));
    let good = Upstream::telling(&Arc::new(AtomicUsize::new(200)));
    let collector = Collector::start();
    let mut shop = shop(bad.address, vec![op("GET", "/a")]);
    let mut main = service("main", &[bad.address, good.address]);
    main.retries = Some(retries(1, &[Condition::GatewayError]));
    shop.upstreams = vec![main];
    let served = shop.serve_by(collector.settings(1.0));
    while bad.seen().is_empty() {
        assert_eq!(get(served.address, "/a").status, 200);
    }
    eventually("the retried request is exported", || {
        collector.received().iter().any(is_error)
    });
    let spans = collector.received();
    let failed = spans.iter().position(is_error).unwrap();
    let (first, second) = (&spans[failed], &spans[failed + 1]);
    let text = |span: &Span, name: &str| attribute(&span.attributes, name);
    assert_eq!(text(first, "http.response.status_code"), "503");
    assert_eq!(text(first, "error.type"), "503");
    assert_eq!(text(first, "http.request.resend_count"), "");
    assert_eq!(text(second, "http.response.status_code"), "200");
    assert_eq!(text(second, "http.request.resend_count"), "1");
    assert!(first.end_time_unix_nano <= second.start_time_unix_nano);
    assert_eq!(first.parent_span_id, second.parent_span_id);
    assert_eq!(first.parent_span_id, spans[failed - 1].span_id);
    assert!(!is_error(&spans[failed - 1]), "the client got 200");
    let id = |seen: &Seen| seen.field("traceparent")[0][36..52].to_owned();
    assert_eq!(id(&bad.only()), hex(&first.span_id));
    assert!(
        good.seen()
            .iter()
            .any(|seen| id(seen) == hex(&second.span_id))
    );
}

#[test]
fn refused_request_has_only_a_server_span() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let ops = vec![
        op("GET", "/a").secured("key"),
        op("GET", "/dead").upstream("dead"),
    ];
    let mut shop = shop(upstream.address, ops);
    shop.upstreams.push(service("dead", &[dead()]));
    let served = shop.serve_by(collector.settings(1.0));
    assert_eq!(get(served.address, "/a").status, 401);
    assert_eq!(get(served.address, "/%00").status, 400);
    assert_eq!(get(served.address, "/dead").status, 502);
    let spans = collector.spans(4);
    let text = |at: usize, name: &str| attribute(&spans[at].attributes, name);
    assert_eq!(text(0, "http.response.status_code"), "401");
    assert_eq!(text(0, "gwd.reason"), "credential_missing");
    assert_eq!(text(0, "gwd.error_origin"), "gateway");
    assert_eq!(
        (is_error(&spans[0]), text(0, "error.type")),
        (false, String::new())
    );
    assert_eq!(
        (&*spans[1].name, text(1, "http.route")),
        ("GET", String::new())
    );
    assert_eq!(text(1, "http.response.status_code"), "400");
    assert_eq!(text(2, "error.type"), "upstream_connect_failed");
    assert_eq!(text(3, "error.type"), "upstream_connect_failed");
    assert!(is_error(&spans[2]) && is_error(&spans[3]));
    assert_eq!(spans[3].kind(), SpanKind::Client);
    assert!(upstream.seen().is_empty());
}

#[test]
fn requests_continue_while_the_collector_is_down() {
    let upstream = Upstream::saying("hello");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let served = shop.serve_by(traced(&format!("http://{}", dead()), 1.0));
    for _ in 0..3 {
        assert_eq!(get(served.address, "/a").status, 200);
    }
    let dropped = |reason: &str| served.metric("gwd_trace_dropped_total", &[reason]);
    eventually("the spans are dropped", || {
        dropped("collector_unavailable") == 6.0
    });
    assert_eq!(dropped("queue_full"), 0.0);
    assert_eq!(get(served.address, "/a").status, 200);
}

/// Gateway with the operation `/a`, whose collector answers with 503. The gateway does not give up
/// a batch during the test.
fn with_overloaded_collector() -> (Upstream, Collector, Served) {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    collector.status.store(503, Ordering::SeqCst);
    let mut settings = collector.settings(1.0);
    settings.traces.as_mut().unwrap().export.timeout = WAIT_MAX;
    let served = shop.serve_by(settings);
    (upstream, collector, served)
}

#[test]
fn full_queue_drops_spans_and_no_requests() {
    let (_upstream, _collector, served) = with_overloaded_collector();
    let mut client = Client::connect(served.address);
    // 2048 requests are in the queue, at most 512 spans in the batch.
    for _ in 0..2_600 {
        client.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    assert!(served.metric("gwd_trace_dropped_total", &["queue_full"]) > 0.0);
}

#[test]
fn overloaded_collector_gets_the_batch_again() {
    let (_upstream, collector, served) = with_overloaded_collector();
    get(served.address, "/a");
    eventually("the collector refuses", || {
        !collector.server.seen().is_empty()
    });
    assert_eq!(served.metric("gwd_trace_exported_total", &[]), 0.0);
    collector.status.store(200, Ordering::SeqCst);
    eventually("the batch is accepted", || {
        served.metric("gwd_trace_exported_total", &[]) == 2.0
    });
    let bodies: Vec<_> = collector
        .server
        .seen()
        .iter()
        .map(|one| one.body.clone())
        .collect();
    assert!(bodies.len() >= 2 && bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(served.metric("gwd_trace_dropped_total", &[]), 0.0);
}

#[test]
fn refused_batch_is_dropped_at_once() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    collector.status.store(400, Ordering::SeqCst);
    let mut settings = collector.settings(1.0);
    settings.traces.as_mut().unwrap().export.timeout = WAIT_MAX;
    let served = shop.serve_by(settings);
    get(served.address, "/a");
    let dropped = || served.metric("gwd_trace_dropped_total", &["collector_refused"]);
    eventually("the spans are dropped", || dropped() == 2.0);
    assert_eq!(collector.server.seen().len(), 1, "it is not sent again");
}

#[test]
fn access_log_has_the_ids_of_the_server_span() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let served = shop.serve_by(Settings {
        access_log: AccessLog::File(path.clone()),
        ..collector.settings(0.0)
    });
    fetch(served.address, "GET", "/a", &sampled_parent());
    get(served.address, "/a");
    get(served.address, "/%00");
    let mut lines: Vec<serde_json::Value> = Vec::new();
    eventually("the lines are written", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let read = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines = read.collect();
        lines.len() == 3
    });
    let server = &collector.spans(2)[0];
    assert_eq!(lines[0]["trace_id"], TRACE);
    assert_eq!(lines[0]["span_id"], hex(&server.span_id));
    assert_eq!(lines[0]["sampled"], true);
    let sent = upstream.seen()[1].field("traceparent")[0].to_owned();
    assert_eq!(lines[1]["trace_id"], sent[3..35]);
    assert_eq!(lines[1]["sampled"], false);
    assert_eq!(lines[2]["trace_id"].as_str().unwrap().len(), 32);
}

#[test]
fn traceparent_is_unchanged_without_a_collector() {
    let upstream = Upstream::saying("hello");
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    fetch(served.address, "GET", "/a", &sampled_parent());
    get(served.address, "/a");
    let seen = upstream.seen();
    let sent = format!("00-{TRACE}-{PARENT}-01");
    assert_eq!(seen[0].field("traceparent"), [sent]);
    assert_eq!(seen[0].field("tracestate"), ["a=b"]);
    assert_eq!(seen[1].field("traceparent"), [""; 0]);
}

#[test]
fn stop_exports_the_remaining_spans() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let mut gwd = Process::spawn(
        world
            .trusted()
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k%201")
            .args(["--trace-ratio", "1"]),
    );
    assert_eq!(get(gwd.public(), "/a").status, 200);
    gwd.signal(rustix::process::Signal::TERM);
    assert!(gwd.wait().success());
    collector.spans(2);
    assert_eq!(collector.server.only().field("api-key"), ["k 1"]);
    let resource = collector.messages()[0].resource_spans[0].resource.clone();
    let attributes = resource.unwrap().attributes;
    assert_eq!(attribute(&attributes, "service.name"), "gwd");
    assert_eq!(attribute(&attributes, "service.instance.id"), "node-1");
}

/// Runs the command of docs/operate.md, with the folders and the collector of the test.
#[test]
fn command_of_the_page_exports_traces() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut lines = page.lines();
    let line = lines.find(|line| line.starts_with("gwd run") && line.contains("--otlp"));
    let options = line.unwrap().split_once("./state ").unwrap().1;
    let options = options.replace("http://localhost:4318", &collector.url());
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = Process::spawn(world.trusted().args(options.split(' ')));
    fetch(gwd.public(), "GET", "/a", &sampled_parent());
    collector.spans(2);
}

#[test]
fn outage_of_the_collector_is_logged_once() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    collector.status.store(500, Ordering::SeqCst);
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd =
        Process::spawn(
            world
                .trusted()
                .args(["--otlp", &collector.url(), "--trace-ratio", "1"]),
        );
    let address = gwd.public();
    let dropped = || gwd.metric("gwd_trace_dropped_total", &["collector_refused"]);
    for batches in 1..=2 {
        get(address, "/a");
        eventually("the spans are dropped", || {
            dropped() == 2.0 * f64::from(batches)
        });
    }
    let logged_count = |text: &str| {
        let events = gwd.events();
        let logged_count = events.iter().filter(|event| {
            let message = event["message"].as_str();
            message.is_some_and(|message| message.contains(text))
        });
        logged_count.count()
    };
    assert_eq!(logged_count("traces cannot be exported"), 1);
    collector.status.store(200, Ordering::SeqCst);
    get(address, "/a");
    eventually("the end of the outage is logged", || {
        logged_count("traces are exported again") == 1
    });
}

#[test]
fn mirror_copies_are_below_the_server_span() {
    let (main, shadow) = (Upstream::saying("main"), Upstream::saying("shadow"));
    let collector = Collector::start();
    let mut shop = shop(main.address, vec![op("GET", "/a").policy("shadow")]);
    shop.upstreams.push(service("next", &[shadow.address]));
    shop.policies.push(mirror("shadow", "next"));
    let served = shop.serve_by(collector.settings(0.0));
    fetch(served.address, "GET", "/a", &sampled_parent());
    let spans = collector.spans(2);
    eventually("the mirror gets the copy", || shadow.seen().len() == 1);
    let sent = format!("00-{TRACE}-{}-01", hex(&spans[0].span_id));
    assert_eq!(shadow.only().field("traceparent"), [sent]);
    assert_eq!(shadow.only().field("tracestate"), ["a=b"]);
}

#[test]
fn http_2_upstream_gets_the_context() {
    let upstream = Http2Upstream::start(|_, (request, mut respond)| async move {
        let fields = request.headers().get_all("traceparent");
        let values: Vec<_> = fields.iter().map(|one| one.to_str().unwrap()).collect();
        let body = values.join(",").into_bytes();
        let mut stream = respond.send_response(head(200), false).unwrap();
        stream.send_data(body.into(), true).unwrap();
    });
    let collector = Collector::start();
    let shop = upstream.behind(vec![op("GET", "/a")]);
    let served = shop.serve_by(collector.settings(0.0));
    let answer = fetch(served.address, "GET", "/a", &sampled_parent());
    let client = &collector.spans(2)[1];
    let sent = format!("00-{TRACE}-{}-01", hex(&client.span_id));
    assert_eq!(answer.text(), sent);
}

#[test]
fn websocket_has_spans_until_its_end() {
    let (upstream, collector) = (Upstream::start(agree), Collector::start());
    let served = websocket(&upstream).serve_by(collector.settings(0.0));
    let mut client = Client::connect(served.address);
    client.send(&format!(
        "GET /ws HTTP/1.1\r\nhost: shop.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
        sampled_parent()
    ));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert!(collector.received().is_empty());
    let open = || served.metric("gwd_websocket_active", &[]);
    assert_eq!(open(), 1.0);
    drop(client);
    eventually("the connection has ended", || open() == 0.0);
    let spans = collector.spans(2);
    let sent = format!("00-{TRACE}-{}-01", hex(&spans[1].span_id));
    assert_eq!(upstream.only().field("traceparent"), [sent]);
    for span in spans {
        let status = attribute(&span.attributes, "http.response.status_code");
        assert_eq!(status, "101");
    }
}

#[test]
fn certificate_of_a_collector_is_verified() {
    let (authority, other) = (Authority::new("collectors"), Authority::new("other"));
    let pem = authority.issue(&["127.0.0.1"]);
    let collector = TlsUpstream::start(server(&pem, None, &["http/1.1"]));
    let upstream = Upstream::saying("hello");
    for (trusted, metric, reason) in [
        (&authority, "gwd_trace_exported_total", ""),
        (&other, "gwd_trace_dropped_total", "collector_unavailable"),
    ] {
        let world = World::new();
        world.release(&numbered(&upstream, 1));
        let roots = world.path("collectors.pem");
        std::fs::write(&roots, &trusted.pem).unwrap();
        let gwd = Process::spawn(
            world
                .trusted()
                .env("OTEL_EXPORTER_OTLP_CERTIFICATE", &roots)
                .env("OTEL_EXPORTER_OTLP_TIMEOUT", "2000")
                .arg("--otlp")
                .arg(format!("https://{}", collector.address)),
        );
        fetch(gwd.public(), "GET", "/a", &sampled_parent());
        eventually(metric, || gwd.metric(metric, &[reason]) == 2.0);
    }
}

#[test]
fn credentials_never_reach_the_spans() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let ops = vec![
        op("GET", "/orders/{id}").secured("key"),
        op("GET", "/query").secured("query"),
    ];
    let served = shop(upstream.address, ops).serve_by(collector.settings(1.0));
    let fields = "x-key: letmein\r\ncookie: sid=letmein\r\ntracestate: a=letmein\r\n";
    for target in [
        "/orders/1?access_token=letmein",
        "/query?shopkey=letmein&a=1",
        "/query?shopkey=wrong-one&a=1",
        "/nothing?access_token=letmein",
        // User information in targets that no operation describes.
        "/http://joe:letmein@h/x",
        "http://joe:letmein@shop.example/nothing",
        "/nothing/joe%3Aletmein%40h",
        "/%00/joe:letmein@h",
    ] {
        fetch(served.address, "GET", target, fields);
    }
    collector.spans(10);
    let text = format!("{:?}", collector.messages());
    assert!(
        text.contains("/orders/1") && text.contains("acme"),
        "{text}"
    );
    for secret in ["letmein", "wrong-one", "access_token", "shopkey"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}
