//! URLs that gwd itself requests: of an authorization service, a key set, or an introspection
//! endpoint.
//!
//! gwc creates an upstream for the origin of each URL. The origin is the upstream's name. TLS,
//! hosts, limits, metrics and plans therefore treat requests to the URL like requests to any other
//! upstream.

/// URL that gwd requests, split into the properties of its upstream and the request target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the upstream: `SCHEME://HOST[:PORT]` in lower case, without the default port of the
    /// scheme.
    pub origin: String,
    /// True for `https`.
    pub tls: bool,
    /// Host name or address. IPv6 addresses have no brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query; `/` if the URL has neither.
    pub target: String,
}

impl Endpoint {
    /// Parses an absolute `http` or `https` URL. `None` if it is invalid, or contains a user or a
    /// fragment.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        let uri: http::Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        if url.contains('#') || authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let written = authority.host().to_ascii_lowercase();
        let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if tls => 443,
            None => 80,
        };
        let origin = match (tls, port) {
            (true, 443) => format!("https://{written}"),
            (false, 80) => format!("http://{written}"),
            (true, port) => format!("https://{written}:{port}"),
            (false, port) => format!("http://{written}:{port}"),
        };
        let host = written.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            origin,
            tls,
            host: host.to_owned(),
            port,
            target: uri
                .path_and_query()
                .map_or("/", |it| it.as_str())
                .to_owned(),
        })
    }

    /// True if requests to the URL are encrypted, or stay on this machine.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        let address: Option<std::net::IpAddr> = self.host.parse().ok();
        self.tls || self.host == "localhost" || address.is_some_and(|it| it.is_loopback())
    }
}

/// True if the name of an upstream is an origin, which means that gwc created the upstream for a
/// URL.
#[must_use]
pub fn is_origin(upstream: &str) -> bool {
    upstream.starts_with("https://") || upstream.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_becomes_origin_and_target() {
        for (url, origin, host, port, target) in [
            (
                "https://IDP.example/keys?v=1",
                "https://idp.example",
                "idp.example",
                443,
                "/keys?v=1",
            ),
            (
                "https://idp.example:443",
                "https://idp.example",
                "idp.example",
                443,
                "/",
            ),
            (
                "http://127.0.0.1:9000/a",
                "http://127.0.0.1:9000",
                "127.0.0.1",
                9000,
                "/a",
            ),
            (
                "https://[::1]:8443/a",
                "https://[::1]:8443",
                "::1",
                8443,
                "/a",
            ),
        ] {
            let read = Endpoint::of(url).unwrap();
            assert_eq!(
                (read.origin.as_str(), read.host.as_str()),
                (origin, host),
                "{url}"
            );
            assert_eq!((read.port, read.target.as_str()), (port, target), "{url}");
        }
        for url in [
            "/a",
            "ftp://a/",
            "https://u@a/",
            "https://a/#b",
            "https://a:0/",
            "https://a:x/",
        ] {
            assert_eq!(Endpoint::of(url), None, "{url}");
        }
    }

    #[test]
    fn plain_http_is_safe_on_this_machine_only() {
        for (url, safe) in [
            ("https://a.example/", true),
            ("http://127.0.0.1/", true),
            ("http://[::1]/", true),
            ("http://localhost:1/", true),
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(Endpoint::of(url).unwrap().is_safe(), safe, "{url}");
        }
    }
}
