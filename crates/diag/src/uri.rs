//! References by URI (RFC 3986).

use std::fmt::Write as _;

/// Converts a relative path to a URI reference (RFC 3986 §4.1). Escapes all characters except
/// unreserved characters and `/`.
#[must_use]
pub fn path_reference(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_become_uris() {
        assert_eq!(
            super::path_reference("apis/a b#é.yaml"),
            "apis/a%20b%23%C3%A9.yaml"
        );
    }
}
