//! Fields with the hops of a request, for the upstream: `Forwarded` (RFC 7239) and the older
//! `X-Forwarded-*` fields.
//!
//! Fields from a trusted proxy are extended. The edge removes those of other peers.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use crate::edge::{Hop, X_FORWARDED_FOR, hops, hops_agree, outside_quotes};

pub(super) static X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(super) static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Forwarding values of this hop, formatted once per connection and host. Most clients are the
/// first hop, so that a request needs no formatting.
#[derive(Debug)]
pub struct ThisHop {
    /// Address of the peer that opened the connection.
    pub peer: IpAddr,
    /// Protocol of the client's connection: `http` or `https`.
    pub scheme: &'static str,
    /// `Host` as the client wrote it.
    pub authority: HeaderValue,
    /// Address of the peer as X-Forwarded-For writes it.
    address: HeaderValue,
    /// Element of Forwarded.
    element: HeaderValue,
    /// Port that the client requested.
    port: HeaderValue,
    /// The scheme as X-Forwarded-Proto writes it.
    proto: HeaderValue,
}

impl ThisHop {
    /// Values for a peer that sends requests for a host.
    #[must_use]
    pub fn new(peer: IpAddr, scheme: &'static str, authority: &HeaderValue) -> Self {
        let peer = peer.to_canonical();
        let text = |text: String| HeaderValue::try_from(text).ok();
        let none = || HeaderValue::from_static("unknown");
        Self {
            address: text(peer.to_string()).unwrap_or_else(none),
            element: text(element(peer, scheme, authority)).unwrap_or_else(none),
            port: HeaderValue::from(port(scheme, authority)),
            proto: HeaderValue::from_static(scheme),
            peer,
            scheme,
            authority: owned(authority),
        }
    }

    /// Calls `field` for each forwarding field of a request whose first hop is this.
    pub(super) fn each_field(&self, field: &mut impl FnMut(&HeaderName, &HeaderValue)) {
        field(&X_FORWARDED_FOR, &self.address);
        field(&FORWARDED, &self.element);
        field(&X_FORWARDED_PROTO, &self.proto);
        field(&X_FORWARDED_HOST, &self.authority);
        field(&X_FORWARDED_PORT, &self.port);
    }
}

/// A copy of a value in a buffer of its own. A value from a request borrows the connection's read
/// buffer and would keep the whole buffer in memory.
fn owned(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

/// Adds this hop to the forwarding fields. `prefix` is the stripped base path, or empty.
pub fn continued(headers: &mut HeaderMap, hop: &ThisHop, prefix: &str) {
    let believed = Believed::of(headers);
    if headers.contains_key(&X_FORWARDED_FOR) || headers.contains_key(FORWARDED) {
        continue_lines(headers, hop, &believed);
    } else {
        headers.insert(&X_FORWARDED_FOR, hop.address.clone());
        headers.insert(FORWARDED, hop.element.clone());
    }
    let port = believed.port().map(HeaderValue::from);
    let proto = believed.proto.map(HeaderValue::from_static);
    let host = believed.host;
    headers.insert(&X_FORWARDED_PORT, port.unwrap_or_else(|| hop.port.clone()));
    headers.insert(
        &X_FORWARDED_PROTO,
        proto.unwrap_or_else(|| hop.proto.clone()),
    );
    headers.insert(
        &X_FORWARDED_HOST,
        host.unwrap_or_else(|| hop.authority.clone()),
    );
    drop_malformed(headers);
    if !prefix.is_empty() {
        prefixed(headers, prefix);
    }
}

/// Removes X-Real-IP and X-Forwarded-Prefix if the trusted proxy passed on malformed values.
fn drop_malformed(headers: &mut HeaderMap) {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_path = |text: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        text.starts_with('/') && !text.starts_with("//") && text.bytes().all(is_allowed)
    };
    let all = |headers: &HeaderMap, name: &HeaderName, is_valid: &dyn Fn(&str) -> bool| {
        let mut values = headers.get_all(name).iter();
        values.all(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.split(',').all(|part| is_valid(part.trim())))
        })
    };
    if !all(headers, &X_REAL_IP, &is_address) {
        headers.remove(&X_REAL_IP);
    }
    if !all(headers, &X_FORWARDED_PREFIX, &is_path) {
        headers.remove(&X_FORWARDED_PREFIX);
    }
}

/// Client's scheme, host and port from a trusted proxy. Malformed values count as absent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Believed {
    /// `http` or `https`.
    proto: Option<&'static str>,
    host: Option<HeaderValue>,
    port: Option<u16>,
    /// True if `Forwarded` is well-formed and has the same values.
    forwarded_agrees: bool,
}

impl Believed {
    /// Reads the fields. `X-Forwarded-*` take precedence over `Forwarded`.
    fn of(headers: &HeaderMap) -> Self {
        // Ignore a `Forwarded` that names other hops: the client sent it through a proxy that only
        // knows X-Forwarded-For.
        let forwarded = first_element(headers).filter(|_| hops_agree(headers));
        let of_forwarded = |name: &str| {
            let pairs = forwarded.as_deref().unwrap_or_default().iter();
            let found = pairs
                .clone()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        let forwarded_proto = of_forwarded("proto").and_then(known_proto);
        let proto = proto(headers).or(forwarded_proto);
        let host = first(headers, &X_FORWARDED_HOST).filter(|host| is_authority(host));
        let host = host.or_else(|| of_forwarded("host").filter(|host| is_authority(host)));
        let port = first(headers, &X_FORWARDED_PORT);
        Self {
            proto,
            host: host.and_then(|host| HeaderValue::from_str(host).ok()),
            port: port
                .and_then(|port| port.parse().ok())
                .filter(|port| *port > 0),
            forwarded_agrees: forwarded.is_some()
                && forwarded_proto.is_none_or(|told| Some(told) == proto),
        }
    }

    /// Port from the proxy, or the one that its host and scheme imply. None if it reported neither.
    fn port(&self) -> Option<u16> {
        let scheme = self.proto;
        let of_host = || {
            let host = self.host.as_ref()?;
            Some(port(scheme?, host))
        };
        let of_scheme = || Some(if scheme? == "https" { 443 } else { 80 });
        self.port.or_else(of_host).or_else(of_scheme)
    }
}

/// Scheme of the client's connection from X-Forwarded-Proto.
pub(super) fn proto(headers: &HeaderMap) -> Option<&'static str> {
    first(headers, &X_FORWARDED_PROTO).and_then(known_proto)
}

fn known_proto(text: &str) -> Option<&'static str> {
    let known = [
        ("http", "http"),
        ("https", "https"),
        ("ws", "http"),
        ("wss", "https"),
    ];
    let mut known = known.into_iter();
    let found = known.find(|(name, _)| text.eq_ignore_ascii_case(name));
    found.map(|(_, proto)| proto)
}

/// First of a field's values: the one from the proxy nearest to the client.
fn first<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let text = headers.get(name)?.to_str().ok()?;
    text.split(',').next().map(str::trim)
}

/// A host with or without a port.
fn is_authority(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte);
    let parsed = text.parse::<http::uri::Authority>();
    text.bytes().all(plain) && parsed.is_ok_and(|it| !it.host().is_empty())
}

/// Pairs of the first element of Forwarded (RFC 7239 §4). None without the field, or if any element
/// is malformed. A server behind may read a malformed element in another way.
fn first_element(headers: &HeaderMap) -> Option<Vec<(String, String)>> {
    let mut first = None;
    for line in headers.get_all(FORWARDED) {
        for element in outside_quotes(line.to_str().ok()?, b',') {
            let pairs = outside_quotes(element, b';').map(pair);
            let pairs = pairs.collect::<Option<Vec<_>>>()?;
            let names = pairs.iter().map(|(name, _)| name);
            let is_repeated = |at: usize, name: &str| {
                let mut before = pairs[..at].iter();
                before.any(|(other, _)| other.eq_ignore_ascii_case(name))
            };
            if names.enumerate().any(|(at, name)| is_repeated(at, name)) {
                return None;
            }
            first.get_or_insert(pairs);
        }
    }
    first
}

/// Parses `token=value`, where the value is a token or a quoted string, and valid for the parameter
/// (RFC 7239 §5).
fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.trim().split_once('=')?;
    let token = |text: &str| !text.is_empty() && text.bytes().all(is_token);
    if !token(name) {
        return None;
    }
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let value = match quoted {
        Some(inner) => unquoted(inner)?,
        // Some proxies write ports and brackets without quotes.
        None => value
            .bytes()
            .all(|byte| is_token(byte) || b":[]".contains(&byte))
            .then(|| value.to_owned())?,
    };
    let is_valid = match name.to_ascii_lowercase().as_str() {
        "proto" => is_scheme(&value),
        "host" => is_authority(&value),
        "by" => Hop::of(&value).is_valid(),
        // `for` is judged as a hop; other parameters are extensions.
        _ => true,
    };
    is_valid.then(|| (name.to_owned(), value))
}

/// Text of a quoted string (RFC 9110 §5.6.4), or None if a quotation mark in it is not escaped.
fn unquoted(inner: &str) -> Option<String> {
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(next) = chars.next() {
        match next {
            '"' => return None,
            '\\' => text.push(chars.next()?),
            _ => text.push(next),
        }
    }
    Some(text)
}

/// True for the name of a URI scheme (RFC 3986 §3.1).
fn is_scheme(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_allowed)
}

/// Writes X-Forwarded-For and Forwarded with the hops so far and this one.
fn continue_lines(headers: &mut HeaderMap, hop: &ThisHop, believed: &Believed) {
    let (addresses, elements) = {
        let hops = hops(headers);
        let elements = elements(headers, &hops, hop, believed);
        (addresses(&hops, hop.peer), elements)
    };
    if let Ok(value) = HeaderValue::try_from(addresses) {
        headers.insert(&X_FORWARDED_FOR, value);
    }
    if let Ok(value) = HeaderValue::try_from(elements) {
        headers.insert(FORWARDED, value);
    }
}

/// Value of X-Forwarded-For as one line.
fn addresses(hops: &[Hop<'_>], peer: IpAddr) -> String {
    let mut line = String::with_capacity(40);
    for hop in hops {
        let _infallible = match hop.address {
            Some(address) => write!(line, "{address}, "),
            None => write!(line, "{}, ", hop.text),
        };
    }
    let _infallible = write!(line, "{peer}");
    line
}

/// Value of Forwarded as one line. Built from X-Forwarded-For if that alone has the hops.
fn elements(headers: &HeaderMap, hops: &[Hop<'_>], this: &ThisHop, believed: &Believed) -> String {
    let mut line = String::with_capacity(64);
    if believed.forwarded_agrees {
        for before in headers.get_all(FORWARDED) {
            line.push_str(before.to_str().unwrap_or_default());
            line.push_str(", ");
        }
    } else {
        for (number, hop) in hops.iter().enumerate() {
            line.push_str("for=");
            match hop.address {
                Some(address) => node(&mut line, address),
                None => line.push_str("unknown"),
            }
            if number == 0 {
                if let Some(host) = &believed.host {
                    line.push_str(";host=");
                    host_value(&mut line, host);
                }
                if let Some(proto) = believed.proto {
                    line.push_str(";proto=");
                    line.push_str(proto);
                }
            }
            line.push_str(", ");
        }
    }
    line.push_str(this.element.to_str().unwrap_or_default());
    line
}

/// Forwarded element of one hop (RFC 7239 §4).
fn element(peer: IpAddr, scheme: &str, authority: &HeaderValue) -> String {
    let mut line = String::with_capacity(64);
    line.push_str("for=");
    node(&mut line, peer);
    line.push_str(";host=");
    host_value(&mut line, authority);
    line.push_str(";proto=");
    line.push_str(scheme);
    line
}

fn host_value(line: &mut String, authority: &HeaderValue) {
    let host = authority.to_str().unwrap_or_default();
    match host.bytes().all(is_token) {
        true => line.push_str(host),
        false => drop(write!(line, "\"{host}\"")),
    }
}

/// Appends a node (RFC 7239 §6); an IPv6 address is in brackets and quotes.
fn node(line: &mut String, address: IpAddr) {
    let _infallible = match address {
        IpAddr::V4(address) => write!(line, "{address}"),
        IpAddr::V6(address) => write!(line, "\"[{address}]\""),
    };
}

/// True for a byte that is allowed in a token (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Port that the client requested.
fn port(scheme: &str, authority: &HeaderValue) -> u16 {
    let text = authority.to_str().unwrap_or_default();
    let written = text
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    written.unwrap_or(match scheme {
        "https" => 443,
        _ => 80,
    })
}

fn prefixed(headers: &mut HeaderMap, prefix: &str) {
    let mut line = String::new();
    for before in headers.get_all(&X_FORWARDED_PREFIX) {
        line.push_str(before.to_str().unwrap_or_default());
        line.push_str(", ");
    }
    line.push_str(prefix);
    if let Ok(value) = HeaderValue::try_from(line) {
        headers.insert(&X_FORWARDED_PREFIX, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forwarding fields that the upstream receives, for a request from `peer` with the fields
    /// `before` of a trusted proxy.
    fn told(
        peer: &str,
        authority: &'static str,
        scheme: &'static str,
        before: &[(&str, &str)],
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let authority = HeaderValue::from_static(authority);
        let hop = ThisHop::new(peer.parse().unwrap(), scheme, &authority);
        continued(&mut headers, &hop, "/base");
        headers
    }

    #[test]
    fn the_first_hop_is_told_in_every_form() {
        let headers = told("203.0.113.9", "shop.example", "https", &[]);
        let expected = [
            ("forwarded", "for=203.0.113.9;host=shop.example;proto=https"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/base"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(headers.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(headers[name], value, "{name}");
        }
    }

    #[test]
    fn what_is_no_token_is_quoted() {
        let headers = told("2001:db8::1", "[2001:db8::2]:8080", "http", &[]);
        let expected = "for=\"[2001:db8::1]\";host=\"[2001:db8::2]:8080\";proto=http";
        assert_eq!(headers["forwarded"], expected);
        assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
        assert_eq!(headers["x-forwarded-port"], "8080");
        // An IPv4 client of a dual-stack socket.
        let headers = told("::ffff:192.0.2.1", "h", "http", &[]);
        assert_eq!(headers["forwarded"], "for=192.0.2.1;host=h;proto=http");
    }

    #[test]
    fn a_way_is_continued_in_both_forms_whichever_told_it() {
        let rest = "for=10.0.0.1;host=h;proto=http";
        let old = [
            ("x-forwarded-for", "203.0.113.9, [2001:db8::1]"),
            ("x-forwarded-for", "_x"),
        ];
        let headers = told("10.0.0.1", "h", "http", &old);
        assert_eq!(
            headers["x-forwarded-for"],
            "203.0.113.9, 2001:db8::1, _x, 10.0.0.1"
        );
        let expected = format!("for=203.0.113.9, for=\"[2001:db8::1]\", for=unknown, {rest}");
        assert_eq!(headers["forwarded"], expected);
        let new = [(
            "forwarded",
            "for=203.0.113.9;secret=\"a,b\", for=\"[2001:db8::1]:99\"",
        )];
        let headers = told("10.0.0.1", "h", "http", &new);
        assert_eq!(headers["forwarded"], format!("{}, {rest}", new[0].1));
        assert_eq!(
            headers["x-forwarded-for"],
            "203.0.113.9, 2001:db8::1, 10.0.0.1"
        );
    }

    #[test]
    fn first_hop_from_a_trusted_proxy_is_kept() {
        let before = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "outer.example"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-prefix", "/outer"),
        ];
        let headers = told("10.0.0.1", "h", "http", &before);
        assert_eq!(headers["x-forwarded-prefix"], "/outer, /base");
        for (name, value) in &before[..3] {
            assert_eq!(headers[*name], *value);
        }
    }

    #[test]
    fn malformed_values_of_a_trusted_proxy_are_dropped() {
        let table = [
            ("x-real-ip", "203.0.113.9", true),
            ("x-real-ip", "2001:db8::1", true),
            ("x-real-ip", "203.0.113.9:80", false),
            ("x-real-ip", "localhost", false),
            ("x-forwarded-prefix", "/shop, /v1", true),
            ("x-forwarded-prefix", "//evil.example", false),
            ("x-forwarded-prefix", "javascript:a", false),
            ("x-forwarded-prefix", "/a\"b", false),
        ];
        for (name, value, stays) in table {
            let hop = ThisHop::new(
                [192, 0, 2, 1].into(),
                "http",
                &HeaderValue::from_static("h"),
            );
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            continued(&mut headers, &hop, "");
            let found = headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(found, stays.then_some(value), "{name}: {value}");
        }
    }

    #[test]
    fn told_facts_agree_with_each_other() {
        let facts = |before: &[(&str, &str)]| {
            let headers = told("192.0.2.1", "h:8080", "http", before);
            let field = |name: &str| headers[name].to_str().unwrap().to_owned();
            [
                field("x-forwarded-proto"),
                field("x-forwarded-host"),
                field("x-forwarded-port"),
                field("forwarded"),
            ]
        };
        let own = "for=192.0.2.1;host=\"h:8080\";proto=http";
        type Fields = [(&'static str, &'static str)];
        let table: [(&Fields, [&str; 3], &str); 16] = [
            (
                &[
                    ("x-forwarded-for", "203.0.113.9"),
                    ("x-forwarded-proto", "https"),
                ],
                ["https", "h:8080", "443"],
                "for=203.0.113.9;proto=https",
            ),
            (
                &[
                    ("x-forwarded-for", "203.0.113.9"),
                    ("x-forwarded-proto", "HTTPS, http"),
                    ("x-forwarded-host", "shop.example:8443"),
                ],
                ["https", "shop.example:8443", "8443"],
                "for=203.0.113.9;host=\"shop.example:8443\";proto=https",
            ),
            (
                &[("forwarded", "for=203.0.113.9;proto=https;host=shop.example")],
                ["https", "shop.example", "443"],
                "for=203.0.113.9;proto=https;host=shop.example",
            ),
            // Both are present and differ: the older field takes precedence.
            (
                &[
                    ("forwarded", "for=203.0.113.9;proto=http"),
                    ("x-forwarded-proto", "https"),
                ],
                ["https", "h:8080", "443"],
                "for=203.0.113.9;proto=https",
            ),
            // They name different clients: the older field takes precedence.
            (
                &[
                    ("forwarded", "for=198.51.100.7;proto=http"),
                    ("x-forwarded-for", "203.0.113.9"),
                ],
                ["http", "h:8080", "8080"],
                "for=203.0.113.9",
            ),
            (
                &[
                    ("forwarded", "for=198.51.100.7, for=203.0.113.9"),
                    ("x-forwarded-for", "203.0.113.9"),
                ],
                ["http", "h:8080", "8080"],
                "for=203.0.113.9",
            ),
            (
                &[
                    ("forwarded", "for=x/y, for=203.0.113.9"),
                    ("x-forwarded-port", "444"),
                ],
                ["http", "h:8080", "444"],
                "for=203.0.113.9",
            ),
            // Malformed values count as absent.
            (
                &[
                    ("x-forwarded-for", "203.0.113.9"),
                    ("x-forwarded-proto", "gopher"),
                    ("x-forwarded-port", "70000"),
                    ("x-forwarded-host", "a/b"),
                ],
                ["http", "h:8080", "8080"],
                "for=203.0.113.9",
            ),
            (
                &[("forwarded", "for=203.0.113.9;host=\"a\"b\"")],
                ["http", "h:8080", "8080"],
                "for=203.0.113.9",
            ),
            (
                &[("forwarded", "for=203.0.113.9;proto=\"a b\"")],
                ["http", "h:8080", "8080"],
                "for=203.0.113.9",
            ),
            (
                &[("forwarded", "for=203.0.113.9;secret=\"a\"b\"")],
                ["http", "h:8080", "8080"],
                "for=203.0.113.9",
            ),
            (
                &[("forwarded", "for=203.0.113.9;by=\"a b\"")],
                ["http", "h:8080", "8080"],
                "for=203.0.113.9",
            ),
            // Servers differ in which of the two they read.
            (
                &[("forwarded", "for=203.0.113.9;For=198.51.100.7")],
                ["http", "h:8080", "8080"],
                "for=203.0.113.9",
            ),
            (
                &[("forwarded", "for=203.0.113.9;host=a;host=b")],
                ["http", "h:8080", "8080"],
                "for=203.0.113.9",
            ),
            (
                &[
                    ("forwarded", "for=203.0.113.9;proto"),
                    ("x-forwarded-port", "-1"),
                ],
                ["http", "h:8080", "8080"],
                "for=203.0.113.9",
            ),
            (
                &[
                    ("x-forwarded-for", "203.0.113.9"),
                    ("x-forwarded-port", "444"),
                ],
                ["http", "h:8080", "444"],
                "for=203.0.113.9",
            ),
        ];
        for (before, [proto, host, port], way) in table {
            let expected = [proto, host, port, &format!("{way}, {own}")];
            assert_eq!(facts(before), expected.map(str::to_owned), "{before:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn way_that_is_continued_twice_keeps_its_hops(
            older in r#"([0-9]{1,3}(\.[0-9]{1,3}){3}|_[a-z]?|unknown|[a-f:\[\]]{1,9}|[<,; "=]){0,5}"#,
            newer in r#"((for|proto|host|by)=("[a-z0-9:.\[\]\\]{0,9}"|[a-z0-9:_.]{0,9})[,; ]{0,2}|[",;= ]){0,5}"#,
        ) {
            let mut headers = HeaderMap::new();
            for (name, text) in [(&X_FORWARDED_FOR, older), (&FORWARDED, newer)] {
                if !text.is_empty() {
                    headers.insert(name, HeaderValue::try_from(text).unwrap());
                }
            }
            let peer = IpAddr::from([192, 0, 2, 1]);
            let hop = ThisHop::new(peer, "https", &HeaderValue::from_static("h"));
            let hops = |headers: &HeaderMap| -> Vec<String> {
                let forwarded = headers[FORWARDED].to_str().unwrap();
                assert!(forwarded.ends_with("for=192.0.2.1;host=h;proto=https"), "{forwarded}");
                let line = headers[&X_FORWARDED_FOR].to_str().unwrap();
                let hops: Vec<String> = line.split(", ").map(str::to_owned).collect();
                for hop in &hops {
                    let named = hop.eq_ignore_ascii_case("unknown") || hop.starts_with('_');
                    assert!(named || hop.parse::<IpAddr>().is_ok(), "{line}");
                }
                hops
            };
            continued(&mut headers, &hop, "");
            let once = hops(&headers);
            continued(&mut headers, &hop, "");
            let twice = hops(&headers);
            proptest::prop_assert_eq!(&twice[..once.len()], &once[..]);
            proptest::prop_assert_eq!(twice.len(), once.len() + 1);
        }
    }
}
