//! The order of a chain. gwc sorts by it and writes the result into the bundle; gwd is a loop.
//!
//! Addresses come before authentication because they are cheap and protect it; consumer limits
//! come after it because they need to know who calls; whatever changes the request comes after
//! all that may refuse it.

/// Where in the chain a step runs (vocabulary.md, *Phases*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Limits keyed by address, address lists.
    Address,
    /// The operation's security requirement.
    Authenticate,
    /// Limits keyed by who calls.
    Limit,
    /// Changes of the request and of the response.
    Transform,
    /// Answers made by the gateway.
    Route,
}

impl Phase {
    /// As `gwc route` prints it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Authenticate => "authenticate",
            Self::Limit => "limit",
            Self::Transform => "transform",
            Self::Route => "route",
        }
    }
}
