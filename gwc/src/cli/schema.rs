//! Command `gwc schema`: prints JSON Schemas for editors.

use super::say;
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gwc schema gateway > gateway.schema.json")]
pub(super) struct Args {
    /// Name of a schema [default: list the names]
    name: Option<String>,
}

impl super::Arguments for Args {
    fn reads_project(&self) -> bool {
        false
    }
}

pub(super) fn run(args: &Args, _: &say::Context) -> anyhow::Result<Exit> {
    let schemas = crate::schemas::all();
    let Some(name) = &args.name else {
        let names: Vec<&str> = schemas.iter().map(|(name, _)| *name).collect();
        say::result(&names.join("\n"));
        return Ok(Exit::OK);
    };
    let Some((_, schema)) = schemas.iter().find(|(known, _)| known == name) else {
        let names = diag::suggest::one_of(schemas.iter().map(|(name, _)| *name), 20);
        return Err(Failure::usage(format!("there is no schema `{name}`: {names}")).into());
    };
    say::json(schema);
    Ok(Exit::OK)
}
