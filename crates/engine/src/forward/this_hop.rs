//! Forwarding fields of a request to the upstream: `Forwarded` (RFC 7239) and the older
//! `X-Forwarded-*` fields.
//!
//! The gateway extends these fields if a trusted proxy sent them. The edge removes these fields
//! from requests of other peers.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use crate::edge::reported_origin::{ReportedOrigin, is_token, port};
use crate::edge::reported_origin::{X_FORWARDED_HOST, X_FORWARDED_PORT};
pub(super) use crate::edge::reported_origin::{X_FORWARDED_PREFIX, X_FORWARDED_PROTO, proto};
use crate::edge::{Hop, X_FORWARDED_FOR, hops};

pub(super) static X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Values of the gateway's own forwarding fields, formatted once per connection and host. If the
/// client is not a proxy, as usual, the values are sent unchanged.
#[derive(Debug)]
pub struct ThisHop {
    /// Address of the peer that opened the connection.
    pub peer: IpAddr,
    /// Protocol of the client's connection: `http` or `https`.
    pub scheme: &'static str,
    /// `Host` as the client wrote it.
    pub authority: HeaderValue,
    /// Address of the peer, formatted for X-Forwarded-For.
    address: HeaderValue,
    /// Element of `Forwarded` for this hop.
    element: HeaderValue,
    /// Port that the client requested.
    port: HeaderValue,
    /// Scheme, formatted for X-Forwarded-Proto.
    proto: HeaderValue,
}

impl ThisHop {
    /// Creates the values for requests of a peer for a host.
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

    /// Calls `field` for each forwarding field of a request, if this hop is the first one.
    pub(super) fn each_field(&self, field: &mut impl FnMut(&HeaderName, &HeaderValue)) {
        field(&X_FORWARDED_FOR, &self.address);
        field(&FORWARDED, &self.element);
        field(&X_FORWARDED_PROTO, &self.proto);
        field(&X_FORWARDED_HOST, &self.authority);
        field(&X_FORWARDED_PORT, &self.port);
    }
}

/// Copies a value into a new buffer. Otherwise the value would keep the connection's whole read
/// buffer in memory.
fn owned(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

/// Adds this hop to the forwarding fields. `prefix` is the base path that was removed, or empty.
pub fn continued(headers: &mut HeaderMap, hop: &ThisHop, prefix: &str) {
    let reported_origin = ReportedOrigin::of(headers);
    continue_lines(headers, hop, &reported_origin);
    // All forwarding fields get the same scheme and host: those that the trusted proxy reports,
    // otherwise those of this hop.
    let proto = reported_origin.proto.unwrap_or(hop.scheme);
    let host = reported_origin.host;
    let host = host.unwrap_or_else(|| hop.authority.clone());
    let port = reported_origin.port.unwrap_or_else(|| port(proto, &host));
    headers.insert(&X_FORWARDED_PORT, HeaderValue::from(port));
    headers.insert(&X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    headers.insert(&X_FORWARDED_HOST, host);
    drop_malformed(headers);
    if !prefix.is_empty() {
        prefixed(headers, prefix);
    }
}

/// Removes `X-Real-IP` and `X-Forwarded-Prefix` if the trusted proxy sent malformed values.
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

/// Writes `X-Forwarded-For` and `Forwarded` with the earlier hops and this hop.
fn continue_lines(headers: &mut HeaderMap, hop: &ThisHop, reported_origin: &ReportedOrigin) {
    let (addresses, elements) = {
        let hops = hops(headers);
        let elements = elements(headers, &hops, hop, reported_origin);
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

/// Value of `Forwarded` as one line. If only `X-Forwarded-For` has the earlier hops, these hops are
/// converted.
fn elements(
    headers: &HeaderMap,
    hops: &[Hop<'_>],
    this: &ThisHop,
    reported_origin: &ReportedOrigin,
) -> String {
    // No earlier hop is known. The element gets the scheme and the host that the trusted proxy
    // reports, like `X-Forwarded-Proto` and `X-Forwarded-Host`.
    if !reported_origin.forwarded_agrees && hops.is_empty() {
        let scheme = reported_origin.proto.unwrap_or(this.scheme);
        let authority = reported_origin.host.as_ref().unwrap_or(&this.authority);
        return element(this.peer, scheme, authority);
    }
    let mut line = String::with_capacity(64);
    if reported_origin.forwarded_agrees {
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
                if let Some(host) = &reported_origin.host {
                    line.push_str(";host=");
                    host_value(&mut line, host);
                }
                if let Some(proto) = reported_origin.proto {
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

/// Appends a node identifier (RFC 7239 §6). An IPv6 address is written in brackets and quotes.
fn node(line: &mut String, address: IpAddr) {
    let _infallible = match address {
        IpAddr::V4(address) => write!(line, "{address}"),
        IpAddr::V6(address) => write!(line, "\"[{address}]\""),
    };
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
    fn forwarding_fields(
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
    fn first_hop_is_in_every_forwarding_field() {
        let headers = forwarding_fields("203.0.113.9", "shop.example", "https", &[]);
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
    fn values_other_than_tokens_are_quoted() {
        let headers = forwarding_fields("2001:db8::1", "[2001:db8::2]:8080", "http", &[]);
        let expected = "for=\"[2001:db8::1]\";host=\"[2001:db8::2]:8080\";proto=http";
        assert_eq!(headers["forwarded"], expected);
        assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
        assert_eq!(headers["x-forwarded-port"], "8080");
        // Address of an IPv4 client at a dual-stack socket.
        let headers = forwarding_fields("::ffff:192.0.2.1", "h", "http", &[]);
        assert_eq!(headers["forwarded"], "for=192.0.2.1;host=h;proto=http");
    }

    #[test]
    fn hops_of_either_field_are_continued_in_both() {
        let rest = "for=10.0.0.1;host=h;proto=http";
        let old = [
            ("x-forwarded-for", "203.0.113.9, [2001:db8::1]"),
            ("x-forwarded-for", "_x"),
        ];
        let headers = forwarding_fields("10.0.0.1", "h", "http", &old);
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
        let headers = forwarding_fields("10.0.0.1", "h", "http", &new);
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
        let headers = forwarding_fields("10.0.0.1", "h", "http", &before);
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

    /// Scheme, host and port of a request to `h:8080`, and its `Forwarded` field.
    fn facts(before: &[(&str, &str)]) -> [String; 4] {
        let headers = forwarding_fields("192.0.2.1", "h:8080", "http", before);
        [
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "forwarded",
        ]
        .map(|name| headers[name].to_str().unwrap().to_owned())
    }

    #[test]
    fn scheme_without_an_address_is_in_every_field() {
        let own = "for=192.0.2.1;host=\"h:8080\";proto=http";
        for (before, expected) in [
            (
                &[("x-forwarded-proto", "https")][..],
                ["https", "h:8080", "8080", &format!("{own}s")],
            ),
            (
                &[("x-forwarded-for", "a/b"), ("x-forwarded-proto", "https")],
                ["https", "h:8080", "8080", &format!("{own}s")],
            ),
            (
                &[("x-forwarded-host", "b:8443")],
                [
                    "http",
                    "b:8443",
                    "8443",
                    "for=192.0.2.1;host=\"b:8443\";proto=http",
                ],
            ),
            (
                &[
                    ("forwarded", "for=203.0.113.9"),
                    ("x-forwarded-proto", "https"),
                ],
                [
                    "https",
                    "h:8080",
                    "8080",
                    &format!("for=203.0.113.9;proto=https, {own}"),
                ],
            ),
        ] {
            assert_eq!(facts(before), expected.map(str::to_owned), "{before:?}");
        }
    }

    #[test]
    fn forwarding_fields_agree_with_each_other() {
        let own = "for=192.0.2.1;host=\"h:8080\";proto=http";
        type Fields = [(&'static str, &'static str)];
        let table: [(&Fields, [&str; 3], &str); 14] = [
            (
                &[
                    ("x-forwarded-for", "203.0.113.9"),
                    ("x-forwarded-proto", "https"),
                ],
                ["https", "h:8080", "8080"],
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
            // Both fields are present and differ: `X-Forwarded-*` takes precedence.
            (
                &[
                    ("forwarded", "for=203.0.113.9;proto=http"),
                    ("x-forwarded-proto", "https"),
                ],
                ["https", "h:8080", "8080"],
                "for=203.0.113.9;proto=https",
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
            // The parameter `for` is present twice. Some servers use the first one, some the last
            // one.
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
        for (before, [proto, host, port], expected_hop) in table {
            let expected = [proto, host, port, &format!("{expected_hop}, {own}")];
            assert_eq!(facts(before), expected.map(str::to_owned), "{before:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn hops_that_are_continued_twice_are_kept(
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
