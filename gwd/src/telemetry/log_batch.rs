//! Buffers of complete access log lines, and their queue to the thread that exports telemetry.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::telemetry::process::{Counters, DropReason};
use crate::telemetry::signal::Signal;

/// Maximum time from the first line in a buffer until the buffer is passed on: 20ms.
pub(crate) const FLUSH_MS: u64 = 20;

/// Maximum number of buffers of lines in the queue. A full buffer has 32 KiB.
const QUEUE_MAX: usize = 256;

/// Complete lines of a worker.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lines: u64,
}

impl Batch {
    /// Creates an empty buffer.
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            lines: 0,
        }
    }
}

/// Queue of buffers with log lines.
#[derive(Clone)]
pub(crate) struct LogQueue(mpsc::Sender<Batch>);

impl LogQueue {
    /// Creates a queue, and its receiver.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Batch>) {
        let (queue, received) = mpsc::channel(QUEUE_MAX);
        (Self(queue), received)
    }

    /// Passes a buffer to the exporting thread. Drops and counts its lines if the queue is full.
    pub(crate) fn send(&self, batch: Batch, process: &Counters) {
        if let Err(error) = self.0.try_send(batch) {
            let (reason, batch) = match error {
                TrySendError::Full(batch) => (DropReason::QueueFull, batch),
                TrySendError::Closed(batch) => (DropReason::ExporterEnded, batch),
            };
            process.export_dropped(Signal::Logs, reason, batch.lines);
        }
    }
}
