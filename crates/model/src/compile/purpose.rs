//! Purposes of a compilation, and the findings that stop each of them.

use diag::{Diagnostic, Level, Lint};
use openapi::lint::hard::{is_hard, is_later};

use vocab::lints;

/// Purpose of a compilation. Default: [`Purpose::Run`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Compile to run: any fault is an error.
    #[default]
    Run,
    /// Compile to answer queries about requests: settings that this version cannot run are no
    /// errors and are left out of the answer.
    Ask,
    /// Compile to compare: only faults that leave the meaning open are errors.
    Compare,
    /// The same for a document without its project, with undefined names.
    CompareAlone,
    /// Compile an old version to compare: faults of its contract are left out as well.
    Past,
    /// The same as `Past`, for a document without its project.
    PastAlone,
}

impl Purpose {
    /// True if a finding stops lowering for this purpose.
    #[must_use]
    pub fn stops(self, finding: &Diagnostic) -> bool {
        let wrong = finding.level == Level::Error && !is_later(finding.lint);
        let open = wrong && is_hard(finding.lint);
        match self {
            Self::Run => wrong || is_later(finding.lint),
            Self::Ask => wrong,
            Self::Compare | Self::Past => open,
            Self::CompareAlone | Self::PastAlone => open && !is_of_project(finding.lint),
        }
    }

    /// True if broken parts of a contract are left out.
    #[must_use]
    pub fn skips(self) -> bool {
        matches!(self, Self::Past | Self::PastAlone)
    }
}

/// True if a rule is about names and paths that only a project defines.
pub(super) fn is_of_project(lint: &Lint) -> bool {
    let of_project = [
        &lints::UNKNOWN_POLICY,
        &lints::UNKNOWN_UPSTREAM,
        &lints::UNKNOWN_AUTH,
        &lints::UNKNOWN_STORE,
        &lints::SERVER_PATH_DIFFERS,
    ];
    of_project.iter().any(|known| std::ptr::eq(*known, lint))
}
