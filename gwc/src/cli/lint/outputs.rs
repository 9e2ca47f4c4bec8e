//! `--format` and `--output`: how findings are written, and where to.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use diag::suggest;

use crate::exit::Failure;
use crate::output::{FORMATS, Format};

/// Where to, beside standard output.
pub(super) struct Output {
    pub(super) format: &'static Format,
    pub(super) file: PathBuf,
}

/// Reads `FORMAT=FILE`.
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
        Ok(format.expect("only these names are taken"))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = FORMATS.iter();
        Some(Box::new(values.map(|format| {
            PossibleValue::new(format.name).help(format.about)
        })))
    }
}
