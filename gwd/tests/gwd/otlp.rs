//! Export of metrics and access log lines by OTLP, as a collector sees it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gwd::node::{AccessLog, ExportSettings, LogSampling, MetricSettings, Settings, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use crate::fixture::*;
use crate::traces::{PARENT, TRACE, exported, hex};

/// Cumulative temporality in OTLP.
const CUMULATIVE: i32 = 2;
/// Time between two exports of metrics in most tests.
const INTERVAL: Duration = Duration::from_millis(200);

/// Collector that answers each request as `answer` says.
fn collector(answer: impl Fn(&Seen, &mut TcpStream) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |seen, stream| {
        answer(seen, stream);
        Then::Keep
    })
}

fn accept(_: &Seen, stream: &mut TcpStream) {
    respond(stream, "200 OK", &[]);
}

fn respond(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let _gone = write!(
        stream,
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _gone = stream.write_all(body);
}

fn export(collector: &Upstream, signal: Signal) -> ExportSettings {
    exported(&format!("http://{}", collector.address), signal)
}

fn with_metrics(collector: &Upstream, interval: Duration) -> Settings {
    Settings {
        metric_export: Some(MetricSettings {
            export: export(collector, Signal::Metrics),
            interval,
        }),
        ..settings()
    }
}

fn with_logs(collector: &Upstream) -> Settings {
    Settings {
        log_export: Some(export(collector, Signal::Logs)),
        ..settings()
    }
}

fn bodies(collector: &Upstream, path: &str) -> Vec<Vec<u8>> {
    let seen = collector.seen().into_iter();
    let of_path = seen.filter(|seen| seen.line().contains(path));
    of_path.map(|seen| seen.body).collect()
}

fn metric_messages(collector: &Upstream) -> Vec<ExportMetricsServiceRequest> {
    let bodies = bodies(collector, "POST /v1/metrics ").into_iter();
    let read = bodies.map(|body| ExportMetricsServiceRequest::decode(&*body).unwrap());
    read.collect()
}

fn log_messages(collector: &Upstream) -> Vec<ExportLogsServiceRequest> {
    let bodies = bodies(collector, "POST /v1/logs ").into_iter();
    let read = bodies.map(|body| ExportLogsServiceRequest::decode(&*body).unwrap());
    read.collect()
}

fn metrics(message: ExportMetricsServiceRequest) -> Vec<Metric> {
    let scopes = message.resource_metrics.into_iter();
    let scopes = scopes.flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

fn records(collector: &Upstream) -> Vec<LogRecord> {
    let resources = log_messages(collector).into_iter();
    let scopes = resources.flat_map(|message| message.resource_logs);
    let scopes = scopes.flat_map(|resource| resource.scope_logs);
    scopes.flat_map(|scope| scope.log_records).collect()
}

/// Waits for exactly this number of log records, and returns them.
fn wait_for_records(collector: &Upstream, count: usize) -> Vec<LogRecord> {
    eventually("the collector gets the records", || {
        records(collector).len() >= count
    });
    let records = records(collector);
    assert_eq!(records.len(), count, "{records:#?}");
    records
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<Value> {
    let mut named = attributes.iter().filter(|one| one.key == name);
    let value = named.next().and_then(|one| one.value.clone()?.value);
    assert!(named.next().is_none(), "{name} is there twice");
    value
}

fn text(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

fn service(resource: Option<&Resource>) -> Option<Value> {
    attribute(&resource.unwrap().attributes, "service.name")
}

/// Durations of the requests to `/orders/{id}` in each message so far.
fn durations(collector: &Upstream) -> Vec<HistogramDataPoint> {
    let messages = metric_messages(collector).into_iter();
    let points = messages.flat_map(|message| {
        let all = metrics(message).into_iter();
        let all = all.filter(|metric| metric.name == "http.server.request.duration");
        all.flat_map(|metric| {
            assert_eq!(metric.unit, "s");
            let Some(Data::Histogram(histogram)) = metric.data else {
                panic!("{metric:?}");
            };
            assert_eq!(histogram.aggregation_temporality, CUMULATIVE);
            histogram.data_points
        })
        .collect::<Vec<_>>()
    });
    let route = |point: &HistogramDataPoint| attribute(&point.attributes, "http.route");
    let points = points.filter(|point| route(point) == text("/orders/{id}"));
    points.collect()
}

#[test]
fn metrics_are_cumulative_with_names_of_opentelemetry() {
    let (upstream, collector) = (Upstream::saying("hello"), collector(accept));
    let shop = shop(upstream.address, vec![op("GET", "/orders/{id}")]);
    let served = shop.serve_by(with_metrics(&collector, INTERVAL));
    for _ in 0..3 {
        assert_eq!(get(served.address, "/orders/7").status, 200);
    }
    eventually("three requests are exported", || {
        durations(&collector).iter().any(|point| point.count == 3)
    });
    assert_eq!(get(served.address, "/orders/8").status, 200);
    eventually("four requests are exported", || {
        durations(&collector).iter().any(|point| point.count == 4)
    });
    let points = durations(&collector);
    let point = points.last().unwrap();
    assert_eq!(
        attribute(&point.attributes, "http.request.method"),
        text("GET")
    );
    let status = attribute(&point.attributes, "http.response.status_code");
    assert_eq!(status, Some(Value::IntValue(200)));
    assert_eq!(attribute(&point.attributes, "error.type"), None);
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), 4);
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!(point.explicit_bounds[..2], [0.0005, 0.001]);
    assert!(point.sum.unwrap() > 0.0);
    for pair in points.windows(2) {
        assert_eq!(pair[0].start_time_unix_nano, pair[1].start_time_unix_nano);
        assert!(pair[0].time_unix_nano < pair[1].time_unix_nano);
    }
    assert!(point.start_time_unix_nano < points[0].time_unix_nano);
    let message = metric_messages(&collector).pop().unwrap();
    let resource = message.resource_metrics[0].resource.as_ref();
    assert_eq!(service(resource), text("edge"));
    assert!(served.metric("gwd_otlp_metric_points_exported_total", &[]) > 0.0);
}

/// Name for Prometheus of a metric in OTLP, by OpenTelemetry's rules.
fn prometheus_name(metric: &Metric) -> String {
    let mut name = metric.name.replace('.', "_");
    match &*metric.unit {
        "s" => name.push_str("_seconds"),
        "By" => name.push_str("_bytes"),
        "1" => name.push_str("_ratio"),
        "" => {}
        other => panic!("{other}"),
    }
    if let Some(Data::Sum(sum)) = &metric.data
        && sum.is_monotonic
    {
        name.push_str("_total");
    }
    name
}

#[test]
fn names_for_prometheus_are_those_of_the_scrape() {
    let (upstream, collector) = (Upstream::saying("hello"), collector(accept));
    let shop = shop(upstream.address, vec![op("GET", "/orders/{id}")]);
    let served = shop.serve_by(with_metrics(&collector, INTERVAL));
    get(served.address, "/orders/7");
    eventually("the request is exported", || {
        !durations(&collector).is_empty()
    });
    let message = metric_messages(&collector).pop().unwrap();
    let names: BTreeSet<String> = metrics(message).iter().map(prometheus_name).collect();
    let scraped = served.node.metrics();
    let scraped = scraped
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let scraped = scraped.filter_map(|line| Some(line.split(' ').next()?.to_owned()));
    assert_eq!(names, scraped.collect());
    assert!(names.len() > 30, "{names:?}");
}

#[test]
fn last_metrics_and_lines_are_sent_at_the_stop() {
    let (upstream, collector) = (Upstream::saying("hello"), collector(accept));
    let shop = shop(upstream.address, vec![op("GET", "/orders/{id}")]);
    let hour = Duration::from_secs(3_600);
    let mut served = shop.serve_by(Settings {
        log_export: Some(export(&collector, Signal::Logs)),
        ..with_metrics(&collector, hour)
    });
    assert_eq!(get(served.address, "/orders/7").status, 200);
    served.node.drain(WAIT_MAX, &|| false);
    assert_eq!(durations(&collector)[0].count, 1);
    assert_eq!(records(&collector).len(), 1);
}

#[test]
fn lines_are_records_with_trace_and_attributes() {
    let (upstream, collector) = (Upstream::saying("hello"), collector(accept));
    let shop = shop(
        upstream.address,
        vec![op("GET", "/orders/{id}").secured("key"), op("GET", "/dead")],
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut settings = with_logs(&collector);
    settings.log_export.as_mut().unwrap().timeout = WAIT_MAX;
    let served = shop.serve_by(Settings {
        access_log: AccessLog::File(path.clone()),
        ..settings
    });
    let fields =
        format!("x-key: letmein\r\nuser-agent: t\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let answer = fetch(served.address, "GET", "/orders/7?key=secret", &fields);
    assert_eq!(answer.status, 200);
    let record = &wait_for_records(&collector, 1)[0];
    assert_eq!(hex(&record.trace_id), TRACE);
    let body = record.body.as_ref().unwrap().value.clone();
    assert_eq!(body, text("GET /orders/7 200"));
    assert!(record.time_unix_nano <= record.observed_time_unix_nano);
    assert_eq!(&*record.severity_text, "info");
    for (name, expected) in [
        ("url.path", "/orders/7"),
        ("url.query", "key=REDACTED"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "t"),
        ("gwd.consumer_id", "acme"),
        ("gwd.operation_id", "GET shop:/orders/{id}"),
        ("gwd.request_id", answer.field("x-request-id")[0]),
    ] {
        assert_eq!(
            attribute(&record.attributes, name),
            text(expected),
            "{name}"
        );
    }
    let all = format!("{:?}", log_messages(&collector));
    assert!(!all.contains("letmein") && !all.contains("secret"), "{all}");
    let resource = &log_messages(&collector)[0].resource_logs[0];
    assert_eq!(service(resource.resource.as_ref()), text("edge"));
    // The file has the same line.
    let line = std::fs::read_to_string(&path).unwrap();
    assert_eq!(line.lines().count(), 1);
    eventually("the record is counted", || {
        served.metric("gwd_otlp_log_records_exported_total", &[]) > 0.0
    });
}

#[test]
fn sampling_applies_to_exported_lines() {
    let (upstream, collector) = (Upstream::saying("hello"), collector(accept));
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let served = shop.serve_by(Settings {
        access_log_sampling: Some(LogSampling {
            ratio: 0.0,
            slow: WAIT_MAX,
        }),
        ..with_logs(&collector)
    });
    assert_eq!(get(served.address, "/a").status, 200);
    assert_eq!(get(served.address, "/nothing").status, 404);
    let record = &wait_for_records(&collector, 1)[0];
    assert_eq!(
        attribute(&record.attributes, "gwd.reason"),
        text("no_route")
    );
    assert_eq!(served.metric("gwd_log_sampled_out_total", &[]), 1.0);
}

#[test]
fn collector_that_is_down_drops_and_counts() {
    let upstream = Upstream::saying("hello");
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let collector = collector(move |_, stream| match down.load(Ordering::SeqCst) {
        true => respond(stream, "503 Busy", &[]),
        false => respond(stream, "200 OK", &[]),
    });
    let shop = shop(upstream.address, vec![op("GET", "/orders/{id}")]);
    let served = shop.serve_by(Settings {
        log_export: Some(export(&collector, Signal::Logs)),
        ..with_metrics(&collector, INTERVAL)
    });
    assert_eq!(get(served.address, "/orders/7").status, 200);
    let dropped = |name: &str| served.metric(name, &["collector_unavailable"]);
    eventually("lines and data points are dropped", || {
        dropped("gwd_otlp_log_records_dropped_total") == 1.0
            && dropped("gwd_otlp_metric_points_dropped_total") > 30.0
    });
    let before = durations(&collector).len();
    is_down.store(false, Ordering::SeqCst);
    assert_eq!(get(served.address, "/orders/7").status, 200);
    let last = || durations(&collector).get(before..).map(<[_]>::to_vec);
    eventually("the next export has all requests", || {
        last()
            .unwrap_or_default()
            .iter()
            .any(|point| point.count == 2)
    });
    eventually("the next line is exported", || {
        served.metric("gwd_otlp_log_records_exported_total", &[]) == 1.0
    });
}

#[test]
fn slow_collector_of_logs_delays_no_metrics() {
    let upstream = Upstream::saying("hello");
    let slow = Upstream::start(|_, _| {
        // The collector reads requests, and never answers.
        Then::Keep
    });
    let fast = collector(accept);
    let shop = shop(upstream.address, vec![op("GET", "/orders/{id}")]);
    let mut logs = export(&slow, Signal::Logs);
    logs.timeout = Duration::from_secs(600);
    let served = shop.serve_by(Settings {
        log_export: Some(logs),
        ..with_metrics(&fast, INTERVAL)
    });
    get(served.address, "/orders/7");
    eventually("the line is sent", || !slow.seen().is_empty());
    let before = durations(&fast).len();
    eventually("metrics are exported", || {
        durations(&fast).len() > before + 1
    });
}

#[test]
fn retry_after_of_a_refusing_collector_is_kept() {
    let upstream = Upstream::saying("hello");
    let count = AtomicUsize::new(0);
    let collector = collector(
        move |_, stream| match count.fetch_add(1, Ordering::SeqCst) {
            0 => respond(stream, "429 Slow Down\r\nretry-after: 1", &[]),
            _ => respond(stream, "200 OK", &[]),
        },
    );
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut settings = with_logs(&collector);
    settings.log_export.as_mut().unwrap().timeout = WAIT_MAX;
    let served = shop.serve_by(settings);
    get(served.address, "/a");
    eventually("the line is sent", || !collector.seen().is_empty());
    let began = Instant::now();
    eventually("the line is sent again", || collector.seen().len() == 2);
    assert!(
        began.elapsed() > Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    eventually("the line is exported", || {
        served.metric("gwd_otlp_log_records_exported_total", &[]) == 1.0
    });
    let dropped = served.metric("gwd_otlp_log_records_dropped_total", &["collector"]);
    assert_eq!(dropped, 0.0);
}

#[test]
fn items_that_a_collector_rejects_are_counted() {
    let upstream = Upstream::saying("hello");
    let collector = collector(|seen, stream| {
        let body = if seen.line().contains("/v1/logs") {
            let rejected_log_records = 1;
            ExportLogsServiceResponse {
                partial_success: Some(ExportLogsPartialSuccess {
                    rejected_log_records,
                    error_message: "no room".to_owned(),
                }),
            }
            .encode_to_vec()
        } else {
            ExportMetricsServiceResponse {
                partial_success: Some(ExportMetricsPartialSuccess {
                    rejected_data_points: 3,
                    error_message: "no room".to_owned(),
                }),
            }
            .encode_to_vec()
        };
        respond(stream, "200 OK", &body);
    });
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let hour = Duration::from_secs(3_600);
    let mut served = shop.serve_by(Settings {
        log_export: Some(export(&collector, Signal::Logs)),
        ..with_metrics(&collector, hour)
    });
    get(served.address, "/a");
    get(served.address, "/a");
    served.node.drain(WAIT_MAX, &|| false);
    let of = |name: &str, labels: &[&str]| served.metric(name, labels);
    let refused = ["collector_refused"];
    assert_eq!(of("gwd_otlp_log_records_dropped_total", &refused), 1.0);
    assert_eq!(of("gwd_otlp_log_records_exported_total", &[]), 1.0);
    assert_eq!(of("gwd_otlp_metric_points_dropped_total", &refused), 3.0);
    assert!(of("gwd_otlp_metric_points_exported_total", &[]) > 30.0);
}

#[test]
fn full_queue_of_lines_drops_no_requests() {
    let upstream = Upstream::saying("hello");
    let slow = Upstream::start(|_, _| Then::Keep);
    let shop = shop(upstream.address, vec![op("GET", "/{name}")]);
    let mut settings = with_logs(&slow);
    settings.log_export.as_mut().unwrap().timeout = Duration::from_secs(600);
    let served = shop.serve_by(settings);
    // A buffer has 32 KiB: about five of these lines.
    let path = format!("/{}", "a".repeat(6_000));
    let mut client = Client::connect(served.address);
    let dropped = || served.metric("gwd_otlp_log_records_dropped_total", &["queue_full"]);
    eventually("the queue is full", || {
        for _ in 0..200 {
            client.send(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
            assert_eq!(client.answer().status, 200);
        }
        dropped() > 0.0
    });
}
