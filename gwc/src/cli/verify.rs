//! Command `gwc verify`: verifies every statement about a bundle, and shows how to verify it by
//! hand.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bundle::approval::{self, Approved};
use bundle::by_hand::{self, Report};
use bundle::digest::Digest;
use bundle::name::ChannelName;
use bundle::pending;
use bundle::refused::Refused;
use bundle::statement::predicate::{Record, Role, Rollout};
use bundle::statement::{Statement, claimed_role, stored};
use bundle::store::{Store, read};
use bundle::trust::{Trust, When};
use serde_json::{Value, json};

use super::approvals::{record_json, record_text};
use super::options::{FormatOption, StoreOptions};
use super::replace::{make_folder, output};
use super::say::{self, Context, Format};
use super::steps::{step_json, step_text};
use super::target::Target;
use crate::assemble::disassemble;
use crate::release::approvals;
use crate::release::evidence::{self, BundleVerifier};
use crate::release::{self, Place, Sought};
use model::exit::{self, Exit};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc verify 3f9a2c
  gwc verify shop.tar --trust trust.json --extract by-hand")]
pub(super) struct Args {
    /// A bundle's id, the beginning of it, or a one-file bundle
    target: String,
    /// Folder for the files for openssl [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    extract: Option<PathBuf>,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    format: FormatOption,
}

impl super::Arguments for Args {}

/// Steps of progressive releases, by the digest of the record.
type Steps = BTreeMap<Digest, Rollout>;

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let root = context.root().unwrap_or_else(|_| PathBuf::from("."));
    let trust = args.at.needed_trust(&root)?;
    let target = Target::find(&args.target, &args.at, context)?;
    let (store, id) = (target.store(), target.bundle);
    let channel = channel(args, context.sought(&root))?;
    let mut reports = Vec::new();
    let mut steps = Steps::new();
    for digest in statements(store, &trust, &channel, id)? {
        // Skip blobs that are not statements, such as the source artifact.
        if let Ok(envelope) = stored::open(store, &digest) {
            if let Ok(record) = Statement::<Record>::decode(envelope.payload())
                && let Some(rollout) = record.predicate.rollout
            {
                steps.insert(digest, rollout);
            }
            let when = moment(store, &trust, &channel, id, envelope.payload());
            reports.push(by_hand::report(store, &trust, None, digest, when)?);
        }
    }
    let approved = approved(store, &trust, &channel, id)?;
    let outcome = verify_bundle(store, &trust, &channel, id);
    let outcome = match &approved {
        Some((_, Err(refused))) => outcome.and(Err(refused.clone())),
        _ => outcome,
    };
    let folder = extract(args.extract.as_deref(), store, id, &reports)?;
    let (exit, reason) = match &outcome {
        Ok(_) => (Exit::OK, None),
        Err(refused) => {
            let error = anyhow::Error::from(refused.clone());
            let (exit, code) = exit::of(&error);
            (exit, Some((code, refused.to_string())))
        }
    };
    match args.format.format {
        Format::Json => say::json(&say::document(
            "verify/v1",
            if exit == Exit::OK { "ok" } else { "blocked" },
            json!({"bundle": id, "verified": outcome.is_ok(), "owners": outcome.as_ref().ok(),
                   "reason": reason.as_ref().map(|(code, _)| code), "message": reason.as_ref().map(|(_, text)| text),
                   "approvals": approved.as_ref().map(|(serial, approved)| json!({"serial": serial, "record": record_json(approved)})),
                   "folder": folder, "statements": reports.iter().map(|report| statement(report, &steps)).collect::<Vec<_>>()}),
        )),
        Format::Human => {
            let mut text = human(id, &outcome, (&reports, &steps), &folder);
            if let Some((serial, approved)) = approved
                && let Some(line) = record_text(&approved)
            {
                text.push_str(&format!("\n\nrecord {serial} of channel {channel}: {line}"));
            }
            say::result(&text);
        }
    }
    if let Some((code, text)) = reason {
        say::note(&format!("error[{code}]: {text}"));
    }
    Ok(exit)
}

/// Statements about a bundle: those that the store lists, and its approvals, which are listed at
/// the record before the change.
fn statements(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    bundle: Digest,
) -> Result<Vec<Digest>, Refused> {
    let mut all = store.referrers(&bundle)?;
    let entries = evidence::entries(store, Some(trust), channel).unwrap_or_default();
    let named = entries.iter().filter(|entry| entry.bundle == bundle);
    let used = named.flat_map(|entry| approval::among(store, &entry.record.evidence));
    let pending = pending::next_changes(store, channel)?.into_iter();
    let pending = pending.filter(|approval| approval.bundle == bundle);
    for digest in used.chain(pending.map(|approval| approval.digest)) {
        if !all.contains(&digest) {
            all.push(digest);
        }
    }
    Ok(all)
}

/// Serial of a record, and the result of checking its approvals.
type CheckedApprovals = (u64, Result<Approved, Refused>);

/// Checks the approvals of the channel's newest record with this bundle, and returns its serial.
/// `None`: no record has the bundle, or no approvals are required.
fn approved(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    bundle: Digest,
) -> Result<Option<CheckedApprovals>, Refused> {
    if trust.approvals(channel).is_none() {
        return Ok(None);
    }
    let entries = evidence::entries(store, Some(trust), channel)?;
    let Some(at) = entries.iter().position(|entry| entry.bundle == bundle) else {
        return Ok(None);
    };
    let mut all = approvals::of_entries(store, trust, channel, &entries[..=at]);
    let serial = entries[at].pointer.serial;
    Ok(all.pop().map(|approved| (serial, approved)))
}

/// Returns the channel whose records show when a build key was used. Default without a project:
/// `prod`.
fn channel(args: &Args, sought: Sought<'_>) -> anyhow::Result<ChannelName> {
    let given = args.at.channel.as_deref();
    match Place::read(sought, None, given) {
        Ok(place) => Ok(place.channel),
        Err(error) if sought.environment.is_some() => Err(error),
        Err(_) => Ok(given.unwrap_or("prod").parse()?),
    }
}

/// Returns the time at which the keys of a statement must be valid. For a channel record: its
/// creation time. For an approval: any time, because the record that lists it decides. For other
/// statements about a bundle: the time that gwd uses for this bundle.
fn moment(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    bundle: Digest,
    payload: &[u8],
) -> When {
    if let Ok(record) = Statement::<Record>::decode(payload) {
        return When::Past(record.predicate.created);
    }
    if claimed_role(payload) == Ok(Some(Role::Approve)) {
        return When::Ever;
    }
    let entries = evidence::entries(store, Some(trust), channel).unwrap_or_default();
    evidence::known(store, &bundle, &entries).map_or(When::First(release::now()), |(_, when)| when)
}

/// Verifies a bundle as a gateway with this trust file does, and checks that the store contains it
/// completely. Returns the owners of the accepted build signatures.
fn verify_bundle(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    bundle: Digest,
) -> Result<Vec<String>, Refused> {
    let entries = evidence::entries(store, Some(trust), channel)?;
    let (known, when) = evidence::known(store, &bundle, &entries)?;
    let verifier = BundleVerifier {
        store,
        trust,
        channel,
    };
    let verified = verifier.bundle(bundle, &known, when)?;
    disassemble(&verified.load_full(store)?)?;
    Ok(verified.builders().owners.iter().cloned().collect())
}

/// Writes the files that the printed openssl commands read.
fn extract(
    folder: Option<&Path>,
    store: &dyn Store,
    bundle: Digest,
    reports: &[Report],
) -> anyhow::Result<PathBuf> {
    let folder = match folder {
        Some(folder) => {
            let cannot = || format!("cannot write into `{}`", folder.display());
            make_folder(folder).with_context(cannot)?;
            folder.to_owned()
        }
        // Use a new temporary folder that only the user can read, with a name that others cannot
        // predict. Do not remove the folder, because the printed commands need its files.
        None => tempfile::Builder::new()
            .prefix(&format!("gwc-verify-{}-", bundle.short()))
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .context("cannot create a temporary folder")?
            .keep(),
    };
    let manifest = read(store, &bundle, bundle::oci::MANIFEST_BYTES_MAX)?;
    output(&folder.join(manifest_name(bundle)), &manifest)?;
    let lines = reports
        .iter()
        .flat_map(|report| &report.signatures)
        .filter_map(|signature| signature.by_hand.as_ref());
    for (name, bytes) in lines.flat_map(|by_hand| &by_hand.files) {
        output(&folder.join(name), bytes)?;
    }
    Ok(folder)
}

fn manifest_name(bundle: Digest) -> String {
    format!("{}.manifest.json", bundle.short())
}

fn role(report: &Report) -> &'static str {
    report.role.map_or("unknown", Role::as_str)
}

fn statement(report: &Report, steps: &Steps) -> Value {
    let signatures: Vec<Value> = report
        .signatures
        .iter()
        .map(|signature| {
            let line = signature.by_hand.as_ref().map(|by_hand| &by_hand.line);
            json!({"keyid": signature.keyid, "owner": signature.owner, "fits": signature.fits, "openssl": line})
        })
        .collect();
    json!({"statement": report.digest, "role": role(report), "signatures": signatures,
           "rollout": step_json(steps.get(&report.digest)), "enough": report.signers.is_ok(), "reason": report.signers.as_ref().err().map(Refused::reason)})
}

fn human(
    bundle: Digest,
    outcome: &Result<Vec<String>, Refused>,
    (reports, steps): (&[Report], &Steps),
    folder: &Path,
) -> String {
    let mut lines = vec![match outcome {
        Ok(owners) if owners.is_empty() => format!("verified {bundle}"),
        Ok(owners) => format!("verified {bundle}\n  built by {}", owners.join(", ")),
        Err(refused) => format!("NOT verified {bundle}\n  {}: {refused}", refused.reason()),
    }];
    for report in reports {
        let signers = match &report.signers {
            Ok(_) => "enough".to_owned(),
            Err(refused) => format!("not enough: {refused}"),
        };
        lines.push(format!(
            "  {} statement {}: {signers}",
            role(report),
            report.digest.short()
        ));
        if let Some(rollout) = steps.get(&report.digest) {
            lines.push(format!("    {}", step_text(rollout)));
        }
        for signature in &report.signatures {
            let fits = match signature.fits {
                Some(true) => "fits",
                Some(false) => "DOES NOT MATCH",
                None => "is signed by a key that is not in the trust file",
            };
            let owner = signature.owner.as_deref().unwrap_or("unknown");
            lines.push(format!(
                "    signature by {owner} (key {}) {fits}",
                &signature.keyid.to_string()[..12]
            ));
        }
    }
    lines.push(String::new());
    lines.push("The same by hand, without gwc:".to_owned());
    lines.push(format!("  cd {}", quoted(&folder.to_string_lossy())));
    lines.push(format!(
        "  echo '{}  {}' | sha256sum -c",
        bundle.hex(),
        manifest_name(bundle)
    ));
    for report in reports {
        for signature in &report.signatures {
            if let Some(by_hand) = &signature.by_hand {
                lines.push(format!("  grep -q {} {}", bundle.hex(), by_hand.files[0].0));
                lines.push(format!("  {}", by_hand.line));
            }
        }
    }
    lines.join("\n")
}

/// Quotes a path for a shell.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''"))
}
