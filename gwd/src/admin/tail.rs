//! Live access log lines of ended requests (`/v1/tail`), with filters.

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, Interval, interval_at};

use crate::telemetry::tail::Tail;

/// Interval at which an empty line is sent, so that each side notices that the other is gone: 15s.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Maximum number of values of one filter.
const VALUES_MAX: usize = 64;

/// Request body of `/v1/tail`. A request is shown if it matches each filter that has values. It
/// matches a filter if it matches one of the filter's values.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TailOrder {
    /// Statuses (`404`) or classes of statuses (`5xx`).
    status: Vec<String>,
    /// Request methods.
    method: Vec<String>,
    /// Prefixes of the path.
    path: Vec<String>,
    /// Operations, as in the field `operation_id` of the access log.
    operation: Vec<String>,
    /// Consumers.
    consumer: Vec<String>,
    /// Upstreams.
    upstream: Vec<String>,
    /// Reasons of refusals and failures.
    reason: Vec<String>,
    /// IP addresses of clients.
    client: Vec<String>,
    /// Minimum duration of the request, in milliseconds.
    slower_than_ms: Option<u64>,
}

/// Filter of the lines of one reader.
#[derive(Debug, Default)]
pub(super) struct Filter {
    order: TailOrder,
    statuses: Vec<Statuses>,
}

/// Statuses that a filter shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statuses {
    /// All statuses with this first digit.
    Class(u16),
    One(u16),
}

/// Fields of an access log line that filters compare.
#[derive(Deserialize)]
struct Ended<'l> {
    #[serde(default)]
    status: u16,
    #[serde(borrow, default)]
    http_method: Cow<'l, str>,
    #[serde(borrow, default)]
    path: Cow<'l, str>,
    #[serde(borrow, default)]
    operation_id: Cow<'l, str>,
    #[serde(borrow, default)]
    consumer_id: Cow<'l, str>,
    #[serde(borrow, default)]
    upstream: Cow<'l, str>,
    #[serde(borrow, default)]
    reason: Cow<'l, str>,
    #[serde(borrow, default)]
    client_ip: Cow<'l, str>,
    #[serde(borrow, default)]
    peer_ip: Cow<'l, str>,
    #[serde(default)]
    duration_ms: f64,
}

/// Response body of `/v1/tail`: sends the access log line of each request that ends. The body has
/// no end.
#[derive(Debug)]
pub(super) struct Lines {
    tail: Tail,
    filter: Filter,
    heartbeat: Interval,
}

// === impl Filter ===

impl Filter {
    /// Creates a filter from the body of a request, and checks the values.
    ///
    /// # Errors
    /// If a status is invalid, or if a filter has too many values.
    pub(super) fn new(order: TailOrder) -> Result<Self, String> {
        let lists = [
            &order.status,
            &order.method,
            &order.path,
            &order.operation,
            &order.consumer,
            &order.upstream,
            &order.reason,
            &order.client,
        ];
        if lists.iter().any(|values| values.len() > VALUES_MAX) {
            return Err(format!("a filter has at most {VALUES_MAX} values"));
        }
        let statuses = order.status.iter().map(|text| Statuses::parse(text));
        Ok(Self {
            statuses: statuses.collect::<Result<_, _>>()?,
            order,
        })
    }

    /// True if the request of an access log line matches the filter.
    fn shows(&self, line: &[u8]) -> bool {
        let Ok(ended) = serde_json::from_slice::<Ended<'_>>(line) else {
            return false;
        };
        let one_of = |values: &[String], value: &str| {
            values.is_empty() || values.iter().any(|one| one == value)
        };
        let (order, statuses) = (&self.order, &self.statuses);
        let slower_than_ms = order.slower_than_ms.unwrap_or(0) as f64;
        let mut paths = order.path.iter();
        let client = match ended.client_ip.is_empty() {
            true => &ended.peer_ip,
            false => &ended.client_ip,
        };
        (statuses.is_empty() || statuses.iter().any(|one| one.fit(ended.status)))
            && one_of(&order.method, &ended.http_method)
            && (order.path.is_empty() || paths.any(|start| ended.path.starts_with(&**start)))
            && one_of(&order.operation, &ended.operation_id)
            && one_of(&order.consumer, &ended.consumer_id)
            && one_of(&order.upstream, &ended.upstream)
            && one_of(&order.reason, &ended.reason)
            && one_of(&order.client, client)
            && ended.duration_ms >= slower_than_ms
    }
}

impl Statuses {
    fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u16>().ok(),
            false => None,
        };
        let parsed = match text.strip_suffix("xx") {
            Some(digit) => number(digit)
                .filter(|one| (1..=5).contains(one))
                .map(Self::Class),
            None => number(text)
                .filter(|one| (100..=599).contains(one))
                .map(Self::One),
        };
        parsed.ok_or_else(|| {
            format!(
                "`{}` is not a status: write `404` or `5xx`",
                text.escape_debug()
            )
        })
    }

    const fn fit(self, status: u16) -> bool {
        match self {
            Self::Class(digit) => status / 100 == digit,
            Self::One(own) => status == own,
        }
    }
}

// === impl Lines ===

impl Lines {
    /// Creates the body for a reader. Must be called inside a tokio runtime.
    pub(super) fn new(tail: Tail, filter: Filter) -> Self {
        Self {
            tail,
            filter,
            heartbeat: interval_at(Instant::now() + HEARTBEAT, HEARTBEAT),
        }
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = |bytes: Bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        let dropped = self.tail.take_dropped();
        if dropped > 0 {
            return frame(format!("{}\n", json!({"dropped_lines": dropped})).into());
        }
        while let Poll::Ready(line) = self.tail.poll_next(cx) {
            match line {
                Some(line) if self.filter.shows(&line) => return frame(line),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
        match self.heartbeat.poll_tick(cx) {
            Poll::Ready(_) => frame(Bytes::from_static(b"\n")),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"info","http_method":"GET","peer_ip":"10.0.0.1","operation_id":"getOrder","upstream":"orders","consumer_id":"acme","client_ip":"192.0.2.7","path":"/orders/\u00e9","status":503,"reason":"upstream_timeout","duration_ms":250.125}"#;

    fn shows(order: &str, line: &str) -> bool {
        let order = serde_json::from_str(order).unwrap();
        Filter::new(order).unwrap().shows(line.as_bytes())
    }

    #[test]
    fn each_filter_compares_its_field() {
        for (fits, fails) in [
            (r#"{"status":["404","5xx"]}"#, r#"{"status":["404","502"]}"#),
            (r#"{"method":["GET"]}"#, r#"{"method":["get"]}"#),
            (
                r#"{"path":["/a","/orders/é"]}"#,
                r#"{"path":["/orders/e"]}"#,
            ),
            (r#"{"operation":["getOrder"]}"#, r#"{"operation":["get"]}"#),
            (r#"{"consumer":["acme"]}"#, r#"{"consumer":["other"]}"#),
            (r#"{"upstream":["orders"]}"#, r#"{"upstream":["order"]}"#),
            (r#"{"reason":["upstream_timeout"]}"#, r#"{"reason":[""]}"#),
            (r#"{"client":["192.0.2.7"]}"#, r#"{"client":["10.0.0.1"]}"#),
            (r#"{"slower_than_ms":250}"#, r#"{"slower_than_ms":251}"#),
        ] {
            assert!(shows(fits, LINE), "{fits}");
            assert!(!shows(fails, LINE), "{fails}");
        }
        assert!(shows("{}", LINE));
        assert!(!shows(r#"{"status":["5xx"],"method":["POST"]}"#, LINE));
    }

    #[test]
    fn lines_of_refused_heads_fit_by_peer() {
        let line = r#"{"peer_ip":"10.0.0.1","status":400,"reason":"bad_request"}"#;
        assert!(shows(r#"{"status":["400"],"client":["10.0.0.1"]}"#, line));
        assert!(!shows(r#"{"path":["/"]}"#, line));
    }

    #[test]
    fn wrong_filters_are_refused() {
        for status in ["", "xx", "6xx", "99", "600", "4x", "4xxx", "+404", "5 xx"] {
            let order = TailOrder {
                status: vec![status.to_owned()],
                ..TailOrder::default()
            };
            let why = Filter::new(order).unwrap_err();
            assert!(why.ends_with("write `404` or `5xx`"), "{why}");
        }
        let order = TailOrder {
            path: vec![String::new(); VALUES_MAX + 1],
            ..TailOrder::default()
        };
        assert!(Filter::new(order).is_err());
        assert!(serde_json::from_str::<TailOrder>(r#"{"state":[]}"#).is_err());
    }
}
