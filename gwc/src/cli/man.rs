//! Command `gwc man`: prints a manual page, or writes all of them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::replace::{make_folder, output};
use super::{Cli, say};
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc man > gwc.1
  gwc man plan | man -l -
  gwc man --folder ~/.local/share/man/man1")]
pub(super) struct Args {
    /// Command whose page is printed [default: the page of gwc]
    #[arg(conflicts_with = "folder")]
    command: Option<String>,
    /// Write the pages of gwc and of all its commands into this folder
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl super::Arguments for Args {
    fn reads_project(&self) -> bool {
        false
    }
}

pub(super) fn run(args: &Args, _: &say::Context) -> anyhow::Result<Exit> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    if let Some(folder) = &args.folder {
        make_folder(folder).with_context(|| format!("cannot write into `{}`", folder.display()))?;
        write_pages(&program, folder)?;
        return Ok(Exit::OK);
    }
    let wanted = match &args.command {
        None => &program,
        Some(name) => program.find_subcommand(name).ok_or_else(|| unknown(name))?,
    };
    let (_, page) = page(wanted)?;
    say::verbatim(&String::from_utf8(page)?);
    Ok(Exit::OK)
}

/// Writes the page of a command and the pages of its subcommands.
fn write_pages(command: &clap::Command, folder: &Path) -> anyhow::Result<()> {
    let (name, text) = page(command)?;
    output(&folder.join(name), &text)?;
    let shown = |sub: &&clap::Command| !sub.is_hide_set();
    let mut subcommands = command.get_subcommands().filter(shown);
    subcommands.try_for_each(|sub| write_pages(sub, folder))
}

/// Manual page of a command in section 1: file name and roff text.
fn page(command: &clap::Command) -> anyhow::Result<(String, Vec<u8>)> {
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text)?;
    Ok((page.get_filename(), text))
}

fn unknown(name: &str) -> Failure {
    Failure::usage(format!(
        "gwc has no command `{name}`; `gwc --help` lists them"
    ))
}
