//! Parts of a request that policies replaced for the upstream.

use http::{HeaderValue, Method};

/// Parts of a request that are replaced for the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Path after the target's path. None: the path is not rewritten.
    pub path: Option<String>,
    /// Query without `?`; empty to remove the query. None: the client's.
    pub query: Option<String>,
    /// `Host`. None: as configured in the upstream.
    pub host: Option<HeaderValue>,
    /// Method. None: the client's.
    pub method: Option<Method>,
}
