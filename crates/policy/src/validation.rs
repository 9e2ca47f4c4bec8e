//! Validation of messages: its settings, the check of a request, and the result.

use std::sync::Arc;

use http::uri::PathAndQuery;
use minicbor::{Decode, Encode};

use crate::invalid::Invalid;

/// Maximum length of a body that is read to be checked, if the operation has no `max_body`: 1 MiB.
pub const BODY_BYTES_DEFAULT: u64 = 1 << 20;
/// Maximum length of a body that is read to be checked, whatever `max_body` is: 8 MiB.
pub const BODY_BYTES_MAX: u64 = 8 << 20;

/// Mode of validation: handling of messages that do not match the description. Ordered from lenient
/// to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Mode {
    /// Messages are not checked.
    #[default]
    #[n(0)]
    Off,
    /// The message is forwarded; the findings are logged and counted.
    #[n(1)]
    Log,
    /// The message is refused.
    #[n(2)]
    Block,
}

/// Handling of query parameters that the operation does not describe. Ordered from lenient to
/// strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Undeclared {
    /// The parameters are forwarded.
    #[default]
    #[n(0)]
    Allow,
    /// The parameters are removed.
    #[n(1)]
    Strip,
    /// The request is refused.
    #[n(2)]
    Reject,
}

/// Settings for checking a request against the description of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// True if parameters and body are checked.
    pub schemas: bool,
    /// True if the step refuses a request that does not match the description.
    pub blocks: bool,
    /// Handling of query parameters that the operation does not describe.
    pub undeclared: Undeclared,
}

/// Result of the check of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// Findings about parameters and body.
    pub invalid: Option<Arc<Invalid>>,
    /// Findings about undescribed query parameters. `None` unless [`Undeclared::Reject`] refuses
    /// them.
    pub undeclared: Option<Arc<Invalid>>,
    /// Path and query without undescribed parameters. `None` unless [`Undeclared::Strip`] removed
    /// parameters.
    pub target: Option<PathAndQuery>,
    /// True if an operator has limited validation to logging, so that the step must not refuse the
    /// request.
    pub only_logs: bool,
}

// === impl Mode ===

impl Mode {
    /// Value in gateway.yaml.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Log => "log",
            Self::Block => "block",
        }
    }

    /// Mode with this value in gateway.yaml.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        let mut all = [Self::Off, Self::Log, Self::Block].into_iter();
        all.find(|mode| mode.word() == word)
    }
}

// === impl Undeclared ===

impl Undeclared {
    /// Value in `x-gateway`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Strip => "strip",
            Self::Reject => "reject",
        }
    }

    /// Parses a value of `undeclared_params` in `x-gateway`.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        let mut all = [Self::Allow, Self::Strip, Self::Reject].into_iter();
        all.find(|one| one.word() == word)
    }
}
