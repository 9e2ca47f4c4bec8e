//! Options `--format` and `--output`.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use diag::suggest;

use crate::cli::say;
use crate::output::{FORMATS, Format};
use model::compile::Input;
use model::exit::Failure;
use sources::project::files::Files;

/// Report that is written to a file (`--output FORMAT=FILE`).
pub(super) struct Output {
    pub(super) format: &'static Format,
    pub(super) file: PathBuf,
}

/// Parses `FORMAT=FILE`.
pub(super) fn outputs(texts: &[String]) -> anyhow::Result<Vec<Output>> {
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
                "`--output {text}`: `{name}` is not a format; write {known}"
            ))
        })?;
        if file == "-" {
            return Err(Failure::usage(format!(
                "`--output {text}` names no file; `--format {name}` selects the format of standard output"
            ))
            .into());
        }
        Ok(Output {
            format,
            file: PathBuf::from(file),
        })
    };
    texts.iter().map(parse).collect()
}

/// Refuses to write a report to a file that this run has read as a source. Otherwise a typo could
/// replace a source with a report.
pub(in crate::cli) fn refuse_source(
    option: &str,
    file: &Path,
    input: &Input,
    files: &Files,
) -> anyhow::Result<()> {
    let Ok(real) = file.canonicalize() else {
        return Ok(());
    };
    let folder = input.folder();
    let is_it = |path: &str| folder.join(path).canonicalize().is_ok_and(|it| it == real);
    if files.sources.iter().any(|(_, source)| is_it(source.path())) {
        return Err(would_replace(option, file));
    }
    Ok(())
}

/// Refuses to write a report to the baseline file. Only a new baseline may overwrite a baseline
/// file.
pub(super) fn refuse_baseline(
    option: &str,
    file: &Path,
    baseline: Option<&Path>,
) -> anyhow::Result<()> {
    let real = |path: &Path| path.canonicalize().ok();
    let same = real(file).is_some_and(|it| baseline.and_then(real) == Some(it));
    if same && option != "--write-baseline" {
        return Err(would_replace(option, file));
    }
    Ok(())
}

fn would_replace(option: &str, file: &Path) -> anyhow::Error {
    let shown = say::path(file);
    let message =
        format!("`{option}` would replace `{shown}`, which this run reads; name another file");
    Failure::usage(message).into()
}

/// Refuses to write a baseline to an existing file that is not a baseline.
pub(super) fn refuse_foreign_file(file: &Path) -> anyhow::Result<()> {
    // A file that cannot be opened, a pipe or a device has no content that could be lost.
    let Ok(there) = std::fs::metadata(file) else {
        return Ok(());
    };
    if !there.is_file() || there.len() == 0 {
        return Ok(());
    }
    let read = std::fs::read(file).unwrap_or_default();
    let value: Option<serde_json::Value> = serde_json::from_slice(&read).ok();
    if value.is_some_and(|value| value["schema"] == "baseline/v1") {
        return Ok(());
    }
    let shown = say::path(file);
    Err(Failure::usage(format!(
        "`--write-baseline` would replace `{shown}`, which is not a baseline; name another file, \
or remove this one"
    ))
    .into())
}

/// Value parser for the names in [`FORMATS`].
#[derive(Clone)]
pub(super) struct FormatParser;

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
        Ok(format.expect("clap accepts only the names of formats"))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = FORMATS.iter();
        Some(Box::new(values.map(|format| {
            PossibleValue::new(format.name).help(format.about)
        })))
    }
}
