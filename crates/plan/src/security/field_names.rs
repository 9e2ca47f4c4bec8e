//! Names of request fields with a meaning for upstreams: identities, credentials, and fields with
//! which clients restrict their own requests.

use bundle::ir;
use engine::edge::PROXY_FIELDS;
use policy::managed;

/// Name parts (between `-`, `_` and `.`) of fields that upstreams read as an identity, a right, or
/// the origin of a request.
const PARTS: &[&str] = &[
    "account",
    "admin",
    "assertion",
    "auth",
    "authenticated",
    "authorization",
    "client",
    "consumer",
    "cookie",
    "credential",
    "email",
    "forwarded",
    "group",
    "groups",
    "identity",
    "impersonate",
    "ip",
    "jwt",
    "key",
    "login",
    "member",
    "org",
    "organization",
    "original",
    "override",
    "permissions",
    "principal",
    "proxied",
    "realm",
    "remote",
    "role",
    "roles",
    "scope",
    "scopes",
    "session",
    "sub",
    "subject",
    "tenant",
    "token",
    "uid",
    "upn",
    "user",
    "userid",
    "username",
    "userinfo",
];

/// Texts in the names of fields that carry a credential. The text may be anywhere in the name.
const CREDENTIAL: &[&str] = &[
    "access",
    "assertion",
    "auth",
    "bearer",
    "cert",
    "cookie",
    "credential",
    "hmac",
    "jwt",
    "key",
    "pass",
    "secret",
    "session",
    "signature",
    "token",
];

/// Fields with which clients restrict their own requests. These are the page that sends a request,
/// a precondition (RFC 9110 §13, RFC 4918 §10), a digest (RFC 9530) or a signature (RFC 9421). Also
/// fields against cross-site request forgery, which other pages cannot set. Also the media type: a
/// page of another site can set only three types (Fetch §2.2.2), which such upstreams refuse. If an
/// upstream no longer receives such a field, it may admit requests that it refused before.
pub(super) const GUARDS: &[&str] = &[
    "content-digest",
    "content-md5",
    "content-type",
    "cookie",
    "depth",
    "digest",
    "if",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "overwrite",
    "referer",
    "repr-digest",
    "signature",
    "signature-input",
    "x-csrf-token",
    "x-csrftoken",
    "x-requested-by",
    "x-requested-with",
    "x-xsrf-token",
];

/// Fields whose fixed values are not compared: content negotiation (RFC 9110 §12.5) and identifiers
/// of requests in traces and logs. docs/plan.md contains the list for users.
pub(super) const HARMLESS: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "traceparent",
    "tracestate",
    "x-correlation-id",
    "x-request-id",
];

/// Request fields that the gateway itself removes and replaces (`edge::forwarded` in the engine),
/// in addition to [`PROXY_FIELDS`]. A policy that removes such a field changes nothing. Other
/// fields of trusted proxies are forwarded.
const MANAGED: &[&str] = &[
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
];

/// True for a request field that the gateway itself removes and replaces.
pub(super) fn is_managed(name: &str) -> bool {
    MANAGED.contains(&name) || PROXY_FIELDS.contains(&name)
}

/// True for a field that carries a credential, by its name.
pub(crate) fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIAL.iter().any(|text| name.contains(text))
}

/// True for a field that upstreams read as an identity or a right, or that replaces the path or the
/// method, by its name.
pub(super) fn is_identity(name: &str) -> bool {
    let name = managed::plain(name);
    let mut parts = name.split('-');
    ir::OVERRIDE_FIELDS.contains(&&*name) || parts.any(|part| PARTS.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::is_identity;

    #[test]
    fn identity_fields_are_found_by_words_of_their_name() {
        for name in [
            "Authorization",
            "cookie",
            "X-User",
            "x_user_id",
            "X-Forwarded-For",
            "x.tenant",
            "X_Rewrite.URL",
            "X-HTTP-Method",
        ] {
            assert!(is_identity(name), "{name}");
        }
        for name in [
            "X-Gateway",
            "Accept",
            "X-Users-Guide",
            "Content-Type",
            "Traceparent",
        ] {
            assert!(!is_identity(name), "{name}");
        }
    }
}
