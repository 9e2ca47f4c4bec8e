//! A listener whose balancer names the clients: the PROXY protocol.

use std::net::IpAddr;

use minicbor::{Decode, Encode};
use policy::declared::{Scalar, Settings, Value};

use policy::Cidr;

/// Every connection begins with a PROXY header, and only from these peers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ProxyProtocol {
    /// Peers that send one, sorted; every other peer is refused.
    #[n(0)]
    pub from: Vec<Cidr>,
    /// Milliseconds from accepting to the header's last byte.
    #[n(1)]
    pub timeout_ms: u64,
}

impl ProxyProtocol {
    /// True if a peer's PROXY header is trusted.
    #[must_use]
    pub fn believes(&self, peer: IpAddr) -> bool {
        self.from.iter().any(|range| range.contains(peer))
    }

    /// The same as settings under the words of gateway.yaml, for comparison.
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
