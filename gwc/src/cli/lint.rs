//! `gwc lint`: parse, resolve, type-check, run the rules.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use diag::{Level, suggest};

use super::replace::replace;
use super::say::{self, Context};
use crate::compile::{self, Input, Levels};
use crate::exit::{Exit, Failure};
use crate::output::human::Look;
use crate::output::{FORMATS, Format, Joins, Report};
use crate::syntax::Limits;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc lint                          the project of this folder
  gwc lint openapi.yaml             one document, without a project
  gwc lint --format concise --fail-on warn
  gwc lint --format github --output sarif=lint.sarif --output junit=lint.xml")]
pub(super) struct Args {
    /// Projects or OpenAPI documents; the project of this folder where nothing is said
    paths: Vec<PathBuf>,
    /// How findings are written
    #[arg(long, default_value = "human", value_parser = FormatParser)]
    format: &'static Format,
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
    if args.paths.len() > 1 && (args.format.joins == Joins::Document || !outputs.is_empty()) {
        return Err(Failure::usage(
            "a report in a file, or as one document, is about one project or OpenAPI document; call gwc once for each",
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
        let input = context.input(path)?;
        let compiled = compile::compile(&input, Limits::default(), &levels)?;
        let folder = seen_folder(&input);
        let report = Report {
            files: &compiled.files,
            folder: &folder,
            findings: &compiled.findings,
            environment: None,
            fail_on,
        };
        let look = say::look(std::io::stdout().is_terminal());
        let text = (args.format.render)(&report, look);
        if !text.is_empty() {
            say::result(&text);
        }
        for output in &outputs {
            let text = (output.format.render)(&report, Look::default());
            replace(&output.file, text.as_bytes())
                .map_err(|error| Failure::new(Exit::INPUT, "output", format!("{error:#}")))?;
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

/// Where to, beside standard output.
struct Output {
    format: &'static Format,
    file: PathBuf,
}

fn outputs(texts: &[String]) -> anyhow::Result<Vec<Output>> {
    let parse = |text: &String| {
        let (name, file) = text
            .split_once('=')
            .filter(|(_, file)| !file.is_empty())
            .ok_or_else(|| Failure::usage(format!("`--output {text}`: write FORMAT=FILE")))?;
        let format = FORMATS.iter().find(|format| format.name == name);
        let format = format.ok_or_else(|| {
            let names = FORMATS.iter().map(|format| format.name);
            let known = suggest::one_of(names, FORMATS.len());
            Failure::usage(format!(
                "`--output {text}`: `{name}` is no format; write {known}"
            ))
        })?;
        Ok(Output {
            format,
            file: PathBuf::from(file),
        })
    };
    texts.iter().map(parse).collect()
}

/// Takes the name of a row in [`FORMATS`].
#[derive(Clone)]
struct FormatParser;

impl TypedValueParser for FormatParser {
    type Value = &'static Format;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let names = PossibleValuesParser::new(FORMATS.iter().map(|format| format.name));
        let name = names.parse_ref(command, argument, value)?;
        let format = FORMATS.iter().find(|format| format.name == name);
        Ok(format.expect("only these names are taken"))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = FORMATS.iter();
        Some(Box::new(values.map(|format| {
            PossibleValue::new(format.name).help(format.about)
        })))
    }
}

/// A project's folder as services see it that show files by their paths from the working folder.
fn seen_folder(input: &Input) -> String {
    let folder = match input {
        Input::Project(folder) => folder.as_path(),
        Input::Document(file) => file.parent().unwrap_or(Path::new("")),
    };
    let inside = || {
        let here = std::env::current_dir().ok()?.canonicalize().ok()?;
        let there = here.join(folder).canonicalize().ok()?;
        let inside = there
            .strip_prefix(&here)
            .ok()?
            .to_string_lossy()
            .into_owned();
        (!inside.is_empty()).then(|| format!("{inside}/"))
    };
    inside().unwrap_or_default()
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
            let near = suggest::nearest(name, known.iter().copied())
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
