//! The order of a chain. gwc sorts by it and writes the result into the bundle; gwd is a loop.
//!
//! Addresses come before authentication because they are cheap and protect it; consumer limits
//! come after it because they need to know who calls; whatever changes the request comes after
//! all that may refuse it.

/// Phase of the chain in which a step runs (command-line.md, *Phases*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Limits keyed by address, address lists.
    Address,
    /// Cross-origin checks, before authentication: preflights carry no credentials.
    Cors,
    /// The operation's security requirement.
    Authenticate,
    /// Authorization: requirements on the caller beside a credential.
    Authorize,
    /// Limits keyed by who calls.
    Limit,
    /// Validation of messages.
    Validate,
    /// Changes of the request and of the response.
    Transform,
    /// Answers that were kept.
    Cache,
    /// Answers made by the gateway, and where requests go.
    Route,
    /// Each try at an upstream.
    Attempt,
}

impl Phase {
    /// As `gwc route` prints it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Cors => "cors",
            Self::Authenticate => "authenticate",
            Self::Authorize => "authorize",
            Self::Limit => "limit",
            Self::Validate => "validate",
            Self::Transform => "transform",
            Self::Cache => "cache",
            Self::Route => "route",
            Self::Attempt => "attempt",
        }
    }
}
