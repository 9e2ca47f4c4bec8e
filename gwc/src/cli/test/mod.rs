//! Command `gwc test`: runs requests through the engine of gwd, or sends them to a running gateway
//! (`--against`), and compares the results with the expected ones.

mod against;
mod concealed;
mod human;
mod json;
mod junit;
mod tap;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use self::against::AgainstOptions;
use super::limits::LimitOptions;
use super::progress;
use super::range_files::RangeOptions;
use super::saves;
use super::say::{self, Context};
use super::side;
use crate::release;
use ::plan::expect::coverage::Coverage;
use ::plan::expect::{Outcome, Runner};
use diag::count::counted;
use diag::{Level, Sink, Span};
use model::compile::Compiled;
use model::examples;
use model::exit::{Exit, Failure};
use model::place::Place;
use model::test_file::{self, TestCase};
use model::wildcard::star;

const EXAMPLES: &str = "Examples:
  gwc test                              all tests of the project
  gwc test tests/orders.yaml            the tests of one file
  gwc test --name 'anonymous*'          tests by name
  gwc test --from-examples              also the examples of the documents
  gwc test --coverage --min 80          fail if the tests reach less than 80 % of the operations
  gwc test --watch                      again after each save
  gwc test --format junit > tests.xml   for CI
  gwc test --against http://127.0.0.1:8080 --credential key=env:SHOP_KEY
                                        what a running gateway does";

/// Arguments of `gwc test`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Test files of the project [default: those that `tests` of gateway.yaml names]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Also run a request for each operation, made of the examples of its parameters and body; the
    /// test fails if another operation receives the request, or if `validate` refuses the body
    #[arg(long)]
    from_examples: bool,
    /// Run only the tests with this name; `*` stands for any text
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// List what no test reached: operations, templates, alternatives of security, policies
    #[arg(long)]
    coverage: bool,
    /// Fail if the tests reach less than this share of the operations, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min: Option<u8>,
    /// Run the tests again after each save
    #[arg(long)]
    watch: bool,
    /// Output format
    #[arg(long, default_value = "human")]
    format: Format,
    #[command(flatten)]
    against: AgainstOptions,
    #[command(flatten)]
    ranges: RangeOptions,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

/// Output formats of test results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON document (`gwc schema test`)
    Json,
    /// JUnit XML
    Junit,
    /// Test Anything Protocol, version 14
    Tap,
}

impl super::Arguments for Args {
    fn limits(&self) -> Option<&LimitOptions> {
        Some(&self.limits)
    }
}

/// Results of one run of the tests.
struct Results<'a> {
    /// Tests, each with the results of its requests.
    tests: Vec<TestResult<'a>>,
    /// Operations and policies that the tests reached. `None` with `--against`, because gwc does
    /// not see the decisions of a running gateway.
    coverage: Option<Coverage>,
    /// Prefix of paths in messages.
    folder: String,
}

/// Test with the results of its requests.
struct TestResult<'a> {
    case: Cow<'a, TestCase>,
    place: Place,
    outcomes: Vec<Outcome>,
    /// Source locations of the failures, in the order of `outcomes`.
    failures: Vec<Place>,
    /// Reason why the test was not sent to the running gateway. `None`: it ran.
    skipped: Option<String>,
}

impl TestResult<'_> {
    fn passed(&self) -> bool {
        self.failures.is_empty() && self.skipped.is_none()
    }

    fn failed(&self) -> bool {
        !self.failures.is_empty()
    }
}

impl Results<'_> {
    fn failed(&self) -> usize {
        self.tests.iter().filter(|test| test.failed()).count()
    }

    fn skipped(&self) -> usize {
        let skipped = self.tests.iter().filter(|test| test.skipped.is_some());
        skipped.count()
    }

    fn passed(&self) -> usize {
        self.tests.len() - self.failed() - self.skipped()
    }

    /// True if no test was sent to the running gateway (`--against`).
    fn none_sent(&self) -> bool {
        self.coverage.is_none() && self.skipped() == self.tests.len()
    }

    /// Number of expectations that were not compared.
    fn unseen(&self) -> usize {
        let outcomes = self.tests.iter().flat_map(|test| &test.outcomes);
        outcomes.map(|outcome| outcome.unseen).sum()
    }

    /// Line with the number of expectations that were not compared, if there are any.
    fn not_compared(&self) -> Option<String> {
        let count = Some(self.unseen()).filter(|count| *count > 0)?;
        let about = match self.coverage {
            Some(_) => "fields that are not known before the response",
            None => "what a client does not see",
        };
        let count = counted(count, "expectation");
        Some(format!("not compared: {count} about {about}"))
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let root = context.root()?;
    if args.watch {
        progress::end();
        return saves::repeat(&root);
    }
    let mut compiled = context.compile_to_ask()?;
    let all = all_cases(args, &root, &mut compiled)?;
    let selected: Vec<&TestCase> = all
        .iter()
        .filter(|case| {
            let name = args.name.as_ref();
            name.is_none_or(|name| star(name, &case.name.value))
        })
        .collect();
    if selected.is_empty() && !all.is_empty() {
        return Err(Failure::usage("no test has this name").into());
    }
    let results = results(args, &selected, &mut compiled, say::seen_folder(&root))?;
    note_refused(&results);
    let reached = match &results.coverage {
        Some(coverage) => coverage.operations.percent(),
        None => 100,
    };
    let short = args.min.filter(|min| reached < usize::from(*min));
    let ok = results.failed() == 0 && short.is_none() && !results.none_sent();
    match args.format {
        Format::Human => say::result(&human::render(&results, args.coverage)),
        Format::Json => {
            let result = if ok { "ok" } else { "blocked" };
            say::json(&say::document("test/v1", result, json::document(&results)));
        }
        Format::Junit => say::result(&junit::render(&results)),
        Format::Tap => say::result(&tap::render(&results)),
    }
    if let (Format::Junit | Format::Tap, Some(line)) = (args.format, results.not_compared()) {
        say::note(&format!("note: {line}"));
    }
    if results.none_sent() {
        say::note("error: no test was sent to the gateway");
    }
    if let Some(min) = short {
        say::note(&format!(
            "error: the tests reach {reached} % of the operations, less than --min {min}; --coverage lists the others"
        ));
    }
    Ok(if ok { Exit::OK } else { Exit::FINDINGS })
}

/// Reasons of refusals that depend on the request target alone, so that they apply to every caller.
const OF_TARGETS: [&str; 4] = [
    "path_ambiguous",
    "path_invalid",
    "target_invalid",
    "target_too_long",
];

/// Maximum number of examples that a note lists.
const NOTED_MAX: usize = 8;

/// Lists examples whose path the gateway refuses for every caller.
fn note_refused(results: &Results<'_>) {
    let made = results.tests.iter().filter(|test| test.case.is_example);
    let refused = made.flat_map(|test| {
        test.outcomes.iter().filter_map(move |outcome| {
            let reason = outcome.answer.as_ref()?.reason?;
            let is_refused = OF_TARGETS.contains(&reason);
            let name = test.case.name.value.escape_debug();
            let request = outcome.request.escape_debug();
            is_refused.then(|| format!("`{name}`: `{request}` gets `{reason}`"))
        })
    });
    let refused: Vec<String> = refused.collect();
    let always = "refused for every caller";
    note_each(&format!("is {always}"), &format!("are {always}"), &refused);
}

/// Prints a note with the number of examples and one line for each.
fn note_each(is: &str, are: &str, examples: &[String]) {
    let verb = match examples.len() {
        0 => return,
        1 => is,
        _ => are,
    };
    let mut text = format!("note: {} {verb}:", counted(examples.len(), "example"));
    for example in examples.iter().take(NOTED_MAX) {
        text.push_str(&format!("\n  {example}"));
    }
    let more = examples.len().saturating_sub(NOTED_MAX);
    if more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    say::note(&text);
}

/// Returns the tests of the test files, and the tests generated from examples (`--from-examples`).
fn all_cases(args: &Args, root: &Path, compiled: &mut Compiled) -> anyhow::Result<Vec<TestCase>> {
    let mut all = cases(args, root, compiled)?;
    let model = compiled.model.as_ref();
    if args.from_examples {
        let made = model
            .map(|model| examples::cases(model, &compiled.files))
            .unwrap_or_default();
        all.extend(made.cases);
        if made.untested > 0 {
            say::note(&format!(
                "note: {} without a test from examples: a parameter of the path has no example",
                counted(made.untested, "operation")
            ));
        }
        note_each("is not sent", "are not sent", &made.unsent);
    }
    let has_patterns = model.is_some_and(|model| !model.settings.tests.patterns.is_empty());
    let has_files = model.is_some_and(|model| !model.settings.tests.files.is_empty());
    if has_patterns && !has_files && args.files.is_empty() && !args.from_examples {
        let message = "no file matches `tests` of gateway.yaml; `gwc lint` shows the patterns";
        return Err(Failure::new(Exit::FINDINGS, "no-tests", message).into());
    }
    if all.is_empty() {
        say::note(
            "note: there are no tests; write files with requests, and name them under `tests` in gateway.yaml",
        );
    }
    Ok(all)
}

/// Runs the tests in the engine. With `--against`, sends them to a running gateway.
fn results<'a>(
    args: &Args,
    selected: &[&'a TestCase],
    compiled: &mut Compiled,
    folder: String,
) -> anyhow::Result<Results<'a>> {
    let side = side::side_from(compiled)?;
    let gateway = &side.lowered.gateway;
    let bug = |error| {
        let message =
            format!("sources that compile cannot be built, which is a bug in gwc: {error}");
        Failure::new(Exit::BUG, "bug", message)
    };
    let mut runner =
        Runner::new(&side, release::now().unix_s(), args.ranges.read(gateway)?).map_err(bug)?;
    let against = args.against.read()?;
    if let Some(against) = &against {
        against.check_schemes(&runner)?;
    }
    let mut results = Results {
        tests: Vec::new(),
        coverage: against.is_none().then(|| Coverage::of(gateway)),
        folder,
    };
    // Hide the text of untracked test files, unless the command line names the files.
    let hidden = match args.files.is_empty() {
        true => compiled.files.concealed(),
        false => Vec::new(),
    };
    for case in selected {
        let local = runner.run(case).map_err(bug)?;
        let (outcomes, skipped) = match &against {
            None => (local, None),
            Some(against) => {
                let sent = against.run(&runner, case, &local)?;
                (sent.outcomes, sent.skipped)
            }
        };
        if let Some(coverage) = &mut results.coverage {
            let answers = outcomes.iter().filter_map(|one| one.answer.as_ref());
            answers.for_each(|answer| coverage.add(answer, gateway));
        }
        let at = |span: Span| Place::of(&compiled.files.sources, span);
        let failures = outcomes.iter().flat_map(|outcome| &outcome.failures);
        let result = TestResult {
            case: Cow::Borrowed(case),
            place: at(case.name.span),
            failures: failures.map(|failure| at(failure.span)).collect(),
            outcomes,
            skipped,
        };
        results
            .tests
            .push(match hidden.contains(&case.name.span.file) {
                true => concealed::without_text(result),
                false => result,
            });
    }
    Ok(results)
}

/// Returns the tests of the files on the command line, otherwise the tests of the project.
fn cases(args: &Args, root: &Path, compiled: &mut Compiled) -> anyhow::Result<Vec<TestCase>> {
    if args.files.is_empty() {
        let model = compiled.model.as_ref();
        return Ok(model
            .map(|model| model.settings.tests.cases.clone())
            .unwrap_or_default());
    }
    let mut all = Vec::new();
    let mut sink = Sink::default();
    for file in &args.files {
        let path = inside(file, root)?;
        let nowhere = Span::start_of(diag::FileId(0));
        all.extend(test_file::read_file(
            &mut compiled.files,
            (&path, nowhere),
            &mut sink,
        ));
    }
    let found = sink.into_sorted();
    say::unreadable(&compiled.files, &found, root)?;
    debug_assert!(found.iter().all(|finding| finding.level != Level::Error));
    Ok(all)
}

/// Path of a file relative to the project.
fn inside(file: &Path, root: &Path) -> anyhow::Result<String> {
    let shown = say::path(file);
    let missing = |error: std::io::Error| {
        Failure::new(
            Exit::INPUT,
            "no-such-file",
            format!("cannot read {shown}: {error}"),
        )
    };
    let real = file.canonicalize().map_err(missing)?;
    let root = root.canonicalize().map_err(missing)?;
    let relative = real.strip_prefix(&root).map_err(|_| {
        Failure::usage(format!(
            "{shown} is outside the project's folder, which contains all its tests"
        ))
    })?;
    Ok(relative.to_string_lossy().into_owned())
}

/// Failures of a test, one line each: `LINE: REQUEST: PROPERTY: expected X, actual Y`.
fn lines(test: &TestResult<'_>) -> Vec<String> {
    let failures = test.outcomes.iter().flat_map(|outcome| {
        let request = &outcome.request;
        outcome
            .failures
            .iter()
            .map(move |failure| (request, failure))
    });
    let lines = failures
        .zip(&test.failures)
        .map(|((request, failure), place)| {
            let explanation = match failure.what.is_empty() {
                true => failure.actual.clone(),
                false => format!(
                    "{}: expected {}, actual {}",
                    failure.what, failure.expected, failure.actual
                ),
            };
            format!("line {}: {request}: {explanation}", place.line)
        });
    lines.collect()
}
