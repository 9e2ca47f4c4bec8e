//! Command `gwc trust`: changes the minimum serials of the trust file.

use bundle::trust::Floors;
use serde_json::json;

use super::options::{FormatOption, StoreOptions};
use super::replace::replace;
use super::say::{self, Context, Format};
use crate::release::evidence::BundleVerifier;
use model::exit::Exit;
use sources::project::TRUST_FILE;

use crate::release;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gwc trust floor --channel prod")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write the channel's serial and the revocation list's into the trust file, so that a new
    /// gateway refuses older records and lists
    Floor(Floor),
}

#[derive(Debug, clap::Args)]
struct Floor {
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    format: FormatOption,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let Command::Floor(args) = &args.command;
    let place = args.at.place(context)?;
    let trust = args.at.needed_trust(&place.root)?;
    let store = place.open()?;
    let channel = &place.channel;
    let head = release::head(&store, Some(&trust), channel)?;
    let judge = BundleVerifier {
        store: &store,
        trust: &trust,
        channel,
    };
    let before = trust.floors(channel);
    // Minimum serials never decrease. A store with smaller serials is an outdated copy.
    let floors = Floors {
        min_serial: before
            .min_serial
            .max(head.map_or(0, |head| head.pointer.serial)),
        min_revocations: before.min_revocations.max(judge.revocations()?.serial()),
    };
    let file = args
        .at
        .trust
        .clone()
        .unwrap_or_else(|| place.root.join(TRUST_FILE));
    // Also write minimum serials of zero. They show a new gateway that no revocation list exists
    // yet.
    let changed = floors != before || !trust.has_floors(channel);
    if changed {
        let schema = std::fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
            .and_then(|value| Some(value.get("$schema")?.as_str()?.to_owned()));
        let mut text = trust.with_floors(channel.clone(), floors)?.to_json();
        if let Some(schema) = schema {
            text = text.replacen('{', &format!("{{\n  \"$schema\": {},", json!(schema)), 1);
        }
        replace(&file, text.as_bytes())?;
    }
    match args.format.format {
        Format::Human => say::result(&format!(
            "{}: channel {channel}: min_serial {}, min_revocations {}",
            say::path(&file),
            floors.min_serial,
            floors.min_revocations
        )),
        Format::Json => say::json(&say::document(
            "trust-floor/v1",
            "ok",
            json!({"trust": file, "channel": channel, "min_serial": floors.min_serial,
                   "min_revocations": floors.min_revocations, "changed": changed}),
        )),
    }
    Ok(Exit::OK)
}
