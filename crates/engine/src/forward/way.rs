//! The way of a request so far, told to the upstream: `Forwarded` (RFC 7239) and the older
//! fields that say the same.
//!
//! What a trusted proxy said is continued; anybody else's was taken out at the edge.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use crate::edge::{Hop, X_FORWARDED_FOR, hops};

static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(super) static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// This hop, written down once for all requests that a connection carries for one host: most
/// clients are the first hop, and then nothing is formatted for a request.
#[derive(Debug)]
pub struct ThisHop {
    /// Who opened the connection.
    pub peer: IpAddr,
    /// `http` or `https`: what the client speaks.
    pub scheme: &'static str,
    /// `Host` as the client wrote it.
    pub authority: HeaderValue,
    /// The peer as X-Forwarded-For writes it.
    address: HeaderValue,
    /// The element of Forwarded.
    element: HeaderValue,
    /// The port that the client asked.
    port: HeaderValue,
    /// The scheme as X-Forwarded-Proto writes it.
    proto: HeaderValue,
}

impl ThisHop {
    /// Of a client that sends requests for a host.
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

    /// The fields of a request whose first hop this is.
    pub(super) fn each_field(&self, field: &mut impl FnMut(&HeaderName, &HeaderValue)) {
        field(&X_FORWARDED_FOR, &self.address);
        field(&FORWARDED, &self.element);
        field(&X_FORWARDED_PROTO, &self.proto);
        field(&X_FORWARDED_HOST, &self.authority);
        field(&X_FORWARDED_PORT, &self.port);
    }
}

/// A value with bytes of its own: one that came with a request is a part of the buffer that the
/// connection reads into, and would keep all of it.
fn owned(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

/// Continues the way by this hop; `prefix` is what was taken off the path, or nothing.
pub(super) fn continued(headers: &mut HeaderMap, hop: &ThisHop, prefix: &str) {
    if headers.contains_key(&X_FORWARDED_FOR) || headers.contains_key(FORWARDED) {
        continue_lines(headers, hop);
    } else {
        headers.insert(&X_FORWARDED_FOR, hop.address.clone());
        headers.insert(FORWARDED, hop.element.clone());
    }
    headers
        .entry(&X_FORWARDED_PROTO)
        .or_insert_with(|| hop.proto.clone());
    headers
        .entry(&X_FORWARDED_HOST)
        .or_insert_with(|| hop.authority.clone());
    headers
        .entry(&X_FORWARDED_PORT)
        .or_insert_with(|| hop.port.clone());
    if !prefix.is_empty() {
        prefixed(headers, prefix);
    }
}

/// Both lines, with the hops before this one.
fn continue_lines(headers: &mut HeaderMap, hop: &ThisHop) {
    let (addresses, elements) = {
        let hops = hops(headers);
        (addresses(&hops, hop.peer), elements(headers, &hops, hop))
    };
    if let Ok(value) = HeaderValue::try_from(addresses) {
        headers.insert(&X_FORWARDED_FOR, value);
    }
    if let Ok(value) = HeaderValue::try_from(elements) {
        headers.insert(FORWARDED, value);
    }
}

/// X-Forwarded-For as one line.
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

/// Forwarded as one line. A way that is told by X-Forwarded-For alone is told here, too.
fn elements(headers: &HeaderMap, hops: &[Hop<'_>], this: &ThisHop) -> String {
    let mut line = String::with_capacity(64);
    let mut lines = headers.get_all(FORWARDED).iter().peekable();
    if lines.peek().is_none() {
        for hop in hops {
            line.push_str("for=");
            match hop.address {
                Some(address) => node(&mut line, address),
                None => line.push_str("unknown"),
            }
            line.push_str(", ");
        }
    }
    for before in lines {
        line.push_str(before.to_str().unwrap_or_default());
        line.push_str(", ");
    }
    line.push_str(this.element.to_str().unwrap_or_default());
    line
}

/// The element of one hop (RFC 7239 §4).
fn element(peer: IpAddr, scheme: &str, authority: &HeaderValue) -> String {
    let mut line = String::with_capacity(64);
    line.push_str("for=");
    node(&mut line, peer);
    line.push_str(";host=");
    let host = authority.to_str().unwrap_or_default();
    match host.bytes().all(is_token) {
        true => line.push_str(host),
        false => drop(write!(line, "\"{host}\"")),
    }
    line.push_str(";proto=");
    line.push_str(scheme);
    line
}

/// A node of RFC 7239 §6: IPv6 in brackets and quotes.
fn node(line: &mut String, address: IpAddr) {
    let _infallible = match address {
        IpAddr::V4(address) => write!(line, "{address}"),
        IpAddr::V6(address) => write!(line, "\"[{address}]\""),
    };
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The port that the client asked.
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

    /// What the upstream is told about somebody who came so, with these fields from a trusted
    /// proxy.
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
        // An IPv4 client of a socket that takes both.
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
            "for=203.0.113.9;by=\"a,b\", for=\"[2001:db8::1]:99\"",
        )];
        let headers = told("10.0.0.1", "h", "http", &new);
        assert_eq!(headers["forwarded"], format!("{}, {rest}", new[0].1));
        assert_eq!(
            headers["x-forwarded-for"],
            "203.0.113.9, 2001:db8::1, 10.0.0.1"
        );
    }

    #[test]
    fn what_a_trusted_proxy_said_about_the_first_hop_stays() {
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
}
