//! Waiting for gateways (option `--wait` of `apply` and `rollback`).

use std::time::{Duration, Instant};

use bundle::digest::Digest;
use serde_json::{Value, json};

use super::fleet;
use super::many::{self, NodeText};
use super::movement::short;
use super::options::{GATEWAYS, duration};
use super::progress;
use super::say;
use super::steps::{Wanted, place_text, runs_alone};
use crate::release::nodes::{Nodes, Status};
use model::exit::{Exit, Failure};

/// Default of `--wait`: 30s.
const WAIT: Duration = Duration::from_secs(30);
/// Interval between status requests: 200ms.
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct WaitOption {
    /// Maximum time to wait until every named gateway runs the bundle; `0s`: do not wait
    /// [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = GATEWAYS)]
    wait: Option<Duration>,
}

/// Release for which the command waits: the channel's newest record.
pub(super) struct ExpectedRelease {
    /// Bundle, and the share of the gateways that should run it. The command waits only for
    /// gateways of the share.
    pub(super) wanted: Wanted,
    /// Serial of the record.
    pub(super) serial: u64,
}

/// Result of waiting for the gateways.
pub(super) struct WaitResult {
    /// Last state of each gateway, for JSON. Empty if the command did not wait.
    pub(super) nodes: Vec<Value>,
    /// Lines about the gateways for people: what each runs, and whether it belongs to the share.
    /// Empty without a progressive release.
    lines: Vec<NodeText>,
    /// True if the gateways only compare the decisions of the bundle (shadow step).
    is_shadow: bool,
    /// Error if a gateway does not run the release in time. `None` if all gateways run it, or the
    /// command did not wait.
    pub(super) failure: Option<Failure>,
}

impl WaitOption {
    /// Waits until every gateway of the share runs the bundle or refuses it permanently, at most
    /// for the time of `--wait`.
    pub(super) fn wait(&self, nodes: &Nodes, wanted: &ExpectedRelease) -> WaitResult {
        let time = self.wait.unwrap_or(WAIT);
        if nodes.is_empty() || time.is_zero() {
            return WaitResult {
                nodes: Vec::new(),
                lines: Vec::new(),
                is_shadow: false,
                failure: None,
            };
        }
        progress::stage("waiting for the gateways");
        let began = Instant::now();
        let all = nodes.places();
        let mut states = ask(nodes, &all, wanted);
        while !states.iter().all(NodeState::is_decided) && began.elapsed() < time {
            std::thread::sleep(POLL);
            let late: Vec<usize> = (0..states.len())
                .filter(|at| states[*at].late.is_some())
                .collect();
            // Only late gateways are queried again. If none is late any more, all are queried once
            // more: a guard may have returned a gateway to the base meanwhile.
            let is_part = late.len() < states.len();
            update(&mut states, nodes, &late, wanted);
            if is_part && states.iter().all(|state| state.late.is_none()) {
                update(&mut states, nodes, &all, wanted);
            }
        }
        WaitResult::new(states, time, wanted.wanted.is_shadow())
    }
}

impl WaitResult {
    fn new(states: Vec<NodeState>, time: Duration, is_shadow: bool) -> Self {
        let failure = failure(&states, time);
        let (nodes, lines): (Vec<Value>, Vec<Option<NodeText>>) = states
            .into_iter()
            .map(|state| (state.json, state.line))
            .unzip();
        Self {
            nodes,
            lines: lines.into_iter().flatten().collect(),
            is_shadow,
            failure,
        }
    }

    /// Writes the result for people: a line for each gateway during a progressive release, and
    /// whether all gateways run the bundle.
    pub(super) fn print(&self, bundle: Digest) {
        if !self.lines.is_empty() {
            say::report(&many::lines(&self.lines).join("\n"));
        }
        if self.nodes.is_empty() || self.failure.is_some() {
            return;
        }
        let has_share = self.nodes.iter().any(|node| node["belongs"] == true);
        let which = match (self.lines.is_empty(), has_share) {
            (true, _) => "every gateway",
            (false, true) => "every gateway of the share",
            (false, false) => {
                return say::report(
                    "none of these gateways belongs to the share; `gwc promote` continues",
                );
            }
        };
        let does = match self.is_shadow {
            true => "compares the decisions of",
            false => "runs",
        };
        say::report(&format!("{which} {does} {}", bundle.short()));
    }

    /// Writes the error if the release failed, and returns the exit code.
    pub(super) fn exit(&self) -> Exit {
        let Some(failure) = &self.failure else {
            return Exit::OK;
        };
        say::note(&format!("error[{}]: {failure}", failure.code));
        failure.exit
    }
}

/// Status of a gateway.
struct NodeState {
    /// State for JSON.
    json: Value,
    /// Text about the gateway during a progressive release. `None`: no progressive release, or the
    /// gateway did not respond.
    line: Option<NodeText>,
    /// Reason why the gateway does not run the bundle. `None`: it runs the bundle, or does not
    /// belong to the share.
    late: Option<Late>,
}

/// Gateway that does not run the bundle.
struct Late {
    /// Name of the gateway, and the reason.
    text: NodeText,
    /// True if the gateway could not be reached.
    is_lost: bool,
    /// True if waiting is useless: the gateway refuses the bundle permanently, or is on hold.
    is_final: bool,
}

impl NodeState {
    /// True if further waiting cannot change the result of this gateway.
    fn is_decided(&self) -> bool {
        self.late.as_ref().is_none_or(|late| late.is_final)
    }
}

/// Replaces the states of the gateways at `places`.
fn update(states: &mut [NodeState], nodes: &Nodes, places: &[usize], expected: &ExpectedRelease) {
    for (at, state) in places.iter().zip(ask(nodes, places, expected)) {
        states[*at] = state;
    }
}

/// Reads the status of the gateways at `places`.
fn ask(nodes: &Nodes, places: &[usize], expected: &ExpectedRelease) -> Vec<NodeState> {
    let states = nodes.status_of(places).into_iter();
    states
        .map(|(name, status)| match status {
            Ok(status) => state(name, &status, expected),
            Err(error) => lost_state(name, &error),
        })
        .collect()
}

fn lost_state(name: String, error: &anyhow::Error) -> NodeState {
    let error = format!("{error:#}");
    NodeState {
        json: json!({"node": name, "bundle": null, "error": error}),
        line: None,
        late: Some(Late {
            text: late_text(name, error),
            is_lost: true,
            is_final: false,
        }),
    }
}

fn late_text(name: String, text: String) -> NodeText {
    NodeText {
        name,
        text,
        is_named: true,
    }
}

fn state(name: String, status: &Status, expected: &ExpectedRelease) -> NodeState {
    let belongs = expected.wanted.belongs(status);
    let trouble = match belongs {
        Some(false) => None,
        Some(true) | None => trouble(status, expected),
    };
    let mut json = json!({"node": name, "bundle": status.bundle, "serial": status.serial,
        "hold": status.hold, "last_error": status.last_error});
    let line = belongs.map(|belongs| {
        json["belongs"] = belongs.into();
        let runs = short(status.bundle.as_deref().unwrap_or("no bundle"));
        let mut runs = runs.to_owned();
        if belongs && expected.wanted.is_used_beside_base(status) {
            let bundle = expected.wanted.bundle().short();
            runs = match expected.wanted.is_shadow() {
                true => format!("{runs}, compares {bundle}"),
                false => format!("{bundle} and {runs}"),
            };
        }
        let own_name = status.all["node"].as_str().unwrap_or("-");
        NodeText {
            name: format!("{name} ({own_name})"),
            text: format!("{}, runs {runs}", place_text(belongs)),
            is_named: trouble.is_some(),
        }
    });
    let late = trouble.map(|(why, is_final)| Late {
        text: late_text(name, why),
        is_lost: false,
        is_final,
    });
    NodeState { json, line, late }
}

/// Reason why a gateway does not run the bundle, and true if waiting is useless. `None` if the
/// gateway runs the bundle.
fn trouble(status: &Status, expected: &ExpectedRelease) -> Option<(String, bool)> {
    let id = expected.wanted.bundle().to_string();
    let has_it = match expected.wanted.splits_requests() {
        true => expected.wanted.is_used_beside_base(status),
        false => runs_alone(status, expected.wanted.bundle()),
    };
    if has_it {
        return None;
    }
    // A gateway that has read the record has also decided if it accepts the bundle.
    let has_read = status.all["head"]["serial"].as_u64() >= Some(expected.serial);
    let refused = status.all["refused"].as_array();
    let refused = refused.into_iter().flatten();
    let is_permanent = refused.clone().any(|refused| {
        refused["bundle"] == id.as_str() && refused["permanent"].as_bool() == Some(true)
    });
    let is_on_hold = status
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
    if let Some(cause) = fleet::failed_guard(status) {
        return Some((
            format!("follows the base, because its guard failed by {cause}"),
            true,
        ));
    }
    let runs = short(status.bundle.as_deref().unwrap_or("nothing"));
    let why = match (error, is_on_hold) {
        (Some(error), _) => error,
        (None, true) => format!("is on hold and still runs {runs}"),
        (None, false) if expected.wanted.is_shadow() => {
            format!("runs {runs}, and does not compare decisions yet")
        }
        (None, false) => format!("still runs {runs}"),
    };
    Some((why, has_read && (is_permanent || is_on_hold)))
}

/// Error that lists the gateways that do not run the bundle. `None` if all gateways run it.
fn failure(states: &[NodeState], time: Duration) -> Option<Failure> {
    let late = || states.iter().filter_map(|state| state.late.as_ref());
    late().next()?;
    let exit = match late().any(|late| late.is_lost) {
        true => Exit::UNREACHABLE,
        false => Exit::ROLLOUT,
    };
    let within = match late().all(|late| late.is_final) {
        true => String::new(),
        false => format!(" within {time:?}"),
    };
    let reasons: Vec<&NodeText> = late().map(|late| &late.text).collect();
    let message = format!(
        "the channel moved, but not every gateway followed{within}: {}; `gwc status` shows the \
         progress, `gwc rollback` goes back",
        many::sentence(&reasons)
    );
    Some(Failure::new(exit, "not-rolled-out", message))
}
