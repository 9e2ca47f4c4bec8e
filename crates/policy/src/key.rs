//! Counter keys of limits: a limit counts requests with the same value of its key together.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{HOST, HeaderName};
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

use crate::auth::has_several_readings;
use crate::auth::place::{only_cookie, query_values};
use crate::cx::{Cx, Principal};
use crate::declared::{Scalar, Value};
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::rate::RateTable;
use crate::route_id::RouteId;
use crate::step::StateId;

/// Counter key. If the named property is absent or occurs several times, the key is the client's
/// address. The same applies if a query parameter also occurs with another spelling of its name.
/// Servers differ in which of several values they use, so a client could otherwise choose its
/// counter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Key {
    /// Authenticated consumer.
    #[n(0)]
    Consumer,
    /// Address of the client; IPv6 by its /64 prefix.
    #[n(1)]
    Address,
    /// Route: an operation at a mount.
    #[n(2)]
    Route,
    /// Value of the named request field.
    #[n(3)]
    Header(#[n(0)] String),
    /// Value of the named claim of the caller.
    #[n(4)]
    Claim(#[n(0)] String),
    /// Value of the named cookie.
    #[n(5)]
    Cookie(#[n(0)] String),
    /// Value of the named query parameter, decoded.
    #[n(6)]
    Query(#[n(0)] String),
    /// Combination of several properties, sorted. Each combination of values has its own counter.
    #[n(7)]
    All(#[n(0)] Vec<Self>),
}

/// Counter key at run time, prepared for reading from requests.
#[derive(Debug)]
pub(crate) enum Reader {
    Consumer,
    Address,
    Route,
    Header(HeaderName),
    Claim(Box<str>),
    Cookie(Box<str>),
    Query(Box<str>),
    All(Box<[Self]>),
}

// === impl Key ===

impl Key {
    /// Phase of a limit with this key. Limits by address run before authentication and protect it.
    /// Limits by other keys need the result of authentication.
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Address => Phase::Address,
            _ => Phase::Limit,
        }
    }

    /// True if the key is a claim, or a combination with a claim.
    pub(crate) fn has_claim(&self) -> bool {
        match self {
            Self::Claim(_) => true,
            Self::All(parts) => parts.iter().any(Self::has_claim),
            _ => false,
        }
    }

    /// True for a key that gateways before version 0.2 do not support.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self, Self::Cookie(_) | Self::Query(_) | Self::All(_))
    }

    /// Key as a setting for comparison: one string, or a set of strings.
    pub(crate) fn setting(&self) -> Value {
        let text = |key: &Self| Scalar::Text(key.to_string());
        match self {
            Self::All(parts) => Value::Set(parts.iter().map(text).collect()),
            one => Value::One(text(one)),
        }
    }

    /// Prepares the key for use at run time.
    pub(crate) fn reader(&self) -> Reader {
        match self {
            Self::Consumer => Reader::Consumer,
            Self::Address => Reader::Address,
            Self::Route => Reader::Route,
            // gwc has checked the name. A request can never have a field with an invalid name.
            Self::Header(name) => {
                HeaderName::try_from(name.as_str()).map_or(Reader::Address, Reader::Header)
            }
            Self::Claim(name) => Reader::Claim(name.as_str().into()),
            Self::Cookie(name) => Reader::Cookie(name.as_str().into()),
            Self::Query(name) => Reader::Query(name.as_str().into()),
            Self::All(parts) => Reader::All(parts.iter().map(Self::reader).collect()),
        }
    }
}

/// Writes the key as in the configuration.
impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Consumer => f.write_str("consumer"),
            Self::Address => f.write_str("address"),
            Self::Route => f.write_str("route"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Claim(name) => write!(f, "claim:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::All(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    let sign = if at == 0 { "" } else { "+" };
                    write!(f, "{sign}{part}")?;
                }
                Ok(())
            }
        }
    }
}

// === impl Reader ===

impl Reader {
    /// True if the key is a query parameter, or a combination with one.
    pub(crate) fn reads_query(&self) -> bool {
        match self {
            Self::Query(_) => true,
            Self::All(parts) => parts.iter().any(Self::reads_query),
            Self::Consumer
            | Self::Address
            | Self::Route
            | Self::Header(_)
            | Self::Claim(_)
            | Self::Cookie(_) => false,
        }
    }

    /// Names of the request fields that the key reads.
    pub(crate) fn fields(&self) -> Vec<HeaderName> {
        match self {
            Self::Header(name) => vec![name.clone()],
            Self::All(parts) => parts.iter().flat_map(Self::fields).collect(),
            _ => Vec::new(),
        }
    }

    /// Reads the key from a request. Returns a flag and the hash of the key. The flag is true if
    /// clients can invent the key; the key then belongs to the second table of `tables`.
    pub(crate) fn read(
        &self,
        state: StateId,
        tables: [&RateTable; 2],
        head: &RequestHead,
        cx: &Cx<'_>,
    ) -> (bool, u64) {
        let [known, anonymous] = tables;
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
            Self::Header(name) => match only_header(head, name) {
                Some(value) => (true, anonymous.tag(state, &[b"header", value])),
                None => by_address(),
            },
            // Clients cannot invent a claim, because it comes from the configuration or a verified
            // token.
            Self::Claim(name) => match cx.claim(name) {
                Some(value) => (false, known.tag(state, &[b"claim", value.as_bytes()])),
                None => by_address(),
            },
            Self::Cookie(name) => match only_cookie(&head.headers, name) {
                Some(value) => (true, anonymous.tag(state, &[b"cookie", &value])),
                None => by_address(),
            },
            Self::Query(name) => match only_parameter(head, name) {
                Some(value) => (true, anonymous.tag(state, &[b"query", &value])),
                None => by_address(),
            },
            Self::All(parts) => {
                let mut invented = false;
                let mut folded = 0;
                for part in parts {
                    let (chosen, tag) = part.read(state, tables, head, cx);
                    invented |= chosen;
                    let (before, tag): ([u8; 8], [u8; 8]) =
                        (u64::to_le_bytes(folded), tag.to_le_bytes());
                    folded = known.tag(state, &[&before, &tag]);
                }
                let table = if invented { anonymous } else { known };
                (invented, table.tag(state, &[b"all", &folded.to_le_bytes()]))
            }
            Self::Address => by_address(),
        }
    }
}

impl Reader {
    /// Reads the key from a request as a shortened SHA-256 for stores, which is equal in every
    /// gateway. The returned boolean is true if clients can invent the key.
    pub(crate) fn digest(&self, head: &RequestHead, cx: &Cx<'_>) -> (bool, [u8; 16]) {
        let mut hash = Sha256::new();
        let invented = self.hash(head, cx, &mut hash);
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        (invented, key)
    }

    fn hash(&self, head: &RequestHead, cx: &Cx<'_>, hash: &mut Sha256) -> bool {
        let mut part = |kind: &[u8], value: &[u8]| {
            for bytes in [kind, value] {
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
        };
        let known = match self {
            Self::Consumer => {
                let caller = cx.principal.as_ref().and_then(Principal::key);
                caller
                    .map(|caller| part(b"consumer", caller))
                    .map(|()| false)
            }
            Self::Route => {
                let route = cx.route.map_or("", RouteId::as_str);
                part(b"route", route.as_bytes());
                Some(false)
            }
            Self::Claim(name) => {
                let claim = cx.claim(name);
                claim
                    .map(|claim| part(b"claim", claim.as_bytes()))
                    .map(|()| false)
            }
            Self::Header(name) => {
                let value = only_header(head, name);
                value.map(|value| part(b"header", value)).map(|()| true)
            }
            Self::Cookie(name) => {
                let value = only_cookie(&head.headers, name);
                value.map(|value| part(b"cookie", &value)).map(|()| true)
            }
            Self::Query(name) => {
                let value = only_parameter(head, name);
                value.map(|value| part(b"query", &value)).map(|()| true)
            }
            Self::All(parts) => {
                part(b"all", &(parts.len() as u64).to_le_bytes());
                let hashed = parts.iter().map(|one| one.hash(head, cx, hash));
                return hashed.fold(false, |all, one| all | one);
            }
            Self::Address => None,
        };
        known.unwrap_or_else(|| {
            let (bytes, length) = address_key(cx.client);
            part(b"address", &bytes[..length]);
            true
        })
    }
}

/// The only value of an iterator. `None` if there are no or several values.
fn only<T>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

/// Value of a field that occurs once. For `Host`: the host in lower case, without port and final
/// dot, so that a client has one counter for all spellings of a host.
fn only_header<'h>(head: &'h RequestHead, name: &HeaderName) -> Option<&'h [u8]> {
    let value = only(head.headers.get_all(name).iter())?;
    Some(match *name == HOST {
        true => head.host.as_bytes(),
        false => value.as_bytes(),
    })
}

/// Decoded value of a query parameter. `None` if the parameter is absent or repeated. Also `None`
/// if servers could use different values. Some treat the name of a different parameter as equal,
/// end the value at a `;`, or leave out a parameter with a malformed escape.
fn only_parameter<'h>(head: &'h RequestHead, name: &str) -> Option<Cow<'h, [u8]>> {
    let query = head.query().unwrap_or_default();
    only(query_values(query, name)).filter(|_| !has_several_readings(query, name))
}

/// Bytes of an address in the key: a full IPv4 address, or the /64 prefix of an IPv6 address,
/// because a client controls the rest.
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
    //! Parser of a counter key in the configuration.

    use diag::NodeRef;
    use diag::shape::Shape;

    use super::Key;
    use crate::forms;

    /// Shape of a key: one property of requests, or a list of several.
    pub(crate) static SHAPE: Shape = Shape::Either(&[
        Shape::Form(&forms::COUNTER_KEY),
        Shape::Several(&Shape::Form(&forms::COUNTER_KEY)),
    ]);

    /// Reads a key that fits [`SHAPE`].
    pub(crate) fn read(node: NodeRef<'_>) -> Option<Key> {
        if node.scalar_text().is_some() {
            return one(node);
        }
        let mut parts = node.items().map(one).collect::<Option<Vec<_>>>()?;
        parts.sort();
        parts.dedup();
        match parts.len() {
            1 => parts.pop(),
            _ => Some(Key::All(parts)),
        }
    }

    fn one(node: NodeRef<'_>) -> Option<Key> {
        let text = node.scalar_text().unwrap_or_default();
        match (text, text.split_once(':')) {
            ("consumer", _) => Some(Key::Consumer),
            ("address", _) => Some(Key::Address),
            ("route", _) => Some(Key::Route),
            (_, Some(("header", name))) if http::HeaderName::try_from(name).is_ok() => {
                Some(Key::Header(name.to_ascii_lowercase()))
            }
            (_, Some(("claim", name))) => Some(Key::Claim(name.to_owned())),
            (_, Some(("cookie", name))) => Some(Key::Cookie(name.to_owned())),
            (_, Some(("query", name))) => Some(Key::Query(name.to_owned())),
            // The shape check has already reported the error.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::cx::tests::{head, with_cx};

    /// Checks that keys which clients can invent use a separate table, so that many of them cannot
    /// evict counters of consumers (data-plane.md §9).
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
                    plan: None,
                    token: None,
                });
                key.reader()
                    .read(StateId(1), cx.limits.tables(false), &head, cx)
            });
            assert_eq!(found, anonymous, "{key}");
        }
    }

    /// Limits by address run before authentication and protect it against guessing.
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
            with_cx(|cx| key.read(StateId(1), cx.limits.tables(false), &head, cx).1)
        };
        assert_eq!(tag("a"), tag("a"));
        assert_ne!(tag("a"), tag("b"));
    }

    /// Checks that a repeated property counts by address. Servers use the first value, the last or
    /// all, so a client must not choose its counter by repeating the property.
    #[test]
    fn repeated_values_count_by_address() {
        let tag = |key: &Key, head: &RequestHead| {
            let reader = key.reader();
            let (stored, local) = with_cx(|cx| {
                let local = reader.read(StateId(1), cx.limits.tables(false), head, cx);
                (reader.digest(head, cx), local)
            });
            (stored, local)
        };
        let with = |name: &'static str, values: &[&str]| {
            let mut head = head("/");
            for value in values {
                head.headers.append(name, value.parse().unwrap());
            }
            head
        };
        let address = tag(&Key::Address, &head("/"));
        for (key, one, several) in [
            (
                Key::Query("k".into()),
                head("/?k=a"),
                vec![
                    head("/?k=a&k=b"),
                    head("/?k=b&%6b=a"),
                    head("/?k=a&%5Bk%5D=b"),
                    head("/?K=b&k=a"),
                    head("/?k=a;1"),
                    head("/?k;x=a"),
                    head("/?k=a%zz"),
                    head("/?k=a%4"),
                    head("/?x;k=a"),
                ],
            ),
            (
                Key::Cookie("k".into()),
                with("cookie", &["k=a"]),
                vec![
                    with("cookie", &["k=a; k=b"]),
                    with("cookie", &["k=a", "k=a"]),
                    with("cookie", &["k=a,1"]),
                    with("cookie", &["k=a 1"]),
                    with("cookie", &["k=a; K=b"]),
                    with("cookie", &["k=a; %6B=b"]),
                    with("cookie", &["k=a; x=1, k=b"]),
                    with("cookie", &[r#"k="\141""#]),
                ],
            ),
            (
                Key::Header("x-k".into()),
                with("x-k", &["a"]),
                vec![with("x-k", &["a", "b"])],
            ),
        ] {
            assert_ne!(tag(&key, &one), address, "{key}");
            for head in several {
                assert_eq!(tag(&key, &head), address, "{key}");
            }
        }
    }

    #[test]
    fn spellings_of_a_host_are_one_key() {
        let key = |host: &str, sent: &'static str| {
            let mut head = head("/");
            head.host = host.into();
            head.headers.insert("host", sent.parse().unwrap());
            let reader = Key::Header("host".into()).reader();
            with_cx(|cx| reader.read(StateId(1), cx.limits.tables(false), &head, cx))
        };
        assert_eq!(key("a.test", "a.test"), key("a.test", "A.test.:81"));
        assert_ne!(key("a.test", "a.test"), key("b.test", "b.test"));
    }

    /// Some servers decode escapes in a cookie's value, and some remove its quotes. A client must
    /// not choose its counter by another spelling of the value.
    #[test]
    fn cookie_in_any_spelling_is_one_key() {
        let tag = |cookies: &str| {
            let mut head = head("/");
            head.headers.insert("cookie", cookies.parse().unwrap());
            let reader = Key::Cookie("k".into()).reader();
            with_cx(|cx| {
                let local = reader.read(StateId(1), cx.limits.tables(false), &head, cx);
                (reader.digest(&head, cx), local)
            })
        };
        let plain = tag("k=s:a");
        for cookies in ["x=1; k=s:a", "k=s%3Aa", "k=%73%3aa", r#"k="s:a""#] {
            assert_eq!(tag(cookies), plain, "{cookies}");
        }
        assert_ne!(tag("k=s:b"), plain);
    }

    #[test]
    fn ipv6_clients_share_their_network() {
        let key = |text: &str| address_key(IpAddr::V6(text.parse::<Ipv6Addr>().unwrap()));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1").1, 4);
    }
}
