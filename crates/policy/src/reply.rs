//! Responses of the gateway itself.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::head::FieldNames;
use crate::reject::Reject;

/// Complete response that the gateway creates itself.
#[derive(Clone)]
pub struct Reply {
    /// Status code.
    pub status: StatusCode,
    /// Header fields without `Content-Length`, which gwd adds later.
    pub headers: HeaderMap,
    /// Body of the response.
    pub body: Bytes,
    /// Refusal that this response represents. `None` if the response is not a refusal.
    pub refusal: Option<&'static Reject>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("headers", &FieldNames(&self.headers))
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}
