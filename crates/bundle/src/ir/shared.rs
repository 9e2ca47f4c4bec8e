//! Shared part of a gateway: listeners, upstreams, verifiers, consumers, policies.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use minicbor::{Decode, Encode};
use policy::declared::{Scalar, Settings, Value};
use policy::{StateId, auth};

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
    /// Peers whose forwarding fields are believed.
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

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
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

// === impl Consumer ===

impl Consumer {
    /// The settings beside the credentials, for comparison.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let claims = self.claims.clone();
        self.declared.clone().with_below(&["claims"], claims)
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

// === impl Cidr ===

impl Cidr {
    /// A range; none where the prefix is longer than the address or a host bit is set. A range of IPv4
    /// addresses in IPv6 form is the range of these IPv4 addresses.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        if let (IpAddr::V4(address), true, 96..) =
            (address.to_canonical(), address.is_ipv6(), prefix)
        {
            return Self::new(IpAddr::V4(address), prefix - 96);
        }
        let range = Self { address, prefix };
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= bits && (range.bits(address) & !range.mask()) == 0).then_some(range)
    }

    /// `10.0.0.0/8`, or one address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some((address, prefix)) => Self::new(address.parse().ok()?, prefix.parse().ok()?),
            None => {
                let address: IpAddr = text.parse().ok()?;
                Self::new(address, if address.is_ipv4() { 32 } else { 128 })
            }
        }
    }

    /// True if an address is in the range. IPv4 addresses in IPv6 form count as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && self.bits(address) & self.mask() == self.bits(self.address)
    }

    /// The first and the last address.
    #[must_use]
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        let last = self.bits(self.address) | !self.mask();
        let last = match self.address {
            IpAddr::V4(_) => IpAddr::V4(((last >> 96) as u32).into()),
            IpAddr::V6(_) => IpAddr::V6(last.into()),
        };
        (self.address, last)
    }

    fn bits(&self, address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
            IpAddr::V6(v6) => u128::from(v6),
        }
    }

    fn mask(&self) -> u128 {
        u128::MAX
            .checked_shl(128 - u32::from(self.prefix))
            .unwrap_or(0)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl<C> Encode<C> for Cidr {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Cidr {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::parse(d.str()?)
            .ok_or_else(|| minicbor::decode::Error::message("not a range of addresses"))
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

    #[test]
    fn ranges_hold_their_addresses() {
        let holds = |range: &str, address: &str| {
            Cidr::parse(range)
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.1.2.3"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "8.8.8.8"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1"));
        assert!(!holds("2001:db8::/32", "2001:db9::1"));
        let ends = |range: &str| {
            let (first, last) = Cidr::parse(range).unwrap().ends();
            format!("{first} {last}")
        };
        assert_eq!(ends("10.0.0.0/8"), "10.0.0.0 10.255.255.255");
        assert_eq!(ends("2001:db8::/127"), "2001:db8:: 2001:db8::1");
        assert!(holds("127.0.0.1", "127.0.0.1"));
        for (mapped, plain) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ] {
            assert_eq!(Cidr::parse(mapped), Cidr::parse(plain), "{mapped}");
        }
        assert_eq!(Cidr::parse("::ffff:10.0.0.1/104"), None);
        for bad in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "x", "::/129"] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
    }
}
