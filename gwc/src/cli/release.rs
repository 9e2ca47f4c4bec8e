//! Command `gwc release`: state of a channel's progressive release.

use bundle::channel;
use bundle::history::Entry;
use bundle::store::Blobs as _;
use serde_json::{Value, json};

use super::fleet;
use super::many::{self, NodeText};
use super::movement::short;
use super::options::{FormatOption, NodeOptions, StoreOptions};
use super::progress;
use super::say::{self, Context, Format};
use super::steps::{self, Wanted, place_text, step_json, step_text};
use crate::release::nodes::Status;
use crate::release::{self, AnyStore, Place};
use diag::text::printable;
use model::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc release status
  gwc release status --node http://10.0.0.5:9901 --node http://10.0.0.6:9901 --admin-token-file token
  gwc release status --nodes gateways.txt --admin-token-file token")]
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
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    nodes: NodeOptions,
    #[command(flatten)]
    format: FormatOption,
}

/// Output about one gateway.
struct Row {
    json: Value,
    text: NodeText,
    /// Numbers of requests of base and candidate. `None`: the gateway serves one version.
    requests: Option<[u64; 2]>,
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
    let head = release::head(&store, trust.as_ref(), &place.channel)?;
    let wanted = head
        .as_ref()
        .map(|head| steps::wanted(&store, trust.as_ref(), &place, head));
    let states = nodes.status();
    fleet::warn_of_same_names(&states);
    let is_grouped = states.len() > many::LINES_MAX;
    let rows: Vec<Row> = states
        .into_iter()
        .map(|(name, status)| row(&name, status, (&place, is_grouped), wanted.as_ref()))
        .collect();
    let is_lost = rows.iter().any(|row| !row.is_reachable);
    match args.format.format {
        Format::Human => {
            let mut lines = match &head {
                None => vec![place.without_head(&store)],
                Some(head) => head_lines(&place, &store, head, wanted.as_ref()),
            };
            let texts: Vec<NodeText> = rows.iter().map(|row| row.text.clone()).collect();
            lines.extend(request_totals(&rows).filter(|_| is_grouped));
            lines.extend(many::lines(&texts));
            say::report(&lines.join("\n"));
        }
        Format::Json => {
            let mut document = document(&place, &store, head.as_ref(), wanted.as_ref(), &rows);
            if is_lost {
                document["result"] = "error".into();
                document["error"] = json!({"code": "node-unreachable", "message": "some gateways did not answer", "exit": Exit::UNREACHABLE.0});
            }
            say::json(&document);
        }
    }
    Ok(match is_lost {
        true => Exit::UNREACHABLE,
        false => Exit::OK,
    })
}

/// `is_grouped`: without numbers of requests in the text, which would differ in each gateway.
fn row(
    name: &str,
    status: anyhow::Result<Status>,
    (place, is_grouped): (&Place, bool),
    wanted: Option<&Wanted>,
) -> Row {
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let error = format!("{error:#}");
            return Row {
                text: NodeText {
                    name: name.to_owned(),
                    text: format!("unreachable: {}", printable(&error)),
                    is_named: true,
                },
                json: json!({"node": name, "name": null, "belongs": null, "bundle": null,
                             "agrees": false, "hold": null, "guard": null, "requests": null,
                             "error": error}),
                requests: None,
                is_reachable: false,
            };
        }
    };
    let own_name = status.all["node"].as_str().unwrap_or("-");
    let belongs = wanted.and_then(|wanted| wanted.belongs(&status));
    let another = fleet::follows_another(&status, place);
    let agrees = another.is_none() && wanted.is_none_or(|wanted| wanted.is_run_by(&status));
    let mut text = belongs.map_or_else(String::new, |it| format!("{}, ", place_text(it)));
    text.push_str(&format!(
        "runs {}",
        short(status.bundle.as_deref().unwrap_or("no bundle"))
    ));
    let rollout = &status.all["rollout"];
    let requests = &rollout["requests"];
    let mut requests_by_version = None;
    if let (Some(base), Some(candidate)) =
        (requests["base"].as_u64(), requests["candidate"].as_u64())
    {
        let other = short(rollout["candidate"].as_str().unwrap_or("another"));
        text.push_str(&format!(" and {other}"));
        requests_by_version = Some([base, candidate]);
        if !is_grouped {
            text.push_str(&format!(" ({base} and {candidate} requests)"));
        }
    }
    if let Some(why) = rollout["candidate_refused"].as_str() {
        text.push_str(&format!(", release refused: {why}"));
    }
    let guard = &rollout["guard"];
    if let Some(result) = guard["result"].as_str() {
        let by = guard["by"].as_str();
        let by = by.map_or_else(String::new, |by| format!(" by {by}"));
        text.push_str(&format!(", guard {result}{by}"));
    }
    if let Some(hold) = &status.hold {
        text.push_str(&format!(", on HOLD{}", fleet::hold(hold)));
    }
    if let Some(another) = &another {
        text.push_str(&format!("  <- {another}"));
    } else if !agrees {
        text.push_str("  <- differs from the channel");
    }
    Row {
        json: json!({"node": name, "name": own_name, "belongs": belongs, "bundle": status.bundle,
                     "agrees": agrees, "hold": status.hold, "guard": guard,
                     "requests": requests, "error": null}),
        text: NodeText {
            name: format!("{name} ({})", printable(own_name)),
            text: printable(&text),
            is_named: !agrees || status.hold.is_some() || guard["result"] == "failed",
        },
        requests: requests_by_version,
        is_reachable: true,
    }
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
    if let Some(began) = began(store, head) {
        lines.push(format!("began at {began}"));
    }
    lines
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
    say::document(
        "release-status/v1",
        "ok",
        json!({
            "channel": place.channel,
            "serial": head.map(|head| head.pointer.serial),
            "bundle": head.map(|head| head.bundle),
            "since": head.map(|head| head.record.created),
            "began": head.and_then(|head| began(store, head)),
            "rollout": step_json(head.and_then(|head| head.record.rollout.as_ref())),
            "base_bundle": wanted.and_then(Wanted::base),
            "nodes": nodes,
        }),
    )
}
