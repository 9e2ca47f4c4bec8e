//! Command `gwc diff`: compares any two versions by meaning, without using a channel.

use std::collections::BTreeSet;
use std::path::Path;

use clap::ValueEnum;

use super::break_baseline::BaselineOptions;
use super::environments::{self, ComparedEnvironment};
use super::limits::LimitOptions;
use super::options::StoreOptions;
use super::plan::confirm;
use super::progress;
use super::review::PlanFormat;
use super::say::{self, Context};
use super::side::{self, Named, Which};
use ::plan::environments::Pair;
use ::plan::report::{Report, Subject};
use ::plan::stages::Stages;
use ::plan::{Plan, Review, Side};
use model::exit::Exit;

/// Class of changes that ends `gwc diff` with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A refused request may now be admitted (gates weaken, expose and grant)
    Weaken,
    /// Clients that follow the old contract fail (gates break and remove)
    Break,
    /// Anything at all
    Any,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A and B are each git:REV (git:REV:PATH for a folder or a document of it), a project's folder, an
OpenAPI document, a bundle's id, or a one-file bundle.

Examples:
  gwc diff old.yaml new.yaml                   two versions of one OpenAPI document
  gwc diff git:v1.4.0 git:v1.5.0               the project at two tags, nothing is checked out
  gwc diff git:main:apis/orders.yaml apis/orders.yaml
  gwc diff git:main . --fail-on weaken         exit code 1 if access widens
  gwc diff 3f2a9c81 77e1d0 --format json       two bundles of the store"
)]
pub(super) struct Args {
    /// The old version
    #[arg(value_name = "A")]
    old: String,
    /// The new version
    #[arg(value_name = "B")]
    new: String,
    /// Output format
    #[arg(long, default_value = "human")]
    format: PlanFormat,
    /// Show every change on a line of its own, also of long groups
    #[arg(long)]
    all: bool,
    /// Exit with code 1 if there are changes of this class
    #[arg(long, value_name = "WHAT")]
    fail_on: Option<FailOn>,
    #[command(flatten)]
    baseline: BaselineOptions,
    /// Store for bundle ids, instead of `release.store`
    #[arg(long, value_name = "DIR|oci://HOST/REPOSITORY")]
    store: Option<std::path::PathBuf>,
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
    let context = &context.with_levels(&args.rule)?;
    let (plan, subject) = Versions {
        old: &args.old,
        new: &args.new,
        store: args.store.as_deref(),
    }
    .compare(context)?;
    stages.end("comparison");
    let known = args.baseline.known(&plan)?;
    let mut review = Review::default();
    review.failing = args
        .fail_on
        .map(|what| what.failing(&plan, &known))
        .unwrap_or_default();
    review.known = known;
    let report = Report {
        plan: &plan,
        subject: &subject,
        review: &review,
    };
    stages.within(&plan.stages);
    args.format.write(&report, args.all);
    stages.end("writing");
    if args.timings {
        say::note(&format!("timings: {}", stages.line()));
    }
    confirm(&plan, &review)?;
    Ok(match review.failing.is_empty() {
        true => Exit::OK,
        false => Exit::FINDINGS,
    })
}

/// Two versions that the command line names.
pub(super) struct Versions<'a> {
    pub(super) old: &'a str,
    pub(super) new: &'a str,
    /// Store for bundle ids. `None`: `release.store`.
    pub(super) store: Option<&'a Path>,
}

impl Versions<'_> {
    /// Reads both versions in the selected environment, or without an environment.
    pub(super) fn read(
        &self,
        at: &StoreOptions,
        context: &Context,
    ) -> anyhow::Result<(Side, Side)> {
        let named = (
            Named::find(self.old, context)?,
            Named::find(self.new, context)?,
        );
        let (old, new) = side::both(named, at, context)?;
        Ok((old.side, new.side))
    }

    /// Compares the versions. If both have environments, compares each environment.
    pub(super) fn compare(&self, context: &Context) -> anyhow::Result<(Plan, Subject)> {
        let at = StoreOptions {
            store: self.store.map(Path::to_owned),
            channel: None,
            trust: None,
        };
        match readings(self, context)? {
            None => one(self, &at, context),
            Some(readings) => each(self, &readings, &at, context),
        }
    }
}

/// Environments to compare. Without `--env`: all environments of both projects. With `--env` for an
/// environment that only the new version has: this environment, and all environments of the old
/// version. `None`: a single comparison is sufficient.
fn readings(
    versions: &Versions<'_>,
    context: &Context,
) -> anyhow::Result<Option<Vec<ComparedEnvironment>>> {
    let (old, new) = (
        side::environments(versions.old, context)?,
        side::environments(versions.new, context)?,
    );
    Ok(match (old, new, &context.environment) {
        (Some(old), Some(new), None) => ComparedEnvironment::every(&old, &new),
        (Some(old), Some(new), Some(wanted)) => ComparedEnvironment::of_new(wanted, &old, &new),
        (_, None, _) | (None, _, _) => None,
    })
}

fn one(
    versions: &Versions<'_>,
    at: &StoreOptions,
    context: &Context,
) -> anyhow::Result<(Plan, Subject)> {
    let named = (
        Named::find(versions.old, context)?,
        Named::find(versions.new, context)?,
    );
    let (old, new) = side::both(named, at, context)?;
    let sides = (&old.side, &new.side);
    let mut pairs = environments::replaced_at_channel(versions.old, sides, at, context)?;
    progress::stage("comparing");
    pairs.insert(
        0,
        Pair {
            environment: context.environment.clone().unwrap_or_default(),
            old: Some(old.side),
            new: Some(new.side),
            is_beside: false,
        },
    );
    let mut plan = environments::plan(&pairs)?;
    plan.notes.extend(old.notes.into_iter().chain(new.notes));
    let subject = Subject {
        environment: context.environment.clone(),
        old: old.origin,
        new: new.origin,
        folder: new.folder,
        ..Subject::default()
    };
    Ok((plan, subject))
}

fn each(
    versions: &Versions<'_>,
    readings: &[ComparedEnvironment],
    at: &StoreOptions,
    context: &Context,
) -> anyhow::Result<(Plan, Subject)> {
    let mut subject = Subject::default();
    let (mut pairs, mut notes) = (Vec::new(), Vec::new());
    for reading in readings {
        let context = &reading.context(context);
        let mut side = |has: bool, text: &str, which| -> anyhow::Result<Option<Side>> {
            if !has {
                return Ok(None);
            }
            let Some(read) = reading.side(side::alone(text, which, at, context))? else {
                return Ok(None);
            };
            let other = match which {
                Which::Old => versions.new,
                Which::New | Which::Only => versions.old,
            };
            read.check_against(other)?;
            match which {
                Which::Old => subject.old = read.origin,
                Which::New | Which::Only => {
                    subject.new = read.origin;
                    subject.folder = read.folder;
                }
            }
            notes.extend(read.notes);
            Ok(Some(read.side))
        };
        let old = side(reading.old, versions.old, Which::Old)?;
        let new = side(reading.new, versions.new, Which::New)?;
        if !reading.is_beside && (!reading.name.is_empty() || old.is_some() && new.is_some()) {
            let compared = reading.compared(old.as_ref(), new.as_ref());
            subject.environments.push(compared);
        }
        pairs.push(Pair {
            environment: reading.name.clone(),
            old,
            new,
            is_beside: reading.is_beside,
        });
    }
    let mut plan = environments::plan(&pairs)?;
    let distinct: BTreeSet<String> = notes.into_iter().collect();
    plan.notes.extend(distinct);
    Ok((plan, subject))
}

impl FailOn {
    /// Fingerprints of the changes of this class. `known`: fingerprints of breaking changes that
    /// are ignored.
    fn failing(self, plan: &Plan, known: &[String]) -> Vec<String> {
        let gates = match self {
            Self::Weaken => ["weaken", "expose", "grant"].as_slice(),
            Self::Break => ["break", "remove"].as_slice(),
            Self::Any => {
                let all = plan.changes.iter();
                return all.map(|change| change.fingerprint.clone()).collect();
            }
        };
        let gates: Vec<String> = gates.iter().map(|gate| (*gate).to_owned()).collect();
        let known = match self {
            Self::Break => known,
            Self::Weaken | Self::Any => &[],
        };
        let tripped = plan.tripped(&gates, known).into_iter();
        tripped.flat_map(|(_, by)| by).collect()
    }
}
