//! `gwc lint`: parse, resolve, type-check, run the rules.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use diag::Level;

use super::say::{self, Context};
use crate::compile::{self, Levels};
use crate::exit::{Exit, Failure};
use crate::output::{Report, concise, human, json};
use crate::syntax::Limits;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc lint                          the project of this folder
  gwc lint openapi.yaml             one document, without a project
  gwc lint --format concise --fail-on warn")]
pub(super) struct Args {
    /// Projects or OpenAPI documents; the project of this folder where nothing is said
    paths: Vec<PathBuf>,
    /// How findings are written
    #[arg(long, default_value = "human")]
    format: Format,
    /// Write findings to a file as well; may be given several times
    #[arg(long, value_name = "FORMAT=FILE")]
    output: Vec<String>,
    /// The least level that ends with exit code 1
    #[arg(long, default_value = "error", value_name = "LEVEL")]
    fail_on: FailOn,
    /// Set a rule's level: off, info, warn or error; may be given several times
    #[arg(long, value_name = "NAME=LEVEL")]
    rule: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Source excerpts with carets
    Human,
    /// One line each
    Concise,
    /// One JSON document
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    Error,
    Warn,
    Info,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let levels = levels(&args.rule)?;
    let outputs = outputs(&args.output)?;
    let fail_on = match args.fail_on {
        FailOn::Error => Level::Error,
        FailOn::Warn => Level::Warn,
        FailOn::Info => Level::Info,
    };
    if args.paths.len() > 1 && (args.format == Format::Json || !outputs.is_empty()) {
        return Err(Failure::usage(
            "a JSON report is about one project or document; call gwc once for each",
        )
        .into());
    }
    let paths: Vec<Option<&Path>> = if args.paths.is_empty() {
        vec![None]
    } else {
        args.paths.iter().map(|path| Some(path.as_path())).collect()
    };
    let mut exit = Exit::OK;
    for path in paths {
        let compiled = compile::compile(&context.input(path)?, Limits::default(), &levels)?;
        let report = Report {
            files: &compiled.files,
            findings: &compiled.findings,
            environment: None,
            fail_on,
        };
        say::result(&render(
            &report,
            args.format,
            say::look(std::io::stdout().is_terminal()),
        ));
        for (format, file) in &outputs {
            let text = render(&report, *format, human::Look::default());
            std::fs::write(file, text).map_err(|error| {
                Failure::new(
                    Exit::INPUT,
                    "output",
                    format!("cannot write {}: {error}", file.display()),
                )
            })?;
        }
        let ended = match (compiled.unreadable, report.blocked()) {
            (true, _) => Exit::INPUT,
            (false, true) => Exit::FINDINGS,
            (false, false) => Exit::OK,
        };
        exit = exit.max(ended);
    }
    Ok(exit)
}

fn render(report: &Report<'_>, format: Format, look: human::Look) -> String {
    match format {
        Format::Human => human::render(report, look),
        Format::Concise => concise::render(report),
        Format::Json => serde_json::to_string_pretty(&json::document(report)).unwrap_or_default(),
    }
}

fn outputs(texts: &[String]) -> anyhow::Result<Vec<(Format, PathBuf)>> {
    let parse = |text: &String| {
        let (format, file) = text
            .split_once('=')
            .filter(|(_, file)| !file.is_empty())
            .ok_or_else(|| Failure::usage(format!("`--output {text}`: write FORMAT=FILE")))?;
        let format = <Format as clap::ValueEnum>::from_str(format, false).map_err(|_| {
            Failure::usage(format!(
                "`{format}` is not a format; write human, concise or json"
            ))
        })?;
        Ok((format, PathBuf::from(file)))
    };
    texts.iter().map(parse).collect()
}

fn levels(texts: &[String]) -> anyhow::Result<Levels> {
    let known: Vec<&str> = crate::lint::ALL
        .iter()
        .flat_map(|lints| lints.iter())
        .map(|lint| lint.name)
        .collect();
    let parse = |text: &String| {
        let (name, level) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`--rule {text}`: write NAME=LEVEL")))?;
        if !known.contains(&name) {
            let near = diag::suggest::nearest(name, known.iter().copied())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(Failure::usage(format!(
                "there is no rule `{name}`{near} (`gwc rules` lists them)"
            ))
            .into());
        }
        let level = match level {
            "off" => None,
            "info" => Some(Level::Info),
            "warn" => Some(Level::Warn),
            "error" => Some(Level::Error),
            _ => {
                return Err(Failure::usage(format!(
                    "`{level}` is not a level; write off, info, warn or error"
                ))
                .into());
            }
        };
        if crate::lint::ALL
            .iter()
            .flat_map(|lints| lints.iter())
            .any(|lint| lint.name == name && compile::is_hard(lint))
            && level != Some(Level::Error)
        {
            return Err(Failure::usage(format!(
                "`{name}` cannot be made less than an error: nothing could be built with it"
            ))
            .into());
        }
        Ok((name.to_owned(), level))
    };
    texts.iter().map(parse).collect()
}
