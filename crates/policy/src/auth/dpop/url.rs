//! Comparison of the URL in a proof (`htu`) with the URL of the request (RFC 9449 §4.3, check 9).
//!
//! Both URLs are compared without query and fragment, after syntax-based and scheme-based
//! normalisation (RFC 3986 §6.2.2, §6.2.3).

/// URL of a request as the client sees it: the URL at the listener, or the URL that a trusted proxy
/// reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientUrl {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host in lower case, in brackets for IPv6.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Normalised path.
    pub path: String,
}

impl ClientUrl {
    /// Creates a URL. `port` applies if `authority` contains no port. `path` must be normalised.
    /// `None` for an invalid authority.
    #[must_use]
    pub fn new(
        scheme: &'static str,
        authority: &str,
        port: Option<u16>,
        path: String,
    ) -> Option<Self> {
        let (host, own) = split(authority)?;
        Some(Self {
            scheme,
            host,
            port: own.or(port).unwrap_or(usual_port(scheme)),
            path,
        })
    }

    /// Scheme, host and port, without the default port of the scheme.
    #[must_use]
    pub fn origin(&self) -> String {
        let Self {
            scheme, host, port, ..
        } = self;
        match *port == usual_port(scheme) {
            true => format!("{scheme}://{host}"),
            false => format!("{scheme}://{host}:{port}"),
        }
    }

    /// True if `htu` and this URL are equal. `normalise` normalises the path of `htu` in the same
    /// way as the path of this URL.
    #[must_use]
    pub fn is(&self, htu: &str, normalise: fn(&str) -> Option<String>) -> bool {
        let Some((scheme, rest)) = htu.split_once("://") else {
            return false;
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        let Some((host, port)) = split(authority) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(self.scheme)
            && host == self.host
            && port.unwrap_or(usual_port(self.scheme)) == self.port
            && normalise(path).as_deref() == Some(self.path.as_str())
    }
}

/// Splits an authority into the host in lower case and the port. `None` if it has user information
/// or an invalid port.
fn split(authority: &str) -> Option<(String, Option<u16>)> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte);
    if authority.is_empty() || !authority.bytes().all(plain) {
        return None;
    }
    let end = match authority.rfind(']') {
        Some(end) => end + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        Some(_) => return None,
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

fn usual_port(scheme: &str) -> u16 {
    match scheme {
        "https" => 443,
        _ => 80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_compared_without_query_and_default_port() {
        let seen = |scheme, authority| ClientUrl::new(scheme, authority, None, "/a/b".to_owned());
        let secure = seen("https", "API.example").unwrap();
        let other = seen("http", "[::1]:8080").unwrap();
        let same = |path: &str| Some(path.replace("%61", "a"));
        for (url, htu, expected) in [
            (&secure, "https://api.example/a/b", true),
            (&secure, "HTTPS://Api.Example:443/%61/b?x=1#y", true),
            (&secure, "https://api.example:/a/b", true),
            (&secure, "https://api.example/a/b/", false),
            (&secure, "https://api.example/A/b", false),
            (&secure, "http://api.example/a/b", false),
            (&secure, "https://api.example:8443/a/b", false),
            (&secure, "https://api.example.:443/a/b", false),
            (&secure, "https://me@api.example/a/b", false),
            (&secure, "https://api.example", false),
            (&secure, "//api.example/a/b", false),
            (&secure, "/a/b", false),
            (&secure, "https:/api.example/a/b", false),
            (&secure, "https://api.example:0443x/a/b", false),
            (&secure, "https://api.example\\/a/b", false),
            (&secure, "", false),
            (&other, "http://[::1]:8080/a/b", true),
            (&other, "http://[::1]/a/b", false),
            (&other, "http://[::2]:8080/a/b", false),
        ] {
            assert_eq!(url.is(htu, same), expected, "{htu}");
        }
        let behind = ClientUrl::new("https", "h", Some(8443), "/a/b".to_owned()).unwrap();
        assert!(behind.is("https://h:8443/a/b", same));
        assert!(!behind.is("https://h/a/b", same));
        assert_eq!(ClientUrl::new("https", "a b", None, "/".to_owned()), None);
    }
}
