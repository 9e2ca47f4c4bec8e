//! Request fields in which an upstream receives the caller's identity (`forward_as`,
//! `claims_to_headers`).
//!
//! The client's own values are removed first (`crate::strip`), on every operation of the API. A
//! claim whose value is not valid in a field is omitted.

use bundle::ir;
use http::{HeaderMap, HeaderName, HeaderValue};
use policy::Principal;

/// Request fields in which the upstream receives the caller's identity, for one security scheme.
#[derive(Debug, Default)]
pub(super) struct Passes {
    forward_as: Option<HeaderName>,
    claims: Box<[(Box<str>, HeaderName)]>,
}

impl Passes {
    pub(super) fn of(written: &ir::Passes) -> Self {
        let name = |field: &str| HeaderName::try_from(field).ok();
        let claims = written.claims.iter();
        Self {
            forward_as: written.forward_as.as_deref().and_then(name),
            claims: claims
                .filter_map(|(claim, field)| Some((claim.as_str().into(), name(field)?)))
                .collect(),
        }
    }

    /// Sets the identity fields for a caller.
    pub(super) fn write(&self, principal: &Principal<'_>, headers: &mut HeaderMap) {
        let mut insert = |name: &HeaderName, value: Option<&str>| {
            if let Some(value) = value.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name.clone(), value);
            }
        };
        if let Some(name) = &self.forward_as {
            let subject = || principal.token.as_ref()?.subject.as_deref();
            insert(name, principal.consumer.or_else(subject));
        }
        for (claim, name) in &self.claims {
            insert(name, principal.claim(claim));
        }
    }
}
