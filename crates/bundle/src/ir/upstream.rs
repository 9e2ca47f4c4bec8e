//! Upstreams: targets and protocols of the services behind the gateway.

use minicbor::{Decode, Encode};
use policy::declared::{Scalar, Settings, Value};
use policy::traffic::{circuit_breaker, retry};
use policy::upstream::{Balance, Health, Limits};
use policy::{Policy as _, StateId};

use super::discovery::Discovery;
use super::set::Set;
use super::tls::UpstreamTls;

/// An upstream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Upstream {
    /// Name of the upstream.
    #[n(0)]
    pub name: String,
    /// Id of the upstream's connection pools and health state, which outlive a bundle.
    #[n(1)]
    pub state: StateId,
    /// Targets. Empty if `discovery` finds the targets.
    #[n(2)]
    pub targets: Set<Target>,
    /// Connect timeout, in milliseconds.
    #[n(3)]
    pub connect_timeout_ms: u64,
    /// Idle timeout of a pooled connection, in milliseconds.
    #[n(4)]
    pub idle_timeout_ms: u64,
    /// Source of the field `Host` in forwarded requests.
    #[n(5)]
    pub host_header: HostHeader,
    /// Settings of the upstream that this version of gwd cannot run yet.
    #[n(6)]
    pub declared: Settings,
    /// Load-balancing settings.
    #[n(7)]
    pub balance: Balance,
    /// Health checks and outlier detection.
    #[n(8)]
    pub health: Health,
    /// Retry settings. Retry settings of an operation or of its chain take precedence. `None`: only
    /// the retries that always apply, after failures of connections.
    #[n(9)]
    pub retries: Option<retry::Checked>,
    /// Circuit-breaker settings. `None`: no circuit breaker.
    #[n(10)]
    pub circuit_breaker: Option<circuit_breaker::Checked>,
    /// Limits on concurrent requests, connections and retries.
    #[n(11)]
    pub limits: Limits,
    /// Protocol used towards the upstream.
    #[n(12)]
    pub protocol: UpstreamProtocol,
    /// Source of discovered hosts. `None`: `targets` lists the hosts.
    #[n(14)]
    pub discovery: Option<Discovery>,
    /// TLS settings for targets with TLS and for discovered hosts. `None`: TLS is not used.
    #[n(13)]
    pub tls: Option<UpstreamTls>,
    /// Version of the PROXY header that begins each connection. `None`: no header is sent.
    #[n(15)]
    pub proxy_protocol: Option<ProxyVersion>,
    /// Response fields in which URLs of the upstream are rewritten. `None`: responses are not
    /// changed.
    #[n(16)]
    pub rewrite_responses: Option<RewriteResponses>,
}

/// Response fields in which the gateway replaces the upstream's URLs and cookie attributes by its
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RewriteResponses {
    /// True if `Location` and `Content-Location` are rewritten.
    #[n(0)]
    pub location: bool,
    /// True if the attributes `Path` and `Domain` of `Set-Cookie` are rewritten.
    #[n(1)]
    pub cookies: bool,
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ProxyVersion {
    /// PROXY protocol version 1 (one text line).
    #[n(0)]
    V1,
    /// PROXY protocol version 2 (binary header).
    #[n(1)]
    V2,
}

/// Protocol used towards an upstream. Default: `H1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 (RFC 9112).
    #[default]
    #[n(0)]
    H1,
    /// HTTP/2 without TLS, by prior knowledge (RFC 9113 §3.3).
    #[n(1)]
    H2c,
    /// HTTP/2 over TLS, negotiated by ALPN (RFC 9113 §3.2).
    #[n(2)]
    H2,
    /// HTTP/2 or HTTP/1.1 over TLS, negotiated by ALPN; HTTP/1.1 without TLS.
    #[n(3)]
    Auto,
}

/// Source of the field `Host` in forwarded requests.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum HostHeader {
    /// `Host` that the client sent.
    #[n(0)]
    Preserve,
    /// Authority (host and port) of the target.
    #[n(1)]
    Upstream,
    /// Fixed value.
    #[n(2)]
    Value(#[n(0)] String),
}

/// A target of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Target {
    /// Name of the target.
    #[n(0)]
    pub name: String,
    /// Host name or IP address, IPv6 without brackets; or the absolute path of a UNIX socket.
    #[n(1)]
    pub host: String,
    /// Port of the target. 0 for a UNIX socket.
    #[n(2)]
    pub port: u16,
    /// Path that precedes the request's path: empty, or `/…` without a final slash.
    #[n(3)]
    pub path: String,
    /// Weight in load balancing. 0: the target gets no requests.
    #[n(4)]
    pub weight: u32,
    /// Zone of the target.
    #[n(5)]
    pub zone: Option<String>,
    /// True if connections to the target use TLS.
    #[n(6)]
    pub tls: bool,
}

/// Maximum number of connections to an HTTP/2 upstream that exchanges on shared connections may
/// open: three quarters of `limits.connections`. The last quarter is for exclusive exchanges, which
/// cannot use an open connection.
#[must_use]
pub const fn shared_connections(connections: u64) -> u64 {
    connections - connections / 4
}

// === impl Upstream ===

impl Upstream {
    /// Maximum number of concurrent requests to the upstream. With HTTP/1.1, each request occupies
    /// a connection; with HTTP/2, one of the `streams` streams of a connection.
    #[must_use]
    pub fn concurrent_requests(&self, streams: u64) -> u64 {
        let Limits {
            requests,
            connections,
            ..
        } = self.limits;
        match self.protocol {
            UpstreamProtocol::H1 => requests.min(connections),
            UpstreamProtocol::H2c | UpstreamProtocol::H2 | UpstreamProtocol::Auto => {
                requests.min(shared_connections(connections).saturating_mul(streams))
            }
        }
    }

    /// Settings of load balancing, health, limits, retries, circuit breaker, protocol and discovery
    /// that differ from the defaults, under their keys in gateway.yaml.
    #[must_use]
    pub fn traffic_settings(&self) -> Settings {
        let mut settings = self
            .balance
            .settings()
            .with_below(&[], self.health.settings())
            .with_below(&["limits"], self.limits.settings());
        let groups = [
            (
                "retries",
                self.retries.as_ref().map(retry::Checked::settings),
            ),
            (
                "circuit_breaker",
                self.circuit_breaker
                    .as_ref()
                    .map(circuit_breaker::Checked::settings),
            ),
        ];
        for (key, group) in groups {
            settings = match group {
                None => settings,
                Some(group) if group.is_empty() => settings.with(&[key], Value::Empty),
                Some(group) => settings.with_below(&[key], group),
            };
        }
        if self.protocol != UpstreamProtocol::default() {
            let word = Value::One(Scalar::Text(self.protocol.word().to_owned()));
            settings = settings.with(&["protocol"], word);
        }
        if let Some(version) = self.proxy_protocol {
            let word = Value::One(Scalar::Text(version.word().to_owned()));
            settings = settings.with(&["proxy_protocol"], word);
        }
        if let Some(rewrites) = self.rewrite_responses {
            settings = settings.with(&["rewrite_responses"], Value::Set(rewrites.words()));
        }
        if let Some(discovery) = &self.discovery {
            settings = settings.with_below(&[], discovery.settings());
        }
        if let Some(tls) = &self.tls {
            let own = tls.settings();
            settings = match own.is_empty() && self.discovery.is_some() {
                // Record the presence of `tls`, which enables TLS for discovered hosts, because
                // these have no URL with a scheme.
                true => settings.with(&["tls"], Value::Empty),
                false => settings.with_below(&["tls"], own),
            };
        }
        for target in &self.targets {
            if target.tls {
                let tls = Value::One(Scalar::Flag(true));
                settings = settings.with(&["targets", &target.name, "tls"], tls);
            }
            if let Some(zone) = &target.zone {
                let zone = Value::One(Scalar::Text(zone.clone()));
                settings = settings.with(&["targets", &target.name, "zone"], zone);
            }
        }
        settings
    }
}

impl Target {
    /// Path of the target's UNIX socket. `None` for a host.
    #[must_use]
    pub fn socket(&self) -> Option<&str> {
        self.host.starts_with('/').then_some(self.host.as_str())
    }

    /// URL of the target as in gateway.yaml, without a default port.
    #[must_use]
    pub fn url(&self) -> String {
        match self.socket() {
            Some(path) => format!("unix:{path}"),
            None => format!("{}://{}{}", self.scheme(), self.authority(), self.path),
        }
    }

    /// Authority of the target: `host[:port]`, without a default or unknown port. `localhost` for a
    /// UNIX socket.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match (self.socket(), self.host.contains(':')) {
            (Some(_), _) => return "localhost".to_owned(),
            (None, true) => format!("[{}]", self.host),
            (None, false) => self.host.clone(),
        };
        match (self.tls, self.port) {
            (_, 0) | (false, 80) | (true, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Scheme of the target's URL.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match (self.socket(), self.tls) {
            (Some(_), _) => "unix",
            (None, true) => "https",
            (None, false) => "http",
        }
    }
}

impl ProxyVersion {
    /// Value of `proxy_protocol` in gateway.yaml.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl UpstreamProtocol {
    /// Value of `protocol` in gateway.yaml.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2c => "h2c",
            Self::H2 => "h2",
            Self::Auto => "auto",
        }
    }
}

impl RewriteResponses {
    /// Values of `rewrite_responses` in gateway.yaml, sorted.
    fn words(self) -> Vec<Scalar> {
        let words = [("cookies", self.cookies), ("location", self.location)];
        let words = words.into_iter().filter(|(_, written)| *written);
        words.map(|(word, _)| Scalar::Text(word.into())).collect()
    }
}
