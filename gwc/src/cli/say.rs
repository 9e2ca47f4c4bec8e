//! Functions that all commands share: finding the project, and writing results and failures.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use diag::count::counted;
use diag::workflow::{without_commands, without_commands_in_json};
use diag::{Diagnostic, Level};
use serde_json::{Value, json};

use super::lint::levels::levels;
use super::{progress, side, terminal};
use crate::output::{Report, human};
use crate::release::{Sought, StoreName, links};
use model::compile::{self, Compiled, Input, Levels, Purpose};
use model::environment::Scope;
use model::exit::{ENVIRONMENT_NEEDED, Exit, Failure};
use model::source_map;
use sources::project::files::Files;
use sources::syntax::Limits;

/// Options of the command line that are shared by commands.
pub(super) struct Context {
    /// `--project`
    pub(super) project: Option<PathBuf>,
    /// `--env`
    pub(super) environment: Option<String>,
    /// Environments that a compilation reads and checks in addition to `environment`.
    pub(super) scope: Scope,
    /// Limits for reading source files.
    pub(super) limits: Limits,
    /// Levels of rules from the command line
    pub(super) levels: Levels,
    /// The commit of `--base`
    pub(super) base: Option<String>,
}

/// Formats that most commands have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

impl Context {
    /// Finds the input at `path`. Without a path: the project of `--project`, or the project that
    /// contains the current directory.
    pub(super) fn input(&self, path: Option<&Path>) -> anyhow::Result<Input> {
        let path = path.or(self.project.as_deref());
        match path {
            Some(path) if path.is_dir() => links::check_folder(path)?,
            Some(path) if path.is_file() => links::check(path)?,
            Some(_) | None => {}
        }
        let input = compile::find(path)
            .map_err(|error| Failure::new(Exit::INPUT, "no-project", error.to_string()))?;
        if let (None, Input::Project(folder)) = (path, &input) {
            links::check_entered(folder)?;
        }
        Ok(input)
    }

    /// Returns the project folder.
    pub(super) fn root(&self) -> anyhow::Result<PathBuf> {
        match self.input(None)? {
            Input::Project(folder) => Ok(folder),
            Input::Document(path) => Err(Failure::usage(format!(
                "{} is a document, not a project",
                path.display()
            ))
            .into()),
        }
    }

    /// Returns the context with additional rule levels from the command line.
    pub(super) fn with_levels(&self, texts: &[String]) -> anyhow::Result<Self> {
        Ok(Self {
            project: self.project.clone(),
            environment: self.environment.clone(),
            scope: self.scope,
            limits: self.limits,
            levels: levels(texts)?,
            base: self.base.clone(),
        })
    }

    /// Returns the context with another environment. `None`: without an environment.
    pub(super) fn in_environment(&self, name: Option<&str>) -> Self {
        Self {
            project: self.project.clone(),
            environment: name.map(str::to_owned),
            scope: self.scope,
            limits: self.limits,
            levels: self.levels.clone(),
            base: self.base.clone(),
        }
    }

    /// Returns the reference to the project in a folder, with the options of this command for
    /// reading it.
    pub(super) fn sought<'a>(&'a self, root: &'a Path) -> Sought<'a> {
        Sought {
            root,
            environment: self.environment.as_deref(),
            limits: self.limits,
            base: self.base.as_deref(),
        }
    }

    /// Returns the context with the environment of a plan file. Fails if `--env` names another
    /// environment.
    pub(super) fn planned_in(&self, plan: Option<&Value>) -> anyhow::Result<Self> {
        let planned = plan.map(|plan| plan["environment"].as_str());
        let environment = match (planned, self.environment.as_deref()) {
            (Some(planned), Some(given)) if planned != Some(given) => {
                let made = planned.map_or("without an environment".to_owned(), |name| {
                    format!("for the environment `{name}`")
                });
                return Err(Failure::usage(format!(
                    "the plan was made {made}, but `--env {given}` was given"
                ))
                .into());
            }
            (Some(planned), _) => planned,
            (None, given) => given,
        };
        Ok(Self {
            project: self.project.clone(),
            environment: environment.map(str::to_owned),
            scope: self.scope,
            limits: self.limits,
            levels: self.levels.clone(),
            base: self.base.clone(),
        })
    }

    /// Refuses sources that Git converts on checkout, if `--base` is set: the reviewed files are
    /// then not the compiled ones.
    pub(super) fn check_unconverted(
        &self,
        input: &Input,
        compiled: &Compiled,
    ) -> anyhow::Result<()> {
        if self.base.is_none() {
            return Ok(());
        }
        let is_document = matches!(input, Input::Document(_));
        let digests = source_map::digests(&compiled.files);
        side::check_unconverted(input.folder(), digests, is_document)
    }

    /// Compiles the project and prints findings on standard error. Fails if the project cannot be
    /// built.
    pub(super) fn compile(&self) -> anyhow::Result<Compiled> {
        self.lowered(Purpose::Run)
    }

    /// Compiles the project for queries. Settings that gwd does not support yet are not errors.
    pub(super) fn compile_to_ask(&self) -> anyhow::Result<Compiled> {
        self.lowered(Purpose::Route)
    }

    fn lowered(&self, purpose: Purpose) -> anyhow::Result<Compiled> {
        let options = compile::Options {
            environment: self.environment.as_deref(),
            scope: self.scope,
            limits: self.limits,
            levels: self.levels.clone(),
            base: self.base.as_deref(),
            purpose,
            ..compile::Options::default()
        };
        let input = self.input(None)?;
        progress::stage("compiling");
        let compiled = compile::compile(&input, options)?;
        let compiled = match compiled.lowered {
            Some(_) => compiled,
            None => compiled.for_lowering(),
        };
        let folder = seen_folder(input.folder());
        findings(&compiled, &folder);
        if compiled.lowered.is_some() {
            self.check_unconverted(&input, &compiled)?;
            return Ok(compiled);
        }
        if let (Some(needed), false) = (
            environment_needed(&compiled, &folder),
            compiled.has_errors(),
        ) {
            return Err(needed.into());
        }
        Err(Failure::new(
            unusable(&compiled),
            "findings",
            "these sources cannot be built; the findings are above",
        )
        .into())
    }
}

/// Returns compiled sources for a comparison. If the sources have errors, prints the errors with
/// `version` as their origin, and fails.
pub(super) fn comparable(
    mut compiled: Compiled,
    purpose: Purpose,
    folder: &str,
    version: &str,
) -> anyhow::Result<Compiled> {
    if compiled.lowered.is_some() {
        return Ok(compiled);
    }
    compiled.findings.retain(|finding| purpose.stops(finding));
    if compiled.findings.is_empty()
        && let Some(mut needed) = environment_needed(&compiled, folder)
    {
        needed.message = format!("{version}: {}", needed.message);
        return Err(needed.into());
    }
    findings(&compiled, folder);
    // The findings about this version were reported. They are not results of the comparison.
    Err(Failure::new(
        Exit::INPUT,
        "findings",
        format!("{version}, has errors; the findings are above"),
    )
    .into())
}

/// Prints the errors among findings about files that a command reads without compiling them. Fails
/// if there are errors.
pub(super) fn unreadable(files: &Files, found: &[Diagnostic], folder: &Path) -> anyhow::Result<()> {
    let errors: Vec<Diagnostic> = found
        .iter()
        .filter(|finding| finding.level == Level::Error)
        .cloned()
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    print_findings(files, &seen_folder(folder), &errors);
    Err(Failure::new(
        Exit::INPUT,
        "findings",
        "some documents cannot be read; the findings are above",
    )
    .into())
}

fn unusable(compiled: &Compiled) -> Exit {
    if compiled.unreadable {
        Exit::INPUT
    } else {
        Exit::FINDINGS
    }
}

fn environment_needed(compiled: &Compiled, folder: &str) -> Option<Failure> {
    let (name, span) = compiled.open_variable.as_ref()?;
    let sources = &compiled.files.sources;
    let position = sources.position(*span);
    Some(Failure::new(
        Exit::FINDINGS,
        ENVIRONMENT_NEEDED,
        format!(
            "{folder}{}:{}:{}: `${{var:{name}}}` has a value in an environment only; choose one with --env NAME",
            sources.file(span.file).path(),
            position.line,
            position.column
        ),
    ))
}

/// Writes errors to standard error, with the number of warnings that `gwc lint` would also show.
fn findings(compiled: &Compiled, folder: &str) {
    let (errors, others): (Vec<_>, Vec<_>) = compiled
        .findings
        .iter()
        .cloned()
        .partition(|finding| finding.level == Level::Error);
    if !errors.is_empty() {
        print_findings(&compiled.files, folder, &errors);
    }
    let warnings = others
        .iter()
        .filter(|finding| finding.level == Level::Warn)
        .count();
    if warnings > 0 {
        note_once(&format!(
            "{} (`gwc lint` shows {})",
            counted(warnings, "warning"),
            if warnings == 1 { "it" } else { "them" }
        ));
    }
}

/// Writes findings to standard error in the human format.
fn print_findings(files: &Files, folder: &str, findings: &[Diagnostic]) {
    let report = Report {
        files,
        folder,
        findings,
        environment: None,
        cost: None,
        fail_on: Level::Error,
    };
    let text = human::render(&report, terminal::look(&std::io::stderr()));
    let text = without_commands(&text);
    progress::erase();
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writes a report to standard output, in a format for people or programs. Escapes texts of the
/// project that would be commands of a CI system. Ignores a closed pipe.
pub(super) fn result(text: &str) {
    verbatim(&match text.starts_with(['{', '[']) {
        true => without_commands_in_json(text),
        false => without_commands(text),
    });
}

/// Writes a report for people to standard output, as [`result`] does. On a terminal, lines break
/// between words.
pub(super) fn report(text: &str) {
    result(&terminal::fitted(text, &std::io::stdout()));
}

/// Writes a report in the format with this name. In the format `github`, a report consists of
/// commands of the CI system.
pub(super) fn in_format(name: &str, text: &str) {
    match name {
        "github" => verbatim(text),
        _ => result(text),
    }
}

/// Writes a text to standard output without any change: a document, a diff, or commands of a CI
/// system. Ignores a closed pipe.
pub(super) fn verbatim(text: &str) {
    progress::erase();
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// Writes a result as JSON.
pub(super) fn json(value: &Value) {
    result(&diag::json::pretty(value));
}

/// Creates a JSON document with the fields that all documents have.
pub(super) fn document(schema: &str, result: &str, rest: Value) -> Value {
    let mut document =
        json!({"schema": schema, "result": result, "tool": tool(), "environment": null});
    if let (Value::Object(document), Value::Object(rest)) = (&mut document, rest) {
        document.extend(rest);
    }
    document
}

/// Name and version of gwc, as JSON.
pub(super) fn tool() -> Value {
    json!({"name": "gwc", "version": env!("CARGO_PKG_VERSION")})
}

/// Path for display: relative to the current directory if the file is inside it.
pub(super) fn path(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let inside = here.and_then(|here| Some(path.strip_prefix(here).ok()?.to_owned()));
    let shown = inside.filter(|inside| !inside.as_os_str().is_empty());
    diag::text::printable(&shown.as_deref().unwrap_or(path).to_string_lossy())
}

/// Name of a store for messages. Folders are relative to the current directory.
pub(super) fn store(name: &StoreName) -> String {
    match name {
        StoreName::Folder(folder) => path(folder),
        StoreName::Registry(address) => address.to_string(),
    }
}

/// Path of the project folder relative to the current directory, with a final `/`. Empty for the
/// current directory. Absolute if neither folder contains the other.
pub(super) fn seen_folder(folder: &Path) -> String {
    let seen = || {
        let here = std::env::current_dir().ok()?.canonicalize().ok()?;
        let there = here.join(folder).canonicalize().ok()?;
        let inside = there.starts_with(&here) || here.starts_with(&there);
        let seen = if inside {
            path_between(&here, &there)
        } else {
            there.to_string_lossy().into_owned()
        };
        Some(match seen.as_str() {
            "" | "/" => seen,
            _ => format!("{seen}/"),
        })
    };
    seen().unwrap_or_default()
}

/// Path of a file relative to the project folder. Begins with `..` if the file is outside.
pub(super) fn path_in(project: &Path, file: &Path) -> String {
    let between = || {
        Some(path_between(
            &project.canonicalize().ok()?,
            &file.canonicalize().ok()?,
        ))
    };
    between().unwrap_or_else(|| file.to_string_lossy().into_owned())
}

/// Relative path between two absolute paths.
fn path_between(from: &Path, to: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| "..".into());
    let down = to[common..]
        .iter()
        .map(|name| name.as_os_str().to_string_lossy());
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// Writes a note to standard error.
pub(super) fn note(text: &str) {
    progress::erase();
    let _ = writeln!(std::io::stderr(), "{}", without_commands(text));
}

/// Writes a note to standard error, unless the same note was written before. A project that is read
/// several times would otherwise repeat its notes.
pub(super) fn note_once(text: &str) {
    static WRITTEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    if written.insert(text.to_owned()) {
        note(text);
    }
}

/// Writes an error with all its causes.
pub(super) fn error(error: &anyhow::Error, exit: Exit, code: &str, as_json: bool) {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let message = causes.join(": ");
    if as_json {
        error_document(code, &message, exit);
    }
    let lines: Vec<String> = message.lines().map(diag::text::printable).collect();
    note(&format!("error[{code}]: {}", lines.join("\n")));
}

/// Writes an error as a JSON document.
pub(super) fn error_document(code: &str, message: &str, exit: Exit) {
    json(
        &json!({"schema": "error/v1", "result": "error", "tool": tool(), "environment": null,
                 "error": {"code": code, "message": message, "exit": exit.0}}),
    );
}
