//! From what was found to what is said: sorted, without what is allowed, with the levels that
//! were set.
//!
//! Levels by precedence: `x-gateway-lint` at a node, `--rule` on the command line (the last of a
//! name), `lint` in gateway.yaml, the rule's own level. None of them applies to an error without
//! which nothing can be built.

use diag::{Diagnostic, Level, Lint, Sink};

use super::allow::Allowed;
use super::{conceal, is_off_by_default, reach, spell};
use crate::lint::hard::is_hard;
use sources::project::files::Files;

/// Levels by the names of rules, none for off; the last one of a name counts.
pub type Levels = Vec<(String, Option<Level>)>;

/// Settings by which findings become reports.
#[derive(Clone, Copy, Default)]
pub struct Settling<'l> {
    /// The levels that were set, the strongest at the end.
    pub levels: &'l [(String, Option<Level>)],
    /// A document without a project: what needs one is not judged, so that nobody knows whether
    /// an `allow` of it is used.
    pub alone: bool,
}

/// The findings to report at default levels.
#[must_use]
pub fn finish(sink: Sink, files: &Files) -> Vec<Diagnostic> {
    settle(sink, files, Settling::default())
}

/// The findings to report: sorted by place, equal findings once.
#[must_use]
pub fn settle(sink: Sink, files: &Files, settling: Settling<'_>) -> Vec<Diagnostic> {
    let allowed = Allowed::of(files);
    let mut said = Sink::default();
    for finding in sink.into_sorted() {
        if !allowed.silences(&finding) {
            said.push(finding);
        }
    }
    let judged = |lint: &Lint| {
        let off = match settling.level(lint) {
            Some(level) => level.is_none(),
            None => is_off_by_default(lint),
        };
        let unsettled = settling.alone && needs_project(lint);
        !(off || unsettled)
    };
    for finding in allowed.unused(judged) {
        if !allowed.silences(&finding) {
            said.push(finding);
        }
    }
    let leveled = |finding: Diagnostic| match settling.level(finding.lint) {
        None => Some(finding),
        Some(level) => Some(finding.level(level?)),
    };
    let findings = said.into_sorted().into_iter().filter_map(leveled);
    let findings = reach::merged(files, findings.collect());
    let mut findings: Vec<Diagnostic> = findings
        .into_iter()
        .map(|finding| spell::spelled(files, finding))
        .collect();
    reach::count(files, &mut findings);
    conceal::concealed(files, findings)
}

impl Settling<'_> {
    /// The level that was set for a rule, if one was.
    fn level(&self, lint: &Lint) -> Option<Option<Level>> {
        let mut levels = self.levels.iter().rev();
        let (_, set) = levels.find(|(name, _)| name == lint.name)?;
        // What cannot be made less was refused where it was set.
        Some(match is_hard(lint) {
            true => (*set).max(Some(lint.level)),
            false => *set,
        })
    }
}

fn needs_project(lint: &Lint) -> bool {
    lint.code.starts_with("GW05") || lint.code.starts_with("GW06")
}
