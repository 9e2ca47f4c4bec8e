//! Delivery of the messages of one signal to its collector.
//!
//! A message that the collector cannot accept now is sent again, with backoff, until the time limit
//! of the message. Its items are then dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{ExportSettings, Stop};
use crate::client::{Connection, Post, Response};
use crate::runtime::program_log::{Level, event};
use crate::runtime::random::Random;
use crate::telemetry::process::{Counters, DropReason};
use crate::telemetry::signal::Signal;

/// Wait before the first repetition of a message: 250ms. Doubles with each repetition, up to
/// [`BACKOFF_MAX`].
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// Maximum wait between two repetitions of a message: 5s.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Maximum wait that a collector may request by `Retry-After`: 30s.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Access of one signal to its collector.
pub(crate) struct Delivery {
    signal: Signal,
    settings: ExportSettings,
    process: Arc<Counters>,
    stop: Stop,
    connection: Option<Connection>,
    random: Random,
    /// True if the last message was dropped: its failure is in the program log.
    has_outage: bool,
}

/// Failure to deliver a message.
enum Failure {
    /// The collector may accept the message later. Contains the wait that the collector requests.
    Temporary(Option<Duration>, String),
    /// The collector does not accept the message.
    Refused(String),
}

impl Delivery {
    pub(crate) fn new(
        signal: Signal,
        settings: &ExportSettings,
        process: &Arc<Counters>,
        stop: Stop,
    ) -> Self {
        Self {
            signal,
            settings: settings.clone(),
            process: Arc::clone(process),
            stop,
            connection: None,
            random: Random::new(),
            has_outage: false,
        }
    }

    /// Attributes of the resource that sends the messages.
    pub(crate) fn resource(&self) -> &[(String, String)] {
        &self.settings.resource
    }

    /// Counts items that are dropped without an attempt to send them.
    pub(super) fn drop_items(&self, why: DropReason, items: u64) {
        self.process.export_dropped(self.signal, why, items);
    }

    /// Sends a message with a number of items, again if the collector is not available, until its
    /// time limit. Counts the items as exported or dropped. Returns the reason if they were dropped.
    pub(crate) async fn deliver(&mut self, body: Bytes, items: u64) -> Result<(), DropReason> {
        let limit = Instant::now() + self.settings.timeout;
        self.deliver_until(body, items, limit).await
    }

    /// Like [`Self::deliver`], with another time limit.
    pub(super) async fn deliver_until(
        &mut self,
        body: Bytes,
        items: u64,
        limit: Instant,
    ) -> Result<(), DropReason> {
        let mut backoff = BACKOFF_MIN;
        let (reason, why) = loop {
            let until = self.stop.earlier(limit);
            let sent = timeout_at(until, self.send(body.clone(), items)).await;
            let failure = sent.unwrap_or_else(|_| {
                self.connection = None;
                let why = "it does not answer in time".to_owned();
                Err(Failure::Temporary(None, why))
            });
            let (requested, why) = match failure {
                Ok(()) => {
                    self.delivered();
                    return Ok(());
                }
                Err(Failure::Refused(why)) => break (DropReason::CollectorRefused, why),
                Err(Failure::Temporary(requested, why)) => (requested, why),
            };
            // A longer wait that the collector requests replaces the backoff. A shorter one has no
            // effect.
            let requested = requested.unwrap_or_default().min(RETRY_AFTER_MAX);
            let wait = requested.max(self.jittered(backoff));
            backoff = (2 * backoff).min(BACKOFF_MAX);
            let next = Instant::now() + wait;
            if next >= self.stop.earlier(limit) {
                break (DropReason::CollectorUnavailable, why);
            }
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.stop.begun() => {}
            }
        };
        self.drop_items(reason, items);
        self.failed(&why);
        Err(reason)
    }

    /// Sends a message once. If a reused connection breaks, sends the message again on a new
    /// connection.
    async fn send(&mut self, body: Bytes, items: u64) -> Result<(), Failure> {
        let temporary = |why| Failure::Temporary(None, why);
        let settings = self.settings.clone();
        let post = Post {
            endpoint: &settings.endpoint,
            headers: &settings.headers,
            content_type: HeaderValue::from_static("application/x-protobuf"),
        };
        let kept = self.connection.take();
        if let Some(mut connection) = kept.filter(|one| !one.is_closed())
            && let Ok(response) = connection.post(&post, body.clone()).await
        {
            self.connection = Some(connection);
            return self.check_response(&response, items);
        }
        let opened = Connection::open(&self.settings.endpoint).await;
        let mut connection = opened.map_err(temporary)?;
        let response = connection.post(&post, body).await;
        let response = response.map_err(temporary)?;
        self.connection = Some(connection);
        self.check_response(&response, items)
    }

    /// Reads the response to a message, as OTLP/HTTP specifies. Counts the items if the collector
    /// accepts them.
    fn check_response(&self, response: &Response, items: u64) -> Result<(), Failure> {
        let status = response.status;
        let why = format!("it answers with status {}", status.as_u16());
        if status.is_success() {
            let rejected = u64::try_from(self.rejected(&response.body)).unwrap_or(0);
            let rejected = rejected.min(items);
            if rejected > 0 {
                self.drop_items(DropReason::CollectorRefused, rejected);
            }
            self.process.exported(self.signal, items - rejected);
            return Ok(());
        }
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let wait = response.retry_after_s.map(Duration::from_secs);
                Err(Failure::Temporary(wait, why))
            }
            _ => Err(Failure::Refused(why)),
        }
    }

    /// Number of items that the collector rejects in its response (partial success).
    fn rejected(&self, body: &[u8]) -> i64 {
        let rejected = match self.signal {
            Signal::Traces => ExportTraceServiceResponse::decode(body)
                .ok()
                .and_then(|read| Some(read.partial_success?.rejected_spans)),
            Signal::Metrics => ExportMetricsServiceResponse::decode(body)
                .ok()
                .and_then(|read| Some(read.partial_success?.rejected_data_points)),
            Signal::Logs => ExportLogsServiceResponse::decode(body)
                .ok()
                .and_then(|read| Some(read.partial_success?.rejected_log_records)),
        };
        rejected.unwrap_or(0)
    }

    /// Random part of a wait, from one half up to the whole.
    fn jittered(&self, wait: Duration) -> Duration {
        let half_ms = u64::try_from(wait.as_millis()).unwrap_or(0) / 2;
        Duration::from_millis(half_ms + self.random.next() % (half_ms + 1))
    }

    fn delivered(&mut self) {
        if std::mem::take(&mut self.has_outage) {
            let endpoint = self.settings.endpoint.to_string();
            let message = format!("{} are exported again", self.signal.name());
            event(Level::Info, &message, json!({"collector": endpoint}));
        }
    }

    /// Logs the first failure of an outage.
    fn failed(&mut self, why: &str) {
        if std::mem::replace(&mut self.has_outage, true) {
            return;
        }
        let (message, counter) = match self.signal {
            Signal::Traces => (
                "traces cannot be exported; their spans are dropped",
                "gwd_trace_dropped_total counts the spans",
            ),
            Signal::Metrics => (
                "metrics cannot be exported; the next export has their new values",
                "gwd_otlp_metric_points_dropped_total counts the data points",
            ),
            Signal::Logs => (
                "logs cannot be exported; their records are dropped",
                "gwd_otlp_log_records_dropped_total counts the records",
            ),
        };
        event(
            Level::Warn,
            message,
            json!({
                "collector": self.settings.endpoint.to_string(),
                "error": why,
                "do": format!("check the collector and --otlp; {counter}"),
            }),
        );
    }
}
