//! The parts of a request that policies replaced.

use http::{HeaderValue, Method};

/// Parts of a request that the upstream gets instead of those that the client sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Path that is appended to the target's path. None: the path is not rewritten.
    pub path: Option<String>,
    /// The query without `?`, empty for none; none: the client's.
    pub query: Option<String>,
    /// `Host`; none: as the upstream says.
    pub host: Option<HeaderValue>,
    /// The method; none: the client's.
    pub method: Option<Method>,
}
