//! Command `gwc changelog`: the changes between two versions that API clients see.

use clap::ValueEnum;

use super::diff::Versions;
use super::limits::LimitOptions;
use super::say::{self, Context};
use ::plan::Review;
use ::plan::changelog::{Changelog, html, json, markdown};
use ::plan::report::Report;
use model::exit::{Exit, Failure};

/// Output format of a changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a page of the documentation, or the notes of a release
    Markdown,
    /// One HTML file without scripts and outside resources
    Html,
    /// One JSON document (`gwc schema changelog`)
    Json,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A and B are each git:REV (git:REV:PATH for a folder or a document of it), a project's folder, an
OpenAPI document, a bundle's id, or a one-file bundle. Upstreams, policies, release rules and places
in files are not part of a changelog.

Examples:
  gwc changelog git:v1.4.0 git:v1.5.0
  gwc changelog old.yaml new.yaml --format html > changes.html
  gwc changelog git:v1.4.0 . --env production --format json"
)]
pub(super) struct Args {
    /// The old version
    #[arg(value_name = "A")]
    old: String,
    /// The new version
    #[arg(value_name = "B")]
    new: String,
    /// Output format
    #[arg(long, default_value = "markdown")]
    format: Format,
    /// Store for bundle ids, instead of `release.store`
    #[arg(long, value_name = "DIR|oci://HOST/REPOSITORY")]
    store: Option<std::path::PathBuf>,
    #[command(flatten)]
    limits: LimitOptions,
}

impl super::Arguments for Args {
    fn limits(&self) -> Option<&LimitOptions> {
        Some(&self.limits)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (plan, subject) = Versions {
        old: &args.old,
        new: &args.new,
        store: args.store.as_deref(),
    }
    .compare(context)?;
    if plan.changes.iter().any(|one| one.id == ::plan::LEFT_OUT) {
        for note in &plan.notes {
            say::note(note);
        }
        return Err(Failure::new(
            Exit::INPUT,
            "findings",
            "the new version has errors, so that its changelog would lack changes; correct the errors \
             that the note names",
        )
        .into());
    }
    let review = Review::default();
    let changelog = Changelog::of(&Report {
        plan: &plan,
        subject: &subject,
        review: &review,
    });
    match args.format {
        Format::Markdown => say::result(&markdown::render(&changelog)),
        Format::Html => say::result(&html::render(&changelog)),
        Format::Json => say::json(&json::document(&changelog, context.environment.as_deref())),
    }
    for note in &plan.notes {
        say::note(note);
    }
    super::plan::confirm(&plan, &review)?;
    Ok(Exit::OK)
}
