//! Command `gwc push`: copies the project's store to other stores.

use std::path::PathBuf;

use super::copy::CopyOptions;
use super::say::Context;
use model::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Copies records, revocation lists, bundles and statements that the targets do not have. The
copies have the same digests, so gateways verify the same signatures. A target with another
record of the same serial is not changed, and gwc ends with exit code 3.

Examples:
  gwc push oci://registry.example/shop/releases
  gwc push /mnt/usb/releases --channel prod           for a site without network
  gwc push oci://a.example/shop oci://b.example/shop  to two registries"
)]
pub(super) struct Args {
    /// The targets: folders, or repositories of registries
    #[arg(value_name = "DIR|oci://HOST/REPOSITORY", required = true)]
    to: Vec<PathBuf>,
    #[command(flatten)]
    options: CopyOptions,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let from = args.options.store(context)?;
    let targets = CopyOptions::others(&from, &args.to)?;
    let source = from.open()?;
    let copies = targets.iter().map(|to| args.options.copy(&source, to));
    let copies = copies.collect::<anyhow::Result<Vec<_>>>()?;
    args.options.print("push/v1", &from, &copies);
    Ok(Exit::OK)
}
