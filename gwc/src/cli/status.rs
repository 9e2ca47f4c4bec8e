//! Command `gwc status`: shows the channel's bundle and the bundle of each gateway.

use bundle::approval::Approved;
use bundle::history::Entry;
use bundle::refused::Refused;
use bundle::trust::Trust;
use serde_json::{Value, json};

use super::approvals::{note_head, pending_json, pending_text, record_json, record_text};
use super::expiry;
use super::fleet;
use super::many::{self, NodeText};
use super::movement::{note_floor, short};
use super::options::{FormatOption, NodeOptions, StoreOptions};
use super::progress;
use super::revoked_lists;
use super::say::{self, Context, Format};
use super::steps::{self, Wanted, place_text, step_json, step_text};
use super::troubles::troubles;
use crate::release::approvals::{self, PendingChange};
use crate::release::{self, AnyStore, Place};
use diag::text::printable;
use model::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc status
  gwc status --node http://10.0.0.5:9901 --node http://10.0.0.6:9901 --admin-token-file token
  gwc status --nodes gateways.txt --admin-token-file token
  gwc status --nodes dns:gwd-nodes.shop.svc:9901 --admin-token-file token    all pods of a headless Service")]
pub(super) struct Args {
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    nodes: NodeOptions,
    #[command(flatten)]
    format: FormatOption,
}

/// Reaction to a gateway that runs another bundle than that of the channel's newest record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// The gateway is only reported, as in `gwc status`.
    Reported,
    /// The gateway is reported, and the command fails, as in `gwc drift`.
    Fails,
}

/// Status of one gateway, and its output line.
struct Row {
    node: String,
    bundle: Option<String>,
    agrees: bool,
    reachable: bool,
    /// True if the gateway is pinned to its bundle.
    is_on_hold: bool,
    text: String,
    /// Problems of the gateway, one line each.
    troubles: Vec<String>,
    all: Value,
}

impl super::Arguments for Args {}

impl Args {
    /// True if an option names gateways.
    pub(super) fn names_nodes(&self) -> bool {
        !self.nodes.is_empty()
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    compare(args, context, Difference::Reported)
}

/// Reports the channel's bundle and the bundle of each gateway.
pub(super) fn compare(
    args: &Args,
    context: &Context,
    difference: Difference,
) -> anyhow::Result<Exit> {
    let nodes = args.nodes.nodes()?;
    progress::stage("querying the gateways");
    let place = args.at.place(context)?;
    let trust = args.at.trust(&place)?;
    let read = place.open().and_then(|store| {
        let head = release::head(&store, trust.as_ref(), &place.channel)?;
        Ok((store, head))
    });
    let (store, head) = match read {
        Ok(read) => read,
        Err(error) => {
            // Show the gateways even if the channel cannot be read, because their state matters
            // most while the store is unavailable.
            if args.format.format == Format::Human {
                let rows = nodes.status().into_iter();
                let rows = rows.map(|(name, status)| row(name, status, &place, None));
                let texts: Vec<NodeText> = rows.map(|row| text(&row)).collect();
                say::report(&many::lines(&texts).join("\n"));
            }
            return Err(error);
        }
    };
    let wanted = head
        .as_ref()
        .map(|head| steps::wanted(&store, trust.as_ref(), &place, head));
    let states = nodes.status();
    fleet::warn_of_same_names(&states);
    let rows: Vec<Row> = states
        .into_iter()
        .map(|(name, status)| row(name, status, &place, Some(wanted.as_ref())))
        .collect();
    let now = release::now();
    let ending = trust.as_ref().map(|trust| expiry::ending(trust, now));
    let ending = ending.unwrap_or_default();
    let unreachable = rows.iter().any(|row| !row.reachable);
    let drift = rows.iter().any(|row| row.reachable && !row.agrees);
    let exit = match (unreachable, drift, difference) {
        (true, _, _) => Exit::UNREACHABLE,
        (false, true, Difference::Fails) => Exit::FINDINGS,
        _ => Exit::OK,
    };
    let approvals = Approvals::read(&place, &store, trust.as_ref(), head.as_ref())?;
    match args.format.format {
        Format::Human => say::report(&human(&place, &store, (head.as_ref(), &approvals), &rows)),
        Format::Json => {
            let mut document = document(difference, &place, head.as_ref(), &rows, drift);
            document["approvals"] = approvals.json();
            document["keys_ending"] = ending.iter().map(|key| expiry::document(key)).collect();
            say::json(&document);
        }
    }
    note_floor(&place, trust.as_ref(), head.as_ref());
    note_head(&place, &store, trust.as_ref(), head.as_ref());
    match revoked_lists::warning(&place, &store, trust.as_ref()) {
        Ok(warning) => warning.iter().for_each(|warning| say::note(warning)),
        Err(why) => say::note(&format!("warning: {why}")),
    }
    for key in &ending {
        say::note(&expiry::warning(key, now, context.project.as_deref()));
    }
    if difference == Difference::Fails && drift {
        say::note("error[drift]: not every gateway runs the channel's bundle");
    }
    Ok(exit)
}

/// Approvals of the channel's newest record, and of its next change.
struct Approvals {
    /// Number of owners that must approve a change.
    needed: u32,
    /// Approvals of the newest record, or the reason why they do not suffice. `None`: the channel
    /// has no record.
    head: Option<Result<Approved, Refused>>,
    pending: Vec<PendingChange>,
}

impl Approvals {
    fn read(
        place: &Place,
        store: &AnyStore,
        trust: Option<&Trust>,
        head: Option<&Entry>,
    ) -> anyhow::Result<Self> {
        let rule = trust.and_then(|trust| trust.approvals(&place.channel));
        let pending = match (trust, head) {
            (Some(trust), Some(head)) if rule.is_some() => {
                approvals::pending(store, trust, &place.channel, head)?
            }
            _ => Vec::new(),
        };
        Ok(Self {
            needed: rule.map_or(0, |rule| rule.owners),
            head: head.map(|head| approvals::of_head(store, trust, &place.channel, head)),
            pending,
        })
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let head = self.head.as_ref().and_then(record_text);
        let pending = self.pending.iter();
        let pending = pending.map(|change| pending_text(change, self.needed));
        head.into_iter()
            .chain(pending)
            .map(|line| format!("  {line}"))
    }

    fn json(&self) -> Value {
        if self.needed == 0 {
            return Value::Null;
        }
        let pending: Vec<Value> = self.pending.iter().map(pending_json).collect();
        json!({"needed": self.needed, "record": self.head.as_ref().map(record_json), "next": pending})
    }
}

fn row(
    node: String,
    status: anyhow::Result<release::nodes::Status>,
    place: &Place,
    wanted: Option<Option<&Wanted>>,
) -> Row {
    match status {
        Err(error) => Row {
            node,
            bundle: None,
            agrees: false,
            reachable: false,
            is_on_hold: false,
            text: format!("unreachable: {error:#}"),
            troubles: Vec::new(),
            all: Value::Null,
        },
        Ok(status) => {
            let another = fleet::follows_another(&status, place);
            let as_wanted = match wanted {
                None => true,
                Some(None) => status.bundle.is_none(),
                Some(Some(wanted)) => wanted.is_run_by(&status),
            };
            let agrees = as_wanted && another.is_none();
            let mut text = match &status.bundle {
                None => "runs no bundle".to_owned(),
                Some(bundle) => format!("runs {}", short(bundle)),
            };
            if let Some(serial) = status.serial {
                text.push_str(&format!(", serial {serial}"));
            }
            let belongs = wanted.flatten().and_then(|wanted| wanted.belongs(&status));
            if let Some(belongs) = belongs {
                text.push_str(&format!(", {}", place_text(belongs)));
            }
            if let Some(hold) = &status.hold {
                text.push_str(&format!(", on HOLD{}", fleet::hold(hold)));
            }
            if let Some(error) = &status.last_error {
                text.push_str(&format!(
                    ", refused {}: {}",
                    short(error["bundle"].as_str().unwrap_or("a bundle")),
                    error["reason"].as_str().unwrap_or("no reason given")
                ));
            }
            if let Some(another) = another {
                text.push_str(&format!("  <- {another}"));
            } else if !agrees {
                text.push_str("  <- differs from the channel");
            }
            Row {
                node,
                bundle: status.bundle,
                agrees,
                reachable: true,
                is_on_hold: status.hold.is_some(),
                text,
                troubles: troubles(&status.all),
                all: status.all,
            }
        }
    }
}

fn document(
    difference: Difference,
    place: &Place,
    head: Option<&Entry>,
    rows: &[Row],
    drift: bool,
) -> Value {
    let (schema, result) = match difference {
        Difference::Reported => ("fleet/v1", "ok"),
        Difference::Fails if drift => ("drift/v1", "changes"),
        Difference::Fails => ("drift/v1", "ok"),
    };
    let result = if rows.iter().any(|row| !row.reachable) {
        "error"
    } else {
        result
    };
    let nodes: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({"node": row.node, "bundle": row.bundle, "agrees": row.agrees,
                   "reachable": row.reachable, "error": (!row.reachable).then_some(&row.text), "status": row.all})
        })
        .collect();
    let mut document = say::document(
        schema,
        result,
        json!({"channel": place.channel, "serial": head.map(|head| head.pointer.serial),
               "rollout": step_json(head.and_then(|head| head.record.rollout.as_ref())),
               "bundle": head.map(|head| head.bundle), "drift": drift,
               "counts": Counts::of(rows).json(), "nodes": nodes}),
    );
    if result == "error" {
        document["error"] = json!({"code": "node-unreachable", "message": "some gateways did not answer", "exit": Exit::UNREACHABLE.0});
    }
    document
}

fn human(
    place: &Place,
    store: &AnyStore,
    (head, approvals): (Option<&Entry>, &Approvals),
    rows: &[Row],
) -> String {
    let mut lines = vec![match head {
        None => place.without_head(store),
        Some(head) => format!(
            "channel {}: serial {}, {} {} since {} ({}: {})",
            place.channel,
            head.pointer.serial,
            head.record.kind,
            short(&head.bundle.to_string()),
            head.record.created,
            printable(&head.record.actor),
            printable(&head.record.reason),
        ),
    }];
    if let Some(rollout) = head.and_then(|head| head.record.rollout.as_ref()) {
        lines.push(format!(
            "  progressive release: {} (`gwc release status`)",
            step_text(rollout)
        ));
    }
    lines.extend(approvals.lines());
    if rows.len() > many::LINES_MAX {
        lines.push(format!("  {}", Counts::of(rows).text()));
    }
    let texts: Vec<NodeText> = rows.iter().map(text).collect();
    lines.extend(many::lines(&texts));
    lines.join("\n")
}

/// Text about a gateway, with its problems.
fn text(row: &Row) -> NodeText {
    let mut text = printable(&row.text);
    for trouble in &row.troubles {
        text.push_str(&format!("\n{}", printable(trouble)));
    }
    NodeText {
        name: row.node.clone(),
        text,
        is_named: !row.agrees || !row.troubles.is_empty() || row.is_on_hold,
    }
}

/// Numbers of gateways.
struct Counts {
    all: usize,
    /// Gateways that run what the channel's newest record asks for.
    agree: usize,
    unreachable: usize,
}

impl Counts {
    fn of(rows: &[Row]) -> Self {
        Self {
            all: rows.len(),
            agree: rows.iter().filter(|row| row.agrees).count(),
            unreachable: rows.iter().filter(|row| !row.reachable).count(),
        }
    }

    const fn differ(&self) -> usize {
        self.all - self.agree - self.unreachable
    }

    fn text(&self) -> String {
        format!(
            "{}: {} as the channel says, {} different, {} unreachable",
            many::gateways(self.all),
            self.agree,
            self.differ(),
            self.unreachable
        )
    }

    fn json(&self) -> Value {
        json!({"gateways": self.all, "agree": self.agree, "differ": self.differ(),
               "unreachable": self.unreachable})
    }
}
