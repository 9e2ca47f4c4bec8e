//! Export of the spans of finished requests, in batches.

use tokio::sync::mpsc;

use prost::Message as _;

use super::context::Tracer;
use super::span::RequestSpans;
use super::{Settings, b3, encode};
use crate::runtime::clock::{Clock, unix_ms};
use crate::telemetry::otlp::{Batches, Delivery, Stop};

/// Maximum number of finished requests in the queue of the exporting thread.
const QUEUE_MAX: usize = 2_048;
/// Number of spans at which a batch is sent.
const BATCH_SPANS: u64 = 512;

/// Queue of the spans of finished requests.
pub(crate) struct SpanQueue {
    queue: mpsc::Sender<Box<RequestSpans>>,
    ratio: f64,
    b3: Option<b3::Form>,
}

impl SpanQueue {
    /// Sampler of one worker, with access to the queue.
    pub(crate) fn tracer(&self) -> Tracer {
        Tracer::new(self.queue.clone(), self.ratio, self.b3)
    }
}

/// Task that exports spans.
pub(crate) struct SpanExport {
    delivery: Delivery,
    clock: Clock,
    batches: Batches<Box<RequestSpans>>,
}

/// Spans of several requests.
#[derive(Default)]
struct Batch {
    requests: Vec<RequestSpans>,
    spans: u64,
}

impl Batch {
    /// Adds the spans of a request. Returns true if the batch is full.
    fn add(&mut self, request: RequestSpans) -> bool {
        self.spans += request.count();
        self.requests.push(request);
        self.spans >= BATCH_SPANS
    }
}

impl SpanExport {
    /// Creates the task and its queue.
    pub(crate) fn new(
        settings: &Settings,
        delivery: Delivery,
        clock: Clock,
        stop: Stop,
    ) -> (SpanQueue, Self) {
        let (queue, received) = mpsc::channel(QUEUE_MAX);
        let queue = SpanQueue {
            queue,
            ratio: settings.ratio,
            b3: settings.b3,
        };
        let export = Self {
            delivery,
            clock,
            batches: Batches::new(received, stop),
        };
        (queue, export)
    }

    /// Exports spans until the process stops.
    pub(crate) async fn run(&mut self) {
        let mut runs = true;
        while runs {
            let mut batch = Batch::default();
            runs = self.batches.receive(|request| batch.add(*request)).await;
            self.deliver(batch).await;
        }
        loop {
            let mut rest = Batch::default();
            self.batches.rest(|request| rest.add(*request));
            if rest.spans == 0 {
                return;
            }
            self.deliver(rest).await;
        }
    }

    async fn deliver(&mut self, batch: Batch) {
        if batch.spans == 0 {
            return;
        }
        let now_ns = u128::from(self.clock.now_ns());
        let began_ns = u128::from(unix_ms()) * 1_000_000;
        let unix_ns = |at_ns: u64| {
            let at_ns = (began_ns + u128::from(at_ns)).saturating_sub(now_ns);
            u64::try_from(at_ns).unwrap_or(u64::MAX)
        };
        let request = encode::request(self.delivery.resource(), &batch.requests, unix_ns);
        let body = request.encode_to_vec().into();
        // The delivery counts and logs a failure.
        let _delivered = self.delivery.deliver(body, batch.spans).await;
    }
}
