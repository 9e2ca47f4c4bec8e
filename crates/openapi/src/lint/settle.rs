//! Selection of the findings to report: sorted, at the configured levels, without silenced
//! findings.
//!
//! Order of precedence of levels: `x-gateway-lint` at a node, the last `--rule` for a rule on the
//! command line, `lint` in gateway.yaml, the default of the rule. None of these applies to errors
//! that prevent a build.

use diag::{Diagnostic, Level, Lint, Sink};

use super::allow::Allowed;
use super::{conceal, is_off_by_default, reach, spell};
use crate::lint::hard::is_hard;
use sources::project::files::Files;

/// Levels by rule name. `None` means off. The last level of a name counts.
pub type Levels = Vec<(String, Option<Level>)>;

/// Settings that decide which findings are reported, and at which level.
#[derive(Clone, Copy, Default)]
pub struct ReportSettings<'l> {
    /// Configured levels by rule name. `None`: the rule is off. Later entries take precedence.
    pub levels: &'l [(String, Option<Level>)],
    /// True for a document outside a project. Rules that need a project do not run, so unused
    /// `allow` entries for them are not reported.
    pub alone: bool,
}

/// Returns the findings to report, at the default levels of their rules.
#[must_use]
pub fn finish(sink: Sink, files: &Files) -> Vec<Diagnostic> {
    findings_to_report(sink, files, ReportSettings::default())
}

/// Returns the findings to report: sorted by place, without duplicates.
#[must_use]
pub fn findings_to_report(
    sink: Sink,
    files: &Files,
    settling: ReportSettings<'_>,
) -> Vec<Diagnostic> {
    let allowed = Allowed::of(files);
    let mut reported = Sink::default();
    for finding in sink.into_sorted() {
        if !allowed.silences(&finding) {
            reported.push(finding);
        }
    }
    let is_reported = |lint: &Lint| {
        let off = match settling.level(lint) {
            Some(level) => level.is_none(),
            None => is_off_by_default(lint),
        };
        let unsettled = settling.alone && needs_project(lint);
        !(off || unsettled)
    };
    for finding in allowed.unused(is_reported) {
        if !allowed.silences(&finding) {
            reported.push(finding);
        }
    }
    let leveled = |finding: Diagnostic| match settling.level(finding.lint) {
        None => Some(finding),
        Some(level) => Some(finding.level(level?)),
    };
    let findings = reported.into_sorted().into_iter().filter_map(leveled);
    let findings = reach::merged(files, findings.collect());
    let mut findings: Vec<Diagnostic> = findings
        .into_iter()
        .map(|finding| spell::spelled(files, finding))
        .collect();
    reach::count(files, &mut findings);
    conceal::concealed(files, findings)
}

impl ReportSettings<'_> {
    /// Level that the user has configured for a rule: `Some(None)` means off. `None` if the user
    /// has configured none.
    fn level(&self, lint: &Lint) -> Option<Option<Level>> {
        let mut levels = self.levels.iter().rev();
        let (_, set) = levels.find(|(name, _)| name == lint.name)?;
        // A level that is too low for a hard rule is refused where it is set; ignore it here.
        Some(match is_hard(lint) {
            true => (*set).max(Some(lint.level)),
            false => *set,
        })
    }
}

fn needs_project(lint: &Lint) -> bool {
    lint.code.starts_with("GW05") || lint.code.starts_with("GW06")
}
