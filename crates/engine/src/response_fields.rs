//! Header fields of responses that validation checks.

use http::HeaderName;

use crate::edge;
use crate::snapshot::Treatment;

/// Beginnings of the names of fields that the gateway itself or a policy adds to responses. A
/// description may name them, although the upstream does not send them.
const ADDED: [&str; 14] = [
    "access-control-",
    "connection",
    "content-length",
    "date",
    "deprecation",
    "keep-alive",
    "quota-warning",
    "ratelimit",
    "retry-after",
    "sunset",
    "transfer-encoding",
    "via",
    "x-ratelimit-",
    "x-request-id",
];

impl Treatment {
    /// True if validation of responses checks the field with this name. It does not check fields
    /// that the gateway or a policy sets or removes.
    #[must_use]
    pub fn validates_response_field(&self, name: &HeaderName) -> bool {
        let is_added = ADDED.iter().any(|added| name.as_str().starts_with(added));
        !is_added
            && !self.response_fields_not_in_trailers().contains(name)
            && !edge::is_reserved_for_gateway(name.as_str())
    }
}
