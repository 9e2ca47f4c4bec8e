//! Options for gates and acknowledgements of a plan, and output of a plan.

use std::collections::BTreeSet;
use std::io::Write as _;

use clap::ValueEnum;

use super::{say, terminal};
use crate::release::{self, Place, provenance};
use ::plan::report::Report;
use ::plan::review::{GATES, State};
use ::plan::{self, Plan, Review, Section, findings, github, html, human, json, markdown};
use model::acknowledge::{self, Acknowledgement};
use model::rules::{self, Rules};

/// Environment variable with the path of the job summary in GitHub Actions.
const SUMMARY_VARIABLE: &str = "GITHUB_STEP_SUMMARY";

/// Options of a review.
#[derive(Debug, Default, clap::Args)]
pub(super) struct ReviewOptions {
    /// Classes of changes that make the command fail, in addition to those of gateway.yaml
    #[arg(long, value_delimiter = ',', value_name = "CLASS", value_parser = GATES)]
    pub(super) gate: Vec<String>,
    /// Accept a reviewed change: its fingerprint (all 32 digits) and the reason; may be given
    /// several times
    #[arg(long, value_name = "FINGERPRINT=REASON", value_parser = acknowledge::option)]
    pub(super) ack: Vec<Acknowledgement>,
}

/// Output format of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    /// For a terminal
    Human,
    /// One JSON document (`gwc schema plan`)
    Json,
    /// One comment of a pull request
    Markdown,
    /// One HTML file without scripts and outside resources
    Html,
    /// Annotations of GitHub Actions, and the job's summary
    Github,
    /// One line for each change
    Concise,
    /// One JSON document for each change, one per line
    Jsonl,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// GitLab's code quality report
    Gitlab,
    /// JUnit XML
    Junit,
    /// Checkstyle XML
    Checkstyle,
}

impl ReviewOptions {
    /// Determines the gates and acknowledgements of a plan. The gates come from the options, from
    /// `places`, and from the rules of the old versions. All acknowledgements apply.
    pub(super) fn review(&self, plan: &Plan, places: &[&Place], old: &[&Rules]) -> Review {
        let mut rule_gates: Vec<String> = old.iter().flat_map(|old| old.rule_gates()).collect();
        // If the rules of an old version are unknown, assume that it had gates.
        let unknown = |change: &plan::Change| change.id == rules::UNKNOWN;
        if plan.changes.iter().any(unknown) {
            rule_gates.push(rules::GATE.to_owned());
        }
        let mut gates: Vec<String> = Vec::new();
        let own = places.iter().flat_map(|place| &place.gates);
        for gate in own.chain(&self.gate).chain(&rule_gates) {
            if !gates.contains(gate) {
                gates.push(gate.clone());
            }
        }
        let mut given = self.ack.clone();
        if !given.is_empty() {
            let root = places.first().map(|place| place.root.as_path());
            let by = provenance::actor(root.unwrap_or(std::path::Path::new(".")));
            given.iter_mut().for_each(|one| one.by = Some(by.clone()));
        }
        // Changes of rules cannot be acknowledged by an acknowledgement file that the old version
        // does not use.
        let is_new_file = |place: &Place| {
            let mut old = old.iter().filter(|old| !old.gates.is_empty());
            old.any(|old| old.acknowledge != place.acknowledge)
        };
        let is_of_rules = |ack: &Acknowledgement| {
            let kind = ack.kind.as_deref().and_then(plan::ids::of);
            kind.is_some_and(|kind| kind.section == Section::Rules)
        };
        // Places, such as environments, usually have the same file.
        let key = |ack: &Acknowledgement| (ack.fingerprint.clone(), ack.place.clone());
        let mut known: BTreeSet<_> = given.iter().map(key).collect();
        for place in places {
            let is_new = is_new_file(place);
            let file = place.acknowledgements.iter();
            let file = file.filter(|ack| !(is_new && is_of_rules(ack)));
            given.extend(file.filter(|ack| known.insert(key(ack))).cloned());
        }
        let file = places.iter().find_map(|place| place.acknowledge.clone());
        let now_s = release::now().unix_s();
        Review::new(plan, gates, file, given, now_s)
    }
}

/// Maximum number of acknowledgements without effect that are named.
const IDLE_MAX: usize = 50;

/// Warns of acknowledgements that have no effect, with their source locations.
pub(super) fn report_idle(review: &Review, folder: &str) {
    let mut warnings = 0usize;
    for (ack, state) in &review.given {
        let fingerprint = plan::short(&ack.fingerprint);
        let what = match (state, &ack.until) {
            (State::Used, _) => continue,
            (State::Expired, Some((_, day)))
                if review.acknowledgement(&ack.fingerprint).is_some() =>
            {
                format!(
                    "the acknowledgement of {fingerprint} expired after {day}, and another one applies; remove this one"
                )
            }
            (State::Expired, Some((_, day))) => format!(
                "the acknowledgement of {fingerprint} expired after {day}; review the change again"
            ),
            (State::Expired, None) => format!("the acknowledgement of {fingerprint} has expired"),
            (State::Mismatched, _) => format!(
                "the acknowledgement of {fingerprint} names another kind of change or another operation, so it is ignored; write the line that `gwc plan` prints"
            ),
            (State::Unused, _) => format!(
                "no change has the fingerprint {fingerprint}; the acknowledgement has no effect"
            ),
        };
        warnings += 1;
        if warnings > IDLE_MAX {
            continue;
        }
        let place = ack.place.as_ref().map(|place| {
            let file = diag::text::printable(&place.file);
            format!("{folder}{file}:{}:{}: ", place.line, place.column)
        });
        say::note(&format!("{}warning: {what}", place.unwrap_or_default()));
    }
    if let Some(more) = warnings.checked_sub(IDLE_MAX).filter(|more| *more > 0) {
        say::note(&format!(
            "warning: {more} more acknowledgements have no effect"
        ));
    }
}

impl PlanFormat {
    /// Writes a plan to standard output. The format `github` also writes it to the job summary.
    pub(super) fn write(self, report: &Report<'_>, all: bool) {
        match self {
            Self::Human => {
                let color = terminal::has_color(&std::io::stdout());
                say::report(&human::render(report, human::Look { color, all }));
            }
            Self::Json => say::json(&json::document(report)),
            Self::Markdown => say::result(&markdown::render(report)),
            Self::Html => say::result(&html::render(report)),
            Self::Github => {
                say::verbatim(&github::render(report));
                summary(&markdown::render(report));
            }
            Self::Concise => lines(&findings::concise::render(report)),
            Self::Jsonl => lines(&json::lines(report)),
            Self::Sarif => say::result(&findings::sarif::render(report)),
            Self::Gitlab => say::result(&findings::gitlab::render(report)),
            Self::Junit => say::result(&findings::junit::render(report)),
            Self::Checkstyle => say::result(&findings::checkstyle::render(report)),
        }
    }
}

/// Writes lines. Writes nothing without lines, not even an empty line.
fn lines(text: &str) {
    if !text.is_empty() {
        say::result(text.trim_end_matches('\n'));
    }
}

/// Appends text to the job summary of GitHub Actions. Does nothing outside of a job.
fn summary(text: &str) {
    let Some(file) = std::env::var_os(SUMMARY_VARIABLE).filter(|file| !file.is_empty()) else {
        return;
    };
    let written = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    if let Err(error) = written {
        say::note(&format!(
            "warning: the job's summary ({SUMMARY_VARIABLE}) cannot be written: {error}"
        ));
    }
}
