//! Counter keys: the property of a request by which limits count.

use std::net::IpAddr;

use http::header::HeaderName;
use minicbor::{Decode, Encode};

use crate::cx::{Cx, Principal, RouteId};
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::step::StateId;

/// Key of a counter. If the named property is absent, the client's address is used.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Key {
    /// The consumer that was authenticated.
    #[n(0)]
    Consumer,
    /// The client's address; IPv6 by its /64.
    #[n(1)]
    Address,
    /// The operation.
    #[n(2)]
    Route,
    /// A request field's value.
    #[n(3)]
    Header(#[n(0)] String),
    /// A claim of the consumer that was authenticated.
    #[n(4)]
    Claim(#[n(0)] String),
}

/// A key that is read from requests.
#[derive(Debug)]
pub(crate) enum Reader {
    Consumer,
    Address,
    Route,
    Header(HeaderName),
    Claim(Box<str>),
}

// === impl Key ===

impl Key {
    /// The place in the chain of a limit with this key: those of addresses protect
    /// authentication, the others need it.
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Address => Phase::Address,
            Self::Consumer | Self::Route | Self::Header(_) | Self::Claim(_) => Phase::Limit,
        }
    }

    /// Prepares what reads it.
    pub(crate) fn reader(&self) -> Reader {
        match self {
            Self::Consumer => Reader::Consumer,
            Self::Address => Reader::Address,
            Self::Route => Reader::Route,
            // gwc checked the name; one that is none could only ever be absent.
            Self::Header(name) => {
                HeaderName::try_from(name.as_str()).map_or(Reader::Address, Reader::Header)
            }
            Self::Claim(name) => Reader::Claim(name.as_str().into()),
        }
    }
}

/// As it is written.
impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Consumer => f.write_str("consumer"),
            Self::Address => f.write_str("address"),
            Self::Route => f.write_str("route"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Claim(name) => write!(f, "claim:{name}"),
        }
    }
}

// === impl Reader ===

impl Reader {
    /// The key's hash in the table of its kind, and true if any client can invent the key (the
    /// anonymous table), false if not (the known one).
    pub(crate) fn read(&self, state: StateId, head: &RequestHead, cx: &Cx<'_>) -> (bool, u64) {
        let (known, anonymous) = (&cx.limits.known, &cx.limits.anonymous);
        let by_address = || {
            let (bytes, length) = address_key(cx.client);
            let tag = anonymous.tag(state, &[b"address", &bytes[..length]]);
            (true, tag)
        };
        match self {
            Self::Consumer => match cx.principal.as_ref().and_then(Principal::key) {
                Some(consumer) => (false, known.tag(state, &[b"consumer", consumer])),
                None => by_address(),
            },
            Self::Route => {
                let route = cx.route.map_or("", RouteId::as_str);
                (false, known.tag(state, &[b"route", route.as_bytes()]))
            }
            Self::Header(name) => match head.headers.get(name) {
                Some(value) => (true, anonymous.tag(state, &[b"header", value.as_bytes()])),
                None => by_address(),
            },
            // No client can make one up: it stands in the gateway's own files.
            Self::Claim(name) => match cx.claim(name) {
                Some(value) => (false, known.tag(state, &[b"claim", value.as_bytes()])),
                None => by_address(),
            },
            Self::Address => by_address(),
        }
    }
}

/// IPv4 whole, IPv6 by its /64: a client owns the rest of its network.
fn address_key(address: IpAddr) -> ([u8; 8], usize) {
    let mut key = [0; 8];
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            key[..4].copy_from_slice(&v4.octets());
            (key, 4)
        }
        IpAddr::V6(v6) => {
            key.copy_from_slice(&v6.octets()[..8]);
            (key, 8)
        }
    }
}

#[cfg(feature = "author")]
pub(crate) mod author {
    //! Reader of a written counter key.

    use diag::NodeRef;

    use super::Key;

    /// Reads a key that fits `forms::COUNTER_KEY`.
    pub(crate) fn read(node: NodeRef<'_>) -> Option<Key> {
        let text = node.scalar_text().unwrap_or_default();
        match (text, text.split_once(':')) {
            ("consumer", _) => Some(Key::Consumer),
            ("address", _) => Some(Key::Address),
            ("route", _) => Some(Key::Route),
            (_, Some(("header", name))) if http::HeaderName::try_from(name).is_ok() => {
                Some(Key::Header(name.to_ascii_lowercase()))
            }
            (_, Some(("claim", name))) => Some(Key::Claim(name.to_owned())),
            // The shape has refused it.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::cx::tests::{head, with_cx};

    /// A flood of values that clients choose must not evict consumers (data-plane.md §9).
    #[test]
    fn keys_that_clients_choose_are_anonymous() {
        for (key, anonymous) in [
            (Key::Header("x-tenant".into()), true),
            (Key::Header("x-absent".into()), true),
            (Key::Address, true),
            (Key::Claim("absent".into()), true),
            (Key::Consumer, false),
            (Key::Route, false),
        ] {
            let mut head = head("/");
            head.headers.insert("x-tenant", "t".parse().unwrap());
            let (found, _) = with_cx(|cx| {
                cx.principal = Some(Principal {
                    consumer: Some("acme"),
                    scheme: "key",
                    claims: crate::NO_CLAIMS,
                    groups: &[],
                    token: None,
                });
                key.reader().read(StateId(1), &head, cx)
            });
            assert_eq!(found, anonymous, "{key}");
        }
    }

    /// Limits of addresses run first and protect authentication from guessing.
    #[test]
    fn only_address_limits_run_before_authentication() {
        assert_eq!(Key::Address.phase(), Phase::Address);
        for key in [
            Key::Consumer,
            Key::Route,
            Key::Header("x-tenant".into()),
            Key::Claim("tenant".into()),
        ] {
            assert_eq!(key.phase(), Phase::Limit, "{key}");
        }
    }

    #[test]
    fn each_header_value_is_a_key() {
        let key = Key::Header("x-tenant".into()).reader();
        let tag = |value: &str| {
            let mut head = head("/");
            head.headers.insert("x-tenant", value.parse().unwrap());
            with_cx(|cx| key.read(StateId(1), &head, cx).1)
        };
        assert_eq!(tag("a"), tag("a"));
        assert_ne!(tag("a"), tag("b"));
    }

    #[test]
    fn ipv6_clients_share_their_network() {
        let key = |text: &str| address_key(IpAddr::V6(text.parse::<Ipv6Addr>().unwrap()));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1").1, 4);
    }
}
