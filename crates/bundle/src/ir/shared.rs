//! Shared part of a gateway: listeners, upstreams, verifiers, consumers, policies.

use std::net::SocketAddr;

use minicbor::{Decode, Encode};
use policy::declared::{Scalar, Settings, Value};
use policy::transform::respond::DocumentDigest;
use policy::{Cidr, StateId, auth};
use sha2::{Digest as _, Sha256};

use super::proxy_protocol::ProxyProtocol;
use super::set::{Named, Set};
use super::tls::{ClientAuthMode, ListenerTls};
use super::upstream::{Target, Upstream};

/// Shared part of a gateway: one blob of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Shared {
    /// Name of the project.
    #[n(0)]
    pub project: String,
    /// Listeners of the gateway.
    #[n(1)]
    pub listeners: Set<Listener>,
    /// Upstreams of the gateway.
    #[n(2)]
    pub upstreams: Set<Upstream>,
    /// Verifiers of credentials.
    #[n(3)]
    pub auth: Set<Verifier>,
    /// Configured consumers.
    #[n(4)]
    pub consumers: Set<Consumer>,
    /// Policies of gateway.yaml.
    #[n(5)]
    pub policies: Set<Policy>,
    /// APIs, with the digests of their behaviour blobs.
    #[n(6)]
    pub apis: Set<ApiRef>,
    /// True if responses carry `x-gateway-bundle`.
    #[n(7)]
    pub expose_bundle: bool,
    /// Requirements of gateway.yaml that every API document must satisfy (`policies`, `auth`,
    /// `allow_public`). gwc checks them, and plans compare them.
    #[n(8)]
    pub required: Settings,
    /// Settings of the whole gateway that this version of gwd cannot run yet.
    #[n(9)]
    pub declared: Settings,
    /// Custom responses for the gateway's own errors. The keys are `REASON/status`, `REASON/body`
    /// and `REASON/content_type`.
    #[n(10)]
    #[cbor(skip_if = "Settings::is_empty")]
    pub errors: Settings,
    /// Documents that gwd serves, sorted. The bundle has one layer for each document, in the same
    /// order.
    #[n(11)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub documents: Vec<DocumentDigest>,
}

/// Reference to an API: its name, and the SHA-256 of its behaviour blob.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ApiRef {
    /// Name of the API.
    #[n(0)]
    pub name: String,
    /// SHA-256 of the API's behaviour blob.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub digest: [u8; 32],
}

/// Listener of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Listener {
    /// Name of the listener, for `--listen NAME=ADDR` and status.
    #[n(0)]
    pub name: String,
    /// `IP:PORT`. Port 0 lets the operating system choose.
    #[n(1)]
    pub address: String,
    /// Protocol of the listener's connections.
    #[n(2)]
    pub protocol: Protocol,
    /// Limits and timeouts of connections, request heads and bodies.
    #[n(3)]
    pub limits: ListenerLimits,
    /// Address ranges of the proxies whose forwarding fields are trusted.
    #[n(4)]
    pub trusted_proxies: Vec<Cidr>,
    /// Settings of the listener that this version of gwd cannot run yet.
    #[n(5)]
    pub declared: Settings,
    /// True if the listener accepts HTTP/2 in addition to HTTP/1.1: negotiated by ALPN over TLS, by
    /// prior knowledge without TLS.
    #[n(6)]
    pub http2: bool,
    /// PROXY protocol settings. `None`: the peer is the client.
    #[n(7)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// True if repeated slashes in a path are merged into one, for matching and for forwarding.
    #[n(8)]
    #[cbor(skip_if = "is_unset")]
    pub merge_slashes: bool,
    /// Fields that carry the client's certificate to upstreams. `None`: the certificate is not
    /// forwarded.
    #[n(9)]
    pub forward_client_cert: Option<CertificateFields>,
    /// Forwarding fields that the trusted proxies write. `None`: [`ForwardingField::USUAL`].
    #[n(10)]
    pub forwarding_fields: Option<Vec<ForwardingField>>,
}

/// Field in which a trusted proxy reports the client and its request. A proxy that does not write a
/// field forwards the field of the client unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum ForwardingField {
    /// `X-Forwarded-For`: the addresses of the client and of the proxies.
    #[n(0)]
    XForwardedFor,
    /// `X-Forwarded-Proto`: the scheme of the client's request.
    #[n(1)]
    XForwardedProto,
    /// `X-Forwarded-Host`: the host and port of the client's request.
    #[n(2)]
    XForwardedHost,
    /// `X-Forwarded-Port`: the port of the client's request.
    #[n(3)]
    XForwardedPort,
    /// `X-Forwarded-Prefix`: the part of the path that a proxy has removed.
    #[n(4)]
    XForwardedPrefix,
    /// `Forwarded` (RFC 7239): addresses, scheme and host.
    #[n(5)]
    Forwarded,
}

impl ForwardingField {
    /// All forwarding fields.
    pub const ALL: [Self; 6] = [
        Self::XForwardedFor,
        Self::XForwardedProto,
        Self::XForwardedHost,
        Self::XForwardedPort,
        Self::XForwardedPrefix,
        Self::Forwarded,
    ];
    /// Fields that proxies write if the listener names none.
    pub const USUAL: [Self; 2] = [Self::XForwardedFor, Self::XForwardedProto];

    /// Name of the field in lower case, which is also the value in gateway.yaml.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::XForwardedProto => "x-forwarded-proto",
            Self::XForwardedHost => "x-forwarded-host",
            Self::XForwardedPort => "x-forwarded-port",
            Self::XForwardedPrefix => "x-forwarded-prefix",
            Self::Forwarded => "forwarded",
        }
    }
}

/// Fields that carry a client's certificate to upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum CertificateFields {
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440), with the certificate of the connection.
    #[n(0)]
    ClientCert,
    /// `X-Forwarded-Client-Cert` in Envoy's format, with the certificate of the connection.
    #[n(1)]
    Xfcc,
    /// Fields that a trusted proxy sends. gwd forwards them unchanged.
    #[n(2)]
    Pass,
}

impl CertificateFields {
    /// Value of `forward_client_cert` in gateway.yaml.
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
    /// HTTP without TLS.
    #[n(0)]
    Http,
    /// HTTP over TLS.
    #[n(1)]
    Https(#[n(0)] ListenerTls),
}

/// Limits of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ListenerLimits {
    /// Maximum number of concurrent connections.
    #[n(0)]
    pub connections: u64,
    /// Maximum length of a request head, in bytes.
    #[n(1)]
    pub header_bytes: u64,
    /// Maximum number of fields in a request head.
    #[n(2)]
    pub headers: u64,
    /// Timeout from the first byte of a request head to its last, in milliseconds.
    #[n(3)]
    pub header_timeout_ms: u64,
    /// Idle timeout of a connection between two requests, in milliseconds.
    #[n(4)]
    pub idle_timeout_ms: u64,
    /// Maximum length of a request target, in bytes.
    #[n(5)]
    pub target_bytes: u64,
    /// Maximum wait for the next bytes of a request body, in milliseconds. Also the maximum wait
    /// until the client accepts the next bytes of a response.
    #[n(6)]
    pub body_timeout_ms: u64,
    /// Minimum rate of a body, in bytes per second. Each received byte extends the deadline, at
    /// most up to the body timeout.
    #[n(7)]
    pub min_rate_bytes: u64,
    /// Idle timeout, in milliseconds, for bodies whose rate the client does not control, such as
    /// event streams.
    #[n(8)]
    pub stream_idle_timeout_ms: u64,
}

/// A named verifier.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Verifier {
    /// Name of the verifier.
    #[n(0)]
    pub name: String,
    /// Kind and settings of the verifier.
    #[n(1)]
    pub checked: auth::Checked,
}

/// A configured consumer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Consumer {
    /// Name of the consumer.
    #[n(0)]
    pub name: String,
    /// API keys, sorted.
    #[n(1)]
    pub keys: Vec<Credential>,
    /// Basic credentials, sorted.
    #[n(2)]
    pub basic: Vec<Credential>,
    /// Settings of the consumer that this version of gwd cannot run yet.
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
    /// Certificates of the consumer, sorted.
    #[n(6)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub certificates: Vec<ConsumerCertificate>,
    /// Tokens of the consumer, sorted.
    #[n(7)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub tokens: Vec<Holder>,
    /// Notes for people, by name, which affect no request.
    #[n(8)]
    #[cbor(skip_if = "Settings::is_empty")]
    pub metadata: Settings,
    /// Name of the consumer's plan. The plan's policies apply to the consumer's requests. `None`:
    /// no plan.
    #[n(9)]
    pub plan: Option<String>,
}

/// Holder of tokens, identified by the issuer and a claim of the tokens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Holder {
    /// Issuer of the tokens.
    #[n(0)]
    pub issuer: String,
    /// Subject or client of the tokens.
    #[n(1)]
    pub name: HolderName,
    /// Time from which the tokens are refused (Unix time, seconds). `None`: never.
    #[n(2)]
    pub not_after: Option<u64>,
}

/// Claim that identifies the holder of a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum HolderName {
    /// Subject: the value of `sub`.
    #[n(0)]
    Subject(#[n(0)] String),
    /// Client to which the token was issued: the value of `client_id`, else of `azp`.
    #[n(1)]
    Client(#[n(0)] String),
}

impl Holder {
    /// Description of the tokens without their expiry: `token ISSUER subject NAME`. Plans identify
    /// the holder by this text.
    #[must_use]
    pub fn description(&self) -> String {
        let (kind, name) = match &self.name {
            HolderName::Subject(name) => ("subject", name),
            HolderName::Client(name) => ("client", name),
        };
        format!("token {} {kind} {name}", self.issuer)
    }
}

/// Client certificate of a consumer, identified by its fingerprint or by a name in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct ConsumerCertificate {
    /// Fingerprint or name: `sha256 HEX`, `san NAME` or `subject NAME`.
    #[n(0)]
    pub name: String,
    /// Time from which the certificate is refused (Unix time, seconds). `None`: never.
    #[n(1)]
    pub not_after: Option<u64>,
}

/// Credential, stored as a hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Credential {
    /// SHA-256 of the credential. For Basic: of `user:password`, or of `user:HASH` if the password
    /// has a slow hash.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub sha256: [u8; 32],
    /// Time from which the credential is refused (Unix time, seconds). `None`: never.
    #[n(1)]
    pub not_after: Option<u64>,
    /// Slow hash of a password. `None` if [`Self::sha256`] is the hash of the credential itself.
    #[n(2)]
    pub password: Option<Password>,
}

/// Password of a user, stored as an argon2id hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Password {
    /// Name of the user.
    #[n(0)]
    pub user: String,
    /// Hash of the password in the PHC string format.
    #[n(1)]
    pub argon2id: String,
}

/// A named policy.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Policy {
    /// Name of the policy.
    #[n(0)]
    pub name: String,
    /// Id of the policy's counters, which outlive a bundle.
    #[n(1)]
    pub state: StateId,
    /// Kind and settings of the policy.
    #[n(2)]
    pub checked: policy::Checked,
}

/// True if two sockets cannot listen on these addresses at the same time: family and port are the
/// same, and the IP addresses are the same or one is unspecified. Port 0 never collides, because
/// the operating system then assigns a free port to each socket.
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
    /// Settings of the whole gateway under their keys in gateway.yaml, which plans compare.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let errors = self.errors.clone();
        self.declared.clone().with_below(&["errors"], errors)
    }
}

// === impl Password ===

impl Password {
    /// SHA-256 of `user:HASH`, which identifies the credential.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let hash = Sha256::new_with_prefix(&self.user).chain_update(b":");
        hash.chain_update(&self.argon2id).finalize().into()
    }
}

// === impl Consumer ===

impl Consumer {
    /// Settings of the consumer other than credentials, which plans compare.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let claims = self.claims.clone();
        let settings = self.declared.clone().with_below(&["claims"], claims);
        let mut settings = settings.with_below(&["metadata"], self.metadata.clone());
        if let Some(plan) = &self.plan {
            settings = settings.with(&["plan"], Value::One(Scalar::Text(plan.clone())));
        }
        if self.groups.is_empty() {
            return settings;
        }
        let groups = self.groups.iter().cloned().map(Scalar::Text);
        settings.with(&["groups"], Value::Set(groups.collect()))
    }
}

// === impl Listener ===

impl Listener {
    /// TLS settings. `None` for a listener without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&ListenerTls> {
        match &self.protocol {
            Protocol::Http => None,
            Protocol::Https(tls) => Some(tls),
        }
    }

    /// True if the listener refuses connections without a client certificate.
    #[must_use]
    pub fn requires_certificate(&self) -> bool {
        let client_auth = self.tls().and_then(|tls| tls.client_auth.as_ref());
        client_auth.is_some_and(|one| one.mode == ClientAuthMode::Required)
    }

    /// Settings of the listener's connections under their keys in gateway.yaml, which plans
    /// compare. Includes settings that this version cannot run yet.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = self.declared.clone();
        if let Some(tls) = self.tls() {
            let https = Value::One(Scalar::Text("https".into()));
            settings = settings
                .with(&["protocol"], https)
                .with_below(&[], tls.settings());
        }
        // By default, HTTP/2 is on with TLS and off without.
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
        if let Some(fields) = &self.forwarding_fields {
            let names = fields.iter().map(|field| Scalar::Text(field.name().into()));
            settings = settings.with(&["forwarding_fields"], Value::List(names.collect()));
        }
        if let Some(header) = &self.proxy_protocol {
            settings = settings.with_below(&[], header.settings());
        }
        settings
    }

    /// Forwarding fields that the trusted proxies of the listener write. Default:
    /// [`ForwardingField::USUAL`].
    #[must_use]
    pub fn forwarding_fields(&self) -> &[ForwardingField] {
        self.forwarding_fields
            .as_deref()
            .unwrap_or(&ForwardingField::USUAL)
    }

    /// Features that a gateway must have for the listener. The names are those in `needs`.
    pub(super) fn needs(&self) -> impl Iterator<Item = String> {
        let needs = [
            ("listener:tls", self.tls().is_some()),
            ("listener:http2", self.http2),
            (
                "listener:forward_client_cert",
                self.forward_client_cert.is_some(),
            ),
            (
                "listener:forwarding_fields",
                self.forwarding_fields.is_some(),
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
