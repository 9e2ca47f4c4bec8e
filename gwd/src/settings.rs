//! Settings of a node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::budget::Bounds;
use crate::discovery;
use crate::pace::Patience;
use crate::telemetry::log_file::Rotation;

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in logs and status.
    pub name: String,
    /// The zone it runs in: targets there come first.
    pub zone: Option<String>,
    /// Worker threads.
    pub workers: usize,
    /// Destination of the access log.
    pub access_log: AccessLog,
    /// Limits of the process on connections, requests and memory.
    pub bounds: Bounds,
    /// Limits on the time that peers may keep the gateway waiting.
    pub patience: Patience,
    /// Maximum time that a WebSocket may continue after the notice that the process stops.
    pub websocket_drain: Duration,
    /// Other addresses than the bundle's, by listener name.
    pub listen: BTreeMap<String, SocketAddr>,
    /// Settings of host discovery.
    pub discovery: discovery::Settings,
}

/// Destination of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(std::path::PathBuf),
    /// The same, moved away when it is full.
    Rotated(std::path::PathBuf, Rotation),
}
