//! URLs of requests: origin, path and query.

use http::Uri;
use http::uri::PathAndQuery;

/// Maximum length of a URL or of a `Location` field, in bytes.
const LOCATION_BYTES_MAX: usize = 8 << 10;

/// Server to which a request is sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    /// True for HTTPS.
    pub(crate) tls: bool,
    /// Host name or IP address, without brackets, in lower case.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// URL of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) origin: Origin,
    pub(crate) target: PathAndQuery,
}

impl Origin {
    /// Value of the `Host` field.
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match self.port == default_port(self.tls) {
            true => host,
            false => format!("{host}:{}", self.port),
        }
    }

    /// Creates the URL of a path on this server.
    pub(crate) fn at(&self, target: &str) -> Result<Url, &'static str> {
        Ok(Url {
            origin: self.clone(),
            target: target.parse().map_err(|_| "the path is not valid")?,
        })
    }
}

impl Url {
    /// Parses an absolute URL with the scheme `http` or `https`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "not a URL";
        if text.len() > LOCATION_BYTES_MAX {
            return Err("the URL is too long");
        }
        let uri: Uri = text.parse().map_err(|_| WRONG)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the scheme is neither https nor http"),
        };
        let authority = uri.authority().ok_or(WRONG)?;
        if authority.as_str().contains('@') {
            return Err("the URL contains a user");
        }
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(WRONG);
        }
        let target = uri.path_and_query().cloned();
        Ok(Self {
            origin: Origin {
                tls,
                host: host.to_ascii_lowercase(),
                port: authority.port_u16().unwrap_or(default_port(tls)),
            },
            target: target.unwrap_or(PathAndQuery::from_static("/")),
        })
    }

    /// Resolves the `Location` of a response: an absolute URL, or an absolute path.
    pub(crate) fn join(&self, location: &str) -> Result<Self, &'static str> {
        if location.len() > LOCATION_BYTES_MAX {
            return Err("the Location is too long");
        }
        let joined = match location.starts_with('/') && !location.starts_with("//") {
            true => self.origin.at(location)?,
            false => Self::parse(location)?,
        };
        match self.origin.tls && !joined.origin.tls {
            true => Err("the Location leads from https to http"),
            false => Ok(joined),
        }
    }

    /// Returns the URL with an additional query parameter, such as `a=b`.
    pub(crate) fn with(&self, parameter: &str) -> Result<Self, &'static str> {
        let separator = match self.target.query() {
            Some(_) => '&',
            None => '?',
        };
        self.origin
            .at(&format!("{}{separator}{parameter}", self.target))
    }
}

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Percent-encodes a value for a query.
pub(crate) fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved_within_limits() {
        let base = Url::parse("https://r.example/v2/a/blobs/uploads/").unwrap();
        for (location, expected) in [
            ("/v2/x?a=b", "https r.example /v2/x?a=b"),
            ("https://cdn.example:444/x", "https cdn.example:444 /x"),
            ("https://R.example", "https r.example /"),
        ] {
            let joined = base.join(location).unwrap();
            let scheme = if joined.origin.tls { "https" } else { "http" };
            let text = format!("{scheme} {} {}", joined.origin.authority(), joined.target);
            assert_eq!(text, expected, "{location}");
        }
        for bad in [
            "",
            "x",
            "//other/x",
            "http://r.example/x",
            "ftp://r.example/x",
            "https://user@r.example/",
            "/a b",
            &format!("/{}", "a".repeat(LOCATION_BYTES_MAX)),
        ] {
            assert!(base.join(bad).is_err(), "{bad}");
        }
        let why = base.join("http://r.example/x").unwrap_err();
        assert_eq!(why, "the Location leads from https to http");
        let url = base
            .join("/u?state=1")
            .unwrap()
            .with("digest=sha256:00")
            .unwrap();
        assert_eq!(url.target, "/u?state=1&digest=sha256:00");
        assert_eq!(
            encode("repository:a/b:pull,push"),
            "repository%3Aa%2Fb%3Apull%2Cpush"
        );
    }
}
