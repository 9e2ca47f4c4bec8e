//! Command `gwc plan`: compiles the project, compares it with the bundle at the channel's head, and
//! classifies the changes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use bundle::store::memory::Memory;
use serde_json::Value;

use super::approvals::check_base;
use super::channels;
use super::environments::{self, ComparedEnvironment};
use super::freeze;
use super::limits::LimitOptions;
use super::links::LinkOptions;
use super::logs::{self, Defaults};
use super::movement::check_floor;
use super::options::StoreOptions;
use super::progress;
use super::replace::output;
use super::review::{PlanFormat, ReviewOptions, report_idle};
use super::say::{self, Context};
use super::side::{self, note_uncommitted, side_of, side_of_head};
use super::steps::step_text;
use crate::release::evidence::BundleVerifier;
use crate::release::{self, Place};
use ::plan::environments::Pair;
use ::plan::report::{Compared, Origin, Report, Subject};
use ::plan::stages::Stages;
use ::plan::{self, Class, Plan, Review, Side, json};
use model::compile::Compiled;
use model::exit::{Exit, Failure};
use model::rules::Rules;
use sources::project::files::Files;

const EXAMPLES: &str = "Examples:
  gwc plan                             against the head of the \
project's channel
  gwc plan -o plan.json --exit-code    save it for `gwc apply plan.json`; 2 if \
there are changes
  gwc plan --against git:main          against the same project in a branch, tag \
or commit
  gwc plan --against 3f2a9c81          against another bundle of the store
  gwc plan \
--gate weaken --ack FINGERPRINT=\"the status page is public\"
                                     \
  stop at changes that weaken access, except the acknowledged one
  gwc plan --format markdown > \
comment.md    for the pull request";

/// Arguments of `gwc plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    at: StoreOptions,
    /// Compare with this instead of the channel's head: git:REV (git:REV:PATH for another folder or
    /// document), a project's folder, an OpenAPI document, a bundle's id, or a one-file bundle
    #[arg(long, value_name = "ID|git:REV|FILE|DIR")]
    against: Option<String>,
    /// Save the plan for `gwc apply`
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with code 2 if there are changes
    #[arg(long)]
    exit_code: bool,
    /// Output format
    #[arg(long, default_value = "human")]
    format: PlanFormat,
    /// Show every change on a line of its own, also of long groups
    #[arg(long)]
    all: bool,
    /// Access log to replay: the plan counts its requests by what the change does to them (see `gwc
    /// replay`); may be given several times
    #[arg(long, value_name = "LOG")]
    replay: Vec<PathBuf>,
    #[command(flatten)]
    links: LinkOptions,
    #[command(flatten)]
    review: ReviewOptions,
    /// Print the duration of each stage on standard error
    #[arg(long)]
    timings: bool,
    /// Set a rule's level: off, info, warn or error; may be given several times
    #[arg(long, value_name = "NAME=LEVEL")]
    rule: Vec<String>,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

impl super::Arguments for Args {
    fn limits(&self) -> Option<&LimitOptions> {
        Some(&self.limits)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut stages = Stages::default();
    let context = &with_base(args, context.with_levels(&args.rule)?);
    let old = Old::of(args, context)?;
    let sides = match readings(old, context)? {
        None => one(old, args, context)?,
        Some(readings) => each(old, args, &readings, context)?,
    };
    let Sides {
        pairs,
        places,
        mut subject,
        notes,
    } = sides;
    subject.links = args.links.links(&subject, context.root().ok().as_deref());
    stages.end("both sides");
    progress::stage("comparing");
    let mut plan = environments::plan(&pairs)?;
    let notes: BTreeSet<String> = notes.into_iter().collect();
    plan.notes.extend(notes);
    if args.against.is_none() {
        note_rules(&mut plan);
        plan.notes.extend(channels::unused(&args.at, context));
    }
    plan.logs = replays(args, &pairs, &mut plan)?;
    // The gates of the old version also apply, so that a change cannot pass by disabling a gate.
    let rules: Vec<&Rules> = pairs
        .iter()
        .filter_map(|pair| rules_of(pair.old.as_ref()))
        .collect();
    let gates: BTreeSet<&String> = rules.iter().flat_map(|rules| &rules.gates).collect();
    for gate in gates {
        if !places.iter().any(|place| place.gates.contains(gate)) {
            plan.notes.push(format!(
                "gate `{gate}` is no longer in gateway.yaml; it still applies to this plan"
            ));
        }
    }
    let places: Vec<&Place> = places.iter().collect();
    let review = args.review.review(&plan, &places, &rules);
    report_idle(&review, &subject.folder);
    let report = Report {
        plan: &plan,
        subject: &subject,
        review: &review,
    };
    stages.within(&plan.stages);
    args.format.write(&report, args.all);
    if let Some(file) = &args.output {
        write(file, &json::document(&report))?;
    }
    stages.end("writing");
    if args.timings {
        say::note(&format!("timings: {}", stages.line()));
    }
    confirm(&plan, &review)?;
    let blocked = !review.tripped(&plan).is_empty();
    let changes = !plan.no_op || plan.count(Class::Rules) > 0;
    Ok(match (blocked, args.exit_code && changes) {
        (true, _) => Exit::FINDINGS,
        (false, true) => Exit::CHANGES,
        (false, false) => Exit::OK,
    })
}

/// Replays the logs of `--replay` in each environment that both versions have. Returns one sentence
/// for each environment.
fn replays(args: &Args, pairs: &[Pair], plan: &mut Plan) -> anyhow::Result<Vec<String>> {
    let mut sentences = Vec::new();
    if args.replay.is_empty() {
        return Ok(sentences);
    }
    for pair in pairs.iter().filter(|pair| !pair.is_beside) {
        let (Some(old), Some(new)) = (&pair.old, &pair.new) else {
            continue;
        };
        let defaults = Defaults::default();
        let replay = defaults.begin((old, new), plan);
        let replay = replay.map_err(|error| unbuilt(&error))?;
        let replayed = defaults.count(&args.replay, replay)?;
        replayed.add_callers(plan);
        let environment = match pair.environment.as_str() {
            "" => String::new(),
            name => format!(" in {}", diag::text::printable(name)),
        };
        sentences.push(format!("logs{environment}: {}", logs::sentence(&replayed)));
    }
    Ok(sentences)
}

/// Returns the context with the ignore rules of the `--against` revision, unless `--base` is set.
/// Commands then read no file that this revision ignores and does not contain.
fn with_base(args: &Args, mut context: Context) -> Context {
    let revision = args
        .against
        .as_ref()
        .and_then(|text| text.strip_prefix("git:"));
    if let (None, Some(text)) = (&context.base, revision) {
        // If the revision is unreadable, the error is reported later, when the old version is read.
        context.base = side::base_of(text, &context).ok();
    }
    context
}

/// Old version of a plan.
#[derive(Clone, Copy)]
enum Old<'a> {
    /// Head of the channel.
    Channel,
    /// Version of `--against`.
    Version(&'a str),
    /// `--against` names a revision without a project. Everything is new, as in a first release.
    Nothing(&'a str),
}

impl<'a> Old<'a> {
    fn of(args: &'a Args, context: &Context) -> anyhow::Result<Self> {
        let Some(text) = args.against.as_deref() else {
            return Ok(Self::Channel);
        };
        Ok(match side::is_before_project(text, context)? {
            true => Self::Nothing(text),
            false => Self::Version(text),
        })
    }

    /// Notes about the old version.
    fn notes(self) -> Vec<String> {
        match self {
            Self::Nothing(text) => vec![format!(
                "{} has no project: the plan compares with nothing, so that everything is new",
                diag::text::printable(text)
            )],
            Self::Channel | Self::Version(_) => Vec::new(),
        }
    }
}

/// Old and new versions to compare, in pairs by environment.
struct Sides {
    pairs: Vec<Pair>,
    /// Release settings of the new versions.
    places: Vec<Place>,
    subject: Subject,
    notes: Vec<String>,
}

impl Sides {
    /// No versions, with these notes.
    fn empty(notes: Vec<String>) -> Self {
        Self {
            pairs: Vec::new(),
            places: Vec::new(),
            subject: Subject::default(),
            notes,
        }
    }
}

/// Environments to compare: without `--env`, the environments of both versions. `None` if a single
/// comparison is sufficient, such as with a bundle or document, which have no environments.
fn readings(
    version: Old<'_>,
    context: &Context,
) -> anyhow::Result<Option<Vec<ComparedEnvironment>>> {
    if context.environment.is_some() {
        return Ok(None);
    }
    let Ok(mut files) = Files::open(&context.root()?, context.limits) else {
        return Ok(None);
    };
    if let Some(base) = &context.base {
        files.set_base(base);
    }
    let new = side::declared(&mut files);
    let old = match version {
        Old::Version(text) => side::environments(text, context)?,
        Old::Nothing(_) => Some(Vec::new()),
        // Without `--against`, each environment is compared with the head of its channel.
        Old::Channel => Some(new.clone()),
    };
    Ok(old.and_then(|old| ComparedEnvironment::every(&old, &new)))
}

/// Reads both versions in the environment of `--env`, or without an environment.
fn one(version: Old<'_>, args: &Args, context: &Context) -> anyhow::Result<Sides> {
    let compiled = context.compile()?;
    let place = place(&compiled, context, &args.at)?;
    let others = other_environments(&compiled, &place);
    let new = side_of(compiled)?;
    check_unconverted(args, &place, &new)?;
    let subject = subject(&place, &new);
    if let Old::Version(text) = version
        && let Some(known) = lacks_environment(text, context)?
    {
        return of_new_environment(text, &known, (new, place, subject), args, context);
    }
    let mut pairs = Vec::new();
    let (old, subject, mut notes) = match version {
        Old::Nothing(_) => (None, subject, version.notes()),
        Old::Version(text) => {
            let read = side::against(text, Some(&new), &args.at, context)?;
            let sides = (&read.side, &new);
            pairs = environments::replaced_at_channel(text, sides, &args.at, context)?;
            let subject = Subject {
                old: read.origin,
                ..subject
            };
            (Some(read.side), subject, read.notes)
        }
        Old::Channel => {
            let (old, subject) = base(&place, args.at.trust.as_deref(), subject)?;
            (old, subject, Vec::new())
        }
    };
    if !others.is_empty() {
        notes.push(format!(
            "not compared: the environments {}; give `--env` for each of them",
            others.join(", ")
        ));
    }
    pairs.insert(
        0,
        Pair {
            environment: place.environment.clone().unwrap_or_default(),
            old,
            new: Some(new),
            is_beside: false,
        },
    );
    Ok(Sides {
        pairs,
        places: vec![place],
        subject,
        notes,
    })
}

/// Environments of the old version, if the old version is a project that lacks the environment of
/// `--env`. Otherwise `None`.
fn lacks_environment(text: &str, context: &Context) -> anyhow::Result<Option<Vec<String>>> {
    let Some(wanted) = &context.environment else {
        return Ok(None);
    };
    let known = side::environments(text, context)?;
    Ok(known.filter(|known| !known.contains(wanted)))
}

/// Reads the versions to compare for a new environment: the new version in this environment, and
/// the old version in each environment of the old version.
fn of_new_environment(
    text: &str,
    known: &[String],
    (new, place, mut subject): (Side, Place, Subject),
    args: &Args,
    context: &Context,
) -> anyhow::Result<Sides> {
    let mut files = Files::open(&context.root()?, context.limits)?;
    if let Some(base) = &context.base {
        files.set_base(base);
    }
    let kept = side::declared(&mut files);
    let wanted = place.environment.clone().unwrap_or_default();
    let mut notes = Vec::new();
    let mut pairs = Vec::new();
    for reading in ComparedEnvironment::of_new(&wanted, known, &kept).unwrap_or_default() {
        if !reading.old {
            continue;
        }
        let context = &reading.context(context);
        let read = reading.side(side::against(text, Some(&new), &args.at, context))?;
        let Some(read) = read else { continue };
        notes.extend(read.notes);
        subject.old = read.origin;
        pairs.push(Pair {
            is_beside: reading.is_beside,
            environment: reading.name,
            old: Some(read.side),
            new: None,
        });
    }
    pairs.push(Pair {
        environment: wanted,
        old: None,
        new: Some(new),
        is_beside: false,
    });
    Ok(Sides {
        pairs,
        places: vec![place],
        subject,
        notes,
    })
}

/// Reads both versions in every environment.
fn each(
    version: Old<'_>,
    args: &Args,
    readings: &[ComparedEnvironment],
    context: &Context,
) -> anyhow::Result<Sides> {
    let mut sides = Sides::empty(version.notes());
    let mut compared = Vec::new();
    for reading in readings {
        let context = &reading.context(context);
        let compiled = match reading.new {
            true => reading.side(context.compile())?,
            false => None,
        };
        let mut its = reading.compared(None, None);
        let mut new = None;
        if let Some(compiled) = compiled {
            let place = place(&compiled, context, &args.at)?;
            let side = side_of(compiled)?;
            check_unconverted(args, &place, &side)?;
            if sides.places.is_empty() {
                sides.subject = Subject {
                    environment: None,
                    ..subject(&place, &side)
                };
            }
            its.new = Some(side.bundle);
            new = Some(side);
            sides.places.push(place);
        }
        let old = match (version, &new) {
            (Old::Nothing(_), _) | (Old::Channel, None) => None,
            (Old::Version(_), _) if !reading.old => None,
            (Old::Version(text), new) => {
                let read = side::against(text, new.as_ref(), &args.at, context);
                reading.side(read)?.map(|read| {
                    sides.subject.old = read.origin;
                    sides.notes.extend(read.notes);
                    read.side
                })
            }
            (Old::Channel, Some(_)) => {
                let place = sides
                    .places
                    .last()
                    .context("the settings of this side were just read")?;
                let (old, base_origin) = base(place, args.at.trust.as_deref(), Subject::default())?;
                its.channel = base_origin.channel;
                its.serial = base_origin.serial;
                its.record = base_origin.record;
                old
            }
        };
        its.old = old.as_ref().map(|side| side.bundle);
        compared.push(its);
        sides.pairs.push(Pair {
            environment: reading.name.clone(),
            old,
            new,
            is_beside: false,
        });
    }
    if args.against.is_none() && is_idle(&compared) {
        compared.remove(0);
        sides.pairs.remove(0);
    }
    let is_first = compared.iter().all(|one| one.old.is_none());
    compared
        .retain(|one| one.name.is_some() || one.new.is_some() && (one.old.is_some() || is_first));
    let bare = compared.first().filter(|one| one.name.is_none());
    if let Some(bare) = bare {
        sides.subject.channel.clone_from(&bare.channel);
        sides.subject.serial = bare.serial;
        sides.subject.record.clone_from(&bare.record);
    }
    sides.subject.environments = compared;
    Ok(sides)
}

/// True if the project without an environment is never released. In this case, an environment has
/// the same channel, or the project's channel has no record while an environment's channel has one.
fn is_idle(compared: &[Compared]) -> bool {
    let Some((bare, named)) = compared.split_first() else {
        return false;
    };
    let is_shared = named.iter().any(|one| one.channel == bare.channel);
    bare.name.is_none()
        && (is_shared || bare.old.is_none() && named.iter().any(|one| one.old.is_some()))
}

/// Refuses a new version whose sources Git converts, if the plan compares it with a revision.
fn check_unconverted(args: &Args, place: &Place, new: &Side) -> anyhow::Result<()> {
    let against = args.against.as_deref().unwrap_or_default();
    match &new.source {
        Some(map) if against.starts_with("git:") => {
            side::check_unconverted(&place.root, map.files.clone(), false)
        }
        Some(_) | None => Ok(()),
    }
}

/// Returns the description of the new version for a plan, including the uncommitted files.
fn subject(place: &Place, new: &Side) -> Subject {
    let uncommitted = match &new.source {
        Some(map) => note_uncommitted(&place.root, map),
        None => Vec::new(),
    };
    Subject {
        environment: place.environment.clone(),
        new: Origin {
            uncommitted,
            ..Origin::default()
        },
        folder: say::seen_folder(&place.root),
        ..Subject::default()
    }
}

/// Names of the environments that a plan does not compare because its old version is a bundle or a
/// document.
fn other_environments(compiled: &Compiled, place: &Place) -> Vec<String> {
    let root = compiled.files.root(diag::FileId(0));
    let root = root.filter(|_| place.environment.is_none());
    let all = root.map(|root| model::environment::environments(compiled.files.tree.at(root)));
    let all = all.into_iter().flatten();
    all.map(|environment| format!("`{}`", environment.name.escape_debug()))
        .collect()
}

/// Returns the release settings of a compiled project.
fn place(compiled: &Compiled, context: &Context, at: &StoreOptions) -> anyhow::Result<Place> {
    let model = compiled
        .model
        .as_ref()
        .context("the project has no errors, but its settings are missing")?;
    Place::of(
        &context.root()?,
        &model.settings,
        at.store.as_deref(),
        at.channel.as_deref(),
    )
}

/// Reads the bundle of the channel's newest record as the old version. `None` if the channel has no
/// record. Adds the position of this record to the subject.
fn base(
    place: &Place,
    trust: Option<&std::path::Path>,
    subject: Subject,
) -> anyhow::Result<(Option<Side>, Subject)> {
    let trust = release::trust(&place.root, trust)?;
    let subject = Subject {
        channel: Some(place.channel.to_string()),
        ..subject
    };
    let Some(store) = place.open_if_there()? else {
        check_floor(place, &Memory::default(), trust.as_ref(), 0)?;
        say::note_once(&format!(
            "note: no store at `{}`: the plan compares with nothing\nhelp: if releases exist, name their store with --store or `release.store` of gateway.yaml",
            say::store(&place.store)
        ));
        return Ok((None, subject));
    };
    let verifier = trust.as_ref().map(|trust| BundleVerifier {
        store: &store,
        trust,
        channel: &place.channel,
    });
    // If the revocation list cannot be verified, no keys count as revoked here. `gwc apply` reports
    // the error.
    let left = verifier.and_then(|verifier| verifier.without_revoked_keys().ok());
    let trust = left.or(trust);
    let head = release::head(&store, trust.as_ref(), &place.channel)?;
    check_base(place, &store, trust.as_ref(), head.as_ref())?;
    let Some(head) = head else {
        if let Some(doubt) = place.doubt(&store) {
            say::note_once(&doubt);
        }
        return Ok((None, subject));
    };
    freeze::note(place);
    if let Some(rollout) = &head.record.rollout {
        say::note_once(&format!(
            "note: channel {} is in a progressive release, {}; the plan compares with its bundle, \
             {}. `gwc apply` releases another bundle only after `gwc promote --to-all` or `gwc \
             abort`",
            place.channel,
            step_text(rollout),
            head.bundle.short()
        ));
    }
    let side = side_of_head(&store, trust.as_ref(), &place.channel, &head)?;
    let subject = Subject {
        serial: Some(head.pointer.serial),
        record: Some(head.pointer.digest.to_string()),
        ..subject
    };
    Ok((Some(side), subject))
}

/// Returns the release rules of a version. `None` if they are unknown.
pub(super) fn rules_of(side: Option<&Side>) -> Option<&Rules> {
    side?.source.as_ref()?.rules.as_ref()
}

/// Adds a note if a release would only record changed rules, because the bundle is the same.
pub(super) fn note_rules(plan: &mut Plan) {
    if plan.old == Some(plan.new) && plan.count(Class::Rules) > 0 {
        plan.notes.push(
            "the bundle is the same; `gwc apply` records the changed rules, which apply to the \
next change"
                .to_owned(),
        );
    }
}

/// Compares two versions.
pub(super) fn compare(old: Option<&Side>, new: &Side) -> anyhow::Result<Plan> {
    let plan = plan::compare_on(old, new, Some(&release::today()));
    checked_plan(plan.map_err(|error| unbuilt(&error))?)
}

/// Creates the error for a version from which no engine can be built.
pub(super) fn unbuilt(error: &engine::BuildError) -> Failure {
    Failure::new(
        Exit::BUG,
        "bug",
        format!("sources that compile cannot be built, which is a bug in gwc: {error}"),
    )
}

/// Returns an error if a witness does not show its change, unless the line about it is
/// acknowledged. Call this after writing the plan, so that the other changes are visible.
pub(super) fn confirm(plan: &Plan, review: &Review) -> Result<(), Failure> {
    match review.unconfirmed(plan).first() {
        None => Ok(()),
        Some(bug) => Err(unconfirmed(bug)),
    }
}

/// Creates the error for a plan with a witness that does not show its change.
pub(super) fn unconfirmed(bug: &str) -> Failure {
    Failure::new(
        Exit::BUG,
        "bug",
        format!(
            "a line of the plan may be wrong or missing, which is a bug in gwc; report it; to go on, \
acknowledge the line `self-check-failed`: {bug}"
        ),
    )
}

/// Sets the classes of `sunset` changes as of today (see `Plan::ended_by`). Also moves the messages
/// about comparisons that were too large to the notes.
///
/// # Errors
/// Returns an error if the plan has no old version and its paths exceed the limit of the
/// comparison.
pub(super) fn checked_plan(mut plan: Plan) -> anyhow::Result<Plan> {
    match (plan.old, plan.too_large.first()) {
        (None, Some(problem)) => {
            return Err(Failure::new(Exit::INPUT, "too-large", problem.clone()).into());
        }
        // The plan has a line `paths-not-compared` for each of these problems.
        _ => plan.notes.append(&mut plan.too_large),
    }
    plan.ended_by(&release::today());
    Ok(plan)
}

fn write(file: &std::path::Path, document: &Value) -> anyhow::Result<()> {
    let text = diag::json::pretty(document) + "\n";
    output(file, text.as_bytes())
        .map_err(|error| Failure::new(Exit::INPUT, "output", format!("{error:#}")).into())
}
