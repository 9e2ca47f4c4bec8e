//! Order of the steps in a chain. gwc sorts the steps and writes the order into the bundle; gwd
//! runs the steps in this order.
//!
//! Address checks run before authentication because they are cheap and protect it. Limits by
//! consumer run after authentication because they need the caller. Policies of the phases
//! [`Phase::Transform`] and [`Phase::Route`] change the request after the phases that check it.
//! Exceptions: `forward_auth` and `ext_proc` also change the request, in the step that checks it.

/// Phase of a step in the chain (command-line.md, *Phases*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Address lists, and limits keyed by address.
    Address,
    /// CORS. Runs before authentication, because preflights carry no credentials.
    Cors,
    /// Security requirement of the operation.
    Authenticate,
    /// Authorization: requirements on the caller in addition to the credential.
    Authorize,
    /// Limits keyed by caller.
    Limit,
    /// Validation of messages.
    Validate,
    /// Changes of the request and of the response.
    Transform,
    /// Cached responses.
    Cache,
    /// Responses by the gateway, and selection of the upstream.
    Route,
    /// Parameters of each attempt at an upstream.
    Attempt,
}

impl Phase {
    /// Name in the output of `gwc route`.
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
