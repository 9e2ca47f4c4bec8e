//! Address of a collector, from its URL, and the CA certificates that gwd trusts for it.

use std::sync::Arc;

use http::{HeaderValue, Uri};
use tokio_rustls::TlsConnector;

use super::Endpoint;
use crate::telemetry::signal::Signal;
use crate::tls::client;

impl Endpoint {
    /// Reads the URL of a collector. `base_of`: the URL is the base of all signals, to which the
    /// path of this signal is added. `tls` creates the TLS client settings for `https`.
    ///
    /// # Errors
    /// If the URL cannot be used. The error is the reason.
    pub fn parse(
        url: &str,
        base_of: Option<Signal>,
        tls: impl FnOnce() -> Result<TlsConnector, String>,
    ) -> Result<Self, String> {
        // The message does not repeat a URL that may contain a password.
        let shown = if url.contains('@') {
            "it"
        } else {
            &format!("`{url}`")
        };
        let shape = || format!("{shown} is not a URL like `http://HOST:4318`");
        let uri: Uri = url.parse().map_err(|_| shape())?;
        let authority = uri.authority().ok_or_else(shape)?;
        if authority.as_str().contains('@') {
            return Err(
                "the URL has a user name or a password; write credentials as \
                 `OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic%20…`"
                    .to_owned(),
            );
        }
        if uri.query().is_some() {
            return Err(format!("`{url}` has a query; write the URL without it"));
        }
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(tls()?), 443),
            _ => return Err(shape()),
        };
        let port = match &authority.as_str()[authority.host().len()..] {
            "" => port,
            _ => authority.port_u16().ok_or_else(shape)?,
        };
        let host = authority.host();
        let host = host.strip_prefix('[').unwrap_or(host);
        let host = host.strip_suffix(']').unwrap_or(host);
        let path = match base_of {
            Some(signal) => format!("{}{}", uri.path().trim_end_matches('/'), signal.path()),
            None => uri.path().to_owned(),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| shape())?,
            path,
            tls,
        })
    }
}

/// TLS client settings that trust these CA certificates in PEM. `None`: those of the system.
///
/// # Errors
/// If there is no usable certificate. The error is the reason.
pub(crate) fn trusting(pem: Option<&[u8]>) -> Result<TlsConnector, String> {
    let roots = match pem {
        Some(pem) => client::roots(pem)?,
        None => client::system_roots("OTEL_EXPORTER_OTLP_CERTIFICATE")?,
    };
    let mut config = client::verifying(roots)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_get_the_path_of_the_signal_below_a_base() {
        let (traces, metrics, logs) = (Signal::Traces, Signal::Metrics, Signal::Logs);
        for (url, base_of, expected) in [
            ("http://c:4318", Some(traces), "http://c:4318/v1/traces"),
            ("http://c:4318/", Some(metrics), "http://c:4318/v1/metrics"),
            ("http://c/otel/", Some(logs), "http://c/otel/v1/logs"),
            ("http://[::1]:4318/in", None, "http://[::1]:4318/in"),
            ("https://c", Some(traces), "https://c/v1/traces"),
        ] {
            let read = Endpoint::parse(url, base_of, || trusting(None)).unwrap();
            assert_eq!(read.to_string(), expected);
            assert!(!read.host.contains('['), "{}", read.host);
        }
    }

    #[test]
    fn unusable_urls_are_refused_with_the_reason() {
        for (url, why) in [
            ("collector:4318", "is not a URL"),
            ("grpc://c:4317", "is not a URL"),
            ("/v1/traces", "is not a URL"),
            ("http://u:p@c:4318", "OTEL_EXPORTER_OTLP_HEADERS"),
            ("http://u:p@c d", "is not a URL"),
            ("http://c:x", "is not a URL"),
            ("http://c:99999", "is not a URL"),
            ("http://c:4318/?a=b", "has a query"),
        ] {
            let error = Endpoint::parse(url, Some(Signal::Traces), || trusting(None)).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("u:p"), "{error}");
        }
    }
}
