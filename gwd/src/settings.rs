//! Settings of a gateway process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::discovery;
use crate::limits::budget::Bounds;
use crate::message::pace::TimeLimits;
use crate::telemetry::log_file::Rotation;
use crate::telemetry::log_sampling::LogSampling;
use crate::telemetry::otlp::{ExportSettings, MetricSettings};
use crate::telemetry::traces;

/// Settings of a gateway process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the process in logs and status.
    pub name: String,
    /// Channel that the process follows, for its log. `None`: it follows none.
    pub channel: Option<String>,
    /// Zone of the process. Targets in the same zone are preferred. `None`: zones have no effect.
    pub zone: Option<String>,
    /// Number of worker threads.
    pub workers: usize,
    /// Destination of the access log.
    pub access_log: AccessLog,
    /// Sampling of the access log. `None`: each request has a line.
    pub access_log_sampling: Option<LogSampling>,
    /// Limits of the process on connections, requests and memory.
    pub bounds: Bounds,
    /// Limits on the time that peers may keep the gateway waiting.
    pub time_limits: TimeLimits,
    /// Maximum time that a WebSocket may continue after the Close frame that announces the stop.
    pub websocket_drain: Duration,
    /// Addresses, by listener name, that replace the bundle's addresses.
    pub listen: BTreeMap<String, SocketAddr>,
    /// Settings of traces. `None`: gwd forwards trace context unchanged.
    pub traces: Option<traces::Settings>,
    /// Settings of the export of metrics by OTLP. `None`: metrics are only scraped.
    pub metric_export: Option<MetricSettings>,
    /// Settings of the export of access log lines by OTLP. `None`: lines are not exported.
    pub log_export: Option<ExportSettings>,
    /// Settings of host discovery.
    pub discovery: discovery::Settings,
}

/// Destination of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// No access log.
    Off,
    /// Standard output.
    Stdout,
    /// File to which lines are appended.
    File(std::path::PathBuf),
    /// File to which lines are appended, with rotation.
    Rotated(std::path::PathBuf, Rotation),
}
