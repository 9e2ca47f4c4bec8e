//! Shared part of a gateway: listeners, upstreams, verifiers, consumers, policies.

use std::net::SocketAddr;

use minicbor::{Decode, Encode};
use policy::declared::{Scalar, Settings, Value};
use policy::{Cidr, StateId, auth};

use super::proxy_protocol::ProxyProtocol;
use super::set::{Named, Set};
use super::tls::ListenerTls;
use super::upstream::{Target, Upstream};

/// The shared part of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Shared {
    /// The project's name.
    #[n(0)]
    pub project: String,
    /// Listener of the gateway.
    #[n(1)]
    pub listeners: Set<Listener>,
    /// The services behind.
    #[n(2)]
    pub upstreams: Set<Upstream>,
    /// Verifiers of credentials.
    #[n(3)]
    pub auth: Set<Verifier>,
    /// Callers that are configured by name.
    #[n(4)]
    pub consumers: Set<Consumer>,
    /// Policies that gateway.yaml names.
    #[n(5)]
    pub policies: Set<Policy>,
    /// The APIs with the digests of their behaviour blobs.
    #[n(6)]
    pub apis: Set<ApiRef>,
    /// True if responses carry `x-gateway-bundle`.
    #[n(7)]
    pub expose_bundle: bool,
    /// Requirements that no document can avoid (`policies`, `auth`, `allow_public`). gwc checks
    /// them, and plans compare them.
    #[n(8)]
    pub required: Settings,
    /// Settings of the whole gateway that gwd cannot run yet.
    #[n(9)]
    pub declared: Settings,
    /// Form of the gateway's own errors: `REASON/status`, `REASON/body`, `REASON/content_type`.
    #[n(10)]
    #[cbor(skip_if = "Settings::is_empty")]
    pub errors: Settings,
}

/// An API by name, and the sha256 of its behaviour blob.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ApiRef {
    /// The API's name.
    #[n(0)]
    pub name: String,
    /// The digest of its behaviour blob.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub digest: [u8; 32],
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Listener {
    /// Its name, for `--listen NAME=ADDR` and status.
    #[n(0)]
    pub name: String,
    /// `IP:PORT`; port 0 lets the system choose.
    #[n(1)]
    pub address: String,
    /// Protocol of the listener's connections.
    #[n(2)]
    pub protocol: Protocol,
    /// Limits on connections and heads.
    #[n(3)]
    pub limits: ListenerLimits,
    /// Peers whose forwarding fields are trusted.
    #[n(4)]
    pub trusted_proxies: Vec<Cidr>,
    /// Settings of the listener that gwd cannot run yet.
    #[n(5)]
    pub declared: Settings,
    /// True if the listener accepts HTTP/2 beside HTTP/1.1: by ALPN over TLS, by prior knowledge in
    /// cleartext.
    #[n(6)]
    pub http2: bool,
    /// PROXY protocol settings. None: the peer is the client.
    #[n(7)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// True if repeated slashes of a path count and are forwarded as one.
    #[n(8)]
    #[cbor(skip_if = "is_unset")]
    pub merge_slashes: bool,
    /// Fields that carry the client's certificate to upstreams; none if no field does.
    #[n(9)]
    pub forward_client_cert: Option<CertificateFields>,
}

/// Fields that carry a client's certificate to upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum CertificateFields {
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440), of the connection.
    #[n(0)]
    ClientCert,
    /// `X-Forwarded-Client-Cert` as Envoy writes it, of the connection.
    #[n(1)]
    Xfcc,
    /// Those that a trusted proxy sends.
    #[n(2)]
    Pass,
}

impl CertificateFields {
    /// The word of gateway.yaml.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ClientCert => "client_cert",
            Self::Xfcc => "xfcc",
            Self::Pass => "pass",
        }
    }
}

fn is_unset(flag: &bool) -> bool {
    !*flag
}

/// Protocol of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Protocol {
    /// HTTP in the clear.
    #[n(0)]
    Http,
    /// HTTP over TLS.
    #[n(1)]
    Https(#[n(0)] ListenerTls),
}

/// A listener's limits.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ListenerLimits {
    /// Connections at once.
    #[n(0)]
    pub connections: u64,
    /// Bytes of a request's head.
    #[n(1)]
    pub header_bytes: u64,
    /// Fields of a request's head.
    #[n(2)]
    pub headers: u64,
    /// From the first byte of a head to its last.
    #[n(3)]
    pub header_timeout_ms: u64,
    /// A connection between two requests.
    #[n(4)]
    pub idle_timeout_ms: u64,
    /// Bytes of a request target.
    #[n(5)]
    pub target_bytes: u64,
    /// Longest time that the gateway waits for more of a request's body, or for a client to take
    /// more of a response.
    #[n(6)]
    pub body_timeout_ms: u64,
    /// Lowest rate of a body, in bytes per second. Each byte earns time, up to the body timeout.
    #[n(7)]
    pub min_rate_bytes: u64,
    /// Longest time without a byte in a body whose pace is not the client's.
    #[n(8)]
    pub stream_idle_timeout_ms: u64,
}

/// A named verifier.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Verifier {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Kind and settings of the verifier.
    #[n(1)]
    pub checked: auth::Checked,
}

/// A caller that is configured by name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Consumer {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Its keys, sorted.
    #[n(1)]
    pub keys: Vec<Credential>,
    /// Its names with passwords, sorted.
    #[n(2)]
    pub basic: Vec<Credential>,
    /// Settings of the consumer that gwd cannot run yet.
    #[n(3)]
    pub declared: Settings,
    /// Claims of the consumer, by name.
    #[n(4)]
    #[cbor(skip_if = "Settings::is_empty")]
    pub claims: Settings,
    /// Groups of the consumer, sorted.
    #[n(5)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// A credential by its hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Credential {
    /// sha256 of the credential's bytes (`user:password` for Basic).
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub sha256: [u8; 32],
    /// Seconds since 1970 from which on it is refused.
    #[n(1)]
    pub not_after: Option<u64>,
}

/// A named policy.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Policy {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Names its counters across bundles.
    #[n(1)]
    pub state: StateId,
    /// Kind and settings of the policy.
    #[n(2)]
    pub checked: policy::Checked,
}

/// True if two sockets cannot listen on both addresses: the same port of one family, and the same
/// address or all of them. Port 0 is another port each time.
#[must_use]
pub fn addresses_collide(a: SocketAddr, b: SocketAddr) -> bool {
    let everywhere = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0
        && a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (everywhere || a.ip() == b.ip())
}

// === impl Shared ===

impl Shared {
    /// Settings of the whole gateway under the words of gateway.yaml, for comparison.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let errors = self.errors.clone();
        self.declared.clone().with_below(&["errors"], errors)
    }
}

// === impl Consumer ===

impl Consumer {
    /// The settings beside the credentials, for comparison.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let claims = self.claims.clone();
        let settings = self.declared.clone().with_below(&["claims"], claims);
        if self.groups.is_empty() {
            return settings;
        }
        let groups = self.groups.iter().cloned().map(Scalar::Text);
        settings.with(&["groups"], Value::Set(groups.collect()))
    }
}

// === impl Listener ===

impl Listener {
    /// Its TLS; none in the clear.
    #[must_use]
    pub fn tls(&self) -> Option<&ListenerTls> {
        match &self.protocol {
            Protocol::Http => None,
            Protocol::Https(tls) => Some(tls),
        }
    }

    /// The settings of the listener's connections under the words of gateway.yaml, for comparison:
    /// those that run, and those that cannot run yet.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = self.declared.clone();
        if let Some(tls) = self.tls() {
            let https = Value::One(Scalar::Text("https".into()));
            settings = settings
                .with(&["protocol"], https)
                .with_below(&[], tls.settings());
        }
        // Over TLS, HTTP/2 is the default.
        if self.http2 != self.tls().is_some() {
            settings = settings.with(&["http2"], Value::One(Scalar::Flag(self.http2)));
        }
        if self.merge_slashes {
            settings = settings.with(&["merge_slashes"], Value::One(Scalar::Flag(true)));
        }
        if let Some(fields) = self.forward_client_cert {
            let word = Value::One(Scalar::Text(fields.word().into()));
            settings = settings.with(&["forward_client_cert"], word);
        }
        if let Some(header) = &self.proxy_protocol {
            settings = settings.with_below(&[], header.settings());
        }
        settings
    }

    /// Features that a gateway needs to run the listener, in the words of `needs`.
    pub(super) fn needs(&self) -> impl Iterator<Item = String> {
        let needs = [
            ("listener:tls", self.tls().is_some()),
            ("listener:http2", self.http2),
            (
                "listener:forward_client_cert",
                self.forward_client_cert.is_some(),
            ),
            ("listener:merge_slashes", self.merge_slashes),
            ("listener:proxy_protocol", self.proxy_protocol.is_some()),
        ];
        let needs = needs.into_iter().filter(|(_, needed)| *needed);
        needs.map(|(need, _)| need.to_owned())
    }
}

macro_rules! named {
    ($($type:ident),*) => {
        $(impl Named for $type {
            fn name(&self) -> &str {
                &self.name
            }
        })*
    };
}
named!(
    ApiRef, Listener, Upstream, Target, Verifier, Consumer, Policy
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_share_a_socket_collide() {
        let collide = |a: &str, b: &str| {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(addresses_collide(a, b), addresses_collide(b, a));
            addresses_collide(a, b)
        };
        assert!(collide("127.0.0.1:80", "127.0.0.1:80"));
        assert!(collide("127.0.0.1:80", "0.0.0.0:80"));
        assert!(collide("[::1]:80", "[::]:80"));
        assert!(!collide("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!collide("127.0.0.1:80", "127.0.0.2:80"));
        assert!(
            !collide("0.0.0.0:80", "[::]:80"),
            "IPv6 sockets take no IPv4"
        );
        assert!(!collide("0.0.0.0:0", "0.0.0.0:0"));
    }
}
