//! Export of traces, metrics and access log lines to collectors, by OTLP over HTTP/1.1 with
//! protocol buffers.
//!
//! One thread exports all signals ([`exporter`]). Each signal has its own task, connection and
//! queue there, so that a slow collector of one signal does not delay another. Workers and the
//! control thread never wait: a full queue drops what it gets, and drops are counted.

mod attributes;
mod connection;
mod delivery;
mod endpoint;
mod exporter;
mod logs;
mod metric_names;
mod metrics;
mod record;
mod series;

use std::time::Duration;

use clap::ValueEnum;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use tokio_rustls::TlsConnector;

pub(crate) use attributes::{number, resource_of, scope, text};
pub(crate) use delivery::Delivery;
pub(crate) use endpoint::trusting;
pub(crate) use exporter::{Exporter, Signals, Stop};
pub(crate) use logs::LogQueue;

/// Kind of telemetry that is exported.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// Spans of requests.
    Traces,
    /// Data points of metrics.
    Metrics,
    /// Records of access log lines.
    Logs,
}

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

/// Address of a collector.
#[derive(Clone)]
pub struct Endpoint {
    /// Host name or IP address, IPv6 without brackets.
    pub host: String,
    /// Port of the collector.
    pub port: u16,
    /// Value of `Host` in requests to the collector.
    pub authority: HeaderValue,
    /// Path of the requests, such as `/v1/traces`.
    pub path: String,
    /// TLS client settings for `https`. `None`: `http`.
    pub(crate) tls: Option<TlsConnector>,
}

impl Signal {
    /// All signals.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Name of the signal in options and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// Name of the signal in OpenTelemetry's variables.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }

    /// Path of the signal below the base URL of a collector (OTLP/HTTP).
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Formats an endpoint as the URL of its requests.
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        let authority = self.authority.to_str().unwrap_or_default();
        write!(f, "{scheme}://{authority}{}", self.path)
    }
}
