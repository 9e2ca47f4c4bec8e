//! Address of a service.

use http::HeaderValue;
use tokio_rustls::TlsConnector;

/// Service, by its URL.
#[derive(Clone)]
pub struct Endpoint {
    /// Host name or IP address, IPv6 without brackets.
    pub host: String,
    /// Port of the service.
    pub port: u16,
    /// Value of `Host` in requests to the service.
    pub authority: HeaderValue,
    /// Path of the requests, such as `/v1/traces`, with the query if there is one.
    pub path: String,
    /// TLS client settings for `https`. `None`: `http`.
    pub(crate) tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Formats an endpoint as the URL of its requests.
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        let authority = self.authority.to_str().unwrap_or_default();
        write!(f, "{scheme}://{authority}{}", self.path)
    }
}
