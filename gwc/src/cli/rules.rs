//! Command `gwc rules`: lists every diagnostic.

use serde_json::json;

use super::say::{self, Format};
use model::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gwc rules --format json")]
pub(super) struct Args {
    /// Output format
    #[arg(long, default_value = "human")]
    format: Format,
}

impl super::Arguments for Args {
    fn reads_project(&self) -> bool {
        false
    }
}

pub(super) fn run(args: &Args, _: &say::Context) -> anyhow::Result<Exit> {
    let mut lints: Vec<_> = openapi::lint::ALL
        .iter()
        .flat_map(|lints| lints.iter().copied())
        .collect();
    lints.sort_by_key(|lint| lint.code);
    match args.format {
        Format::Human => {
            let lines = lints.iter().map(|lint| {
                format!(
                    "{} {:<5} {:<32} {}",
                    lint.code,
                    openapi::lint::default_level(lint),
                    lint.name,
                    lint.summary
                )
            });
            say::result(&lines.collect::<Vec<_>>().join("\n"));
        }
        Format::Json => {
            let rules: Vec<_> = lints
                .iter()
                .map(|lint| json!({"code": lint.code, "name": lint.name, "level": openapi::lint::default_level(lint), "summary": lint.summary, "hard": openapi::lint::hard::is_hard(lint)}))
                .collect();
            say::json(&say::document("rules/v1", "ok", json!({"rules": rules})));
        }
    }
    Ok(Exit::OK)
}
