//! Command `gwc pull`: copies another store to the project's store.

use std::path::PathBuf;

use bundle::refused::Refused;

use super::copy::CopyOptions;
use super::say::{self, Context};
use crate::release::{AnyStore, StoreName};
use bundle::store::Store as _;
use model::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Copies records, revocation lists, bundles and statements that the project's store does not
have, from the first source that can be reached. A record with the serial of another record is
a fork: nothing of the channel is copied, and gwc ends with exit code 3.

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
    let copy = args.options.copy(&source, &to)?;
    args.options.print("pull/v1", from, &[copy]);
    Ok(Exit::OK)
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
