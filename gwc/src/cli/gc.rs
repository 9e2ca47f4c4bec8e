//! Command `gwc gc`: removes bundles that are not in the retained history of any channel.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bundle::channel;
use bundle::digest::Digest;
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::store::Store as _;
use bundle::store::folder::Folder;
use bundle::sweep::{self, Garbage, Kind};
use bundle::trust::Trust;
use serde_json::json;

use super::options::{FormatOption, duration};
use super::say::{self, Context, Format};
use crate::release::evidence::{self, BundleVerifier};
use crate::release::refusals::{self, Accepted};
use crate::release::{self, AnyStore, Place, StoreName};
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Records and revocation lists always stay, so that a channel's history can be verified.
If a record cannot be read, nothing is removed. While another process writes to the
store, clean-up waits up to 10 s and then ends with exit code 69.

With the trust file, the bundles of the newest records that gateways accept stay as well.

Examples:
  gwc gc --dry-run                    show what would be removed
  gwc gc --keep 50                    each channel can go back 50 records
  gwc gc --store /srv/releases --trust /srv/trust.json   a store without its project"
)]
pub(super) struct Args {
    /// Keep the bundles that are named in the newest N records of each channel
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    /// Keep files younger than this, which a release in progress may need
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    older_than: Duration,
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// The store's folder, instead of `release.store`
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Trust file of the gateways [default: `trust.json` of the project]
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    format: FormatOption,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (store, root) = match &args.store {
        Some(name) => (StoreName::parse(name)?.open()?, context.root().ok()),
        None => {
            let place = Place::read(context.sought(&context.root()?), None, None)?;
            (place.open()?, Some(place.root))
        }
    };
    let named = args.trust.as_deref();
    let trust = match (root, named) {
        (None, None) => None,
        (root, _) => release::trust(&root.unwrap_or_default(), named)?,
    };
    if trust.is_none() {
        say::note(
            "warning: there is no trust file, so records that gateways refuse count among the \
             newest, too, and can displace bundles that gateways run; pass --trust FILE",
        );
    }
    let store = match store {
        AnyStore::Folder(folder) => folder,
        AnyStore::Registry(_) => {
            return Err(Failure::usage(
                "gwc cannot remove bundles from a registry; remove their tags `b-ID` with the registry's own tools, and run its clean-up",
            )
            .into());
        }
    };
    // Lock the store, so that no other program refers to a blob that is being removed. A dry run
    // does not need the lock.
    let _alone = (!args.dry_run)
        .then(|| store.lock_exclusive())
        .transpose()?;
    let young_since = release::now()
        .unix_s()
        .saturating_sub(args.older_than.as_secs());
    let mut kept = sweep::retained(&store, args.keep as usize)?;
    if let Some(trust) = &trust {
        kept.extend(accepted(&store, trust, args.keep as usize)?);
    }
    let garbage = sweep::garbage(&store, &kept, Moment::from_unix_s(young_since))?;
    if !args.dry_run {
        sweep::remove(&store, &garbage)?;
    }
    let bundles: Vec<String> = garbage
        .iter()
        .filter_map(|garbage| match &garbage.kind {
            Kind::Bundle(id) => Some(id.to_string()),
            Kind::Manifest(_) | Kind::Blob(_) | Kind::Temporary(_) => None,
        })
        .collect();
    let bytes: u64 = garbage.iter().map(|garbage| garbage.bytes).sum();
    match args.format.format {
        Format::Human => say::result(&text(args, &bundles, garbage.len(), bytes, kept.len())),
        Format::Json => say::json(&say::document(
            "gc/v1",
            if args.dry_run && !garbage.is_empty() {
                "changes"
            } else {
                "ok"
            },
            json!({"store": store.root(), "dry_run": args.dry_run, "keep": args.keep, "kept": kept.len(),
                   "bundles": bundles, "temporary": temporary(&garbage), "files": garbage.len(), "bytes": bytes}),
        )),
    }
    Ok(Exit::OK)
}

/// Bundles that the newest `keep` records of each channel name, without records that gateways
/// refuse or skip. Anybody with one of several needed keys, or with a key that is revoked later,
/// can publish such records: they must not displace the bundles that gateways run.
fn accepted(store: &Folder, trust: &Trust, keep: usize) -> anyhow::Result<BTreeSet<Digest>> {
    let mut bundles = BTreeSet::new();
    for name in store.channels()? {
        let Ok(channel) = name.parse::<ChannelName>() else {
            continue;
        };
        let verifier = BundleVerifier {
            store,
            trust,
            channel: &channel,
        };
        // Remove nothing if it is unknown what gateways accept.
        let trust = verifier.without_revoked_keys()?;
        let entries = evidence::entries(store, Some(&trust), &channel)?;
        let extent = Accepted::WithEarlier;
        let accepted = refusals::accepted(store, Some(&trust), &channel, &entries, extent);
        for entry in accepted.take(keep) {
            bundles.insert(entry.bundle);
            if let Some(rollout) = &entry.record.rollout
                && let Ok(base) = channel::read(store, &rollout.base.digest)
            {
                bundles.insert(base.bundle);
            }
        }
    }
    Ok(bundles)
}

fn temporary(garbage: &[Garbage]) -> usize {
    garbage
        .iter()
        .filter(|garbage| matches!(garbage.kind, Kind::Temporary(_)))
        .count()
}

fn text(args: &Args, bundles: &[String], files: usize, bytes: u64, kept: usize) -> String {
    let mut lines = Vec::new();
    let verb = if args.dry_run {
        "would remove"
    } else {
        "removed"
    };
    if files == 0 {
        lines.push(format!("nothing to remove; {} kept", count(kept, "bundle")));
    } else {
        lines.push(format!(
            "{verb} {}, {} in all: {bytes} bytes; {} kept",
            count(bundles.len(), "bundle"),
            count(files, "file"),
            count(kept, "bundle"),
        ));
        lines.extend(bundles.iter().map(|id| format!("  {id}")));
    }
    lines.join("\n")
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
