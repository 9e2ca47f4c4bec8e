//! `gwc route`: which operation owns a request.

use super::say::{self, Context};
use crate::exit::Exit;

/// Example: gwc route GET http://api.example.org/orders
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The method
    method: String,
    /// The URL
    url: String,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let compiled = context.compile()?;
    let _ = (&compiled, &args.method, &args.url);
    say::result("");
    Ok(Exit::OK)
}
