//! Thread that sends the spans of finished requests to a collector, in batches, by OTLP over
//! HTTP/1.1 with protocol buffers.
//!
//! A batch that the collector cannot accept now is sent again, with backoff, until the time limit
//! of the batch. Its spans are then dropped and counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc as blocking;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connection::{Connection, Response};
use super::context::Tracer;
use super::span::RequestSpans;
use super::{Settings, b3, encode};
use crate::runtime::clock::{Clock, unix_ms};
use crate::runtime::program_log::{Level, event};
use crate::runtime::random::Random;
use crate::telemetry::process::{Counters, DroppedSpans};

/// Maximum number of finished requests in the queue of the exporting thread.
const QUEUE_MAX: usize = 2_048;
/// Number of spans at which a batch is sent.
const BATCH_SPANS: u64 = 512;
/// Maximum time from the first request in a batch until the batch is sent: 1s.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// Wait before the first repetition of a batch: 250ms. Doubles with each repetition, up to
/// [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// Maximum wait between two repetitions of a batch: 5s.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Maximum wait that a collector may request by `Retry-After`: 30s.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Maximum time to send the remaining spans when the process stops: 2s.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Handle of the exporting thread.
pub(crate) struct Exporter {
    queue: mpsc::Sender<Box<RequestSpans>>,
    ratio: f64,
    b3: Option<b3::Form>,
    /// Time until which the remaining spans may be sent. `None`: the process does not stop.
    stop: watch::Sender<Option<Instant>>,
    /// Disconnected when the thread has ended.
    ended: blocking::Receiver<()>,
}

impl Exporter {
    /// Starts the exporting thread.
    ///
    /// # Errors
    /// If the thread or its runtime cannot be created.
    pub(crate) fn start(
        settings: &Settings,
        clock: Clock,
        process: &Arc<Counters>,
    ) -> io::Result<Self> {
        let (queue, received) = mpsc::channel(QUEUE_MAX);
        let (stop, stopping) = watch::channel(None);
        let (end, ended) = blocking::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut export = Export {
            settings: settings.clone(),
            clock,
            process: Arc::clone(process),
            received,
            stopping,
            connection: None,
            random: Random::new(),
            has_outage: false,
        };
        std::thread::Builder::new()
            .name("traces".into())
            .spawn(move || {
                let _end: blocking::Sender<()> = end;
                runtime.block_on(export.run());
            })?;
        Ok(Self {
            queue,
            ratio: settings.ratio,
            b3: settings.b3,
            stop,
            ended,
        })
    }

    /// Sampler of one worker, with access to the queue.
    pub(crate) fn tracer(&self) -> Tracer {
        Tracer::new(self.queue.clone(), self.ratio, self.b3)
    }

    /// Sends the spans in the queue, and ends the thread. Takes at most [`STOP_MAX`] plus
    /// [`BACKOFF_MIN`].
    pub(crate) fn finish(&self) {
        self.stop.send_replace(Some(Instant::now() + STOP_MAX));
        // An error means that the thread has ended, or that the time has passed.
        let _ended = self.ended.recv_timeout(STOP_MAX + BACKOFF_MIN);
    }
}

impl Drop for Exporter {
    /// Ends the thread, which drops the spans that it has not sent.
    fn drop(&mut self) {
        self.stop.send_replace(Some(Instant::now()));
    }
}

/// State of the exporting thread.
struct Export {
    settings: Settings,
    clock: Clock,
    process: Arc<Counters>,
    received: mpsc::Receiver<Box<RequestSpans>>,
    stopping: watch::Receiver<Option<Instant>>,
    connection: Option<Connection>,
    random: Random,
    /// True if the last batch was dropped: its failure is in the program log.
    has_outage: bool,
}

/// Failure to deliver a batch.
enum Failure {
    /// The collector may accept the batch later. Contains the wait that the collector requests.
    Temporary(Option<Duration>, String),
    /// The collector does not accept the batch.
    Refused(String),
}

/// Spans of several requests.
#[derive(Default)]
struct Batch {
    requests: Vec<RequestSpans>,
    spans: u64,
}

impl Batch {
    fn add(&mut self, request: RequestSpans) {
        self.spans += request.count();
        self.requests.push(request);
    }
}

impl Export {
    /// Exports spans until the process stops.
    async fn run(&mut self) {
        let mut runs = true;
        while runs {
            let mut batch = Batch::default();
            runs = self.collect(&mut batch).await;
            self.deliver(batch).await;
        }
        loop {
            let mut rest = Batch::default();
            while rest.spans < BATCH_SPANS
                && let Ok(request) = self.received.try_recv()
            {
                rest.add(*request);
            }
            if rest.spans == 0 {
                return;
            }
            self.deliver(rest).await;
        }
    }

    /// Receives the requests of a batch. Returns false if the process stops.
    async fn collect(&mut self, batch: &mut Batch) -> bool {
        let mut until = None;
        while batch.spans < BATCH_SPANS {
            if self.stopping.borrow().is_some() {
                return false;
            }
            let next = async {
                match until {
                    None => Ok(self.received.recv().await),
                    Some(until) => timeout_at(until, self.received.recv()).await,
                }
            };
            let next = tokio::select! {
                next = next => next,
                _ = self.stopping.changed() => return false,
            };
            match next {
                Ok(Some(request)) => batch.add(*request),
                Ok(None) => return false,
                Err(_) => break,
            }
            until.get_or_insert_with(|| Instant::now() + BATCH_DELAY);
        }
        true
    }

    /// Sends a batch, again if the collector is not available, until its time limit. Counts the
    /// spans as exported or dropped.
    async fn deliver(&mut self, batch: Batch) {
        if batch.spans == 0 {
            return;
        }
        let body = self.encode(&batch);
        let limit = Instant::now() + self.settings.timeout;
        let mut backoff = BACKOFF_MIN;
        let (reason, why) = loop {
            let until = self.until(limit);
            let sent = timeout_at(until, self.send(body.clone(), batch.spans)).await;
            let failure = sent.unwrap_or_else(|_| {
                self.connection = None;
                let why = "it does not answer in time".to_owned();
                Err(Failure::Temporary(None, why))
            });
            let (requested, why) = match failure {
                Ok(()) => return self.delivered(),
                Err(Failure::Refused(why)) => break (DroppedSpans::CollectorRefused, why),
                Err(Failure::Temporary(requested, why)) => (requested, why),
            };
            // A longer wait that the collector requests replaces the backoff. A shorter one has no
            // effect.
            let requested = requested.unwrap_or_default().min(RETRY_AFTER_MAX);
            let wait = requested.max(self.jittered(backoff));
            backoff = (2 * backoff).min(BACKOFF_MAX);
            let next = Instant::now() + wait;
            if next >= self.until(limit) {
                break (DroppedSpans::CollectorUnavailable, why);
            }
            tokio::select! {
                () = sleep_until(next) => {}
                _ = self.stopping.changed() => {}
            }
        };
        self.process.spans_dropped(reason, batch.spans);
        self.failed(&why);
    }

    /// Message with the spans of a batch.
    fn encode(&self, batch: &Batch) -> Bytes {
        let now_ns = u128::from(self.clock.now_ns());
        let began_ns = u128::from(unix_ms()) * 1_000_000;
        let unix_ns = |at_ns: u64| {
            let at_ns = (began_ns + u128::from(at_ns)).saturating_sub(now_ns);
            u64::try_from(at_ns).unwrap_or(u64::MAX)
        };
        let request = encode::request(&self.settings.resource, &batch.requests, unix_ns);
        request.encode_to_vec().into()
    }

    /// Sends a batch once. If a reused connection breaks, sends the batch again on a new
    /// connection.
    async fn send(&mut self, body: Bytes, spans: u64) -> Result<(), Failure> {
        let temporary = |why| Failure::Temporary(None, why);
        let kept = self.connection.take();
        if let Some(mut connection) = kept.filter(|one| !one.is_closed())
            && let Ok(response) = connection.post(&self.settings, body.clone()).await
        {
            self.connection = Some(connection);
            return self.check_response(&response, spans);
        }
        let opened = Connection::open(&self.settings.endpoint).await;
        let mut connection = opened.map_err(temporary)?;
        let response = connection.post(&self.settings, body).await;
        let response = response.map_err(temporary)?;
        self.connection = Some(connection);
        self.check_response(&response, spans)
    }

    /// Reads the response to a batch, as OTLP/HTTP specifies. Counts its spans if the collector
    /// accepts it.
    fn check_response(&self, response: &Response, spans: u64) -> Result<(), Failure> {
        let status = response.status;
        let why = format!("it answers with status {}", status.as_u16());
        if status.is_success() {
            let read = ExportTraceServiceResponse::decode(&*response.body);
            let partial = read.ok().and_then(|read| read.partial_success);
            let rejected = partial.map_or(0, |partial| partial.rejected_spans);
            let rejected = u64::try_from(rejected).unwrap_or(0).min(spans);
            if rejected > 0 {
                let reason = DroppedSpans::CollectorRefused;
                self.process.spans_dropped(reason, rejected);
            }
            let exported = &self.process.spans_exported;
            exported.fetch_add(spans - rejected, Ordering::Relaxed);
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

    /// Time until which a batch may be sent: `limit`, or the time limit of a stop if that is
    /// earlier.
    fn until(&self, limit: Instant) -> Instant {
        let stop = *self.stopping.borrow();
        stop.map_or(limit, |stop| stop.min(limit))
    }

    /// Random part of a wait, from one half up to the whole.
    fn jittered(&self, wait: Duration) -> Duration {
        let half_ms = u64::try_from(wait.as_millis()).unwrap_or(0) / 2;
        Duration::from_millis(half_ms + self.random.next() % (half_ms + 1))
    }

    fn delivered(&mut self) {
        if std::mem::take(&mut self.has_outage) {
            let endpoint = self.settings.endpoint.to_string();
            let message = "traces are exported again";
            event(Level::Info, message, json!({"collector": endpoint}));
        }
    }

    /// Logs the first failure of an outage.
    fn failed(&mut self, why: &str) {
        if std::mem::replace(&mut self.has_outage, true) {
            return;
        }
        event(
            Level::Warn,
            "traces cannot be exported; their spans are dropped",
            json!({
                "collector": self.settings.endpoint.to_string(),
                "error": why,
                "do": "check the collector and --otlp; gwd_trace_dropped_total counts the spans",
            }),
        );
    }
}
