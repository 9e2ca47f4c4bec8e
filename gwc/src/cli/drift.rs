//! Command `gwc drift`: fails if a gateway runs another bundle than the channel names.

use super::say::Context;
use super::status::{self, Difference};
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Example:
  gwc drift --node unix:/run/gwd/admin.sock")]
pub(super) struct Args {
    #[command(flatten)]
    status: status::Args,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if !args.status.names_nodes() {
        return Err(Failure::usage(
            "drift compares the channel with gateways: name them with --node",
        )
        .into());
    }
    status::compare(&args.status, context, Difference::Fails)
}
