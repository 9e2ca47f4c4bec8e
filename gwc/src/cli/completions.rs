//! Command `gwc completions`: prints a completion script for a shell.

use clap::CommandFactory as _;

use super::{Cli, say};
use model::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gwc completions bash > /etc/bash_completion.d/gwc")]
pub(super) struct Args {
    /// Name of the shell
    shell: clap_complete::Shell,
}

impl super::Arguments for Args {
    fn reads_project(&self) -> bool {
        false
    }
}

pub(super) fn run(args: &Args, _: &say::Context) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gwc", &mut script);
    say::verbatim(&String::from_utf8(script)?);
    Ok(Exit::OK)
}
