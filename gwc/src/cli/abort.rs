//! Command `gwc abort`: ends a progressive release by a rollback of the channel to the bundle
//! before it.

use super::rollback::{self, MoveOptions};
use super::say::Context;
use super::steps::{self, Wanted};
use crate::release;
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Writes a rollback for all gateways to the bundle that the gateways outside of the share run.

Examples:
  gwc abort --key keys/release.pem
  gwc abort --key keys/release.pem --yes --reason \"errors on two gateways\""
)]
pub(super) struct Args {
    #[command(flatten)]
    moving: MoveOptions,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let place = args.moving.at.place(context)?;
    let trust = args.moving.at.trust(&place)?;
    let store = place.open()?;
    let head = release::head(&store, trust.as_ref(), &place.channel)?;
    let step = head.as_ref().filter(|head| head.record.rollout.is_some());
    let Some(step) = step else {
        return Err(steps::no_release(&place, head.as_ref()));
    };
    let base = Wanted::of(&store, step).base().ok_or_else(|| {
        Failure::new(
            Exit::UNVERIFIED,
            "bad-rollout",
            "the record before the progressive release cannot be read from the store; go back \
             with `gwc rollback ID`",
        )
    })?;
    rollback::go_back(
        &args.moving,
        &base.to_string(),
        (&place, &store, trust.as_ref()),
        context,
    )
}
