//! Responses of a collector of traces that must not stop or burden the export: requests for a long
//! wait or for none, and informational responses without end.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gwd::node::Settings;

use crate::fixture::*;
use crate::traces::traced;

/// Collector that answers the first `count` requests with this head, and the others with 200.
fn collector(count: usize, head: &'static str) -> Upstream {
    let answered = AtomicUsize::new(0);
    Upstream::start(move |_, stream| {
        let head = match answered.fetch_add(1, Ordering::SeqCst) < count {
            true => head,
            false => "HTTP/1.1 200 OK\r\n",
        };
        let _gone = write!(stream, "{head}content-length: 0\r\n\r\n");
        Then::Keep
    })
}

/// Gateway that samples each request to its operation `/a`. `timeout`: maximum time to deliver a
/// batch.
fn exporting(upstream: &Upstream, collector: &Upstream, timeout: Duration) -> Served {
    let mut settings: Settings = traced(&format!("http://{}", collector.address), 1.0);
    settings.traces.as_mut().unwrap().export.timeout = timeout;
    shop(upstream.address, vec![op("GET", "/a")]).serve_by(settings)
}

#[test]
fn endless_retry_after_does_not_end_the_export() {
    let upstream = Upstream::saying("hello");
    let head = "HTTP/1.1 503 Busy\r\nretry-after: 18446744073709551615\r\n";
    let collector = collector(1, head);
    let served = exporting(&upstream, &collector, Duration::from_millis(400));
    get(served.address, "/a");
    eventually("the batch is dropped", || {
        served.metric("gwd_trace_dropped_total", &["collector_unavailable"]) == 2.0
    });
    get(served.address, "/a");
    eventually("the next batch is exported", || {
        served.metric("gwd_trace_exported_total", &[]) == 2.0
    });
    assert_eq!(
        served.metric("gwd_trace_dropped_total", &["exporter_ended"]),
        0.0
    );
}

#[test]
fn retry_after_of_0_keeps_the_backoff() {
    let upstream = Upstream::saying("hello");
    let collector = collector(usize::MAX, "HTTP/1.1 503 Busy\r\nretry-after: 0\r\n");
    let served = exporting(&upstream, &collector, Duration::from_millis(400));
    get(served.address, "/a");
    eventually("the batch is dropped", || {
        served.metric("gwd_trace_dropped_total", &["collector_unavailable"]) == 2.0
    });
    // The waits are at least 125 ms and 250 ms.
    let requests = collector.seen().len();
    assert!((2..=3).contains(&requests), "{requests}");
}

#[test]
fn informational_responses_are_bounded() {
    let upstream = Upstream::saying("hello");
    let collector = Upstream::start(|_, stream| {
        while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").is_ok() {}
        Then::Close
    });
    let served = exporting(&upstream, &collector, WAIT_MAX);
    get(served.address, "/a");
    eventually("the batch is sent again", || collector.seen().len() > 1);
}
