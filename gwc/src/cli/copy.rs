//! Copies of channels between stores, used by the commands `gwc push` and `gwc pull`.

use std::path::PathBuf;

use bundle::name::ChannelName;
use bundle::replicate::{Copied, replicate};
use bundle::store::{Store, WriteError};
use serde_json::json;

use super::options::FormatOption;
use super::say::{self, Context, Format};
use crate::release::stores::{registries, restrict_token};
use crate::release::{Place, StoreName};
use model::exit::{Exit, Failure};

/// Options of both commands.
#[derive(Debug, clap::Args)]
pub(super) struct CopyOptions {
    /// The project's store, instead of `release.store`
    #[arg(long, value_name = "DIR|oci://HOST/REPOSITORY")]
    store: Option<PathBuf>,
    /// Copy only this channel; may be given several times [default: all channels]
    #[arg(long, value_name = "NAME")]
    channel: Vec<String>,
    #[command(flatten)]
    format: FormatOption,
}

/// Result of the copy to one store.
pub(super) struct Copy {
    /// Name of the target.
    pub(super) to: String,
    pub(super) copied: Copied,
}

impl CopyOptions {
    /// Returns the project's store: the store of `--store`, otherwise `release.store`.
    pub(super) fn store(&self, context: &Context) -> anyhow::Result<StoreName> {
        match &self.store {
            Some(name) => StoreName::parse(name),
            None => Ok(Place::read(context.sought(&context.root()?), None, None)?.store),
        }
    }

    /// Names of the other stores of the command: sources or targets. The token of
    /// `--registry-token-file` is then sent to one registry only: that of the project's store, or
    /// without one that of the other stores. Other registries get docker's credentials.
    ///
    /// # Errors
    /// If a name is invalid, or if the token could belong to several registries.
    pub(super) fn others(own: &StoreName, names: &[PathBuf]) -> anyhow::Result<Vec<StoreName>> {
        let others = names.iter().map(|name| StoreName::parse(name));
        let others = others.collect::<anyhow::Result<Vec<_>>>()?;
        let mut all = others.iter().filter_map(StoreName::registry);
        let owner = own.registry().or_else(|| all.next());
        let has_token = registries().is_some_and(|settings| settings.token_file.is_some());
        if let (None, Some(owner), true) = (own.registry(), owner, has_token)
            && let Some(other) = all.find(|other| other.authority() != owner.authority())
        {
            return Err(Failure::usage(format!(
                "--registry-token-file: the token is sent to one registry, but the command names \
                 `{}` and `{}`; use a command for each, or docker's config.json",
                owner.authority(),
                other.authority()
            ))
            .into());
        }
        restrict_token(owner);
        Ok(others)
    }

    /// Names of the channels of the source that are copied.
    ///
    /// # Errors
    /// If the source does not have a channel of `--channel`.
    pub(super) fn channels(&self, from: &dyn Store) -> anyhow::Result<Vec<ChannelName>> {
        let known = from.channels()?;
        let mut channels: Vec<ChannelName> = Vec::new();
        for name in &self.channel {
            if !known.contains(name) {
                let message = format!("the source has no channel `{}`", name.escape_debug());
                return Err(Failure::new(Exit::INPUT, "no-such-channel", message).into());
            }
            channels.push(name.parse()?);
        }
        if self.channel.is_empty() {
            // Folders of the store whose names are no channel names are left out.
            channels.extend(known.iter().filter_map(|name| name.parse().ok()));
        }
        Ok(channels)
    }

    /// Copies the channels from one store to another.
    pub(super) fn copy(&self, from: &dyn Store, to: &StoreName) -> anyhow::Result<Copy> {
        let channels = self.channels(from)?;
        let target = to.create()?;
        let copied = replicate(from, &target, &channels).map_err(|error| match error {
            WriteError::Conflict { serial } => Failure::new(
                Exit::STALE,
                "conflict",
                format!(
                    "`{to}` has another record with serial {serial}, so nothing of this channel was copied; compare both stores with `gwc history --store`"
                ),
            )
            .into(),
            WriteError::Refused(refused) => anyhow::Error::from(refused),
        })?;
        Ok(Copy {
            to: to.to_string(),
            copied,
        })
    }

    /// Prints the results.
    pub(super) fn print(&self, schema: &str, from: &StoreName, copies: &[Copy]) {
        match self.format.format {
            Format::Human => {
                let lines = copies.iter().map(|Copy { to, copied }| {
                    let Copied {
                        links,
                        bundles,
                        incomplete,
                        approvals,
                        bytes,
                    } = copied;
                    let pending = match approvals {
                        0 => String::new(),
                        _ => format!(", {approvals} approvals"),
                    };
                    let line = match links + approvals {
                        0 => format!("{to} has everything already"),
                        _ => format!(
                            "copied to {to}: {links} records and lists, {bundles} bundles{pending}, {bytes} bytes"
                        ),
                    };
                    match incomplete {
                        0 => line,
                        _ => format!(
                            "{line}\nwarning: {incomplete} bundles were left out, because neither \
                             store has all their parts (the state folder of a gateway has no \
                             contracts); copy them from another store"
                        ),
                    }
                });
                say::result(&lines.collect::<Vec<_>>().join("\n"));
            }
            Format::Json => {
                let copies = copies.iter().map(|Copy { to, copied }| {
                    json!({"store": to, "links": copied.links, "bundles": copied.bundles, "incomplete": copied.incomplete, "approvals": copied.approvals, "bytes": copied.bytes})
                });
                say::json(&say::document(
                    schema,
                    "ok",
                    json!({"from": from.to_string(), "to": copies.collect::<Vec<_>>()}),
                ));
            }
        }
    }
}
