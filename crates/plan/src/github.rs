//! Plan as annotations for GitHub Actions: `::error file=…,line=…::message` for blocked changes,
//! `::warning` and `::notice` for other changes.
//!
//! GitHub shows at most ten annotations of each kind per step, so only the ten most severe are
//! written. <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use std::fmt::Write as _;

use super::Change;
use super::findings::message;
use super::report::Report;
use diag::count::counted;
use diag::workflow::{data, property};

/// Maximum number of annotations of one kind that GitHub shows per step.
pub const SHOWN_MAX: usize = 10;

/// Writes the annotations, and a last line with the number of changes that were left out.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let stopping = report.review.stopping(report.plan);
    let is_stopping = |change: &Change| stopping.contains(&change.fingerprint);
    let mut changes: Vec<&Change> = report.plan.changes.iter().collect();
    changes.sort_by_key(|change| change.class);
    let mut out = String::new();
    let mut left_out = 0;
    for kind in ["error", "warning", "notice"] {
        let of_kind: Vec<&&Change> = changes
            .iter()
            .filter(|change| self::kind(change.level(), is_stopping(change)) == kind)
            .collect();
        for change in of_kind.iter().take(SHOWN_MAX) {
            command(&mut out, report, change, kind, is_stopping(change));
        }
        left_out += of_kind.len().saturating_sub(SHOWN_MAX);
    }
    let counts: Vec<String> = report
        .counts()
        .iter()
        .map(|one| format!("{} {}", one.count, one.name))
        .collect();
    let summary = match counts.is_empty() {
        true => "no changes".to_owned(),
        false => counts.join(", "),
    };
    let _ = writeln!(out, "Plan: {}: {summary}", data(&report.compared()));
    for note in report.plan.all_notes() {
        let _ = writeln!(out, "::notice title=plan::{}", data(note));
    }
    if left_out > 0 {
        let _ = writeln!(
            out,
            "{} without an annotation; see the summary of the job",
            counted(left_out, "change")
        );
    }
    out
}

fn kind(level: &str, stops: bool) -> &'static str {
    match (stops, level) {
        (true, _) => "error",
        (false, "info") => "notice",
        (false, _) => "warning",
    }
}

fn command(out: &mut String, report: &Report<'_>, change: &Change, kind: &str, stops: bool) {
    let _ = write!(out, "::{kind} ");
    if let Some(place) = &change.source_new {
        let file = format!("{}{}", report.subject.folder, place.file);
        let _ = write!(
            out,
            "file={},line={},col={},",
            property(&file),
            place.line,
            place.column
        );
    }
    let title = match stops {
        true => format!("{} trips a gate", change.label()),
        false => change.label().to_owned(),
    };
    let message = message(report, change);
    let _ = writeln!(
        out,
        "title={}::{} [{}]",
        property(&title),
        data(&message),
        change.short()
    );
}
