//! Text or bytes that cannot be read as what they should be: the error of the parsers of names, digests and times.

use std::borrow::Cow;
use std::fmt;

/// A part cannot be read. `why` is our own text, never text of the part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Name of the part.
    pub what: &'static str,
    /// Description of the mistake.
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
