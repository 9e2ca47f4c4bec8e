//! Error of the parsers of names, digests and times.

use std::borrow::Cow;
use std::fmt;

/// Error: a name, digest or time is malformed. `why` never contains the malformed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Kind of the parsed text, for example `digest`.
    pub what: &'static str,
    /// Reason why the text is malformed.
    pub why: Cow<'static, str>,
}

impl Malformed {
    pub(crate) const fn new(what: &'static str, why: &'static str) -> Self {
        Self {
            what,
            why: Cow::Borrowed(why),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be read: {}", self.what, self.why)
    }
}

impl std::error::Error for Malformed {}
