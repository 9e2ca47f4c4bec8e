//! Waiting for gateways (option `--wait` of `apply` and `rollback`).

use std::time::{Duration, Instant};

use bundle::digest::Digest;
use serde_json::{Value, json};

use super::movement::short;
use super::options::duration;
use super::progress;
use crate::release::nodes::{Nodes, Status};
use model::exit::{Exit, Failure};

/// Default of `--wait`: 30s.
const WAIT: Duration = Duration::from_secs(30);
/// Interval between status requests: 200ms.
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct WaitOption {
    /// Maximum time to wait until every --node runs the bundle; `0s`: do not wait [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "node")]
    wait: Option<Duration>,
}

/// Release for which the command waits: the bundle of the channel's newest record.
#[derive(Clone, Copy)]
pub(super) struct ExpectedRelease {
    pub(super) bundle: Digest,
    /// Serial of the record.
    pub(super) serial: u64,
}

/// Result of waiting for the gateways.
pub(super) struct WaitResult {
    /// Last state of each gateway, for JSON. Empty if the command did not wait.
    pub(super) nodes: Vec<Value>,
    /// Error if a gateway does not run the release in time. `None` if all gateways run it, or the
    /// command did not wait.
    pub(super) failure: Option<Failure>,
}

impl WaitOption {
    /// Waits until every gateway runs the bundle or refuses it permanently, at most for the time of
    /// `--wait`.
    pub(super) fn wait(&self, nodes: &Nodes, wanted: ExpectedRelease) -> WaitResult {
        let time = self.wait.unwrap_or(WAIT);
        if nodes.is_empty() || time.is_zero() {
            return WaitResult {
                nodes: Vec::new(),
                failure: None,
            };
        }
        progress::stage("waiting for the gateways");
        let began = Instant::now();
        loop {
            let (states, late) = ask(nodes, wanted);
            let is_over = began.elapsed() >= time || late.iter().all(|late| late.is_final);
            if late.is_empty() || is_over {
                return WaitResult {
                    nodes: states,
                    failure: failure(&late, time),
                };
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Gateway that does not run the bundle.
struct Late {
    /// Name of the gateway, and the reason.
    text: String,
    /// True if the gateway could not be reached.
    is_lost: bool,
    /// True if waiting is useless: the gateway refuses the bundle permanently, or is on hold.
    is_final: bool,
}

/// Reads the status of each gateway. Returns the states, and the gateways that do not run the
/// bundle.
fn ask(nodes: &Nodes, wanted: ExpectedRelease) -> (Vec<Value>, Vec<Late>) {
    let (mut states, mut late) = (Vec::new(), Vec::new());
    for (name, status) in nodes.status() {
        match status {
            Err(error) => {
                let error = format!("{error:#}");
                late.push(Late {
                    text: format!("{name} {error}"),
                    is_lost: true,
                    is_final: false,
                });
                states.push(json!({"node": name, "bundle": null, "error": error}));
            }
            Ok(status) => {
                if let Some((why, is_final)) = trouble(&status, wanted) {
                    late.push(Late {
                        text: format!("{name} {why}"),
                        is_lost: false,
                        is_final,
                    });
                }
                states.push(
                    json!({"node": name, "bundle": status.bundle, "serial": status.serial,
                    "hold": status.hold, "last_error": status.last_error}),
                );
            }
        }
    }
    (states, late)
}

/// Reason why a gateway does not run the bundle, and true if waiting is useless. `None` if the
/// gateway runs the bundle.
fn trouble(status: &Status, wanted: ExpectedRelease) -> Option<(String, bool)> {
    let id = wanted.bundle.to_string();
    if status.bundle.as_deref() == Some(&id) {
        return None;
    }
    // A gateway that has read the record has also decided if it accepts the bundle.
    let has_read = status.all["head"]["serial"].as_u64() >= Some(wanted.serial);
    let refused = status.all["refused"].as_array();
    let refused = refused.into_iter().flatten();
    let is_permanent = refused.clone().any(|refused| {
        refused["bundle"] == id.as_str() && refused["permanent"].as_bool() == Some(true)
    });
    let is_held = status
        .hold
        .as_ref()
        .is_some_and(|hold| hold["sticky"] == true);
    let error = status.last_error.as_ref().and_then(|error| {
        let reason = error["reason"].as_str().unwrap_or("no reason given");
        match &error["bundle"] {
            Value::Null => Some(format!("cannot follow the channel: {reason}")),
            bundle if *bundle == id.as_str() => Some(format!("refused the bundle: {reason}")),
            _ => None,
        }
    });
    let runs = short(status.bundle.as_deref().unwrap_or("nothing"));
    let why = match (error, is_held) {
        (Some(error), _) => error,
        (None, true) => format!("is on hold and still runs {runs}"),
        (None, false) => format!("still runs {runs}"),
    };
    Some((why, has_read && (is_permanent || is_held)))
}

/// Error that lists the gateways that do not run the bundle. `None` if all gateways run it.
fn failure(late: &[Late], time: Duration) -> Option<Failure> {
    if late.is_empty() {
        return None;
    }
    let exit = match late.iter().any(|late| late.is_lost) {
        true => Exit::UNREACHABLE,
        false => Exit::ROLLOUT,
    };
    let within = match late.iter().all(|late| late.is_final) {
        true => String::new(),
        false => format!(" within {time:?}"),
    };
    let reasons: Vec<&str> = late.iter().map(|late| late.text.as_str()).collect();
    let message = format!(
        "the channel moved, but not every gateway followed{within}: {}; `gwc status` shows the \
         progress, `gwc rollback` goes back",
        reasons.join("; ")
    );
    Some(Failure::new(exit, "not-rolled-out", message))
}
