//! Parts of a request that policies replaced for the upstream.

use http::{HeaderValue, Method};

/// Parts of a request that are replaced for the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Path to append to the target's path. `None`: the path is not rewritten.
    pub path: Option<String>,
    /// Query without `?`; empty to remove the query. `None`: the query of the client.
    pub query: Option<String>,
    /// Value of `Host`. `None`: as configured in the upstream.
    pub host: Option<HeaderValue>,
    /// Method of the request to the upstream. `None`: the client's method.
    pub method: Option<Method>,
}
