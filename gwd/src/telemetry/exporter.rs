//! Thread that exports all signals, each in a task of its own.

use std::io;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::runtime::clock::Clock;
use crate::telemetry::collected::Collected;
use crate::telemetry::log_batch::LogQueue;
use crate::telemetry::otlp::{
    BACKOFF_MIN, Delivery, ExportSettings, LogExport, MetricExport, MetricSettings, Stop,
};
use crate::telemetry::process::Counters;
use crate::telemetry::signal::Signal;
use crate::telemetry::traces::{self, SpanExport, SpanQueue, Tracer};

/// Maximum time to send what is left when the process stops: 2s.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Signals that a process exports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signals<'s> {
    pub(crate) traces: Option<&'s traces::Settings>,
    pub(crate) metrics: Option<&'s MetricSettings>,
    pub(crate) logs: Option<&'s ExportSettings>,
}

/// Handle of the exporting thread.
pub(crate) struct Exporter {
    spans: Option<SpanQueue>,
    logs: Option<LogQueue>,
    /// Time until which the rest may be sent. `None`: the process does not stop.
    stop: watch::Sender<Option<Instant>>,
    /// Disconnected when the thread has ended.
    ended: blocking::Receiver<()>,
}

impl Exporter {
    /// Starts the exporting thread. `collect` reads all metrics. `None`: no signal is exported.
    ///
    /// # Errors
    /// If the thread or its runtime cannot be created.
    pub(crate) fn start(
        signals: Signals<'_>,
        clock: Clock,
        process: &Arc<Counters>,
        collect: impl Fn() -> Collected + Send + 'static,
    ) -> io::Result<Option<Self>> {
        let Signals {
            traces,
            metrics,
            logs,
        } = signals;
        if traces.is_none() && metrics.is_none() && logs.is_none() {
            return Ok(None);
        }
        let (stop, stopping) = watch::channel(None);
        let (end, ended) = blocking::channel();
        let deliver = |signal, settings: &ExportSettings| {
            Delivery::new(signal, settings, process, Stop::new(stopping.clone()))
        };
        let stopped = || Stop::new(stopping.clone());
        let (spans, span_export) = traces
            .map(|traces| {
                let delivery = deliver(Signal::Traces, &traces.export);
                SpanExport::new(traces, delivery, clock, stopped())
            })
            .unzip();
        let metric_export = metrics.map(|metrics| {
            let delivery = deliver(Signal::Metrics, &metrics.export);
            MetricExport::new(metrics, delivery, Box::new(collect), stopped())
        });
        let (logs, log_export) = logs
            .map(|logs| LogExport::new(deliver(Signal::Logs, logs), stopped()))
            .unzip();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("otlp".into())
            .spawn(move || {
                let _end: blocking::Sender<()> = end;
                runtime.block_on(run(span_export, metric_export, log_export));
            })?;
        Ok(Some(Self {
            spans,
            logs,
            stop,
            ended,
        }))
    }

    /// Sampler of one worker, with access to the queue of spans. `None`: traces are off.
    pub(crate) fn tracer(&self) -> Option<Tracer> {
        self.spans.as_ref().map(SpanQueue::tracer)
    }

    /// Queue of log lines. `None`: logs are not exported.
    pub(crate) fn logs(&self) -> Option<LogQueue> {
        self.logs.clone()
    }

    /// Sends what is in the queues, and ends the thread. Takes at most [`STOP_MAX`] plus
    /// [`BACKOFF_MIN`].
    pub(crate) fn finish(&self) {
        self.stop.send_replace(Some(Instant::now() + STOP_MAX));
        // An error means that the thread has ended, or that the time has passed.
        let _ended = self.ended.recv_timeout(STOP_MAX + BACKOFF_MIN);
    }
}

impl Drop for Exporter {
    /// Ends the thread, which drops what it has not sent.
    fn drop(&mut self) {
        self.stop.send_replace(Some(Instant::now()));
    }
}

/// Exports all signals until the process stops.
async fn run(spans: Option<SpanExport>, metrics: Option<MetricExport>, logs: Option<LogExport>) {
    let spans = async {
        if let Some(mut spans) = spans {
            spans.run().await;
        }
    };
    let metrics = async {
        if let Some(mut metrics) = metrics {
            metrics.run().await;
        }
    };
    let logs = async {
        if let Some(mut logs) = logs {
            logs.run().await;
        }
    };
    tokio::join!(spans, metrics, logs);
}
