//! Command `gwc schema`: prints JSON Schemas for editors.

use serde_json::json;

use super::say::{self, Format};
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc schema gateway > gateway.schema.json
  gwc schema --format json")]
pub(super) struct Args {
    /// Name of a schema [default: list the names]
    name: Option<String>,
    /// Output format of the list; a schema is always JSON
    #[arg(long, default_value = "human")]
    format: Format,
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
        match args.format {
            Format::Human => say::result(&names.join("\n")),
            Format::Json => say::json(&say::document(
                "schemas/v1",
                "ok",
                json!({"schemas": names}),
            )),
        }
        return Ok(Exit::OK);
    };
    let Some((_, schema)) = schemas.iter().find(|(known, _)| known == name) else {
        let names = diag::suggest::one_of(schemas.iter().map(|(name, _)| *name), 20);
        return Err(Failure::usage(format!("there is no schema `{name}`: {names}")).into());
    };
    say::json(schema);
    Ok(Exit::OK)
}
