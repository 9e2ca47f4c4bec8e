//! Export of traces, metrics and access log lines to collectors, by OTLP over HTTP/1.1 with
//! protocol buffers.
//!
//! One thread exports all signals ([`crate::telemetry::exporter`]). Each signal has its own task, connection and
//! queue there, so that a slow collector of one signal does not delay another. Workers and the
//! control thread never wait: a full queue drops what it gets, and drops are counted.

mod attributes;
mod batches;
mod delivery;
mod endpoint;
mod logs;
mod metric_names;
mod metrics;
mod record;
mod series;
mod stop;

use std::time::Duration;

use http::{HeaderName, HeaderValue};

pub use crate::client::Endpoint;
pub(crate) use attributes::{number, resource_of, scope, text};
pub(crate) use batches::Batches;
pub(crate) use delivery::{BACKOFF_MIN, Delivery};
pub(crate) use endpoint::trusting;
pub(crate) use logs::LogExport;
pub(crate) use metrics::MetricExport;
pub(crate) use stop::Stop;

/// Settings of the export of one signal.
#[derive(Clone, Debug)]
pub struct ExportSettings {
    /// Collector that gets the signal.
    pub endpoint: Endpoint,
    /// Fields of the requests to the collector.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Maximum time to deliver a batch, all its retries included.
    pub timeout: Duration,
    /// Attributes of the resource, by name.
    pub resource: Vec<(String, String)>,
}

/// Settings of the export of metrics.
#[derive(Clone, Debug)]
pub struct MetricSettings {
    /// Settings of the export.
    pub export: ExportSettings,
    /// Time between two exports.
    pub interval: Duration,
}
