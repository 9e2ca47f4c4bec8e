//! `gwc plan`: build, compare with what the channel runs, classify.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use super::limits::LimitOptions;
use super::options::StoreOptions;
use super::replace::output;
use super::review::{PlanFormat, ReviewOptions, report_idle};
use super::say::{self, Context};
use super::side::{self, note_uncommitted, side_in, side_of};
use crate::compile::Compiled;
use crate::environment;
use crate::exit::{Exit, Failure};
use crate::plan::report::{Origin, Report, Subject};
use crate::plan::rules::Rules;
use crate::plan::{self, Class, Plan, Side, json};
use crate::release::evidence::Judge;
use crate::release::{self, Place};
use crate::stages::Stages;

const EXAMPLES: &str = "\
Examples:
  gwc plan                             against the head of the project's channel
  gwc plan -o plan.json --exit-code    save it for `gwc apply plan.json`; 2 if there are changes
  gwc plan --against git:main          against the same project in a branch, tag or commit
  gwc plan --against 3f2a9c81          against another bundle of the store
  gwc plan --gate weaken --ack FINGERPRINT=\"the status page is public\"
                                       stop at doors that open, but for the one acknowledged
  gwc plan --format markdown > comment.md    for the pull request";

/// What the command line says.
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
    /// End with 2 if there are changes
    #[arg(long)]
    exit_code: bool,
    /// How it is written
    #[arg(long, default_value = "human")]
    format: PlanFormat,
    /// Show long groups in full
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    review: ReviewOptions,
    /// Say on standard error how long each stage took
    #[arg(long)]
    timings: bool,
    /// Set a rule's level: off, info, warn or error; may be given several times
    #[arg(long, value_name = "NAME=LEVEL")]
    rule: Vec<String>,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut stages = Stages::default();
    let context = &context.with_levels(&args.rule)?;
    let compiled = context.compile()?;
    let place = place(&compiled, context, &args.at)?;
    let others = other_environments(&compiled, &place);
    let new = side_of(compiled)?;
    stages.end("compile");
    let uncommitted = match &new.source {
        Some(map) => note_uncommitted(&place.root, map),
        None => Vec::new(),
    };
    let subject = Subject {
        environment: place.environment.clone(),
        new: Origin {
            uncommitted,
            ..Origin::default()
        },
        folder: say::seen_folder(&place.root),
        ..Subject::default()
    };
    let (old, subject, notes) = match &args.against {
        Some(text) => {
            let read = side::against(text, &new, &args.at, context)?;
            let subject = Subject {
                old: read.origin,
                ..subject
            };
            (Some(read.side), subject, read.notes)
        }
        None => {
            let (old, subject) = base(&place, args.at.trust.as_deref(), subject)?;
            (old, subject, Vec::new())
        }
    };
    stages.end("old side");
    let mut plan = compare(old.as_ref(), &new)?;
    plan.notes.extend(notes);
    if !others.is_empty() {
        plan.notes.push(format!(
            "not compared: the environments {}; give `--env` for each of them",
            others.join(", ")
        ));
    }
    // Who takes a gate away does not go through it unseen.
    let rules = rules_of(old.as_ref());
    for gate in rules.iter().flat_map(|rules| &rules.gates) {
        if !place.gates.contains(gate) {
            plan.notes.push(format!(
                "gate `{gate}` is no longer in gateway.yaml; it holds here all the same"
            ));
        }
    }
    let review = args.review.review(&plan, &place, rules);
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
    let blocked = !review.tripped(&plan).is_empty();
    let changes = !plan.no_op || plan.count(Class::Rules) > 0;
    Ok(match (blocked, args.exit_code && changes) {
        (true, _) => Exit::FINDINGS,
        (false, true) => Exit::CHANGES,
        (false, false) => Exit::OK,
    })
}

/// The environments that a plan without `--env` does not read.
fn other_environments(compiled: &Compiled, place: &Place) -> Vec<String> {
    let root = compiled.files.root(diag::FileId(0));
    let root = root.filter(|_| place.environment.is_none());
    let all = root.map(|root| environment::environments(compiled.files.tree.at(root)));
    let all = all.into_iter().flatten();
    all.map(|environment| format!("`{}`", environment.name.escape_debug()))
        .collect()
}

/// Where a compiled project's releases are.
fn place(compiled: &Compiled, context: &Context, at: &StoreOptions) -> anyhow::Result<Place> {
    let model = compiled
        .model
        .as_ref()
        .context("a project without errors has settings")?;
    Place::of(
        &context.root()?,
        &model.settings,
        at.store.as_deref(),
        at.channel.as_deref(),
    )
}

/// What the channel runs, and where that stands.
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
        say::note(&format!(
            "note: there is no store at {}; nothing was released yet, or it is elsewhere (--store, or `release.store` of gateway.yaml)",
            say::path(&place.store)
        ));
        return Ok((None, subject));
    };
    let judge = trust.as_ref().map(|trust| Judge {
        store: &store,
        trust,
        channel: &place.channel,
    });
    let trust = match judge.map(|judge| judge.without_revoked_keys()) {
        Some(Ok(left)) => Some(left),
        // A list that cannot be believed takes no key away; `gwc apply` says so.
        Some(Err(_)) | None => trust.clone(),
    };
    let Some(head) = release::head(&store, trust.as_ref(), &place.channel)? else {
        if let Some(doubt) = place.doubt(&store) {
            say::note(&doubt);
        }
        return Ok((None, subject));
    };
    let side = side_in(&store, head.bundle, head.record.source)?;
    let subject = Subject {
        serial: Some(head.pointer.serial),
        record: Some(head.pointer.digest.to_string()),
        ..subject
    };
    Ok((Some(side), subject))
}

/// The rules of a side, where they are known.
pub(super) fn rules_of(side: Option<&Side>) -> Option<&Rules> {
    side?.source.as_ref()?.rules.as_ref()
}

/// Compares; a witness that does not show what it should is a bug of ours.
pub(super) fn compare(old: Option<&Side>, new: &Side) -> anyhow::Result<Plan> {
    let mut plan = plan::compare(old, new).map_err(|error| {
        Failure::new(
            Exit::BUG,
            "bug",
            format!("what compiles must build, but: {error}"),
        )
    })?;
    if let Some(bug) = plan.bugs.first() {
        return Err(Failure::new(
            Exit::BUG,
            "bug",
            format!("the plan cannot be trusted, please report this: {bug}"),
        )
        .into());
    }
    plan.ended_by(&release::today());
    Ok(plan)
}

fn write(file: &std::path::Path, document: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    output(file, (text + "\n").as_bytes())
        .map_err(|error| Failure::new(Exit::INPUT, "output", format!("{error:#}")).into())
}
