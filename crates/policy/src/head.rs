//! The heads that policies see.

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};

/// A request's head after the edge has checked it: one host, no hop-by-hop fields, the path
/// normalised. What stands here is what is matched, authorised, logged and forwarded.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// Normalised path and the query as the client sent it.
    pub target: PathAndQuery,
    /// Lower-case host without port and final dot; empty where HTTP/1.0 sent none.
    pub host: Box<str>,
    /// The fields.
    pub headers: HeaderMap,
    /// Common upstreams may read the path as another one: it is matched again in each reading.
    pub is_ambiguous: bool,
}

impl RequestHead {
    /// The normalised path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The query without `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }
}

/// A response's head on its way to the client.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
}
