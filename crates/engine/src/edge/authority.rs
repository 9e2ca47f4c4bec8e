//! Authority of a request: `Host`, `:authority` and the target's authority (RFC 9110 §7.2, RFC 9112
//! §3.2, RFC 9113 §8.3.1).

use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Uri, Version};
use policy::Reject;

use crate::edge::refusals::{HOST_INVALID, TARGET_INVALID};

/// Effective authority of a request as the client wrote it, and its host in lower case. Writes the
/// authority of the target, or `:authority`, to `headers` as `Host`. Policies and the upstream
/// therefore read the host for which the request is routed.
pub(super) fn authority(
    uri: &Uri,
    headers: &mut HeaderMap,
    version: Version,
) -> Result<(HeaderValue, Box<str>), &'static Reject> {
    let mut hosts = headers.get_all(HOST).iter();
    let field = match (hosts.next(), hosts.next()) {
        (Some(field), None) => {
            let host = field.to_str().ok().and_then(host_of);
            Some((field, host.ok_or(&HOST_INVALID)?))
        }
        (None, _) => None,
        (Some(_), Some(_)) => return Err(&HOST_INVALID),
    };
    let (authority, scheme) = (uri.authority(), uri.scheme_str());
    let Some(authority) = authority else {
        let (field, host) = field.ok_or(&HOST_INVALID)?;
        return Ok((field.clone(), host));
    };
    if !matches!(scheme, Some("http" | "https")) {
        return Err(&TARGET_INVALID);
    }
    if version == Version::HTTP_2 {
        // `:authority` replaces `Host`. If a request has both fields, these must be equal, because
        // some servers use one and some the other.
        let agree = |(field, _): (&HeaderValue, Box<str>)| {
            field
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes())
        };
        if !field.is_none_or(agree) {
            return Err(&HOST_INVALID);
        }
    } else {
        // The authority of an absolute-form target replaces `Host`. HTTP/1.1 still requires the
        // field.
        field.ok_or(&HOST_INVALID)?;
    }
    let host = host_of(authority.as_str()).ok_or(&HOST_INVALID)?;
    let authority = HeaderValue::try_from(authority.as_str()).map_err(|_| &HOST_INVALID)?;
    headers.insert(HOST, authority.clone());
    Ok((authority, host))
}

/// True for `uri-host[:port]` that the gateway accepts in `Host`.
#[must_use]
pub fn is_authority(text: &str) -> bool {
    host_of(text).is_some_and(|host| !host.is_empty())
}

/// Host of `uri-host[:port]`, in lower case and without a final dot. `None` if the text is
/// malformed. A name with an empty label (`shop.test..`) is malformed: servers that strip all final
/// dots would read it as a different host of the gateway. A name with `;`, `$` or other
/// sub-delimiters of RFC 3986 §3.2.2 is malformed, too. No DNS name has these characters, and
/// servers that cut a name there would read a different host.
pub(super) fn host_of(authority: &str) -> Option<Box<str>> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (
                &authority[..address.len() + 2],
                behind
                    .strip_prefix(':')
                    .or(behind.is_empty().then_some(""))
                    .filter(|port| !(behind.starts_with(':') && port.is_empty()))?,
            )
        }
        None => match authority.split_once(':') {
            Some((_, "")) => return None,
            Some((host, port)) => (host, port),
            None => (authority, ""),
        },
    };
    let port_fine = port.is_empty()
        || port.len() <= 5
            && port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0);
    let name = host.strip_suffix('.').unwrap_or(host);
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let host_fine = name.starts_with('[')
        || name.bytes().all(valid) && name.split('.').all(|label| !label.is_empty());
    (port_fine && host_fine).then(|| {
        let mut lower: Box<str> = name.into();
        lower.make_ascii_lowercase();
        lower
    })
}
