//! Command `gwc pull`: copies another store to the project's store.

use std::path::PathBuf;

use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::statement::predicate::Pointer;
use bundle::store::{Chain, Store as _};
use bundle::trust::Trust;
use bundle::{history, lists};

use super::copy::CopyOptions;
use super::movement::refused;
use super::say::{self, Context};
use crate::release::{self, AnyStore, StoreName};
use model::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Copies records, revocation lists, bundles and statements that the project's store does not
have, from the first source that can be reached. A record with the serial of another record is
a fork: nothing of the channel is copied, and gwc ends with exit code 3. If the trust file of the
project does not accept the newest record of a channel, or the newest revocation list, nothing is
copied, and gwc ends with exit code 4.

Examples:
  gwc pull oci://registry.example/shop/releases
  gwc pull oci://a.example/shop oci://b.example/shop   b, if a cannot be reached
  gwc pull /mnt/usb/releases --store oci://registry.local/shop"
)]
pub(super) struct Args {
    /// The sources in order of preference: folders, or repositories of registries
    #[arg(value_name = "DIR|oci://HOST/REPOSITORY", required = true)]
    from: Vec<PathBuf>,
    #[command(flatten)]
    options: CopyOptions,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let to = args.options.store(context)?;
    let sources = CopyOptions::others(&to, &args.from)?;
    let (from, source) = first(&sources)?;
    if let Some(trust) = trust(context)? {
        let channels = args.options.channels(&source)?;
        check_source(from, &source, &trust, &channels)?;
    }
    let copy = args.options.copy(&source, &to)?;
    args.options.print("pull/v1", from, &[copy]);
    Ok(Exit::OK)
}

/// Trust file of the project. `None` outside a project, or without a trust file.
fn trust(context: &Context) -> anyhow::Result<Option<Trust>> {
    match context.root() {
        Ok(root) => release::trust(&root, None),
        Err(_) => Ok(None),
    }
}

/// Refuses a source whose newest revocation list, or whose newest record of a channel, the trust
/// file does not accept. In the project's store it would block all later releases.
fn check_source(
    from: &StoreName,
    source: &AnyStore,
    trust: &Trust,
    channels: &[ChannelName],
) -> anyhow::Result<()> {
    let check = || {
        for channel in channels {
            let lists = lists::in_force(source, Some(trust), channel, release::now())?;
            let serial = lists.serial();
            let trust = trust.clone().with_revoked(&lists.keys());
            let head = history::head(source, Some(&trust), channel)?;
            let named = head.and_then(|head| head.record.revocations);
            let linked = |named: &Pointer| source.link(&Chain::Revocations, named.serial);
            let hidden = match named {
                Some(named) => linked(&named)? != Some(named.digest),
                None => false,
            };
            if let Some(known) = named.filter(|_| hidden) {
                return Err(Refused::RevocationsWithheld {
                    serial,
                    known: known.serial,
                });
            }
        }
        Ok(())
    };
    check().map_err(|why: Refused| {
        if let Refused::StoreUnreachable { .. } = why {
            return why.into();
        }
        let advice = format!(
            "the source `{}` is not trusted, so nothing was copied; check that it is the right \
             store, and that the trust file of the project is current",
            say::store(from)
        );
        refused(&why, &advice)
    })
}

/// Returns the first source that can be reached.
fn first(sources: &[StoreName]) -> anyhow::Result<(&StoreName, AnyStore)> {
    let mut last = None;
    for name in sources {
        let opened = name.open().and_then(|source| {
            source.channels()?;
            Ok(source)
        });
        match opened {
            Ok(source) => return Ok((name, source)),
            Err(error) if error.downcast_ref::<Refused>().is_some() => {
                say::note(&format!("warning: {error}"));
                last = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("no source was given")))
}
