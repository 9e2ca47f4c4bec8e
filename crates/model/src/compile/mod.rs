//! Compilation of source files into a checked gateway configuration.

mod load;
mod purpose;
mod resolve;
mod skip;
mod whole;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diag::shape::is_name;
use diag::{Diagnostic, Level, NodeId, NodeRef, Sink, Span};

use crate::acknowledge;
use crate::api::Described;
use crate::environment::{self, Choice, Environment, Origins, ResolvedGateway, Scope, Variables};
use crate::exit::Failure;
use crate::lower::{self, Lowered};
use crate::verifiers::{self, Own};
use crate::{Model, api, routes, settings};
use crate::{expressions, globs, mounted};
pub use openapi::lint::Levels;
use openapi::lint::find::find as rule;
use openapi::lint::rules::invisible_character;
use openapi::lint::{self, Chosen, ReportSettings, allow};
use openapi::spec::Spec;
use openapi::spec::lift::lift;
use sources::project::GATEWAY_FILE;
use sources::project::files::{Document, Files, Texts};
use sources::project::parses::Parses;
use sources::syntax::Limits;
use vocab::{checks, lints};

pub use load::{add_placeholder, overlaid};
use load::{is_blank, load, read_checks};
use openapi::lint::hard::{is_hard, least};
pub use purpose::Purpose;
use purpose::is_of_project;
use resolve::Resolved;
pub use skip::is_of_contract;
use whole::Whole;

/// Input of a compilation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Folder with a gateway.yaml.
    Project(PathBuf),
    /// OpenAPI document without a project. Findings about its use in a gateway are at most
    /// warnings.
    Document(PathBuf),
}

impl Input {
    /// Folder to which paths in messages are relative.
    #[must_use]
    pub fn folder(&self) -> &Path {
        let folder = match self {
            Self::Project(folder) => Some(folder.as_path()),
            Self::Document(path) => path.parent(),
        };
        let named = folder.filter(|folder| !folder.as_os_str().is_empty());
        named.unwrap_or(Path::new("."))
    }
}

/// Result of a compilation.
pub struct Compiled {
    /// Files with their texts, for messages.
    pub files: Files,
    /// Findings, sorted.
    pub findings: Vec<Diagnostic>,
    /// The project, as far as it could be read. `None`: gateway.yaml has no readable settings.
    pub model: Option<Model>,
    /// Configuration for the bundle. `None` for [`Purpose::Findings`], and if a finding prevents
    /// lowering ([`Purpose::stops`]). `None` also if no environment is chosen and a variable has a
    /// value only in an environment.
    pub lowered: Option<Lowered>,
    /// First variable that is used, and the source location of its first use, if no environment is
    /// chosen. `None` in an environment.
    pub open_variable: Option<(String, Span)>,
    /// Source locations of the values that the environment sets, and of the values that they
    /// replace.
    pub origins: Origins,
    /// True if gateway.yaml or a document cannot be read or parsed at all.
    pub unreadable: bool,
    /// Findings about parts that a comparison leaves out or reads wrongly. See [`Purpose::Past`].
    pub skipped: Vec<Diagnostic>,
}

impl Compiled {
    /// Raises the severity of findings that prevent lowering to error, such as those about
    /// unavailable features.
    pub fn for_lowering(mut self) -> Self {
        for finding in self
            .findings
            .iter_mut()
            .filter(|finding| Purpose::Run.stops(finding))
        {
            finding.level = Level::Error;
        }
        self
    }

    /// True if a finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.level == Level::Error)
    }
}

/// Finds the input at a path: a project folder, its gateway.yaml, or an OpenAPI document.
///
/// # Errors
/// Returns an error if the path leads to none of these inputs.
#[expect(
    clippy::disallowed_methods,
    reason = "the current folder selects the project"
)]
pub fn find(path: Option<&Path>) -> anyhow::Result<Input> {
    let Some(path) = path else {
        let here = std::env::current_dir()?;
        let found = here
            .ancestors()
            .find(|folder| folder.join(GATEWAY_FILE).is_file());
        return match found {
            Some(folder) => Ok(Input::Project(folder.to_owned())),
            None => anyhow::bail!(
                "there is no {GATEWAY_FILE} in this folder or above it; name a project or an OpenAPI document, or run `gwc init`"
            ),
        };
    };
    if path.is_dir() {
        anyhow::ensure!(
            path.join(GATEWAY_FILE).is_file(),
            "there is no {GATEWAY_FILE} in {0}, so it is not a project; to check OpenAPI documents \
name them, as in `gwc lint {0}/openapi.yaml`",
            path.display()
        );
        return Ok(Input::Project(path.to_owned()));
    }
    anyhow::ensure!(path.exists(), "there is no file {}", path.display());
    if path.file_name().is_some_and(|name| name == GATEWAY_FILE) {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        return Ok(Input::Project(folder.unwrap_or(Path::new(".")).to_owned()));
    }
    Ok(Input::Document(path.to_owned()))
}

/// Options of a compilation.
#[derive(Clone, Default)]
pub struct Options<'o> {
    /// Limits on files.
    pub limits: Limits,
    /// Levels of lint rules from the command line.
    pub levels: Levels,
    /// Environment of the project. `None`: compile without an environment.
    pub environment: Option<&'o str>,
    /// Environments that are read and checked in addition to the chosen environment.
    pub scope: Scope,
    /// Commit whose ignore rules apply in addition; see [`Files::set_base`]. `None`: no commit.
    pub base: Option<&'o str>,
    /// Time against which expiry dates of signing keys and of consumers' credentials are checked,
    /// as Unix time in seconds.
    pub now_s: u64,
    /// Texts that replace files on disk.
    pub texts: Texts,
    /// Parsed files of an earlier compilation of the same folder. `None`: parse every file.
    pub parses: Option<Arc<Parses>>,
    /// Purpose of the compilation. Default: [`Purpose::Run`].
    pub purpose: Purpose,
}

/// Reads and checks a project or a document. Lowers it if no finding prevents this.
///
/// # Errors
/// Returns an error if the folder cannot be read or the environment does not exist.
pub fn compile(input: &Input, options: Options<'_>) -> anyhow::Result<Compiled> {
    use anyhow::Context as _;
    let root = input.folder();
    let name = match input {
        Input::Project(_) => GATEWAY_FILE.to_owned(),
        Input::Document(path) => {
            let name = path.file_name().context("the path names no file")?;
            name.to_string_lossy().into_owned()
        }
    };
    let mut files = Files::open_instead(root, options.limits, options.texts)
        .with_context(|| format!("cannot read the folder {}", root.display()))?;
    if let Some(base) = options.base {
        files.set_base(base);
    }
    if let Some(parses) = options.parses {
        files.set_parses(parses);
    }
    files.set_check_time(options.now_s);
    match (input, options.environment) {
        (Input::Project(_), environment) => {
            let chosen = (environment, options.scope);
            project_in_scope(files, &options.levels, chosen, options.purpose)
                .map_err(|unknown| Failure::usage(unknown.to_string()).into())
        }
        (Input::Document(_), None) => Ok(document(files, &name, &options.levels)),
        (Input::Document(_), Some(_)) => {
            Err(Failure::usage("a document has no environments; name a project").into())
        }
    }
}

/// Compiles a project without an environment and then in each of its environments. Returns the
/// result of the compilation without an environment, with the findings of all compilations.
///
/// # Errors
/// Returns the errors of [`compile`].
pub fn everywhere(input: &Input, options: &Options<'_>) -> anyhow::Result<Compiled> {
    let mut all = compile(input, options.clone())?;
    let root = all.files.root(diag::FileId(0));
    let environments = match (input, root) {
        (Input::Project(_), Some(root)) => environment::environments(all.files.tree.at(root)),
        _ => Vec::new(),
    };
    for environment in environments {
        let one = Options {
            environment: Some(&environment.name),
            // The first compilation checked gateway.yaml in every environment.
            scope: Scope::Chosen,
            ..options.clone()
        };
        let one = compile(input, one)?;
        all.unreadable |= one.unreadable;
        add_findings(&mut all, one, &environment);
    }
    let mut sink = Sink::default();
    all.findings
        .into_iter()
        .for_each(|finding| sink.push(finding));
    all.findings = sink.into_sorted();
    Ok(all)
}

/// Adds to `all` the findings that only the compilation in one environment has. Leaves out findings
/// about unused names, because `all` already reports the names that no environment uses.
fn add_findings(all: &mut Compiled, one: Compiled, environment: &Environment) {
    let known: HashSet<(&str, Span, String)> = all
        .findings
        .iter()
        .map(|finding| (finding.lint.code, finding.span, finding.message.clone()))
        .collect();
    let mut added = Vec::new();
    for mut finding in one.findings {
        // File ids of two compilations differ if the files were read in another order.
        let mut here = |span: Span| {
            let path = one.files.sources.file(span.file).path();
            let file = all.files.read(path).ok()?;
            Some(Span { file, ..span })
        };
        let Some(span) = here(finding.span) else {
            continue;
        };
        finding.span = span;
        let spans = finding.related.iter_mut().map(|(span, _)| span);
        for span in spans.chain(finding.fix.iter_mut().map(|edit| &mut edit.span)) {
            *span = here(*span).unwrap_or(*span);
        }
        let unused = finding.lint.name.starts_with("unused-");
        if unused || known.contains(&(finding.lint.code, finding.span, finding.message.clone())) {
            continue;
        }
        if !finding
            .related
            .iter()
            .any(|(span, _)| *span == environment.span)
        {
            let text = format!("in the environment `{}`", environment.name);
            finding.related.push((environment.span, text));
        }
        added.push(finding);
    }
    all.findings.extend(added);
}

/// Compiles a project from its files, without an environment.
#[must_use]
pub fn project(files: Files, levels: &Levels) -> Compiled {
    project_in(files, levels, None).expect("only a name can be unknown")
}

/// Compiles a project from its files, in an environment.
///
/// # Errors
/// Returns an error if the environment does not exist.
pub fn project_in(
    files: Files,
    levels: &Levels,
    environment: Option<&str>,
) -> Result<Compiled, environment::Unknown> {
    project_for(files, levels, environment, Purpose::Run)
}

/// Compiles a project from its files for a purpose, such as running or comparing.
///
/// # Errors
/// Returns an error if the environment does not exist.
pub fn project_for(
    files: Files,
    levels: &Levels,
    environment: Option<&str>,
    purpose: Purpose,
) -> Result<Compiled, environment::Unknown> {
    project_in_scope(files, levels, (environment, Scope::Every), purpose)
}

/// Compiles a project from its files for a purpose. Checks gateway.yaml in the environments of the
/// scope.
///
/// # Errors
/// Returns an error if the environment does not exist.
pub fn project_in_scope(
    mut files: Files,
    levels: &Levels,
    (environment, scope): (Option<&str>, Scope),
    purpose: Purpose,
) -> Result<Compiled, environment::Unknown> {
    let mut sink = Sink::default();
    let nowhere = Span::start_of(diag::FileId(0));
    let Some((_, root)) = files.load(GATEWAY_FILE, nowhere, &mut sink) else {
        return Ok(unreadable(files, GATEWAY_FILE, sink));
    };
    let Choice {
        reading,
        others,
        mut variables,
    } = environment::choose_in(&mut files, root, (environment, scope), &mut sink)?;
    environment::check_names(files.tree.at(root), &mut sink);
    let (settings, elsewhere) = all_settings(&mut files, (&reading, &others), purpose, &mut sink);
    let mut origins = reading.origins;
    let Some(settings) = settings else {
        let sink = merge_findings(sink, elsewhere, &origins);
        return Ok(without_settings(files, root, origins, (levels, sink)));
    };
    let levels = wanted(&settings, levels, &mut sink);
    let (documents, unreadable) = load(&mut files, &settings, &mut sink);
    variables.fill_documents(&mut files, &mut origins, &mut sink);
    variables.check(&files.tree, scope, &mut sink);
    let described = resolve::described(&mut files, documents, &Chosen::of(&levels));
    let Resolved {
        apis,
        is_complete,
        overlay_failed,
    } = resolve::resolved(&files, described, (&settings, environment), &mut sink);
    if mounted::check(&apis, &mut sink).is_err() {
        let sink = merge_findings(sink, elsewhere, &origins);
        return Ok(without_settings(files, root, origins, (&levels, sink)));
    }
    let gateway = Whole {
        files: &files,
        settings: &settings,
        apis: &apis,
        root: files.tree.at(reading.root),
        scope,
    };
    // If a document could not be read, names that it uses would wrongly count as unused.
    let all_read = is_complete && !unreadable;
    // After a failed overlay, parts on which the rest of the project relies are missing. Findings
    // about the whole gateway would be consequences of that one mistake.
    if !overlay_failed {
        gateway.check(all_read, purpose, &mut sink);
    }
    let sink = merge_findings(sink, elsewhere, &origins);
    let settling = ReportSettings {
        levels: &levels,
        alone: false,
    };
    let mut findings = lint::findings_to_report(sink, &files, settling);
    let skipped = match purpose.skips() {
        true => skip::skipped_and_misread(&files, &mut findings),
        false => Vec::new(),
    };
    let model = Model { settings, apis };
    let open_variable = variables.open().map(|(name, span)| (name.to_owned(), span));
    let clean = !findings.iter().any(|finding| purpose.stops(finding));
    let lowered = (clean && open_variable.is_none() && purpose.lowers())
        .then(|| lower::lower(&files, &model).expect("duplicate names are findings"));
    Ok(Compiled {
        files,
        findings,
        model: Some(model),
        lowered,
        open_variable,
        origins,
        unreadable,
        skipped,
    })
}

/// Reads the settings of gateway.yaml in the chosen environment, with the project's tests and
/// invariants. Also returns the findings about gateway.yaml in the other environments.
fn all_settings(
    files: &mut Files,
    (reading, others): (&ResolvedGateway, &[ResolvedGateway]),
    purpose: Purpose,
    sink: &mut Sink,
) -> (Option<settings::Settings>, Vec<Diagnostic>) {
    let mut read = Sink::default();
    let mut settings = settings(files, reading, &mut read);
    if let Some(settings) = &mut settings {
        read_checks(files, settings, (purpose, &mut read));
    }
    let elsewhere = in_others(files, others, settings.as_ref(), &read);
    read.into_sorted()
        .into_iter()
        .for_each(|finding| sink.push(finding));
    (settings, elsewhere)
}

/// Creates the result of a compilation whose gateway.yaml has no readable settings.
fn without_settings(
    files: Files,
    root: NodeId,
    origins: Origins,
    (levels, sink): (&Levels, Sink),
) -> Compiled {
    let alone = ReportSettings {
        levels,
        alone: true,
    };
    Compiled {
        findings: lint::findings_to_report(sink, &files, alone),
        unreadable: is_blank(&files, root),
        files,
        model: None,
        lowered: None,
        open_variable: None,
        origins,
        skipped: Vec::new(),
    }
}

/// Reads the settings of gateway.yaml in one environment, and the other files that gateway.yaml
/// names.
pub fn settings(
    files: &mut Files,
    reading: &ResolvedGateway,
    sink: &mut Sink,
) -> Option<settings::Settings> {
    let named = files.tree.at(reading.root).get("consumers_file");
    let named = named.and_then(|node| Some((node.scalar_text()?.to_owned(), node.span())));
    let consumers = named.and_then(|(path, span)| files.load(&path, span, sink));
    let root = files.tree.at(reading.root);
    let consumers = consumers.map(|(_, consumers)| files.tree.at(consumers));
    allow::check_inside(root, sink);
    invisible_character::check_keys(root, sink);
    for (_, names) in root.get("required").into_iter().flat_map(NodeRef::entries) {
        for name in names.items() {
            invisible_character::name(name.as_str().unwrap_or_default(), name.span(), sink);
        }
    }
    expressions::check(root, files, sink).ok()?;
    let mut settings = settings::read(root, consumers, sink)?;
    for verifier in &mut settings.auth {
        verifiers::add_keys(files, verifier, sink);
    }
    settings.environment = reading.environment.as_ref().map(|it| it.name.clone());
    if let Some(named) = settings.acknowledge.clone() {
        settings.acknowledgements = acknowledge::read_file(files, (&named.value, named.span), sink);
    }
    let search = globs::Search {
        taken: &settings.other_files,
        named: BTreeSet::new(),
        examples: "`tests/*.yaml`",
    };
    settings.tests.files = globs::files_of(files, &settings.tests.patterns, &search, sink);
    let tests = settings.tests.files.iter().map(|file| file.value.clone());
    settings.other_files.extend(tests);
    globs::expand(files, &mut settings, sink);
    Some(settings)
}

/// Returns the findings about gateway.yaml in the environments that are not being compiled, except
/// those in `known`. A finding is at the source location that set its value. Marks the names that
/// these environments use as used.
fn in_others(
    files: &mut Files,
    others: &[ResolvedGateway],
    compiled: Option<&settings::Settings>,
    known: &Sink,
) -> Vec<Diagnostic> {
    let is_known = |finding: &Diagnostic| {
        known.findings().iter().any(|known| {
            std::ptr::eq(known.lint, finding.lint)
                && known.span == finding.span
                && known.message == finding.message
        })
    };
    let mut found = Vec::new();
    for reading in others {
        let mut sink = Sink::default();
        let other = settings(files, reading, &mut sink);
        if let (Some(other), Some(compiled)) = (other, compiled) {
            compiled.names.absorb(&other.names);
        }
        for finding in sink.into_sorted() {
            if is_known(&finding) {
                continue;
            }
            let Some(mut finding) = reading.origins.relocate(finding) else {
                continue;
            };
            if let Some(environment) = &reading.environment {
                let text = format!("in the environment `{}`", environment.name);
                finding.related.push((environment.span, text));
            }
            found.push(finding);
        }
    }
    found
}

/// Joins two lists of findings. Moves each finding to the source location that set its value.
fn merge_findings(sink: Sink, elsewhere: Vec<Diagnostic>, origins: &Origins) -> Sink {
    let mut merged = Sink::default();
    let here = sink.into_sorted().into_iter();
    let here = here.filter_map(|finding| origins.relocate(finding));
    for finding in here.chain(elsewhere) {
        merged.push(finding);
    }
    merged
}

/// Creates the result of a compilation whose first file cannot be read.
fn unreadable(mut files: Files, name: &str, sink: Sink) -> Compiled {
    add_placeholder(&mut files, name);
    Compiled {
        files,
        findings: sink.into_sorted(),
        model: None,
        lowered: None,
        open_variable: None,
        origins: Origins::default(),
        unreadable: true,
        skipped: Vec::new(),
    }
}

/// Checks one OpenAPI document without a project. Findings about its use in a gateway are at most
/// warnings, except two identical paths, which OpenAPI forbids (§4.8.8).
fn document(mut files: Files, name: &str, levels: &Levels) -> Compiled {
    let mut sink = Sink::default();
    let nowhere = Span::start_of(diag::FileId(0));
    files.allow(name);
    files.widen();
    let Some((file, root)) = files.load(name, nowhere, &mut sink) else {
        return unreadable(files, name, sink);
    };
    let mut document = Document {
        file,
        root,
        overlays: Vec::new(),
    };
    let unreadable = is_blank(&files, root);
    files.follow(&document);
    lift(&mut files, &mut document, &mut sink);
    // Without a project, the values of variables are unknown.
    let mut origins = Origins::default();
    Variables::unknown().fill_documents(&mut files, &mut origins, &mut Sink::default());
    let chosen = Chosen::of(levels);
    let spec = openapi::check::document(&files, &document, &chosen, &mut sink);
    if let Some(spec) = spec {
        for finding in about_gateway(&files, &document, &spec) {
            let own = std::ptr::eq(finding.lint, &raw const lints::IDENTICAL_ROUTE);
            let most = if own { Level::Error } else { Level::Warn };
            let level = finding.level.min(most);
            sink.push(finding.level(level));
        }
    }
    let sink = merge_findings(sink, Vec::new(), &origins);
    let settling = ReportSettings {
        levels,
        alone: true,
    };
    let findings = lint::findings_to_report(sink, &files, settling);
    Compiled {
        files,
        findings,
        model: None,
        lowered: None,
        open_variable: None,
        origins: Origins::default(),
        unreadable,
        skipped: Vec::new(),
    }
}

/// Checks a document's extensions and routes with a minimal gateway.yaml, and returns the findings.
/// Undefined names are not reported, because only a project can define them.
fn about_gateway(files: &Files, document: &Document, spec: &Spec) -> Vec<Diagnostic> {
    const ALONE: &str = "version: 1\nname: document\napis: {document: {path: document}}\n\
        upstreams: {upstream: {targets: {a: {url: \"http://127.0.0.1:1\"}}}}\n\
        defaults: {upstream: upstream, security: upstream}\n";
    let mut alone = Files::in_memory([(GATEWAY_FILE, ALONE)], Limits::default());
    let nowhere = Span::start_of(document.file);
    let mut unsaid = Sink::default();
    let root = alone
        .load(GATEWAY_FILE, nowhere, &mut unsaid)
        .map(|(_, root)| root);
    let settings = root
        .and_then(|root| settings::read(alone.tree.at(root), None, &mut unsaid))
        .expect("the settings above are valid");
    let mut sink = Sink::default();
    let mut apis = Vec::new();
    // Give the API the name that `apis_glob` would give it.
    let stem = Path::new(files.sources.file(document.file).path()).file_stem();
    let written = spec.x_gateway.and_then(|id| files.tree.at(id).get("api"));
    let written = written.and_then(|name| Some(name.scalar_text()?.to_owned()));
    let stem = written.or_else(|| stem.map(|stem| stem.to_string_lossy().into_owned()));
    for mut entry in settings.apis.iter().cloned() {
        entry.span = nowhere;
        entry.name = stem
            .clone()
            .filter(|stem| is_name(stem))
            .unwrap_or(entry.name);
        let described = Described {
            public: None,
            document: document.clone(),
            spec: spec.clone(),
            verifiers: Own::without_keys(&files.tree, &entry.name, spec),
        };
        apis.push(api::resolve(files, &entry, described, &settings, &mut sink));
    }
    routes::check(files, &apis, &mut sink);
    let settled = |finding: &Diagnostic| !is_of_project(finding.lint);
    sink.into_sorted().into_iter().filter(settled).collect()
}

/// Merges the lint levels of gateway.yaml and of the command line. The command line takes
/// precedence. Reports unknown rules and checks in gateway.yaml, and levels that are too low for
/// rules whose errors prevent a build.
fn wanted(settings: &settings::Settings, levels: &Levels, sink: &mut Sink) -> Levels {
    let mut wanted: Vec<(String, Option<Level>)> = Vec::new();
    for (name, (level, span)) in &settings.lint {
        match rule(name) {
            None => sink.push(allow::no_rule(name, *span)),
            Some(lint) if is_hard(lint) && *level < Some(lint.level) => sink.push(
                Diagnostic::new(&allow::LINT, *span, least(lint))
                    .help("with a lower level, this project could not be built"),
            ),
            Some(lint) => wanted.push((lint.name.to_owned(), *level)),
        }
    }
    for (id, (_, span)) in &settings.break_levels {
        if checks::of(id).is_none() {
            sink.push(allow::no_check(id, *span));
        }
    }
    wanted.extend(levels.iter().cloned());
    wanted
}
