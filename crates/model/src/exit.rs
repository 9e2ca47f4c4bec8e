//! Exit codes, the same for every command (command-line.md, *Exit codes*).

use std::fmt;

/// Exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exit(pub u8);

impl Exit {
    /// Success.
    pub const OK: Self = Self(0);
    /// Findings, a failed test, or a change that a gate refuses.
    pub const FINDINGS: Self = Self(1);
    /// The command found changes. Only with `--exit-code`.
    pub const CHANGES: Self = Self(2);
    /// The plan no longer matches: the channel, the sources, the gates or the file have changed. Or
    /// the store has another record with the serial.
    pub const STALE: Self = Self(3);
    /// A signature or bundle failed verification.
    pub const UNVERIFIED: Self = Self(4);
    /// Failed or incomplete roll-out.
    pub const ROLLOUT: Self = Self(5);
    /// Invalid command line.
    pub const USAGE: Self = Self(64);
    /// Unreadable or unparsable input, or a bundle that gwd refuses.
    pub const INPUT: Self = Self(65);
    /// Unreachable store or gateway.
    pub const UNREACHABLE: Self = Self(69);
    /// Internal error.
    pub const BUG: Self = Self(70);
}

/// Failure code: no environment is chosen, but a variable has values only in environments.
pub const ENVIRONMENT_NEEDED: &str = "environment-needed";

/// Error with an exit code. An error of any other type counts as unreadable input.
#[derive(Debug)]
pub struct Failure {
    /// Exit code of the program.
    pub exit: Exit,
    /// Machine-readable code in kebab-case.
    pub code: String,
    /// Message for people.
    pub message: String,
}

impl Failure {
    /// Creates a failure with its code.
    pub fn new(exit: Exit, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.into(),
            message: message.into(),
        }
    }

    /// Creates a failure for an invalid command line.
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

/// Finds the exit code and the machine-readable code of an error.
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
