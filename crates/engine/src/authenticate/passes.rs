//! Request fields in which an upstream receives the caller's identity (settings `forward_as` and
//! `claims_to_headers`).
//!
//! The client's values of these fields are removed first (`crate::strip`), on every operation of
//! the API. A claim whose value is not valid in a field is omitted.

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

    /// True if the scheme passes nothing to the upstream.
    pub(super) fn is_empty(&self) -> bool {
        self.forward_as.is_none() && self.claims.is_empty()
    }

    /// Sets the identity fields for a caller.
    pub(super) fn write(&self, principal: &Principal<'_>, headers: &mut HeaderMap) {
        let mut insert = |name: &HeaderName, value: Option<&str>| {
            // Omit a value with spaces at its ends, because servers trim them (RFC 9110 §5.5): `
            // admin` would become `admin`.
            let value = value.filter(|text| text.trim() == *text);
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

#[cfg(test)]
mod tests {
    use policy::Claims;
    use policy::declared::{Scalar, Settings, Value};

    use super::*;

    #[test]
    fn values_with_outer_white_space_are_omitted() {
        let field = HeaderName::from_static;
        let passes = Passes {
            forward_as: Some(field("x-user")),
            claims: [("mail".into(), field("x-mail"))].into(),
        };
        for (consumer, mail, expected) in [
            ("admin", "a b@c", ["admin", "a b@c"]),
            (" admin", "root@corp ", ["-", "-"]),
            ("admin\u{a0}", "\troot@corp", ["-", "-"]),
        ] {
            let written = Value::One(Scalar::Text(mail.to_owned()));
            let claims = Claims::of(&Settings::default().with(&["mail"], written));
            let principal = Principal {
                consumer: Some(consumer),
                scheme: "s",
                claims: &claims,
                groups: &[],
                plan: None,
                token: None,
            };
            let mut headers = HeaderMap::new();
            passes.write(&principal, &mut headers);
            let sent = ["x-user", "x-mail"].map(|name| {
                let value = headers.get(name).map(|value| value.to_str().unwrap());
                value.unwrap_or("-").to_owned()
            });
            assert_eq!(sent, expected);
        }
    }
}
