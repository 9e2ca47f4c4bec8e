//! `gwc plan`: build, compare with what the channel runs, classify.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use bundle::manifest::Bundle;
use serde_json::Value;

use super::limits::LimitOptions;
use super::options::StoreOptions;
use super::say::{self, Context, Format};
use super::target::Target;
use crate::assemble::assemble;
use crate::compile::Compiled;
use crate::exit::{Exit, Failure};
use crate::plan::{self, Plan, Side, human, json};
use crate::release::evidence::Judge;
use crate::release::{self, Place};
use crate::source_map::SourceMap;

const EXAMPLES: &str = "\
Examples:
  gwc plan                             against the head of the project's channel
  gwc plan -o plan.json --exit-code    save it for `gwc apply plan.json`; 2 if there are changes
  gwc plan --against 3f2a9c81          against another bundle of the store
  gwc plan --gate weaken --ack 1f0c…   stop at doors that open, but for the one acknowledged";

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The channel, instead of `release.channel`
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// The store, instead of `release.store`
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Compare with this bundle instead of the channel's head: an id of the store, or a one-file bundle
    #[arg(long, value_name = "ID|FILE")]
    against: Option<String>,
    /// The trust file; `trust.json` of the project where nothing is said
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Save the plan for `gwc apply`
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// End with 2 if there are changes
    #[arg(long)]
    exit_code: bool,
    /// How it is written
    #[arg(long, default_value = "human")]
    format: Format,
    /// Classes that stop: weaken, expose, grant, relax, remove, move; beside those of gateway.yaml
    #[arg(long, value_delimiter = ',', value_name = "CLASS", value_parser = ["weaken", "expose", "grant", "relax", "remove", "move"])]
    gate: Vec<String>,
    /// Changes that were reviewed and do not stop; may be given several times
    #[arg(long, value_name = "FINGERPRINT")]
    ack: Vec<String>,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let compiled = context.compile()?;
    let place = place(
        &compiled,
        context,
        args.store.as_deref(),
        args.channel.as_deref(),
    )?;
    let (side, _) = side_of(compiled)?;
    let (old, base) = match &args.against {
        Some(text) => (
            Some(against(text, args, context)?),
            json::Base {
                environment: place.environment.clone(),
                ..json::Base::default()
            },
        ),
        None => base(&place, args.trust.as_deref())?,
    };
    let plan = compare(old.as_ref(), &side)?;
    let mut gates = place.gates.clone();
    gates.extend(
        args.gate
            .iter()
            .filter(|gate| !place.gates.contains(gate))
            .cloned(),
    );
    let verdict = json::Verdict {
        gates,
        acknowledged: args.ack.clone(),
    };
    report_unused_acks(&plan, &args.ack);
    let document = json::document(&plan, &base, &verdict);
    match args.format {
        Format::Human => say::result(&human::render(
            &plan,
            &base,
            &verdict,
            say::look(std::io::stdout().is_terminal()).color,
        )),
        Format::Json => say::json(&document),
    }
    if let Some(file) = &args.output {
        write(file, &document)?;
    }
    let blocked = !plan
        .tripped(&verdict.gates, &verdict.acknowledged)
        .is_empty();
    Ok(match (blocked, args.exit_code && !plan.no_op) {
        (true, _) => Exit::FINDINGS,
        (false, true) => Exit::CHANGES,
        (false, false) => Exit::OK,
    })
}

/// A compiled project as a side, with its bundle.
pub(super) fn side_of(mut compiled: Compiled) -> anyhow::Result<(Side, Bundle)> {
    let source = SourceMap::of(&compiled);
    let lowered = compiled
        .lowered
        .take()
        .context("sources without errors lower")?;
    let bundle = assemble(&lowered)?;
    Ok((
        Side {
            bundle: bundle.id(),
            lowered,
            source: Some(source),
        },
        bundle,
    ))
}

/// Where a compiled project's releases are.
pub(super) fn place(
    compiled: &Compiled,
    context: &Context,
    store: Option<&std::path::Path>,
    channel: Option<&str>,
) -> anyhow::Result<Place> {
    let model = compiled
        .model
        .as_ref()
        .context("a project without errors has settings")?;
    Place::of(&context.root()?, &model.settings, store, channel)
}

/// What the channel runs, and where that stands.
pub(super) fn base(
    place: &Place,
    trust: Option<&std::path::Path>,
) -> anyhow::Result<(Option<Side>, json::Base)> {
    let trust = release::trust(&place.root, trust)?;
    let channel = Some(place.channel.to_string());
    let Some(store) = place.open_if_there()? else {
        return Ok((
            None,
            json::Base {
                channel,
                environment: place.environment.clone(),
                ..json::Base::default()
            },
        ));
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
        return Ok((
            None,
            json::Base {
                channel,
                environment: place.environment.clone(),
                ..json::Base::default()
            },
        ));
    };
    let (lowered, source) = release::side(&store, head.bundle, head.record.source)?;
    let base = json::Base {
        channel,
        serial: Some(head.pointer.serial),
        record: Some(head.pointer.digest.to_string()),
        environment: place.environment.clone(),
    };
    Ok((
        Some(Side {
            bundle: head.bundle,
            lowered,
            source,
        }),
        base,
    ))
}

/// Compares; a witness that does not show what it should is a bug of ours.
pub(super) fn compare(old: Option<&Side>, new: &Side) -> anyhow::Result<Plan> {
    let plan = plan::compare(old, new).map_err(|error| {
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
    Ok(plan)
}

fn against(text: &str, args: &Args, context: &Context) -> anyhow::Result<Side> {
    let at = StoreOptions {
        store: args.store.clone(),
        channel: args.channel.clone(),
        trust: None,
    };
    let target = Target::find(text, &at, context)?;
    let source = release::source_of(target.store(), &target.bundle)?;
    let (lowered, source) = release::side(target.store(), target.bundle, source)?;
    Ok(Side {
        bundle: target.bundle,
        lowered,
        source,
    })
}

fn report_unused_acks(plan: &Plan, acks: &[String]) {
    for ack in acks.iter().filter(|ack| {
        !plan
            .changes
            .iter()
            .any(|change| change.fingerprint == **ack)
    }) {
        say::note(&format!(
            "warning: no change has the fingerprint {ack}; nothing was acknowledged by it"
        ));
    }
}

fn write(file: &std::path::Path, document: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    std::fs::write(file, text + "\n").map_err(|error| {
        Failure::new(
            Exit::INPUT,
            "output",
            format!("cannot write {}: {error}", file.display()),
        )
        .into()
    })
}
