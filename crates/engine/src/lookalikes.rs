//! Lookalike fields: request fields whose names a server may confuse with the name of a field that
//! the gateway checks. CGI maps `X-User` and `x_user` to the same variable (RFC 3875 §4.1.18). Some
//! servers also do this with `.` (CVE-2026-88011), or with every character except letters and
//! digits (lighttpd).

use http::header::{HeaderMap, HeaderName};
use policy::managed::is_lookalike;

/// True if other names can be lookalikes of `name`: it contains `-`, or a character that servers
/// fold to `-`.
pub(crate) fn has_spellings(name: &str) -> bool {
    name.bytes().any(|byte| !byte.is_ascii_alphanumeric())
}

/// Removes lookalikes: fields whose names differ from a name in `names` only by another character
/// instead of `-`. Returns the number of removed names.
pub(crate) fn strip(names: &[Box<str>], headers: &mut HeaderMap) -> u32 {
    let is_removed = |other: &str| {
        names.iter().any(|name| is_lookalike(other, name))
            && names.iter().all(|name| **name != *other)
    };
    // Most requests have no lookalike. An empty `Vec` allocates nothing.
    let removed = headers.keys().filter(|other| is_removed(other.as_str()));
    let removed: Vec<HeaderName> = removed.cloned().collect();
    for other in &removed {
        headers.remove(other);
    }
    u32::try_from(removed.len()).unwrap_or(u32::MAX)
}
