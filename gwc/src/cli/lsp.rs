//! Command `gwc lsp`: language server for editors over standard input and output.

use std::io::{self, BufReader, IsTerminal as _};

use model::exit::{Exit, Failure};

use super::limits::LimitOptions;
use super::say::Context;
use crate::release;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gwc lsp --stdio                   as an editor starts it: see docs/editors.md")]
pub(super) struct Args {
    /// Use standard input and output; the default, and the only transport
    #[arg(long)]
    stdio: bool,
    #[command(flatten)]
    limits: LimitOptions,
}

impl super::Arguments for Args {
    fn reads_project(&self) -> bool {
        false
    }

    fn limits(&self) -> Option<&LimitOptions> {
        Some(&self.limits)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if !args.stdio && io::stdin().is_terminal() {
        let message = "editors start `gwc lsp`, but stdin is a terminal: see docs/editors.md";
        return Err(Failure::usage(message.to_owned()).into());
    }
    let input = BufReader::new(io::stdin());
    let (connection, threads) = ::lsp::transport::start(input, io::stdout());
    let options = ::lsp::Options {
        limits: context.limits,
        now_s: || release::now().unix_s(),
    };
    let served = ::lsp::serve(&connection, options);
    drop(connection);
    served?;
    threads.join()?;
    Ok(Exit::OK)
}
