//! Command `gwc replay`: compares how two versions of a gateway handle the requests of access logs.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::diff::Versions;
use super::limits::LimitOptions;
use super::logs::{Defaults, about, requests};
use super::options::StoreOptions;
use super::plan::unbuilt;
use super::progress;
use super::say::{self, Context};
use ::plan::replay::{Effect, Group, Replayed};
use model::compile::Input;
use model::exit::Exit;

/// Output format of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal
    Human,
    /// One JSON document (`gwc schema replay`)
    Json,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "LOG is an access log of gwd, in the combined format of NGINX and Apache, or in the default format
of Envoy; one of them compressed by gzip (FILE.gz); a HAR file of a browser (FILE.har); or `-` for
standard input. Logs contain no credentials. Routing is decided for each request, access only for
lines that name the caller, as those of gwd. Otherwise a request of an operation with another access
is undetermined.

Examples:
  gwc replay access.log --old git:main
  gwc replay access.log.1.gz access.log --old git:main --new . --top 50
  gwc replay nginx.log --old git:main --host shop.example --listener public --format json"
)]
pub(super) struct Args {
    /// Access logs
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,
    /// The old version: git:REV, a folder, a document, or a bundle
    #[arg(long, value_name = "A")]
    old: String,
    /// The new version [default: the project of `--project`, or the nearest one above the working
    /// folder]
    #[arg(long, value_name = "B")]
    new: Option<String>,
    #[command(flatten)]
    defaults: Defaults,
    /// Number of groups to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Output format
    #[arg(long, default_value = "human")]
    format: Format,
    /// Store for bundle ids, instead of `release.store`
    #[arg(long, value_name = "DIR|oci://HOST/REPOSITORY")]
    store: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitOptions,
}

impl super::Arguments for Args {
    fn limits(&self) -> Option<&LimitOptions> {
        Some(&self.limits)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let replayed = replay(args, context)?;
    match args.format {
        Format::Human => say::report(&human(&replayed, args.top)),
        Format::Json => say::json(&document(&replayed, args, context)),
    }
    Ok(Exit::OK)
}

fn replay(args: &Args, context: &Context) -> anyhow::Result<Replayed> {
    let at = StoreOptions {
        store: args.store.clone(),
        channel: None,
        trust: None,
    };
    let new = match &args.new {
        Some(text) => text.clone(),
        None => match context.input(None)? {
            Input::Project(path) | Input::Document(path) => path.display().to_string(),
        },
    };
    let versions = Versions {
        old: &args.old,
        new: &new,
        store: args.store.as_deref(),
    };
    let (old, new) = versions.read(&at, context)?;
    progress::stage("comparing");
    let plan = super::plan::compare(Some(&old), &new)?;
    let replay = args.defaults.begin((&old, &new), &plan);
    let replay = replay.map_err(|error| unbuilt(&error))?;
    args.defaults.count(&args.logs, replay)
}

/// Renders a replay for people: the counts first, then the largest groups.
fn human(replayed: &Replayed, top: usize) -> String {
    let of = |effect: Effect| replayed.counts.get(effect.name()).copied().unwrap_or(0);
    let differ = replayed.requests - of(Effect::Same);
    let about = about(replayed);
    let mut out = format!(
        "{about}{differ} of {about}{} would be treated differently, or may be\n",
        requests(replayed.requests)
    );
    for effect in Effect::ALL {
        if of(effect) > 0 {
            out.push_str(&format!(
                "  {:>12} {:<12} {}\n",
                of(effect),
                effect.name(),
                effect.meaning()
            ));
        }
    }
    if replayed.unread > 0 {
        out.push_str(&format!(
            "  {:>12} lines without a request\n",
            replayed.unread
        ));
    }
    if replayed.sampled > 0 {
        out.push_str(&format!(
            "  {:>12} lines of a sampled log, each counted for 1 / sample_ratio requests\n",
            replayed.sampled
        ));
    }
    for group in replayed.groups.iter().take(top) {
        let [old, new] = &group.owners;
        let mut what = match old == new {
            true => new.clone(),
            false => format!("{old} → {new}"),
        };
        if !group.classes.is_empty() {
            let classes = group.classes.iter().map(|class| class.name());
            what.push_str(&format!(" ({})", classes.collect::<Vec<_>>().join(", ")));
        }
        out.push_str(&format!(
            "\n{:>12} {:<12} {}\n{:>12} such as {}\n",
            group.count,
            group.effect.name(),
            diag::text::printable(&what),
            "",
            group.sample
        ));
    }
    if replayed.groups.len() > top {
        let more = replayed.groups.len() - top;
        out.push_str(&format!("\n… and {more} more (--top)\n"));
    }
    out
}

fn document(replayed: &Replayed, args: &Args, context: &Context) -> Value {
    let group = |group: &Group| {
        let [old, new] = &group.owners;
        let classes = group.classes.iter().map(|class| class.name());
        json!({"effect": group.effect.name(), "count": group.count, "old": old, "new": new,
               "classes": classes.collect::<Vec<_>>(), "sample": group.sample})
    };
    let shown = replayed.groups.iter().take(args.top);
    let result = match replayed.groups.is_empty() {
        true => "ok",
        false => "changes",
    };
    let fields = json!({
        "environment": context.environment, "requests": replayed.requests, "sampled": replayed.sampled, "unread": replayed.unread,
        "counts": replayed.counts, "groups": shown.map(group).collect::<Vec<_>>(),
        "left_out": replayed.groups.len().saturating_sub(args.top),
    });
    say::document("replay/v1", result, fields)
}
