//! Export of all metrics at an interval.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use prost::Message as _;
use tokio::time::{Duration, Instant, sleep_until};

use super::delivery::Delivery;
use super::series::SeriesStarts;
use super::{MetricSettings, Stop, resource_of, scope};
use crate::runtime::clock::unix_ms;
use crate::telemetry::collected::Collected;
use crate::telemetry::process::DropReason;

/// Maximum number of data points in a message. A message of histograms then has about 2 MiB, and
/// collectors accept 4 MiB or more.
const MESSAGE_POINTS: usize = 4_096;

/// Task that exports metrics.
pub(crate) struct MetricExport {
    interval: Duration,
    delivery: Delivery,
    collect: Box<dyn Fn() -> Collected + Send>,
    starts: SeriesStarts,
    stop: Stop,
}

impl MetricExport {
    pub(crate) fn new(
        settings: &MetricSettings,
        delivery: Delivery,
        collect: Box<dyn Fn() -> Collected + Send>,
        stop: Stop,
    ) -> Self {
        Self {
            interval: settings.interval,
            delivery,
            collect,
            starts: SeriesStarts::new(unix_ns()),
            stop,
        }
    }

    /// Exports metrics at each interval, and once more when the process stops.
    pub(crate) async fn run(&mut self) {
        let mut next = Instant::now() + self.interval;
        while !self.stop.has_begun() {
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.stop.begun() => break,
            }
            self.export().await;
            // An export that took longer than the interval leaves out the times that have passed.
            while next <= Instant::now() {
                next += self.interval;
            }
        }
        self.export().await;
    }

    /// Exports the metrics once. If a message cannot be delivered, the rest is dropped: the next
    /// export has the new values of all series.
    async fn export(&mut self) {
        let collected = (self.collect)();
        let metrics = self.starts.metrics(&collected, unix_ns(), MESSAGE_POINTS);
        drop(collected);
        let mut messages = messages(metrics).into_iter();
        while let Some((metrics, points)) = messages.next() {
            let body = message(self.delivery.resource(), metrics);
            let delivered = self.delivery.deliver(body, points).await;
            if let Err(DropReason::CollectorUnavailable) = delivered {
                let rest = messages.map(|(_, points)| points).sum();
                return self
                    .delivery
                    .drop_items(DropReason::CollectorUnavailable, rest);
            }
        }
    }
}

/// Metrics of each message, with the number of their data points.
fn messages(metrics: Vec<(Metric, usize)>) -> Vec<(Vec<Metric>, u64)> {
    let mut messages: Vec<(Vec<Metric>, u64)> = Vec::new();
    for (metric, points) in metrics {
        let points = points as u64;
        match messages.last_mut() {
            Some((last, sum)) if *sum + points <= MESSAGE_POINTS as u64 => {
                last.push(metric);
                *sum += points;
            }
            _ => messages.push((vec![metric], points)),
        }
    }
    messages
}

fn message(resource: &[(String, String)], metrics: Vec<Metric>) -> Bytes {
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource_of(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: scope(),
                metrics,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    request.encode_to_vec().into()
}

fn unix_ns() -> u64 {
    unix_ms().saturating_mul(1_000_000)
}
