//! Origins of pages (RFC 6454).

/// Origin as browsers serialise it: lower case, without the default port of its scheme (RFC 6454
/// §6.2).
pub(crate) fn canonical(origin: &str) -> String {
    let origin = origin.to_ascii_lowercase();
    let port = match origin.split_once("://") {
        Some(("https" | "wss", _)) => ":443",
        Some(("http" | "ws", _)) => ":80",
        Some(_) | None => return origin,
    };
    origin
        .strip_suffix(port)
        .map_or(origin.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_written_as_browsers_do() {
        for (written, sent) in [
            ("https://App.Example:443", "https://app.example"),
            ("http://a.example:80", "http://a.example"),
            ("http://a.example:443", "http://a.example:443"),
            ("https://*.example.org:8443", "https://*.example.org:8443"),
            ("*", "*"),
        ] {
            assert_eq!(canonical(written), sent);
        }
    }
}
