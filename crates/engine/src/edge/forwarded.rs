//! Forwarding fields (`Forwarded`, RFC 7239, and `X-Forwarded-*`): the client address that they
//! report.

use std::net::{IpAddr, SocketAddr};

use bundle::ir::ForwardingField;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use policy::managed::alike;

use crate::edge::field_names::X_FORWARDED_FOR;
use crate::listener::Listener;

/// Forwarding fields other than the address lists. Trusted proxies may write these fields as lists
/// with one element per hop.
const BESIDE_ADDRESSES: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-proto"),
];
/// True for a response field that only the gateway may set, including lookalikes with `_` or `.`
/// for `-`. An upstream must not be able to forge these fields.
#[must_use]
pub fn is_reserved_for_gateway(name: &str) -> bool {
    // Fast path: the first byte excludes most names.
    if !matches!(name.as_bytes().first(), Some(b'x' | b'p' | b's')) {
        return false;
    }
    let begins = |prefix: &str| {
        let start = name.as_bytes().get(..prefix.len());
        start.is_some_and(|start| alike(start, prefix.as_bytes()))
    };
    let is = |other: &str| name.len() == other.len() && begins(other);
    begins("x-gateway-") || is("x-request-id") || is("proxy-status") || is("store-outage")
}

/// Address of the client: the last hop in the list that is not a trusted proxy. `peer` is a trusted
/// proxy. Also returns the number of hops at the end of the list that trusted proxies wrote.
pub(super) fn client(headers: &HeaderMap, listener: &Listener, peer: IpAddr) -> (IpAddr, usize) {
    last_untrusted(hops(headers).into_iter().rev(), listener, peer)
}

/// Address of the client: the first hop in `hops` that is not a trusted proxy, or the last hop with
/// a known address. `hops` begins with the hop next to the gateway. Also returns the number of hops
/// that trusted proxies wrote.
fn last_untrusted<'h>(
    hops: impl Iterator<Item = Hop<'h>>,
    listener: &Listener,
    peer: IpAddr,
) -> (IpAddr, usize) {
    let is_trusted = |address: &IpAddr| {
        let mut ranges = listener.trusted_proxies.iter();
        ranges.any(|range| range.contains(*address))
    };
    let (mut client, mut written) = (peer, 0);
    for hop in hops {
        written += 1;
        let Some(address) = hop.address else {
            break;
        };
        client = address;
        if !is_trusted(&address) {
            break;
        }
    }
    (client, written.max(1))
}

/// Address of a request's client, as [`admit`](super::admit) determines it: the peer's address, or
/// the address that a trusted proxy reports. Does not change the header fields. Allocates only for
/// `Forwarded`.
#[must_use]
pub fn client_address(headers: &HeaderMap, listener: &Listener, peer: IpAddr) -> IpAddr {
    let mut ranges = listener.trusted_proxies.iter();
    if !ranges.any(|range| range.contains(peer)) {
        return peer;
    }
    let writes = |field| listener.forwarding_fields.contains(&field);
    if writes(ForwardingField::XForwardedFor) && headers.contains_key(&X_FORWARDED_FOR) {
        let lines = headers.get_all(&X_FORWARDED_FOR).into_iter().rev();
        let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let hops = elements.map(|bytes| Hop::of(element(bytes)));
        return last_untrusted(hops.take_while(Hop::is_valid), listener, peer).0;
    }
    if !writes(ForwardingField::Forwarded) {
        return peer;
    }
    let hops = credible(hops_of_forwarded(headers));
    last_untrusted(hops.into_iter().rev(), listener, peer).0
}

/// Hop of the request (the client or a proxy), as a forwarding field names it.
pub(crate) struct Hop<'h> {
    /// Text of the hop as in `X-Forwarded-For`.
    pub(crate) text: &'h str,
    /// Address of the hop. `None` for an identifier such as `unknown`.
    pub(crate) address: Option<IpAddr>,
}

/// Hops of the request, beginning with the client, from `X-Forwarded-For` or `Forwarded`. The edge
/// has removed the field that trusted proxies do not write. Omits a malformed hop and all hops
/// before it, because the proxy that forwarded these hops did not check them.
pub(crate) fn hops(headers: &HeaderMap) -> Vec<Hop<'_>> {
    credible(match headers.contains_key(&X_FORWARDED_FOR) {
        true => hops_of_x_forwarded_for(headers),
        false => hops_of_forwarded(headers),
    })
}

/// True if all hops of `Forwarded` are well-formed.
pub(crate) fn is_forwarded_valid(headers: &HeaderMap) -> bool {
    hops_of_forwarded(headers).iter().all(Hop::is_valid)
}

fn hops_of_x_forwarded_for(headers: &HeaderMap) -> Vec<Hop<'_>> {
    let lines = headers.get_all(&X_FORWARDED_FOR).into_iter();
    lines.flat_map(list).map(Hop::of).collect()
}

fn hops_of_forwarded(headers: &HeaderMap) -> Vec<Hop<'_>> {
    let lines = headers.get_all(FORWARDED).into_iter();
    let named = lines.flat_map(quoted_list).map(|element| {
        let mut pairs = outside_quotes(element, b';');
        let name = pairs.find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim().eq_ignore_ascii_case("for").then_some(value)
        });
        Hop::of(name.unwrap_or("unknown").trim().trim_matches('"'))
    });
    named.collect()
}

/// Replacement for a list element that is not UTF-8. The text is not a valid hop, host or scheme.
const UNREADABLE: &str = "?";

/// Elements of a list between commas, trimmed. An element that is not UTF-8 becomes [`UNREADABLE`].
fn list(line: &HeaderValue) -> Vec<&str> {
    let parts = line.as_bytes().split(|byte| *byte == b',');
    parts.map(element).collect()
}

/// Element of a list, trimmed. An element that is not UTF-8 becomes [`UNREADABLE`].
fn element(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or(UNREADABLE).trim()
}

/// Elements of a list whose elements may contain quoted commas, trimmed. If a quotation mark is
/// missing, every comma separates elements. Otherwise an unclosed quotation mark of a client would
/// hide the element of the next proxy.
fn quoted_list(line: &HeaderValue) -> Vec<&str> {
    match std::str::from_utf8(line.as_bytes()) {
        Ok(text) if is_balanced(text) => outside_quotes(text, b',').map(str::trim).collect(),
        _ => list(line),
    }
}

/// True if every quoted string is closed.
fn is_balanced(text: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    !quoted
}

/// Hops after the last malformed hop.
fn credible(mut hops: Vec<Hop<'_>>) -> Vec<Hop<'_>> {
    let malformed = hops.iter().rposition(|hop| !hop.is_valid());
    hops.drain(..malformed.map_or(0, |at| at + 1));
    hops
}

impl<'h> Hop<'h> {
    /// Parses an IP address with an optional port, or another identifier.
    pub(crate) fn of(text: &'h str) -> Self {
        let bare = text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
        let address = bare
            .or_else(with_port)
            .map(|address| address.to_canonical());
        Self { text, address }
    }

    /// True for an address, `unknown` and an obfuscated identifier (RFC 7239 §6).
    pub(crate) fn is_valid(&self) -> bool {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let obfuscated = |text: &str| text.len() > 1 && text.bytes().all(is_word);
        self.address.is_some()
            || self.text.eq_ignore_ascii_case("unknown")
            || self.text.starts_with('_') && obfuscated(self.text)
    }
}

/// Removes the forwarding fields that the trusted proxies do not write, because proxies forward
/// such fields of the client unchanged.
pub(super) fn drop_fields_of_clients(headers: &mut HeaderMap, written: &[ForwardingField]) {
    for field in ForwardingField::ALL {
        if !written.contains(&field) {
            headers.remove(field.name());
        }
    }
}

/// Removes the elements that no trusted proxy wrote from list fields. A proxy that appends to a
/// list keeps the elements that the client sent. `written` is the number of elements at the end
/// that trusted proxies wrote. In earlier elements of `Forwarded`, only the parameter `for` is
/// kept, because `X-Forwarded-For` keeps the earlier addresses as well.
pub(super) fn drop_unproven(headers: &mut HeaderMap, written: usize) {
    for name in BESIDE_ADDRESSES {
        let Some(all) = elements(headers, &name, list) else {
            continue;
        };
        let proven = all.len().saturating_sub(written);
        set(headers, &name, &all[proven..]);
    }
    let Some(mut all) = elements(headers, &FORWARDED, quoted_list) else {
        return;
    };
    let unproven = all.len().saturating_sub(written);
    for element in &mut all[..unproven] {
        let hop = outside_quotes(element, b';').map(str::trim).find(|pair| {
            let key = pair.split('=').next().unwrap_or_default();
            key.trim().eq_ignore_ascii_case("for") && is_balanced(pair)
        });
        *element = hop.unwrap_or("for=unknown").to_owned();
    }
    set(headers, &FORWARDED, &all);
}

/// Elements of a list field, over all its lines. `None` if the list has at most one element.
fn elements(
    headers: &HeaderMap,
    name: &HeaderName,
    of_line: fn(&HeaderValue) -> Vec<&str>,
) -> Option<Vec<String>> {
    let first = headers.get(name)?;
    let is_list = first.as_bytes().contains(&b',') || headers.get_all(name).iter().count() > 1;
    let lines = || headers.get_all(name).into_iter().flat_map(of_line);
    is_list.then(|| lines().map(str::to_owned).collect())
}

fn set(headers: &mut HeaderMap, name: &HeaderName, elements: &[String]) {
    match HeaderValue::from_str(&elements.join(", ")) {
        Ok(value) => headers.insert(name, value),
        Err(_) => headers.remove(name),
    };
}

/// Parts of a text between separators. Separators inside quotes do not count.
pub(crate) fn outside_quotes(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let here = rest?;
        let mut quoted = false;
        let mut escaped = false;
        for (at, byte) in here.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if byte == separator && !quoted => {
                    rest = Some(&here[at + 1..]);
                    return Some(&here[..at]);
                }
                _ => {}
            }
        }
        rest = None;
        Some(here)
    })
}
