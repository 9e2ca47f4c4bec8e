//! Tests of the formats of `/metrics`: the text of Prometheus, OpenMetrics with exemplars, and gzip.
//! The parser of OpenMetrics is that of Prometheus' client for Python.

use std::collections::BTreeSet;
use std::io::Read as _;

use e2e::client::{Connection, Response};
use e2e::gateway::{Gateway, Options};
use e2e::peers::{MISSING, Peer};
use e2e::project::Project;
use e2e::upstream::Upstream;
use serde_json::{Value, json};

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: s, version: \"1\"}
paths:
  /a: {get: {responses: {\"200\": {description: ok}}}}
";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Starts a gateway that traces, although nothing accepts its spans.
fn gateway() -> (Gateway, Upstream, Project) {
    let upstream = Upstream::start();
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         defaults: {{upstream: u, security: upstream}}\nrelease: {{store: releases, channel: prod}}\n",
        upstream.url()
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    let options = Options::of(&project).arguments(&[
        "--otlp",
        "http://127.0.0.1:9",
        "--otlp-signals",
        "traces",
    ]);
    (options.start(), upstream, project)
}

fn scrape(gateway: &Gateway, fields: &str) -> Response {
    let mut admin = Connection::open_unix(&gateway.admin()).expect("the admin socket");
    let request = format!("GET /metrics HTTP/1.1\nhost: localhost\n{fields}");
    admin.ask(&request).expect("metrics")
}

/// Names of the samples of a text in the format of Prometheus.
fn names(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split(['{', ' ']).next());
    names.map(str::to_owned).collect()
}

#[test]
fn openmetrics_has_exemplars_of_sampled_requests() {
    let Some(mut parser) = Peer::python("openmetrics.py", &[""; 0]) else {
        return prerequisite::skip(MISSING);
    };
    let (gateway, upstream, _project) = gateway();
    let asks = |flags: &str, trace: &str| {
        let head =
            format!("GET /a HTTP/1.1\nhost: s\ntraceparent: 00-{trace}-00f067aa0ba902b7-{flags}");
        assert_eq!(gateway.ask(&head).status, 200);
    };
    asks("01", TRACE);
    asks("00", "00000000000000000000000000000001");
    // The field that Prometheus sends.
    let accepted = "accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let scraped = scrape(&gateway, accepted);
    assert_eq!(
        scraped.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let samples = parser.ask(&json!(scraped.text()));
    assert!(samples.is_array(), "{samples}");
    let samples: Vec<&Value> = samples.as_array().into_iter().flatten().collect();
    let with = |name: &str| {
        let found = samples.iter().find(|one| one["name"] == name);
        found.copied().unwrap_or(&Value::Null)
    };
    assert_eq!(with("gwd_bundle_activations_total")["kind"], "counter");
    assert_eq!(
        with("gwd_bundle_activations_total")["family"],
        "gwd_bundle_activations"
    );
    let count = with("http_server_request_duration_seconds_count");
    assert_eq!(
        (&count["kind"], &count["value"]),
        (&json!("histogram"), &json!(2))
    );
    assert_eq!(count["labels"]["http_route"], "/a");
    assert_eq!(
        with("gwd_upstream_connect_duration_seconds_count")["value"],
        upstream.connections()
    );
    let exemplars: Vec<&&Value> = samples
        .iter()
        .filter(|one| !one["exemplar"].is_null())
        .collect();
    let [only] = &exemplars[..] else {
        panic!("{exemplars:?}");
    };
    assert_eq!(only["name"], "http_server_request_duration_seconds_bucket");
    assert_eq!(only["exemplar"]["labels"]["trace_id"], TRACE);
    let (value, bound) = (&only["exemplar"]["value"], &only["labels"]["le"]);
    let bound = bound.as_str().map(|bound| bound.replace("+Inf", "inf"));
    let bound: f64 = bound.and_then(|bound| bound.parse().ok()).expect("a bound");
    assert!(
        value
            .as_f64()
            .is_some_and(|value| value > 0.0 && value <= bound),
        "{only}"
    );
    // The other format has the same samples.
    let plain = scrape(&gateway, "accept: */*");
    assert_eq!(
        plain.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let parsed = samples
        .iter()
        .map(|one| one["name"].as_str().unwrap_or_default().to_owned());
    assert_eq!(parsed.collect::<BTreeSet<_>>(), names(&plain.text()));
    let refused = scrape(
        &gateway,
        "accept: application/openmetrics-text;q=0, text/plain",
    );
    assert!(!refused.text().contains("# EOF"));
}

#[test]
fn metrics_are_compressed_on_request() {
    let (gateway, _upstream, _project) = gateway();
    let scraped = scrape(&gateway, "accept-encoding: gzip");
    assert_eq!(scraped.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&scraped.body[..]);
    decoder.read_to_string(&mut text).expect("gzip");
    let plain = scrape(&gateway, "accept-encoding: gzip;q=0, identity");
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(names(&text), names(&plain.text()));
    assert!(
        scraped.body.len() * 4 < text.len(),
        "{}",
        scraped.body.len()
    );
}
