//! Names of request fields that a client must not set. Some belong to one connection or to the
//! framing of a message; only the gateway or a trusted proxy sets the others. gwd removes the
//! fields from received requests, and a condition on a field cannot use them.

/// Prefix of forwarding fields. Some upstreams trust every field with this prefix
/// (`X-Forwarded-Uri`, `X-Forwarded-User`, `X-Forwarded-Scheme`).
const FORWARDING: &str = "x-forwarded-";
/// Fields in which proxies, balancers, application servers and content delivery networks write the
/// client's address, or the scheme or host of its request. Removed unless a trusted proxy sends
/// them.
pub const PROXY_FIELDS: [&str; 29] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded-for",
    "forwarded-for-ip",
    "front-end-https",
    "proxy-client-ip",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-remote-addr",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-host",
    "x-original-forwarded-for",
    "x-original-host",
    "x-originating-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-scheme",
    "x-url-scheme",
];
/// Fields to which each hop appends its data (RFC 7239, `X-Forwarded-*`). Requests of the gateway
/// itself have these fields as well, so that a service sees the same hops as the upstream.
pub const HOPS: [&str; 5] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
];

/// Prefix of the fields that identify the consumer. Only the gateway sets them.
const IDENTITY: &str = "x-consumer-";

/// Fields that carry the certificate of a client (RFC 9440, Envoy).
pub const CERTIFICATE: [&str; 3] = [
    "client-cert",
    "client-cert-chain",
    "x-forwarded-client-cert",
];
/// Prefixes of further fields in which proxies, balancers and application servers write the
/// certificate of a client, or a part of it. Examples are NGINX, Ingress-NGINX, `HAProxy`, Azure,
/// AWS, Google Cloud, Cloudflare and WebLogic. Treated as the fields in [`CERTIFICATE`].
pub const CERTIFICATE_PREFIXES: [&str; 9] = [
    "cf-client-cert",
    "client-certificate",
    "ssl-client-",
    "wl-proxy-client-cert",
    "x-amzn-mtls-clientcert",
    "x-arr-clientcert",
    "x-client-cert",
    "x-ssl-cert",
    "x-ssl-client-",
];

/// Managed fields that a peer may set. Default: none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// True if the peer may set the forwarding fields.
    pub forwarding: bool,
    /// True if the peer may set the fields with the client certificate.
    pub certificate: bool,
}

/// Fields that belong to one message or connection and cannot be forwarded (RFC 9110 §7.6.1), in
/// lower case. Includes `Host`, which has another meaning at each hop.
pub const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// True for a field that the peer must not set, because only the gateway or a trusted proxy may.
/// Includes lookalikes with another character for `-`, such as `_`, `.` or `~`, which some servers
/// do not distinguish (CVE-2026-88011).
#[must_use]
pub fn is_managed(name: &str, allowed: Allowed) -> bool {
    // Fast path: the first bytes exclude most names.
    if !matches!(
        name.as_bytes(),
        [b'x' | b'f', ..]
            | [b'c', b'l' | b'f', ..]
            | [b'p', b'r', b'o', b'x', ..]
            | [b's', b's', b'l', ..]
            | [b't', b'r', b'u', ..]
            | [b'w', b'l', ..]
    ) {
        return false;
    }
    let folds = folds(name);
    let folded;
    let plain = if folds {
        folded = plain(name);
        folded.as_str()
    } else {
        name
    };
    if plain.starts_with(IDENTITY) || plain == "x-gateway-attempt" {
        return true;
    }
    // From a trusted proxy, accept the exact name and no lookalike.
    let refused = |is_one: bool, allowed: bool| is_one && (folds || !allowed);
    refused(is_forwarding(plain), allowed.forwarding)
        || refused(is_certificate(plain), allowed.certificate)
        || folds && plain == "x-request-id"
}

/// True for a forwarding field. The gateway accepts such fields only from trusted proxies.
#[must_use]
pub fn is_forwarding(name: &str) -> bool {
    let is_one =
        name.starts_with(FORWARDING) || name == "forwarded" || PROXY_FIELDS.contains(&name);
    is_one && !is_certificate(name)
}

/// True for a field with the certificate of a client, or with a part of it. `name` is in lower case.
#[must_use]
pub fn is_certificate(name: &str) -> bool {
    CERTIFICATE.contains(&name)
        || CERTIFICATE_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// True for a lookalike of a field that frames the message, belongs to the connection, or
/// determines how the body is decoded. A server that treats both names as equal would see another
/// end of the message, or decode the body differently from the gateway.
#[must_use]
pub fn is_hop_lookalike(name: &str) -> bool {
    // Fast path: most names have another length.
    let known = match name.len() {
        10 => "keep-alive",
        12 if name.starts_with('c') => "content-type",
        14 if name.starts_with('c') => "content-length",
        14 => "http2-settings",
        16 if name.starts_with('c') => "content-encoding",
        16 => "proxy-connection",
        17 => "transfer-encoding",
        18 => "proxy-authenticate",
        19 => "proxy-authorization",
        _ => return false,
    };
    is_lookalike(name, known)
}

/// True if two names are equal when all characters but letters and digits are read as `-`, as some
/// servers do.
#[must_use]
pub fn alike(one: &[u8], other: &[u8]) -> bool {
    let mut pairs = one.iter().zip(other);
    one.len() == other.len() && pairs.all(|(a, b)| folded(*a) == folded(*b))
}

/// Form of a name that is equal for two names exactly if they are [`alike`].
#[must_use]
pub fn alike_form(name: &str) -> Vec<u8> {
    name.bytes().map(folded).collect()
}

fn folded(byte: u8) -> u8 {
    if is_folded(byte) { b'-' } else { byte }
}

/// Form of a request field's name that is equal for all its lookalikes ([`alike`]): lower case,
/// with `-` in place of each punctuation character.
#[must_use]
pub fn plain(name: &str) -> String {
    name.to_ascii_lowercase()
        .replace(|c: char| c.is_ascii_punctuation(), "-")
}

/// True if a name contains a character that some servers fold to `-`.
#[must_use]
pub fn folds(name: &str) -> bool {
    name.bytes().any(is_folded)
}

/// True for a byte that some servers treat as `-` in field names. lighttpd does so for all bytes
/// that are neither letters nor digits (`X~User`), other servers for `_` and `.`.
fn is_folded(byte: u8) -> bool {
    byte != b'-' && !byte.is_ascii_alphanumeric()
}

/// True if `other` differs from `name`, and some servers do not distinguish them ([`alike`]).
#[must_use]
pub fn is_lookalike(other: &str, name: &str) -> bool {
    other != name && alike(other.as_bytes(), name.as_bytes())
}

/// Fields of a single connection (RFC 9110 §7.6.1), of the message's framing, and of its host. gwd
/// removes or checks these fields before it selects an operation.
pub const OF_CONNECTION: [&str; 13] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Fields that gwd replaces if their values are invalid or their peer is not trusted.
const REPLACED: [&str; 2] = ["traceparent", "x-request-id"];
/// Prefix of fields that are reserved for the gateway.
const RESERVED: &str = "x-gateway-";

/// True if an operation cannot be selected by the field, because gwd removes, checks or replaces
/// the field before. `name` is in lower case.
#[must_use]
pub fn is_removed(name: &str) -> bool {
    OF_CONNECTION.contains(&name)
        || REPLACED.contains(&name)
        || is_hop_lookalike(name)
        || is_managed(name, Allowed::default())
        || name
            .get(..RESERVED.len())
            .is_some_and(|start| alike(start.as_bytes(), RESERVED.as_bytes()))
}
