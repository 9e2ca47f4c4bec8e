//! Command `gwc release`: state of a channel's progressive release.

use std::time::Duration;

use bundle::channel;
use bundle::history::Entry;
use bundle::statement::predicate::Rollout;
use bundle::store::Blobs as _;
use bundle::trust::Trust;
use serde_json::{Value, json};

use super::comparison::Comparison;
use super::fleet;
use super::guards;
use super::live::{Line, Live};
use super::many::{self, NodeText};
use super::movement::short;
use super::options::{FormatOption, NodeOptions, StoreOptions};
use super::progress;
use super::say::{self, Context, Format};
use super::steps::{self, Wanted, place_text, step_json, step_text};
use crate::release::nodes::{Nodes, Status};
use crate::release::{self, AnyStore, Place};
use diag::text::printable;
use model::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc release status
  gwc release status --node http://10.0.0.5:9901 --node http://10.0.0.6:9901 --admin-token-file token
  gwc release status --nodes gateways.txt --admin-token-file token
  gwc release status --watch --node unix:/run/gwd/admin.sock")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the step of the channel's release, and for each gateway if it belongs to the share and
    /// what it runs
    Status(StatusArgs),
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// Show the state every 2 seconds until no progressive release is in progress: redrawn on a
    /// terminal, changed lines in a pipe, one document per line with `--format json`
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    nodes: NodeOptions,
    #[command(flatten)]
    format: FormatOption,
}

/// Interval of `--watch`: 2s, at which gateways update their status.
const WATCH: Duration = Duration::from_secs(2);

/// Sources of the state of a release.
struct Sources<'a> {
    place: &'a Place,
    store: &'a AnyStore,
    trust: Option<&'a Trust>,
    nodes: &'a Nodes,
}

/// State of a release.
struct State {
    /// Lines about the channel.
    lines: Vec<String>,
    rows: Vec<Row>,
    document: Value,
    is_in_progress: bool,
    /// Line about the last reading, if it failed.
    trouble: Option<String>,
}

/// Output about one gateway.
struct Row {
    json: Value,
    text: NodeText,
    /// Part of the text without numbers that change with each request.
    state: String,
    /// Numbers of requests of base and candidate. `None`: the gateway serves one version.
    requests: Option<[u64; 2]>,
    /// Results of a shadow step. Null: the gateway compares no decisions.
    comparison: Value,
    is_reachable: bool,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let Command::Status(args) = &args.command;
    let nodes = args.nodes.nodes()?;
    progress::stage("querying the gateways");
    let place = args.at.place(context)?;
    let trust = args.at.trust(&place)?;
    let store = place.open()?;
    let sources = Sources {
        place: &place,
        store: &store,
        trust: trust.as_ref(),
        nodes: &nodes,
    };
    let states = nodes.status();
    fleet::warn_of_same_names(&states);
    let state = sources.state(states)?;
    if args.watch {
        return sources.watch(state, args.format.format);
    }
    match args.format.format {
        Format::Human => {
            let mut lines = state.lines.clone();
            lines.extend(state.node_lines().into_iter().map(|line| line.text));
            say::report(&lines.join("\n"));
        }
        Format::Json => say::json(&state.document),
    }
    Ok(state.exit())
}

impl Sources<'_> {
    /// Reads the channel. `states`: states of the gateways.
    fn state(&self, states: Vec<(String, anyhow::Result<Status>)>) -> anyhow::Result<State> {
        let (place, store) = (self.place, self.store);
        let head = release::head(store, self.trust, &place.channel)?;
        let head = head.as_ref();
        let wanted = head.map(|head| steps::wanted(store, self.trust, place, head));
        let wanted = wanted.as_ref();
        let rollout = head.and_then(|head| head.record.rollout.as_ref());
        let guard = rollout.and_then(|rollout| rollout.guard.as_ref());
        let needed = guard.map(|guard| guard.requests);
        let is_grouped = states.len() > many::LINES_MAX;
        let rows: Vec<Row> = states
            .into_iter()
            .map(|(name, status)| row(&name, status, (place, is_grouped), (wanted, needed)))
            .collect();
        let mut document = document(place, store, head, wanted, &rows);
        if rows.iter().any(|row| !row.is_reachable) {
            document["result"] = "error".into();
            document["error"] = json!({"code": "node-unreachable", "message": "some gateways did not answer", "exit": Exit::UNREACHABLE.0});
        }
        Ok(State {
            lines: match head {
                None => vec![place.without_head(store)],
                Some(head) => head_lines(place, store, head, wanted),
            },
            rows,
            document,
            is_in_progress: rollout.is_some(),
            trouble: None,
        })
    }

    /// Shows the state repeatedly, until no release is in progress. `state`: first state.
    fn watch(&self, mut state: State, format: Format) -> anyhow::Result<Exit> {
        let mut live = Live::new(format);
        loop {
            live.show(&state.live_lines(), &state.document);
            if !state.is_in_progress {
                return Ok(state.exit());
            }
            std::thread::sleep(WATCH);
            // A store that cannot be read now may be readable later.
            match self.state(self.nodes.status()) {
                Ok(next) => state = next,
                Err(error) => {
                    let error = format!("{error:#}");
                    state.trouble = Some(format!(
                        "the channel cannot be read, this is its last state: {}",
                        printable(&error)
                    ));
                }
            }
        }
    }
}

impl State {
    /// Lines of a live view.
    fn live_lines(&self) -> Vec<Line> {
        let head = self.lines.iter().chain(&self.trouble).map(|line| Line {
            text: line.clone(),
            state: line.clone(),
        });
        head.chain(self.node_lines()).collect()
    }

    /// Lines about the gateways: one for each, or one for each group of many gateways.
    fn node_lines(&self) -> Vec<Line> {
        let texts: Vec<NodeText> = self.rows.iter().map(|row| row.text.clone()).collect();
        let lines = many::lines(&texts);
        if self.rows.len() <= many::LINES_MAX {
            let lines = lines.into_iter().zip(&self.rows);
            let line = |(text, row): (String, &Row)| Line {
                text,
                state: row.state.clone(),
            };
            return lines.map(line).chain(self.comparison_lines()).collect();
        }
        let totals = request_totals(&self.rows).map(|text| Line {
            text,
            state: "requests".to_owned(),
        });
        let groups = lines.into_iter().map(|text| Line {
            state: text.clone(),
            text,
        });
        let lines = totals.into_iter().chain(groups);
        lines.chain(self.comparison_lines()).collect()
    }

    /// Lines about the results of a shadow step, for all gateways together.
    fn comparison_lines(&self) -> Vec<Line> {
        let parts = self.rows.iter().map(|row| &row.comparison);
        let sum = Comparison::sum(parts);
        let lines = sum.map(|sum| sum.lines()).unwrap_or_default();
        let indented = |line: Line| Line {
            text: format!("  {}", line.text),
            ..line
        };
        lines.into_iter().map(indented).collect()
    }

    fn exit(&self) -> Exit {
        match self.rows.iter().all(|row| row.is_reachable) {
            true => Exit::OK,
            false => Exit::UNREACHABLE,
        }
    }
}

/// `is_grouped`: without numbers in the text that differ in each gateway. `needed`: least number of
/// requests of the release's guard.
fn row(
    name: &str,
    status: anyhow::Result<Status>,
    (place, is_grouped): (&Place, bool),
    (wanted, needed): (Option<&Wanted>, Option<u64>),
) -> Row {
    let status = match status {
        Ok(status) => status,
        Err(error) => return unreachable_row(name, &error),
    };
    let own_name = status.all["node"].as_str().unwrap_or("-");
    let belongs = wanted.and_then(|wanted| wanted.belongs(&status));
    let another = fleet::follows_another(&status, place);
    let agrees = another.is_none() && wanted.is_none_or(|wanted| wanted.is_run_by(&status));
    let rollout = &status.all["rollout"];
    let (guard, counts) = (&rollout["guard"], &rollout["requests"]);
    let comparison = &rollout["comparison"];
    let count = |version: &str| counts[version].as_u64();
    let requests = count("base").zip(count("candidate"));
    let requests = requests.map(|(base, candidate)| [base, candidate]);
    let mut text = belongs.map_or_else(String::new, |it| format!("{}, ", place_text(it)));
    text.push_str(&version_text(&status, requests.filter(|_| !is_grouped)));
    let guard_text = match is_grouped {
        true => guard["result"].as_str().map(str::to_owned),
        false => guards::guard_text(guard, needed),
    };
    if let Some(guard) = guard_text {
        text.push_str(&format!(", guard {guard}"));
    }
    if let Some(hold) = &status.hold {
        text.push_str(&format!(", on HOLD{}", fleet::hold(hold)));
    }
    if let Some(another) = &another {
        text.push_str(&format!("  <- {another}"));
    } else if !agrees {
        text.push_str("  <- differs from the channel");
    }
    let state = json!([
        name,
        own_name,
        belongs,
        status.bundle,
        agrees,
        status.hold,
        guard["result"],
        guard["by"],
        rollout["candidate_refused"],
        counts.is_object(),
        comparison.is_object(),
    ]);
    Row {
        state: state.to_string(),
        json: json!({"node": name, "name": own_name, "belongs": belongs, "bundle": status.bundle,
                     "agrees": agrees, "hold": status.hold, "guard": guard,
                     "requests": counts, "comparison": comparison, "error": null}),
        text: NodeText {
            name: format!("{name} ({})", printable(own_name)),
            text: printable(&text),
            is_named: !agrees || status.hold.is_some() || guard["result"] == "failed",
        },
        requests,
        comparison: comparison.clone(),
        is_reachable: true,
    }
}

fn unreachable_row(name: &str, error: &anyhow::Error) -> Row {
    let error = format!("{error:#}");
    Row {
        state: format!("{name}: unreachable"),
        text: NodeText {
            name: name.to_owned(),
            text: format!("unreachable: {}", printable(&error)),
            is_named: true,
        },
        json: json!({"node": name, "name": null, "belongs": null, "bundle": null,
                     "agrees": false, "hold": null, "guard": null, "requests": null,
                     "comparison": null, "error": error}),
        requests: None,
        comparison: Value::Null,
        is_reachable: false,
    }
}

/// Bundles that a gateway runs, with their numbers of requests, and why it refuses the release.
fn version_text(status: &Status, requests: Option<[u64; 2]>) -> String {
    let runs = short(status.bundle.as_deref().unwrap_or("no bundle"));
    let mut text = format!("runs {runs}");
    let rollout = &status.all["rollout"];
    let other = short(rollout["candidate"].as_str().unwrap_or("another"));
    if rollout["requests"].is_object() {
        text.push_str(&format!(" and {other}"));
    } else if rollout["comparison"].is_object() {
        text.push_str(&format!(", compares {other}"));
    }
    if let Some([base, candidate]) = requests {
        text.push_str(&format!(" ({base} and {candidate} requests)"));
    }
    if let Some(why) = rollout["candidate_refused"].as_str() {
        text.push_str(&format!(", release refused: {why}"));
    }
    text
}

/// Line with the numbers of requests of all gateways that serve two versions. `None`: there are none.
fn request_totals(rows: &[Row]) -> Option<String> {
    let both = || rows.iter().filter_map(|row| row.requests);
    let count = both().count();
    let [base, candidate] = both().fold([0u64; 2], |sum, one| {
        [sum[0].saturating_add(one[0]), sum[1].saturating_add(one[1])]
    });
    let gateways = many::gateways(count);
    let text = format!(
        "  requests at {gateways} with two versions: {base} to the base, {candidate} to the release"
    );
    (count > 0).then_some(text)
}

fn head_lines(
    place: &Place,
    store: &AnyStore,
    head: &Entry,
    wanted: Option<&Wanted>,
) -> Vec<String> {
    let mut lines = vec![format!(
        "channel {}: serial {}, {}",
        place.channel,
        head.pointer.serial,
        head.bundle.short()
    )];
    let Some(rollout) = &head.record.rollout else {
        lines.push(format!(
            "no progressive release: all gateways since {}",
            head.record.created
        ));
        return lines;
    };
    let base = wanted.and_then(Wanted::base);
    let base = base.map_or_else(
        || "a bundle that cannot be read".to_owned(),
        |it| it.short(),
    );
    lines.push(format!(
        "{}, since {}; the others run {base} (serial {})",
        step_text(rollout),
        head.record.created,
        rollout.base.serial
    ));
    if let Some(left) = wanted.and_then(Wanted::left) {
        let other = match left == head.bundle {
            true => base,
            false => head.bundle.short(),
        };
        lines.push(format!(
            "{} is revoked or withdrawn: all gateways change to {other}",
            left.short()
        ));
    }
    lines.push(steps_line(rollout));
    if let Some(began) = began(store, head) {
        lines.push(format!("began at {began}"));
    }
    lines
}

/// All steps of a release, with the current one in brackets: `steps: 5%, [50%], all`.
fn steps_line(rollout: &Rollout) -> String {
    let steps = rollout.steps.iter().map(ToString::to_string);
    let steps = steps.chain(["all".to_owned()]);
    let steps = steps
        .zip(1..)
        .map(|(step, number)| match number == rollout.step {
            true => format!("[{step}]"),
            false => step,
        });
    format!("steps: {}", steps.collect::<Vec<_>>().join(", "))
}

/// Signing time of the first record of the progressive release. `None`: the record is complete, or
/// an earlier record cannot be read.
fn began(store: &AnyStore, head: &Entry) -> Option<String> {
    let base = head.record.rollout.as_ref()?.base;
    let mut record = head.record.clone();
    while record.previous != Some(base.digest) {
        let previous = record.previous?;
        store.size(&previous).ok()??;
        let older = channel::read(store, &previous).ok()?.record;
        if older.serial >= record.serial {
            return None;
        }
        record = older;
    }
    Some(record.created.to_string())
}

fn document(
    place: &Place,
    store: &AnyStore,
    head: Option<&Entry>,
    wanted: Option<&Wanted>,
    rows: &[Row],
) -> Value {
    let nodes: Vec<&Value> = rows.iter().map(|row| &row.json).collect();
    let rollout = head.and_then(|head| head.record.rollout.as_ref());
    let steps = rollout.map(|rollout| rollout.steps.iter().map(ToString::to_string));
    say::document(
        "release-status/v1",
        "ok",
        json!({
            "channel": place.channel,
            "serial": head.map(|head| head.pointer.serial),
            "bundle": head.map(|head| head.bundle),
            "since": head.map(|head| head.record.created),
            "began": head.and_then(|head| began(store, head)),
            "rollout": step_json(rollout),
            "steps": steps.map(Iterator::collect::<Vec<_>>),
            "base_bundle": wanted.and_then(Wanted::base),
            "nodes": nodes,
        }),
    )
}
