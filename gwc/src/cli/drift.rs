//! Command `gwc drift`: fails if a gateway runs another bundle than the channel names.

use super::say::Context;
use super::status::{self, Difference};
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  gwc drift --node unix:/run/gwd/admin.sock
  gwc drift --nodes dns:gwd-nodes.shop.svc:9901 --admin-token-file token    all pods of a headless Service")]
pub(super) struct Args {
    #[command(flatten)]
    status: status::Args,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if !args.status.names_nodes() {
        return Err(Failure::usage(
            "drift compares the channel with gateways: name them with --node or --nodes",
        )
        .into());
    }
    status::compare(&args.status, context, Difference::Fails)
}
