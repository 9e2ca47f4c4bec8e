//! Command `gwc history`: lists the verified records of a channel.

use bundle::approval::Approved;
use bundle::digest::Digest;
use bundle::history::{self, Entry};
use bundle::refused::Refused;
use bundle::revocation::Revocations;
use bundle::store::Blobs as _;
use serde_json::{Value, json};

use super::advice::Advice;
use super::approvals::{record_json, record_text};
use super::many;
use super::movement::{note_floor, short};
use super::options::{FormatOption, NodeOptions, StoreOptions};
use super::say::{self, Context, Format};
use super::steps::{step_json, step_text};
use crate::release::nodes::{Nodes, PastRun};
use crate::release::{AnyStore, approvals};
use crate::release::{back, evidence::BundleVerifier};
use diag::text::printable;
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc history
  gwc history --node http://10.0.0.5:9901 --node http://10.0.0.6:9901    and the bundles of these gateways, with times
  gwc history --format json --limit 3")]
pub(super) struct Args {
    /// Maximum number of records, the newest ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    nodes: NodeOptions,
    #[command(flatten)]
    format: FormatOption,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let nodes = args.nodes.nodes()?;
    let place = args.at.place(context)?;
    let trust = args.at.trust(&place)?;
    let advice = Advice::new(context, &args.at, &place.root, &[]);
    let store = place.open()?;
    let history = history::walk(&store, trust.as_ref(), &place.channel, usize::MAX)?;
    let revoked = trust.as_ref().map(|trust| {
        BundleVerifier {
            store: &store,
            trust,
            channel: &place.channel,
        }
        .revocations()
    });
    let revoked = revoked.transpose()?.unwrap_or_default();
    let path = back::path(&history.entries);
    let limit = args.limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    note_floor(&place, trust.as_ref(), history.entries.first());
    let fleet = Fleet::ask(&nodes);
    let shown = &history.entries[..history.entries.len().min(limit)];
    let approved: Vec<Result<Approved, Refused>> = match &trust {
        Some(trust) => approvals::of_entries(&store, trust, &place.channel, shown),
        None => vec![Ok(Approved::NotRequired); shown.len()],
    };
    match args.format.format {
        Format::Json => {
            let records: Vec<Value> = shown
                .iter()
                .zip(&approved)
                .map(|(entry, approved)| {
                    let mut record = record(entry, revoked.has_bundle(&entry.bundle), &fleet);
                    record["approvals"] = record_json(approved);
                    record
                })
                .collect();
            say::json(&say::document(
                "history/v1",
                match (&history.broken, fleet.unreachable.is_empty()) {
                    (Some(_), _) => "blocked",
                    (None, false) => "error",
                    (None, true) => "ok",
                },
                json!({"channel": place.channel, "records": records, "unreachable": fleet.unreachable,
                       "broken": history.broken.as_ref().map(|why| why.reason())}),
            ));
        }
        Format::Human if shown.is_empty() => {
            if let Some(doubt) = place.doubt(&store) {
                say::note(&doubt);
            }
            say::report(&place.without_head(&store));
        }
        Format::Human => {
            let lines = Lines {
                shown,
                path: &path,
                approved: &approved,
                fleet: &fleet,
                advice: &advice,
            };
            say::report(&lines.text(&store, &revoked));
        }
    }
    match &history.broken {
        None => fleet.exit(),
        Some(why) => Err(Failure::new(
            Exit::UNVERIFIED,
            why.reason(),
            format!(
                "the chain is broken: the record before the last one shown cannot be read: {why}"
            ),
        )
        .into()),
    }
}

/// Records to print.
struct Lines<'a> {
    shown: &'a [Entry],
    /// Bundles to which rollbacks go, see [`back::path`].
    path: &'a [Digest],
    approved: &'a [Result<Approved, Refused>],
    fleet: &'a Fleet,
    advice: &'a Advice,
}

impl Lines<'_> {
    fn text(&self, store: &AnyStore, revoked: &Revocations) -> String {
        let entries = self.shown.iter().enumerate();
        let lines = entries.map(|(at, entry)| {
            let revoked = revoked.has_bundle(&entry.bundle);
            let gone = !matches!(store.size(&entry.bundle), Ok(Some(_)));
            let mut path = self.path.iter().rev();
            let back = path
                .position(|known| *known == entry.bundle)
                .filter(|_| entry_is_newest(self.shown, at));
            let mut line = line(entry, back, (revoked, gone), (self.fleet, self.advice));
            if let Some(text) = record_text(&self.approved[at]) {
                line.push_str(&format!("\n       {text}"));
            }
            line
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Results of querying the gateways for the bundles that they have run.
struct Fleet {
    queried: bool,
    /// Bundles that each gateway has run: name of the gateway, and its runs.
    ran: Vec<(String, Vec<PastRun>)>,
    /// Gateways that did not respond, with the reason.
    unreachable: Vec<String>,
}

impl Fleet {
    fn ask(nodes: &Nodes) -> Self {
        let mut fleet = Self {
            queried: !nodes.is_empty(),
            ran: Vec::new(),
            unreachable: Vec::new(),
        };
        for (name, bundles) in nodes.bundles() {
            match bundles {
                Ok(bundles) => fleet.ran.push((name, bundles.ran)),
                Err(error) => fleet.unreachable.push(format!("{name}: {error:#}")),
            }
        }
        fleet
    }

    /// Returns the gateways that ran the bundle of a record, with the time of activation.
    fn of(&self, entry: &Entry) -> Vec<(&str, &PastRun)> {
        let bundle = entry.bundle.to_string();
        let serial = Some(entry.pointer.serial);
        let all = self
            .ran
            .iter()
            .flat_map(|(name, ran)| ran.iter().map(move |ran| (name.as_str(), ran)));
        all.filter(|(_, ran)| ran.serial == serial && ran.bundle == bundle)
            .collect()
    }

    fn exit(&self) -> anyhow::Result<Exit> {
        if self.unreachable.is_empty() {
            return Ok(Exit::OK);
        }
        say::note(&format!(
            "error[node-unreachable]: some gateways did not answer: {}",
            many::list(&self.unreachable, "; ")
        ));
        Ok(Exit::UNREACHABLE)
    }
}

/// True if no newer record has the same bundle as the record `entries[at]`.
fn entry_is_newest(entries: &[Entry], at: usize) -> bool {
    !entries[..at]
        .iter()
        .any(|newer| newer.bundle == entries[at].bundle)
}

fn record(entry: &Entry, revoked: bool, fleet: &Fleet) -> Value {
    let record = &entry.record;
    let build = entry.build.as_ref();
    let signed = match &entry.signed {
        None => json!(null),
        Some(Ok(signers)) => json!({"owners": signers.owners}),
        Some(Err(refused)) => json!({"reason": refused.reason()}),
    };
    let ran = fleet.of(entry);
    let ran = ran
        .iter()
        .map(|(node, ran)| json!({"node": node, "since": ran.since}));
    let ran: Option<Vec<Value>> = fleet.queried.then(|| ran.collect());
    json!({
        "serial": entry.pointer.serial, "kind": record.kind.as_str(), "bundle": entry.bundle,
        "previous": record.previous, "record": entry.pointer.digest, "actor": record.actor,
        "reason": record.reason, "created": record.created, "expires": record.expires,
        "plan": record.plan, "source": record.source, "revoked": revoked, "signed": signed,
        "git": build.and_then(|build| build.git.as_ref()),
        "builder": build.map(|build| &build.builder), "withdraw": record.withdraw, "ran": ran,
        "rollout": step_json(record.rollout.as_ref()),
        "override_freeze": record.override_freeze,
    })
}

fn line(
    entry: &Entry,
    back: Option<usize>,
    (revoked, gone): (bool, bool),
    (fleet, advice): (&Fleet, &Advice),
) -> String {
    let record = &entry.record;
    let git = entry.build.as_ref().and_then(|build| build.git.as_ref());
    let git = git.map_or_else(String::new, |git| {
        let dirty = if git.dirty { " dirty" } else { "" };
        format!(
            "  git {}{dirty}",
            git.commit.get(..10).unwrap_or(&git.commit)
        )
    });
    let signed = match &entry.signed {
        None => "not checked: no trust file".to_owned(),
        Some(Ok(signers)) => format!(
            "signed by {}",
            signers
                .owners
                .iter()
                .cloned()
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Some(Err(refused)) => format!("signature: {}", refused.reason()),
    };
    let mark = match (back, revoked) {
        (_, true) => "  REVOKED".to_owned(),
        (Some(0), _) => "  <- runs".to_owned(),
        (Some(_), _) if gone => {
            "  (the store has no such bundle; `gwc build` of its sources stores it again)"
                .to_owned()
        }
        (Some(steps), _) => {
            let steps = format!("-{steps}");
            format!("  ({})", advice.command(&["rollback", &steps]))
        }
        (None, _) => String::new(),
    };
    let mut more = String::new();
    if !record.withdraw.is_empty() {
        let ids = record.withdraw.iter().map(Digest::short);
        more.push_str(&format!(
            "\n       withdraws {}",
            ids.collect::<Vec<_>>().join(", ")
        ));
    }
    if let Some(rollout) = &record.rollout {
        more.push_str(&format!(
            "\n       {}, the others stay with serial {}",
            step_text(rollout),
            rollout.base.serial
        ));
    }
    if let Some(at) = record.expires {
        more.push_str(&format!("\n       expires {at}"));
    }
    if let Some(reason) = &record.override_freeze {
        let reason = printable(reason);
        more.push_str(&format!("\n       in a freeze window, because: {reason}"));
    }
    more.push_str(&runs(&fleet.of(entry)));
    format!(
        "{:>5}  {:<8} {}  {}  {}\n       {}  [{signed}]{git}{mark}{more}",
        entry.pointer.serial,
        record.kind.as_str(),
        short(&entry.bundle.to_string()),
        record.created,
        printable(&record.actor),
        printable(&record.reason),
    )
}

/// Lines about the gateways that ran a bundle, with the time of activation.
fn runs(ran: &[(&str, &PastRun)]) -> String {
    let mut text = String::new();
    for (node, ran) in ran.iter().take(many::LINES_MAX) {
        let since = ran.since.as_deref().unwrap_or("at an unknown time");
        let since = printable(since);
        text.push_str(&format!("\n       ran on {node} since {since}"));
    }
    let hidden = ran.get(many::LINES_MAX..).unwrap_or_default();
    if !hidden.is_empty() {
        let gateways = many::gateways(hidden.len());
        text.push_str(&format!(
            "\n       ran on {gateways} more; `--format json` lists all"
        ));
    }
    text
}
