//! Exit codes of the program: one table for every command (command-line.md, *Exit codes*).

use std::fmt;

/// An exit code with its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exit(pub u8);

impl Exit {
    /// Done.
    pub const OK: Self = Self(0);
    /// Findings, a failed test, or a gate that tripped.
    pub const FINDINGS: Self = Self(1);
    /// There are changes (only with `--exit-code`).
    pub const CHANGES: Self = Self(2);
    /// The plan is stale: the channel moved since it was made.
    pub const STALE: Self = Self(3);
    /// Verification failed.
    pub const UNVERIFIED: Self = Self(4);
    /// The roll-out failed or is only partly done.
    pub const ROLLOUT: Self = Self(5);
    /// Wrong usage.
    pub const USAGE: Self = Self(64);
    /// Input cannot be read or parsed at all.
    pub const INPUT: Self = Self(65);
    /// The store or a gateway cannot be reached.
    pub const UNREACHABLE: Self = Self(69);
    /// A bug of ours.
    pub const BUG: Self = Self(70);
}

/// Code of a failure: a variable has a value in an environment only, and none is chosen.
pub const ENVIRONMENT_NEEDED: &str = "environment-needed";

/// An error that knows how the program ends; anything else is input that cannot be read.
#[derive(Debug)]
pub struct Failure {
    /// Exit code of the program.
    pub exit: Exit,
    /// Kebab-case, for programs.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure with its code.
    pub fn new(exit: Exit, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.into(),
            message: message.into(),
        }
    }

    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::USAGE, "usage", message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Exit code of an error, and its code for programs.
#[must_use]
pub fn of(error: &anyhow::Error) -> (Exit, String) {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return (failure.exit, failure.code.clone());
        }
        if let Some(refused) = cause.downcast_ref::<bundle::refused::Refused>() {
            return (of_refused(refused), refused.reason().into_owned());
        }
        if let Some(write) = cause.downcast_ref::<bundle::store::WriteError>() {
            return match write {
                bundle::store::WriteError::Conflict { .. } => (Exit::STALE, "stale".into()),
                bundle::store::WriteError::Refused(refused) => {
                    (of_refused(refused), refused.reason().into_owned())
                }
            };
        }
    }
    (Exit::INPUT, "input".into())
}

fn of_refused(refused: &bundle::refused::Refused) -> Exit {
    use bundle::refused::Refused;
    match refused {
        Refused::StoreUnreachable { .. } => Exit::UNREACHABLE,
        _ => Exit::UNVERIFIED,
    }
}
