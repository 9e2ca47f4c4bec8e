//! Command `gwc trust`: changes the minimum serials and the required approvals of the trust file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bundle::approval::Approved;
use bundle::digest::Digest;
use bundle::history::{self, Entry, History};
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::statement::predicate::RecordKind;
use bundle::trust::{APPROVALS_MAX, Floors, Trust};
use diag::count::counted;
use diag::text::printable;
use serde_json::{Value, json};

use super::approvals::{check_head, names, record_json};
use super::movement::refused;
use super::options::{FormatOption, StoreOptions};
use super::replace::replace;
use super::say::{self, Context, Format};
use crate::release::evidence::{self, BundleVerifier};
use crate::release::{self, AnyStore, Place};
use crate::release::{approvals, refusals};
use model::exit::{Exit, Failure};
use sources::project::TRUST_FILE;

/// Maximum number of bundles in a message of refused records.
const REFUSED_SHOWN_MAX: usize = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc trust floor --channel prod
  gwc trust approvals 2 --channel prod      two owners must approve each new bundle")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write the channel's serial and the revocation list's into the trust file, so that a new
    /// gateway refuses older records and lists
    Floor(Floor),
    /// Set how many owners must approve each new bundle of the channel (`gwc approve`). Records
    /// before the first rule need no approvals
    Approvals(Approvals),
}

#[derive(Debug, clap::Args)]
struct Floor {
    /// Let the channel's newest record count as accepted (`accepted_until`), although gateways that
    /// have not accepted it refuse it. So do earlier records with at least as many signatures and
    /// approvals
    #[arg(long)]
    accept_head: bool,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Debug, clap::Args)]
struct Approvals {
    /// Number of different owners, 0 to 16; 0 requires no approvals
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(APPROVALS_MAX)))]
    owners: u32,
    /// Let the channel's newest record and all records before it need no approvals
    #[arg(long)]
    accept_head: bool,
    /// With --accept-head: proceed although gateways refused earlier records, whose approvals were
    /// missing
    #[arg(long, requires = "accept_head")]
    accept_refused: bool,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    format: FormatOption,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Floor(args) => floor(args, context),
        Command::Approvals(args) => approvals(args, context),
    }
}

fn floor(args: &Floor, context: &Context) -> anyhow::Result<Exit> {
    let place = args.at.place(context)?;
    let trust = args.at.needed_trust(&place.root)?;
    let store = place.open()?;
    let channel = &place.channel;
    let verifier = BundleVerifier {
        store: &store,
        trust: &trust,
        channel,
    };
    // Skip records of revoked keys, because such a record must not become the minimum.
    let left = verifier.without_revoked_keys()?;
    let head = release::head(&store, Some(&left), channel)?;
    let accepted_head = head.as_ref().filter(|_| args.accept_head);
    let accepted = accepted_head.map(|head| head.pointer.digest);
    match accepted_head {
        Some(head) => note_accepted(&place, &store, &left, head),
        None => check_head(&place, &store, Some(&left), head.as_ref())?,
    }
    let before = trust.floors(channel);
    // Minimum serials never decrease. A store with smaller serials is an outdated copy.
    let floors = Floors {
        min_serial: before
            .min_serial
            .max(head.map_or(0, |head| head.pointer.serial)),
        min_revocations: before.min_revocations.max(verifier.revocations()?.serial()),
    };
    let needed = trust.approvals(channel).map_or(0, |rule| rule.owners);
    let file = file(&args.at, &place);
    // Also write minimum serials of zero. They show a new gateway that no revocation list exists
    // yet.
    let is_accepted = accepted.is_none() || accepted == trust.accepted_until(channel);
    let changed = floors != before || !trust.has_floors(channel) || !is_accepted;
    if changed {
        let floored = trust.clone().with_floors(channel.clone(), floors)?;
        let floored = match accepted {
            Some(record) => floored.with_accepted_until(channel.clone(), record)?,
            None => floored,
        };
        write(&file, &floored)?;
    }
    match args.format.format {
        Format::Human => {
            let approvals = match needed {
                0 => String::new(),
                needed => format!(", approvals {needed}"),
            };
            say::result(&format!(
                "{}: channel {channel}: min_serial {}, min_revocations {}{approvals}",
                say::path(&file),
                floors.min_serial,
                floors.min_revocations
            ));
        }
        Format::Json => say::json(&say::document(
            "trust-floor/v1",
            "ok",
            json!({"trust": file, "channel": channel, "min_serial": floors.min_serial,
                   "min_revocations": floors.min_revocations, "approvals": needed,
                   "accepted_until": accepted, "changed": changed}),
        )),
    }
    Ok(Exit::OK)
}

fn approvals(args: &Approvals, context: &Context) -> anyhow::Result<Exit> {
    let place = args.at.place(context)?;
    let trust = args.at.needed_trust(&place.root)?;
    let channel = &place.channel;
    check_owners(&trust, channel, args.owners)?;
    let store = place.open_if_there()?;
    let mut head = None;
    let mut left = trust.clone();
    if let Some(store) = &store {
        let verifier = BundleVerifier {
            store,
            trust: &trust,
            channel,
        };
        left = verifier.without_revoked_keys()?;
        head = release::head(store, Some(&left), channel)?;
        if let Some(head) = head.as_ref().filter(|_| args.accept_head) {
            note_accepted(&place, store, &left, head);
            if !args.accept_refused {
                check_before(&place, store, &trust, head)?;
            }
        }
    }
    let newest = head.as_ref().map(|head| head.pointer);
    let after = match trust.approvals(channel) {
        _ if args.owners == 0 => None,
        Some(rule) if !args.accept_head => rule.after,
        _ => newest.map(|newest| newest.digest),
    };
    let trust = trust.with_approvals(channel.clone(), args.owners, after)?;
    let mut record = None;
    if let (Some(store), Some(head)) = (&store, &head) {
        let left = left.with_approvals(channel.clone(), args.owners, after)?;
        let approved = approvals::of_head(store, Some(&left), channel, head);
        if let Err(why @ Refused::ApprovalsMissing { .. }) = &approved {
            return Err(Failure::new(
                Exit::UNVERIFIED,
                why.reason(),
                format!(
                    "record {} of channel {channel}: {why}, so a new gateway would refuse it; the \
                     trust file was not changed. Pass --accept-head if this record and all records \
                     before it may run",
                    head.pointer.serial
                ),
            )
            .into());
        }
        record = Some(record_json(&approved));
    }
    let file = file(&args.at, &place);
    write(&file, &trust)?;
    match args.format.format {
        Format::Human => {
            let serial = newest.filter(|newest| Some(newest.digest) == after);
            let after = match (after, serial) {
                (None, _) => ", from its first record on".to_owned(),
                (Some(_), Some(newest)) => format!(", after record {}", newest.serial),
                (Some(_), None) => "; `approvals_after` is unchanged".to_owned(),
            };
            say::result(&text(&file, channel, args.owners, &after));
        }
        Format::Json => say::json(&say::document(
            "trust-approvals/v1",
            "ok",
            json!({"trust": file, "channel": channel, "approvals": args.owners,
                   "approvals_after": after, "record": record}),
        )),
    }
    Ok(Exit::OK)
}

/// Prints which record `--accept-head` accepts, and why gateways refuse it.
fn note_accepted(place: &Place, store: &AnyStore, trust: &Trust, head: &Entry) {
    let kind = match head.record.kind {
        RecordKind::Release => "release",
        RecordKind::Rollback => "rollback",
        RecordKind::Pin => "pin",
    };
    let signers = match &head.signed {
        Some(Ok(signers)) => names(&signers.owners),
        _ => "fewer owners than the trust file requires".to_owned(),
    };
    let refusal = refusals::of_head(store, Some(trust), &place.channel, head);
    let refusal = match refusal {
        Some(why) => format!("; gateways that have not accepted it refuse it ({why})"),
        None => String::new(),
    };
    say::note(&format!(
        "note: this accepts record {} of channel {}: {kind} of bundle {}, {}, signed by {signers}, \
         reason: {}{refusal}",
        head.pointer.serial,
        place.channel,
        head.bundle.short(),
        head.record.created,
        printable(&head.record.reason)
    ));
}

/// Refuses `--accept-head` if records before the newest one have fewer approvals than it, and the
/// rule in force required them. Gateways refused these records. Afterwards, a rollback to their
/// bundles would need no approvals.
fn check_before(
    place: &Place,
    store: &AnyStore,
    trust: &Trust,
    head: &Entry,
) -> anyhow::Result<()> {
    let channel = &place.channel;
    let History { entries, broken } = history::walk(store, Some(trust), channel, usize::MAX)?;
    if let Some(why) = broken {
        return Err(refused(
            &why,
            "a record before the newest one cannot be read, so it is unknown whether gateways \
             refused it; restore it from another copy of the store. If all records may run, pass \
             --accept-refused",
        ));
    }
    let approved = approvals::of_entries(store, trust, channel, &entries);
    let records = || entries.iter().zip(&approved);
    let of_head = records().find(|(entry, _)| entry.pointer == head.pointer);
    // If gateways refuse the newest record itself, its approvals are no measure for earlier
    // records.
    let least = match of_head {
        Some((_, approved @ Ok(_))) => refusals::approvers(approved),
        _ => usize::MAX,
    };
    let is_refused = |approved: &Result<Approved, Refused>| {
        approved.is_err() && refusals::approvers(approved) < least
    };
    let accepted: BTreeSet<Digest> = records()
        .filter(|(entry, approved)| entry.pointer == head.pointer || !is_refused(approved))
        .map(|(entry, _)| entry.bundle)
        .collect();
    let mut bundles: BTreeMap<Digest, u64> = BTreeMap::new();
    for (entry, approved) in records() {
        if is_refused(approved)
            && !accepted.contains(&entry.bundle)
            && !evidence::is_revoked(store, Some(trust), channel, entry.bundle)?
        {
            bundles.insert(entry.bundle, entry.pointer.serial);
        }
    }
    if bundles.is_empty() {
        return Ok(());
    }
    let list = bundles.iter().take(REFUSED_SHOWN_MAX);
    let list = list.map(|(bundle, serial)| format!("{} (record {serial})", bundle.short()));
    Err(Failure::new(
        Exit::UNVERIFIED,
        "approvals-missing",
        format!(
            "gateways refused {} of channel {channel}, because approvals were missing: {}. \
             Afterwards a rollback to them would need no approvals. Revoke them first (`gwc revoke \
             ID --key FILE`). If they may run, pass --accept-refused",
            counted(bundles.len(), "bundle"),
            list.collect::<Vec<_>>().join(", ")
        ),
    )
    .into())
}

/// Refuses a number of owners that the keys of the trust file cannot reach.
fn check_owners(trust: &Trust, channel: &ChannelName, owners: u32) -> Result<(), Failure> {
    let approvers = trust.approvers(channel, release::now());
    if approvers.len() >= owners as usize {
        return Ok(());
    }
    let have = if approvers.len() == 1 { "has" } else { "have" };
    Err(Failure::usage(format!(
        "{} {have} a valid key with the role `approve` for channel {channel}, so {} could never \
         approve; add keys with `gwc keygen NAME --roles approve`",
        counted(approvers.len(), "owner"),
        counted(owners as usize, "owner")
    )))
}

fn text(file: &Path, channel: &ChannelName, owners: u32, after: &str) -> String {
    let file = say::path(file);
    match owners {
        0 => format!("{file}: channel {channel} requires no approvals"),
        _ => {
            let owners = counted(owners as usize, "owner");
            format!("{file}: channel {channel} requires approvals of {owners}{after}")
        }
    }
}

fn file(at: &StoreOptions, place: &Place) -> PathBuf {
    let given = at.trust.clone();
    given.unwrap_or_else(|| place.root.join(TRUST_FILE))
}

/// Writes the trust file, and keeps its `$schema`.
fn write(file: &Path, trust: &Trust) -> anyhow::Result<()> {
    let schema = std::fs::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .and_then(|value| Some(value.get("$schema")?.as_str()?.to_owned()));
    let mut text = trust.to_json();
    if let Some(schema) = schema {
        text = text.replacen('{', &format!("{{\n  \"$schema\": {},", json!(schema)), 1);
    }
    replace(file, text.as_bytes())
}
