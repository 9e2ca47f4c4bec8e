//! Changes of a plan as findings: one level, place and message each, for formats that list
//! findings of any tool (`concise`, `sarif`, `gitlab`, `junit`, `checkstyle`).

use diag::Level;
use diag::text::printable;
use sources::project::GATEWAY_FILE;

use super::Change;
use super::change::MAY_BREAK;
use super::report::{Report, arrow, sentence, what};

pub mod checkstyle;
pub mod concise;
pub mod gitlab;
pub mod junit;
pub mod sarif;

/// Change with the parts that the formats show.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    /// The change.
    pub change: &'a Change,
    /// Severity. `Error` for a change that blocks the release, `Info` for an acknowledged or known
    /// change. Otherwise the level of the change.
    pub level: Level,
    /// Location of the new value. For a removed value, the location of the old one. `None` if
    /// neither is known.
    pub at: Option<At>,
    /// Class, what the change concerns, both values, and the request that shows the change.
    pub message: String,
}

/// Location of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Path relative to the current directory.
    pub path: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Finding<'_> {
    /// Path of the finding. Without a location: `gateway.yaml`, because some formats require a
    /// file.
    #[must_use]
    pub fn path(&self) -> &str {
        self.at.as_ref().map_or(GATEWAY_FILE, |at| &at.path)
    }

    /// Line of the finding. Without a location: 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.at.as_ref().map_or(1, |at| at.line)
    }
}

/// Returns the changes of a plan as findings, the most severe first.
#[must_use]
pub fn of<'a>(report: &Report<'a>) -> Vec<Finding<'a>> {
    let mut stopping = report.review.stopping(report.plan);
    stopping.extend(report.review.failing.iter().cloned());
    let changes = report.plan.changes.iter();
    let mut findings: Vec<Finding<'a>> = changes
        .map(|change| Finding {
            change,
            level: level(report, change, stopping.contains(&change.fingerprint)),
            at: at(report, change),
            message: format!("{}: {}", change.label(), message(report, change)),
        })
        .collect();
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.level), finding.change.class));
    findings
}

/// Sentence of a change: what it concerns, both values, the request that shows it, and notes.
#[must_use]
pub fn message(report: &Report<'_>, change: &Change) -> String {
    let mut message = format!("{}: {}", what(change), arrow(change));
    if let Some(witness) = &change.witness {
        message.push_str(&format!("; {}", sentence(witness)));
    }
    let example = change
        .message
        .as_ref()
        .and_then(|message| message.example());
    if let Some(example) = example {
        message.push_str(&format!("; for example {}", printable(&example)));
    }
    if let Some(doubt) = change.doubt() {
        message.push_str(&format!("; {MAY_BREAK}: {doubt}"));
    }
    if let Some(environments) = report.environments_of(change) {
        message.push_str(&format!(" ({environments})"));
    }
    if let Some(remark) = report.remark(change) {
        message.push_str(&format!(" ({remark})"));
    }
    message
}

fn level(report: &Report<'_>, change: &Change, stops: bool) -> Level {
    let known = report.review.known.contains(&change.fingerprint);
    match change.level() {
        _ if stops => Level::Error,
        _ if known || report.review.acknowledgement(&change.fingerprint).is_some() => Level::Info,
        "error" => Level::Error,
        "warn" => Level::Warn,
        _ => Level::Info,
    }
}

fn at(report: &Report<'_>, change: &Change) -> Option<At> {
    let place = change.source_new.as_ref().or(change.source_old.as_ref())?;
    Some(At {
        path: format!("{}{}", report.subject.folder, place.file),
        line: place.line,
        column: place.column,
    })
}
