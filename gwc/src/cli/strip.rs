//! Command `gwc strip`: writes the public OpenAPI document, without the settings of the gateway.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;

use super::limits::LimitOptions;
use super::lint::outputs::refuse_source;
use super::replace::{make_folder, replace};
use super::say::{self, Context};
use crate::strip::{self, SourceDocuments, Unfit, write};
use diag::text::printable;
use model::compile::Input;
use model::exit::{Exit, Failure};

/// Maximum number of names that a message lists.
const NAMED_MAX: usize = 10;

/// Output format of the public document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Yaml,
    Json,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Left out are `x-gateway`, `x-gateway-lint`, `x-gateway-ext-…`, operations with `internal: true`, and
components that only those referred to. Overlays are applied. The order is kept, comments are not.

Examples:
  gwc strip openapi.yaml > public.yaml     one document
  gwc strip --api orders --format json     one API of the project, with its overlays
  gwc strip -o public/                     every API of the project: public/NAME.yaml"
)]
pub(super) struct Args {
    /// OpenAPI document, or a project's folder [default: the project of this folder]
    #[arg(value_name = "PATH")]
    pub(super) path: Option<PathBuf>,
    /// The API of the project
    #[arg(long, value_name = "NAME")]
    api: Option<String>,
    /// Write one file for each API into this folder, instead of one document to standard output
    #[arg(short = 'o', value_name = "DIR")]
    output: Option<PathBuf>,
    /// The form of the document
    #[arg(long, default_value = "yaml")]
    format: Form,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

impl super::Arguments for Args {
    fn limits(&self) -> Option<&LimitOptions> {
        Some(&self.limits)
    }

    fn document(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let input = context.input(args.path.as_deref())?;
    if let (Input::Document(_), Some(api)) = (&input, &args.api) {
        return Err(Failure::usage(format!(
            "`--api {}` needs a project, but the input is a single OpenAPI document; give the \
             folder of a project, or leave out `--api`",
            printable(api)
        ))
        .into());
    }
    let mut written = strip::written(
        &input,
        context.limits,
        context.environment.as_deref(),
        context.base.as_deref(),
    )?;
    say::unreadable(&written.files, &written.findings, input.folder())?;
    if let Some(name) = &args.api {
        let known: Vec<&str> = written.apis.iter().map(|(name, _)| name.as_str()).collect();
        if !known.contains(&name.as_str()) {
            let near = diag::suggest::nearest(name, known.iter().copied())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(Failure::usage(format!(
                "there is no API `{}` in this project{near}",
                name.escape_debug()
            ))
            .into());
        }
        written.apis.retain(|(known, _)| known == name);
    }
    if args.output.is_none() && written.apis.len() > 1 {
        let names: Vec<&str> = written
            .apis
            .iter()
            .take(NAMED_MAX)
            .map(|(name, _)| name.as_str())
            .collect();
        return Err(Failure::usage(format!(
            "this project has {} APIs ({}); choose one with --api NAME, or write all into a folder with -o DIR",
            written.apis.len(),
            names.join(", ")
        ))
        .into());
    }
    for index in 0..written.apis.len() {
        let text = document(args, &written, index)?;
        match &args.output {
            None => say::verbatim(&text),
            Some(folder) => {
                let path = folder.join(args.format.file(&written.apis[index].0));
                refuse_source("-o", &path, &input, &written.files)?;
                save(&path, &text)?;
            }
        }
    }
    Ok(Exit::OK)
}

/// Returns the public version of the API document `written.apis[index]`.
fn document(args: &Args, written: &SourceDocuments, index: usize) -> anyhow::Result<String> {
    let (name, document) = &written.apis[index];
    let failed = |why: String| Failure::new(Exit::FINDINGS, "not-public", why);
    let stripped = strip::strip(&written.files, document).map_err(|unfit| match unfit {
        Unfit::HiddenElsewhere { path, file } => failed(format!(
            "{}: `{}` is described in `{}`, and an operation there is internal; move that operation into a path item of its own",
            printable(name),
            path.escape_debug(),
            file.escape_debug()
        )),
        Unfit::Dangling { reference } => failed(format!(
            "{}: `{}` refers to a part that is left out; describe that part under `components`",
            printable(name),
            reference.escape_debug()
        )),
    })?;
    if !stripped.refers.is_empty() {
        let named: Vec<String> = stripped
            .refers
            .iter()
            .take(NAMED_MAX)
            .map(|file| printable(file))
            .collect();
        say::note(&format!(
            "note: {} refers to other files, which need `gwc strip FILE` of their own: {}{}",
            printable(name),
            named.join(", "),
            if stripped.refers.len() > NAMED_MAX {
                ", …"
            } else {
                ""
            }
        ));
    }
    let root = written.files.tree.at(document.root);
    let text = match args.format {
        Form::Yaml => write::yaml(root, &stripped.removed),
        Form::Json => write::json(root, &stripped.removed),
    };
    Ok(text.ok_or_else(|| {
        Failure::new(
            Exit::INPUT,
            "too-large",
            format!(
                "{}: with its aliases expanded, the document is larger than {} MiB",
                printable(name),
                write::BYTES_MAX >> 20
            ),
        )
    })?)
}

impl Form {
    /// File name for the document of an API.
    fn file(self, api: &str) -> String {
        match self {
            Self::Yaml => format!("{api}.yaml"),
            Self::Json => format!("{api}.json"),
        }
    }
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    make_folder(path.parent().unwrap_or(Path::new(".")))
        .with_context(|| format!("cannot write `{}`", path.display()))
        .and_then(|()| replace(path, text.as_bytes()))
        .map_err(|error| Failure::new(Exit::INPUT, "output", format!("{error:#}")))?;
    say::note(&format!("wrote {}", say::path(path)));
    Ok(())
}
