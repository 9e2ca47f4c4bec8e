//! Command `gwc lint`: parses and resolves the sources, and runs the lint rules.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use diag::count::counted;
use diag::{Diagnostic, Level, Sink};

use super::limits::LimitOptions;
use super::say::{self, Context};
use super::{replace, terminal};
use crate::fixes::apply_fixes;
use crate::output::human::Look;
use crate::release;
use crate::release::links;
use diag::text::printable_lines;
use model::compile::{self, Compiled, Input};
use model::exit::{Exit, Failure};
use model::series::{self, Cost};
use openapi::lint::baseline::{self, Baseline};

use crate::output::{Format, Joins, Report};
use sources::project::files::Texts;

mod fix;
pub(super) mod levels;
pub(super) mod outputs;

use outputs::FormatParser;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc lint                          the project of this folder
  gwc lint openapi.yaml             one document, without a project
  gwc lint --format concise --fail-on warn
  gwc lint --write-baseline lint-baseline.json    record the present findings
  gwc lint --baseline lint-baseline.json          report what is new
  gwc lint --fix --dry-run                        show what edits can fix
  gwc lint --format github --output sarif=lint.sarif --output junit=lint.xml")]
pub(super) struct Args {
    /// Projects or OpenAPI documents [default: the project of this folder]
    pub(super) paths: Vec<PathBuf>,
    /// Output format of findings
    #[arg(long, default_value = "human", value_parser = FormatParser)]
    format: &'static Format,
    /// Write findings to a file as well; may be given several times
    #[arg(long, value_name = "FORMAT=FILE")]
    output: Vec<String>,
    /// Lowest level that ends with exit code 1
    #[arg(long, default_value = "error", value_name = "LEVEL")]
    fail_on: FailOn,
    /// Set a rule's level: off, info, warn or error; may be given several times
    #[arg(long, value_name = "NAME=LEVEL")]
    rule: Vec<String>,
    /// Ignore the findings that this baseline file lists
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the present findings to this file as a baseline
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// Fix findings by edits, then report the others
    #[arg(long, conflicts_with = "write_baseline")]
    fix: bool,
    /// With --fix: print the edits as a diff and write nothing
    #[arg(long, requires = "fix")]
    dry_run: bool,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    Error,
    Warn,
    Info,
}

impl super::Arguments for Args {
    fn limits(&self) -> Option<&LimitOptions> {
        Some(&self.limits)
    }

    fn document(&self) -> Option<&Path> {
        self.paths.first().map(PathBuf::as_path)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let levels = levels::levels(&args.rule)?;
    let outputs = outputs::outputs(&args.output)?;
    let fail_on = match args.fail_on {
        FailOn::Error => Level::Error,
        FailOn::Warn => Level::Warn,
        FailOn::Info => Level::Info,
    };
    let paths = args.paths.len();
    if let Some(option) = about_one(args).filter(|_| paths > 1) {
        return Err(Failure::usage(format!(
            "{option} takes one project or OpenAPI document, but {paths} are named: run gwc once \
for each (`--format human`, `concise`, `jsonl` and `github` take several)"
        ))
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
        let folder = say::seen_folder(input.folder());
        let look = |texts: &Texts| {
            let options = compile::Options {
                limits: context.limits,
                levels: levels.clone(),
                environment: context.environment.as_deref(),
                base: context.base.as_deref(),
                now_s: release::now().unix_s(),
                texts: texts.clone(),
                ..compile::Options::default()
            };
            let mut compiled = match options.environment {
                Some(_) => compile::compile(&input, options)?,
                None => compile::everywhere(&input, &options)?,
            };
            if texts.is_empty() && !compiled.has_errors() {
                context.check_unconverted(&input, &compiled)?;
            }
            check_outputs(args, &outputs, &input, &compiled)?;
            set_aside(args, &input, &mut compiled)?;
            Ok(compiled)
        };
        let compiled = if args.fix {
            fix(args, &input, &folder, look)?
        } else {
            look(&Texts::new())?
        };
        let cost = compiled
            .model
            .as_ref()
            .map(|model| series::cost(&model.settings, &model.apis));
        let report = Report {
            files: &compiled.files,
            folder: &folder,
            findings: &compiled.findings,
            environment: context.environment.as_deref(),
            cost,
            fail_on,
        };
        let look = terminal::look(&std::io::stdout());
        let text = (args.format.render)(&report, look);
        // A note has already listed the findings that were written to the baseline, so "no
        // findings" would be wrong.
        let all_aside = args.write_baseline.is_some()
            && args.format.name == "human"
            && report.findings.is_empty();
        if !text.is_empty() && !args.dry_run && !all_aside {
            say::in_format(args.format.name, &text);
        }
        if let Some(Cost { routes, series }) = cost.filter(|_| args.format.name == "human") {
            let routes = counted(routes, "route");
            say::note(&format!("{routes}: about {series} metric series in gwd"));
        }
        for output in &outputs {
            let text = (output.format.render)(&report, Look::default());
            replace::output(&output.file, text.as_bytes())
                .map_err(|error| Failure::new(Exit::INPUT, "output", format!("{error:#}")))?;
        }
        let ended = match (compiled.unreadable, report.blocked()) {
            (true, _) => Exit::INPUT,
            (false, true) => Exit::FINDINGS,
            (false, false) => Exit::OK,
        };
        exit = exit.max(ended);
        if args.paths.len() < 2 {
            // The process ends here. Skip freeing millions of nodes, which takes a tenth of the run
            // time.
            std::mem::forget(compiled);
        }
    }
    Ok(exit)
}

/// Returns the first option of the command line that requires a single project or document. `None`
/// if there is no such option.
fn about_one(args: &Args) -> Option<String> {
    let options = [
        (
            args.write_baseline.is_some(),
            "`--write-baseline`".to_owned(),
        ),
        (args.baseline.is_some(), "`--baseline`".to_owned()),
        (!args.output.is_empty(), "`--output`".to_owned()),
        (
            args.format.joins == Joins::Document,
            format!("`--format {}`", args.format.name),
        ),
    ];
    let mut given = options.into_iter().filter(|(given, _)| *given);
    given.next().map(|(_, option)| option)
}

/// Applies fixes, and prints the fixed findings. With `--dry-run`, prints a diff instead.
fn fix(
    args: &Args,
    input: &Input,
    folder: &str,
    look: impl Fn(&Texts) -> anyhow::Result<Compiled>,
) -> anyhow::Result<Compiled> {
    let mended = apply_fixes(look)?;
    if args.dry_run {
        let diff = fix::diff(folder, &mended.changes);
        if !diff.is_empty() {
            // Programs such as `patch` get the exact text.
            match std::io::stdout().is_terminal() {
                true => say::result(&printable_lines(&diff)),
                false => say::verbatim(&diff),
            }
        }
    } else {
        fix::write(input.folder(), &mended.changes)?;
    }
    let count = |count: usize, noun: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {noun}{plural}")
    };
    let (findings, files) = (mended.findings, mended.changes.len());
    say::note(&format!(
        "{} {} in {}",
        if args.dry_run { "would fix" } else { "fixed" },
        count(findings, "finding"),
        count(files, "file")
    ));
    Ok(mended.compiled)
}

/// Refuses output files that are sources of this run, or the baseline that it reads.
fn check_outputs(
    args: &Args,
    outputs: &[outputs::Output],
    input: &Input,
    compiled: &Compiled,
) -> anyhow::Result<()> {
    let targets = outputs.iter().map(|output| ("--output", &output.file));
    let baseline = args.write_baseline.iter();
    for (option, file) in targets.chain(baseline.map(|file| ("--write-baseline", file))) {
        outputs::refuse_source(option, file, input, &compiled.files)?;
        outputs::refuse_baseline(option, file, args.baseline.as_deref())?;
    }
    Ok(())
}

/// Removes the findings of the baseline from the report. With `--write-baseline`, first writes the
/// current findings to the baseline.
fn set_aside(args: &Args, input: &Input, compiled: &mut Compiled) -> anyhow::Result<()> {
    let mut path = args.baseline.as_ref();
    if let Some(file) = &args.write_baseline {
        outputs::refuse_foreign_file(file)?;
        let text = baseline::written(&compiled.files, &compiled.findings);
        replace::replace(file, text.as_bytes())
            .map_err(|error| Failure::new(Exit::INPUT, "baseline", format!("{error:#}")))?;
        let (hard, soft): (Vec<&Diagnostic>, Vec<&Diagnostic>) = compiled
            .findings
            .iter()
            .partition(|finding| openapi::lint::hard::is_hard(finding.lint));
        let plural = if soft.len() == 1 { "" } else { "s" };
        say::note(&format!(
            "recorded {} finding{plural} in {}",
            soft.len(),
            say::path(file)
        ));
        if !hard.is_empty() {
            let names: BTreeSet<&str> = hard.iter().map(|finding| finding.lint.name).collect();
            let names: Vec<&str> = names.into_iter().collect();
            say::note(&format!(
                "not in the baseline, because they prevent a build: {}; fix them",
                names.join(", ")
            ));
        }
        path = Some(file);
    }
    let Some(path) = path else {
        return Ok(());
    };
    links::check(path)?;
    let shown = say::path(path);
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read the baseline `{shown}`: {error}");
        Failure::new(Exit::INPUT, "baseline", message)
    })?;
    let is_baseline = text.contains("\"baseline/v1\"");
    let mut sink = Sink::default();
    let findings = std::mem::take(&mut compiled.findings);
    let called = say::path_in(input.folder(), path);
    match Baseline::read(&mut compiled.files, &called, text, &mut sink) {
        Some(baseline) => compiled.findings = baseline.apply(&compiled.files, findings),
        // The file is not a baseline, so its text must not be shown.
        None if !is_baseline => {
            let message = format!(
                "`{shown}` is not a baseline; write one with `gwc lint --write-baseline {shown}`"
            );
            return Err(Failure::new(Exit::INPUT, "baseline", message).into());
        }
        None => {
            compiled.unreadable = true;
            compiled.findings = findings;
            compiled.findings.extend(sink.into_sorted());
        }
    }
    Ok(())
}
