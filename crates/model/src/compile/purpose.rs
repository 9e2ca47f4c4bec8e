//! Purposes of a compilation. The purpose decides which findings prevent lowering.

use diag::{Diagnostic, Level, Lint};
use openapi::lint::hard::{is_hard, is_later};

use vocab::condition_lints::LOOKALIKE_CONDITIONS;
use vocab::lints;

/// Purpose of a compilation. Default: [`Purpose::Run`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Build of a bundle that runs: every error prevents lowering, and so does a setting that gwd
    /// does not support yet.
    #[default]
    Run,
    /// `gwc route` looks up requests in the result. Settings that gwd does not support yet do not
    /// prevent lowering; the look-up ignores them.
    Route,
    /// The result is compared. Only errors that leave the meaning undefined prevent lowering.
    Compare,
    /// Like `Compare`, for a document without its project: undefined names are allowed.
    CompareAlone,
    /// Like `Compare`, for an old version. Errors in its contract do not prevent lowering; the
    /// parts with errors are left out.
    Past,
    /// Like `Past`, for a document without its project.
    PastAlone,
    /// Only the findings and the model are needed. Nothing is lowered.
    Findings,
}

impl Purpose {
    /// True if a finding prevents lowering for this purpose.
    #[must_use]
    pub fn stops(self, finding: &Diagnostic) -> bool {
        let wrong = finding.level == Level::Error && !is_later(finding.lint);
        let open = wrong && is_hard(finding.lint);
        match self {
            Self::Run | Self::Findings => wrong || is_later(finding.lint),
            Self::Route => wrong,
            Self::Compare => open,
            Self::CompareAlone => open && !is_of_project(finding.lint),
            Self::Past => open && !has_meaning(finding.lint),
            Self::PastAlone => open && !is_of_project(finding.lint) && !has_meaning(finding.lint),
        }
    }

    /// True if the result contains the configuration for a bundle.
    #[must_use]
    pub(super) fn lowers(self) -> bool {
        self != Self::Findings
    }

    /// True if the result omits the invalid parts of a contract.
    #[must_use]
    pub fn skips(self) -> bool {
        matches!(self, Self::Past | Self::PastAlone)
    }
}

/// True for a rule whose violation only makes some requests ambiguous. gwd refuses these requests,
/// so an old version that breaks the rule can still be compared.
fn has_meaning(lint: &Lint) -> bool {
    std::ptr::eq(lint, &raw const LOOKALIKE_CONDITIONS)
}

/// True if a rule concerns names and paths that only a project can define.
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
