//! Options that several commands share, and the confirmation prompt.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle::digest::Digest;
use bundle::keys::PrivateKey;
use bundle::refused::Refused;
use bundle::trust::Trust;

use super::movement::RecordFields;
use super::progress;
use super::say::{self, Context, Format};
use crate::release::evidence::BundleVerifier;
use crate::release::nodes::Nodes;
use crate::release::{self, AnyStore, Place, key};
use model::exit::{Exit, Failure};

/// Maximum length of a reason, in characters.
pub(super) const REASON_MAX: usize = 1_000;

/// Options that select the store, the channel and the trust file.
#[derive(Debug, clap::Args)]
pub(super) struct StoreOptions {
    /// The store, instead of `release.store`: a folder, or a repository of a registry
    #[arg(long, value_name = "DIR|oci://HOST/REPOSITORY")]
    pub(super) store: Option<PathBuf>,
    /// The channel, instead of `release.channel`
    #[arg(long, value_name = "NAME")]
    pub(super) channel: Option<String>,
    /// Trust file [default: `trust.json` of the project]
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
}

/// Name of the group of options that name gateways. Options that need a gateway require it.
pub(super) const GATEWAYS: &str = "gateways";

/// Options that name the gateways to query.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new(GATEWAYS).args(["node", "nodes"]).multiple(true))]
pub(super) struct NodeOptions {
    /// A gateway's admin address: http://HOST:PORT or unix:PATH; may be given several times
    #[arg(long, value_name = "URL|unix:PATH", num_args = 1..)]
    node: Vec<String>,
    /// List of gateways: a file with one admin address per line (`#` begins a comment), or all
    /// addresses of a DNS name; may be given several times. Read once, when the command begins
    #[arg(long, value_name = "FILE|dns:NAME:PORT")]
    nodes: Vec<String>,
    /// File with the admin token of the gateways
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

/// Options for the record that moves the channel.
#[derive(Debug, clap::Args)]
pub(super) struct RecordOptions {
    /// Reason, kept in the history
    #[arg(long)]
    reason: Option<String>,
    /// Bundle (its id, or the beginning of it) that gateways drop and do not switch to while this
    /// is the newest record; may be given several times. `gwc revoke` is permanent
    #[arg(long, value_name = "ID")]
    withdraw: Vec<String>,
    /// Time after which gateways no longer take up the record; a gateway that runs it keeps running
    /// it, with an alarm
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires: Option<Duration>,
}

/// Output format of the result.
#[derive(Debug, clap::Args)]
pub(super) struct FormatOption {
    /// Output format of the result
    #[arg(long, default_value = "human")]
    pub(super) format: Format,
}

impl StoreOptions {
    /// Returns the release settings of the project. Reads only gateway.yaml, no OpenAPI documents.
    pub(super) fn place(&self, context: &Context) -> anyhow::Result<Place> {
        Place::read(
            context.sought(&context.root()?),
            self.store.as_deref(),
            self.channel.as_deref(),
        )
    }

    /// Reads the trust file, and removes revoked keys from the result. Without a trust file,
    /// returns `None` and prints a warning that no signature was checked.
    ///
    /// # Errors
    /// Fails if the store cannot be reached, because its revocation list is then unknown.
    pub(super) fn trust(&self, place: &Place) -> anyhow::Result<Option<Trust>> {
        let Some(trust) = self.trust_of(&place.root)? else {
            say::note(
                "warning: there is no trust file, so no signature was checked (make one with `gwc keygen release`, or give --trust)",
            );
            return Ok(None);
        };
        let Some(store) = place.open_if_there()? else {
            return Ok(Some(trust));
        };
        let verifier = BundleVerifier {
            store: &store,
            trust: &trust,
            channel: &place.channel,
        };
        Ok(Some(match verifier.without_revoked_keys() {
            Ok(left) => left,
            Err(why @ Refused::StoreUnreachable { .. }) => return Err(why.into()),
            Err(refused) => {
                say::note(&format!(
                    "warning: the store's revocation list is not trusted, so the keys on it are still accepted: {refused}"
                ));
                trust
            }
        }))
    }

    /// Returns the trust file. Fails if there is none.
    pub(super) fn needed_trust(&self, root: &Path) -> anyhow::Result<Trust> {
        let trust = self.trust_of(root)?;
        trust.ok_or_else(|| {
            Failure::new(
                Exit::INPUT,
                "no-trust-file",
                format!(
                    "there is no trust file `{}`; pass --trust, or make one with `gwc keygen \
                     release`",
                    root.join(sources::project::TRUST_FILE).display()
                ),
            )
            .into()
        })
    }

    fn trust_of(&self, root: &Path) -> anyhow::Result<Option<Trust>> {
        release::trust(root, self.trust.as_deref())
    }
}

impl RecordOptions {
    /// Converts the options to fields of a new record. `target`: bundle to which the channel moves.
    pub(super) fn record_fields(
        &self,
        store: Option<&AnyStore>,
        target: Digest,
    ) -> anyhow::Result<RecordFields> {
        let nothing_there =
            || Failure::usage("--withdraw: the store is empty, there is nothing to withdraw");
        let withdraw = self
            .withdraw
            .iter()
            .map(|id| release::resolve_id(store.ok_or_else(nothing_there)?, id));
        let withdraw: BTreeSet<Digest> = withdraw.collect::<anyhow::Result<_>>()?;
        if withdraw.contains(&target) {
            return Err(Failure::usage(
                "--withdraw names the bundle that the channel would run; name an earlier bundle of \
                 the channel",
            )
            .into());
        }
        if self
            .reason
            .as_ref()
            .is_some_and(|reason| reason.chars().count() > REASON_MAX)
        {
            return Err(Failure::usage(format!(
                "--reason is longer than {REASON_MAX} characters; write a shorter one, for example the number of a ticket"
            ))
            .into());
        }
        if self.expires.is_some_and(|time| time.as_secs() == 0) {
            return Err(Failure::usage(
                "--expires is less than a second: no gateway could accept the record",
            )
            .into());
        }
        Ok(RecordFields {
            reason: self.reason.clone(),
            override_freeze: None,
            withdraw,
            merges: BTreeSet::new(),
            rollout: None,
            expires_in: self.expires,
        })
    }
}

impl NodeOptions {
    /// True if no option names a gateway.
    pub(super) fn is_empty(&self) -> bool {
        self.node.is_empty() && self.nodes.is_empty()
    }

    /// Reads the lists, and returns all gateways.
    pub(super) fn nodes(&self) -> anyhow::Result<Nodes> {
        Nodes::new(&self.node, &self.nodes, self.admin_token_file.as_deref())
    }
}

/// Loads the keys for these arguments (file, or `env:NAME`), without duplicates.
pub(super) fn keys(texts: &[String]) -> anyhow::Result<Vec<PrivateKey>> {
    let mut keys: Vec<PrivateKey> = Vec::new();
    for text in texts {
        let loaded = key::load(text)?;
        if let Some(warning) = loaded.warning {
            say::note(&warning);
        }
        if !keys
            .iter()
            .any(|known| known.public() == loaded.key.public())
        {
            keys.push(loaded.key);
        }
    }
    Ok(keys)
}

/// Parses a duration such as `250ms`, `30s`, `5m`, `1h` or `2d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err("the unit is missing: write 500ms, 30s, 5m, 1h or 2d".to_owned()),
        _ => return Err("this is not a duration: write 500ms, 30s, 5m, 1h or 2d".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "this is not a duration: write 500ms, 30s, 5m, 1h or 2d".to_owned())?;
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .ok_or_else(|| "this is too long".to_owned())
}

/// Text of a duration in its two largest units, such as `4m 12s`. Parts of a second are rounded up.
pub(super) fn duration_text(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(number, _)| *number > 0);
    let shown = &parts[first.unwrap_or(3)..];
    let shown = shown.iter().take(2).enumerate();
    let shown = shown.filter(|(at, (number, _))| *at == 0 || *number > 0);
    let shown: Vec<String> = shown
        .map(|(_, (number, unit))| format!("{number}{unit}"))
        .collect();
    shown.join(" ")
}

/// Prompts the user for confirmation. Without a terminal, `--yes` is required.
pub(super) fn confirm(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "cannot prompt: stdin is not a terminal; check what would change and pass --yes",
        )
        .into());
    }
    progress::end();
    let mut err = std::io::stderr();
    let _ = write!(err, "{question} [y/N] ");
    let _ = err.flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(Exit::FINDINGS, "declined", "nothing was changed").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_written_in_its_two_largest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (252, "4m 12s"),
            (3_601, "1h"),
            (90_061, "1d 1h"),
        ] {
            assert_eq!(duration_text(Duration::from_secs(seconds)), text);
        }
        assert_eq!(duration_text(Duration::from_millis(1_001)), "2s");
    }

    #[test]
    fn duration_without_a_known_unit_is_refused() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("3d"), Ok(Duration::from_secs(259_200)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "30", "s", "1.5s", "-1s", "99999999999999999999h", "3y"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
