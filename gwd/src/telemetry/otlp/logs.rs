//! Export of access log lines, in batches.
//!
//! Workers pass the buffers that the log file also gets. This task reads the lines and makes
//! records of them, so that a request costs the same as with a file.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message as _;
use tokio::time::{Duration, sleep};

use super::delivery::Delivery;
use super::{Batches, Stop, record, resource_of, scope};
use crate::runtime::clock::unix_ms;
use crate::telemetry::log_batch::{Batch, FLUSH_MS, LogQueue};

/// Number of records at which a message is sent.
const MESSAGE_RECORDS: usize = 512;
/// Time in which workers pass on their buffers when the process stops.
const LAST_LINES: Duration = Duration::from_millis(2 * FLUSH_MS);

/// Task that exports log lines.
pub(crate) struct LogExport {
    delivery: Delivery,
    batches: Batches<Batch>,
}

impl LogExport {
    /// Creates the task and its queue.
    pub(crate) fn new(delivery: Delivery, stop: Stop) -> (LogQueue, Self) {
        let (queue, received) = LogQueue::channel();
        let export = Self {
            delivery,
            batches: Batches::new(received, stop),
        };
        (queue, export)
    }

    /// Exports lines until the process stops.
    pub(crate) async fn run(&mut self) {
        let mut runs = true;
        while runs {
            let mut records = Vec::new();
            runs = self
                .batches
                .receive(|batch| read(&batch, &mut records))
                .await;
            self.deliver(records).await;
        }
        sleep(LAST_LINES).await;
        loop {
            let mut rest = Vec::new();
            self.batches.rest(|batch| read(&batch, &mut rest));
            if rest.is_empty() {
                return;
            }
            self.deliver(rest).await;
        }
    }

    async fn deliver(&mut self, records: Vec<LogRecord>) {
        if records.is_empty() {
            return;
        }
        let count = records.len() as u64;
        let body = message(self.delivery.resource(), records);
        // The delivery counts and logs a failure.
        let _delivered = self.delivery.deliver(body, count).await;
    }
}

/// Adds a record for each line of a buffer. Returns true if the message is full.
fn read(batch: &Batch, records: &mut Vec<LogRecord>) -> bool {
    let observed_ns = unix_ms().saturating_mul(1_000_000);
    let lines = batch.bytes.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    records.extend(lines.map(|line| record::of_line(line, observed_ns)));
    records.len() >= MESSAGE_RECORDS
}

fn message(resource: &[(String, String)], log_records: Vec<LogRecord>) -> Bytes {
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource_of(resource),
            scope_logs: vec![ScopeLogs {
                scope: scope(),
                log_records,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    request.encode_to_vec().into()
}
