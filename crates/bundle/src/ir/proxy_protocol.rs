//! PROXY protocol of a listener, by which a load balancer reports the client of a connection.

use std::net::IpAddr;

use minicbor::{Decode, Encode};
use policy::declared::{Scalar, Settings, Value};

use policy::Cidr;

/// PROXY protocol settings of a listener. Every connection must begin with a PROXY header, from a
/// peer in `from`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ProxyProtocol {
    /// Address ranges of the peers that may connect, sorted. Connections of other peers are
    /// refused.
    #[n(0)]
    pub from: Vec<Cidr>,
    /// Timeout from accepting the connection until the PROXY header is complete, in milliseconds.
    #[n(1)]
    pub timeout_ms: u64,
}

impl ProxyProtocol {
    /// True if the peer may connect, so that its PROXY header is trusted.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.from.iter().any(|range| range.contains(peer))
    }

    /// The settings under their keys in gateway.yaml, which plans compare.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let from = self.from.iter();
        let mut from: Vec<Scalar> = from.map(|range| Scalar::Text(range.to_string())).collect();
        from.sort();
        Settings::default()
            .with(&["proxy_protocol", "from"], Value::Set(from))
            .with(
                &["proxy_protocol", "timeout"],
                Value::One(Scalar::Duration(self.timeout_ms)),
            )
    }
}
